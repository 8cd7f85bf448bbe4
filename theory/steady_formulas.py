"""The steady state of AdamW as SymPy expressions in ``eta, lambda, beta1, beta2, rho`` and the step ``t``, in PyTorch's convention.

An independent decay is ``lambda / eta`` in the place of ``lambda``. All are exact at beta2 -> 1, but for those whose docstring says more.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .normaliser import first_order
from .steady_state import Moments, shared, steady_moments


@cache
def symbols() -> Any:
    """``eta, lambda, beta1, beta2``, the strength of a signal ``rho``, the start's variance ``V0`` and the step ``t``."""
    import sympy

    return (*sympy.symbols("eta lambda beta1 beta2 rho V0", positive=True), sympy.Symbol("t", integer=True, nonnegative=True))


@cache
def _moments() -> Moments:
    """The fixed point with ``a = 1 - eta lambda`` put in."""
    import sympy

    eta, decay, *_ = symbols()
    rate, kept = sympy.symbols("rate kept", positive=True)
    return Moments(*(moment.subs({rate: eta, kept: 1 - eta * decay}) for moment in steady_moments()))


def variance() -> Any:
    """Of a weight."""
    return _moments().weight


def relative_update() -> Any:
    """RMS of a step over that of the weight."""
    import sympy

    return symbols()[0] * sympy.sqrt(_moments().momentum / _moments().weight)


def overlap() -> Any:
    """Cosine of the angle between the weights of two steps in a row."""
    eta, decay, beta1, *_ = symbols()
    return (1 - eta * decay) - eta * beta1 * _moments().cross / _moments().weight


def relaxation() -> Any:
    """Variance after t steps from V0, without momentum at first: ``a^(2t) V0 + eta^2 sum_(k < t) h_k^2``."""
    import sympy

    eta, decay, beta1, _, _, start, t = symbols()
    kept = 1 - eta * decay
    part = lambda ratio: ratio * (1 - ratio**t) / (1 - ratio)  # noqa: E731
    squares = part(kept**2) - 2 * part(kept * beta1) + part(beta1**2)
    return kept ** (2 * t) * start + eta**2 * ((1 - beta1) / (kept - beta1)) ** 2 * sympy.expand(squares)


def mean_of_signal() -> Any:
    """Of a weight whose gradients have the mean rho in units of their root mean square."""
    _, decay, _, _, rho, *_ = symbols()
    return -rho / decay


def noise_of_signal() -> Any:
    """Variance around that mean, for Gaussian noise, to leading order in ``1 - beta2``."""
    eta, decay, beta1, beta2, rho, *_ = symbols()
    kept = 1 - eta * decay
    own, mixed, slow = (shared(kept, *betas) for betas in ((beta1, beta1), (beta1, beta2), (beta2, beta2)))
    return eta**2 * (1 - rho**2) * (own - 2 * rho**2 * mixed + rho**4 * slow + rho**2 * (1 - rho**2) / 2 * slow)


def equal_strength() -> Any:
    """The strength rho at which mean and noise are as large, the noise taken in proportion to ``1 - rho^2``."""
    import sympy

    own = variance() * symbols()[1] ** 2
    return sympy.sqrt(own / (1 + own))


def normaliser() -> Any:
    """The factor on the variance at finite beta2, to first order in ``1 - beta2``, for Gaussian gradients."""
    import sympy

    return first_order().subs(sympy.Symbol("kurtosis", positive=True), 3)


def leading(expression: Any) -> Any:
    """To leading order in ``lambda``, at a fixed rate: what a short memory of the momentum leaves."""
    import sympy

    decay = symbols()[1]
    return sympy.simplify(sympy.powsimp(expression.as_leading_term(decay), force=True))
