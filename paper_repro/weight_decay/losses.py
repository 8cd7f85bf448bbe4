"""Losses over rates and decays of matrices at several widths, from which every rule for the decay is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ...synthetic.engines import Engine, Local
from ...synthetic.ensemble import Ensemble, schedule_factor
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...synthetic.tasks import Task
from ...synthetic.zipf_task import zipf
from ...theory.derivation import derive
from ...theory.scales import Powers
from ...theory.zoo import prenorm
from ..papers import Progress
from ..sweeping import run_sweep
from .networks import auxiliary, matrices, settings
from .surface import Array, Surface


def octaves(low: float, high: float) -> tuple[float, ...]:
    """Powers of two."""
    return tuple(2.0**x for x in np.arange(low, high + 0.5))


@dataclass(frozen=True)
class Grid:
    """Zipf's tokens with frozen embeddings, so that matrices do the learning, at every rate and decay.

    Rates and decays are those of matrices at the smallest width; a wider network has rates of 1/n and decays as they are, and what a rule
    asks for is another place on the grid.

    Args:
        widths: n.
        rates: eta.
        decays: lambda.
        lengths: updates of other runs at the smallest width.
        seeds: of the initial weights.
        steps: updates; the rate falls over the last fifth.
        batch: samples of a step, all fresh.
        warmup: updates.
        device: where.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    rates: tuple[float, ...] = octaves(-9, -4)
    decays: tuple[float, ...] = tuple(0.05 * f for f in octaves(-1, 5))
    lengths: tuple[int, ...] = (300, 1200)
    seeds: int = 6
    steps: int = 600
    batch: int = 128
    warmup: int = 100
    device: str = "cpu"

    def ensemble(self, kind: str, width: int, steps: int) -> Ensemble:
        """All rates, decays and seeds of one width; on a sphere there is no decay, and rates are angles."""
        net = prenorm(vocab=256, frozen=True, post_norm=kind == "post", base=self.widths[0])
        own = settings(net, power=0)
        if kind == "sphere":
            table = derive(net, "hyperball")
            for name in matrices(net):
                table = table.changed(name, learning_rate=Powers())
            own |= {"table": table, "auxiliary": auxiliary(net, own["table"]), "constants": own["constants"].with_weights(weight_decay=0.0)}
        return Ensemble(
            **own, task=_task(steps * self.batch), sizes={"n": width}, steps=steps, batch=self.batch, warmup=self.warmup,
            learning_rates=tuple(4 * r for r in self.rates) if kind == "sphere" else self.rates, seeds=tuple(range(self.seeds)),
            grid={"weight_decay": (1.0,) if kind == "sphere" else self.decays}, schedule="stable-decay", records=2,
            case=f"weight decay, {kind}", config=str(steps),
        )  # fmt: skip

    def plan(self, kinds: tuple[str, ...]) -> Plan:
        """Small widths first; other lengths of ``pre`` alone."""
        found = [self.ensemble(kind, width, self.steps) for width in self.widths for kind in kinds]
        more = [self.ensemble("pre", self.widths[0], steps) for steps in self.lengths] if kinds == ("pre",) else []
        return Plan((*found, *more))

    def forgotten(self, steps: int, width: int) -> Array:
        """``2 lambda sum(eta)`` at every rate and decay, (rate, decay): e-folds of the initial squared norms."""
        total = sum(schedule_factor("stable-decay", t, steps, self.warmup) for t in range(steps))
        return 2 * total * np.multiply.outer(self.rates, self.decays) * self.widths[0] / width

    def measure(
        self, name: str, kinds: tuple[str, ...], *, store_home: Path, progress: Progress, engine: Engine | None
    ) -> Mapping[tuple[str, int, int], Surface]:
        """Train what the store lacks; losses by kind, width and number of updates."""
        import torch

        device = "cpu" if self.device == "cuda" and not torch.cuda.is_available() else self.device
        plan = self.plan(kinds)
        frame = run_sweep(name, plan, Store(store_home), device=device, engine=engine or Local(), progress=progress)
        last = frame[(frame["term"] == "validation loss") & (frame["step"] > 0)]
        found = {}
        for one in plan.ensembles:
            rows = last[(last["case"] == one.case) & (last["config"] == one.config) & (last["size.n"] == one.sizes["n"])]
            found[one.case.rpartition(" ")[2], one.sizes["n"], one.steps] = Surface.of(rows, one.task.floor)
        return found


@cache
def _task(samples: int) -> Task:
    """The same for all kinds and widths."""
    return zipf(samples=samples, validation=2**13)
