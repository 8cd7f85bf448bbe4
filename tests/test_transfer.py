"""Gaps, rates and the meaning of fast."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from widelimit.theory.transfer import Gaps, TransferRates, fit_rates, local_slopes

SIZES = 2.0 ** np.arange(6, 14)


def gaps_of_a_curve(size: float, alpha: float, beta: float) -> Gaps:
    """A loss with known rates, minimised numerically: phi_n = cosh(nu - n^-beta) + n^-alpha, limit cosh(nu)."""
    finite = lambda nu: np.cosh(nu - size**-beta) + size**-alpha  # noqa: E731
    found = minimize_scalar(finite, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    return Gaps(abs(found.fun - 1), abs(found.x), float(np.cosh(found.x) - 1))


@pytest.mark.parametrize(("alpha", "beta", "fast"), [(1.0, 1.0, True), (1.0, 0.75, True), (1.0, 0.4, False), (0.5, 0.5, True)])
def test_the_rates_of_a_known_curve(alpha, beta, fast):
    rates = fit_rates(SIZES, [gaps_of_a_curve(n, alpha, beta) for n in SIZES])
    assert (rates.loss, rates.hyperparameter, rates.suboptimality) == pytest.approx((alpha, beta, 2 * beta), abs=0.01)
    assert rates.fast is fast
    assert rates.advantage == pytest.approx(beta - alpha / 2, abs=0.01)


def test_what_proposition_1_rules_out():
    assert not TransferRates(1.0, 1.0, 2.0).contradictions()
    assert not TransferRates(0.742, 0.388, 0.776).contradictions()
    (slow,) = TransferRates(1.0, 0.25, 0.5).contradictions()
    assert "0.25 < 0.5" in slow
    (bent,) = TransferRates(1.0, 1.0, 1.0).contradictions()
    assert "needs the rate 2, not 1" in bent


def test_local_slopes_are_those_of_a_power_law():
    assert local_slopes(SIZES, 3 * SIZES**-1.5) == pytest.approx(np.full(7, -1.5))
    assert local_slopes([1, 10], [1 + 1, 1 + 10])[0] == pytest.approx(np.log10(11 / 2))


@pytest.mark.parametrize(
    ("sizes", "values", "message"),
    [
        ([1, 2, 2], [1, 1, 1], "increase"),
        ([1, 2], [1, 0], "must be positive to have slopes"),
        ([1, 2], [1, np.nan], "must be positive to have slopes"),
        ([1], [1], "length of at least 2"),
        ([1, 2], [1, 2, 3], r"\(2,\) and \(3,\)"),
    ],
)
def test_wrong_sizes_are_named(sizes, values, message):
    with pytest.raises(ValueError, match=message):
        local_slopes(sizes, values)


def test_a_gap_is_a_distance():
    with pytest.raises(ValueError, match="`suboptimality` is -1e-09"):
        Gaps(1.0, 1.0, -1e-9)
    with pytest.raises(ValueError, match="must be positive to have slopes"):
        fit_rates([64, 128], [Gaps(1, 1, 1), Gaps(1, 0, 1)])


def test_errors_matter_less_exactly_where_transfer_is_fast():
    assert TransferRates(1.0, 1.0, 2.0).robustness() == -1.0
    assert TransferRates(1.0, 0.25, 0.5).robustness() == 0.5
    assert TransferRates(1.0, 0.5, 1.0).robustness() == 0.0
    assert TransferRates(1.0, 1.0, 2.0).robustness(curvature=1.5) == 0.5
