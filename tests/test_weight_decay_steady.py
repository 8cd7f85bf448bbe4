"""The figure of steady states: its smallest size, what its claims count, and that they can fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from widelimit.paper_repro.claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED
from widelimit.paper_repro.papers import PAPERS
from widelimit.paper_repro.weight_decay import steady
from widelimit.theory.steady_state import AdamW


def planted(off: float) -> pd.DataFrame:
    """Simulations that are all this much above their formulas."""
    points = [steady.Point("variance", "0.9, 0.95", x, 1 - x, (1 - x) * (1 + off), 0.0, 1.0) for x in (0.1, 0.2, 0.3)]
    return pd.DataFrame([*points, steady._curve("variance", "0.9, 0.95", 0.5, 0.5)], columns=steady.Point._fields)


@pytest.mark.parametrize(("off", "verdict"), [(0.0, REPRODUCED), (0.004, REPRODUCED), (0.2, NOT_REPRODUCED)])
def test_claims_are_judged_by_simulations_alone(off: float, verdict: str):
    claim = steady._claim(planted(off), *steady.CLAIMS[0])
    assert claim.measured == pytest.approx(off) and claim.verdict == verdict and claim.control_verdict == NOT_REPRODUCED
    assert bool(claim.failure) == (verdict == NOT_REPRODUCED)


def test_the_error_is_that_of_the_spread():
    """Over seeds the steady variance spreads as its standard error says, within the error of a spread of twelve."""
    size, own = replace(steady.PRESETS["smoke"], weights=2000, memories=3), AdamW(0.05, 1.0, 0.9, 0.95)
    found = np.array([steady._steady(own, size, seed=seed)[:2] for seed in range(12)])
    assert 0.5 < np.std(found[:, 0] / own.variance) / found[0, 1] < 2.0


@pytest.mark.slow
def test_the_smallest_size_runs_and_claims_nothing(tmp_path: Path):
    result = steady.reproduce("smoke", out=tmp_path, store_home=tmp_path / "store", progress=lambda line: None)
    assert [image.suffix for image in result.images] == [".png", ".svg"] and all(image.stat().st_size for image in result.images)
    assert {claim.verdict for claim in result.claims} == {NOT_TESTED} and len({claim.id for claim in result.claims}) == len(steady.CLAIMS)
    assert {claim.control_verdict for claim in result.claims} == {NOT_REPRODUCED}
    assert {claim.id.rpartition("-")[2] for claim in result.claims} <= set(result.tables["points"]["panel"])
    assert any(figure.load() is steady for figure in PAPERS["weight-decay"].figures)
