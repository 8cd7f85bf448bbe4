"""Studies of trajectories: one network, task and optimizer at several widths and learning rates, every replica taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ...synthetic import tasks
from ...synthetic.alignment import Averaging
from ...synthetic.corpus_task import ALPHABET, corpus
from ...synthetic.ensemble import Auxiliary, Ensemble
from ...synthetic.store import Store
from ...synthetic.trajectory import Trajectory, decompose
from ...theory.architecture import Architecture
from ...theory.constants import Constants
from ...theory.parameterizations import parameterization
from ...theory.zoo import llama, mlp
from ..papers import Progress

TABLES = {"adam": "adam", "sgd": "sgd", "muon": "muon-scaled", "dion bounded": "dion", "dion proportional": "dion"}
MOMENTUM = {"sgd": 0.9, "muon": 0.95, "dion bounded": 0.95, "dion proportional": 0.95}
BASE = 32  # width of the perceptron at which its rates are given; the language model's is its architecture's
HEADS = 4
VALIDATION = 32  # windows of the corpus


@dataclass(frozen=True)
class Study:
    """What is trained and how it is looked at.

    Args:
        optimizer: one of `TABLES`. Muon and Dion train what has two growing sides, Adam the rest at the rate ``auxiliary``.
        task: ``digits``, ``graded`` or ``corpus`` (of the latter two every batch is fresh).
        octaves: ends of the grid of learning rates, log2, in units of the rate at the base width.
        network: ``mlp`` with ReLU, or ``llama``, which reads the corpus. The readout starts at zero: all widths start from the same loss.
        hidden: hidden layers of the one, blocks of the other.
        positions: characters in a window of the corpus.
        ranks: Dion's: bounded ``min(ranks[0], n / ranks[1])``, proportional ``n / ranks[1]``.
        average: windows at the start and at the end, spacings of looks likewise, steps over which they grow.
        grid: other hyperparameters of single replicas.
        samplewise: see `Trajectory`.
        leading: see `Trajectory`.
        precision: of matrix products, see `Ensemble`.
    """

    optimizer: str
    task: str
    octaves: tuple[float, float]
    widths: tuple[int, ...]
    network: str = "mlp"
    hidden: int = 2
    positions: int = 64
    ranks: tuple[int, int] = (8, 4)
    spacing: float = 0.5
    seeds: tuple[int, ...] = (0, 1)
    steps: int = 210
    batch: int = 64
    average: tuple[float, float, float, float, int] = (20, 100, 2, 4, 150)
    auxiliary: float = 0.001
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    samplewise: bool = False
    leading: int = 0
    precision: str = "full"
    device: str = "cpu"

    @property
    def rates(self) -> tuple[float, ...]:
        """The grid of learning rates."""
        low, high = self.octaves
        return tuple(float(2**x) for x in np.arange(low, high + self.spacing / 2, self.spacing))

    def trajectories(self) -> list[Trajectory]:
        """One for every width, small first."""
        task = self._task()
        network = self._network(task)
        table = parameterization("mup", network, TABLES[self.optimizer])
        first, last, dense, sparse, over = self.average
        averaging = Averaging((float(first), float(last)), (float(dense), float(sparse)), over)
        settings = {
            "architecture": network,
            "table": table,
            "task": task,
            "learning_rates": self.rates,
            "seeds": self.seeds,
            "steps": self.steps,
            "batch": self.batch,
            "constants": silent_readout(network),
            "momentum": MOMENTUM.get(self.optimizer, 0.0),
            "auxiliary": self._auxiliary(network),
            "schedule": "stable-decay",
            "warmup": round(0.04 * self.steps),
            "grid": dict(self.grid),
            "case": f"{self.task} {self.optimizer}",
            "config": "mup",
            "records": 2,
            "precision": self.precision,
        }
        looks = {"averaging": averaging, "samplewise": self.samplewise, "leading": self.leading}
        return [Trajectory(Ensemble(sizes={"n": n}, rank=self.rank(n), **settings), **looks) for n in self.widths]

    def rank(self, width: int) -> int:
        """Of Dion's updates; 0 for the other optimizers."""
        bound, divisor = self.ranks
        return {"dion bounded": min(bound, width // divisor), "dion proportional": width // divisor}.get(self.optimizer, 0)

    def _task(self) -> tasks.Task:
        samples = self.steps * self.batch
        if self.task == "corpus":
            return corpus(positions=self.positions, samples=samples, validation=VALIDATION)
        return tasks.digits() if self.task == "digits" else tasks.graded(samples=samples)

    def _network(self, task: tasks.Task) -> Architecture:
        if self.network == "llama":
            return llama(blocks=self.hidden, vocab=len(ALPHABET), positions=self.positions, heads=HEADS)
        return mlp(activation="relu", hidden=self.hidden, base=BASE, outputs=int(task.targets.max()) + 1)

    def _auxiliary(self, network: Architecture) -> Auxiliary | None:
        if self.optimizer in ("adam", "sgd"):
            return None
        square = {w.name for w in network.weights.values() if network.monomial(w.out) and network.monomial(w.inn)}
        rest = tuple(name for name in network.weights if name not in square)
        return Auxiliary(parameterization("mup", network, "adam"), rest, self.auxiliary)


def silent_readout(network: Architecture) -> Constants:
    """The default constants, with a readout that starts at zero."""
    constants = Constants.default(network)
    last = [name for name, weight in network.weights.items() if not network.monomial(weight.out)][-1]
    weights = {name: replace(c, init_std=0.0) if name == last else c for name, c in constants.weights.items()}
    return replace(constants, weights=weights)


def measure(study: Study, *, store_home: Path, progress: Progress) -> pd.DataFrame:
    """Train what the store lacks; the frames of all widths (see `trajectory.decompose`)."""
    store, frames = Store(store_home), []
    device = "cpu" if study.device == "cuda" and not torch.cuda.is_available() else study.device
    for spec in study.trajectories():
        if store.load(spec.key_data()) is None:
            progress(f"{spec.ensemble.label}: {len(spec.ensemble.replicas)} trajectories")
        frames.append(store.get_or_make(spec.key_data(), lambda spec=spec: decompose(spec, device=device), device=device))
    return pd.concat(frames, ignore_index=True)
