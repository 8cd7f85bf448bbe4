"""Sweeps: ensembles planned as data, then executed once each, resumably."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..theory.table import ExponentTable
from .engines import Engine, Local, Report
from .ensemble import Ensemble
from .store import Store, StoreError

if TYPE_CHECKING:
    from .training import Progress


@dataclass(frozen=True)
class Plan:
    """A set of ensembles.

    Args:
        ensembles: executed in this order.
    """

    ensembles: tuple[Ensemble, ...]

    @classmethod
    def grid(cls, tables: Mapping[str, ExponentTable], sizes: Sequence[Mapping[str, int]], **settings: Any) -> Plan:
        """Every table at every size.

        Args:
            tables: by the label ``config`` of their rows.
            sizes: of the axes, small first, so that something is there early.
            settings: all other fields of `Ensemble`.
        """
        return cls(tuple(Ensemble(table=t, sizes=s, config=c, **settings) for s in sizes for c, t in tables.items()))

    @property
    def runs(self) -> int:
        """Number of trained networks."""
        return sum(len(e.replicas) for e in self.ensembles)

    @property
    def flops(self) -> float:
        """Floating-point operations of all of them."""
        return sum((e.flops for e in self.ensembles), start=0.0)

    def missing(self, store: Store) -> Plan:
        """What is not in the store yet."""
        return Plan(tuple(e for e in self.ensembles if store.load(e.key_data()) is None))

    def __str__(self) -> str:
        return f"{self.runs} runs in {len(self.ensembles)} ensembles, {self.flops:.1e} FLOPs"


def execute(
    plan: Plan,
    store: Store | None = None,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    engine: Engine | None = None,
    work: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Train every ensemble that the store does not hold, and store it at once.

    Killed at any point and called again, it goes on with what is not finished; an interrupt leaves the finished
    ensembles in the store. Several sweeps on one store share the work.

    Args:
        plan: what to do.
        store: by default ``Store.default()``.
        device: where to train.
        progress: called with the label of the present ensemble, the work done and the work in all.
        engine: who trains; by default this process.
        work: of each ensemble, in any unit; by default its FLOPs.

    Returns:
        The frames of all ensembles, one after the other (see `training.train`).

    Raises:
        StoreError: if the store cannot be written.
        ChildProcessError: if workers of the engine died.
    """
    store = store or Store.default()
    store.tidy()
    keys = [ensemble.key_data() for ensemble in plan.ensembles]
    frames = [store.load(key) for key in keys]
    missing = [number for number, frame in enumerate(frames) if frame is None]
    report = _reporter(plan, missing, work or [ensemble.flops for ensemble in plan.ensembles], progress)
    (engine or Local()).run([plan.ensembles[number] for number in missing], store, device=device, report=report)
    for number in missing:
        frames[number] = store.load(keys[number])
        if frames[number] is None:
            label = plan.ensembles[number].label
            raise StoreError(f"the store `{store.root}` lacks `{label}`, which was just stored: do all workers see this folder?")
    labelled = [f.assign(case=e.case, config=e.config) for e, f in zip(plan.ensembles, frames) if f is not None]
    return pd.concat(labelled, ignore_index=True) if labelled else pd.DataFrame()


def _reporter(plan: Plan, missing: Sequence[int], work: Sequence[float], progress: Progress | None) -> Report:
    """From parts of the missing ensembles to the work of the whole plan."""
    parts = [0.0 if number in missing else 1.0 for number in range(len(work))]

    def report(number: int, label: str, part: float) -> None:
        parts[missing[number]] = part
        if progress is not None:
            progress(label, sum(p * w for p, w in zip(parts, work)), sum(work))

    if plan.ensembles and not missing and progress is not None:
        progress(plan.ensembles[-1].label, sum(work), sum(work))
    return report
