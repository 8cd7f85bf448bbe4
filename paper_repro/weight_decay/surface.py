"""Losses as a function of rate and decay, between the points of the grid, and the places where rules meet it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ...figures.fit import DRAWS
from ..claims import Interval

FINE = 16  # points per octave between those that were trained
MISSING = 0.05  # of the draws of a bootstrap, above which there is no interval

Array = np.ndarray
Estimate = tuple[float | None, Interval | None]


@dataclass(frozen=True)
class Surface:
    """Last losses over rates and decays, both in octaves.

    Args:
        rates: log2 of the grid.
        decays: log2 of the grid.
        losses: above what the task leaves at least, (seed, rate, decay).
    """

    rates: Array
    decays: Array
    losses: Array

    @classmethod
    def of(cls, rows: pd.DataFrame, floor: float) -> Surface:
        """From the rows of one width."""
        keys = ["seed", "hp.learning_rate", "hp.weight_decay"]
        values = rows.set_index(keys)["value"].sort_index()
        seeds, rates, decays = (np.unique(rows[key]) for key in keys)
        return cls(np.log2(rates), np.log2(decays), values.to_numpy(float).reshape(seeds.size, rates.size, decays.size) - floor)

    @property
    def diverged(self) -> int:
        """Runs without a loss."""
        return int((~np.isfinite(self.losses)).sum())

    @cached_property
    def fine_rates(self) -> Array:
        """Octaves."""
        return _between(self.rates)

    @cached_property
    def fine_decays(self) -> Array:
        """Octaves."""
        return _between(self.decays)

    @cached_property
    def draws(self) -> Array:
        """Means over seeds drawn anew (the first: over all), between the points of the grid by cubic splines, (draw, rate, decay).

        A run that diverged counts with the largest loss there is.
        """
        worst = np.nanmax(np.where(np.isfinite(self.losses), self.losses, np.nan))
        table = np.where(np.isfinite(self.losses), self.losses, worst)
        picks = np.random.default_rng(0).integers(len(table), size=(DRAWS, len(table)))
        picks[0] = np.arange(len(table))
        weights = np.stack([np.bincount(p, minlength=len(table)) for p in picks]) / len(table)
        means = np.tensordot(weights, table, 1)
        rate, decay = _spline(self.rates, self.fine_rates), _spline(self.decays, self.fine_decays)
        return np.einsum("ij,djk,lk->dil", rate, means, decay, optimize=True)

    @cached_property
    def best(self) -> tuple[Array, Array]:
        """Octaves of the best rate and decay of every draw; nan where the lowest point of the grid is on an edge."""
        flat = self.draws.reshape(len(self.draws), -1).argmin(1)
        i, j = np.unravel_index(flat, self.draws.shape[1:])
        inside = _inside(i, self.fine_rates)
        if self.decays.size > 1:
            inside &= _inside(j, self.fine_decays)
        return np.where(inside, self.fine_rates[i], np.nan), np.where(inside, self.fine_decays[j], np.nan)

    def best_decay(self, rate: float) -> Array:
        """Octaves of the best decay of every draw at one rate (octaves)."""
        i = int(_place(np.array(rate), self.fine_rates)[0])
        j = self.draws[:, i].argmin(1)
        return np.where(_inside(j, self.fine_decays), self.fine_decays[j], np.nan)

    def least(self, rate: float | None) -> Array:
        """The lowest loss of every draw, of all rates or at one."""
        return self.draws.min((1, 2)) if rate is None else self.draws[:, int(_place(np.array(rate), self.fine_rates)[0])].min(1)

    def best_rate(self, decay: Array) -> Array:
        """Of every draw at its own decay (octaves)."""
        curves, known = self.along(decay)
        i = curves.argmin(1)
        return np.where(known & _inside(i, self.fine_rates), self.fine_rates[i], np.nan)

    def along(self, decay: Array) -> tuple[Array, Array]:
        """Losses against the rate, (draw, rate), at a decay of every draw, and whether that decay is on the grid."""
        j, known = _place(decay, self.fine_decays)
        return self.draws[np.arange(len(self.draws)), :, j], known

    def at(self, rate: Array, decay: Array) -> Array:
        """The loss of every draw at its own rate and decay; nan off the grid."""
        (i, on), (j, also) = _place(rate, self.fine_rates), _place(decay, self.fine_decays)
        return np.where(on & also, self.draws[np.arange(len(self.draws)), i, j], np.nan)


@dataclass(frozen=True)
class Scaled:
    """A rule: powers of the width of rate and decay of a matrix.

    Args:
        rate: power of the rate.
        decay: power of the decay.
    """

    rate: float
    decay: float


@dataclass(frozen=True)
class Surfaces:
    """Those of all widths; rates of 1/n and decays that do not scale are the units.

    Args:
        own: by width, the smallest first.
        rate: octaves of the rate at which decays are tuned; None: rate and decay are tuned jointly.
    """

    own: Mapping[int, Surface]
    rate: float | None = None

    @property
    def widths(self) -> Array:
        """n."""
        return np.array(list(self.own), float)

    @cached_property
    def octaves(self) -> Array:
        """Doublings from the smallest width."""
        return np.log2(self.widths / self.widths[0])

    @property
    def first(self) -> Surface:
        """Where everything is tuned."""
        return next(iter(self.own.values()))

    @cached_property
    def tuned(self) -> tuple[Array, Array]:
        """Octaves of rate and decay at the smallest width, of every draw."""
        if self.rate is None:
            return self.first.best
        decay = self.first.best_decay(self.rate)
        return np.full(decay.shape, self.rate), decay

    @cached_property
    def best_decays(self) -> Array:
        """Octaves, (draw, width)."""
        return np.stack([s.best[1] if self.rate is None else s.best_decay(self.rate) for s in self.own.values()], 1)

    def best_rates(self, rule: Scaled) -> Array:
        """Octaves in the units of the rule, (draw, width), at the decays that the rule asks for."""
        tuned = self.tuned[1]
        found = [s.best_rate(tuned + rule.decay * x) - (rule.rate + 1) * x for s, x in zip(self.own.values(), self.octaves, strict=True)]
        return np.stack(found, 1)

    def power(self, values: Array) -> Array:
        """The slope of octaves, (draw, width), in those of the width."""
        x = self.octaves - self.octaves.mean()
        return values @ x / (x @ x)

    def penalty(self, rule: Scaled) -> Array:
        """What the largest width loses with the rule, at rate and decay of the smallest, against its own best; of every draw."""
        rate, decay = self.tuned
        last, x = list(self.own.values())[-1], self.octaves[-1]
        return last.at(rate + (rule.rate + 1) * x, decay + rule.decay * x) - last.least(self.rate)


def summary(values: Array) -> Estimate:
    """The first value, and the 95 % interval of all; None where there is none."""
    if np.isnan(values[0]):
        return None, None
    if np.isnan(values).mean() > MISSING:
        return float(values[0]), None
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(values[0]), (float(low), float(high))


def _between(grid: Array) -> Array:
    return np.linspace(grid[0], grid[-1], round((grid[-1] - grid[0]) * FINE) + 1)


def _spline(grid: Array, fine: Array) -> Array:
    """The matrix that takes values on the grid to values between."""
    if grid.size == 1:
        return np.ones((1, 1))
    from scipy.interpolate import CubicSpline

    return CubicSpline(grid, np.eye(grid.size))(fine)


def _inside(index: Array, fine: Array) -> Array:
    """Whether an optimum lies more than half a step of the grid from its edges."""
    margin = FINE // 2
    return (index >= margin) & (index < fine.size - margin)


def _place(octaves: Array, fine: Array) -> tuple[Array, Array]:
    """The nearest point, and whether there is one."""
    at = (octaves - fine[0]) * FINE
    known = np.isfinite(at) & (at > -0.5) & (at < fine.size - 0.5)
    return np.where(known, np.round(np.where(known, at, 0)), 0).astype(int), known
