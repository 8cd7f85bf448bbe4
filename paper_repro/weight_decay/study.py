"""Trained networks whose matrices are followed to their steady state: what is trained, and what comes of it by matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ...synthetic.ensemble import Ensemble
from ...synthetic.following import follow
from ...synthetic.scaling import scale
from ...synthetic.store import Store
from ..papers import Progress
from .networks import BETAS, matrices, setting, settings
from .slopes import slope

FORGOTTEN = 4.0
"""e-folds beyond the ratio of initial to final squared norms: 2 % of the latter is left of the former."""
LIKE_NOISE = 0.1  # distance from what noise does, of the part that persists and of the angle of an update
RUN = ("case", "size.n", "hp.learning_rate", "hp.weight_decay", "seed")
PER_INPUT = 16  # samples that matrices are measured on, per unit of the width


@dataclass(frozen=True)
class Study:
    """What is trained: at every width the same product of rate and decay, so that all are as stationary.

    Args:
        cases: settings by the names of `networks.setting`.
        widths: n.
        seeds: of the initial weights.
        steps: updates at constant rates behind a warmup; measured after the last.
        varied: the width at which rate and decay are doubled, each alone and both.
        rate: eta of matrices at the width ``base``.
        decay: lambda there.
        base: the width at which they are told.
        batch: samples of a step, all fresh.
        warmup: updates.
        device: where.
    """

    cases: tuple[str, ...] = ("S1", "S1 0.5", "S2")
    widths: tuple[int, ...] = (32, 64, 128, 256)
    seeds: int = 4
    steps: int = 800
    varied: int = 64
    rate: float = 0.004
    decay: float = 1.0
    base: int = 128
    batch: int = 128
    warmup: int = 50
    device: str = "cpu"

    @property
    def memory(self) -> int:
        """``1 / (eta lambda)`` updates."""
        return round(1 / (self.rate * self.decay))

    def ensemble(self, case: str, width: int) -> Ensemble:
        """Replicas of one width; where rate and decay are varied, all four pairs."""
        net, task = setting(case, width=width, base=self.base, samples=self.steps * self.batch, validation=PER_INPUT * width)
        both = (1.0, 2.0) if width == self.varied else (1.0,)
        return Ensemble(
            **settings(net), task=task, sizes={"n": width}, learning_rates=tuple(self.rate * f for f in both),
            grid={"weight_decay": tuple(self.decay * f for f in both)}, seeds=tuple(range(self.seeds)), steps=self.steps,
            batch=self.batch, warmup=self.warmup, records=2, case=case, config="linear",
        )  # fmt: skip

    def train(self, *, store_home: Path, device: str, progress: Progress) -> Iterator[pd.DataFrame]:
        """What the store lacks, small widths first; rows of single matrices."""
        store = Store(store_home)
        for width in self.widths:
            for case in self.cases:
                ensemble = self.ensemble(case, width)
                looks = (self.steps - self.memory, self.steps)
                progress(f"{ensemble.label}: {len(ensemble.replicas)} networks")
                data = {"kind": "following", "ensemble": ensemble.key_data(), "looks": looks, "probe": PER_INPUT * width}
                made = lambda e=ensemble, at=looks: follow(e, at, probe=PER_INPUT * e.sizes["n"], device=device)  # noqa: E731
                frame = store.get_or_make(data, made, device=device)
                chosen = frame["weight"].isin(matrices(ensemble.architecture)) & (frame["step"] == self.steps)
                yield self._scaled(frame[chosen].assign(case=case), ensemble)

    def _scaled(self, frame: pd.DataFrame, ensemble: Ensemble) -> pd.DataFrame:
        """With the rates of every weight, and how many e-folds it needs to forget its initial values."""
        scaling = scale(ensemble.architecture, ensemble.table, ensemble.constants, sizes=ensemble.sizes, base=ensemble.base).weights
        own = {name: scaling[name] for name in frame["weight"].unique()}
        rate = frame["weight"].map({n: w.learning_rate for n, w in own.items()}) * frame["hp.learning_rate"]
        decay = frame["weight"].map({n: w.weight_decay for n, w in own.items()}) * frame["hp.weight_decay"]
        start = frame["weight"].map({n: w.init_std**2 for n, w in own.items()})
        needed = np.log(np.maximum(start / (rate / (2 * decay)), 1.0)) + FORGOTTEN
        return frame.assign(rate=rate, decay=decay, needed=needed)


@dataclass(frozen=True)
class Followed:
    """The matrices of a study at the last update.

    Args:
        frame: what `Study.train` yields.
        study: what was trained.
    """

    frame: pd.DataFrame
    study: Study

    @cached_property
    def whole(self) -> pd.DataFrame:
        """One row per matrix of a run, a column per term, and ``stationary``: whether it forgot its initial values."""
        table = self.frame[self.frame["k"].isna()].pivot(index=[*RUN, "weight", "rate", "decay", "needed"], columns="term", values="value")
        table = table.reset_index()
        return table.assign(stationary=table["stationarity"] >= table["needed"])

    @cached_property
    def kept(self) -> pd.DataFrame:
        """Without what is not stationary, and without seeds of which a run diverged."""
        diverged = self.whole.loc[~np.isfinite(self.whole["gain"]), "seed"]
        return self.whole[self.whole["stationary"] & ~self.whole["seed"].isin(diverged)]

    @property
    def excluded(self) -> int:
        """Runs of which a matrix is left out."""
        return len(self.whole.drop(self.kept.index).groupby(list(RUN)))

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Cases and matrices."""
        return list(self.kept[["case", "weight"]].drop_duplicates().itertuples(index=False, name=None))

    @cached_property
    def noise(self) -> list[tuple[str, str]]:
        """Those that forget and turn as noise does, at every width."""
        forgets = {kind: np.abs(self.persistence(*kind).mean(0)).max() for kind in self.kinds}
        turns = {kind: np.abs(self.rotation(*kind).mean(0) - 1).max() for kind in self.kinds}
        return [kind for kind in self.kinds if max(forgets[kind], turns[kind]) <= LIKE_NOISE]

    def logs(self, case: str, weight: str, term: str, *, scaled: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Widths, and log2 of a term by seed and width; ``scaled``: with ``sqrt(eta / lambda)`` divided out."""
        rows = self.kept[(self.kept["case"] == case) & (self.kept["weight"] == weight)]
        rows = rows[(rows["hp.learning_rate"] == self.study.rate) & (rows["hp.weight_decay"] == self.study.decay)]
        values = np.log2(rows[term]) - (np.log2(rows["rate"] / rows["decay"]) / 2 if scaled else 0.0)
        table = rows.assign(value=values).pivot(index="seed", columns="size.n", values="value").dropna()
        return table.columns.to_numpy(float), table.to_numpy(float)

    def slopes(self, case: str, weight: str, term: str, *, scaled: bool = True) -> np.ndarray:
        """Exponents in the width, by seed."""
        return slope(*self.logs(case, weight, term, scaled=scaled))

    def bound(self, case: str, weight: str) -> np.ndarray:
        """Exponents of the top singular value from measured stable ranks, ``d (r_in^-1/2 + r_back^-1/2)``, by seed."""
        widths, inn = self.logs(case, weight, "stable rank in", scaled=False)
        _, back = self.logs(case, weight, "stable rank back", scaled=False)
        return slope(widths, np.log2(widths * (2 ** (-inn / 2) + 2 ** (-back / 2))))

    def powers(self, case: str, weight: str, term: str) -> tuple[np.ndarray, np.ndarray]:
        """Exponents in the rate and in the decay at the width where they vary, by seed; noise: 1/2 and -1/2, a signal: 0 and -1."""
        rows = self.kept[(self.kept["case"] == case) & (self.kept["weight"] == weight) & (self.kept["size.n"] == self.study.varied)]
        table = rows.pivot(index="seed", columns=["hp.learning_rate", "hp.weight_decay"], values=term).dropna()
        logs = np.log2(table.to_numpy(float).reshape(len(table), 2, 2))
        return np.diff(logs, axis=1).mean((1, 2)), np.diff(logs, axis=2).mean((1, 2))

    def persistence(self, case: str, weight: str) -> np.ndarray:
        """The part of the squared norm that is still there after a memory, by seed and width: 0 is noise, 1 what never changes."""
        _, similar = self.logs(case, weight, "similarity", scaled=False)
        return (2**similar - np.exp(-1)) / (1 - np.exp(-1))

    def rotation(self, case: str, weight: str) -> np.ndarray:
        """The angle of an update over ``sqrt(2 eta lambda (1 - beta1) / (1 + beta1))``, by seed and width."""
        _, angles = self.logs(case, weight, "rotation", scaled=False)
        return 2**angles / np.sqrt(2 * self.study.rate * self.study.decay * (1 - BETAS[0]) / (1 + BETAS[0]))
