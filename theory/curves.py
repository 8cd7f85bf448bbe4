"""Loss against one hyperparameter at several sizes: where each curve is lowest, and the two gaps as power laws towards a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

WINDOW = 7  # points around the lowest that the cubic is fitted to
EXPONENTS = np.concatenate([np.linspace(0.02, 1.5, 75), np.linspace(1.55, 4.0, 50)])


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves of one metric over one hyperparameter.

    Args:
        sizes: increasing, shape ``(size,)``.
        points: the grid of the hyperparameter, increasing, in the unit in which its gap is measured (log2 of a learning rate),
            shape ``(point,)``.
        losses: shape ``(seed, size, point)``; inf where a run diverged.
        steep: the metric is positive and varies by orders of magnitude around its optimum: its logarithm is fitted there.
    """

    sizes: Array
    points: Array
    losses: Array
    steep: bool = False

    def __post_init__(self) -> None:
        for name in ("sizes", "points", "losses"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), float))
        if self.losses.shape[1:] != (self.sizes.size, self.points.size) or self.losses.ndim != 3:
            wanted = f"(seed, {self.sizes.size}, {self.points.size})"
            raise ValueError(f"`losses` has the shape {self.losses.shape}; with these sizes and points it needs {wanted}")
        for name in ("sizes", "points"):
            if (np.diff(getattr(self, name)) <= 0).any():
                raise ValueError(f"`{name}` must increase, not {getattr(self, name).tolist()}")
        if self.steep and not (self.losses > 0).all():
            raise ValueError("`steep` curves are fitted by their logarithm, so no loss may be 0 or negative")
        if self.points.size < 5 or self.sizes.size < 2:
            raise ValueError(f"curves need at least 2 sizes and 5 points, not {self.sizes.size} and {self.points.size}")

    @property
    def seeds(self) -> int:
        return self.losses.shape[0]

    def part(self, sizes: slice) -> Curves:
        """The curves of some of the sizes."""
        return Curves(self.sizes[sizes], self.points, self.losses[:, sizes], self.steep)

    def optima(self, means: Array) -> Optima:
        """Of mean curves, shape ``(..., point)``."""
        return find_optima(self.points, means, steep=self.steep)

    def means(self, weights: Array | None = None) -> Array:
        """Mean curves over seeds, shape ``(draw, size, point)``; inf where any seed diverged.

        Args:
            weights: of the seeds at each size, shape ``(draw, size, seed)``; by default one draw with equal ones.
        """
        if weights is None:
            weights = np.full((1, self.sizes.size, self.seeds), 1 / self.seeds)
        finite = np.isfinite(self.losses)
        means = np.einsum("dns,snp->dnp", weights, np.where(finite, self.losses, 0.0))
        return np.where(finite.all(axis=0), means, np.inf)

    def resampled(self, draws: int, seed: int, *, paired: bool) -> Array:
        """Mean curves of bootstrap draws of the seeds, the same for all sizes if they are paired."""
        rng = np.random.default_rng(seed)
        shape = (draws, 1 if paired else self.sizes.size, self.seeds)
        picks = rng.integers(self.seeds, size=shape).reshape(-1, self.seeds)
        rows = self.seeds * np.arange(len(picks))[:, None]
        weights = np.bincount((picks + rows).ravel(), minlength=picks.size).reshape(shape) / self.seeds
        return self.means(np.broadcast_to(weights, (draws, self.sizes.size, self.seeds)))


@dataclass(frozen=True, eq=False)
class Optima:
    """Where curves are lowest, and how low: ``place`` and ``value``, of the shape of the curves without their points.

    Both are nan where the lowest point is on the edge of the grid.
    """

    place: Array
    value: Array


def find_optima(points: ArrayLike, losses: ArrayLike, *, steep: bool = False) -> Optima:
    """The minimum of a cubic fitted to the `WINDOW` finite points around the lowest one.

    Args:
        points: increasing, shape ``(point,)``.
        losses: shape ``(..., point)``; inf where a run diverged.
        steep: fit the logarithm.
    """
    if steep:
        found = find_optima(points, np.log(np.asarray(losses, float)))
        return Optima(found.place, np.exp(found.value))
    x, y = np.asarray(points, float), np.asarray(losses, float)
    flat = y.reshape(-1, x.size)
    place, value = np.full(len(flat), np.nan), np.full(len(flat), np.nan)
    lowest = np.where(np.isfinite(flat), flat, np.inf).argmin(axis=1)
    usable = np.isfinite(flat)
    for middle in np.unique(lowest[(lowest > 0) & (lowest < x.size - 1)]):
        chosen = np.flatnonzero(lowest == middle)
        for pattern in np.unique(usable[chosen], axis=0):
            rows = chosen[(usable[chosen] == pattern).all(axis=1)]
            near = _window(pattern, int(middle))
            if near.size >= 3 and pattern[middle - 1]:
                place[rows], value[rows] = _lowest(
                    x[near], flat[np.ix_(rows, near)], float(x[middle - 1]), float(x[min(middle + 1, near[-1])])
                )
    return Optima(place.reshape(y.shape[:-1]), value.reshape(y.shape[:-1]))


