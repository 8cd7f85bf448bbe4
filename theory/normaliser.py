"""What Adam's fluctuating normaliser changes: the steady variance at finite beta2, exact for Gaussian gradients.

A gradient enters the weight as ``g sum_j w_j v_j^(-1/2)``, where ``v_j`` is the mean square j steps later. Different gradients do not
correlate, as ``v`` does not see their signs, so that the variance at b2 -> 1 is multiplied by

    L = sum_jj' w_j w_j' a^|j - j'| F_jj' / sum_jj' w_j w_j' a^|j - j'|,   F_jj' = E[g_0^2 v_j^(-1/2) v_j'^(-1/2)],   w_j = (1 - b1) b1^j.

With ``v^(-1/2) = pi^(-1/2) int s^(-1/2) exp(-s v) ds`` the mean is a product over all gradients, for Gaussian ones of
``(1 + 2 c)^(-1/2)``, and F a double integral of a smooth function.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Function = Callable[[np.ndarray], np.ndarray]

TINY = 1e-13


@cache
def first_order() -> Any:
    """L to first order in ``1 - b2`` and at a -> 1, in the symbols ``beta1``, ``beta2`` and ``kurtosis`` (3 for Gaussian gradients).

    With ``v = 1 + d``: ``v^(-1/2) v'^(-1/2) = 1 - (d + d') / 2 + 3 (d^2 + d'^2) / 8 + d d' / 4``, where ``E[g_0^2 d_j] = (kurtosis - 1)
    (1 - b2) b2^j`` and ``E[d_j d_j'] = (kurtosis - 1) (1 - b2) / (1 + b2) b2^|j - j'|``.
    """
    import sympy

    b1, b2, kurtosis = sympy.symbols("beta1 beta2 kurtosis", positive=True)
    j = sympy.Symbol("j", integer=True, nonnegative=True)

    def series(ratio: Any) -> Any:
        """``sum_j ratio^j``, which converges."""
        found: Any = sympy.summation(ratio**j, (j, 0, sympy.oo))
        return found.args[0][0]

    seen = (1 - b1) * series(b1 * b2)  # sum_j w_j b2^j
    both = (1 - b1) ** 2 * series(b1**2) * (2 * series(b1 * b2) - 1)  # sum_jj' w_j w_j' b2^|j - j'|
    spread = (1 - b2) / (1 + b2)
    excess = -(1 - b2) * seen + sympy.Rational(3, 4) * spread + spread * both / 4
    return 1 + (kurtosis - 1) * excess


def correction_to_first_order(beta1: float, beta2: float, *, kurtosis: float = 3.0) -> float:
    """The number that `first_order` is."""
    import sympy

    values = {"beta1": beta1, "beta2": beta2, "kurtosis": kurtosis}
    expression = first_order()
    return float(expression.subs({s: values[s.name] for s in expression.free_symbols}).evalf()) if expression != sympy.S.One else 1.0


def correction(beta1: float, beta2: float, *, kept: float = 1.0) -> float:
    """L for Gaussian gradients, exact; ``kept`` is what decay leaves in a step, a.

    Raises:
        ValueError: if a beta is out of range; below beta2 = 1/2 the integrals are too wide.
    """
    means = _means(beta1, beta2)
    weights = [(1 + (lag > 0)) * (beta1 * kept) ** lag for lag in range(len(means))]
    return math.fsum(weight * mean for weight, mean in zip(weights, means, strict=True)) / math.fsum(weights)


@cache
def mean_square_update(beta1: float, beta2: float) -> float:
    """``E[u^2]`` of an update ``u = m / sqrt(v)`` under Gaussian noise: ``(1 - b1) / (1 + b1)`` at b2 -> 1."""
    return (1 - beta1) / (1 + beta1) * _means(beta1, beta2)[0]


@cache
def _means(beta1: float, beta2: float) -> tuple[float, ...]:
    """Averages of F by lag, as far as lags count."""
    found = _Quadrature(beta1, beta2)
    count = max(1, math.ceil(math.log(TINY) / math.log(beta1))) if beta1 else 1
    return tuple(found.mean(lag) for lag in range(count))


class _Quadrature:
    """``sum_j b1^(2j) F_(j, j + lag)`` over ``sum_j b1^(2j)``, by the trapezoidal rule in the roots of s and s'."""

    def __init__(self, beta1: float, beta2: float):
        import numpy as np

        if not (0 <= beta1 < 1 and 0.5 <= beta2 < 1):
            raise ValueError(f"`beta1` is {beta1} and `beta2` {beta2}; the first lies in [0, 1), the second in [1/2, 1)")
        self.beta2, spread = beta2, 1 - beta2
        end = 4.0  # integrands fall as p does, and are analytic up to i / sqrt(2 (1 - b2))
        while _log_product(np.array([end**2]), beta2)[0] > math.log(TINY):
            end *= 1.1
        step = min(0.3, 0.25 / math.sqrt(2 * spread))
        roots = np.arange(0, end, step)
        own = np.where(roots == 0, step, 2 * step)
        self.first, self.second = np.meshgrid(roots**2, roots**2, indexing="ij")
        self.weights = np.outer(own, own) / math.pi
        grid = np.concatenate([[0.0], np.geomspace(1e-6, 2 * end**2, 600)])
        self.log_product = _interpolated(grid, _log_product(grid, beta2))
        count = max(1, math.ceil(math.log(TINY) / (2 * math.log(beta1)))) if beta1 else 1
        powers, decays = beta1 ** (2 * np.arange(count)), beta2 ** np.arange(count)
        seen = (1 / (1 + 2 * spread * np.multiply.outer(grid, decays))) @ (powers / powers.sum())
        self.seen = _interpolated(grid, seen)

    def mean(self, lag: int) -> float:
        """The average of F for normalisers so many steps apart."""
        import numpy as np

        late = self.second * self.beta2**lag
        log = self.log_product(self.first + late) + self.log_product(self.second) - self.log_product(late)
        return float(np.sum(self.weights * np.exp(log) * self.seen(self.first + late)))


def _interpolated(grid: np.ndarray, values: np.ndarray) -> Function:
    from scipy.interpolate import CubicSpline

    return CubicSpline(grid, values)


def _log_product(values: np.ndarray, beta2: float) -> np.ndarray:
    """``log prod_i (1 + 2 (1 - b2) b2^i y)^(-1/2)``; far terms are summed as the geometric series that they are."""
    import numpy as np

    largest = 2 * (1 - beta2) * max(float(np.max(values)), 1e-3)
    count = max(1, math.ceil(math.log(1e-4 / largest) / math.log(beta2)))
    terms = 2 * (1 - beta2) * np.multiply.outer(values, beta2 ** np.arange(count))
    rest = 2 * (1 - beta2) * values * beta2**count
    far = rest / (1 - beta2) - rest**2 / (2 * (1 - beta2**2)) + rest**3 / (3 * (1 - beta2**3))
    return -(np.log1p(terms).sum(-1) + far) / 2
