"""Sweeps that are killed, torn, out of space or several at once end with the frame of an undisturbed one, each ensemble trained once."""

import json
import os
import random
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sweeper import FAILED, Order, Sweeper, make_plan
from widelimit.synthetic import Store, execute
from widelimit.synthetic.locks import platform
from widelimit.synthetic.store import make_key

KILLS = 20
NOBODY = 2**22 + 1  # no process has such a number


@pytest.fixture(scope="module")
def sweeper():
    sweeper = Sweeper()
    yield sweeper
    sweeper.close()


def order(folder: Path, count: int, **more) -> Order:
    return Order(str(folder / "home"), str(folder / "log"), str(folder / "frame"), count, **more)


def log(order: Order, word: str) -> list[int]:
    """The widths of the lines that begin with a word."""
    lines = Path(order.log).read_text().splitlines() if Path(order.log).exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(word)]


def stored(order: Order) -> set[int]:
    """The widths that have a record."""
    there = Store(Path(order.root))
    return {e.sizes["n"] for e in make_plan(order.count).ensembles if there.path(make_key(e.key_data())).exists()}


def assert_whole(order: Order, undisturbed: Order) -> None:
    """The frame is that of the other sweep, and every ensemble has one record, beside which nothing is left."""
    pd.testing.assert_frame_equal(pd.read_pickle(order.out), pd.read_pickle(undisturbed.out), check_exact=True)
    assert len(stored(order)) == order.count
    assert len(list(Path(order.root).glob("**/*.*"))) == order.count


@pytest.fixture
def undisturbed(sweeper: Sweeper, tmp_path: Path):
    """A sweep that nothing happens to."""

    def run(count: int) -> Order:
        (tmp_path / "undisturbed").mkdir()
        plain = order(tmp_path / "undisturbed", count)
        assert sweeper.run(plain) == 0
        return plain

    return run


def test_twenty_kills_lose_and_repeat_nothing(sweeper: Sweeper, undisturbed, tmp_path: Path):
    moments, kills, finished, starts = random.Random(0), 0, set(), 0
    present = order(tmp_path, 32, pause=0.1)
    while kills < KILLS:
        pid = sweeper.fork(present)
        while len(log(present, "start")) == starts and not Path(present.out).exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.3))
        os.kill(pid, signal.SIGKILL)  # an ended child stays until it is waited for
        if sweeper.wait(pid) == 0:
            present = replace(present, count=present.count + 10)
            Path(present.out).unlink()
            continue
        kills += 1
        assert not finished & set(log(present, "start")[starts:]), "trained again although it was finished"
        finished, starts = stored(present), len(log(present, "start"))
    present = replace(present, pause=0.0)
    assert sweeper.run(present) == 0
    assert not finished & set(log(present, "start")[starts:]), "trained again although it was finished"
    trained, kept = log(present, "start"), log(present, "stored")
    assert present.count <= len(trained) <= present.count + KILLS  # a kill costs at most the one that it hits
    assert len(trained) > present.count, "no kill hit a training"
    assert len(kept) == len(set(kept))
    assert_whole(present, undisturbed(present.count))


def test_a_kill_at_any_touch_of_the_store_loses_and_repeats_nothing(sweeper: Sweeper, undisturbed, tmp_path: Path):
    plain, touches = undisturbed(2), 0
    while True:
        touches += 1
        (tmp_path / str(touches)).mkdir()
        struck = order(tmp_path / str(touches), 2, last=touches)
        status = sweeper.run(struck)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        finished, before = stored(struck), log(struck, "start")
        assert sweeper.run(replace(struck, last=0)) == 0
        again = log(struck, "start")[len(before) :]
        assert sorted([*again, *finished]) == [4, 5], f"killed at touch {touches}"
        assert_whole(struck, plain)
    assert touches > 15


def test_a_kill_in_the_middle_of_a_record_leaves_no_torn_one(sweeper: Sweeper, undisturbed, tmp_path: Path):
    present = order(tmp_path, 4, full="cut")
    assert sweeper.run(present) == -signal.SIGXFSZ
    temporary = [path for path in Path(present.root).glob("runs/*") if path.stat().st_size == 1024]
    assert [path.suffix for path in temporary] == [".tmp"] and stored(present) == {4, 5}
    assert sweeper.run(replace(present, full="")) == 0
    assert log(present, "start") == [4, 5, 6, 6, 7]
    assert_whole(present, undisturbed(4))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("limit", r"run store `.*home` cannot be used \(File too large\); set WIDELIMIT_HOME"),
        ("device", r"the disk of the run store `.*home` is full; free some space"),
        ("tmpfs", r"the disk of the run store `.*home` is full; free some space"),
    ],
)
def test_a_full_disk_stops_the_sweep_and_keeps_what_is_finished(sweeper: Sweeper, undisturbed, tmp_path: Path, kind: str, message: str):
    present = order(tmp_path, 12, full=kind)
    status = sweeper.run(present)
    if status == 77:
        pytest.skip("a file system cannot be mounted here")
    assert status == FAILED
    out = Path(present.out)
    assert re.search(message, out.with_suffix(".error").read_text())
    kept = json.loads(out.with_suffix(".kept").read_text())
    assert 2 <= len(kept) < 12 and all(name.endswith(".parquet") for name in kept)
    trained = log(present, "start")
    assert len(trained) == 12 + 1 and len(set(trained)) == 12  # once more what could not be stored
    pd.testing.assert_frame_equal(pd.read_pickle(out), pd.read_pickle(undisturbed(12).out), check_exact=True)
    if kind != "tmpfs":  # that ended with its process
        assert_whole(present, order(tmp_path / "undisturbed", 12))


@pytest.mark.parametrize("seed", range(4))
def test_a_torn_record_is_named_and_made_again(tmp_path: Path, seed: int):
    plan, place, there = make_plan(3), random.Random(seed), Store(tmp_path)
    whole = execute(plan, there)
    torn = there.path(make_key(plan.ensembles[place.randrange(3)].key_data()))
    os.truncate(torn, place.randrange(torn.stat().st_size))
    stray = torn.with_suffix(f".{platform.node()}.{NOBODY}.0123abcd.tmp")
    stray.write_bytes(torn.read_bytes())
    with pytest.warns(UserWarning, match=rf"record {torn.name} is corrupt .* moved to .*, it will be made again"):
        again = execute(plan, there)
    pd.testing.assert_frame_equal(again, whole, check_exact=True)
    assert {path.suffix for path in torn.parent.iterdir()} == {".parquet"}
    assert [path.name.startswith(torn.name) for path in (tmp_path / "corrupt").iterdir()] == [True]


def test_sweeps_at_once_share_the_work(sweeper: Sweeper, undisturbed, tmp_path: Path):
    orders = [replace(order(tmp_path, 9, pause=0.1), out=str(tmp_path / f"frame{number}")) for number in range(3)]
    pids = [sweeper.fork(each) for each in orders]
    assert [sweeper.wait(pid) for pid in pids] == [0, 0, 0]
    assert sorted(log(orders[0], "start")) == sorted(log(orders[0], "stored")) == list(range(4, 13))
    plain = undisturbed(9)
    for each in orders:
        assert_whole(each, plain)
