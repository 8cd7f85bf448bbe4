"""Training the replicas of an ensemble as one batched program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..theory.constants import Constants
from ..theory.optimizers import find_optimizer
from . import cost
from .building import build
from .ensemble import Ensemble, Replica, schedule_factor
from .executing import capture, keep_memory, precise
from .losses import replica_losses, sample_losses
from .network import Network
from .optimizers import Several, Update, make_update
from .routing import Routes, balance_loss
from .stacked import Factor, Group
from .tasks import Task

DIVERGED = 1e3
"""A run has diverged when its loss is not finite or exceeds this multiple of the loss at initialisation."""


_MEMORY = 2**27  # on a CPU; 128 MiB at a time take 0.73 to 0.94 of the time of 2 GiB at widths 256 to 2048
_PIECE = 128  # validation samples at a time
_LOOK_EVERY = {"cuda": 16}  # asking a GPU whether a run has diverged waits for it

Progress = Callable[[str, float, float], None]
"""Called with a label, the work done and the work in all."""


def train(
    ensemble: Ensemble,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Train all replicas of an ensemble and record their losses.

    A run that diverges (see `DIVERGED`) is infinite from that step on; it is stopped, and neither disturbs nor
    slows the others.

    Args:
        ensemble: what to train.
        device: where.
        progress: called at the recorded steps with the ensemble's label, the FLOPs done and all FLOPs.
        chunk: at most this many replicas at once; by default `fitting_replicas`.

    Returns:
        The frame of DESIGN section 7, one row per recorded step, replica and term: ``train loss`` (of the batch
        that the next update uses), ``validation loss`` (absent if the task has no validation samples) and, where asked for,
        ``prediction i`` for number i of the outputs of all validation samples, sample by sample.
    """
    replicas, device = ensemble.replicas, torch.device(device)
    chunk = chunk or fitting_replicas(ensemble, device)
    frames = []
    for first in range(0, len(replicas), chunk):
        training = Training(ensemble, replicas[first : first + chunk], device)
        share = len(training.replicas) / len(replicas)

        label = ensemble.label
        if chunk < len(replicas):
            label += f" ({chunk} of {len(replicas)} networks at a time; part {first // chunk + 1} of {-(-len(replicas) // chunk)})"

        def report(part: float, done: float = first / len(replicas), share: float = share, label: str = label) -> None:
            if progress is not None:
                progress(label, ensemble.flops * (done + share * part), ensemble.flops)

        frames.append(training.run(report))
    return pd.concat(frames, ignore_index=True)


