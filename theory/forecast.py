"""From the two or three smallest sizes: where a larger one has its optimum, how low, and whether transfer will be fast.

To first order in a small ``eps_n = n^-r`` a curve responds linearly to its size, ``phi_n = phi_inf + eps_n g``. With the responses
``rho_L = g(nu*)`` of the loss and ``rho_G = g'(nu*)`` of its gradient, and the curvature ``kappa = phi_inf''(nu*)``,

    a_n ~ eps_n |rho_L|,   nu*(n) - nu*_inf ~ -eps_n rho_G / kappa,   c_n ~ kappa b_n^2 / 2,   c_n / a_n ~ eps_n rho_G^2 / (2 kappa |rho_L|)

(the general local rule of Sakai and Imaizumi 2026): transfer is fast unless the loss does not respond to first order.

How this is estimated was chosen on the cases of `paper_repro` and on planted curves. The expansion is made about the optimum of the curve
averaged over the sizes, from polynomials through the points next to it; a line through the sizes' own optima corrects it as far as it
leaves it by more than noise. The expansion alone is biased where an optimum moves far, the line alone errs by half as much again where
curves are noisy, and subtracting whole curves or fitting them together over a wide window is worse than either. A metric with a positive
limit is better expanded in its logarithm, which stays linear further out (`Curves.steep`). A move is shrunk by what seeds say of its
error, so that where nothing is known the forecast is the pooled optimum. Intervals hold the noise of the seeds, not higher orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from .curves import WINDOW, Array, Curves
from .verdict import FAST, NONE, UNKNOWN, WEAK, Interval, widening

NEVER = 0.0  # the exponent of an optimum that moves with log(size) and does not settle; one that still gathers speed looks like it
CANDIDATES: Mapping[float, float] = {NEVER: 0.05, 0.5: 0.25, 1.0: 0.7}  # exponents where none is known, with prior weights
READING = 0.01  # of the grid's spacing: how well an optimum is read off a curve without noise
SURE, DOUBT = 0.95, 0.2  # weights of not settling above which it does not, and above which it may not
BEND = 0.05  # of its change, by which the best metric may leave a line in eps
DOMINANT = 0.5  # c/a below which the first order outweighs the second


@dataclass(frozen=True, eq=False)
class Response:
    """How a curve responds to its size: ``rho_L``, ``rho_G`` and ``kappa``, with eps in units of the largest size seen.

    Each has the shape ``(draw,)``; the first is what was measured, the others are draws of the bootstrap.
    ``rho_L`` is that of the lowest value, which is what closes the loss gap: about another place than the limit's optimum, a loss that
    does not respond to first order would seem to. Of a steep metric they are responses of its logarithm; ``c/a`` is the same.
    """

    loss: Array
    gradient: Array
    curvature: Array

    @property
    def share(self) -> Array:
        """``c/a`` to leading order at the largest size seen: inf where the curve is not convex or the loss does not respond."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.gradient**2 / (2 * self.curvature * np.abs(self.loss))
        return np.where((self.curvature > 0) & np.isfinite(found), found, np.inf)


@dataclass(frozen=True, eq=False)
class Forecast:
    """What small sizes say about larger ones.

    Args:
        sizes: those forecast, shape ``(size,)``.
        places: their optima, in the unit of the grid.
        place_ends: ends of their 95 % intervals, shape ``(2, size)``; nan without seeds to draw from.
        values: the metric there.
        value_ends: likewise.
        kind: ``fast``, ``weak``, ``none`` or ``cannot tell``, as `theory.verdict.VERDICTS`.
        reason: in one sentence.
        share: 95 % interval of ``c/a`` at the largest size that was seen.
        weights: of the exponents that were weighed against each other; that of `NEVER` says how likely the optimum does not settle.
        response: with the heaviest of the other exponents; None if an optimum is on the grid's edge.
    """

    sizes: Array
    places: Array
    place_ends: Array
    values: Array
    value_ends: Array
    kind: str
    reason: str
    share: Interval
    weights: Mapping[float, float]
    response: Response | None


