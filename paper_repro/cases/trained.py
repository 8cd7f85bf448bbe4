"""Cases on trained networks: every width, learning rate and seed of a sweep, then the verdict from the curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...synthetic import tasks
from ...synthetic.engines import Engine, Local
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...theory.constants import Constants
from ...theory.curves import Curves
from ...theory.parameterizations import parameterization
from ...theory.verdict import NONE, Verdict, judge
from ...theory.zoo import mlp
from ..moe.study import BATCH, Scan
from ..sweeping import run_sweep
from .catalogue import Measured, Progress


@dataclass(frozen=True)
class Settings:
    """A sweep.

    Args:
        widths: of the hidden layers.
        octaves: ends of the grid of learning rates, log2, in units of the rate at the base width.
        spacing: of that grid, in octaves.
        seeds: of the initial weights.
        steps: updates.
        batch: samples of each.
        inputs: dimension of the data, where they are made.
        device: where to train; the CPU where there is no such device.
    """

    widths: tuple[int, ...]
    octaves: tuple[float, float]
    spacing: float
    seeds: int
    steps: int
    batch: int
    inputs: int = 16
    device: str = "cpu"

    @property
    def rates(self) -> tuple[float, ...]:
        """The grid of learning rates."""
        low, high = self.octaves
        return tuple(float(2**x) for x in np.arange(low, high + self.spacing / 2, self.spacing))


def _roots(low: int, high: int) -> tuple[int, ...]:
    """Widths from ``2^low`` to ``2^high`` in factors of sqrt 2, rounded to even numbers."""
    return tuple(2 * round(2 ** (k / 2 - 1)) for k in range(2 * low, 2 * high + 1))


_BALL = {
    "smoke": Settings((16, 32, 64, 128), (-7, -1), 1.0, 2, 128, 64),
    "laptop": Settings(_roots(5, 9), (-7, -1), 0.5, 3, 2048, 128),
    "gpu": Settings(_roots(7, 14), (-11.5, -5), 0.25, 4, 2**14, 256, 64, "cuda"),
}
_INDEX = {
    "smoke": Settings((16, 32, 64, 128), (-9, 0), 1.0, 2, 128, 64),
    "laptop": Settings(_roots(5, 9), (-11, 0), 1.0, 3, 2048, 128),
    "gpu": Settings(_roots(7, 14), (-12, 0), 0.5, 4, 2**14, 256, 64, "cuda"),
}
_DIGITS = {
    "smoke": Settings((16, 32, 64, 128), (-11, -3), 1.0, 2, 56, 16),
    "laptop": Settings((32, 64, 128, 256, 512), (-11, -3), 0.5, 4, 56, 16),
    "gpu": Settings(tuple(2**k for k in range(5, 13)), (-14, -3), 0.25, 8, 56, 16, device="cuda"),
}
_MOE = {
    regime: {
        "smoke": Settings(few, octaves, 1.0, 2, 16, BATCH),
        "laptop": Settings(more, octaves, 1.0, 4, 64, BATCH),
        "gpu": Settings(many, octaves, 0.5, 8, 64, BATCH, device="cuda"),
    }
    for octaves in [(-1, 7)]
    for regime, few, more, many in (
        ("I", (32, 64, 96, 128), (32, 64, 128, 256, 512), tuple(2**k for k in range(5, 12))),
        ("II", (32, 64, 96, 128), (32, 64, 128, 256, 512), tuple(2**k for k in range(5, 12))),
        ("III", (16, 32, 48, 64), (16, 32, 64, 128), tuple(2**k for k in range(4, 11))),
    )
}
PRESETS = {
    "ball": _BALL,
    "k-index": _INDEX,
    "k-index-cured": {name: replace(s, octaves=(s.octaves[0] + 3, s.octaves[1] + 3)) for name, s in _INDEX.items()},
    "digits": _DIGITS,
    "digits-sp": _DIGITS,
    **{f"moe-{regime}{suffix}": presets for regime, presets in _MOE.items() for suffix in ("", "-mup")},
}


def measure(name: str, preset: str, *, store_home: Path, progress: Progress, engine: Engine | None = None) -> Measured:
    """Train what the store lacks and judge the validation losses after the last step."""
    settings, (expected, why) = PRESETS[name][preset], THEORY[name]
    plan, device = plan_sweep(name, preset)
    frame = run_sweep(name, plan, Store(store_home), device=device, engine=engine or Local(), progress=progress)
    last = frame[(frame["step"] == settings.steps) & (frame["term"] == "validation loss")].reset_index(drop=True)
    curves = as_curves(last, steep=name in STEEP)
    verdict = judge(curves)
    return Measured("n", "learning rate", _table(curves, verdict), verdict, None, expected, why, last)


def plan_sweep(name: str, preset: str) -> tuple[Plan, str]:
    """What `measure` trains, and on which device."""
    settings = PRESETS[name][preset]
    return PLANS[name](settings), _device(settings.device)


def as_curves(last: pd.DataFrame, *, steep: bool = False) -> Curves:
    """Losses over log2 of the learning rate."""
    table = last.pivot_table(index="seed", columns=["size.n", "hp.learning_rate"], values="value", dropna=False)
    sizes, rates = (table.columns.get_level_values(level).unique().to_numpy(float) for level in (0, 1))
    return Curves(sizes, np.log2(rates), table.to_numpy().reshape(len(table), sizes.size, rates.size), steep)


def _table(curves: Curves, verdict: Verdict) -> pd.DataFrame:
    table = pd.DataFrame({"size": curves.sizes, "optimum": 2.0 ** np.array(verdict.places), "loss": verdict.values})
    return table.assign(**{"cost at the largest": verdict.costs}) if verdict.costs else table


def _device(wanted: str) -> str:
    import torch

    return "cpu" if wanted == "cuda" and not torch.cuda.is_available() else wanted


def _two_layers(task: Callable[..., tasks.Task], *, name: str, last_rate: float = 1.0) -> Callable[[Settings], Plan]:
    """``f = 1/n sum_i a_i relu(<w_i, x> + b_i)`` with ``a ~ N(0, 1)``, ``w ~ N(0, 1/d)``, trained by Adam at rates of order one (muP)."""

    def plan(settings: Settings) -> Plan:
        network = mlp(hidden=1, inputs=settings.inputs, outputs=1, bias=True, base=1)
        constants = Constants.default(network)
        readout = [w.name for w in network.weights.values() if w.inn][-1]
        scaled = {w: replace(c, learning_rate=last_rate if w == readout else 1.0) for w, c in constants.weights.items()}
        return _plan(settings, network, "mup", task(inputs=settings.inputs, samples=settings.steps * settings.batch), name,
                     constants=replace(constants, weights=scaled))  # fmt: skip

    return plan


def _digits(config: str) -> Callable[[Settings], Plan]:
    def plan(settings: Settings) -> Plan:
        return _plan(settings, mlp(activation="tanh"), config, tasks.digits(), f"digits {config}", schedule="linear")

    return plan


def _experts(regime: str, config: str) -> Callable[[Settings], Plan]:
    """A mixture of experts whose experts' last weights learn slowly (see `moe.study`), trained by SGD."""

    def plan(settings: Settings) -> Plan:
        scan = Scan(regime, "sgd", "slow", settings.widths, settings.octaves, settings.spacing, settings.seeds, settings.steps, (config,))
        return Plan(scan.ensembles())

    return plan


