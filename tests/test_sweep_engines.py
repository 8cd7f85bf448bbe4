"""Who executes a sweep, and what it is expected to take."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from sweeper import kill_a_worker, make_plan
from widelimit.synthetic import Estimate, Local, Plan, Ray, Store, StoreError, estimate, estimating, execute, find_engine, training
from widelimit.synthetic.engines import Engine
from widelimit.synthetic.estimating import in_words

PLAN = make_plan(5)  # widths 4 to 8; 4 steps, all of which are recorded, so 4 updates and 5 validations


@dataclass(frozen=True)
class Idle:
    """An engine that stores nothing."""

    threads: int | None = None

    def workers(self) -> int:
        return 1

    def run(self, ensembles, store, *, device, report) -> None:
        pass


def ticking():
    """A clock that a second passes on whenever it is looked at."""
    return itertools.count(0.0).__next__


def test_engines_are_found_by_name():
    assert find_engine("local", jobs=3) == Local(3) and isinstance(Idle(), Engine)
    assert Local().threads is None and Local(10**6).threads == 1
    with pytest.raises(ValueError, match="unknown engine `slurm`; choose from local, ray"):
        find_engine("slurm")


def test_ray_is_named_if_it_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("widelimit.synthetic.engines.cluster.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"`ray` needs the extra `cluster`: pip install"):
        Ray()


def test_a_folder_that_workers_do_not_share_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match=r"lacks `mlp sp n=4`, which was just stored: do all workers see this folder"):
        execute(PLAN, Store(tmp_path), engine=Idle())


def test_processes_side_by_side_make_the_same_frame_also_when_one_is_killed(tmp_path: Path):
    plan, store, killed = make_plan(4, steps=1000), Store(tmp_path / "two"), {}
    killer = threading.Thread(target=kill_a_worker, args=(store, killed), daemon=True)
    killer.start()
    with pytest.raises(ChildProcessError, match="a worker process was killed"):
        execute(plan, store, engine=Local(2))
    killer.join()
    assert list(killed.values()) == [False] and plan.missing(store).ensembles
    calls: list[float] = []
    frame = execute(plan, store, engine=Local(2), progress=lambda label, done, total: calls.append(done / total))
    assert calls == sorted(calls) and calls[-1] == pytest.approx(1.0)
    pd.testing.assert_frame_equal(frame, execute(plan, Store(tmp_path / "one")), check_exact=True)
    assert {path.suffix for path in store.root.glob("runs/*")} == {".parquet"}


def test_workers_end_with_the_process_that_is_killed(tmp_path: Path):
    code = "import sys, pathlib, sweeper, widelimit.synthetic as s\n"
    code += "s.execute(sweeper.make_plan(4, steps=10**5), s.Store(pathlib.Path(sys.argv[1])), engine=s.Local(2))"
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parent)
    while len(locks := [lock for lock in tmp_path.glob("runs/*.lock") if lock.read_text()]) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    workers = [json.loads(lock.read_text())["pid"] for lock in locks]
    parent.kill()
    assert parent.wait() == -signal.SIGKILL and parent.pid not in workers
    try:
        while any(is_running(worker) for worker in workers):
            time.sleep(0.05)
    finally:  # where the test fails by its time limit
        for worker in filter(is_running, workers):
            os.kill(worker, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether a process is there that is more than an entry in its parent's list."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_steps_and_validations_that_are_timed_are_added_up(tmp_path: Path):
    found = estimate(PLAN, Store(tmp_path), clock=ticking(), budget=1e6)
    assert found.costs == pytest.approx([4 + 5] * 5, abs=1e-4) and found.seconds == pytest.approx(45, abs=1e-3)
    assert (found.runs, found.ensembles, found.flops) == (PLAN.runs, 5, PLAN.flops)
    assert not list(tmp_path.iterdir())


def test_what_the_budget_does_not_allow_is_in_proportion_to_its_work(tmp_path: Path):
    found = estimate(PLAN, Store(tmp_path), clock=ticking(), budget=0.0)
    assert found.costs == pytest.approx([9 * width / 4 for width in (4, 5, 6, 7, 8)], abs=1e-4)


def test_networks_that_do_not_fit_at_once_take_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (training, estimating):
        monkeypatch.setattr(module, "fitting_replicas", lambda *_: 1)
    assert estimate(PLAN, Store(tmp_path), clock=ticking(), budget=1e6).costs == pytest.approx([4 * 9] * 5, abs=1e-3)


def test_what_is_stored_costs_nothing(tmp_path: Path):
    store = Store(tmp_path)
    execute(Plan(PLAN.ensembles[:2]), store)
    found = estimate(PLAN, store, clock=ticking())
    assert found.costs[:2] == (0.0, 0.0) and min(found.costs[2:]) > 0
    assert (found.runs, found.ensembles) == (12, 3)
    calls: list[tuple[float, float]] = []
    execute(PLAN, store, work=found.costs, progress=lambda label, done, total: calls.append((done, total)))
    assert calls[-1] == pytest.approx((sum(found.costs),) * 2)
    assert str(estimate(PLAN, store)) == "nothing is left to be trained"


def test_workers_share_the_time_but_not_an_ensemble(tmp_path: Path):
    threads = torch.get_num_threads()
    one, two, many = (estimate(PLAN, Store(tmp_path), clock=ticking(), budget=0.0, engine=Local(jobs)) for jobs in (1, 2, 99))
    assert one.seconds == pytest.approx(2 * two.seconds)
    assert many.seconds == pytest.approx(max(one.costs)) and torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.01, "1 s"), (42.4, "42 s"), (120.0, "2 min"), (5e3, "83 min"), (9e3, "2.5 h"), (5e4, "14 h"), (3e5, "3.5 days")],
)
def test_durations_in_words(seconds: float, words: str):
    assert in_words(seconds) == words
    assert str(Estimate(480, 12, 3.14e12, seconds, ())) == f"480 runs in 12 ensembles, 3.1e+12 FLOPs, about {words}"


def test_the_time_left_begins_with_the_estimate_and_follows_the_clock():
    found = Estimate(1, 1, 1.0, 100.0, (100.0,))
    assert found.left(1.0, 0.0) == 100 and found.left(0.5, 50.0) == pytest.approx(50) and found.left(0.0, 70.0) == 0
    assert found.left(0.5, 100.0) == pytest.approx(0.5 * 120 / 0.7)  # half of it took twice the time
