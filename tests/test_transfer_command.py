"""``widelimit transfer``: every exact case in its smallest size, text and JSON, and what it refuses."""

import json

import pandas as pd
import pytest
from helpers import call
from widelimit.paper_repro.cases import trained
from widelimit.paper_repro.cases.catalogue import CASES, find_case
from widelimit.paper_repro.sweeping import teller
from widelimit.synthetic import Estimate, Store
from widelimit.theory.verdict import VERDICTS

EXACT = [case.name for case in CASES.values() if case.module == "exact"]


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_case_has_the_verdict_of_its_theory(name: str, capsys: pytest.CaptureFixture[str]):
    status, out, _ = call(capsys, "transfer", name, "--preset", "smoke", "--format", "json")
    found = json.loads(out)
    assert status == 0 and found["case"] == name and found["schema"] == 1
    assert found["kind"] in (found["expected"], "cannot tell")
    if found["predicted"]:
        for rate in ("loss", "hyperparameter"):
            low, high = found[rate]
            assert low - 0.3 <= found["predicted"][rate] <= high + 0.3


def test_the_text_shows_gaps_rates_theory_and_verdict(capsys: pytest.CaptureFixture[str]):
    status, out, err = call(capsys, "transfer", "ridge", "--preset", "smoke")
    assert status == 0 and "ridge: n=1024" in err
    assert "loss gap a ~ n^-1.00" in out and "theory: fast" in out and out.strip().splitlines()[-1].startswith("transfer: fast")


def test_every_case_has_all_presets():
    for case in CASES.values():
        assert {"smoke", "laptop", "gpu"} <= set(case.load().PRESETS[case.name]), case.name


@pytest.mark.parametrize("name", ["ball", "k-index-cured", "digits-sp"])
def test_a_trained_case_is_kept_and_judged(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    tiny = trained.Settings((8, 12, 16, 24), (-8, -2), 1.0, 2, 8, 16, inputs=8)
    monkeypatch.setitem(trained.PRESETS, name, {"smoke": tiny})
    status, out, err = call(capsys, "transfer", name, "--preset", "smoke", "--format", "json")
    found = json.loads(out)
    assert status in (0, 1) and [row["size"] for row in found["rows"]] == [8, 12, 16, 24]
    assert found["kind"] in VERDICTS and "of which 56 runs are new" in err
    again = call(capsys, "transfer", name, "--preset", "smoke", "--format", "json")
    assert again[1] == out and "of which 0 runs are new" in again[2]


def test_an_estimate_trains_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path):
    tiny = trained.Settings((8, 12), (-4, -2), 1.0, 2, 8, 16, inputs=8)
    monkeypatch.setitem(trained.PRESETS, "ball", {"smoke": tiny})
    monkeypatch.setenv("WIDELIMIT_HOME", str(tmp_path / "home"))
    status, out, _ = call(capsys, "transfer", "ball", "--preset", "smoke", "--estimate")
    assert status == 0 and "to do: 12 runs in 2 ensembles" in out and out.count(" s  ball mup n=") == 2 and not (tmp_path / "home").exists()
    found = json.loads(call(capsys, "transfer", "ball", "--preset", "smoke", "--estimate", "--format", "json")[1])
    assert (found["case"], found["runs"], found["ensembles"]) == ("ball", 12, 2) and found["seconds"] > 0
    Store(tmp_path / "home").save(trained.plan_sweep("ball", "smoke")[0].ensembles[0].key_data(), pd.DataFrame())
    out = call(capsys, "transfer", "ball", "--preset", "smoke", "--estimate")[1]
    assert "to do: 6 runs in 1 ensembles" in out and "stored  ball mup n=8" in out


def test_an_estimate_of_an_exact_case_says_that_nothing_is_trained(capsys: pytest.CaptureFixture[str]):
    assert call(capsys, "transfer", "ridge", "--estimate")[:2] == (0, "ridge (laptop) is solved exactly: nothing is trained\n")
    assert json.loads(call(capsys, "transfer", "ridge", "--estimate", "--format", "json")[1])["runs"] == 0


def test_the_lines_of_a_sweep_tell_the_time_left():
    lines, now = [], iter([0.0, 0.0, 1.0, 20.0, 20.0, 100.0])
    tell = teller(Estimate(2, 2, 1e9, 100.0, (20.0, 80.0)), lines.append, clock=lambda: next(now))
    for label, done in [("a", 0.0), ("a", 1.0), ("a", 20.0), ("b", 20.0), ("c", 100.0)]:
        tell(label, done, 100.0)
    assert lines == [
        "  0%  a, about 2 min left",
        " 20%  a, about 80 s left",
        " 20%  b, about 80 s left",
        "100%  c",
    ]


@pytest.mark.parametrize("command", [("transfer", "digits"), ("transfer", "ridge"), ("reproduce", "core/transfer")])
def test_an_engine_that_cannot_be_had_is_refused(command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert "`slurm`; choose from local, ray" in call(capsys, *command, "--engine", "slurm")[2]
    monkeypatch.setattr("widelimit.synthetic.engines.cluster.find_spec", lambda _: None)
    status, _, err = call(capsys, *command, "--engine", "ray")
    assert (status, err) == (2, "widelimit: the engine `ray` needs the extra `cluster`: pip install 'widelimit[cluster]'\n")


def test_a_store_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path):
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("WIDELIMIT_HOME", str(tmp_path / "home"))
    status, _, err = call(capsys, "transfer", "digits", "--preset", "smoke")
    assert status == 2 and err.count("\n") == 1 and "home` cannot be used" in err


def test_the_second_layer_of_the_cure_is_fifty_times_slower():
    plans = [trained.PLANS[name](trained.PRESETS[name]["smoke"]) for name in ("k-index", "k-index-cured")]
    rates = [[w.learning_rate for w in plan.ensembles[0].constants.weights.values()] for plan in plans]
    assert rates == [[1, 1, 1, 1], [1, 1, 1 / 50, 1]]


def test_wrong_names_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match="`rigde`; choose from ridge"):
        find_case("rigde")
    status, _, err = call(capsys, "transfer", "ridge", "--preset", "huge")
    assert status == 2 and "`huge`" in err
