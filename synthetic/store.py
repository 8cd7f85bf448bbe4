"""The run store: one Parquet file per result, written once and atomically, found by a hash of what made it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import subprocess
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from .locks import Lock, exclusive, has_ended

SCHEMA = 1
"""Part of every key; to be raised when the columns of frames change their meaning."""

HOME = "WIDELIMIT_HOME"
_META = b"widelimit"
_TEMPORARY = re.compile(r"\w+\.(?P<host>.*)\.(?P<pid>\d+)\.\w+\.tmp")
_ABANDONED = 86400.0  # a temporary file of another host is removed after so many seconds


class StoreError(OSError):
    """The store cannot be read or written; the message is one sentence that says where and why."""


class Busy(StoreError):
    """Another process is making the result."""


def canonical(data: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces; equal data give equal text.

    Raises:
        ValueError: if a number is not finite or a value is no plain data.
    """
    try:
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the key of a stored result needs plain data: {error}") from None


def make_key(data: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of the data and the store's schema."""
    return hashlib.sha256(canonical({"schema": SCHEMA, **data}).encode()).hexdigest()


def provenance(device: str = "cpu") -> dict[str, Any]:
    """Where and with what a result is made: metadata of a record, not part of its key."""
    versions = {}
    for package in ("widelimit", "torch", "numpy", "pandas"):
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "device": device,
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **versions},
        "host": platform.node(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _commit() -> str | None:
    """The commit of the checkout that this file belongs to, or None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    command = ["git", "rev-parse", "--show-toplevel", "HEAD"]
    with suppress(OSError, subprocess.SubprocessError):
        run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=5, check=True)
        top, commit = run.stdout.split("\n")[:2]
        return commit if Path(top) == root else None
    return None


@dataclass(frozen=True)
class Store:
    """A folder of results.

    Args:
        root: the folder; it is made when the first result is written.
    """

    root: Path

    @classmethod
    def default(cls) -> Store:
        """``$WIDELIMIT_HOME``, else ``./.widelimit``."""
        return cls(Path(os.environ.get(HOME) or ".widelimit"))

    def path(self, key: str) -> Path:
        """The file of a result."""
        return self.root / "runs" / f"{key}.parquet"

    def load(self, data: Mapping[str, Any]) -> pd.DataFrame | None:
        """The stored result of this key, or None.

        A file that cannot be read or belongs to another key is named in a warning and set aside in ``corrupt/``.
        """
        key = make_key(data)
        path = self.path(key)
        while True:  # what is there after a corrupt file was set aside is another process's
            try:
                file = path.open("rb")
            except FileNotFoundError:
                return None
            except OSError as error:
                raise StoreError(_explain(error, self.root)) from error
            with file:
                try:
                    return _read(file, key)
                except Exception as error:  # whatever a damaged file makes pyarrow raise
                    self._set_aside(file, path, error)

    def describe(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Metadata of a stored result: `provenance`, and the data of its key.

        Raises:
            StoreError: if there is none.
        """
        import pyarrow.parquet as pq

        path = self.path(make_key(data))
        if not path.exists():
            raise StoreError(f"the store `{self.root}` has no record {path.name}")
        return json.loads(pq.read_schema(path).metadata[_META])

    def save(self, data: Mapping[str, Any], frame: pd.DataFrame, *, device: str = "cpu") -> Path:
        """Write a result: a temporary file, fsync, rename.

        Args:
            data: what the key is made of.
            frame: the result.
            device: for the metadata.

        Raises:
            StoreError: if the folder cannot be written or the disk is full.
        """
        key = make_key(data)
        path, meta = self.path(key), {"key": key, "data": dict(data), **provenance(device)}
        temporary = path.with_suffix(f".{platform.node()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(temporary, frame, meta)
            os.replace(temporary, path)
            _sync_folder(path.parent)
        except OSError as error:
            raise StoreError(_explain(error, self.root)) from error
        finally:
            with suppress(OSError):
                temporary.unlink()
        return path

    def get_or_make(
        self, data: Mapping[str, Any], make: Callable[[], pd.DataFrame], *, device: str = "cpu", wait: bool = True
    ) -> pd.DataFrame:
        """The stored result; if there is none, make and store it while no other process does the same.

        Args:
            data: what the key is made of.
            make: makes the result.
            device: for the metadata.
            wait: until another process has made it, if one is about it.

        Raises:
            Busy: if another process is making it and ``wait`` is false.
            StoreError: if the folder cannot be written or the disk is full.
        """
        found = self.load(data)
        if found is not None:
            return found
        lock = Lock(self.path(make_key(data)).with_suffix(".lock"))
        try:
            lock.path.parent.mkdir(parents=True, exist_ok=True)
            ours = lock.acquire(wait=wait)
        except OSError as error:
            raise StoreError(_explain(error, self.root)) from error
        if not ours:
            raise Busy(f"another process is making {lock.path.stem} in the store `{self.root}`")
        with lock:
            found = self.load(data)  # whoever held the lock may have made it
            if found is None:
                found = make()
                self.save(data, found, device=device)
        return found

    def tidy(self) -> None:
        """Remove the temporary files and locks that killed processes have left; those of living ones stay."""
        for path in self.root.glob("runs/*.tmp"):
            with suppress(OSError):
                if _is_abandoned(path):
                    path.unlink()
        for path in self.root.glob("runs/*.lock"):
            with suppress(OSError):
                Lock(path).remove_if_stale()

    def _set_aside(self, file: BinaryIO, path: Path, error: Exception) -> None:
        """Move a corrupt record away, unless another process has done so."""
        aside = self.root / "corrupt" / f"{path.name}.{time.time_ns()}"
        with exclusive(file, path) as still_there:
            if not still_there:
                return
            try:
                aside.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, aside)
            except OSError as failure:
                raise StoreError(_explain(failure, self.root)) from failure
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"the record {path.name} is corrupt ({reason}); moved to {aside}, it will be made again", stacklevel=3)


def _is_abandoned(temporary: Path) -> bool:
    """Whether nobody writes this file any more; see `Store.save` for its name."""
    named = _TEMPORARY.fullmatch(temporary.name)
    if named and named["host"] == platform.node():
        return has_ended(named["host"], int(named["pid"]))
    return time.time() - temporary.stat().st_mtime > _ABANDONED


def _write(path: Path, frame: pd.DataFrame, meta: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _META: json.dumps(meta).encode()})
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)
        file.flush()
        os.fsync(file.fileno())


def _read(source: BinaryIO, key: str) -> pd.DataFrame:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        table = file.read()
    meta = json.loads((table.schema.metadata or {}).get(_META, b"{}"))
    if meta.get("key") != key:
        raise ValueError("its metadata belong to another key")
    return table.to_pandas()


def _sync_folder(folder: Path) -> None:
    """Make a rename durable where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explain(error: OSError, root: Path) -> str:
    remedy = f"set {HOME} to a folder that can be written"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"the folder `{root}` of the run store is read-only; {remedy}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of the run store `{root}` is full; free some space, or {remedy}"
    return f"the run store `{root}` cannot be used ({error.strerror or error}); {remedy}"
