"""Learning-rate transfer over the depth of mixtures of experts, behind branches multiplied by 1/L and 1/sqrt(L).

The published tables have no depth; combined with depth scaling, 1/L makes SGD's rates inside a branch grow as L and leaves Adam's, and
1/sqrt(L) leaves SGD's and makes Adam's fall as 1/sqrt(L): derived, not put in. The control trains with the other branch's rates.
Embedding and readout learn at a fiftieth of the rate, so that the blocks decide which rate is best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...figures.style import BLUE, INK, ORANGE, letter, panels, save, styled
from ...synthetic.engines import Engine, Local
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...synthetic.tasks import teacher
from ...theory.architecture import Architecture
from ...theory.constants import Constants
from ...theory.derivation import derive
from ...theory.experts import resmoe
from ...theory.scales import Regime
from ...theory.table import ExponentTable
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from ..sweeping import run_sweep

FIGURE, SOURCE = "moe/depth", "widelimit.theory (derived); depth scaling: arXiv 2309.16620, arXiv 2505.01618"
DEEP = Regime(n=0, m=0, E=0, L=1)
BASE, STEPS, BATCH, INSIDE = {"n": 32, "m": 16, "E": 4, "L": 2}, 40, 32, ("router", "up", "down")
BRANCHES = {"1/L": -1, "1/sqrt(L)": "-1/2"}
OCTAVES = {"sgd": (-4.0, 5.0), "adam": (-9.0, -1.0)}
OUTSIDE, WINDOW, DRAWS = 0.02, 1.25, 200
FIRST = 100  # seed: rates, window and sizes were chosen on 0 to 3, which are not reported


@dataclass(frozen=True)
class Size:
    """What is trained."""

    depths: tuple[int, ...] = (2, 4, 8, 16)
    seeds: int = 4
    spacing: float = 0.5
    gates: tuple[str, ...] = ("",)  # share of active experts
    device: str = "cpu"


PRESETS = {
    "smoke": Size((2, 4), 2, 1.0),
    "laptop": Size(),
    "gpu": Size((2, 4, 8, 16, 32, 64), 16, 0.25, ("", "1/2", "1/4"), "cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Train at every depth and rate, under derived rates and under those of the other branch."""
    size = PRESETS[preset]
    plan = Plan(tuple(ensemble for gate in size.gates for ensemble in _ensembles(size, gate)))
    frame = run_sweep(FIGURE, plan, Store(store_home), device=size.device, engine=engine or Local(), progress=progress)
    losses = frame[(frame["step"] == STEPS) & (frame["term"] == "validation loss")]
    drifts = {key: _drift(rows) for key, rows in losses.groupby(["case", "config"], sort=False)}
    claims = [_claim(str(case), drifts, untested=preset == "smoke") for case, config in drifts if config == "derived"]
    table = pd.DataFrame([{"case": case, "config": config, **drift} for (case, config), drift in drifts.items()])
    return Result(FIGURE, tuple(claims), draw(drifts, size, out / "depth"), {"drifts": table.drop(columns="centres")})


def _ensembles(size: Size, gate: str) -> list:
    """Both branches with both optimizers, over depths."""
    ensembles = []
    task = teacher(inputs=16, outputs=1, samples=2 * STEPS * BATCH)
    for branch, power in BRANCHES.items():
        net = resmoe(branch=power, active=gate or None, inputs=16, outputs=1)
        other = resmoe(branch=next(p for p in BRANCHES.values() if p != power), active=gate or None, inputs=16, outputs=1)
        for optimizer, (low, high) in OCTAVES.items():
            table, wrong = (derive(one, optimizer, regime=DEEP) for one in (net, other))
            tables = {"derived": table, "other rates": _with_rates(table, wrong)}
            rates = tuple(float(2**x) for x in np.arange(low, high + size.spacing / 2, size.spacing))
            case = ", ".join((branch, optimizer, *([f"{gate} active"] if gate else [])))
            sizes = [{**BASE, "L": depth} for depth in size.depths]
            ensembles += Plan.grid(
                tables, sizes, architecture=net, task=task, base=BASE, case=case, learning_rates=rates, constants=_constants(net),
                seeds=tuple(range(FIRST, FIRST + size.seeds)), steps=STEPS, batch=BATCH, schedule="linear", records=3,
            ).ensembles  # fmt: skip
    return ensembles


