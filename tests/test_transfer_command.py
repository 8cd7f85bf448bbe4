"""``widelimit transfer``: every exact case in its smallest size, text and JSON, and what it refuses."""

import json

import pytest
from helpers import call
from widelimit.paper_repro.cases.catalogue import CASES, find_case

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


def test_wrong_names_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match="`rigde`; choose from ridge"):
        find_case("rigde")
    status, _, err = call(capsys, "transfer", "ridge", "--preset", "huge")
    assert status == 2 and "`huge`" in err
