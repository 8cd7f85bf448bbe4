"""The sweeps that `curves`, `rates` and the transfer cases share: both tables and both readouts at every size and rate, fresh batches.

A *slow* study gives the experts' last weights 2^-10 of their balanced rate, so that what is learned is read through their initial values.
Multipliers tuned by the paper's authors lie there (in their code 2^-8 to 2^-2 for these weights, beside 2^-4 to 2^10 for the experts'
first); that this is where muP fails is our reading. In a *balanced* study all weights learn alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...figures.fit import DRAWS
from ...synthetic.engines import Engine, Local
from ...synthetic.ensemble import Ensemble
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...synthetic.tasks import interaction
from ..claims import Interval
from ..papers import Progress
from ..sweeping import run_sweep
from .networks import START, constants, network, sizes, tables

BATCH, RECORDS = 32, 20
DOWN = {"slow": 2.0**-10, "balanced": 1.0}


@dataclass(frozen=True)
class Scan:
    """Rates at every size of one regime.

    Args:
        regime: which axes grow.
        optimizer: ``sgd`` or ``adam``.
        base: ``slow`` or ``balanced``.
        widths: n.
        octaves: ends of the grid of rates, log2.
        spacing: of that grid, in octaves.
        seeds: of the initial weights.
        steps: updates, each on a fresh batch; the rate falls linearly to zero.
        configs: of `START`.
    """

    regime: str
    optimizer: str
    base: str
    widths: tuple[int, ...]
    octaves: tuple[float, float]
    spacing: float = 1.0
    seeds: int = 4
    steps: int = 64
    configs: tuple[str, ...] = tuple(START)

    @property
    def rates(self) -> tuple[float, ...]:
        """The grid."""
        low, high = self.octaves
        return tuple(float(2**x) for x in np.arange(low, high + self.spacing / 2, self.spacing))

    @property
    def case(self) -> str:
        """The label of its runs."""
        return f"{self.regime} {self.optimizer} {self.base}"

    def ensembles(self) -> tuple[Ensemble, ...]:
        """All that is trained, small networks first."""
        chosen = {name: tables(self.regime, self.optimizer)[name] for name in self.configs}
        return Plan.grid(
            chosen, [sizes(self.regime, n) for n in self.widths], architecture=network(self.regime),
            task=interaction(samples=self.steps * BATCH), learning_rates=self.rates, seeds=tuple(range(self.seeds)), steps=self.steps,
            batch=BATCH, constants=constants(self.regime, self.optimizer, down=DOWN[self.base]), schedule="linear", records=RECORDS,
            case=self.case,
        ).ensembles  # fmt: skip


@dataclass(frozen=True)
class Study:
    """The scans of a preset, and where they are trained."""

    scans: tuple[Scan, ...]
    device: str = "cpu"

    @property
    def plan(self) -> Plan:
        """All of them."""
        return Plan(tuple(e for scan in self.scans for e in scan.ensembles()))


@dataclass(frozen=True)
class Losses:
    """Validation losses of one configuration, shape (seed, width, rate, step); infinite where a run diverged."""

    widths: np.ndarray
    rates: np.ndarray
    steps: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, case: str, config: str) -> Losses:
        """From what `execute` returns."""
        rows = frame[(frame["case"] == case) & (frame["config"] == config) & (frame["term"] == "validation loss")]
        table = rows.set_index(["seed", "size.n", "hp.learning_rate", "step"])["value"].sort_index()
        levels = [np.unique(table.index.get_level_values(level)) for level in range(4)]
        _, widths, rates, steps = levels
        return cls(widths, rates, steps, table.to_numpy().reshape([len(level) for level in levels]))

    @property
    def tuned(self) -> int:
        """The index of the rate that is best for the smallest network."""
        return int(self.values[:, 0, :, -1].mean(axis=0).argmin())

    @property
    def curves(self) -> np.ndarray:
        """At that rate: shape (seed, width, step)."""
        return self.values[:, :, self.tuned]

    def estimate(self, statistic: Callable[[np.ndarray], float]) -> tuple[float, Interval]:
        """A statistic of the mean curves, shape (width, step), and its 95 % interval, bootstrap over seeds."""
        picks = np.random.default_rng(0).integers(len(self.curves), size=(DRAWS, len(self.curves)))
        low, high = np.quantile([statistic(self.curves[p].mean(axis=0)) for p in picks], [0.025, 0.975], method="inverted_cdf")
        return statistic(self.curves.mean(axis=0)), (float(low), float(high))


def measure(name: str, study: Study, *, store_home: Path, progress: Progress, engine: Engine | None = None) -> pd.DataFrame:
    """Train what the store lacks."""
    import torch

    device = "cpu" if study.device == "cuda" and not torch.cuda.is_available() else study.device
    return run_sweep(name, study.plan, Store(store_home), device=device, engine=engine or Local(), progress=progress)


_OCTAVES = {("sgd", "slow"): (-1, 7), ("sgd", "balanced"): (-4, 4), ("adam", "slow"): (-5, 3), ("adam", "balanced"): (-5, 3)}


def _study(widths: Mapping[str, tuple[int, ...]], small: Mapping[str, tuple[int, ...]], device: str = "cpu", **more: Any) -> Study:
    """Slow sweeps of all regimes, and balanced ones of those with many experts."""
    slow = [("slow", regime, own) for regime, own in widths.items()]
    balanced = [("balanced", regime, own) for regime, own in small.items()]
    optimizers = ("sgd", "adam")
    return Study(tuple(Scan(r, o, base, own, _OCTAVES[o, base], **more) for o in optimizers for base, r, own in (*slow, *balanced)), device)


_FEW = {"I": (32, 64), "II": (32, 64, 128), "III": (16, 32, 64)}
_MORE = {"I": (32, 64, 128, 256, 512), "II": (32, 64, 128, 256, 512), "III": (16, 32, 64, 128)}
_MANY = {"I": (32, 64, 128, 256, 512, 1024, 2048), "II": (32, 64, 128, 256, 512, 1024, 2048), "III": (16, 32, 64, 128, 256, 512, 1024)}
PRESETS = {
    "smoke": _study(_FEW, {"II": (32, 64)}, seeds=2, steps=20),
    "laptop": _study(_MORE, {"II": (32, 64, 128, 256), "III": (16, 32, 64, 128)}),
    "gpu": _study(_MANY, {"II": (32, 128, 512, 2048), "III": (16, 64, 256, 1024)}, "cuda", seeds=8),
}
