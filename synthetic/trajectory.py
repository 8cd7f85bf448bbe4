"""Where the loss falls along an averaged trajectory: by eigenvalues of the alignment matrices, and by samples.

Ghosh, Wu and Bietti, arXiv 2512.22768, section on trajectories. The change of the validation loss is linearised between looks at
the averaged weights, ``phi = sum_t <grad L(w_t), w_(t+1) - w_t>``; every matrix contributes the eigenvalues of its alignment
matrix on the side of the width, and ``phi^k`` keeps the k largest of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..theory.architecture import Architecture
from .alignment import Averaging, alignment_eigenvalues, leading_eigenvalues
from .components import Components
from .dion import matrices
from .ensemble import Ensemble
from .losses import replica_losses, sample_losses
from .training import Progress, Training, fitting_replicas

TERMS = ("averaged loss", "linearised loss", "top", "sample loss", "centre")


@dataclass(frozen=True, eq=False)
class Trajectory:
    """An ensemble whose averaged trajectory is taken apart.

    Args:
        ensemble: what is trained; its task needs validation samples.
        averaging: how iterates are averaged, and when they are looked at.
        samplewise: also which components every validation sample moves along (see `Components`).
        records: looks of which the parts of the loss are kept, evenly spaced.
        leading: only so many eigenvalues of every matrix, after which ``top`` has one more entry, all of them; 0 takes each.
    """

    ensemble: Ensemble
    averaging: Averaging
    samplewise: bool = False
    records: int = 24
    leading: int = 0

    def __post_init__(self) -> None:
        task = self.ensemble.task
        if len(task.inputs) == task.train:
            raise ValueError(f"the trajectory is taken apart on validation samples, of which the task `{task.name}` has none")

    def key_data(self) -> dict[str, Any]:
        """Everything that determines the numbers, as plain data."""
        own = {"averaging": asdict(self.averaging), "samplewise": self.samplewise, "records": self.records}
        own |= {"leading": self.leading} if self.leading else {}
        return {**self.ensemble.key_data(), "kind": "trajectory", **own}


def decompose(spec: Trajectory, *, device: torch.device | str = "cpu", progress: Progress | None = None) -> pd.DataFrame:
    """Train the replicas and take their trajectories apart.

    Returns:
        The frame of `training.train`, and with the further columns ``k`` and ``sample``: ``averaged loss`` (validation, at the average),
        ``linearised loss`` (that at the start plus phi), ``top`` (``phi^k``; all k after the last step, powers of two before),
        ``sample loss`` (of every validation sample at the last average) and, if samplewise, ``centre`` (see `Components`).
    """
    ensemble, device = spec.ensemble, torch.device(device)
    chunk, frames = fitting_replicas(ensemble, device), []
    for first in range(0, len(ensemble.replicas), chunk):
        run = _Run(spec, Training(ensemble, ensemble.replicas[first : first + chunk], device))
        share = len(run.training.replicas) / len(ensemble.replicas)

        def report(part: float, done: float = first / len(ensemble.replicas), share: float = share) -> None:
            if progress is not None:
                progress(ensemble.label, ensemble.flops * (done + share * part), ensemble.flops)

        losses = run.training.run(report, run.after)
        frames += [losses, run.frame()]
    return pd.concat(frames, ignore_index=True)


def width_sides(architecture: Architecture) -> dict[str, str]:
    """For every weight the side on which it is taken apart: that of the width, the shorter one of two.

    Returns:
        ``columns`` (inn), ``rows`` (out), or nothing for what has no growing side or is a vector: that is not taken apart.
    """
    sides = {}
    for weight in architecture.weights.values():
        grown = {side: architecture.monomial(dims) for side, dims in (("columns", weight.inn), ("rows", weight.out))}
        lengths = {side: _length(architecture, dims) for side, dims in (("columns", weight.inn), ("rows", weight.out))}
        chosen = [side for side in ("columns", "rows") if grown[side]]
        matrix = bool(weight.inn) and bool(weight.out)
        sides[weight.name] = min(chosen, key=lambda side: lengths[side]) if chosen and matrix else ""
    return sides


def _length(architecture: Architecture, dims: Sequence[str]) -> int:
    sizes = architecture.sizes({})
    return int(np.prod([architecture.dims[d].size(sizes, architecture.name) for d in dims]))


class _Run:
    """The averages of one training and the sums along them."""

    def __init__(self, spec: Trajectory, training: Training):
        self.spec, self.training = spec, training
        ensemble, network = spec.ensemble, training.network
        names = list(network.named_weights())
        self.names = [n for n, w in network.named_weights().items() if w.requires_grad]
        self._slots = {n: f"weights.{i}" for i, n in enumerate(names)}
        self._sides = width_sides(ensemble.architecture)
        self._splits = {n: (1 + len(w.index), len(w.out)) for n, w in ensemble.architecture.weights.items()}
        self._looks = ensemble_looks(spec)
        kept = np.linspace(0, len(self._looks) - 1, min(spec.records, len(self._looks))).round().astype(int)
        self._kept = {self._looks[i] for i in kept} | {0}
        self.average = [self._weight(n).detach().clone() for n in self.names]
        self._before = [w.clone() for w in self.average]
        self._parts: Float[Tensor, "replica k"] | None = None
        self.components = Components(training, self._sides, self._slots) if spec.samplewise else None
        self._rows: list[tuple[int, str, float, Tensor]] = []
        self._loss, self._gradients = self._measure()
        self._start = self._loss
        self._record(0)

    def _weight(self, name: str) -> Tensor:
        return self.training.network.named_weights()[name]

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Average, and at a look add what was gained since the last one."""
        kept = self.spec.averaging.kept(step)
        torch._foreach_lerp_(self.average, [self._weight(n).detach() for n in self.names], 1 - kept)
        if step in self._looks:
            self._look(step)

    def _look(self, step: int) -> None:
        moved = [now - then for now, then in zip(self.average, self._before, strict=True)]
        parts = [self._gained(n, g, m) for n, g, m in zip(self.names, self._gradients, moved, strict=True)]
        longest = max(part.shape[-1] for part in parts)
        total = sum(_padded(part, longest) for part in parts)
        assert isinstance(total, Tensor)
        self._parts = total if self._parts is None else self._parts + total
        if self.components is not None:
            self.components.add(dict(zip(self.names, self._before, strict=True)), dict(zip(self.names, moved, strict=True)))
        self._before = [w.clone() for w in self.average]
        self._loss, self._gradients = self._measure()
        if step in self._kept or step == self._looks[-1]:
            self._record(step)

    def _gained(self, name: str, gradient: Tensor, moved: Tensor) -> Float[Tensor, "replica k"]:
        """``<G, dW>`` of the k largest eigenvalues, summed over the matrices of a stack."""
        if not self._sides[name]:
            return (gradient * moved).flatten(1).sum(1, keepdim=True)
        g, m = (matrices(t.contiguous(), self._splits[name]) for t in (gradient, moved))
        if self._sides[name] == "rows":
            g, m = g.mT, m.mT
        gained = self._gains(g, m)
        return gained.flatten(1, -2).sum(1) if gained.ndim > 2 else gained

    def _gains(self, gradient: Tensor, moved: Tensor) -> Float[Tensor, "*stack k"]:
        if not self.spec.leading:
            return alignment_eigenvalues(gradient, moved).cumsum(-1)
        first = leading_eigenvalues(gradient, moved, self.spec.leading).cumsum(-1)
        whole = (gradient * moved).sum((-2, -1))
        return torch.cat([first, first[..., -1:].expand(*whole.shape, self.spec.leading - first.shape[-1]), whole[..., None]], dim=-1)

    def _measure(self) -> tuple[Float[Tensor, " replica"], list[Tensor]]:
        """Validation loss at the average, and its gradient."""
        weights = [w.detach().requires_grad_() for w in self.average]
        gradients, loss, count = [torch.zeros_like(w) for w in weights], torch.zeros(len(self.training.replicas)), 0
        loss = loss.to(weights[0])
        task = self.spec.ensemble.task
        with torch.enable_grad():
            for piece in validation_pieces(self.training):
                output = self._apply(weights, self.training.inputs[piece])
                part = replica_losses(output, self.training.targets[piece], task.loss) * len(piece)
                torch._foreach_add_(gradients, torch.autograd.grad(part.sum(), weights, materialize_grads=True))
                loss, count = loss + part.detach(), count + len(piece)
        torch._foreach_div_(gradients, float(count))
        return loss / count, gradients

    def _apply(self, weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
        named = {self._slots[n]: w for n, w in zip(self.names, weights, strict=True)}
        return torch.func.functional_call(self.training.network, named, (inputs,))

    def _record(self, step: int) -> None:
        self._rows.append((step, "averaged loss", np.nan, self._loss))
        parts = self._parts
        self._rows.append((step, "linearised loss", np.nan, self._start if parts is None else self._start + parts[:, -1]))
        if parts is not None:
            count = parts.shape[1]
            last = step == self._looks[-1]
            ks = range(1, count + 1) if last else [2**i for i in range(count.bit_length())]
            self._rows += [(step, "top", float(k), parts[:, k - 1]) for k in ks]

    @torch.no_grad()
    def _sample_rows(self) -> list[tuple[str, Tensor]]:
        task, found = self.spec.ensemble.task, []
        for piece in validation_pieces(self.training):
            output = self._apply(self.average, self.training.inputs[piece])
            found.append(sample_losses(output, self.training.targets[piece], task.loss))
        rows = [("sample loss", torch.cat(found, dim=1))]
        return rows if self.components is None else [*rows, ("centre", self.components.centres())]

    def frame(self) -> pd.DataFrame:
        """Everything recorded, long form; inf where a replica has diverged."""
        replicas, last = len(self.training.replicas), self._looks[-1]
        frames = [self._long(s, term, value, k=np.full(replicas, k)) for s, term, k, value in self._rows]
        for term, table in self._sample_rows():
            samples = np.tile(np.arange(table.shape[1]), replicas)
            frames.append(self._long(last, term, table.flatten(), repeat=table.shape[1], sample=samples))
        return pd.concat(frames, ignore_index=True)

    def _long(self, step: int, term: str, values: Tensor, *, repeat: int = 1, **columns: np.ndarray) -> pd.DataFrame:
        ensemble, at = self.spec.ensemble, np.repeat(self.training.diverged, repeat)
        own = {f"hp.{n}": np.repeat([getattr(r, n) for r in self.training.replicas], repeat) for n in ("learning_rate", *ensemble.grid)}
        numbers = values.double().cpu().numpy()
        return pd.DataFrame(
            {
                "source": "synthetic",
                "case": ensemble.case,
                "config": ensemble.config,
                "seed": np.repeat([r.seed for r in self.training.replicas], repeat),
                "step": step,
                "weight": "",
                "term": term,
                "value": np.where((step >= at) | ~np.isfinite(numbers), np.inf, numbers),
                "predicted": np.nan,
                **{f"size.{axis}": size for axis, size in ensemble.sizes.items()},
                **own,
                "diverged_at": np.where(np.isinf(at), np.nan, at),
                **columns,
            }
        )


def ensemble_looks(spec: Trajectory) -> tuple[int, ...]:
    """The updates after which the average is looked at."""
    return spec.averaging.looks(spec.ensemble.steps)


def validation_pieces(training: Training) -> tuple[Tensor, ...]:
    """Indices of the validation samples, so many at a time that their activations stay small: of sequences, as many as make a batch."""
    task, batch = training.ensemble.task, training.ensemble.batch
    together = min(256, batch) if task.loss == "cross-entropy" and task.targets.ndim > 1 else 256
    return torch.arange(task.train, len(task.inputs), device=training.device).split(together)


def _padded(part: Float[Tensor, "replica k"], length: int) -> Float[Tensor, "replica length"]:
    """Beyond the last eigenvalue the sum stays."""
    return torch.cat([part, part[:, -1:].expand(-1, length - part.shape[1])], dim=1)
