"""Figures of fast transfer in their smallest size, and their statistics on made-up parts with known answers."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from widelimit.paper_repro.claims import NOT_TESTED
from widelimit.paper_repro.fast_transfer.parts import Parts, in_octaves
from widelimit.paper_repro.fast_transfer.samples import overlap
from widelimit.paper_repro.fast_transfer.study import Study
from widelimit.paper_repro.papers import PAPERS

WIDTHS, POINTS = np.array([32.0, 64.0, 128.0]), np.linspace(-4, 4, 9)


def planted(shift: float = 0.0, seeds: int = 3) -> Parts:
    """Curves whose optimum moves by ``shift`` per doubling; eight equal components at all widths, and a tail that grows."""
    noise = 1e-3 * np.random.default_rng(0).standard_normal((seeds, 3, 1))
    moved = shift * np.arange(3)[:, None]
    losses = 2 + 0.05 * (POINTS - moved) ** 2 - 0.1 * np.arange(3)[:, None] + noise
    losses = losses + np.zeros((seeds, 3, POINTS.size))
    tops = []
    for i, width in enumerate(WIDTHS.astype(int)):
        whole = losses[:, i] - 3
        head = np.minimum(np.arange(1, width + 1), 8) / 8
        tail = np.maximum(np.arange(1, width + 1) - 8, 0) / (width - 8)
        first = losses[:, 0, :, None] - 2.9
        tops.append(first * head + (whole[..., None] - first) * tail)
    return Parts(WIDTHS, POINTS, losses, losses - 0.01, tuple(tops))


@pytest.mark.parametrize("shift", [0.0, 0.5, -0.25])
def test_the_drift_of_planted_curves_is_found(shift: float):
    value, interval = planted(shift).estimate(Parts.drift)
    assert value == pytest.approx(shift, abs=0.03) and interval is not None and interval[0] <= value <= interval[1]


def test_an_optimum_on_the_edge_is_no_result():
    assert planted(4.0).estimate(Parts.drift) == (None, None)


def test_shares_of_planted_components():
    parts = planted()
    assert parts.share(8) == pytest.approx(0, abs=0.05) and parts.share(1) == pytest.approx(0, abs=0.05)
    front = replace(parts, tops=tuple(top[..., -1:] * np.minimum(np.arange(1, 33), 8) / 8 for top in parts.tops))
    assert front.share(8) == pytest.approx(1) and front.share(4) == pytest.approx(0.5)


def test_the_error_of_the_linear_part_is_relative():
    parts = planted()
    gained = [np.abs(top[:, : parts.chosen + 1, -1]).min() for top in parts.tops]
    assert parts.error() == pytest.approx(0.01 / min(gained))


def test_a_window_is_in_octaves():
    np.testing.assert_allclose(in_octaves(np.array([0.5, 0.75]), "hp.beta1"), [1, 2])
    np.testing.assert_allclose(in_octaves(np.array([0.5, 2.0]), "hp.learning_rate"), [-1, 1])


def test_overlaps_are_those_of_the_sets():
    rows = {(32.0, 0): np.arange(40.0), (32.0, 1): np.arange(40.0), (64.0, 0): np.arange(40.0)[::-1], (64.0, 1): np.arange(40.0)[::-1]}
    centres = pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(list(rows), names=["size.n", "seed"]))
    table = overlap(centres).set_index(["which", "width", "other width"])["overlap"]
    assert table["hardest", 32, 32] == 1 and table["hardest", 32, 64] == 0 and table["easiest", 64, 64] == 1


def test_ranks_are_bounded_or_grow():
    study = Study("dion bounded", "digits", (-4, -2), (16, 64))
    assert [t.ensemble.rank for t in study.trajectories()] == [4, 8]
    assert [t.ensemble.rank for t in replace(study, optimizer="dion proportional").trajectories()] == [4, 16]
    auxiliary = study.trajectories()[0].ensemble.auxiliary
    assert auxiliary is not None and auxiliary.weights == ("W1", "W3")


FIGURES = [figure.name for figure in PAPERS["fast-transfer"].figures]
QUICK = ("decomposition",)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FIGURES])
def test_the_smallest_size_runs_and_claims_nothing_wrong(name: str, tmp_path: Path):
    module = import_module(f"widelimit.paper_repro.{next(f for f in PAPERS['fast-transfer'].figures if f.name == name).module}")
    result = module.reproduce("smoke", out=tmp_path, store_home=tmp_path / "store", progress=lambda line: None)
    assert [image.suffix for image in result.images] == [".png", ".svg"] and all(image.stat().st_size for image in result.images)
    assert result.claims and not [claim.failure for claim in result.claims if claim.failure]
    if name == "decomposition":
        assert {claim.verdict for claim in result.claims} == {NOT_TESTED}
