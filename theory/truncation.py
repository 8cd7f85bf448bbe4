"""How many eigenvalues of the alignment matrices decide the best hyperparameter: Algorithms 1 and 2 of fast transfer.

A trajectory's linearised loss change phi is a sum over eigenvalues, largest first; ``phi^k`` is its part up to the k-th. Transfer is
explained by a truncation kappa(nu) whose curve ``phi^kappa`` hardly depends on the width and whose residual ``phi - phi^kappa`` is flat
in the hyperparameter nu (Ghosh, Wu and Bietti, arXiv 2512.22768, Hypothesis 1, Algorithms 1 and 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Kappa = NDArray[np.intp]
WEIGHTS = (0.0, *(float(w) for w in np.geomspace(1e-3, 10, 13)))  # flatness weights that are tried; the paper gives none
SWEEPS = 50


def lipschitz(points: Array, values: Array) -> float:
    """The steepest slope between neighbours."""
    return float(np.abs(np.diff(values) / np.diff(points)).max())


def concave_share(points: Array, values: Array) -> float:
    """Share of inner points at which the three-point second difference is negative."""
    slopes = np.diff(values) / np.diff(points)
    return float((np.diff(slopes) < 0).mean())


def curvature(points: Array, values: Array) -> float:
    """The smallest three-point second derivative."""
    middles = (points[1:] + points[:-1]) / 2
    return float((np.diff(np.diff(values) / np.diff(points)) / np.diff(middles)).min())


@dataclass(frozen=True, eq=False)
class Truncated:
    """A width beside the largest one, cut at the same kappa.

    Args:
        points: the grid of the hyperparameter, increasing (log2 of a learning rate), shape ``(point,)``.
        finite: ``phi^k`` at this width, shape ``(point, k)``; the last column is the whole.
        limit: the same at the largest width; it has at least as many k.
    """

    points: Array
    finite: Array
    limit: Array

    def __post_init__(self) -> None:
        for name in ("points", "finite", "limit"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), float))
        g = self.points.size
        if g < 3 or self.finite.shape[:1] != (g,) or self.limit.shape[:1] != (g,) or self.limit.shape[1] < self.finite.shape[1]:
            raise ValueError(
                f"{g} points with parts of the shapes {self.finite.shape} and {self.limit.shape}: both need one row for each of at "
                "least three points, the second no fewer columns than the first"
            )

    def top(self, kappa: Kappa) -> tuple[Array, Array]:
        """Both curves up to kappa (counted from 1)."""
        rows = np.arange(self.points.size)
        return self.finite[rows, kappa - 1], self.limit[rows, kappa - 1]

    def residuals(self, kappa: Kappa) -> tuple[Array, Array]:
        """What both totals have beyond kappa."""
        finite, limit = self.top(kappa)
        return self.finite[:, -1] - finite, self.limit[:, -1] - limit

    def proxy(self, kappa: Kappa, weights: tuple[float, float]) -> float:
        """``mean |phi_n^kappa - phi_N^kappa| + tau_1 Lip(residual_n) + tau_2 Lip(residual_N)``."""
        finite, limit = self.top(kappa)
        flat = [w * lipschitz(self.points, r) for w, r in zip(weights, self.residuals(kappa), strict=True)]
        return float(np.abs(finite - limit).mean()) + sum(flat)

    def minimise(self, weights: tuple[float, float]) -> Kappa:
        """Algorithm 1: kappa from n/2 everywhere, one coordinate at a time to its best value, until none moves."""
        kappa = np.full(self.points.size, max(1, self.finite.shape[1] // 2))
        for _ in range(SWEEPS):
            before = kappa.copy()
            for i in range(kappa.size):
                kappa[i] = 1 + int(self._along(i, kappa, weights).argmin())
            if (kappa == before).all():
                break
        return kappa

    def _along(self, i: int, kappa: Kappa, weights: tuple[float, float]) -> Array:
        """The proxy for every value of one coordinate, without the other points' part of its mean.

        Only two slopes of each residual depend on the coordinate.
        """
        count = self.finite.shape[1]
        total = np.abs(self.finite[i] - self.limit[i, :count]) / self.points.size
        for weight, parts, residual in zip(weights, (self.finite, self.limit), self.residuals(kappa), strict=True):
            own = parts[i, -1] - parts[i, :count]
            gaps = np.diff(self.points)
            slopes = np.abs(np.diff(residual) / gaps)
            steepest = np.full(count, max(slopes[: max(0, i - 1)].max(initial=0.0), slopes[i + 1 :].max(initial=0.0)))
            for j in (i - 1, i + 1):
                if 0 <= j < self.points.size:
                    steepest = np.maximum(steepest, np.abs(own - residual[j]) / gaps[min(i, j)])
            total = total + weight * steepest
        return total

    def bound(self, kappa: Kappa) -> float:
        """What the optima of both widths can be apart: ``2 sqrt(eps_inv) + eps_flat``; inf where a curve is not convex.

        ``eps_inv = sup |phi_n^kappa - phi_N^kappa| / max(mu_n^kappa, mu_N^kappa)`` and ``eps_flat = Lip(residual_n) / mu_n +
        Lip(residual_N) / mu_N`` with mu the least curvature of the top or the whole curves (arXiv 2512.22768, Appendix B.5).
        """
        tops, wholes = self.top(kappa), (self.finite[:, -1], self.limit[:, -1])
        bends = [curvature(self.points, curve) for curve in (*tops, *wholes)]
        if min(bends) <= 0:
            return float("inf")
        invariant = float(np.abs(tops[0] - tops[1]).max()) / max(bends[:2])
        flat = sum(lipschitz(self.points, r) / bend for r, bend in zip(self.residuals(kappa), bends[2:], strict=True))
        return 2 * invariant**0.5 + flat

    def accepted(self, kappa: Kappa, *, concave: float, shift: float) -> bool:
        """Whether both top curves are convex enough and keep the minimisers of their totals."""
        if any(concave_share(self.points, curve) > concave for curve in self.top(kappa)):
            return False
        pairs = zip(self.top(kappa), (self.finite[:, -1], self.limit[:, -1]), strict=True)
        return all(abs(lowest(self.points, top) - lowest(self.points, whole)) <= shift for top, whole in pairs)


def lowest(points: Array, curve: Array) -> float:
    """Where a spline through the points is lowest."""
    from scipy.interpolate import CubicSpline

    fine = np.linspace(points[0], points[-1], 2001)
    return float(fine[CubicSpline(points, curve)(fine).argmin()])


def choose(
    points: ArrayLike, finite: ArrayLike, limit: ArrayLike, *, weights: Sequence[float] = WEIGHTS, concave: float = 0.0, shift: float = 0.5
) -> Kappa | None:
    """Algorithm 2: the kappa of the smallest flatness weights at which both top curves are convex and keep their minimisers.

    Args:
        points: as `Truncated`; so are ``finite`` and ``limit``.
        finite: parts at a width.
        limit: parts at the largest width.
        weights: tried in pairs, the smallest sum first (the paper does not give its list).
        concave: largest share of points at which a top curve may be concave.
        shift: how far a minimiser may move, in the unit of the points.

    Returns:
        kappa at every point, counted from 1, or None if no pair of weights is accepted.
    """
    pair = Truncated(np.asarray(points, float), np.asarray(finite, float), np.asarray(limit, float))
    for one in sorted(((a, b) for a in weights for b in weights), key=lambda w: (sum(w), w[0])):
        kappa = pair.minimise(one)
        if pair.accepted(kappa, concave=concave, shift=shift):
            return kappa
    return None
