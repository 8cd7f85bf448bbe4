"""Rules read off losses over rates and decays, on losses whose optimum is known."""

from pathlib import Path

import numpy as np
import pytest
from widelimit.paper_repro.weight_decay import decay, rates
from widelimit.paper_repro.weight_decay.losses import Grid
from widelimit.paper_repro.weight_decay.surface import Scaled, Surface, Surfaces, summary

WIDTHS = (32, 64, 128)
GRID = (np.arange(-9.0, -3.0), np.arange(-4.0, 3.0))


def planted(rate_power: float, decay_power: float, *, noise: float = 0.0, shift: float = 0.0) -> Surfaces:
    """Parabolas whose best rate (in units of 1/n) and decay are powers of the width, with what all decays of a seed share."""
    found, rng = {}, np.random.default_rng(0)
    for n in WIDTHS:
        x = np.log2(n / WIDTHS[0])
        i, j = GRID[0] + 6.3 - rate_power * x, GRID[1] + 1.8 + shift - decay_power * x
        losses = 0.5 + 0.01 * i[:, None] ** 2 + 0.02 * j**2 + noise * rng.standard_normal((5, 1, 1))
        found[n] = Surface(*GRID, losses)
    return Surfaces(found)


@pytest.mark.parametrize("power", [0.0, 0.5, 0.9])
def test_the_power_of_the_best_decay(power: float):
    value, ends = summary(planted(0.1, power).power(planted(0.1, power).best_decays))
    assert value == pytest.approx(power, abs=0.04) and ends is not None and ends[0] <= value <= ends[1]


def test_drifts_are_in_the_units_of_the_rule():
    own = planted(0.25, 0.5)
    for rule, drift in ((Scaled(-1, 0.5), 0.25), (Scaled(-1, 1), 0.25), (Scaled(-0.75, 0.5), 0.0)):
        assert summary(own.power(own.best_rates(rule)))[0] == pytest.approx(drift, abs=0.04)


def test_what_the_largest_width_loses():
    own = planted(0.25, 0.5)
    assert summary(own.penalty(Scaled(-0.75, 0.5)))[0] == pytest.approx(0, abs=1e-4)
    assert summary(own.penalty(Scaled(-1, 1.0)))[0] == pytest.approx(0.01 * 0.5**2 + 0.02 * 1.0**2, rel=0.1)


def test_decays_can_be_tuned_at_one_rate():
    own = Surfaces(planted(0.25, 0.5).own, rate=-7.0)
    assert summary(own.power(own.best_decays))[0] == pytest.approx(0.5, abs=0.04)
    assert summary(own.penalty(Scaled(-1, 1.0)))[0] == pytest.approx(0.02, rel=0.1)  # against the best at that rate


def test_an_optimum_on_the_edge_is_no_result():
    own = planted(0.0, 0.5, shift=2.2)
    assert summary(own.power(own.best_decays)) == (None, None)
    assert summary(own.penalty(Scaled(-1, 0.5)))[0] is None
    assert summary(planted(0.0, 0.5).penalty(Scaled(2.0, 0.5)))[0] is None  # the rule leads off the grid


def test_runs_that_diverged_are_counted_and_never_best():
    losses = planted(0.0, 0.0).first.losses.copy()
    losses[0, -1, :] = np.inf
    own = Surface(*GRID, losses)
    assert own.diverged == GRID[1].size and summary(own.best[0])[0] == pytest.approx(-6.3, abs=0.125)


def test_stationarity_by_hand():
    grid = Grid(warmup=0, steps=10)
    assert grid.forgotten(10, 64)[1, 2] == pytest.approx(2 * grid.rates[1] * grid.decays[2] / 2 * (8 + 1.0 + 0.5))


@pytest.mark.parametrize("figure", [decay, pytest.param(rates, marks=pytest.mark.slow)])
def test_figures(figure, tmp_path: Path):
    result = figure.reproduce("smoke", out=tmp_path, store_home=tmp_path, progress=lambda text: None)
    assert all(path.stat().st_size > 20_000 for path in result.images)
    assert {claim.verdict for claim in result.claims} == {"not tested at this size"}
