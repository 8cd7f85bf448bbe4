"""Gradient descent on independent modes: losses, best learning rates and gaps in closed form.

A model that is linear in what it trains has the residual ``(I - eta M)^T r`` after T steps of full-batch gradient descent, so with
eigenvalues mu_j of M and the squared parts w_j of r along its eigenvectors

    phi_T(eta) = 1/2 sum_j w_j (1 - eta mu_j)^(2T),

convex in eta. Shallow linear networks (Sakai and Imaizumi 2026, equation of phi_n,T) and sketched regression (Wen et al. 2026) are of
this form; a mode with ``mu_j = 0`` is what cannot be learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .transfer import Gaps

Array = NDArray[np.float64]
ACTIVE = 1e-12  # of the largest: a mode that is slower never moves


@dataclass(frozen=True, eq=False)
class Modes:
    """Independent modes of gradient descent.

    Args:
        rates: eigenvalues mu_j >= 0, shape ``(mode,)``.
        weights: squared residuals w_j >= 0 at the start, shape ``(mode,)``.
    """

    rates: Array
    weights: Array

    def __post_init__(self) -> None:
        for name in ("rates", "weights"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), float))
        if self.rates.shape != self.weights.shape or self.rates.ndim != 1 or (self.weights < 0).any() or (self.rates < 0).any():
            raise ValueError("modes need one rate and one weight each, none of them negative")
        if not (self.rates * self.weights > 0).any():
            raise ValueError("no mode has both a rate and a weight: nothing is learned")

    @classmethod
    def of(cls, matrix: ArrayLike, residual: ArrayLike) -> Modes:
        """The modes of a symmetric positive matrix for a residual at the start, ``1/2 |(I - eta matrix)^T residual|^2``."""
        rates, vectors = np.linalg.eigh(np.asarray(matrix, float))
        return cls(np.maximum(rates, 0.0), (vectors.T @ np.asarray(residual, float)) ** 2)

    def loss(self, learning_rate: ArrayLike, steps: int) -> Array:
        """``phi_T(eta)``, of the shape of the learning rates."""
        eta = np.asarray(learning_rate, float)[..., None]
        return 0.5 * (self.weights * (1 - eta * self.rates) ** (2 * steps)).sum(axis=-1)

    @property
    def active(self) -> Array:
        """Rates of the modes that are learned, falling."""
        chosen = (self.rates > ACTIVE * self.rates.max()) & (self.weights > ACTIVE * self.weights.max())
        return np.sort(self.rates[chosen])[::-1]

    def best_rate(self, steps: int) -> float:
        """The learning rate of least loss: the root of the derivative, which increases."""
        from scipy.optimize import brentq

        rates, pull = self.rates, self.weights * self.rates
        ends = 1 / self.active[[0, -1]]

        def slope(eta: float) -> float:
            factors = 1 - eta * rates
            size = np.abs(factors).max()
            return float((pull * (factors / size) ** (2 * steps - 1)).sum())  # scaled: only its sign counts

        if ends[0] == ends[1]:
            return float(ends[0])
        return float(np.real(brentq(slope, ends[0], ends[1], xtol=1e-15)))  # type: ignore[call-overload]

    @property
    def patient_rate(self) -> float:
        """The best learning rate as the number of steps grows: ``2 / (mu_1 + mu_r)`` over the active modes."""
        return float(2 / (self.active[0] + self.active[-1]))

    @property
    def contraction(self) -> float:
        """The factor per step at that rate: ``(mu_1 - mu_r) / (mu_1 + mu_r)``."""
        return float((self.active[0] - self.active[-1]) / (self.active[0] + self.active[-1]))


def gaps_between(loss: Callable[[float], float], best: float, limit: Callable[[float], float], limit_best: float) -> Gaps:
    """The gaps of a curve and its limit, each with its optimum."""
    floor = limit(limit_best)
    return Gaps(abs(loss(best) - floor), abs(best - limit_best), max(0.0, limit(best) - floor))


def mode_gaps(finite: Modes, limit: Modes, steps: int) -> Gaps:
    """The three gaps of the learning rate after so many steps."""
    return gaps_between(
        lambda eta: float(finite.loss(eta, steps)),
        finite.best_rate(steps),
        lambda eta: float(limit.loss(eta, steps)),
        limit.best_rate(steps),
    )
