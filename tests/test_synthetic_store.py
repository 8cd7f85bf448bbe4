"""The run store: found again, atomic, locked, and honest about damage."""

import errno
import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from widelimit.synthetic import Store, StoreError, locks
from widelimit.synthetic.locks import Lock
from widelimit.synthetic.store import Busy, make_key

DATA = {"steps": 3, "rates": [0.1, 0.2]}
VALUES = np.append(np.random.default_rng(0).standard_normal(998), [np.inf, 0.1])
ENDED = json.dumps({"host": locks.platform.node(), "pid": 2**22 + 1})
FRAME = pd.DataFrame({"source": "synthetic", "step": range(1000), "value": VALUES, "diverged_at": np.nan})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def fail() -> pd.DataFrame:
    raise AssertionError("made although it is stored")


def test_what_was_saved_is_found_under_the_same_data(store: Store):
    assert store.load(DATA) is None
    store.save(DATA, FRAME, device="cpu")
    pd.testing.assert_frame_equal(store.load({"rates": [0.1, 0.2], "steps": 3}), FRAME)
    assert store.load({**DATA, "steps": 4}) is None
    assert store.get_or_make(DATA, fail).equals(FRAME)


def test_metadata_say_where_a_result_comes_from_and_are_not_in_the_key(store: Store):
    path = store.save(DATA, FRAME, device="NVIDIA H200")
    meta = store.describe(DATA)
    assert path.stem == meta["key"] == make_key(DATA)
    assert meta["device"] == "NVIDIA H200" and meta["data"] == DATA and meta["versions"]["python"]
    assert set(meta) == {"key", "data", "device", "commit", "versions", "host", "created"}
    with pytest.raises(StoreError, match="has no record"):
        store.describe({})


def test_keys_are_canonical_and_refuse_what_is_no_data():
    assert make_key({"a": 1, "b": 2}) == make_key({"b": 2, "a": 1}) != make_key({"a": 1, "b": 3})
    for bad in ({"a": float("nan")}, {"a": object()}):
        with pytest.raises(ValueError, match="plain data"):
            make_key(bad)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "renamed", "empty"])
def test_a_corrupt_record_is_named_set_aside_and_made_again(store: Store, damage: str):
    path = store.save(DATA, FRAME)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "renamed":
        path.write_bytes(store.save({"other": 1}, FRAME).read_bytes())
    else:
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match=rf"record {path.name} is corrupt .* moved to .*corrupt"):
        made = store.get_or_make(DATA, lambda: FRAME)
    assert made.equals(FRAME) and store.load(DATA).equals(FRAME)
    assert len(list((store.root / "corrupt").iterdir())) == 1


def test_two_that_find_the_same_damage_set_aside_one_file(store: Store, monkeypatch: pytest.MonkeyPatch):
    path, flock = store.save(DATA, FRAME), locks.fcntl.flock
    good = path.read_bytes()

    def outrun(*arguments) -> None:
        monkeypatch.setattr(locks.fcntl, "flock", flock)
        path.rename(path.with_suffix(".aside"))
        path.write_bytes(good)  # another process has made it again
        flock(*arguments)

    path.write_bytes(good[:-5])
    monkeypatch.setattr(locks.fcntl, "flock", outrun)
    assert store.get_or_make(DATA, fail).equals(FRAME)
    assert not (store.root / "corrupt").exists()


def test_what_another_process_makes_is_not_waited_for_where_asked(store: Store):
    path = store.path(make_key(DATA))
    path.parent.mkdir(parents=True)
    with Lock(path.with_suffix(".lock")), pytest.raises(Busy, match=f"is making {path.stem}"):
        store.get_or_make(DATA, fail, wait=False)
    assert store.get_or_make(DATA, lambda: FRAME, wait=False).equals(FRAME)


def test_remains_of_ended_processes_are_removed_and_those_of_living_ones_stay(store: Store):
    folder, host, day = store.path("").parent, locks.platform.node(), 86400
    folder.mkdir(parents=True)
    ages = {f"a.{host}.{2**22 + 1}.0.tmp": 0, f"a.{host}.{os.getppid()}.0.tmp": 2 * day, "a.else.where.1.0.tmp": day / 2}
    ages |= {"b.else.where.1.0.tmp": 2 * day, "b.1.tmp": 2 * day, "a.1.tmp": 0}
    for name, age in ages.items():
        (folder / name).write_text("")
        os.utime(folder / name, (0, time.time() - age))
    (folder / "a.lock").write_text(ENDED)
    (folder / "b.lock").write_text(json.dumps({"host": host, "pid": os.getppid()}))
    record = store.save(DATA, FRAME)
    store.tidy()
    left = {f"a.{host}.{os.getppid()}.0.tmp", "a.else.where.1.0.tmp", "a.1.tmp", "b.lock", record.name}
    assert {path.name for path in folder.iterdir()} == left


