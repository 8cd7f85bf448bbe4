"""Predicted exponents against measured slopes, term by term."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from .fit import fit_slope

if TYPE_CHECKING:
    import pandas as pd

Exponent = Fraction | float | int | tuple[float, float]
KEY = ["weight", "term", "step"]
COLUMNS = [*KEY, "predicted", "measured", "se", "tolerance", "verdict"]


def compare_slopes(
    frame: pd.DataFrame,
    *,
    axis: str,
    predicted: Mapping[tuple[str, str], Exponent | None] | None = None,
    tolerance: float = 0.1,
) -> pd.DataFrame:
    """Fit the slope of every term over one axis and hold it against its predicted exponent.

    A slope *agrees* within ``tolerance`` (the finite-size term, given) plus two standard errors over the seeds, and *misses* beyond;
    one that agrees with two standard errors over ``tolerance`` is *too noisy* to tell, and so is a term that is absent for a seed at
    some size (too small to be felt there). A term that is inf or nan *diverged*; one that is zero throughout *vanishes*, which agrees
    with the prediction None and misses any other.

    Args:
        frame: long form, with columns ``seed, weight, term, step, value, size.<axis>``.
        axis: the size that was varied.
        predicted: exponent per (weight, term), the pair (low, high) for a crossover of two mechanisms, None for "identically
            zero". By default the frame's own column ``predicted``, constant within a term.
        tolerance: allowed distance of the slope.

    Returns:
        One row per weight, term and step with a prediction: ``weight, term, step, predicted, measured, se, tolerance, verdict``.

    Raises:
        ValueError: if a column is missing, or a term was measured at fewer than two sizes.
    """
    import pandas as pd

    size = f"size.{axis}"
    needed = [*KEY, "seed", "value", size, *([] if predicted is not None else ["predicted"])]
    if missing := [c for c in needed if c not in frame.columns]:
        raise ValueError(f"the frame has no column {', '.join(f'`{c}`' for c in missing)} (it has {', '.join(map(str, frame.columns))})")
    rows = []
    networks = {step: len(part[["seed", size]].drop_duplicates()) for step, part in frame.groupby("step")}
    for key, group in frame.groupby(KEY, sort=False):
        weight, term, step = cast("tuple[str, str, int]", key)
        if predicted is None:
            exponent = _own_prediction(group)
        elif (weight, term) in predicted:
            exponent = predicted[weight, term]
        else:
            continue
        found = _judge(group, size, exponent, tolerance, partial=len(group) < networks[step] and exponent is not None)
        rows.append({"weight": weight, "term": term, "step": step, **found})
    return pd.DataFrame(rows, columns=COLUMNS)


def misses(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in which a prediction failed: it missed, or a term diverged."""
    return rows[rows["verdict"].isin(["misses", "diverged"])]


def _own_prediction(group: pd.DataFrame) -> float | None:
    found = group["predicted"].dropna().unique()
    if len(found) > 1:
        raise ValueError(
            f"term `{group['term'].iloc[0]}` of `{group['weight'].iloc[0]}` has {len(found)} predicted exponents; it needs one"
        )
    return float(found[0]) if len(found) else None


def _judge(group: pd.DataFrame, size: str, exponent: Exponent | None, tolerance: float, *, partial: bool) -> dict[str, object]:
    import numpy as np

    shown = exponent if exponent is None or isinstance(exponent, tuple) else float(exponent)
    blank = {"predicted": shown, "measured": math.nan, "se": math.nan, "tolerance": tolerance}
    values = group.pivot_table(index="seed", columns=size, values="value", aggfunc="mean", dropna=False)
    table = values.to_numpy(float)
    if partial and group["value"].notna().all():
        return {**blank, "verdict": "too noisy"}
    if not np.isfinite(table).all():
        return {**blank, "verdict": "diverged"}
    if (table <= 0).any():
        return {**blank, "verdict": "vanishes" if exponent is None else "misses"}
    slope = fit_slope(values.columns.to_numpy(float), table)
    noise = 0.0 if math.isnan(slope.se) else 2 * slope.se
    found = {"predicted": shown, "measured": slope.value, "se": slope.se, "tolerance": tolerance + noise}
    return {**found, "verdict": _verdict(slope.value, exponent, tolerance, noise)}


def _verdict(measured: float, exponent: Exponent | None, tolerance: float, noise: float) -> str:
    if exponent is None:
        return "misses"
    low, high = exponent if isinstance(exponent, tuple) else (exponent, exponent)
    if float(low) - tolerance - noise <= measured <= float(high) + tolerance + noise:
        return "too noisy" if noise > tolerance else "agrees"
    return "misses"
