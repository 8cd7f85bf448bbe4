"""Hyperparameter transfer: the three gaps between a finite size and its limit, their rates, and what "fast" means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Gaps:
    """What separates size n from the limit, for a metric phi_n(nu) with the optimum nu*(n).

    ``loss`` is ``a_n = |phi*_n - phi*_inf|``, ``hyperparameter`` is ``b_n = |nu*(n) - nu*(inf)|``, ``suboptimality`` is
    ``c_n = phi_inf(nu*(n)) - phi*_inf``: what the limit loses with the optimum found at size n (Ghosh, Wu and Bietti,
    arXiv 2512.22768, section 2). ``loss`` and ``suboptimality`` are in units of the metric.
    """

    loss: float
    hyperparameter: float
    suboptimality: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise ValueError(f"the gap `{field.name}` is {value}; gaps are distances, 0 or positive")


@dataclass(frozen=True)
class TransferRates:
    """How fast the gaps close: ``a_n ~ n^-loss``, ``b_n ~ n^-hyperparameter``, ``c_n ~ n^-suboptimality``.

    In the paper's symbols alpha, beta and, for a curve that is smooth and locally strongly convex, 2 beta.
    """

    loss: float
    hyperparameter: float
    suboptimality: float

    @property
    def advantage(self) -> float:
        """``beta - alpha/2``: positive when tuning small and training large beats tuning large."""
        return self.hyperparameter - self.loss / 2

    @property
    def fast(self) -> bool:
        """Whether transfer is fast, ``c_n = o(a_n)``, that is ``beta > alpha/2`` (arXiv 2512.22768, Definition 2)."""
        return self.advantage > 0

    def robustness(self, curvature: float = 0.0) -> float:
        """``alpha - 2 beta + gamma``: the power with which the loss of a transferred hyperparameter grows against the loss gap.

        With a curvature at the optimum that grows as ``n^gamma``, the excess is ``n^(gamma - 2 beta)``. Negative: errors of the
        hyperparameter matter ever less. For gamma = 0 that is the same as fast transfer (the exponent of Kalra and Barkeshli,
        arXiv 2605.21486, as derived here; their text was not at hand).
        """
        return self.loss - 2 * self.hyperparameter + curvature

    def contradictions(self, tolerance: float = 0.1) -> tuple[str, ...]:
        """What in these rates Proposition 1 rules out under weak transfer: ``b_n = O(a_n^1/2)``, ``c_n = Theta(b_n^2)``.

        Args:
            tolerance: how far a measured exponent may be off.
        """
        found = []
        if self.advantage < -tolerance:
            found.append(f"b_n = O(a_n^1/2) needs beta >= alpha/2, but {self.hyperparameter:.3g} < {self.loss / 2:.3g}")
        if abs(self.suboptimality - 2 * self.hyperparameter) > 2 * tolerance:
            found.append(f"c_n = Theta(b_n^2) needs the rate {2 * self.hyperparameter:.3g}, not {self.suboptimality:.3g}")
        return tuple(found)


def local_slopes(sizes: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """Slopes ``d log value / d log size`` between neighbouring sizes.

    Args:
        sizes: increasing sizes, shape ``(size,)``.
        values: positive values at these sizes, shape ``(size,)``.

    Returns:
        One slope per interval, shape ``(size - 1,)``.

    Raises:
        ValueError: if there are fewer than two sizes, sizes do not increase, or a value is not positive.
    """
    n, y = np.asarray(sizes, float), np.asarray(values, float)
    if n.ndim != 1 or n.shape != y.shape or n.size < 2:
        raise ValueError(f"`sizes` and `values` need one dimension and the same length of at least 2, not {n.shape} and {y.shape}")
    if (n <= 0).any() or (np.diff(n) <= 0).any():
        raise ValueError(f"`sizes` must be positive and increase, not {n.tolist()}")
    if not (y > 0).all():
        raise ValueError(f"`values` must be positive to have slopes in a log-log plot, not {y.tolist()}")
    return np.diff(np.log(y)) / np.diff(np.log(n))


def fit_rates(sizes: ArrayLike, gaps: Sequence[Gaps]) -> TransferRates:
    """Rates of the three gaps by least squares of log(gap) on log(size).

    Raises:
        ValueError: as `local_slopes`.
    """
    rates = {}
    for field in fields(Gaps):
        values = [getattr(g, field.name) for g in gaps]
        local_slopes(sizes, values)
        rates[field.name] = -float(np.polyfit(np.log(np.asarray(sizes, float)), np.log(values), 1)[0])
    return TransferRates(**rates)
