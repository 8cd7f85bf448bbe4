"""Forecasts from the smallest widths held against the larger ones, with two baselines, and how they compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...theory.curves import Curves
from ...theory.forecast import Forecast, forecast

FORECAST, STILL, LINE = "forecast", "no drift", "last two"
METHODS = (FORECAST, STILL, LINE)
DRAWS = 100  # of a forecast's own bootstrap
FLOORS = {"error": 0.0, "regret": 1e-3}  # a thousandth of what width wins is as good as nothing


@dataclass(frozen=True, eq=False)
class Problem:
    """Curves of one case at all sizes, the smallest of which are seen.

    Args:
        name: of the case.
        curves: at all sizes.
        exponent: of the response where theory gives it, else None.
        measured: the verdict from all sizes; empty where it was not asked for.
        expected: the theory's, where there is one.
    """

    name: str
    curves: Curves
    exponent: float | None
    measured: str
    expected: str


def extrapolate(problem: Problem, seen: int, curves: Curves, *, draws: int = DRAWS) -> Forecast:
    """The forecast from the first sizes of (resampled) curves."""
    return forecast(curves.part(slice(seen)), curves.sizes[seen:], exponent=problem.exponent, draws=draws)


def score(problem: Problem, seen: int, *, draws: int) -> pd.DataFrame:
    """Errors of all methods: draw 0 is the measurement, the others resample the seeds of all sizes.

    Args:
        problem: what is forecast.
        seen: how many of the smallest sizes.
        draws: of the bootstrap; none where there is one seed.

    Returns:
        ``case, seen, draw, method, error`` (root mean square over the larger sizes, in the grid's unit), and ``regret``: what they
        lose with the forecast hyperparameter, as a part of what widening has won them since the largest seen size.
    """
    rows = []
    for draw, curves in enumerate(_resampled(problem.curves, draws)):
        for method, places in _places(problem, seen, curves).items():
            error, regret = _errors(curves, seen, places)
            rows.append({"case": problem.name, "seen": seen, "draw": draw, "method": method, "error": error, "regret": regret})
    return pd.DataFrame(rows)


def _resampled(curves: Curves, draws: int) -> Iterator[Curves]:
    yield curves
    rng = np.random.default_rng(0)
    for _ in range(draws if curves.seeds > 1 else 0):
        picks = rng.integers(curves.seeds, size=(curves.sizes.size, curves.seeds))
        yield replace(curves, losses=np.stack([curves.losses[row, k] for k, row in enumerate(picks)], axis=1))


def _places(problem: Problem, seen: int, curves: Curves) -> Mapping[str, np.ndarray]:
    """The optimum at each larger size by every method."""
    found, octaves = curves.optima(curves.means()[0]).place[:seen], np.log2(curves.sizes)
    slope = (found[-1] - found[-2]) / (octaves[seen - 1] - octaves[seen - 2])
    still = np.full(curves.sizes.size - seen, found[-1])
    line = found[-1] + slope * (octaves[seen:] - octaves[seen - 1])
    return {FORECAST: extrapolate(problem, seen, curves).places, STILL: still, LINE: line}


def _errors(curves: Curves, seen: int, places: np.ndarray) -> tuple[float, float]:
    """Error of the optimum and regret; a place outside the grid counts as its edge for the regret."""
    from scipy.interpolate import CubicSpline

    means = curves.means()[0]
    optima = curves.optima(means)
    error = float(np.sqrt(np.mean((places - optima.place[seen:]) ** 2)))
    if not np.isfinite(places).all():
        return error, np.nan
    lost = 0.0
    for curve, place, best in zip(means[seen:], places, optima.place[seen:], strict=True):
        usable = np.isfinite(curve)
        points = curves.points[usable]
        spline = CubicSpline(points, np.log(curve[usable]) if curves.steep else curve[usable])
        here, lowest = spline(np.clip([place, best], points[0], points[-1]))
        lost += max(0.0, float(np.exp(here) - np.exp(lowest) if curves.steep else here - lowest))
    won = float((optima.value[seen - 1] - optima.value[seen:]).sum())
    return error, lost / won if won > 0 else np.nan


def judge(problem: Problem, seen: int) -> dict[str, object]:
    """The forecast's verdict beside the measured one, and how many of the larger sizes lie in its intervals."""
    found = extrapolate(problem, seen, problem.curves, draws=400)
    truth = problem.curves.optima(problem.curves.means()[0]).place[seen:]
    inside = (found.place_ends[0] <= truth) & (truth <= found.place_ends[1])
    row = {"case": problem.name, "seen": seen, "forecast": found.kind, "measured": problem.measured, "theory": problem.expected}
    covered = float(inside.mean()) if problem.curves.seeds > 1 else np.nan
    return {**row, "reason": found.reason, "inside": covered, "larger sizes": truth.size}


def ratio(scores: pd.DataFrame, baseline: str, *, quantity: str = "error") -> tuple[float, tuple[float, float]]:
    """Geometric mean over problems of the forecast's error (or regret) over a baseline's, with its 95 % interval over the bootstrap.

    Below 1 the forecast is better. Problems with one seed have no draws and count with their measurement in each.
    """
    values = scores.assign(value=np.log(scores[quantity].clip(lower=FLOORS[quantity])))
    table = values.pivot_table(index=["case", "seen"], columns=["method", "draw"], values="value")
    logs = table[FORECAST] - table[baseline]
    logs = logs.apply(lambda row: row.fillna(row[0]), axis=1)
    means = np.exp(logs.mean(axis=0))
    drawn = means.drop(index=0)
    ends = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else np.repeat(means[0], 2)
    return float(means[0]), (float(ends[0]), float(ends[1]))


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per problem and method: error and regret with their 95 % intervals."""
    rows = []
    for (case, seen, method), group in scores.groupby(["case", "seen", "method"], sort=False):
        row: dict[str, object] = {"case": case, "seen": seen, "method": method}
        for quantity in ("error", "regret"):
            drawn = group.loc[group["draw"] > 0, quantity].dropna()
            low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
            row |= {quantity: group.loc[group["draw"] == 0, quantity].iloc[0], f"{quantity} low": low, f"{quantity} high": high}
        rows.append(row)
    return pd.DataFrame(rows)
