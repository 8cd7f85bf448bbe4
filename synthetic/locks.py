"""Lock files that name their owner and are broken when the owner is gone."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

HEARTBEAT = 5.0
"""Seconds between two signs of life (the lock file's modification time)."""

STALE = 60.0
"""A lock without a sign of life for so many seconds belongs to nobody."""


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
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None

    def acquire(self) -> None:
        """Wait until the lock is ours.

        Raises:
            OSError: if the lock file cannot be made.
        """
        while not self._create():
            owner = self._read()
            if owner is not None and _is_stale(*owner):
                self._break(owner[0])
            else:
                time.sleep(self._poll)
        self._stop.clear()
        self._beat = threading.Thread(target=self._keep_alive, daemon=True)
        self._beat.start()

    def release(self) -> None:
        """Stop the heartbeat and remove the file."""
        self._stop.set()
        if self._beat is not None:
            self._beat.join()
            self._beat = None
            with suppress(OSError):
                self.path.unlink()

    def __enter__(self) -> Lock:
        if self._beat is None:
            self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _create(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as file:
            json.dump({"host": platform.node(), "pid": os.getpid(), "made": time.time_ns()}, file)
        return True

    def _read(self) -> tuple[str, float] | None:
        """Text of the lock and seconds since its last sign of life; None if it is gone."""
        try:
            return self.path.read_text(), time.time() - self.path.stat().st_mtime
        except OSError:
            return None

    def _break(self, seen: str) -> None:
        """Remove a stale lock, unless somebody was faster and holds a new one."""
        aside = self.path.with_suffix(f".{os.getpid()}.{time.time_ns()}.stale")
        with suppress(OSError):
            os.rename(self.path, aside)
            if aside.read_text() != seen:
                os.link(aside, self.path)
            aside.unlink()

    def _keep_alive(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with suppress(OSError):
                os.utime(self.path)


def _is_stale(text: str, age: float) -> bool:
    if age > STALE:
        return True
    try:
        owner = json.loads(text)
        host, pid = owner["host"], int(owner["pid"])
    except (ValueError, KeyError, TypeError):
        return False  # being written just now
    return host == platform.node() and not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
