"""Exponents in the width with their intervals: seeds are drawn anew, all at once for whatever is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...figures.fit import DRAWS
from ..claims import Interval

Array = np.ndarray


def by_seed(rows: pd.DataFrame, column: str = "value") -> tuple[Array, Array]:
    """Widths, and log2 of the values, (seed, width)."""
    table = rows.pivot(index="seed", columns="size.n", values=column).sort_index()
    return table.columns.to_numpy(float), np.log2(table.to_numpy(float))


def slope(widths: Array, logs: Array) -> Array:
    """Least squares over the last dimension."""
    x = np.log2(widths) - np.log2(widths).mean()
    return logs @ x / (x @ x)


def local_slopes(widths: Array, logs: Array) -> Array:
    """Between successive widths; a power law has them all alike."""
    return np.diff(logs) / np.diff(np.log2(widths))


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    interval: Interval


def estimate(values: Mapping[Any, Array], statistic: Callable[[Mapping[Any, Any]], float]) -> Estimate:
    """A statistic of means over seeds, bootstrap over seeds.

    Args:
        values: arrays of which the first dimension is the seed, of the same seeds all.
        statistic: of the means of all of them.
    """
    seeds = len(next(iter(values.values())))
    picks = np.random.default_rng(0).integers(seeds, size=(DRAWS, seeds))
    drawn = [statistic({name: array[pick].mean(0) for name, array in values.items()}) for pick in picks]
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    value = statistic({name: array.mean(0) for name, array in values.items()})
    return Estimate(float(value), (float(low), float(high)))
