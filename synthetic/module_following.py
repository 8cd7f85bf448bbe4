"""Following the matrices of a user's module while it trains, to the steady state that decay makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..theory.architecture import Architecture
from ..theory.table import ExponentTable
from .applying import Sizes, initialise, missing_multipliers, parameter_groups
from .ensemble import schedule_factor
from .losses import sample_losses
from .matrices import MOMENTS, Matrix
from .module_matrices import Growing, derivatives, matrices
from .modules import folded
from .sources import Random, Source, leaves
from .tracing.record import call_arguments, first_real
from .training import DIVERGED
from .watching import Watch

EPSILON = 1e-12  # of Adam: far below gradients in single precision
MOST = 2**12  # samples that matrices are measured on

Say = Callable[[str], object]


@dataclass(frozen=True)
class Course:
    """How a module is trained, told at the smallest size.

    Args:
        learning_rate: of everything; muP says how it scales.
        weight_decay: of matrices with two growing sides alone, in ``w <- w - rate decay w``; it grows so that the product stays.
        steps: updates.
        looks: after which of them matrices are measured.
        warmup: updates during which the rate rises.
        batch: samples of an update.
        betas: of AdamW.
        per_input: samples (and positions) that a matrix is measured on, per unit of the largest size.
    """

    learning_rate: float
    weight_decay: float
    steps: int
    looks: tuple[int, ...]
    warmup: int = 0
    batch: int = 64
    betas: tuple[float, float] = (0.9, 0.95)
    per_input: int = 16

    def factor(self, step: int) -> float:
        """On all rates, at an update counted from 0."""
        return schedule_factor("constant", step, self.steps, self.warmup)

    def stationarity(self, step: int) -> float:
        """``2 sum_t rate_t decay`` after some updates: the e-folds by which initial squared norms are forgotten."""
        return 2 * self.learning_rate * self.weight_decay * sum(self.factor(t) for t in range(step))


@dataclass(frozen=True)
class Study:
    """A module at several sizes.

    Args:
        factory: makes the module and its example input.
        architecture: what it traces to.
        table: derived for AdamW, with decay at equal timescale.
        axis: the size that grows.
        sizes: its values; at the smallest all parameterisations coincide.
        wanted: the matrices to be measured.
        course: how it is trained.
        sources: makes the batches, from all sizes and a seed; None: random ones.
    """

    factory: Callable[..., Any]
    architecture: Architecture
    table: ExponentTable
    axis: str
    sizes: tuple[int, ...]
    wanted: tuple[Growing, ...]
    course: Course
    sources: Callable[[Mapping[str, int], int], Source] | None = None

    @property
    def base(self) -> dict[str, int]:
        """All sizes, with the smallest of those that are tried."""
        return self.architecture.sizes({self.axis: min(self.sizes)})

    def make(self, sizes: Mapping[str, int]) -> tuple[nn.Module, Any]:
        """The module and its example input.

        Raises:
            ValueError: if the factory fails at these sizes.
        """
        try:
            return self.factory(**sizes)[:2]
        except Exception as error:
            given = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
            raise ValueError(f"the factory of `{self.architecture.name}` failed at {given}: {type(error).__name__}: {error}") from error

    def follow(self, seeds: Sequence[int], say: Say = lambda text: None, moments: Sequence[str] = MOMENTS) -> pd.DataFrame:
        """Train every size from every seed, and measure.

        Terms are those of `following.follow` (without ``rotation``, ``timescale`` and single singular values), in the mean of the
        logarithm over repeated blocks.

        Returns:
            Rows ``seed, size.<axis>, weight, step, term, value, rate, decay, samples``.

        Raises:
            ValueError: if a run diverges, or data do not fit the module.
        """
        reference = self.make(self.base)[0].float()
        frames = []
        for size in self.sizes:
            for seed in seeds:
                run = _Run(self, size, seed, reference)
                frames.append(run.train(tuple(moments), lambda text, at=f"{self.axis}={size} seed {seed}": say(f"{at}: {text}")))
        return pd.concat(frames, ignore_index=True)


@dataclass
class _Run:
    """One module."""

    study: Study
    size: int
    seed: int
    reference: nn.Module
    earlier: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        study, self.complete = self.study, {**self.study.base, self.study.axis: self.size}
        ratio = Sizes(self.complete, study.base)
        torch.manual_seed(self.seed)
        module, example = study.make(self.complete)
        self.module: nn.Module = module.float().train()
        initialise(self.module, study.table, ratio, self.reference, seed=self.seed)
        shapes = {name: p.shape for name, p in self.module.named_parameters()}
        self.factors = {
            n: f.float() for n, f in folded(study.architecture, missing_multipliers(study.architecture, study.table, ratio), shapes).items()
        }
        self.source = self._source(example)
        self.update = torch.optim.AdamW(self._groups(ratio), betas=study.course.betas, foreach=True)
        self.rates = [group["lr"] for group in self.update.param_groups]

    def _groups(self, ratio: Sizes) -> list[dict[str, Any]]:
        """Those of the table, without decay of what is no matrix that grows."""
        study, course = self.study, self.study.course
        inside, found = {part.name for own in study.wanted for part in own.parts}, []
        settings = {"lr": course.learning_rate, "eps": EPSILON, "weight_decay": course.weight_decay}
        for group in parameter_groups(self.module, study.table, ratio, **settings):
            for decayed in (True, False):
                chosen = [(n, p) for n, p in zip(group["names"], group["params"], strict=True) if (n in inside) == decayed]
                if chosen:
                    own = {"params": [p for _, p in chosen], "names": [n for n, _ in chosen]}
                    found.append({**group, **own, "weight_decay": group["weight_decay"] * decayed})
        return found

    def _source(self, example: Any) -> Source:
        study = self.study
        if study.sources is not None:
            return study.sources(self.complete, self.seed)
        with torch.no_grad():
            output = self._call(example)
        tokens = {n.weight for n in study.architecture.nodes if n.op == "dense" and study.architecture.node(n.args[0]).kind == "token"}
        vocab = min((p.shape[0] for name, p in self.module.named_parameters() if name in tokens), default=2)
        return Random(example, tuple(output.shape), vocab, study.course.batch, self.seed)

    def _parameters(self) -> dict[str, Tensor]:
        """With the multipliers that the code lacks."""
        return {name: p * self.factors[name] if name in self.factors else p for name, p in self.module.named_parameters()}

    def _call(self, inputs: Any, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        args, named = call_arguments(inputs)
        output = first_real(functional_call(self.module, dict(parameters or self._parameters()), args, named))
        assert output is not None
        return output

    def _loss(self, inputs: Any, targets: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """The mean over a batch.

        Raises:
            ValueError: if the data do not fit the module.
        """
        try:
            return sample_losses(self._call(inputs, parameters)[None], targets, self.source.loss).mean()
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            shapes = ", ".join(str(tuple(v.shape)) for v in leaves(inputs) if isinstance(v, Tensor))
            problem = str(error).split("\n")[0]
            raise ValueError(
                f"the module at {self.study.axis}={self.size} cannot be trained on a batch with inputs {shapes} and targets "
                f"{tuple(targets.shape)} ({self.source.loss}): {problem}"
            ) from error

    @torch.no_grad()
    def _first(self) -> float:
        """The loss before any update."""
        return float(self._loss(*self.source.batch(0)))

    def train(self, moments: tuple[str, ...], say: Say) -> pd.DataFrame:
        """Train, and measure at the looks."""
        course, first, rows = self.study.course, self._first(), []
        for step in range(course.steps):
            for group, rate in zip(self.update.param_groups, self.rates, strict=True):
                group["lr"] = rate * course.factor(step)
            loss = self._loss(*self.source.batch(step))
            if not bool(loss <= DIVERGED * max(first, 1e-3)):
                raise ValueError(
                    f"the run at {self.study.axis}={self.size}, seed {self.seed} diverged at update {step} "
                    f"(loss {float(loss.detach()):.3g}, {first:.3g} at first): "
                    "give a smaller --learning-rate, and --decay larger by as much"
                )
            self.update.zero_grad(set_to_none=True)
            loss.backward()
            self.update.step()
            if step % max(1, course.steps // 4) == 0:
                say(f"update {step} of {course.steps}, loss {float(loss.detach()):.3g}")
            if step + 1 in course.looks:
                rows += self._look(step + 1, moments)
        return pd.DataFrame(rows)

    def _look(self, step: int, moments: tuple[str, ...]) -> list[dict[str, Any]]:
        """Rows of all matrices."""
        (inputs, targets), stored = self.source.probe(self._samples()), self._parameters()
        with Watch(stored, keep=True) as watch:
            loss = self._loss(inputs, targets, stored)
        uses, raw, rows = derivatives(loss, watch.uses), dict(self.module.named_parameters()), []
        for own in self.study.wanted:
            found = [m for part in own.parts for m in matrices(part, raw[part.name], uses.get(part.name, ()))]
            rows += (
                [self._row(step, own, term, value, found[0]) for term, value in self._measure(step, own, found, moments).items()]
                if found
                else []
            )
        self.earlier = {name: p.detach().clone() for name, p in raw.items()}
        return rows

    def _measure(self, step: int, own: Growing, found: Sequence[Matrix], moments: tuple[str, ...]) -> dict[str, float]:
        measured = [one.measure(moments) for one in found]
        terms = {term: float(np.exp(np.mean([float(m[term].log().mean()) for m in measured]))) for term in moments}
        terms["stationarity"] = self.study.course.stationarity(step)
        pairs = [(self.module.get_parameter(part.name).detach(), self.earlier.get(part.name)) for part in own.parts]
        if all(before is not None for _, before in pairs):
            angles = [
                torch.nn.functional.cosine_similarity(now.flatten(), before.flatten(), dim=0) for now, before in pairs if before is not None
            ]
            terms["similarity"] = float(torch.stack(angles).mean())
        return terms

    def _row(self, step: int, own: Growing, term: str, value: float, matrix: Matrix) -> dict[str, Any]:
        group = next(g for g in self.update.param_groups if own.parts[0].name in g["names"])
        rate = group["lr"] / self.study.course.factor(step - 1)
        return {
            "seed": self.seed, f"size.{self.study.axis}": self.size, "weight": own.name, "step": step, "term": term, "value": value,
            "rate": rate, "decay": group["weight_decay"], "samples": matrix.x.shape[1],
        }  # fmt: skip

    def _samples(self) -> int:
        """As many per unit of the size at all sizes; positions count as samples."""
        with torch.no_grad():
            inputs, _ = self.source.batch(0)
            positions = prod(self._call(inputs).shape[1:-1])
        return min(MOST, max(self.study.course.batch, -(-self.study.course.per_input * self.size // max(1, positions))))