def forecast(
    curves: Curves, sizes: ArrayLike, *, exponent: float | None = None, paired: bool = False, draws: int = 400, seed: int = 0
) -> Forecast:
    """Forecast larger sizes from the curves of a few small ones.

    Args:
        curves: at least two sizes; with three, exponents are weighed by how well they fit, else they keep their prior weights.
        sizes: to forecast, larger than all of these.
        exponent: r where theory gives it (1 for averages over random networks); None weighs `CANDIDATES`.
        paired: whether a seed is the same draw at all sizes.
        draws: of the bootstrap over seeds.
        seed: of the bootstrap.

    Raises:
        ValueError: if a size is not larger, or the exponent is not positive.
    """
    larger = np.atleast_1d(np.asarray(sizes, float))
    if not (larger > curves.sizes[-1]).all():
        raise ValueError(f"`sizes` must be larger than the largest that was seen, {curves.sizes[-1]:g}, not {larger.tolist()}")
    if exponent is not None and not exponent > 0:
        raise ValueError(f"`exponent` is {exponent}; eps = n^-exponent falls with n, so it must be positive, or None if it is not known")
    prior = CANDIDATES if exponent is None else {exponent: 1.0}
    seen = _Seen.of(curves, draws if curves.seeds > 1 else 0, seed, paired)
    if seen is None:
        blank = np.full(larger.size, np.nan)
        reason = "an optimum of the small sizes lies on the edge of the grid: widen the grid or add seeds"
        return Forecast(larger, blank, np.stack([blank] * 2), blank, np.stack([blank] * 2), UNKNOWN, reason, (np.nan, np.nan), {}, None)
    weights = seen.weigh(prior)
    places, ends = _mixed([seen.move(r, larger) for r in weights], weights)
    values, value_ends = _mixed([(line, line) for line in (seen.line(seen.values, r, larger) for r in weights)], weights)
    unit = np.exp if curves.steep else np.asarray
    exponent = max((r for r in weights if r != NEVER), key=lambda r: weights[r])
    response = seen.respond(exponent)
    kind, reason, share = _judged(seen, weights, exponent, response)
    return Forecast(larger, places, ends, unit(values), unit(value_ends), kind, reason, share, weights, response)


