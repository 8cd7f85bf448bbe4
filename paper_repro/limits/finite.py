"""Finite networks that converge to a problem's limit: the same arrays, batches and constants, trained by `widelimit.synthetic`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...dmft import Problem
from ...synthetic.engines import Engine, Local
from ...synthetic.ensemble import SCHEDULES, Ensemble, schedule_factor
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...synthetic.tasks import Task
from ...theory.parameterizations import parameterization
from ...theory.table import ExponentTable
from ..papers import Progress
from ..sweeping import run_sweep


@dataclass(frozen=True, eq=False)
class Networks:
    """What finite networks say and lose.

    Args:
        steps: recorded ones.
        losses: over all training samples (with predictions: of the batches), by width, (seed, record); inf once a network has diverged.
        predictions: where asked for: of the training and then of the test samples, by width, (seed, record, sample x output).
    """

    steps: np.ndarray
    losses: Mapping[int, np.ndarray]
    predictions: Mapping[int, np.ndarray]

    def common(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of the steps that both have, in theirs and in these."""
        _, theirs, here = np.intersect1d(steps, self.steps, return_indices=True)
        return theirs, here


def plan(problem: Problem, seeds: Mapping[int, int], *, case: str, predictions: bool = False) -> Plan:
    """Ensembles of several widths.

    Args:
        problem: with discrete gradient descent.
        seeds: how many networks of every width.
        case: label.
        predictions: keep those of the training and the test samples.

    Raises:
        ValueError: for gradient flow, and for schedules that the trainer does not have.
    """
    if problem.rule.kind == "flow":
        raise ValueError("finite networks are trained step by step; gradient flow has no networks to compare with")
    count = len(problem.inputs)
    # the loss over all samples is recorded as that of a second copy, kept for validation
    test = problem.inputs[:0] if problem.test is None or not predictions else problem.test
    targets = _targets(problem)
    unknown = np.zeros((len(test), *targets.shape[1:]), targets.dtype)
    twice = np.concatenate([problem.inputs, problem.inputs, test]), np.concatenate([targets, targets, unknown])
    task = Task(case, *twice, problem.loss, count)
    table, base = _growth(problem)
    index = np.tile(np.arange(count), (problem.steps + 1, 1)) if problem.index is None else problem.index[: problem.steps]
    if len(index) == problem.steps:
        index = np.concatenate([index, index[-1:]])
    ensembles = [
        Ensemble(
            problem.architecture,
            table,
            task,
            _sizes(problem, width),
            (_rate(problem),),
            tuple(range(many)),
            problem.steps,
            index.shape[1],
            constants=problem.constants,
            base=base,
            momentum=problem.rule.momentum,
            optimizer="nesterov" if problem.rule.nesterov else "",
            schedule=_schedule(problem),
            betas=problem.rule.betas,
            index=index,
            records=60,
            predictions=predictions,
            case=case,
        )
        for width, many in seeds.items()
    ]
    return Plan(tuple(ensembles))


def _growth(problem: Problem) -> tuple[ExponentTable, Mapping[str, int]]:
    """The table under which networks converge to the limit, and the sizes at which the constants hold."""
    if problem.table is not None:
        return problem.table, problem.architecture.sizes(problem.base)
    table = parameterization("mup" if problem.rule.entrywise else "mean-field", problem.architecture, problem.rule.kind)
    # what a step takes from a weight is the same at every width, as in the limit
    rows = tuple(replace(row, weight_decay=row.learning_rate**-1) for row in table.rows)
    return replace(table, rows=rows), dict.fromkeys(problem.architecture.base, 1)


def _sizes(problem: Problem, width: int) -> dict[str, int]:
    """Of all axes; those of a mixture grow as its regime says."""
    if problem.table is None or problem.table.regime is None:
        return {**problem.sizes, "n": width}
    base = problem.architecture.sizes(problem.base)
    return {**base, **problem.sizes, **problem.table.regime.sizes("n", width, base)}


def networks(
    problem: Problem,
    seeds: Mapping[int, int],
    store: Store,
    *,
    case: str,
    progress: Progress,
    device: str = "cpu",
    engine: Engine | None = None,
    predictions: bool = False,
) -> Networks:
    """Train them."""
    planned = plan(problem, seeds, case=case, predictions=predictions)
    return tabulate(run_sweep(f"limit, {case}", planned, store, device=device, engine=engine or Local(), progress=progress))


def tabulate(frame: pd.DataFrame) -> Networks:
    """From the frame of a sweep."""
    said = sorted((term for term in frame["term"].unique() if term.startswith("prediction ")), key=lambda term: int(term.split()[1]))
    losses, predictions = {}, {}
    for width in sorted(int(n) for n in frame["size.n"].unique()):
        rows = frame[frame["size.n"] == width]
        table = {term: own.pivot(index="seed", columns="step", values="value").to_numpy() for term, own in rows.groupby("term")}
        losses[width] = table["train loss" if said else "validation loss"]
        if said:
            predictions[width] = np.stack([table[term] for term in said], -1)
    return Networks(np.unique(frame["step"]), losses, predictions)


def _schedule(problem: Problem) -> str:
    """The trainer's name of a schedule."""
    if problem.schedule is None:
        return "constant"
    for kind in SCHEDULES:
        if np.allclose(problem.schedule[: problem.steps], [schedule_factor(kind, t, problem.steps) for t in range(problem.steps)]):
            return kind
    raise ValueError(f"`schedule` is none of {', '.join(SCHEDULES)}, which finite networks can be trained with")


def _targets(problem: Problem) -> np.ndarray:
    targets = np.asarray(problem.targets)
    return targets.astype(np.int64) if problem.loss == "cross-entropy" else targets.reshape(len(targets), -1).astype(float)


def _rate(problem: Problem) -> float:
    assert problem.constants is not None
    return problem.constants.learning_rate


def widths_of(text: str) -> Sequence[int]:
    """Widths as on the command line, ``64,256``.

    Raises:
        ValueError: if one is no positive integer.
    """
    try:
        found = [int(part) for part in text.split(",") if part]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ValueError(f"`--compare-widths` is `{text}`; give positive integers, such as 64,256")
    return found
