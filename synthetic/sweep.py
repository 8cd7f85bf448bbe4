"""Sweeps: ensembles planned as data, then executed once each, resumably."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..theory.table import ExponentTable
from .ensemble import Ensemble
from .store import Store
from .training import Progress, train


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


def execute(plan: Plan, store: Store | None = None, *, device: str = "cpu", progress: Progress | None = None) -> pd.DataFrame:
    """Train every ensemble that the store does not hold, and store it at once.

    Killed at any point and called again, it goes on with the first ensemble that is not finished; an interrupt
    leaves the finished ones in the store.

    Args:
        plan: what to do.
        store: by default ``Store.default()``.
        device: where to train.
        progress: called with the label of the present ensemble, the FLOPs done and all FLOPs.

    Returns:
        The frames of all ensembles, one after the other (see `training.train`).

    Raises:
        StoreError: if the store cannot be written.
    """
    store = store or Store.default()
    total, done, frames = plan.flops, 0.0, []
    for ensemble in plan.ensembles:

        def report(label: str, part: float, _all: float, done: float = done) -> None:
            if progress is not None:
                progress(label, done + part, total)

        def make(ensemble: Ensemble = ensemble, report: Progress = report) -> pd.DataFrame:
            return train(ensemble, device=device, progress=report)

        frame = store.get_or_make(ensemble.key_data(), make, device=device)
        frames.append(frame.assign(case=ensemble.case, config=ensemble.config))
        done += ensemble.flops
        report(ensemble.label, ensemble.flops, ensemble.flops)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
