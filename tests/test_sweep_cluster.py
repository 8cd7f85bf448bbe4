"""A sweep on a Ray cluster of two nodes on this machine: the local frame, also when a worker is killed in the middle."""

import os
import threading
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from helpers import call
from sweeper import kill_a_worker, make_plan
from widelimit.paper_repro.cases import trained
from widelimit.synthetic import Local, Plan, Ray, Store, StoreError, execute

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two nodes with one core each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason="needs the extra `cluster`")
    cluster = import_module("ray.cluster_utils").Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(autouse=True)
def address(cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)


def test_a_killed_worker_is_replaced_and_every_ensemble_is_stored_once(tmp_path: Path):
    plan, store, calls = make_plan(5, steps=2000), Store(tmp_path / "ray"), []
    killed: dict[str, bool] = {}
    records: dict[str, set[int]] = {}

    def report(label: str, done: float, total: float) -> None:
        calls.append(done / total)
        for path in store.root.glob("runs/*.parquet"):
            records.setdefault(path.stem, set()).add(path.stat().st_mtime_ns)

    killer = threading.Thread(target=kill_a_worker, args=(store, killed), daemon=True)
    killer.start()
    frame = execute(plan, store, engine=Ray(), progress=report)
    killer.join()
    assert calls == sorted(calls) and calls[-1] == pytest.approx(1.0)
    assert list(killed.values()) == [False] and killed.keys() <= records.keys()
    assert len(records) == 5 and all(len(times) == 1 for times in records.values())
    assert {path.suffix for path in store.root.glob("runs/*")} == {".parquet"}
    pd.testing.assert_frame_equal(frame, execute(plan, Store(tmp_path / "local"), engine=Local()), check_exact=True)


def test_workers_have_one_thread_and_there_are_as_many_as_cores():
    assert Ray().workers() == 2 and Ray().threads == 1 and Ray(threads=2).workers() == 1


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file` cannot be used"):
        Ray().run(make_plan(1).ensembles, Store(tmp_path / "file"), device="cpu", report=lambda *_: None)


def test_an_interrupted_sweep_leaves_no_task_behind(tmp_path: Path):
    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    plan, store = make_plan(6, steps=500), Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(plan, store, engine=Ray(), progress=interrupt)
    assert 1 <= 6 - len(plan.missing(store).ensembles) < 6
    assert isinstance(execute(plan, store), pd.DataFrame) and plan.missing(store) == Plan(())


def test_a_case_on_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    tiny = trained.Settings((8, 12, 16, 24), (-8, -2), 1.0, 2, 8, 16, inputs=8)
    monkeypatch.setitem(trained.PRESETS, "ball", {"smoke": tiny})
    status, out, err = call(capsys, "transfer", "ball", "--preset", "smoke", "--engine", "ray")
    assert status in (0, 1) and "transfer: " in out and "of which 56 runs are new" in err