@dataclass(frozen=True, eq=False)
class _Seen:
    """Small sizes, in the unit of the fit: row 0 is what was measured, the others are draws of the bootstrap.

    Args:
        sizes: shape ``(size,)``.
        points: of the grid, shape ``(point,)``.
        means: shape ``(draw, size, point)``.
        places: optima, shape ``(draw, size)``.
        values: the metric there.
        pooled: the optimum of the mean over sizes, shape ``(draw,)``.
        steep: whether the metric is taken by its logarithm.
        positive: whether it is positive everywhere.
    """

    sizes: Array
    points: Array
    means: Array
    places: Array
    values: Array
    pooled: Array
    steep: bool
    positive: bool

    @classmethod
    def of(cls, curves: Curves, draws: int, seed: int, paired: bool) -> _Seen | None:
        """Deviations of the draws are widened for few seeds; None if optima are on the grid's edge."""
        means = np.concatenate([curves.means(), curves.resampled(draws, seed, paired=paired)])
        means = np.log(means) if curves.steep else means
        plain = replace(curves, steep=False)
        optima, pooled = plain.optima(means), plain.optima(means.mean(axis=1)).place
        whole = np.isfinite(optima.place).all(axis=1) & np.isfinite(pooled)
        if not whole[0] or whole.mean() < 0.9:
            return None
        wide = widening(curves.seeds) if draws else 1.0
        stretch = lambda rows: rows[:1] + wide * (rows[whole] - rows[:1])  # noqa: E731
        with np.errstate(invalid="ignore"):
            means = np.where(np.isfinite(means[:1]), stretch(means), np.inf)
        positive = bool((curves.losses > 0).all())
        return cls(
            curves.sizes, curves.points, means, stretch(optima.place), stretch(optima.value), stretch(pooled), curves.steep, positive
        )

    def scale(self, exponent: float, sizes: ArrayLike) -> Array:
        """``eps`` in units of the largest size seen; ``-log2`` of the size for the exponent 0."""
        ratio = np.asarray(sizes, float) / self.sizes[-1]
        return -np.log2(ratio) if exponent == NEVER else ratio**-exponent

    def line(self, rows: Array, exponent: float, sizes: ArrayLike) -> Array:
        """Least squares of every row on eps, at other sizes: shape ``(draw, size)``."""
        known = self.scale(exponent, self.sizes)
        centred = known - known.mean()
        slopes = rows @ centred / (centred @ centred)
        return rows.mean(axis=1)[:, None] + slopes[:, None] * (self.scale(exponent, sizes) - known.mean())

    def weigh(self, prior: Mapping[float, float]) -> dict[float, float]:
        """Weights of exponents: the prior's times the likelihood of the optima about their line."""
        own = self.places[:1]
        error = self.places.std(axis=0) ** 2 + (READING * np.diff(self.points).min()) ** 2
        misfits = [(((own - self.line(own, r, self.sizes)) ** 2)[0] / error).sum() for r in prior]
        found = np.array(list(prior.values())) * np.exp(-(np.array(misfits) - min(misfits)) / 2)
        return dict(zip(prior, map(float, found / found.sum())))

    def respond(self, exponent: float) -> Response:
        """The response of every draw, about its pooled optimum."""
        known = self.scale(exponent, self.sizes)
        centred = known - known.mean()
        means = np.where(np.isfinite(self.means).all(axis=1, keepdims=True), self.means, np.nan)
        average, change = means.mean(axis=1), np.einsum("s,dsp->dp", centred / (centred @ centred), means)
        curvature = expand(self.points, average, self.pooled, degree=3)[:, 2]
        gradient = expand(self.points, change, self.pooled, degree=2)[:, 1]
        loss = self.values @ centred / (centred @ centred)
        return Response(loss, gradient, curvature)

    def move(self, exponent: float, sizes: ArrayLike) -> tuple[Array, Array]:
        """Forecast optima, shape ``(draw, size)``: with the move shrunk, and without."""
        line = self.line(self.places, exponent, sizes)
        if exponent == NEVER:  # it leaves every neighbourhood in which a curve could be expanded
            return line, line
        response = self.respond(exponent)
        steps = self.scale(exponent, sizes) - self.scale(exponent, self.sizes).mean()
        pooled, convex = self.pooled[:, None], response.curvature > 0
        moves = -steps * (response.gradient / np.where(convex, response.curvature, 1.0))[:, None]
        moves = np.where(convex[:, None] & np.isfinite(moves), moves, line - pooled)
        bend = line - pooled - moves
        bend *= _kept(bend)
        return pooled + moves * _kept(moves) + bend, pooled + moves + bend


def _kept(moves: Array) -> Array:
    """The part ``max(0, 1 - s^2/D^2)`` of moves D, shape ``(draw, size)``, that is kept; their error s is their spread over draws."""
    error = moves.var(axis=0) if len(moves) > 1 else 0.0
    return 1 - error / np.maximum(np.maximum(moves**2, error), np.finfo(float).tiny)


def expand(points: Array, rows: Array, places: Array, *, degree: int) -> Array:
    """Value, slope and second derivative, at one place a row, of the polynomial through the `WINDOW` finite points nearest to it.

    Args:
        points: shape ``(point,)``.
        rows: shape ``(row, point)``; nan is left out.
        places: shape ``(row,)``.
        degree: of the polynomial.

    Returns:
        Shape ``(row, 3)``; nan where there are too few points.
    """
    count = min(WINDOW, points.size)
    far = np.where(np.isfinite(rows), np.abs(points - places[:, None]), np.inf)
    near = np.sort(np.argsort(far, axis=1, kind="stable")[:, :count], axis=1)
    found = np.full((len(rows), 3), np.nan)
    for window in np.unique(near, axis=0):
        chosen = np.flatnonzero((near == window).all(axis=1))
        x = points[window] - points[window].mean()
        terms = rows[np.ix_(chosen, window)] @ np.linalg.pinv(np.vander(x, degree + 1, increasing=True)).T
        at = places[chosen] - points[window].mean()
        for k in range(3):
            factors = [np.prod(np.arange(i, i - k, -1)) for i in range(degree + 1)]
            found[chosen, k] = sum(terms[:, i] * factors[i] * at ** (i - k) for i in range(k, degree + 1))
    return found