def fitting_replicas(ensemble: Ensemble, device: torch.device | str = "cpu") -> int:
    """How many replicas fit into 128 MiB, or into half of a GPU's free memory: weights, optimizer state, activations."""
    device = torch.device(device)
    budget = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else _MEMORY
    entries = 6 * cost.parameters(ensemble.architecture, ensemble.sizes)
    entries += 2 * ensemble.batch * cost.activations(ensemble.architecture, ensemble.sizes)
    size = 8 if ensemble.dtype == "float64" else 4
    return max(1, min(len(ensemble.replicas), budget // (entries * size)))


def load_task(task: Task, device: torch.device | str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Inputs and targets on the device, real numbers in the dtype of the network."""
    tensors = (torch.as_tensor(array, device=device) for array in (task.inputs, task.targets))
    inputs, targets = (t.to(dtype) if t.is_floating_point() else t for t in tensors)
    return inputs, targets


class _Divergence:
    """Which replicas have diverged, and when; kept on the device, so that no step waits for it."""

    def __init__(self, replicas: int, device: torch.device):
        self.at = torch.full((replicas,), torch.inf, device=device, dtype=torch.float64)
        self._limit = self.at
        self._frozen = self.at.isfinite()
        self._look_every = _LOOK_EVERY.get(device.type, 1)

    def update(self, losses: Float[Tensor, " replica"], step: int) -> None:
        if step == 0:
            self._limit = DIVERGED * losses
        diverged = ~(losses <= self._limit) | losses.isinf()
        self.at = torch.where(diverged & self.at.isinf(), float(step), self.at)

    def newly(self, step: int) -> Bool[Tensor, " replica"] | None:
        """Replicas that have diverged since the last look, or None."""
        if step % self._look_every:
            return None
        fresh = self.at.isfinite() & ~self._frozen
        if not bool(fresh.any()):
            return None
        self._frozen |= fresh
        return fresh


def _check_decay(ensemble: Ensemble, groups: Sequence[Group]) -> None:
    """Raise if decay would take more than a whole weight away in one update, and turn its sign."""
    kind = find_optimizer(ensemble.optimizer or ensemble.table.optimizer).decay
    coupled = kind == "coupled"
    apart = ensemble.auxiliary.weights if ensemble.auxiliary else ()
    for group, replica in product((g for g in groups if g["name"] not in apart), ensemble.replicas):
        rate, decay = group["lr"] * replica.learning_rate, group["weight_decay"] * replica.weight_decay
        if kind and (rate if coupled else 1.0) * decay >= 1:
            raise ValueError(
                f"the decay of `{group['name']}` is {decay:g} at the rate {rate:g}: an update would take all of the weight away "
                f"({'rate * decay' if coupled else 'decay'} >= 1); choose a smaller one"
            )


class Training:
    """One batched program: some replicas of an ensemble, from initialisation to the last step."""

    def __init__(self, ensemble: Ensemble, replicas: Sequence[Replica], device: torch.device):
        self.ensemble, self.replicas, self.device = ensemble, replicas, device
        keep_memory()
        dtype = getattr(torch, ensemble.dtype)
        constants = ensemble.constants or Constants.default(ensemble.architecture, base=ensemble.base)
        built = build(
            ensemble.architecture,
            ensemble.table,
            constants.with_rate(1.0),
            sizes=ensemble.sizes,
            base=ensemble.base,
            seeds=[replica.seed for replica in replicas],
            dtype=dtype,
            device=device,
        )
        self.network: Network = built.network
        self.update = self._optimizer(built.groups)
        self.inputs, self.targets = load_task(ensemble.task, device, dtype)
        self.network.check_inputs(self.inputs)
        expected = ensemble.task.expected
        self.expected = None if expected is None else torch.as_tensor(expected, device=device).to(dtype)
        self.index = torch.as_tensor(ensemble.batches, device=device)
        self.diverged = np.full(len(replicas), np.inf)  # the step of each, once it has run

    def _optimizer(self, groups: Sequence[Group]) -> Update:
        ensemble, auxiliary, replicas = self.ensemble, self.ensemble.auxiliary, self.replicas
        _check_decay(ensemble, groups)
        apart = set(auxiliary.weights) if auxiliary else set()
        update = make_update(
            ensemble.optimizer or ensemble.table.optimizer,
            [group for group in groups if group["name"] not in apart],
            [replica.learning_rate for replica in replicas],
            momentum=self._own("momentum"),
            betas=(self._own("beta1"), self._own("beta2")),
            decays=[r.weight_decay for r in replicas] if any(r.weight_decay != 1 for r in replicas) else None,
            rank=ensemble.rank,
        )
        if auxiliary is None:
            return update
        members = [[i for i, group in enumerate(groups) if (group["name"] in apart) == side] for side in (False, True)]
        rates = [auxiliary.learning_rate] * len(replicas)
        other = make_update(auxiliary.table.optimizer, [groups[i] for i in members[1]], rates, betas=auxiliary.betas)
        return Several((update, other), members)

    def _own(self, name: str) -> float | list[float]:
        """A hyperparameter of the replicas, one number where they share it."""
        values = [float(getattr(replica, name)) for replica in self.replicas]
        return values if len(set(values)) > 1 else values[0]

    def run(self, report: Callable[[float], None], after: Callable[[int], None] | None = None) -> pd.DataFrame:
        """Train and record losses.

        Args:
            report: called with the part of the steps that is done.
            after: called after every update with its number, from 1.
        """
        ensemble = self.ensemble
        divergence = _Divergence(len(self.replicas), self.device)
        recorded = []
        step_once = capture(self._step, self.device) if self.update.capturable else self._step
        for step in range(ensemble.steps + 1):
            validation = self._validate() if step in ensemble.recorded else {}
            last = step == ensemble.steps
            losses = self._losses(self.index[step])[0].detach() if last else step_once(self.index[step], self.factor(step))
            divergence.update(losses, step)
            if step in ensemble.recorded:
                recorded.append({"train loss": losses.clone(), **validation})
                report(step / max(1, ensemble.steps))
            if not last and (fresh := divergence.newly(step)) is not None:
                self.update.freeze(fresh)
            if not last and after is not None:
                after(step + 1)
        self.diverged = divergence.at.cpu().numpy()
        return self._frame(recorded)

    def _step(self, samples: Tensor, factor: Factor) -> Float[Tensor, " replica"]:
        """One update; the losses before it."""
        weights = [w for w in self.network.parameters() if w.requires_grad]
        with precise(self.ensemble.precision, self.device):
            losses, total = self._losses(samples)
            gradients = torch.autograd.grad(total.sum(), weights, materialize_grads=True)
        self.update.step(gradients, factor)
        return losses.detach()

    def factor(self, step: int) -> Factor:
        """The schedule's value: one number, or a tensor where replicas differ (and on a GPU, where it is an input of the program)."""
        ensemble, kinds = self.ensemble, [replica.schedule for replica in self.replicas]
        values = {kind: schedule_factor(kind, step, ensemble.steps, ensemble.warmup) for kind in set(kinds)}
        if len(values) == 1 and self.device.type == "cpu":
            return values[kinds[0]]
        return torch.tensor([values[kind] for kind in kinds], dtype=self.network.weights[0].dtype, device=self.device)

    def _losses(self, samples: Tensor) -> tuple[Float[Tensor, " replica"], Float[Tensor, " replica"]]:
        """The task's loss, and the one that is trained: with what evens out loads."""
        routes: list[Routes] = []
        output = self.network(self.inputs[samples], routed=routes if self.ensemble.balance else None)
        losses = replica_losses(output, self.targets[samples], self.ensemble.task.loss)
        return losses, losses + self.ensemble.balance * balance_loss(routes) if self.ensemble.balance else losses

    @torch.no_grad()
    def _validate(self) -> dict[str, Float[Tensor, " replica"]]:
        """Mean loss of the validation samples, and predictions if they are wanted, piece by piece."""
        task = self.ensemble.task
        count = len(task.inputs) - task.train
        if not count:
            return {}
        answers = self.targets[task.train :] if self.expected is None else self.expected
        total, said = [], []
        for piece in torch.arange(task.train, len(task.inputs), device=self.device).split(max(_PIECE, 2 * self.ensemble.batch)):
            outputs = self.network(self.inputs[piece])
            total.append(sample_losses(outputs, answers[piece - task.train], task.loss).sum(1))
            if self.ensemble.predictions:
                said.append(outputs.flatten(1))
        predictions = torch.cat(said, 1).unbind(1) if said else ()
        return {"validation loss": torch.stack(total).sum(0) / count, **{f"prediction {i}": f for i, f in enumerate(predictions)}}

    def _frame(self, recorded: Sequence[Mapping[str, Tensor]]) -> pd.DataFrame:
        ensemble = self.ensemble
        steps, at = np.array(ensemble.recorded), self.diverged
        column = lambda name: np.array([getattr(replica, name) for replica in self.replicas])  # noqa: E731
        own = {f"hp.{name}": np.tile(column(name), len(steps)) for name in ("learning_rate", *ensemble.grid)}
        frames = []
        for term in recorded[0]:
            values = torch.stack([own[term] for own in recorded]).double().cpu().numpy()
            values[(steps[:, None] >= at) | ~np.isfinite(values)] = np.inf
            frames.append(
                pd.DataFrame(
                    {
                        "source": "synthetic",
                        "case": ensemble.case,
                        "config": ensemble.config,
                        "seed": np.tile(column("seed"), len(steps)),
                        "step": np.repeat(steps, len(at)),
                        "weight": "",
                        "term": term,
                        "value": values.ravel(),
                        "predicted": np.nan,
                        **{f"size.{axis}": size for axis, size in ensemble.sizes.items()},
                        **own,
                        "diverged_at": np.tile(np.where(np.isinf(at), np.nan, at), len(steps)),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)
