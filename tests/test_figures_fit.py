"""Slopes and drifts: exact where there is no noise, honest where there is, silent where the optimum is not inside the grid."""

import math

import numpy as np
import pytest
from widelimit.figures.fit import best_rates, fit_drift, fit_slope

SIZES = np.array([64, 128, 256, 512])
RATES = 2.0 ** np.arange(-6, 3)


def bowls(centres, seeds=4, noise=0.0, rates=RATES, rng=None):
    """Parabolas in log2(rate), shape (seed, size, rate), whose centres jitter from seed to seed."""
    shift = noise * (rng or np.random.default_rng(0)).standard_normal((seeds, len(centres), 1))
    return 1 + 0.1 * (np.log2(rates) - np.asarray(centres)[:, None] - shift) ** 2


@pytest.mark.parametrize("exponent", [-1.5, -0.5, 0.0, 1.0])
def test_a_power_law_has_its_exponent(exponent):
    slope = fit_slope(SIZES, np.outer([1.0, 3.0], SIZES**exponent))
    assert slope.value == pytest.approx(exponent, abs=1e-12)
    assert (slope.se, slope.bend) == pytest.approx((0, 0), abs=1e-12)
    assert 2**slope.intercept == pytest.approx(math.sqrt(3.0))
    assert slope.seeds == 2


def test_the_standard_error_is_that_of_repeated_experiments():
    rng = np.random.default_rng(1)
    noisy = [fit_slope(SIZES, SIZES**-0.5 * np.exp(0.1 * rng.standard_normal((8, 4)))) for _ in range(300)]
    spread = np.std([s.value for s in noisy])
    assert np.mean([s.se for s in noisy]) == pytest.approx(spread, rel=0.15)
    covered = np.mean([s.low <= -0.5 <= s.high for s in noisy])
    assert 0.82 < covered < 0.99


def test_one_seed_takes_its_error_from_the_line():
    import scipy.stats

    y = SIZES**0.5 * np.array([1.0, 1.1, 0.95, 1.02])
    line = scipy.stats.linregress(np.log2(SIZES), np.log2(y))
    slope = fit_slope(SIZES, y)
    assert (slope.value, slope.se, slope.intercept) == pytest.approx((line.slope, line.stderr, line.intercept), rel=1e-10)
    assert math.isnan(fit_slope(SIZES[:2], y[:2]).se)


def test_a_bend_is_seen():
    assert fit_slope(SIZES, 1 + 0.001 * SIZES**1.5).bend > 0.1


@pytest.mark.parametrize(
    ("sizes", "values", "message"),
    [
        (SIZES, [1, 2, 0, 4], "positive"),
        (SIZES, [1, 2, math.inf, 4], "diverged"),
        (SIZES, [1, 2], "shape"),
        ([8, 8], [1, 2], "two different"),
    ],
)
def test_what_has_no_slope_is_refused(sizes, values, message):
    with pytest.raises(ValueError, match=message):
        fit_slope(sizes, values)


def test_the_vertex_of_a_parabola_is_exact_also_on_an_uneven_grid():
    uneven = 2.0 ** np.array([-6, -5.2, -3, -2.5, -1, 1.0])
    centres = np.array([-4.7, -2.6, -1.9])
    assert best_rates(uneven, bowls(centres, 1, rates=uneven)[0]) == pytest.approx(centres, abs=1e-12)


def test_edges_and_divergence():
    table = bowls([-5.8, -3.0, 2.4], 1)[0]
    table[1, 4:] = math.inf
    found = best_rates(RATES, table)
    assert math.isnan(found[0])
    assert found[1] == -3.0
    assert math.isnan(found[2])
    assert math.isnan(best_rates(RATES, np.full(9, math.inf)))
    with pytest.raises(ValueError, match="at least three increasing rates"):
        best_rates(RATES[::-1], table)


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.25])
def test_a_drift_is_found_with_its_interval(slope):
    centres = -2 + slope * np.log2(SIZES / 64)
    exact = fit_drift(SIZES, RATES, bowls(centres))
    assert (exact.value, exact.low, exact.high) == pytest.approx((slope, slope, slope), abs=1e-12)
    assert exact.optima == pytest.approx(centres)
    assert exact.found
    rng = np.random.default_rng(2)
    noisy = [fit_drift(SIZES, RATES, bowls(centres, seeds=12, noise=0.3, rng=rng)) for _ in range(60)]
    assert 0.8 < np.mean([drift.low < slope < drift.high for drift in noisy]) < 0.995
    assert np.mean([drift.value for drift in noisy]) == pytest.approx(slope, abs=0.02)


def test_an_optimum_on_the_edge_is_no_result():
    drift = fit_drift(SIZES, RATES, bowls([-2, -3, -5, -6.5]))
    assert not drift.found
    assert math.isnan(drift.value)
    assert "edge of the grid of rates at size 512" in drift.problem


def test_a_rate_at_which_one_seed_diverged_is_out():
    losses = bowls([-2, -2, -2, -2])
    losses[0, :, 5:] = math.inf
    drift = fit_drift(SIZES, RATES, losses)
    assert drift.optima == pytest.approx([-2] * 4)
    losses[0, :, 4:] = math.inf
    assert fit_drift(SIZES, RATES, losses).optima == pytest.approx([-3] * 4)


def test_drift_names_a_wrong_shape():
    with pytest.raises(ValueError, match=r"not \(4, 9\)"):
        fit_drift(SIZES, RATES, bowls([-2] * 4)[0])
