"""How long a plan takes, from a short calibration on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from . import cost
from .engines import Engine, Local
from .ensemble import MAX_RECORDS, Ensemble
from .store import Store
from .sweep import Plan
from .training import fitting_replicas, train

BUDGET = 3.0
"""Seconds that a calibration may take, but for the smallest ensemble."""

STEPS = 8  # of every ensemble that is timed
TRUST = 0.2  # part of the work after which the clock counts as much as the calibration

Clock = Callable[[], float]


@dataclass(frozen=True)
class Estimate:
    """What is left of a plan, and how long it takes.

    Args:
        runs: networks to be trained.
        ensembles: to be trained.
        flops: floating-point operations of them.
        seconds: until all are finished.
        costs: seconds of a worker for each ensemble of the plan; zero for those that are stored.
    """

    runs: int
    ensembles: int
    flops: float
    seconds: float
    costs: tuple[float, ...]

    def left(self, remaining: float, elapsed: float) -> float:
        """Seconds that remain: those of the calibration at first, then more and more as the clock has it.

        Args:
            remaining: part of the work.
            elapsed: seconds since the start.
        """
        return remaining * (elapsed + TRUST * self.seconds) / (1 - remaining + TRUST)

    def __str__(self) -> str:
        if not self.ensembles:
            return "nothing is left to be trained"
        return f"{self.runs} runs in {self.ensembles} ensembles, {self.flops:.1e} FLOPs, about {in_words(self.seconds)}"


def in_words(seconds: float) -> str:
    """A duration with as many digits as an estimate deserves."""
    for unit, length, limit in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < limit * length:
            amount = seconds / length
            return f"{amount:.1f} {unit}" if unit == "h" and amount < 10 else f"{max(1, round(amount))} {unit}"
    return f"{seconds / 86400:.1f} days"


def estimate(
    plan: Plan,
    store: Store | None = None,
    *,
    device: str = "cpu",
    engine: Engine | None = None,
    budget: float = BUDGET,
    clock: Clock = time.perf_counter,
) -> Estimate:
    """Time a few steps of the smallest, the largest and a middle missing ensemble of each kind, and scale them by their FLOPs.

    What would take longer than the budget is not timed, but extrapolated from smaller ones.

    Args:
        plan: what is to be trained.
        store: by default ``Store.default()``; what it holds costs nothing.
        device: where it is trained.
        engine: who trains, and how many ensembles at a time.
        budget: seconds for the calibration.
        clock: gives seconds.

    Returns:
        The estimate; ``costs`` can be given to `execute` as its ``work``.
    """
    store, engine = store or Store.default(), engine or Local()
    missing = {number: e for number, e in enumerate(plan.ensembles) if store.load(e.key_data()) is None}
    if not missing:
        return Estimate(0, 0, 0.0, 0.0, (0.0,) * len(plan.ensembles))
    calibration = Calibration(device, clock)
    with _threads(engine.threads):
        calibration.run(tuple(missing.values()), budget)
    costs = tuple(calibration.seconds(missing[number]) if number in missing else 0.0 for number in range(len(plan.ensembles)))
    left = Plan(tuple(missing.values()))
    seconds = max(max(costs), sum(costs) / engine.workers())
    return Estimate(left.runs, len(missing), left.flops, seconds, costs)


class Timing(NamedTuple):
    """Seconds of the parts of an ensemble's training."""

    setup: float
    step: float
    validation: float


