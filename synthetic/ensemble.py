"""Ensembles: one architecture and size, all learning rates and seeds, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product
from math import cos, pi
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from ..theory.architecture import Architecture
from ..theory.constants import Constants
from ..theory.table import COLUMNS, ExponentTable
from . import cost
from .tasks import Task, batch_index

NUMERICS = 2
"""Part of every key of the store; to be raised when training code changes results."""

SCHEDULES = ("constant", "linear", "cosine", "stable-decay")
COOLDOWN = 0.2  # part of the steps in which `stable-decay` falls to zero
MAX_RECORDS = 60
PRECISIONS = ("full", "tf32", "bf16")
HYPERPARAMETERS = ("momentum", "beta1", "beta2", "weight_decay", "schedule")


class Replica(NamedTuple):
    """What one replica has of its own."""

    learning_rate: float
    seed: int
    momentum: float
    beta1: float
    beta2: float
    weight_decay: float
    schedule: str


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """Weights that another optimizer trains, at one rate in all replicas: embeddings, readouts and vectors beside Muon.

    Args:
        table: how they scale; its optimizer trains them.
        weights: their names.
        learning_rate: of all of them.
        betas: of Adam.
    """

    table: ExponentTable
    weights: tuple[str, ...]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)

    def into(self, table: ExponentTable) -> ExponentTable:
        """That table with the rows of these weights.

        Raises:
            ValueError: if a weight is in neither.
        """
        own = {row.weight: row for row in self.table.rows}
        for name in self.weights:
            if name not in own or name not in {row.weight for row in table.rows}:
                raise ValueError(f"the auxiliary optimizer names the weight `{name}`, which the tables do not have")
        return replace(table, rows=tuple(own[row.weight] if row.weight in self.weights else row for row in table.rows))

    def key_data(self) -> dict[str, Any]:
        """What determines the numbers, as plain data; the rows are in the merged table."""
        return {"optimizer": [self.table.optimizer, self.learning_rate, list(self.betas)], "weights": list(self.weights)}


@dataclass(frozen=True, eq=False)
class Ensemble:
    """R networks of one size, trained on the same batches: learning rates x seeds x values of other hyperparameters.

    Args:
        architecture: the graph.
        table: how it scales.
        task: what it learns.
        sizes: sizes of the axes; those left out have their base size.
        learning_rates: values of ``Constants.learning_rate``, one after the other.
        seeds: seeds of the initial weights.
        grid: values of other hyperparameters of single replicas (see `HYPERPARAMETERS`), in place of the fields below; a
            ``weight_decay`` is a factor on the constants' decays.
        steps: number of updates.
        batch: samples per step; all training samples make full-batch steps.
        constants: values at the base sizes; its learning rate is replaced by ``learning_rates``.
        base: base sizes, by default the architecture's.
        optimizer: by default the table's.
        momentum: of SGD, Muon and Dion.
        betas: of Adam.
        rank: of Dion's updates; 0 is full.
        auxiliary: what another optimizer trains.
        schedule: factor on all rates: ``constant``, or to zero as ``linear`` or ``cosine``, or linearly over the last fifth of the
            steps as ``stable-decay`` (with a warmup: WSD).
        warmup: steps during which the factor rises linearly.
        dtype: ``float32`` or ``float64``.
        balance: coefficient of the loss that evens out the loads of experts (`routing.balance_loss`); recorded losses are without.
        precision: of matrix products in float32: ``full``, ``tf32`` (on CUDA) or ``bf16``.
        data_seed: of the order of the batches.
        index: the samples of every step, (steps + 1, batch), instead of ``batch_index(data_seed, ...)``.
        records: at most this many steps are recorded.
        predictions: keep what the networks say of every validation sample at these steps, too.
        case: label of the frame.
        config: label of the frame.
    """

    architecture: Architecture
    table: ExponentTable
    task: Task
    sizes: Mapping[str, int]
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    batch: int
    constants: Constants | None = None
    base: Mapping[str, int] | None = None
    optimizer: str = ""
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    rank: int = 0
    auxiliary: Auxiliary | None = None
    schedule: str = "constant"
    warmup: int = 0
    dtype: str = "float32"
    precision: str = "full"
    balance: float = 0.0
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    data_seed: int = 0
    index: Int[np.ndarray, "step batch"] | None = None
    records: int = 24
    predictions: bool = False
    case: str = ""
    config: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", self.architecture.sizes(self.sizes))
        if self.auxiliary is not None:
            object.__setattr__(self, "table", self.auxiliary.into(self.table))
        if not self.learning_rates or not self.seeds:
            raise ValueError("an ensemble needs at least one of `learning_rates` and one of `seeds`")
        self._check_grid()
        check_balance(self.architecture, self.balance)
        if self.precision not in PRECISIONS or (self.precision != "full" and self.dtype == "float64"):
            raise ValueError(f"`precision` is `{self.precision}` with {self.dtype}; choose from {', '.join(PRECISIONS)}, full for float64")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule `{self.schedule}`; choose from {', '.join(SCHEDULES)}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"`dtype` is `{self.dtype}`; choose float32 or float64")
        if not 1 <= self.records <= MAX_RECORDS or self.steps < 0:
            raise ValueError(f"`records` is {self.records} (1 to {MAX_RECORDS}) and `steps` is {self.steps} (0 or more)")
        if self.index is not None and self.index.shape != (self.steps + 1, self.batch):
            raise ValueError(f"`index` has the shape {self.index.shape}, not (steps + 1, batch) = {(self.steps + 1, self.batch)}")

    def _check_grid(self) -> None:
        for name, values in self.grid.items():
            if name not in HYPERPARAMETERS:
                raise ValueError(f"`grid` has `{name}`; single replicas may have {', '.join(HYPERPARAMETERS)}")
            if not values or (name == "schedule" and set(values) - set(SCHEDULES)):
                raise ValueError(f"`grid` has {values!r} for `{name}`; schedules are {', '.join(SCHEDULES)}")

    @cached_property
    def replicas(self) -> tuple[Replica, ...]:
        """What every replica has of its own, seeds varying fastest."""
        usual: dict[str, Any] = {
            "momentum": self.momentum,
            "beta1": self.betas[0],
            "beta2": self.betas[1],
            "weight_decay": 1.0,
            "schedule": self.schedule,
        }
        return tuple(
            Replica(rate, seed, **usual | dict(zip(self.grid, own)))
            for own in product(*self.grid.values())
            for rate, seed in product(self.learning_rates, self.seeds)
        )

    @property
    def batches(self) -> Int[np.ndarray, "step batch"]:
        """The samples of every step, and of the loss after the last one."""
        if self.index is not None:
            return self.index
        return batch_index(self.data_seed, self.steps + 1, self.task.train, self.batch)

    @property
    def label(self) -> str:
        sizes = ", ".join(f"{axis}={size}" for axis, size in self.sizes.items())
        return " ".join(part for part in (self.case or self.architecture.name, self.config, sizes) if part)

    @property
    def flops(self) -> float:
        """Floating-point operations of training and validation (6 and 2 per multiplication of the forward pass)."""
        samples = 6 * self.batch * self.steps + 2 * len(self.recorded) * (len(self.task.inputs) - self.task.train)
        return float(cost.macs(self.architecture, self.sizes) * samples * len(self.replicas))

    @cached_property
    def recorded(self) -> tuple[int, ...]:
        """Steps at which losses are recorded: 0, then log-spaced up to the last."""
        return log_spaced(self.steps, self.records)

    def key_data(self) -> dict[str, Any]:
        """Everything that determines the numbers, as plain data (DESIGN section 7)."""
        constants = self.constants or Constants.default(self.architecture, base=self.base)
        return {
            "kind": "ensemble",
            "numerics": NUMERICS,
            "task": self.task.digest,
            "architecture": self.architecture.as_data(),
            **table_data(self.table),
            "constants": {**asdict(constants), "learning_rate": None},
            "sizes": dict(self.sizes),
            "base": self.architecture.sizes(self.base or {}),
            "optimizer": [self.optimizer or self.table.optimizer, self.momentum, list(self.betas)],
            "schedule": [self.schedule, self.warmup],
            "steps": [self.steps, list(self.recorded)],
            "batch": [self.batch, self.data_seed] if self.index is None else self.index.tolist(),
            "learning_rates": list(self.learning_rates),
            "seeds": list(self.seeds),
            "dtype": self.dtype,
            **({"precision": self.precision} if self.precision != "full" else {}),
            **({"rank": self.rank} if self.rank else {}),
            **({"balance": self.balance} if self.balance else {}),
            **({"predictions": True} if self.predictions else {}),
            **({"auxiliary": self.auxiliary.key_data()} if self.auxiliary else {}),
            **({"grid": {name: list(values) for name, values in self.grid.items()}} if self.grid else {}),
        }


def check_balance(architecture: Architecture, balance: float) -> None:
    """Raise if loads are to be evened out where no experts are chosen."""
    if balance < 0 or (balance and not any(node.op == "top" for node in architecture.nodes)):
        raise ValueError(
            f"`balance` is {balance}, and `{architecture.name}` has {sum(n.op == 'top' for n in architecture.nodes)} top-K masks; "
            "a loss that evens out loads needs a coefficient above 0 and one mask at least"
        )


def table_data(table: ExponentTable) -> dict[str, Any]:
    """What `build` reads of a table: not its reasons, names or gauge."""
    flags = lambda r: [r.zero_init, r.shared_init, r.trained, *(["not decayed"] if not r.decayed else [])]  # noqa: E731
    return {
        "table": {r.weight: [[getattr(r, c).as_json() for c in COLUMNS], flags(r)] for r in table.rows},
        "operations": {o.name: o.multiplier.as_json() for o in table.operations},
        "regime": None if table.regime is None else table.regime.as_json(),
    }


def log_spaced(steps: int, count: int) -> tuple[int, ...]:
    """Step 0, and at most ``count - 1`` log-spaced steps up to the last, which is among them."""
    if steps == 0 or count < 2:
        return (0,)
    if count == 2:
        return (0, steps)
    spaced = np.unique(np.round(np.geomspace(1, steps, count - 1)).astype(int))
    return (0, *(int(s) for s in spaced))


def schedule_factor(kind: str, step: int, steps: int, warmup: int = 0) -> float:
    """Factor on all rates at an update: a linear rise over ``warmup`` updates times the decay to zero at the end."""
    rise = min(1.0, (step + 1) / (warmup + 1))
    if kind == "constant":
        return rise
    left = 1.0 - step / steps
    if kind == "stable-decay":
        return rise * min(1.0, left / COOLDOWN)
    return rise * (left if kind == "linear" else (1 - cos(pi * left)) / 2)
