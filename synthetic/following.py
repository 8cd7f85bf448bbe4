"""Following the matrices of an ensemble while it trains: spectra, gains, rotation, and how stationary they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..theory.optimizers import find_optimizer
from .ensemble import Ensemble
from .matrices import MOMENTS, Matrix, singular_values
from .probes import record
from .training import Progress, Training, fitting_replicas

MOTIONS = ("rotation", "similarity", "stationarity", "timescale")
PROBE = 2**11

Rows = list[tuple[int, str, str, float, Tensor]]


def follow(
    ensemble: Ensemble,
    looks: Sequence[int],
    *,
    moments: Sequence[str] = MOMENTS,
    probe: int = PROBE,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train as `train` does, and measure every matrix at some updates.

    Terms of a weight, in the mean of the logarithm over layers and experts: ``moments`` (see `matrices.Matrix`); ``rotation``, the
    angle by which the last update turned it, in radians; ``similarity``, the cosine with what it was at the look before;
    ``stationarity``, ``2 sum_t lr_t lambda``, the e-folds by which its initial squared norm is forgotten; ``timescale``,
    ``1 / (lr lambda)`` at the schedule's factor 1; and at the last look ``singular value`` by its place in the column ``k``.

    Args:
        ensemble: what to train.
        looks: after which updates; 0 is the initialisation.
        moments: which of `MOMENTS`.
        probe: how many validation samples at most matrices are measured on.
        device: where.
        progress: as of `train`.

    Returns:
        The rows of `train` and these, with the column ``k`` (nan where there is none).

    Raises:
        ValueError: if a look lies outside of the run, a moment is none, or the task has no validation samples.
    """
    ensemble_looks = tuple(sorted(set(looks)))
    if not ensemble_looks or ensemble_looks[0] < 0 or ensemble_looks[-1] > ensemble.steps:
        raise ValueError(f"`looks` is {tuple(looks)}; it needs at least one update from 0 to {ensemble.steps}")
    if unknown := sorted(set(moments) - set(MOMENTS)):
        raise ValueError(f"`moments` has {', '.join(unknown)}; there are {', '.join(MOMENTS)}")
    if len(ensemble.task.inputs) == ensemble.task.train:
        raise ValueError(f"the task `{ensemble.task.name}` has no validation samples, on which matrices are measured")
    replicas, device = ensemble.replicas, torch.device(device)
    chunk, frames = fitting_replicas(ensemble, device), []
    for first in range(0, len(replicas), chunk):
        training = Training(ensemble, replicas[first : first + chunk], device)
        follower = _Follower(training, ensemble_looks, tuple(moments), probe)

        def report(part: float, done: float = first / len(replicas), share: float = len(training.replicas) / len(replicas)) -> None:
            if progress is not None:
                progress(ensemble.label, ensemble.flops * (done + share * part), ensemble.flops)

        losses = training.run(report, follower.after)
        frames += [losses.assign(k=np.nan), follower.frame()]
    return pd.concat(frames, ignore_index=True)


