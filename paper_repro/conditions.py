"""The conditions of a coordinate check: few samples, and a rate of order one or a vanishing one, as the table's class demands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isclose
from statistics import median
from typing import TYPE_CHECKING, Any

from ..theory.architecture import Architecture
from ..theory.constants import Constants
from ..theory.observables import Observable
from ..theory.optimizers import find_optimizer
from ..theory.table import ExponentTable

if TYPE_CHECKING:
    import pandas as pd

    from ..synthetic.tasks import Task
    from ..theory.scales import Regime

TOKENS = 16  # far fewer samples than the smallest width: the rank of an update stays fixed while the width grows
LIMIT = 0.01  # largest relative change where a table is not stable
FALL = 1 / 4  # largest part of the loss that the first update of a stable table may take away
STARTS = 3  # a rate that is smooth from one start may diverge from another
BELOW = 4  # the base is this factor below the smallest size


def reads_tokens(architecture: Architecture) -> bool:
    """Whether the first input is a sequence of tokens."""
    return any(node.kind == "token" for node in architecture.inputs)


def check_task(architecture: Architecture) -> Task:
    """Few samples of few tokens, so that the number of samples stays far below the width."""
    from ..synthetic import tasks

    if not reads_tokens(architecture):
        return tasks.default_task(architecture)
    node = architecture.inputs[0]
    vocab = architecture.dims[node.dims[-1]].size(architecture.base)
    return tasks.markov(vocab=vocab, positions=4, samples=64, seed=0)


def grown_with(architecture: Architecture, table: ExponentTable | None, axis: str, size: int) -> dict[str, int]:
    """The sizes that grow with an axis: under the regime of a table more than that of the axis itself."""
    return table.regime.sizes(axis, size, architecture.base) if table is not None and table.regime else {axis: size}


def exists(architecture: Architecture, axis: str, size: int, table: ExponentTable | None = None) -> bool:
    """Whether all axes that grow together and all dimensions are positive integers at this size."""
    grown = grown_with(architecture, table, axis, size)
    if table is not None and table.regime and not _follow(grown, table.regime, architecture.base):
        return False
    sizes = architecture.sizes(grown)
    try:
        return all(dim.size(sizes) for dim in architecture.dims.values())
    except ValueError:
        return False


def _follow(sizes: Mapping[str, int], regime: Regime, base: Mapping[str, int]) -> bool:
    """Whether sizes are powers of one common scale over the base, without rounding."""
    scales = [(size / base[axis]) ** (1 / float(regime[axis])) for axis, size in sizes.items()]
    return all(isclose(scale, scales[0], rel_tol=1e-9) for scale in scales)


@dataclass(frozen=True)
class Conditions:
    """What every network of one check has in common.

    Args:
        architecture: the network.
        table: how it scales.
        task: what it learns; a traced module learns random numbers.
        axis: the size that grows.
        base: the size of ``axis`` at which all parameterisations coincide.
        rates: constants of the weights' learning rates, where they are not 1.
        factory: makes the module that the architecture was traced from, with an example input; without, the architecture itself
            is built.
    """

    architecture: Architecture
    table: ExponentTable
    task: Task | None
    axis: str
    base: int
    rates: Mapping[str, float] = field(default_factory=dict)
    factory: Callable[..., Any] | None = None

    @classmethod
    def of(
        cls, architecture: Architecture, table: ExponentTable, axis: str, sizes: Sequence[int], factory: Callable[..., Any] | None = None
    ) -> Conditions:
        """Those of a check over these sizes: the base lies below them, where what vanishes with the size is small already.

        It is as far below as `BELOW` where every dimension is a positive integer there, else nearer.
        """
        smaller = [min(sizes) // factor for factor in range(BELOW, 1, -1) if min(sizes) % factor == 0]
        base = next((size for size in smaller if exists(architecture, axis, size, table)), min(sizes))
        return cls(architecture, table, check_task(architecture) if factory is None else None, axis, base, factory=factory)

    def as_data(self) -> dict[str, Any]:
        """What a measurement depends on, for the store."""
        from ..synthetic.ensemble import table_data

        own = {
            "task": self.task.digest if self.task else "",
            "optimizer": self.table.optimizer,
            "base": self.base,
            "rates": dict(self.rates),
        }
        return {"architecture": self.architecture.as_data(), **table_data(self.table), **own}

    def measure(
        self,
        sizes: Sequence[int],
        seeds: Sequence[int],
        steps: tuple[int, ...],
        rate: float,
        say: Callable[[str], object] = lambda text: None,
    ) -> pd.DataFrame:
        """The frame of `synthetic.coordinates.coordinate_check`."""
        from ..synthetic.coordinates import coordinate_check

        task, base = self.task, grown_with(self.architecture, self.table, self.axis, self.base)
        constants = Constants.default(self.architecture, base=base, learning_rate=rate)
        own = {name: replace(w, learning_rate=self.rates.get(name, 1.0)) for name, w in constants.weights.items()}
        constants = replace(constants, weights=own)

        def progress(label: str, done: float, total: float) -> None:
            say(f"{label} ({done:.0f}/{total:.0f})")

        if task is None:
            from ..synthetic.modules import check_module

            assert self.factory is not None
            return check_module(
                self.factory, self.architecture, self.table, axis=self.axis, sizes=sizes, base=base, constants=constants,
                seeds=tuple(seeds), steps=steps, progress=progress,
            )  # fmt: skip
        batch = max(1, TOKENS // (task.targets.shape[1] if task.loss == "cross-entropy" and task.targets.ndim > 1 else 1))
        return coordinate_check(
            self.architecture, self.table, task=task, axis=self.axis, sizes=sizes, seeds=tuple(seeds), steps=steps,
            constants=constants, base=base, batch=batch, progress=progress,
        )  # fmt: skip

    def balanced(self, size: int) -> Conditions:
        """With the rates of those weights lowered whose first update changes their output more than that of the median weight.

        Behind weights that start at zero the first update that does anything comes a few steps later, and is smaller at this small
        rate by that many powers of it; so weights are compared with those that start to change at the same step.

        Else the weight with the largest fixed fan-in alone decides how large a steady rate is: what the others do would be
        small, and drowned by fluctuations of relative order n^-1/2.
        """
        frame = self.measure([size], [0], (1, 2, 3, 4), 1e-6)
        frame = frame[frame["term"].str.endswith(": dW x0") & (frame["value"] > 0)]
        first = frame[frame["step"] == frame.groupby("weight")["step"].transform("min")]
        rates: dict[str, float] = {}
        for _, together in first.groupby("step"):
            changes = {str(weight): float(group["value"].max()) for weight, group in together.groupby("weight")}
            middle = median(changes.values())
            rates |= {name: middle / value for name, value in changes.items() if value > middle}
        return replace(self, rates=rates)

    def steady_rate(self, sizes: Sequence[int], last: int) -> float:
        """The largest rate, by halving, at which training is smooth at the smallest and the largest size, from `STARTS` initial weights.

        The loss falls in each of the first updates (as many as three, at most ``last``), and in the first by no more than
        `FALL`: beyond, it overshoots, at every size differently, and no power law holds. A table under which no rate is smooth
        is trained at the last one tried; its slopes will tell.
        """
        rate = 0.5 if find_optimizer(self.table.optimizer).degree else 0.02
        ends, steps = sorted({min(sizes), max(sizes)}), tuple(range(1, min(last, 3) + 1))
        for _ in range(20):
            frame = self.measure(ends, range(STARTS), steps, rate)
            losses = frame[frame["term"] == "loss"].pivot_table(index="step", columns=[f"size.{self.axis}", "seed"], values="value")
            kept = losses.div(losses.shift(1)).iloc[1:]
            if (kept < 1).all(axis=None) and (kept.iloc[0] >= 1 - FALL).all():
                break
            rate /= 2
        return rate

    def vanishing_rate(self, size: int) -> float:
        """A rate at which the largest relative change of any weight's output after one update is a tenth of the limit."""
        rate = 1e-6
        frame = self.measure([size], [0], (1,), rate)
        found = {(w, t): v for w, t, s, v in frame[["weight", "term", "step", "value"]].itertuples(index=False) if s == 1}
        ratios = [0.0]
        for (weight, term), value in found.items():
            if term in ("gradient", "loss"):
                continue
            observable = Observable.parse(term)
            before = found.get((weight, str(Observable(observable.node, "W0 x0", observable.backward))), 0.0)
            if observable.kind != "W0 x0" and before:
                ratios.append(value / before)
        return rate * 0.1 * LIMIT / max(ratios) if max(ratios) else rate  # zero: only what starts at zero changes