@dataclass(frozen=True)
class Calibration:
    """Timed ensembles of some kinds.

    Args:
        device: where they are trained.
        clock: gives seconds.
        timings: of each kind, by the FLOPs of a step.
    """

    device: str
    clock: Clock = time.perf_counter
    timings: dict[tuple[object, ...], dict[float, Timing]] = field(default_factory=dict)

    def run(self, ensembles: Sequence[Ensemble], budget: float) -> None:
        """Time those that say most about the others while the budget lasts; the first in any case."""
        first, *rest = _choose(ensembles)
        self._time(first)
        self.timings.clear()  # the first steps of a process take longer
        end = self.clock() + budget
        self._time(first)
        for ensemble in rest:
            expected = self._predict(ensemble)
            if 2 * expected.setup + 4 * expected.step + 2 * expected.validation < end - self.clock():
                self._time(ensemble, end)

    def seconds(self, ensemble: Ensemble) -> float:
        """What an ensemble takes in all."""
        setup, step, validation = self._predict(ensemble)
        return setup + step * ensemble.steps + validation * len(ensemble.recorded)

    def _predict(self, ensemble: Ensemble) -> Timing:
        """From the timings of its kind, or of all kinds: a power of the FLOPs between two of them, proportional beyond the largest."""
        every = [pair for timings in self.timings.values() for pair in timings.items()]
        known = sorted(self.timings.get(_kind(ensemble), {}).items() or every)
        at, sizes = log(_step_flops(ensemble)), [log(flops) for flops, _ in known]
        beyond = exp(max(0.0, at - sizes[-1]))
        return Timing(*(beyond * exp(np.interp(at, sizes, np.log(part))) for part in zip(*(timing for _, timing in known))))

    def _time(self, ensemble: Ensemble, end: float = inf) -> None:
        steps = min(ensemble.steps, STEPS)
        start, *marks = self._marks(_shortened(ensemble, steps, validated=False), steps, end)
        step = float(np.median(np.diff(marks))) if len(marks) > 1 else marks[0] - start
        validation = 0.0
        if len(ensemble.task.inputs) > ensemble.task.train:
            _, first, second = self._marks(_shortened(ensemble, 1, validated=True), 2, inf)
            validation = second - first
        parts = len(ensemble.replicas) / fitting_replicas(ensemble, self.device)  # of which one was timed
        timing = Timing(*(max(1e-6, parts * seconds) for seconds in (marks[0] - start - step, step, validation)))
        self.timings.setdefault(_kind(ensemble), {})[_step_flops(ensemble)] = timing

    def _marks(self, ensemble: Ensemble, count: int, end: float) -> list[float]:
        """Times of the start and the first reports of an ensemble's training; at least two of these, but fewer after ``end``."""
        marks = [self.clock()]

        def mark(*_: object) -> None:
            _synchronize(self.device)
            marks.append(self.clock())
            if len(marks) > count or (len(marks) > 2 and marks[-1] > end):
                raise _Enough

        with suppress(_Enough):
            train(ensemble, device=self.device, progress=mark)
        return marks


class _Enough(Exception):
    """Enough steps are timed."""


def _choose(ensembles: Sequence[Ensemble]) -> Iterator[Ensemble]:
    """The smallest of every kind, then the largest of every kind, then one between them."""
    kinds: dict[tuple[object, ...], dict[float, Ensemble]] = {}
    for ensemble in sorted(ensembles, key=_step_flops):
        kinds.setdefault(_kind(ensemble), {}).setdefault(_step_flops(ensemble), ensemble)
    ordered = [list(of_kind.values()) for of_kind in kinds.values()]
    chosen = [[e[0], *e[-1:][: len(e) > 1], *e[1:-1][len(e) // 2 - 1 :][:1]] for e in ordered]
    for rank in zip_longest(*chosen):
        yield from (ensemble for ensemble in rank if ensemble is not None)


def _kind(ensemble: Ensemble) -> tuple[object, ...]:
    """Ensembles of one kind differ in size."""
    optimizer = ensemble.optimizer or ensemble.table.optimizer
    return ensemble.architecture.name, optimizer, ensemble.task.name, ensemble.batch, ensemble.dtype, ensemble.precision


def _step_flops(ensemble: Ensemble) -> float:
    return 6.0 * ensemble.batch * len(ensemble.replicas) * cost.macs(ensemble.architecture, ensemble.sizes)


def _shortened(ensemble: Ensemble, steps: int, *, validated: bool) -> Ensemble:
    """The same for a few steps, each of which is recorded."""
    task = ensemble.task
    if not validated:
        task = replace(task, inputs=task.inputs[: task.train], targets=task.targets[: task.train], expected=None)
    index = None if ensemble.index is None else np.resize(ensemble.index, (steps + 1, ensemble.batch))
    return replace(ensemble, steps=steps, task=task, index=index, records=MAX_RECORDS)


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """As many threads as a worker of the engine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