@dataclass
class _Follower:
    """Measures the replicas of one program."""

    training: Training
    looks: tuple[int, ...]
    moments: tuple[str, ...]
    probe: int
    rows: Rows = field(default_factory=list)
    previous: dict[str, Tensor] = field(default_factory=dict)
    earlier: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        training, task = self.training, self.training.ensemble.task
        self._probe = slice(task.train, task.train + self.probe)
        names = [node.weight for node in training.network.architecture.nodes if node.op == "dense"]
        self._removed = {name: torch.zeros(len(training.replicas), dtype=torch.float64) for name in names}
        self._rates = {name: self._decay(name) for name in names}
        if self.looks[0] == 0:
            self._look(0)
        if 1 in self.looks:
            self.previous = self._weights()

    def _decay(self, name: str) -> Tensor:
        """The part of a weight that decay removes per update, of every replica, at the schedule's factor 1."""
        training, own = self.training, self.training.network.scaling.weights[name]
        if not own.trained:
            return torch.zeros(len(training.replicas), dtype=torch.float64)
        optimizer, auxiliary = training.ensemble.optimizer or training.ensemble.table.optimizer, training.ensemble.auxiliary
        factors = [(r.learning_rate, r.weight_decay) for r in training.replicas]
        if auxiliary is not None and name in auxiliary.weights:
            optimizer, factors = auxiliary.table.optimizer, [(auxiliary.learning_rate, 1.0)] * len(factors)
        coupled = find_optimizer(optimizer).decay == "coupled"
        parts = [own.weight_decay * decay * (own.learning_rate * rate if coupled else 1.0) for rate, decay in factors]
        return torch.tensor(parts, dtype=torch.float64)

    def after(self, step: int) -> None:
        """Called after every update."""
        factor = torch.as_tensor(self.training.factor(step - 1)).cpu().double()
        for name, rate in self._rates.items():
            self._removed[name] += rate * factor
        if step in self.looks:
            self._look(step)
        if step + 1 in self.looks:
            self.previous = self._weights()

    def _look(self, step: int) -> None:
        training = self.training
        uses = record(training.network, training.inputs[self._probe], training.targets[self._probe], training.ensemble.task.loss).uses
        weights, found = training.network.named_weights(), {}
        for use in uses:
            name = use.application.node.weight
            if (matrix := Matrix.of(use, weights[name])) is not None:
                found.setdefault(name, []).append({term: self._mean(value.log()) for term, value in matrix.measure(self.moments).items()})
                if step == self.looks[-1]:
                    self._note_spectrum(step, name, matrix)
        now = self._weights()
        for name, layers in found.items():
            self._note(step, name, {term: torch.stack([one[term] for one in layers]).mean(0).exp() for term in self.moments})
            self._note(step, name, self._motion(name, now))
        self.earlier = now

    def _motion(self, name: str, now: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {"stationarity": 2 * self._removed[name], "timescale": 1 / self._rates[name]}
        if name in self.previous:
            found["rotation"] = _angle(now[name], self.previous[name])
        if name in self.earlier:
            found["similarity"] = _angle(now[name], self.earlier[name]).cos()
        return found

    def _note(self, step: int, name: str, values: Mapping[str, Tensor]) -> None:
        self.rows += [(step, name, term, np.nan, value.clone()) for term, value in values.items()]

    def _note_spectrum(self, step: int, name: str, matrix: Matrix) -> None:
        values = singular_values(matrix.weight).log()
        values = self._mean(values).exp()
        self.rows += [(step, name, "singular value", k + 1.0, values[:, k]) for k in range(values.shape[1])]

    def _mean(self, values: Tensor) -> Tensor:
        """Over what a replica has several of."""
        return values.reshape(len(self.training.replicas), -1, *values.shape[1:]).mean(1)

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().double().clone() for name, weight in self.training.network.named_weights().items()}

    def frame(self) -> pd.DataFrame:
        """Everything measured; infinite from where a replica diverged."""
        return pd.concat([self._long(*row) for row in self.rows], ignore_index=True)

    def _long(self, step: int, weight: str, term: str, k: float, values: Tensor) -> pd.DataFrame:
        training, ensemble = self.training, self.training.ensemble
        numbers, at = values.cpu().numpy(), training.diverged
        own = {f"hp.{n}": [getattr(r, n) for r in training.replicas] for n in ("learning_rate", *ensemble.grid)}
        return pd.DataFrame(
            {
                "source": "synthetic",
                "case": ensemble.case,
                "config": ensemble.config,
                "seed": [r.seed for r in training.replicas],
                "step": step,
                "weight": weight,
                "term": term,
                "value": np.where(step >= at, np.inf, numbers),
                "predicted": np.nan,
                **{f"size.{axis}": size for axis, size in ensemble.sizes.items()},
                **own,
                "diverged_at": np.where(np.isinf(at), np.nan, at),
                "k": k,
            }
        )


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Between the directions of two parameters of every replica: exact for small angles, where a cosine is not; nan if one is zero."""
    unit = [w.flatten(1) / w.flatten(1).norm(dim=1, keepdim=True) for w in (a, b)]
    return 2 * ((unit[0] - unit[1]).norm(dim=1) / 2).clamp(max=1).asin()
