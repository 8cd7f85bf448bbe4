"""Sweeps: planned, executed once, resumed."""

from pathlib import Path

import pandas as pd
import pytest
import widelimit.synthetic.training as module
from widelimit.synthetic import Ensemble, Plan, Store, execute, teacher
from widelimit.synthetic.cost import activations, macs, parameters
from widelimit.synthetic.locks import Lock
from widelimit.synthetic.store import make_key
from widelimit.synthetic.training import train
from widelimit.theory.scales import Powers
from widelimit.theory.table import ExponentTable, Row, Shape
from widelimit.theory.zoo import gpt, mlp, resmlp

STANDARD = ExponentTable("mlp", "sgd", (Row("W1", Shape()), Row("W2", Shape())))
TABLES = {"sp": STANDARD, "other": STANDARD.changed("W1", learning_rate=Powers(n=1))}
PLAN = Plan.grid(
    TABLES,
    [{"n": 4}, {"n": 8}],
    architecture=mlp(hidden=1, inputs=3, outputs=1),
    task=teacher(inputs=3, outputs=1, samples=20),
    learning_rates=(0.1, 0.2),
    seeds=(0, 1),
    steps=3,
    batch=4,
    case="teacher",
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Ensemble]:
    """The ensembles that are really trained, in order."""
    found: list[Ensemble] = []

    def counting(ensemble: Ensemble, **settings) -> pd.DataFrame:
        found.append(ensemble)
        if len(found) == 3 and counting.interrupt:
            counting.interrupt = False
            raise KeyboardInterrupt
        return train(ensemble, **settings)

    counting.interrupt = False
    monkeypatch.setattr(module, "train", counting)
    return found


def test_a_plan_counts_runs_and_work():
    assert PLAN.runs == 16
    # forward multiplications n (3 + 1); 3 steps of 4 samples at 6 each, 4 validations of 10 samples at 2
    assert PLAN.flops == pytest.approx(2 * 4 * (4 + 8) * 4 * (6 * 12 + 2 * 4 * 10))
    assert str(PLAN) == "16 runs in 4 ensembles, 5.8e+04 FLOPs"


def test_every_ensemble_is_trained_once(store: Store, trained: list[Ensemble]):
    first, second = execute(PLAN, store), execute(PLAN, store)
    assert [e.label for e in trained] == [f"teacher {c} n={n}" for n in (4, 8) for c in TABLES]
    pd.testing.assert_frame_equal(first, second)
    assert len(first.groupby(["config", "size.n", "hp.learning_rate", "seed"])) == PLAN.runs


def test_an_interrupted_sweep_goes_on_where_it_stopped(store: Store, trained: list[Ensemble]):
    module.train.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        execute(PLAN, store)
    assert len(trained) == 3 and PLAN.missing(store).ensembles == PLAN.ensembles[2:]
    frame = execute(PLAN, store)
    assert trained[3:] == list(PLAN.ensembles[2:]) and not PLAN.missing(store).ensembles
    pd.testing.assert_frame_equal(frame, execute(PLAN, store))


def test_a_corrupt_record_is_trained_again(store: Store, trained: list[Ensemble]):
    frame = execute(PLAN, store)
    next((store.root / "runs").iterdir()).write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="corrupt"):
        again = execute(PLAN, store)
    assert len(trained) == 5
    pd.testing.assert_frame_equal(frame, again)


def test_labels_are_those_of_the_plan_that_asks(store: Store, trained: list[Ensemble]):
    execute(Plan(PLAN.ensembles[:1]), store)
    renamed = Plan.grid({"renamed": STANDARD}, [{"n": 4}], **_settings(PLAN.ensembles[0]))
    assert set(execute(renamed, store).config) == {"renamed"} and len(trained) == 1


def _settings(ensemble: Ensemble) -> dict:
    names = ("architecture", "task", "learning_rates", "seeds", "steps", "batch")
    return {name: getattr(ensemble, name) for name in names}


def test_progress_counts_the_work_of_the_whole_sweep(store: Store):
    for _ in range(2):  # the second time everything is stored
        calls: list[float] = []
        execute(PLAN, store, progress=lambda label, done, total, calls=calls: calls.append(done / total))
        assert calls == sorted(calls) and calls[-1] == pytest.approx(1.0)


def test_what_another_process_trains_is_left_to_the_end(store: Store, monkeypatch: pytest.MonkeyPatch):
    path, trained, said = store.path(make_key(PLAN.ensembles[0].key_data())), [], []
    path.parent.mkdir(parents=True)
    others = Lock(path.with_suffix(".lock"))
    others.acquire()

    def release_at_the_end(ensemble: Ensemble, **settings) -> pd.DataFrame:
        trained.append(ensemble)
        if len(trained) == 3:
            others.release()
        return train(ensemble, **settings)

    monkeypatch.setattr(module, "train", release_at_the_end)
    execute(PLAN, store, progress=lambda label, done, total: said.append(label))
    assert trained == [*PLAN.ensembles[1:], PLAN.ensembles[0]]
    assert f"waiting for another process: {PLAN.ensembles[0].label}" in said


def test_an_empty_plan_is_an_empty_frame(store: Store):
    assert execute(Plan(()), store).empty


def test_costs_count_layers_positions_and_no_lookups():
    assert macs(resmlp(), {"n": 8, "L": 3}) == 64 * 8 + 3 * 2 * 64 + 8 * 10
    assert parameters(resmlp(), {"n": 8, "L": 3}) == macs(resmlp(), {"n": 8, "L": 3})
    time, n, vocab = 5, 8, 11
    attention = 4 * time * n * n + 2 * time * time * n
    assert macs(gpt(vocab=vocab, positions=time), {"n": n, "heads": 2}) == attention + 2 * time * 4 * n * n + time * n * vocab
    assert activations(mlp(), {"n": 8}) == 64 + 4 * 8 + 10
