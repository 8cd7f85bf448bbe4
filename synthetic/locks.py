"""Lock files that name their owner and are broken when the owner is gone."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

HEARTBEAT = 5.0
"""Seconds between two signs of life (the lock file's modification time)."""

STALE = 60.0
"""A lock without a sign of life for so many seconds belongs to nobody."""

WRITING = 5.0
"""A lock file that names no owner for so many seconds is of a process that ended while it wrote the name."""


class Lock:
    """An exclusive lock: a file with host and pid, touched by a thread while it is held.

    It is stale, and taken over, if its process has ended (seen on the same host) or it has not been touched for
    `STALE` seconds.

    Args:
        path: the lock file; its folder must exist.
        poll: seconds between two attempts.
    """

    def __init__(self, path: Path, *, poll: float = 0.2):
        self.path, self._poll = path, poll
        self._text = ""
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock, or return False if another holds it and ``wait`` is false.

        Raises:
            OSError: if the lock file cannot be made.
        """
        while not self._create():
            if not self.remove_if_stale():
                if not wait:
                    return False
                time.sleep(self._poll)
        self._stop.clear()
        self._beat = threading.Thread(target=self._keep_alive, daemon=True)
        self._beat.start()
        return True

    def release(self) -> None:
        """Stop the heartbeat and remove the file."""
        self._stop.set()
        if self._beat is not None:
            self._beat.join()
            self._beat = None
            self._remove(self._text)

    def remove_if_stale(self) -> bool:
        """Remove what an ended process has left; whether the lock is free now."""
        try:
            text, age = self.path.read_text(), time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return True
        return _is_stale(text, age) and self._remove(text)

    def __enter__(self) -> Lock:
        if self._beat is None:
            self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _create(self) -> bool:
        text = json.dumps({"host": platform.node(), "pid": os.getpid(), "made": time.time_ns()})
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        except OSError:  # on a full disk a lock without an owner would stay
            self.path.unlink()
            raise
        self._text = text
        return True

    def _remove(self, text: str) -> bool:
        """Remove the lock file if this is what it says, and nobody has put another one in its place."""
        with suppress(OSError), self.path.open("r+") as file, exclusive(file, self.path) as still_there:
            if still_there and file.read() == text:
                self.path.unlink()
                return True
        return False

    def _keep_alive(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with suppress(OSError):
                os.utime(self.path)


@contextmanager
def exclusive(file: IO[Any], path: Path) -> Iterator[bool]:
    """Whether ``path`` is the open ``file`` still; nobody who asks likewise removes it while the block runs.

    Without this, two processes that find the same remains would both remove them, the slower one what the faster
    one has put in their place. Where files cannot be locked (some network file systems) it is only looked at.
    """
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file or the process
    try:
        there = os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        there = False
    yield there


def _is_stale(text: str, age: float) -> bool:
    try:
        owner = json.loads(text)
        host, pid = owner["host"], int(owner["pid"])
    except (ValueError, KeyError, TypeError):
        return age > WRITING
    return age > STALE or has_ended(host, pid)


def has_ended(host: str, pid: int) -> bool:
    """Whether a process has certainly ended; of another host's nothing is known."""
    if host != platform.node():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
