"""The expressions are the numbers of `steady_state`, and their leading orders are those that are known."""

import math

import pytest
import sympy
from widelimit.theory import steady_formulas as formulas
from widelimit.theory.steady_state import AdamW, Signal

OWN = AdamW(0.02, 0.7, 0.8, 0.99)
ETA, DECAY, BETA1, BETA2, RHO, START, T = formulas.symbols()
VALUES = {ETA: 0.02, DECAY: 0.7, BETA1: 0.8, BETA2: 0.99, RHO: 0.3, START: 0.5, T: 7}


def number(expression: sympy.Expr) -> float:
    return float(expression.subs(VALUES))


def test_expressions_are_the_numbers():
    assert number(formulas.variance()) == pytest.approx(OWN.variance_at_full_averaging)
    assert number(formulas.overlap()) == pytest.approx(OWN.overlap(1))
    assert number(formulas.relaxation()) == pytest.approx(OWN.relaxed(7, 0.5))
    assert number(formulas.equal_strength()) == pytest.approx(OWN.equal_strength)
    assert number(formulas.relative_update()) == pytest.approx(OWN.relative_update, rel=0.01)  # beta2 = 0.99
    bare = Signal(OWN, 0.3)
    assert number(formulas.mean_of_signal()) == pytest.approx(bare.mean, rel=0.01)
    assert number(formulas.noise_of_signal()) * OWN.variance / OWN.variance_at_full_averaging == pytest.approx(bare.variance)


def test_leading_orders():
    assert sympy.simplify(formulas.leading(formulas.variance()) - ETA / (2 * DECAY)) == 0
    expected = sympy.sqrt(2 * ETA * DECAY * (1 - BETA1) / (1 + BETA1))
    assert sympy.simplify(formulas.leading(formulas.relative_update()) ** 2 - expected**2) == 0
    assert sympy.simplify(sympy.limit(formulas.equal_strength() / sympy.sqrt(ETA * DECAY / 2), DECAY, 0)) == 1
    later = {**VALUES, T: 2000}
    assert float(formulas.relaxation().subs(later)) == pytest.approx(number(formulas.variance()))


def test_noise_of_a_signal_between_its_two_limits():
    """Long memories: s^4 (1 - rho^2 / 2) of what there is without; normalisers that are longer than the memory: s^2."""
    bare, rho = formulas.noise_of_signal() / formulas.variance(), 0.4
    exact = lambda text: sympy.Rational(text)  # noqa: E731
    long = {ETA: exact("1e-6"), DECAY: 1, BETA1: exact("0.9"), BETA2: exact("0.99"), RHO: exact("0.4")}
    short = {**long, ETA: exact("0.01"), BETA2: 1 - exact("1e-7")}
    assert float(bare.subs(long)) == pytest.approx((1 - rho**2) ** 2 * (1 - rho**2 / 2), rel=1e-3)
    assert float(bare.subs(short)) == pytest.approx(1 - rho**2, rel=1e-3)
    assert math.isclose(float(formulas.normaliser().subs({BETA1: 0.9, BETA2: 0.95})), 0.97813, rel_tol=1e-4)