def _plan(settings: Settings, network, config: str, task: tasks.Task, case: str, **more) -> Plan:
    table = parameterization(config, network, "adam")
    return Plan.grid(
        {config: table}, [{"n": width} for width in settings.widths], architecture=network, task=task, case=case,
        learning_rates=settings.rates, seeds=tuple(range(settings.seeds)), steps=settings.steps, batch=settings.batch, records=3, **more,
    )  # fmt: skip


def _few_indices(*, inputs: int, samples: int) -> tasks.Task:
    """With 15 of 64 indices as published, or as large a part of fewer inputs."""
    return tasks.k_index(inputs=inputs, index=max(1, round(15 / 64 * inputs)), samples=samples)


PLANS: dict[str, Callable[[Settings], Plan]] = {
    "ball": _two_layers(tasks.ball, name="ball"),
    "k-index": _two_layers(_few_indices, name="k-index"),
    "k-index-cured": _two_layers(_few_indices, name="k-index, second layer 50 times slower", last_rate=1 / 50),
    "digits": _digits("mup"),
    "digits-sp": _digits("sp"),
    **{f"moe-{r}{suffix}": _experts(r, config) for r in _MOE for suffix, config in (("", "mssp"), ("-mup", "mup"))},
}
_STILL = "derived: one rate serves all sizes (MSSP)"
_DRIFTS = "published: the best rate drifts, since what the experts are at initialisation vanishes in the limit (muP)"
STEEP = ("k-index", "k-index-cured", *(f"moe-{r}{suffix}" for r in _MOE for suffix in ("", "-mup")))  # their losses vary by factors
THEORY = {
    "ball": ("", "published: weak, the loss gap ~ n^-0.742 and log2 of the rate ~ n^-0.388 (64 inputs, widths to 16384)"),
    "k-index": ("", "published: the optimum jumps between two wells at width 8192 (64 inputs)"),
    "k-index-cured": ("", "published: one well with the second layer 50 times slower (64 inputs)"),
    "digits": ("", "derived: rates of order one are stable at every width (muP)"),
    **{f"moe-{regime}": ("", _STILL) for regime in _MOE},
    "moe-I-mup": ("", "derived: rates of order one are stable at every width (muP)"),
    **{f"moe-{regime}-mup": ("", _DRIFTS) for regime in ("II", "III")},
    "digits-sp": (NONE, "derived: hidden and readout layers bear a rate of 1/n alone, so the optimum keeps falling (SP)"),
}
