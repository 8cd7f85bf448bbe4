"""Checks of many pairs of an architecture and an optimizer, several at a time, as one frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ..check import Settings
from ..papers import Progress
from ..parallel import spread

Task = tuple[str, str, Settings, Path]  # architecture, optimizer, how it is checked, where frames are kept


def check_all(
    check: Callable[[str, str, Settings, Path], tuple[pd.DataFrame, float | None]], tasks: Sequence[Task], *, jobs: int, progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of every task, and the excess of every control that there is; in the order of names, whatever finishes first."""
    progress(f"{len(tasks)} checks, {jobs} at a time")
    parts, controls = [], []
    for i, (rows, excess) in spread(check, tasks, jobs=jobs):
        name, optimizer = tasks[i][:2]
        progress(f"{name} {optimizer}: checked")
        parts.append(rows.assign(architecture=name, optimizer=optimizer))
        controls += [(name, optimizer, excess)] if excess is not None else []
    rows = pd.concat(parts, ignore_index=True).sort_values(["architecture", "optimizer"], kind="stable", ignore_index=True)
    return rows, pd.DataFrame(sorted(controls), columns=["architecture", "optimizer", "excess"])
