"""``widelimit transfer``: every exact case in its smallest size, text and JSON, and what it refuses."""

import json

import pytest
from helpers import call
from widelimit.paper_repro.cases import trained
from widelimit.paper_repro.cases.catalogue import CASES, find_case
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


def test_the_second_layer_of_the_cure_is_fifty_times_slower():
    plans = [trained.PLANS[name](trained.PRESETS[name]["smoke"]) for name in ("k-index", "k-index-cured")]
    rates = [[w.learning_rate for w in plan.ensembles[0].constants.weights.values()] for plan in plans]
    assert rates == [[1, 1, 1, 1], [1, 1, 1 / 50, 1]]


def test_wrong_names_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match="`rigde`; choose from ridge"):
        find_case("rigde")
    status, _, err = call(capsys, "transfer", "ridge", "--preset", "huge")
    assert status == 2 and "`huge`" in err
