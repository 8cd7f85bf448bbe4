"""Verdicts on planted curves: right away from the boundary, undecided on it; wells, edges and drifts are named."""

import numpy as np
import pytest
from widelimit.theory.curves import Curves, find_optima, fit_power_laws
from widelimit.theory.verdict import FAST, NONE, UNKNOWN, WEAK, judge

SIZES, POINTS = 2.0 ** np.arange(6, 12.5, 0.5), np.linspace(-3, 3, 25)


def planted(alpha: float, beta: float, seed: int, *, noise: float = 0.01, seeds: int = 10) -> Curves:
    """``(nu - 0.6 n^-beta)^2 / 2 + n^-alpha / 10`` (sizes over the smallest) with independent noise: gaps of known rates."""
    n = SIZES[:, None] / SIZES[0]
    clean = (POINTS - 0.6 * n**-beta) ** 2 / 2 + n**-alpha / 10
    return Curves(SIZES, POINTS, clean + noise * np.random.default_rng(seed).normal(size=(seeds, *clean.shape)))


@pytest.mark.parametrize(
    ("alpha", "beta", "kind"), [(1.0, 1.0, FAST), (1.0, 0.75, FAST), (0.5, 0.5, FAST), (1.0, 0.25, WEAK), (0.75, 0.15, WEAK)]
)
def test_verdicts_are_right_in_nine_of_ten_draws_away_from_the_boundary(alpha: float, beta: float, kind: str):
    found = [judge(planted(alpha, beta, seed), draws=100).kind for seed in range(40)]
    assert found.count(kind) >= 36, found


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.5), (0.5, 0.25)])
def test_the_boundary_is_undecided(alpha: float, beta: float):
    found = [judge(planted(alpha, beta, seed), draws=100).kind for seed in range(40)]
    assert found.count(UNKNOWN) >= 36, found


def test_intervals_hold_the_planted_exponents():
    inside = np.zeros(2)
    for seed in range(40):
        found = judge(planted(1.0, 0.5, seed), draws=100)
        inside += [found.loss[0] <= 1.0 <= found.loss[1], found.hyperparameter[0] <= 0.5 <= found.hyperparameter[1]]
    assert (inside >= 34).all(), inside


def test_an_optimum_that_keeps_moving_is_no_transfer():
    n = SIZES[:, None]
    clean = (POINTS - 2 + 0.5 * np.log2(n / 64)) ** 2 / 2 + 4 / n
    noise = 0.01 * np.random.default_rng(0).normal(size=(10, *clean.shape))
    found = judge(Curves(SIZES, POINTS, clean + noise))
    assert found.kind == NONE and "keeps moving" in found.reason
    assert found.costs[0] > found.costs[-2] > found.costs[-1] == 0


def test_a_jump_between_wells_is_named():
    n = SIZES[:, None]
    clean = np.minimum((POINTS - 1.5) ** 2 + 20 / n, (POINTS + 1.5) ** 2 + 0.02 + 4 / n)
    clean = np.where(n < 1000, clean - 0.3 * np.exp(-((POINTS - 1.5) ** 2)), clean - 0.3 * np.exp(-((POINTS + 1.5) ** 2)))
    noise = 0.01 * np.random.default_rng(0).normal(size=(4, *clean.shape))
    found = judge(Curves(SIZES, POINTS, clean + noise))
    assert found.kind == NONE and "two wells" in found.reason and "724.077 and 1024" in found.reason


def test_an_optimum_on_the_edge_is_no_result():
    shifted = Curves(SIZES, POINTS + 10, (POINTS - 4) ** 2 + np.zeros((3, SIZES.size, 1)))
    found = judge(shifted)
    assert found.kind == UNKNOWN and "edge of the grid" in found.reason and found.rates is None


def test_diverged_points_are_left_out():
    curve = (POINTS - 0.3) ** 2
    curve[POINTS > 0.8] = np.inf
    assert find_optima(POINTS, curve).place == pytest.approx(0.3, abs=1e-6)
    assert find_optima(POINTS, np.where(POINTS < 0.3, curve, np.inf)).place == 0.25  # the last that converges
    assert np.isnan(find_optima(POINTS, POINTS).place)


def test_a_steep_curve_is_fitted_by_its_logarithm():
    points = np.arange(-4.0, 5.0)
    curve = np.exp(0.9 * (points - 0.2) ** 2 - 6)
    found = find_optima(points, curve, steep=True)
    assert (found.place, found.value) == (pytest.approx(0.2), pytest.approx(np.exp(-6)))
    assert find_optima(points, curve).value < 0  # a cubic through values that differ by orders of magnitude
    with pytest.raises(ValueError, match="`steep` curves"):
        Curves(SIZES[:4], points, np.zeros((2, 4, 9)), steep=True)


def test_a_power_law_without_noise_is_found_exactly():
    law = fit_power_laws(SIZES, 3 - 2 * SIZES**-0.63, np.ones(SIZES.size))
    assert law.exponent[0] == pytest.approx(0.63, abs=1e-3)
    assert law.limit[0] == pytest.approx(3, abs=1e-3) and law.amplitude[0] == pytest.approx(-2, abs=0.01)


@pytest.mark.parametrize(
    ("sizes", "losses", "message"),
    [([64, 32, 128, 256], np.ones((2, 4, 25)), "`sizes` must increase"), (SIZES[:4], np.ones((2, 3, 25)), r"needs \(seed, 4, 25\)"),
     (SIZES[:3], np.ones((2, 3, 25)), "at least 4 sizes")],
)  # fmt: skip
def test_wrong_curves_are_named(sizes, losses, message):
    with pytest.raises(ValueError, match=message):
        judge(Curves(sizes, POINTS, losses))


def test_one_seed_has_no_verdict():
    with pytest.raises(ValueError, match="at least two seeds"):
        judge(Curves(SIZES, POINTS, np.ones((1, SIZES.size, POINTS.size))))
