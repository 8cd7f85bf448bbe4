"""Fits with their uncertainty: the slope of a power law, and the drift of an optimum with size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DRAWS = 1000


@dataclass(frozen=True)
class Slope:
    """The exponent of ``value ~ size^slope``.

    Args:
        value: the slope, mean over seeds.
        se: its standard error: over seeds, or of the regression where there is one seed.
        low: lower end of the 95 % interval (bootstrap over seeds, or 1.96 standard errors with one seed).
        high: its upper end.
        intercept: of the line in log2-log2.
        bend: the largest distance of the seed-mean points from the line, in factors of two; large: no power law.
        seeds: how many seeds entered.
    """

    value: float
    se: float
    low: float
    high: float
    intercept: float
    bend: float
    seeds: int


def fit_slope(sizes: ArrayLike, values: ArrayLike, *, seed: int = 0) -> Slope:
    """Least squares of log2(value) on log2(size), per seed.

    Args:
        sizes: shape ``(size,)``, at least two different ones.
        values: positive, shape ``(seed, size)`` or ``(size,)``.
        seed: of the bootstrap.

    Raises:
        ValueError: if shapes do not fit, or a value is not positive and finite.
    """
    x, y = _log_table(sizes, values)
    spread = x - x.mean()
    slopes = y @ spread / (spread @ spread)
    mean = y.mean(axis=0)
    slope, middle = float(slopes.mean()), float(mean.mean())
    residual = mean - middle - slope * spread
    if len(slopes) > 1:
        se = float(slopes.std(ddof=1)) / math.sqrt(len(slopes))
        picks = np.random.default_rng(seed).integers(len(slopes), size=(DRAWS, len(slopes)))
        low, high = np.quantile(slopes[picks].mean(axis=1), [0.025, 0.975])
    else:
        free = x.size - 2
        se = math.sqrt(float(residual @ residual) / free / float(spread @ spread)) if free else math.nan
        low, high = slope - 1.96 * se, slope + 1.96 * se
    bend = float(np.abs(residual).max())
    return Slope(slope, se, float(low), float(high), middle - slope * float(x.mean()), bend, len(slopes))


def _log_table(sizes: ArrayLike, values: ArrayLike) -> tuple[Array, Array]:
    n, y = np.asarray(sizes, float), np.atleast_2d(np.asarray(values, float))
    if n.ndim != 1 or y.ndim != 2 or y.shape[1] != n.size or np.unique(n).size < 2:
        raise ValueError(f"`values` needs the shape (seed, size) for at least two different sizes, not {y.shape} for {n.tolist()}")
    if not (np.isfinite(y).all() and (y > 0).all() and (n > 0).all()):
        raise ValueError("a power law needs positive, finite sizes and values; leave diverged or vanishing ones out")
    return np.log2(n), np.log2(y)


def best_rates(rates: ArrayLike, losses: ArrayLike) -> Array:
    """log2 of the best rate of each curve: the vertex of the parabola through the minimum and its neighbours.

    Args:
        rates: the grid, increasing, shape ``(rate,)``.
        losses: shape ``(..., rate)``; inf or nan where a run diverged.

    Returns:
        Shape ``(...)``; nan where the minimum is on the grid's edge, or where nothing converged. Beside a diverged run the grid
        point itself is returned.

    Raises:
        ValueError: if there are fewer than three rates, or they do not increase.
    """
    x, y = np.log2(np.asarray(rates, float)), np.asarray(losses, float)
    if x.ndim != 1 or x.size < 3 or y.shape[-1:] != x.shape or not (np.diff(x) > 0).all():
        raise ValueError(f"an optimum needs at least three increasing rates and a loss for each, not {x.shape} and {y.shape}")
    table = np.where(np.isfinite(y), y, np.inf)
    lowest = np.argmin(table, axis=-1)[..., None]
    i = np.clip(lowest, 1, x.size - 2)
    x0, x1, x2 = (x[i + k] for k in (-1, 0, 1))
    y0, y1, y2 = (np.take_along_axis(table, i + k, axis=-1) for k in (-1, 0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
        vertex = (x0 + x1) / 2 - left * (x2 - x0) / 2 / (right - left)
    beside = np.where(np.isfinite(y0 + y2) & np.isfinite(vertex), vertex, x1)
    return np.where((lowest == i) & np.isfinite(y1), beside, np.nan)[..., 0]


@dataclass(frozen=True)
class Drift:
    """How an optimum moves with size, in octaves of the rate per octave of the size.

    ``value``, ``low`` and ``high`` (95 %, bootstrap over seeds) are nan where ``problem`` says why there is no result.

    Args:
        value: slope of log2(best rate) on log2(size).
        low: lower end of the interval.
        high: its upper end.
        optima: log2(best rate) of the seed-mean curve at each size, nan on an edge.
        problem: empty, or one sentence.
    """

    value: float
    low: float
    high: float
    optima: tuple[float, ...]
    problem: str = ""

    @property
    def found(self) -> bool:
        """Whether there is a result."""
        return not self.problem


def fit_drift(sizes: ArrayLike, rates: ArrayLike, losses: ArrayLike, *, seed: int = 0) -> Drift:
    """The drift of the best rate over all sizes.

    Args:
        sizes: shape ``(size,)``.
        rates: in base-rate units (the constant that the table multiplies), increasing, shape ``(rate,)``.
        losses: shape ``(seed, size, rate)``; inf where a run diverged. A rate at which any seed diverged counts as diverged.
        seed: of the bootstrap, which draws seeds jointly for all sizes.

    Raises:
        ValueError: if shapes do not fit.
    """
    n, table = np.asarray(sizes, float), np.asarray(losses, float)
    if table.ndim != 3 or table.shape[1] != n.size or np.unique(n).size < 2:
        raise ValueError(
            f"`losses` needs the shape (seed, size, rate) for at least two different sizes, not {table.shape} for {n.tolist()}"
        )
    table = np.where(np.isfinite(table), table, np.inf)
    optima = best_rates(rates, table.mean(axis=0))
    if np.isnan(optima).any():
        off = ", ".join(f"{s:g}" for s, o in zip(n, optima, strict=True) if math.isnan(o))
        return Drift(
            math.nan,
            math.nan,
            math.nan,
            tuple(optima),
            f"the optimum lies on the edge of the grid of rates at size {off}; widen the grid",
        )
    picks = np.random.default_rng(seed).integers(len(table), size=(DRAWS, len(table)))
    weights = np.stack([np.bincount(p, minlength=len(table)) for p in picks]) / len(table)
    with np.errstate(invalid="ignore"):
        curves = np.where(np.isinf(table).any(axis=0), np.inf, np.tensordot(weights, np.where(np.isinf(table), 0.0, table), 1))
    spread = np.log2(n) - np.log2(n).mean()
    slopes = best_rates(rates, curves) @ spread / (spread @ spread)
    low, high = (float(q) for q in np.nanquantile(slopes, [0.025, 0.975]))
    if np.isnan(slopes).mean() > 0.05:
        low = high = math.nan
    return Drift(float(optima @ spread / (spread @ spread)), low, high, tuple(map(float, optima)))
