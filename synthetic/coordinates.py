"""The refined coordinate check: slopes of atomic terms from networks of several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..theory.architecture import Architecture
from ..theory.constants import Constants
from ..theory.table import ExponentTable
from .building import build
from .ensemble import check_balance
from .network import Network
from .optimizers import Update, make_update
from .probes import Probe, Sizes
from .tasks import Task, batch_index
from .training import DIVERGED, Progress, load_task


def coordinate_check(
    architecture: Architecture,
    table: ExponentTable,
    *,
    task: Task,
    axis: str,
    sizes: Sequence[int],
    fixed: Mapping[str, int] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3),
    steps: Sequence[int] = (1, 2, 3, 10),
    learning_rate: float | None = None,
    constants: Constants | None = None,
    base: Mapping[str, int] | None = None,
    batch: int = 16,
    balance: float = 0.0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train on one fixed batch at several sizes and measure every atomic term (see `Probe`).

    All seeds of one size are one batched program; in float64 the changes of small steps are exact differences.

    Args:
        architecture: the graph.
        table: how it scales; its optimizer trains.
        task: the first training batch is used in every step, and is the probe batch.
        axis: the size that grows; under the regime of a table the others grow with it.
        sizes: its values.
        fixed: sizes of the other axes, by default their base.
        seeds: of the initial weights.
        steps: after which updates to measure; step 0 (``W0 x0``) is always measured.
        learning_rate: instead of the one in ``constants``.
        constants: values at the base sizes.
        base: base sizes, by default the architecture's.
        batch: samples.
        balance: coefficient of `routing.balance_loss`.
        dtype: of everything.
        device: where.
        progress: called after every size with a label, the sizes done and all sizes.

    Returns:
        The frame of DESIGN section 7, one row per size, seed, step, weight and term (strings of
        `theory.observables.Observable`, ``gradient``, ``loss`` and `ROUTING`; see `Probe.measure`). ``diverged_at`` is the first
        measured step at which the loss is not finite or `DIVERGED` times the first; finite values stay.

    Raises:
        ValueError: if the axis or a size is wrong; it is named.
    """
    check_balance(architecture, balance)
    constants = constants or Constants.default(architecture, base=base)
    if learning_rate is not None:
        constants = constants.with_rate(learning_rate)
    frames = []
    for done, size in enumerate(sizes):
        grown = table.regime.sizes(axis, size, architecture.base) if table.regime else {axis: size}
        complete = architecture.sizes({**(fixed or {}), **grown})
        built = build(architecture, table, constants, sizes=complete, base=base, seeds=seeds, dtype=dtype, device=device)
        probe = _probe(built.network, task, batch, balance, dtype, device)
        measured = _train(probe, make_update(table.optimizer, built.groups), steps)
        columns = {f"size.{a}": s for a, s in complete.items()} | {"hp.learning_rate": constants.learning_rate}
        frames.append(as_frame(measured, built.seeds, columns, f"{architecture.name}/{task.name}"))
        if progress is not None:
            progress(f"{architecture.name} {axis}={size}", done + 1, len(sizes))
    return pd.concat(frames, ignore_index=True)


def _probe(network: Network, task: Task, batch: int, balance: float, dtype: torch.dtype, device: torch.device | str) -> Probe:
    """The probe on the first training batch."""
    samples = torch.as_tensor(batch_index(0, 1, task.train, batch)[0], device=device)
    inputs, targets = load_task(task, device, dtype)
    network.check_inputs(inputs)
    return Probe(network, inputs[samples], targets[samples], task.loss, balance)


def _train(probe: Probe, update: Update, steps: Sequence[int]) -> dict[int, Sizes]:
    """Measure at initialisation and after the updates ``steps``."""
    now = probe.first
    measured = {0: probe.measure(now)}
    for step in range(1, max(steps, default=0) + 1):
        update.step(list(now.gradients.values()))
        now = probe.record()
        if step in steps:
            measured[step] = probe.measure(now)
    return measured


def as_frame(measured: Mapping[int, Sizes], seeds: Sequence[int], columns: Mapping[str, Any], case: str) -> pd.DataFrame:
    """One row per step, term and seed; numbers that are not finite become inf."""
    losses = {step: sizes["", "loss"].double().cpu().numpy() for step, sizes in measured.items()}
    diverged_at = np.full(len(seeds), np.nan)
    for step, loss in losses.items():
        diverged_at[~(loss <= DIVERGED * losses[0]) & np.isnan(diverged_at)] = step
    rows = [
        {"step": step, "weight": weight, "term": term, "seed": seed, "value": value, "diverged_at": at}
        for step, sizes in measured.items()
        for (weight, term), values in sizes.items()
        for seed, value, at in zip(seeds, values.double().cpu().numpy(), diverged_at, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(source="synthetic", case=case, config="", predicted=np.nan, **columns)
    frame["value"] = frame["value"].where(np.isfinite(frame["value"]), np.inf)
    first = ["source", "case", "config", "seed", "step", "weight", "term", "value", "predicted"]
    return frame.reindex(columns=[*first, *columns, "diverged_at"])
