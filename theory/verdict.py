"""Is transfer fast? A verdict from measured curves, with what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from .curves import Array, Curves, PowerLaws, fit_power_laws
from .transfer import TransferRates, local_slopes

FAST, WEAK, NONE, UNKNOWN = "fast", "weak", "none", "cannot tell"
VERDICTS = {
    FAST: "c_n = o(a_n): the optimum settles faster than the square root of the loss gap, so tuning small is worth it",
    WEAK: "the optimum settles, but no faster than the square root of the loss gap: tuning small saves nothing asymptotically",
    NONE: "the optimum does not settle",
    UNKNOWN: "the interval of beta - alpha/2 holds 0, or there is no optimum to follow",
}
SETTLING = 0.1  # an exponent of the optimum below which it is as good as logarithmic: it does not settle
Interval = tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """What curves at several sizes say about transfer.

    Args:
        kind: one of `VERDICTS`.
        reason: in one sentence.
        rates: of the loss gap and of the optimum (medians of the bootstrap); the third is twice the second (Proposition 1).
        loss: 95 % interval of alpha.
        hyperparameter: 95 % interval of beta.
        advantage: 95 % interval of ``beta - alpha/2`` (see `judge_gaps` for known limits).
        places: the optimum at each size, in the unit of the grid.
        values: the metric there.
        costs: what the largest size loses with the optimum of each size, in units of the metric.
    """

    kind: str
    reason: str
    rates: TransferRates | None
    loss: Interval
    hyperparameter: Interval
    advantage: Interval
    places: tuple[float, ...]
    values: tuple[float, ...]
    costs: tuple[float, ...]


def judge(curves: Curves, *, paired: bool = False, draws: int = 400, seed: int = 0) -> Verdict:
    """Say whether transfer is fast (Ghosh, Wu and Bietti, arXiv 2512.22768, Definition 2).

    Both gaps need the limit, which nobody has measured: it is fitted together with the exponents (``phi*_n = phi*_inf + A n^-alpha``,
    ``nu*(n) = nu*_inf + B n^-beta``), so the largest size does not stand in for infinity. The spread is a bootstrap over seeds.

    Args:
        curves: at least four sizes and two seeds.
        paired: whether a seed is the same draw at all sizes (then seeds are drawn jointly).
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: if there is one seed only, or fewer than four sizes.
    """
    if curves.sizes.size < 4:
        raise ValueError(f"rates need at least 4 sizes, not {curves.sizes.size}: `forecast` asks less of 2 or 3")
    if curves.seeds < 2:
        raise ValueError("a verdict needs at least two seeds: without their spread nothing says how sure it is")
    mean = curves.means()[0]
    optima = curves.optima(mean)
    measured = {"places": tuple(map(float, optima.place)), "values": tuple(map(float, optima.value))}
    blank = (np.nan, np.nan)
    nothing = {"rates": None, "loss": blank, "hyperparameter": blank, "advantage": blank, "costs": (), **measured}
    if np.isnan(optima.place).any():
        off = ", ".join(f"{n:g}" for n, place in zip(curves.sizes, optima.place) if np.isnan(place))
        return Verdict(UNKNOWN, f"the optimum lies on the edge of the grid at size {off}: widen the grid", **nothing)
    if jump := _jump(curves, mean, optima.place):
        return Verdict(NONE, jump, **nothing)
    drawn = curves.optima(curves.resampled(draws, seed, paired=paired))
    whole = np.isfinite(drawn.place).all(axis=1)
    if whole.mean() < 0.9:
        return Verdict(UNKNOWN, "the optimum is on the edge of the grid in some resamples: widen the grid or add seeds", **nothing)
    own = np.stack([optima.place, optima.value])
    places, values = own[:, None] + widening(curves.seeds) * (np.stack([drawn.place, drawn.value])[:, whole] - own[:, None])
    moved = fit_power_laws(curves.sizes, places, places.std(axis=0))
    lost = fit_power_laws(curves.sizes, values, values.std(axis=0), falling=True)
    return _weighed(moved, lost, nothing | {"costs": _costs(curves, mean[-1], optima.place)}, places)


def judge_gaps(sizes: ArrayLike, gaps: ArrayLike, *, draws: int = 400, seed: int = 0) -> Verdict:
    """The verdict where the limit is known, from the gaps of many random networks; each gap is the median over them.

    What transfer costs is measured then, so its rate counts itself: ``advantage`` is half of what it has over alpha. That is
    ``beta - alpha/2`` where curves keep their curvature (Proposition 1); with a growing horizon they do not.

    Args:
        sizes: increasing, shape ``(size,)``.
        gaps: loss, hyperparameter, suboptimality; shape ``(draw, size, 3)``. One draw stands for a solution without randomness: its
            intervals are those of the slopes between neighbouring sizes.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: if shapes do not fit or a gap is not positive.
    """
    n, table = np.asarray(sizes, float), np.asarray(gaps, float)
    if table.ndim != 3 or table.shape[1:] != (n.size, 3) or not (table > 0).all():
        raise ValueError(f"`gaps` needs the shape (draw, {n.size}, 3) and positive entries, not {table.shape}")
    if len(table) > 1:
        picks = np.random.default_rng(seed).integers(len(table), size=(draws, len(table)))
        middles = np.median(table[picks], axis=1)
        spread = np.log(n) - np.log(n).mean()
        slopes = -np.einsum("dsg,s->dg", np.log(middles), spread) / (spread @ spread)
        rates = TransferRates(*map(float, -(np.log(np.median(table, axis=0)).T @ spread) / (spread @ spread)))
    else:
        slopes = np.stack([-local_slopes(n, column) for column in table[0].T], axis=1)
        rates = TransferRates(*map(float, np.median(slopes, axis=0)))
    alpha, beta, advantage = _interval(slopes[:, 0]), _interval(slopes[:, 1]), _interval((slopes[:, 2] - slopes[:, 0]) / 2)
    kind = NONE if beta[1] < SETTLING else FAST if advantage[0] > 0 else WEAK if advantage[1] < 0 else UNKNOWN
    reason = f"c/a falls as a power of the size in [{2 * advantage[0]:.2f}, {2 * advantage[1]:.2f}]"
    costs = tuple(float(c) for c in np.median(table, axis=0)[:, 2])
    return Verdict(kind, reason, rates, alpha, beta, advantage, (), (), costs)


def widening(seeds: int) -> float:
    """What the deviations of resamples are multiplied by: few seeds are spread too little, and their spread is uncertain itself."""
    from scipy.special import stdtrit

    return float(np.sqrt(seeds / (seeds - 1)) * stdtrit(seeds - 1, 0.975) / 1.96)


def _weighed(moved: PowerLaws, lost: PowerLaws, measured: dict, places: Array) -> Verdict:
    """The verdict of fitted laws."""
    beta, alpha = _interval(moved.exponent), _interval(lost.exponent)
    advantage = _interval(moved.exponent - lost.exponent / 2)
    middle = float(np.nanmedian(moved.exponent))
    found = {
        "rates": TransferRates(float(np.nanmedian(lost.exponent)), middle, 2 * middle),
        "loss": alpha,
        "hyperparameter": beta,
        "advantage": advantage,
    }
    found, shown = measured | found, f"beta - alpha/2 lies in [{advantage[0]:.2f}, {advantage[1]:.2f}]"
    if np.isnan(lost.exponent).mean() > 0.05:
        return Verdict(UNKNOWN, "the best metric does not fall towards a limit as a power of the size", **found)
    if beta[1] < SETTLING:
        per = np.diff(places.mean(axis=0))
        return Verdict(
            NONE, f"the optimum keeps moving, by {per[0]:.2g} between the first sizes and {per[-1]:.2g} between the last", **found
        )
    if advantage[0] > 0:
        return Verdict(FAST, shown, **found)
    if advantage[1] < 0:
        return Verdict(WEAK, shown, **found)
    spread = places.mean(axis=0).max() - places.mean(axis=0).min()
    if spread < 3 * places.std(axis=0).max():
        return Verdict(UNKNOWN, f"the optimum moves by {spread:.2g} in all, which is not more than its noise", **found)
    return Verdict(UNKNOWN, shown, **found)


def _interval(draws: Array) -> Interval:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _costs(curves: Curves, largest: Array, places: Array) -> tuple[float, ...]:
    """What the largest size loses at each optimum, on a spline through its curve."""
    from scipy.interpolate import CubicSpline

    usable = np.isfinite(largest)
    curve = CubicSpline(curves.points[usable], largest[usable])
    return tuple(float(max(0.0, loss)) for loss in curve(places) - curve(places[-1]))


def _jump(curves: Curves, mean: Array, places: Array) -> str:
    """A sentence if the optimum moves between two wells of one curve, else nothing.

    A well is a local minimum below a barrier that stands out of the noise by four standard errors.
    """
    noise = curves.losses.std(axis=0, ddof=1) / np.sqrt(curves.seeds)
    for n, curve, error in zip(curves.sizes, mean, noise):
        wells = _wells(curve, error)
        if len(wells) < 2:
            continue
        borders = [(curves.points[a] + curves.points[b]) / 2 for a, b in pairwise(wells)]
        side = np.searchsorted(borders, places)
        if np.unique(side).size > 1:
            k = int(np.flatnonzero(np.diff(side))[0])
            return (
                f"the curve has two wells (at size {n:g}), and the optimum jumps from {places[k]:.2f} to {places[k + 1]:.2f} "
                f"between the sizes {curves.sizes[k]:g} and {curves.sizes[k + 1]:g}"
            )
    return ""


def _wells(curve: Array, error: Array) -> list[int]:
    """Indices of local minima with a barrier of four standard errors between neighbours."""
    padded = np.concatenate([[np.inf], np.where(np.isfinite(curve), curve, np.inf), [np.inf]])
    minima = [i for i in range(curve.size) if padded[i + 1] < padded[i] and padded[i + 1] <= padded[i + 2]]
    kept: list[int] = []
    for i in minima:
        while kept:
            top = kept[-1] + int(curve[kept[-1] : i + 1].argmax())
            rise = curve[top] - max(curve[kept[-1]], curve[i])
            if not np.isfinite(rise) or rise > 4 * np.hypot(error[top], max(error[kept[-1]], error[i])):
                break
            if curve[kept[-1]] <= curve[i]:
                i = -1
                break
            kept.pop()
        if i >= 0:
            kept.append(i)
    return kept
