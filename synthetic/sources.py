"""Batches for a user's module: from arrays that a user's function returns, or random ones shaped like an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from .streams import stream
from .tasks import batch_index

Batch = tuple[Any, Tensor]


@runtime_checkable
class Source(Protocol):
    """Where the batches of one run come from."""

    @property
    def loss(self) -> str:
        """One of `tasks.LOSSES`."""
        ...

    def batch(self, step: int) -> Batch:
        """Inputs (as the module takes them: a tensor, a tuple, a mapping) and targets of one update."""
        ...

    def probe(self, samples: int) -> Batch:
        """Samples on which matrices are measured: none of those that train, where there are as many."""
        ...


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A function applied to every array of a tuple, list or mapping."""
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    return tuple(mapped(item, change) for item in value) if isinstance(value, (tuple, list)) else change(value)


def leaves(value: Any) -> list[Any]:
    """The arrays of a tuple, list or mapping."""
    found: list[Any] = []
    mapped(value, found.append)
    return found


@dataclass(frozen=True, eq=False)
class Given:
    """Arrays, the first dimension of which are samples; what is beyond all updates, or the last tenth, is not trained on.

    Args:
        inputs: tensors in the form that the module takes.
        targets: what it is to say.
        loss: one of `tasks.LOSSES`.
        batch_size: samples of an update.
        steps: number of updates.
        seed: of the order.
    """

    inputs: Any
    targets: Tensor
    loss: str
    batch_size: int
    steps: int
    seed: int
    index: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", batch_index(self.seed, self.steps, self.train, self.batch_size))

    @property
    def train(self) -> int:
        """Samples that are trained on: as many as make every update fresh, where there are."""
        samples, fresh = len(self.targets), self.steps * self.batch_size
        return fresh if samples - fresh >= self.batch_size else samples - max(self.batch_size, samples // 10)

    def batch(self, step: int) -> Batch:
        return self._take(torch.as_tensor(self.index[step]))

    def probe(self, samples: int) -> Batch:
        """The last ones."""
        return self._take(torch.arange(max(0, len(self.targets) - samples), len(self.targets)))

    def _take(self, which: Tensor) -> Batch:
        return mapped(self.inputs, lambda value: value[which]), self.targets[which]


@dataclass(frozen=True, eq=False)
class Random:
    """Inputs like those of an example, and targets of which nothing can be learned; fresh ones for every update.

    Numbers are Gaussian; tokens are drawn evenly, and so are the classes where the module says something of each; else it is to say
    Gaussian numbers. Tensors of the example without its number of samples, and masks, stay as they are.

    Args:
        example: of the input.
        output: shape of what the module makes of it.
        vocab: number of tokens.
        batch_size: samples of an update.
        seed: of everything.
    """

    example: Any
    output: tuple[int, ...]
    vocab: int
    batch_size: int
    seed: int

    @property
    def loss(self) -> str:
        return "cross-entropy" if self._tokens is not None else "squared"

    @property
    def samples(self) -> int:
        """Of the example."""
        return next(iter(value.shape[0] for value in leaves(self.example) if isinstance(value, Tensor) and value.ndim))

    @property
    def _tokens(self) -> tuple[int, ...] | None:
        """The shape of classes, where there is one of each token."""
        tokens = (v for v in leaves(self.example) if isinstance(v, Tensor) and not v.is_floating_point() and v.dtype != torch.bool)
        shape = next((tuple(v.shape) for v in tokens), None)
        return shape if shape is not None and shape == self.output[:-1] else None

    def batch(self, step: int) -> Batch:
        return self._draw(stream(self.seed, f"batch/{step}"), self.batch_size)

    def probe(self, samples: int) -> Batch:
        return self._draw(stream(self.seed, "probe"), samples)

    def _draw(self, rng: np.random.Generator, samples: int) -> Batch:
        first = self.samples

        def fresh(value: Any) -> Any:
            if not isinstance(value, Tensor) or value.dtype == torch.bool or not value.ndim or value.shape[0] != first:
                return value
            shape = (samples, *value.shape[1:])
            if value.is_floating_point():
                return torch.from_numpy(rng.standard_normal(shape, np.float32))
            return torch.from_numpy(rng.integers(self.vocab, size=shape))

        inputs = mapped(self.example, fresh)
        if self._tokens is not None:
            return inputs, torch.from_numpy(rng.integers(self.output[-1], size=(samples, *self._tokens[1:])))
        return inputs, torch.from_numpy(rng.standard_normal((samples, *self.output[1:]), np.float32))


def given(data: Any, *, loss: str = "", batch_size: int, steps: int, seed: int, what: str = "the data") -> Given:
    """Read what a user's function returned: ``(inputs, targets)``, numpy arrays or tensors.

    Args:
        data: that pair; inputs may be a tuple or mapping of arrays.
        loss: one of `tasks.LOSSES`; by default the cross-entropy for whole numbers as targets, squared for others.
        batch_size: samples of an update.
        steps: number of updates.
        seed: of their order.
        what: what returned it, for messages.

    Raises:
        ValueError: if it is no such pair, numbers of samples differ or are too few, a number is not finite, or the loss does not fit.
    """
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        raise ValueError(f"{what} returned {type(data).__name__}; it must return two things, (inputs, targets)")
    inputs, targets = mapped(data[0], lambda v: _tensor(v, what)), _tensor(data[1], what)
    arrays = [*leaves(inputs), targets]
    counts = sorted({len(value) if value.ndim else 0 for value in arrays})
    if len(counts) > 1 or counts[0] < 2 * batch_size:
        sizes = ", ".join(str(tuple(value.shape)) for value in arrays)
        raise ValueError(
            f"{what} returned arrays of the shapes {sizes}; all need the same number of samples in front, "
            f"at least two batches of {batch_size}"
        )
    for value in arrays:
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise ValueError(f"{what} returned {bad} numbers that are not finite (nan or infinite); clean or fill them in first")
    own = loss or ("squared" if targets.is_floating_point() else "cross-entropy")
    if own == "cross-entropy" and targets.is_floating_point():
        raise ValueError(f"{what} returned targets of {targets.dtype}; the cross-entropy needs classes, which are integers")
    if own == "cross-entropy" and bool((targets < 0).any()):
        raise ValueError(f"{what} returned the class {int(targets.min())}; classes are 0, 1, 2 ...")
    if own == "logistic" and not bool(((targets == 0) | (targets == 1)).all()):
        raise ValueError(
            f"{what} returned targets from {float(targets.min()):g} to {float(targets.max()):g}; the logistic loss needs 0 and 1"
        )
    return Given(inputs, targets.float() if own != "cross-entropy" else targets, own, batch_size, steps, seed)


def _tensor(value: Any, what: str) -> Tensor:
    """In single precision, or 64-bit integers.

    Raises:
        ValueError: if it is no array of numbers.
    """
    try:
        found = value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} returned a {type(value).__name__}, which is no array of numbers ({error})") from None
    if found.is_floating_point():
        return found.float()
    return found if found.dtype == torch.bool else found.long()