def _mixed(rows: list[tuple[Array, Array]], weights: Mapping[float, float]) -> tuple[Array, Array]:
    """The weighted mean of what was measured, and the 95 % interval of all draws of all exponents."""
    shares = np.array(list(weights.values()))
    middle = np.einsum("r,rs->s", shares, np.stack([kept[0] for kept, _ in rows]))
    if len(rows[0][1]) == 1:
        return middle, np.full((2, middle.size), np.nan)
    draws = np.stack([free[1:] for _, free in rows])
    heavy = np.repeat(shares, draws.shape[1])
    ends = [_weighted_quantiles(draws[:, :, k].ravel(), heavy) for k in range(middle.size)]
    return middle, np.array(ends).T


def _weighted_quantiles(values: Array, weights: Array) -> Array:
    order = np.argsort(values)
    values, weights = values[order], np.where(np.isfinite(values[order]), weights[order], 0.0)
    mass = (weights.cumsum() - weights / 2) / weights.sum()
    return np.interp([0.025, 0.975], mass[weights > 0], values[weights > 0])


def _judged(seen: _Seen, weights: Mapping[float, float], exponent: float, response: Response) -> tuple[str, str, Interval]:
    """The verdict by the local rule, its reason, and the interval of c/a at the largest size that was seen."""
    never = weights.get(NEVER, 0.0)
    if never > SURE:
        return NONE, "the optimum moves as far with every doubling as with the one before", (np.nan, np.nan)
    shares = response.share
    low, high = (float(q) for q in np.quantile(shares, [0.025, 0.975], method="inverted_cdf"))
    shown = f"at size {seen.sizes[-1]:g} transfer costs [{low:.2g}, {high:.2g}] of what width still wins"
    if np.quantile(response.curvature, 0.025) <= 0 or not np.isfinite(response.curvature).all():
        return UNKNOWN, "the curve is not convex at its optimum, or not beyond its noise", (low, high)
    if never > DOUBT:
        return UNKNOWN, f"the optimum may not settle (weight {never:.2f})", (low, high)
    if low > 1:
        return WEAK, shown, (low, high)
    if _unsure(response.loss):
        return UNKNOWN, "the first-order response of the loss is zero within its noise", (low, high)
    if bent := _bent(seen, exponent):
        return UNKNOWN, bent, (low, high)
    if len(weights) > 1 and len(seen.sizes) < 3:
        return UNKNOWN, "two sizes cannot say with which power the loss closes: give the exponent, or a third", (low, high)
    return (FAST if high < DOMINANT else UNKNOWN), shown, (low, high)


def _unsure(draws: Array) -> bool:
    low, high = np.quantile(draws, [0.025, 0.975])
    return bool(low <= 0 <= high)


def _bent(seen: _Seen, exponent: float) -> str:
    """A sentence if the best metric does not close as eps: off its line by more than noise and `BEND`, or towards less than nothing."""
    values = np.exp(seen.values) if seen.steep else seen.values
    own, law = values[:1], f"n^-{exponent:g}"
    off = np.abs(own - seen.line(own, exponent, seen.sizes))[0]
    if (off > 1.96 * values.std(axis=0) + BEND * np.ptp(own)).any():
        return f"the best metric does not close as {law}: higher orders rule at these sizes"
    if seen.positive and seen.line(own, exponent, [np.inf])[0, 0] < 0:
        return f"the best metric is positive and falls faster than as {law}: its response of first order vanishes"
    return ""
