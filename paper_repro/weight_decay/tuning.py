"""Losses of the LLaMA-like model against its rate and its decay at several widths, under rules for the decay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ...figures.fit import Drift, fit_drift
from ...synthetic.ensemble import Ensemble, schedule_factor
from ...synthetic.sweep import Plan
from .llama import RULES, Study
from .widths import FORGOTTEN

RATE, DECAY = "hp.learning_rate", "hp.weight_decay"


@dataclass(frozen=True)
class Tuning:
    """Two sweeps: rates under every rule, and decays at one rate.

    Args:
        study: the model.
        rate: of the sweep of decays.
        decay: of the sweep of rates.
        rates: ends of the grid, in octaves from ``rate``.
        decays: ends of the grid, in octaves from ``decay`` times the root of the width over the smallest.
        spacing: of both grids, in octaves.
    """

    study: Study
    rate: float
    decay: float
    rates: tuple[float, float] = (-2.0, 2.0)
    decays: tuple[float, float] = (-3.0, 3.0)
    spacing: float = 1.0

    @property
    def plan(self) -> Plan:
        """All ensembles, small ones first; at the smallest width all rules are one."""
        rates, decays = self._grid(self.rate, self.rates), self._grid(self.decay, self.decays)
        found: list[Ensemble] = []
        for i, width in enumerate(self.study.widths):
            rules = RULES if i else ("root",)
            found += [self.study.ensemble(width, rates, (self.decay,), rule, case="llama, rates") for rule in rules]
            found.append(self.study.ensemble(width, (self.rate,), decays, "root", case="llama, decays"))
        return Plan(tuple(found))

    def _grid(self, middle: float, ends: tuple[float, float]) -> tuple[float, ...]:
        return tuple(float(middle * 2**x) for x in np.arange(ends[0], ends[1] + self.spacing / 2, self.spacing))


@dataclass(frozen=True)
class Tuned:
    """What came of them.

    Args:
        tuning: what was done.
        frame: as from `execute`.
    """

    tuning: Tuning
    frame: pd.DataFrame

    @cached_property
    def last(self) -> pd.DataFrame:
        """The last validation losses, with the column ``stationary``: whether three e-folds of the initial squared norms are forgotten."""
        rows = self.frame[(self.frame["term"] == "validation loss") & (self.frame["step"] == self.tuning.study.steps)]
        study = self.tuning.study
        total = sum(schedule_factor(study.schedule, t, study.steps, study.warmup) for t in range(study.steps))
        over, powers = rows["size.n"] / study.widths[0], rows["config"].map({rule: float(p) for rule, p in RULES.items()})
        return rows.assign(stationary=2 * total * rows[RATE] * rows[DECAY] * over ** (powers - 1) >= FORGOTTEN)

    def rates(self, rule: str) -> pd.DataFrame:
        """Losses of all rates under a rule: columns ``seed, size.n, hp.learning_rate, value``."""
        rows, small = self.last[self.last["case"] == "llama, rates"], self.tuning.study.widths[0]
        return rows[(rows["config"] == rule) | (rows["size.n"] == small)]

    @property
    def decays(self) -> pd.DataFrame:
        """Losses of all decays, in units of the decay at the smallest width times the root of the width over it."""
        return self.last[self.last["case"] == "llama, decays"]

    def drift(self, rule: str) -> Drift:
        """Of the best rate, octaves per doubling."""
        return _drift(self.rates(rule), RATE)

    @property
    def power(self) -> Drift:
        """The power of the width with which the best decay grows."""
        found = _drift(self.decays, DECAY)
        at = np.log2(np.unique(self.decays["size.n"]) / self.tuning.study.widths[0]) / 2
        return Drift(found.value + 0.5, found.low + 0.5, found.high + 0.5, tuple(np.add(found.optima, at)), found.problem)

    def zero_shot(self) -> Mapping[str, np.ndarray]:
        """Under every rule the loss of the largest width at the best rate of the smallest, over the best of all, seed by seed."""
        tables = {rule: _table(self.rates(rule), RATE) for rule in RULES}
        chosen = int(next(iter(tables.values()))[:, 0].mean(axis=0).argmin())
        best = min(table[:, -1].mean(axis=0).min() for table in tables.values())
        return {rule: table[:, -1, chosen] - best for rule, table in tables.items()}


def _table(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Losses, (seed, width, value of the column)."""
    keys = ["seed", "size.n", column]
    sizes = [rows[key].nunique() for key in keys]
    return rows.set_index(keys)["value"].sort_index().to_numpy().reshape(sizes)


def _drift(rows: pd.DataFrame, column: str) -> Drift:
    return fit_drift(np.unique(rows["size.n"]), np.unique(rows[column]), _table(rows, column))