def _constants(net: Architecture) -> Constants:
    """A fiftieth of the rate outside of the blocks."""
    constants = Constants.default(net, base=BASE)
    own = {name: w if name in INSIDE else replace(w, learning_rate=OUTSIDE) for name, w in constants.weights.items()}
    return replace(constants, weights=own)


def _with_rates(table: ExponentTable, other: ExponentTable) -> ExponentTable:
    """The table with the rates and epsilons that another one has inside the blocks."""
    for name in INSIDE:
        row = other.row(name)
        table = table.changed(name, learning_rate=row.learning_rate, epsilon=row.epsilon)
    return table


def _drift(rows: pd.DataFrame) -> dict[str, Any]:
    """The slope of the centre of the window of good rates on log2 of the depth, with an interval over seeds."""
    losses = rows.pivot_table(index="seed", columns=["size.L", "hp.learning_rate"], values="value")
    depths, rates = (np.unique(losses.columns.get_level_values(i)) for i in (0, 1))
    table = losses.to_numpy().reshape(len(losses), len(depths), len(rates))
    fit = lambda centres: float(np.polyfit(np.log2(depths), centres, 1)[0])  # noqa: E731
    centres = [centre(np.log2(rates), curve) for curve in table.mean(0)]
    picks = np.random.default_rng(0).integers(len(table), size=(DRAWS, len(table)))
    drawn = [fit([centre(np.log2(rates), curve) for curve in table[pick].mean(0)]) for pick in picks]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"drift": fit(centres), "low": float(low), "high": float(high), "centres": centres}


def centre(x: np.ndarray, losses: np.ndarray) -> float:
    """The middle of the rates whose loss is within `WINDOW` of the lowest: a basin's walls say more than its flat minimum.

    A window that reaches the edge of the grid ends there, so that what moves out of the grid is said to move less than it does.
    """
    x, losses = np.r_[2 * x[0] - x[1], x, 2 * x[-1] - x[-2]], np.r_[np.inf, losses, np.inf]
    level, good = WINDOW * losses.min(), np.flatnonzero(losses <= WINDOW * losses.min())
    ends = []
    for inner, outer in ((good[0], good[0] - 1), (good[-1], good[-1] + 1)):
        part = 0.5 if not np.isfinite(losses[outer]) else (level - losses[inner]) / (losses[outer] - losses[inner])
        ends.append(x[inner] + part * (x[outer] - x[inner]))
    return float(np.mean(ends))


def _claim(case: str, drifts: dict, *, untested: bool) -> Claim:
    own, wrong = drifts[case, "derived"], drifts[case, "other rates"]
    name = case.replace("/", "-").replace(", ", "-").replace(" ", "-").replace("(", "").replace(")", "")
    return Claim(
        f"{FIGURE}/{name}", f"Good learning rates do not move with the depth ({case}): octaves per doubling", SOURCE, "prediction",
        0.0, 0.25, "half of the 1/2 to 1 by which the other rates move them; finite depths differ by 1/L",
        Control("rates of the other branch", wrong["drift"], (wrong["low"], wrong["high"])),
        None if untested else own["drift"], None if untested else (own["low"], own["high"]),
    )  # fmt: skip


def draw(drifts: dict, size: Size, stem: Path) -> tuple[Path, Path]:
    """The middle of the good rates against the depth."""
    figure, axes = panels(1, len(OCTAVES), width=3.3, height=2.7)
    with styled():
        for ax, optimizer in zip(axes.flat, OCTAVES, strict=True):
            for (case, config), drift in drifts.items():
                if optimizer in case:
                    colour, line = BLUE if case.startswith("1/L") else ORANGE, "o-" if config == "derived" else "x:"
                    ax.plot(
                        np.log2(size.depths),
                        drift["centres"],
                        line,
                        ms=4,
                        color=colour,
                        label=f"{case.replace(f', {optimizer}', '')}, {config}",
                    )
            ax.set(title=optimizer, xlabel="log2 depth", ylabel="log2 rate, middle of the good ones")
            ax.legend(labelcolor=INK, fontsize=5.5)
        letter(axes.flat)
    return save(figure, stem)