def test_an_interrupt_leaves_neither_a_record_nor_a_lock(store: Store):
    def interrupted() -> pd.DataFrame:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get_or_make(DATA, interrupted)
    assert store.load(DATA) is None and not list((store.root / "runs").iterdir())


def test_a_failure_while_writing_leaves_the_old_record(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.save(DATA, FRAME)

    def broken(*_args) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match=r"disk of the run store .* is full; free some space"):
        store.save(DATA, FRAME.assign(value=0.0))
    assert store.load(DATA).equals(FRAME)
    assert [p.suffix for p in (store.root / "runs").iterdir()] == [".parquet"]


def test_a_read_only_folder_is_named_before_anything_is_trained(store: Store, monkeypatch: pytest.MonkeyPatch):
    def refused(*_args, **_settings) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StoreError, match=r"home` of the run store is read-only; set WIDELIMIT_HOME"):
        store.get_or_make(DATA, fail)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path):
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreError, match=r"home` cannot be used"):
        Store(tmp_path / "home").save(DATA, FRAME)


def test_the_home_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("WIDELIMIT_HOME", str(tmp_path))
    assert Store.default().root == tmp_path
    monkeypatch.delenv("WIDELIMIT_HOME")
    assert Store.default().root == Path(".widelimit")


def _make_slowly(root: Path, log: Path) -> None:
    def make() -> pd.DataFrame:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(2)  # until the other process has come
        return FRAME

    Store(root).get_or_make(DATA, make)


def test_two_processes_make_a_result_once(store: Store, tmp_path: Path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")  # another test may have started threads
    workers = [context.Process(target=_make_slowly, args=(store.root, log)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    assert log.read_text() == "made\n"


class TestLock:
    def test_it_names_its_owner_and_is_removed(self, tmp_path: Path):
        path = tmp_path / "a.lock"
        with Lock(path):
            assert json.loads(path.read_text())["pid"] == os.getpid()
        assert not path.exists()

    @pytest.mark.parametrize(
        "owner", [{"host": locks.platform.node(), "pid": 2**22 + 1}, {"host": "elsewhere", "pid": 1}], ids=["ended", "silent"]
    )
    def test_a_stale_lock_is_broken(self, tmp_path: Path, owner: dict):
        path = tmp_path / "a.lock"
        path.write_text(json.dumps(owner))
        if owner["host"] == "elsewhere":
            os.utime(path, (0, time.time() - 2 * locks.STALE))
        with Lock(path):
            assert json.loads(path.read_text())["pid"] == os.getpid()
        assert not list(tmp_path.iterdir())

    def test_a_living_lock_is_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        path = tmp_path / "a.lock"
        path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
        waits = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                path.unlink()

        monkeypatch.setattr(locks.time, "sleep", wait)
        with Lock(path):
            assert len(waits) == 3

    def test_the_heartbeat_keeps_it_young(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(locks, "HEARTBEAT", 0.02)
        path = tmp_path / "a.lock"
        with Lock(path):
            os.utime(path, (0, 0))
            time.sleep(0.3)
            assert path.stat().st_mtime > 0

    def test_two_that_find_the_same_remains_do_not_both_remove_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        path, flock = tmp_path / "a.lock", locks.fcntl.flock
        path.write_text(ENDED)

        def outrun(*arguments) -> None:
            monkeypatch.setattr(locks.fcntl, "flock", flock)
            path.unlink()
            path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
            flock(*arguments)

        monkeypatch.setattr(locks.fcntl, "flock", outrun)
        assert not Lock(path).acquire(wait=False)
        assert "elsewhere" in path.read_text() and len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize(("age", "taken"), [(0, False), (2 * locks.WRITING, True)])
    def test_a_lock_without_an_owner_is_taken_over_soon(self, tmp_path: Path, age: float, taken: bool):
        path = tmp_path / "a.lock"
        path.write_text("")
        os.utime(path, (0, time.time() - age))
        lock = Lock(path)
        assert lock.acquire(wait=False) == taken
        lock.release()
        assert path.exists() != taken

    def test_a_full_disk_leaves_no_lock_without_an_owner(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        opened = os.open
        monkeypatch.setattr(locks.os, "open", lambda path, *how: os.close(opened(path, *how)) or opened("/dev/full", os.O_WRONLY))
        with pytest.raises(OSError, match="No space left"):
            Lock(tmp_path / "a.lock").acquire()
        assert not list(tmp_path.iterdir())

    def test_a_lock_that_was_taken_over_is_not_removed_by_its_former_owner(self, tmp_path: Path):
        path = tmp_path / "a.lock"
        with Lock(path):
            path.write_text("another's")
        assert path.read_text() == "another's"
