"""Learning-rate transfer on real data: scikit-learn's digits, SP against muP (Yang et al., arXiv 2203.03466, Figure 3).

Every network passes once over half of the digits (56 steps of 16, the rate falling linearly to zero): trained for longer, they all
interpolate, and the optimum becomes flat. Activations, steps, batch and grids were chosen on seeds 100 to 102 with another order of
the batches, which are not reported. SP and muP coincide at width 64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ...synthetic.engines import Engine, Local
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...synthetic.tasks import digits
from ...theory.parameterizations import parameterization
from ...theory.zoo import mlp
from ..papers import Progress
from ..results import Result
from ..sweeping import run_sweep
from .transfer_claims import FIGURE, Sweep, make_claims, tabulate
from .transfer_panels import draw

BASE, STEPS, BATCH = 64, 56, 16
COLUMNS = ["case", "config", "seed", "size.n", "hp.learning_rate", "value", "diverged_at"]


@dataclass(frozen=True)
class Settings:
    """Sizes of the sweep.

    Args:
        widths: of both hidden layers.
        seeds: of the initial weights.
        octaves: for each optimizer the ends of the grid of rates, log2.
        spacing: of that grid, in octaves.
        activations: of the hidden layers.
        device: where to train; the CPU where there is no such device.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    seeds: tuple[int, ...] = (0, 1, 2)
    octaves: Mapping[str, tuple[float, float]] = field(default_factory=lambda: {"adam": (-10.0, -3.0), "sgd": (-4.0, 2.0)})
    spacing: float = 0.5
    activations: tuple[str, ...] = ("tanh", "relu")
    device: str = "cpu"

    def rates(self, optimizer: str) -> tuple[float, ...]:
        """The grid, in units of the rate at the base width."""
        low, high = self.octaves[optimizer]
        return tuple(float(2**x) for x in np.arange(low, high + self.spacing / 2, self.spacing))


_MANY, _WIDE = tuple(range(8)), tuple(2**k for k in range(5, 13))
PRESETS = {
    "smoke": Settings((32, 64, 256), (0, 1), {"adam": (-9.0, -4.0), "sgd": (-3.0, 2.0)}, 1.0, ("tanh",)),
    "laptop": Settings(),
    "gpu": Settings(_WIDE, _MANY, {"adam": (-14.0, -3.0), "sgd": (-6.0, 2.0)}, 0.25, device="cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Train every width at every rate in both parameterisations, and measure how the best rate moves with the width."""
    losses = measure(PRESETS[preset], Store(store_home), progress, engine)
    rows = lambda *key: losses.loc[(losses["case"] == key[0]) & (losses["config"] == key[1])]  # noqa: E731
    sweeps = {(case, config): Sweep.of(rows(case, config)) for case in losses["case"].unique() for config in ("sp", "mup")}
    drifts = tabulate(sweeps)
    return Result(FIGURE, tuple(make_claims(sweeps)), draw(losses, drifts, out / "transfer"), {"losses": losses, "drifts": drifts})


def measure(settings: Settings, store: Store, progress: Progress, engine: Engine | None = None) -> pd.DataFrame:
    """The validation loss after the last step of every run; ``case`` is the activation and the optimizer, ``config`` sp or mup."""
    import torch

    device = "cpu" if settings.device == "cuda" and not torch.cuda.is_available() else settings.device
    frame = run_sweep("core/transfer", make_plan(settings), store, device=device, engine=engine or Local(), progress=progress)
    rows = frame.loc[(frame["step"] == STEPS) & (frame["term"] == "validation loss"), COLUMNS]
    return rows.reset_index(drop=True)


def make_plan(settings: Settings) -> Plan:
    """All ensembles of a preset, case by case, small widths first."""
    ensembles, data = [], digits()
    sizes = [{"n": width} for width in settings.widths]
    training = {"task": data, "steps": STEPS, "batch": BATCH, "schedule": "linear", "records": 3, "seeds": settings.seeds}
    for activation in settings.activations:
        network = mlp(activation=activation, base=BASE)
        for optimizer in settings.octaves:
            tables = {name: parameterization(name, network, optimizer) for name in ("sp", "mup")}
            grid = {"learning_rates": settings.rates(optimizer), "case": f"{activation} {optimizer}"}
            ensembles += Plan.grid(tables, sizes, architecture=network, **grid, **training).ensembles
    return Plan(tuple(ensembles))