def _window(usable: NDArray[np.bool_], middle: int) -> NDArray[np.intp]:
    """The nearest points to the middle one, without a gap between them."""
    low = high = middle
    while high - low + 1 < WINDOW:
        below, above = low > 0 and bool(usable[low - 1]), high + 1 < usable.size and bool(usable[high + 1])
        if not (below or above):
            break
        if below and (not above or middle - low <= high - middle):
            low -= 1
        else:
            high += 1
    return np.arange(low, high + 1)


def _lowest(x: Array, y: Array, left: float, right: float) -> tuple[Array, Array]:
    """Minimum of the fitted cubic (a parabola through fewer than five points) between two points."""
    centre, degree = x.mean(), 3 if x.size >= 5 else 2
    terms = y @ np.linalg.pinv(np.vander(x - centre, degree + 1, increasing=True)).T
    slope, bend, skew = terms[:, 1], terms[:, 2], terms[:, 3] if degree == 3 else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        vertex = -slope / (bend + np.sqrt(bend**2 - 3 * slope * skew))  # where the slope vanishes and the curve bends up
    ends = np.array([left, right]) - centre
    places = np.stack([np.where(np.isfinite(vertex), vertex, 0.0).clip(*ends), *(np.full(len(y), end) for end in ends)], axis=1)
    heights = np.einsum("rk,rpk->rp", terms, places[..., None] ** np.arange(degree + 1))
    rows, best = np.arange(len(y)), heights.argmin(axis=1)
    return places[rows, best] + centre, heights[rows, best]


@dataclass(frozen=True, eq=False)
class PowerLaws:
    """``y_n = limit + amplitude * n^-exponent``, one for each draw; ``misfit`` is the weighted sum of squared residuals."""

    limit: Array
    amplitude: Array
    exponent: Array
    misfit: Array


def fit_power_laws(sizes: ArrayLike, values: ArrayLike, errors: ArrayLike, *, falling: bool = False) -> PowerLaws:
    """Least squares for limit, amplitude and exponent together: what is finite stands in for no limit.

    For each exponent of `EXPONENTS` the other two are linear; the best one is refined by a parabola through the misfit.

    Args:
        sizes: shape ``(size,)``.
        values: shape ``(draw, size)``.
        errors: standard errors that weigh the sizes, shape ``(size,)``.
        falling: only laws with a positive amplitude.
    """
    n, y, weight = np.asarray(sizes, float), np.atleast_2d(np.asarray(values, float)), 1 / np.asarray(errors, float)
    table = np.empty((EXPONENTS.size, len(y)))
    lines = np.empty((EXPONENTS.size, len(y), 2))
    for k, exponent in enumerate(EXPONENTS):
        lines[k], table[k] = _line((n / n[0]) ** -exponent, y, weight)
    if falling:
        table = np.where(lines[:, :, 1] > 0, table, np.inf)
    best, draws = table.argmin(axis=0), np.arange(len(y))
    exponents = _refined(table, best)
    x, w = (n / n[0]) ** -exponents[:, None], weight**2 / (weight**2).sum()
    centred, level = x - (x @ w)[:, None], y @ w
    amplitude = ((y - level[:, None]) * centred) @ w / (centred**2 @ w)
    limit = level - amplitude * (x @ w)
    misfit = (((y - limit[:, None] - amplitude[:, None] * x) * weight) ** 2).sum(axis=1)
    exponents = np.where(np.isfinite(table[best, draws]), exponents, np.nan)
    return PowerLaws(limit, amplitude * n[0] ** exponents, exponents, misfit)


def _line(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Intercept and slope of every row of y on x, and the weighted misfit."""
    basis = np.stack([np.ones_like(x), x], axis=1) * weight[:, None]
    line = (y * weight) @ np.linalg.pinv(basis).T
    return line, (((y * weight) - line @ basis.T) ** 2).sum(axis=1)


def _refined(table: Array, best: NDArray[np.intp]) -> Array:
    """The exponent of least misfit between the grid's."""
    i, draws = np.clip(best, 1, EXPONENTS.size - 2), np.arange(best.size)
    (x0, x1, x2), (y0, y1, y2) = ([a[i + k] if a.ndim == 1 else a[i + k, draws] for k in (-1, 0, 1)] for a in (EXPONENTS, table))
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
        vertex = (x0 + x1) / 2 - left * (x2 - x0) / 2 / (right - left)
    inside = (i == best) & np.isfinite(vertex)
    return np.where(inside, np.clip(vertex, x0, x2), EXPONENTS[best])
