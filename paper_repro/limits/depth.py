"""Do the response terms of residual networks survive infinite depth?

With branches of one matrix times 1/sqrt(L), arXiv 2512.21075 takes the weights of the backward pass as independent of those of the
forward pass in the limit of infinite depth. Here both systems are solved at growing depth, with the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Settings, run
from ...figures.style import BLUE, INK, RED, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ..claims import NOT_REPRODUCED, Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import networks
from .problems import stream

FIGURE, SOURCE = "dmft/depth", "arXiv 2512.21075 (abstract), arXiv 2309.16620"
STEP = 4


@dataclass(frozen=True)
class Size:
    """Depths, particles, replicates; width and seeds of networks beside them."""

    depths: tuple[int, ...] = (2, 4, 8)
    particles: int = 1024
    replicates: int = 8
    width: int = 256
    seeds: int = 64
    device: str = "cpu"


PRESETS = {
    "smoke": Size((2, 4), 128, 4, 32, 16),
    "laptop": Size(),
    "gpu": Size((2, 4, 8, 16, 32, 64), 4096, 8, 512, 512, "cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Losses with and without response terms, and of networks, at every depth."""
    size, rows = PRESETS[preset], []
    for depth in size.depths:
        progress(f"depth: {depth} branches, {size.replicates} replicates of {size.particles} particles, twice")
        problem = stream(depth, steps=STEP + 2)
        on, off = (_loss(problem, size, responds) for responds in (True, False))
        seeds = {size.width: size.seeds, 2 * size.width: size.seeds}
        beside = networks(problem, seeds, Store(store_home), case=f"depth {depth}", progress=progress, device=size.device, engine=engine)
        narrow, wide = (beside.losses[n][:, list(beside.steps).index(STEP)] for n in sorted(seeds))
        rows.append(
            {
                "depth": depth,
                **_summary(on, off),
                "networks": 2 * wide.mean() - narrow.mean(),
                "networks error": np.hypot(2 * wide.std(ddof=1), narrow.std(ddof=1)) / len(wide) ** 0.5,
            }
        )
    table = pd.DataFrame(rows)
    return Result(FIGURE, claims(table, untested=preset == "smoke"), draw(table, out / "depth"), {"depths": table})


def _loss(problem, size: Size, responds: bool) -> np.ndarray:
    found = run(problem, Settings(size.particles, responds=responds, dtype="float32"), range(size.replicates))
    return (((problem.values - found.train) ** 2).sum(-1).mean(-1) / 2)[:, STEP]


def _summary(on: np.ndarray, off: np.ndarray) -> dict[str, float]:
    error = lambda x: float(x.std(ddof=1) / len(x) ** 0.5)  # noqa: E731
    return {
        "on": on.mean(),
        "on error": error(on),
        "off": off.mean(),
        "off error": error(off),
        "effect": (off - on).mean(),
        "effect error": error(off - on),
    }


def claims(table: pd.DataFrame, *, untested: bool) -> tuple[Claim, ...]:
    """The published statement, and ours."""
    first, last = table.iloc[0], table.iloc[-1]
    effect, error = float(last["effect"] / last["on"]), float(last["effect error"] / last["on"])
    kept = float(last["effect"] / first["effect"])
    keep = kept * np.hypot(last["effect error"] / last["effect"], first["effect error"] / first["effect"])
    miss = np.abs(table["networks"] - table["on"]) / np.hypot(table["networks error"], table["on error"])
    other = np.abs(table["networks"] - table["off"]) / np.hypot(table["networks error"], table["off error"])
    give = lambda value: None if untested else value  # noqa: E731
    return (
        Claim(
            f"{FIGURE}/decoupled",
            f"At depth {int(last['depth'])} response terms no longer change the loss: relative change",
            SOURCE,
            "published",
            0.0,
            0.02,
            "a coupling of order 1/sqrt(L) would have become smaller by the root of the ratio of depths",
            Control("response terms against themselves", 0.0),
            give(effect),
            give((effect - 2 * error, effect + 2 * error)),
            on_record=NOT_REPRODUCED,
            record_reason="noise of order L^-1/2 meets a response of the same order in each of L layers",
        ),
        Claim(
            f"{FIGURE}/persists",
            "What they change is the same at the smallest and the largest depth: ratio",
            "this package",
            "prediction",
            1.0,
            0.2,
            "finite depths differ by terms of order 1/L",
            Control("if it fell as L^-1/2", expected=float((first["depth"] / last["depth"]) ** 0.5)),
            give(kept),
            give((kept - 2 * keep, kept + 2 * keep)),
        ),
        Claim(
            f"{FIGURE}/networks",
            "Networks follow the system with response terms at every depth: largest distance in errors",
            "this package",
            "prediction",
            4.0,
            0.0,
            "the largest of a few normal numbers",
            Control("the system without", float(other.max())),
            give(float(miss.max())),
            relation="<=",
            unit="errors",
        ),
    )


def draw(table: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Losses and their difference against the depth."""
    figure, axes = panels(1, 2, width=3.3, height=2.6)
    with styled():
        for name, colour, label in (
            ("on", BLUE, "with response terms"),
            ("off", RED, "without"),
            ("networks", INK, "networks, extrapolated"),
        ):
            style = {"fmt": "o-" if name != "networks" else "s", "ms": 4, "mec": "white", "color": colour, "label": label}
            axes[0, 0].errorbar(table["depth"], table[name], yerr=2 * table[f"{name} error"], **style)
        axes[0, 1].errorbar(table["depth"], table["effect"], yerr=2 * table["effect error"], fmt="o-", ms=4, mec="white", color=BLUE)
        first = table.iloc[0]
        axes[0, 1].plot(table["depth"], first["effect"] * (first["depth"] / table["depth"]) ** 0.5, "--", color=INK, lw=1.0, label="L^-1/2")
        axes[0, 0].set(title=f"Loss at step {STEP}", ylabel="loss")
        axes[0, 1].set(title="Without minus with", ylim=(0, None))
        for ax in axes.flat:
            ax.set_xscale("log", base=2)
            ax.set_xlabel("depth L")
            ax.legend(labelcolor=INK)
        letter(axes.flat)
    return save(figure, stem)
