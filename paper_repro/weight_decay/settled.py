"""Quantities of matrices in their steady state, from the rows that `llama.followed` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...theory.steady_state import AdamW
from ..claims import Interval
from .llama import BETAS, FEED_FORWARD

LATE = 0.75  # part of the run after which looks count as late

Array = NDArray[np.float64]
Estimate = tuple[float, Interval]


def over_seeds(values: Sequence[float] | Array) -> Estimate:
    """Mean and 95 % interval (Student's t) of one number from every seed of the initial weights; all seeds read the same batches."""
    from scipy.stats import t

    found = np.asarray(values, float)
    mean = float(found.mean())
    half = float(t.ppf(0.975, found.size - 1) * found.std(ddof=1) / sqrt(found.size)) if found.size > 1 else np.inf
    return mean, (mean - half, mean + half)


@dataclass(frozen=True)
class Followed:
    """Rows of several runs with the same seeds and looks.

    Args:
        frame: as from `followed`.
        by: the column that tells runs apart.
        runs: its values, in the order wanted.
    """

    frame: pd.DataFrame
    by: str
    runs: tuple[Any, ...]

    @cached_property
    def looks(self) -> Array:
        """Updates after which matrices were measured."""
        return np.unique(self.frame.loc[self.frame["kind"] != "", "step"].to_numpy(float))

    @cached_property
    def seeds(self) -> Array:
        """Of the initial weights."""
        return np.unique(self.frame["seed"].to_numpy(float))

    def curves(self, term: str, kinds: Sequence[str] = FEED_FORWARD) -> Array:
        """Mean of the logarithm over matrices and blocks, (run, seed, look); nan where there is none."""
        return self._means(term, kinds, "step", self.looks)

    def late(self, term: str, kinds: Sequence[str] = FEED_FORWARD) -> Array:
        """Mean of the logarithm over the late looks, too, (run, seed)."""
        chosen = self.curves(term, kinds)[..., self.looks >= LATE * self.looks.max()]
        known = chosen[..., ~np.isnan(chosen).all(axis=(0, 1))]
        return np.exp(np.log(known).mean(axis=-1))

    def spectra(self, kinds: Sequence[str] = FEED_FORWARD) -> Array:
        """Singular values at the end, mean of the logarithm, (run, seed, place); nan beyond the last place of a run."""
        places = self.frame.loc[(self.frame["term"] == "singular value") & self.frame["kind"].isin(kinds), "k"]
        return self._means("singular value", kinds, "k", np.arange(1.0, places.max() + 1))

    def _means(self, term: str, kinds: Sequence[str], column: str, values: Array) -> Array:
        rows = self.frame[(self.frame["term"] == term) & self.frame["kind"].isin(kinds)]
        with np.errstate(divide="ignore"):  # nothing is forgotten before the first update
            logarithms = np.log(rows["value"].to_numpy(float))
        keys = [self.by, "seed", column]
        means = rows[keys].assign(value=logarithms).groupby(keys)["value"].mean()
        every = pd.MultiIndex.from_product([self.runs, self.seeds, values], names=keys)
        return np.exp(means.reindex(every).to_numpy(float)).reshape(len(self.runs), self.seeds.size, values.size)


def relaxation(forgotten: Array, gain: Array, pace: float | None = None) -> tuple[float, float]:
    """The last gain and the pace of ``g^2 = g_inf^2 - (g_inf^2 - g_0^2) exp(-pace x)``, by least squares in the logarithm.

    Args:
        forgotten: x, ``2 lambda`` times the sum of all rates since the first look.
        gain: g.
        pace: 1 if squares are forgotten as decay alone has it; None fits it.
    """
    from scipy.optimize import least_squares

    def miss(p: Array) -> Array:
        return np.log(relaxed(forgotten, gain[0], float(np.exp(p[0])), float(np.exp(p[1])) if pace is None else pace) / gain)

    start = [np.log(gain[-1])] + [0.0] * (pace is None)
    found = np.exp(least_squares(miss, start, loss="soft_l1", f_scale=0.1).x)
    return float(found[0]), float(found[1]) if pace is None else pace


def relaxed(forgotten: Array, first: float, last: float, pace: float = 1.0) -> Array:
    """The gain on its way from the first to the last."""
    return np.sqrt(last**2 - (last**2 - first**2) * np.exp(-pace * forgotten))


def finite_rate(product: Array) -> Array:
    """By what Adam's steady deviation exceeds ``sqrt(rate / (2 decay))`` where their product is not small (see `AdamW`)."""
    own = [AdamW(float(p), 1.0, BETAS[0]) for p in np.ravel(product)]
    return np.sqrt([one.variance_at_full_averaging / one.naive for one in own]).reshape(np.shape(product))


def turned(product: Array) -> Array:
    """The angle by which independent gradients turn a matrix in one update of the steady state."""
    return np.sqrt(2 * product * (1 - BETAS[0]) / (1 + BETAS[0]))


def fit_powers(logarithms: Array, *sizes: Array) -> Array:
    """Least squares of logarithms, (place, ...), on a constant and the logarithms of these sizes, (place): powers, (size, ...)."""
    design = np.stack([np.ones(len(logarithms)), *(np.log(own) for own in sizes)], 1)
    return np.asarray(np.linalg.lstsq(design, logarithms, rcond=None)[0][1:], float)
