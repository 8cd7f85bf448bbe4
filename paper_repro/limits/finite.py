"""Finite networks that converge to a problem's limit: the same arrays, batches and constants, trained by `widelimit.synthetic`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...dmft import Problem
from ...synthetic.engines import Engine, Local
from ...synthetic.ensemble import Ensemble
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...synthetic.tasks import Task
from ...theory.parameterizations import parameterization
from ..papers import Progress
from ..sweeping import run_sweep


@dataclass(frozen=True, eq=False)
class Networks:
    """Losses of finite networks over all training samples.

    Args:
        steps: recorded ones.
        losses: by width, (seed, record); inf once a network has diverged.
    """

    steps: np.ndarray
    losses: Mapping[int, np.ndarray]

    def common(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of the steps that both have, in theirs and in these."""
        _, theirs, here = np.intersect1d(steps, self.steps, return_indices=True)
        return theirs, here


def plan(problem: Problem, seeds: Mapping[int, int], *, case: str) -> Plan:
    """Ensembles of several widths.

    Args:
        problem: with discrete gradient descent.
        seeds: how many networks of every width.
        case: label.

    Raises:
        ValueError: for gradient flow and Nesterov's momentum, which the trainer does not have.
    """
    if problem.rule.kind == "flow" or problem.rule.nesterov or problem.schedule is not None:
        raise ValueError("finite networks are trained step by step at a constant rate, without Nesterov's momentum; compare no other rule")
    count = len(problem.inputs)
    # the loss over all samples is recorded as that of a second copy, kept for validation
    twice = np.concatenate([problem.inputs, problem.inputs]), np.concatenate([_targets(problem)] * 2)
    task = Task(case, *twice, problem.loss, count)
    table = parameterization("mup" if problem.rule.entrywise else "mean-field", problem.architecture, problem.rule.kind)
    # what a step takes from a weight is the same at every width, as in the limit
    table = replace(table, rows=tuple(replace(row, weight_decay=row.learning_rate**-1) for row in table.rows))
    index = np.tile(np.arange(count), (problem.steps + 1, 1)) if problem.index is None else problem.index[: problem.steps]
    if len(index) == problem.steps:
        index = np.concatenate([index, index[-1:]])
    ensembles = [
        Ensemble(
            problem.architecture,
            table,
            task,
            {**problem.sizes, "n": width},
            (_rate(problem),),
            tuple(range(many)),
            problem.steps,
            index.shape[1],
            constants=problem.constants,
            base=dict.fromkeys(problem.architecture.base, 1),
            momentum=problem.rule.momentum,
            betas=problem.rule.betas,
            index=index,
            records=60,
            case=case,
        )
        for width, many in seeds.items()
    ]
    return Plan(tuple(ensembles))


def networks(
    problem: Problem,
    seeds: Mapping[int, int],
    store: Store,
    *,
    case: str,
    progress: Progress,
    device: str = "cpu",
    engine: Engine | None = None,
) -> Networks:
    """Train them."""
    frame = run_sweep(f"limit, {case}", plan(problem, seeds, case=case), store, device=device, engine=engine or Local(), progress=progress)
    return tabulate(frame)


def tabulate(frame: pd.DataFrame) -> Networks:
    """From the frame of a sweep."""
    rows = frame[frame["term"] == "validation loss"]
    widths = sorted(int(width) for width in rows["size.n"].unique())
    losses = {w: rows[rows["size.n"] == w].pivot(index="seed", columns="step", values="value").to_numpy() for w in widths}
    return Networks(np.unique(rows["step"]), losses)


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
