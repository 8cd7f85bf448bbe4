"""Two trained cases beside what is published of them: the indicator of a ball, and regression on a few indices.

Ghosh, Wu and Bietti (arXiv 2512.22768, Figures 2, 5 and 17): on the ball the optimum settles no faster than half of the loss gap's rate;
on k-index regression it jumps between two wells of the curve at width 8192, and with the second layer 50 times slower it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.plots import plot_curves
from ...figures.style import BLUE, INK, RED, letter, panels, save, styled
from ...theory.verdict import NONE
from ..cases.catalogue import CASES, Measured
from ..claims import NOT_TESTED, Claim, Control, untested
from ..papers import Progress
from ..results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE, SOURCE = "fast-transfer/wells", "arXiv 2512.22768"
TITLES = {"ball": "Ball", "k-index": "k-index", "k-index-cured": "k-index, slow readout"}


@dataclass(frozen=True)
class Settings:
    """The preset of the cases."""

    cases: str


PRESETS = {name: Settings(name) for name in ("smoke", "laptop", "gpu")}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Train the three cases and judge them."""
    cases = PRESETS[preset].cases
    measured = {name: CASES[name].load().measure(name, cases, store_home=store_home, progress=progress) for name in TITLES}
    images = draw(measured, out / "wells")
    found = (*ball_claims(measured["ball"]), *index_claims(measured))
    return Result(FIGURE, untested(found) if preset == "smoke" else found, images, {"optima": tabulate(measured)})


def tabulate(measured: Mapping[str, Measured]) -> pd.DataFrame:
    """Best rate and loss at each width, and the verdict."""
    return pd.concat([case.table.assign(case=name, verdict=case.verdict.kind) for name, case in measured.items()], ignore_index=True)


def ball_claims(ball: Measured) -> list[Claim]:
    """The two published exponents, fitted together with their limits."""
    found = []
    for name, symbol, value in (("loss", "loss gap", 0.742), ("hyperparameter", "best rate (log2)", 0.388)):
        rate = getattr(ball.verdict.rates, name) if ball.verdict.rates else None
        interval = getattr(ball.verdict, name) if ball.verdict.rates else None
        reason = "the width of the interval that nine widths and three seeds give; published for 64 inputs and widths from 181"
        control = Control("twice the exponent in its place", expected=2 * value)
        text = f"On the ball the {symbol} closes as n^-{value}"
        found.append(
            Claim(
                f"{FIGURE}/ball-{name}",
                text,
                f"{SOURCE}, Figure 5",
                "published",
                value,
                0.15,
                reason,
                control,
                rate,
                interval,
                on_record=NOT_TESTED,
            )
        )
    return found


def index_claims(measured: Mapping[str, Measured]) -> list[Claim]:
    """Wells: the best rates of the largest and the smallest width, in octaves."""
    found = []
    for name, expected, where in (("k-index", -6.6, "Figure 2"), ("k-index-cured", -0.6, "Figure 17")):
        table = measured[name].table
        best = np.log2(table["optimum"].to_numpy(float))
        jumped = float(best[-1] - best[0]) if np.isfinite(best[[0, -1]]).all() else None
        what = "jumps to the other well" if name == "k-index" else "stays in its well"
        text = f"From the smallest to the largest width the best rate {what} (published: by {expected} octaves; {TITLES[name]})"
        reason = "half of the distance between the two wells; published from width 128 to 16384"
        other = Control(
            "no move in its place" if name == "k-index" else "a jump to the other well in its place",
            expected=0.0 if name == "k-index" else -6.6,
        )
        largest = float(table["size"].max())
        if name == "k-index" and largest < 8192 and measured[name].verdict.kind != NONE:
            jumped = None  # the jump is published at width 8192: no smaller network says anything about it
        found.append(
            Claim(
                f"{FIGURE}/{name}",
                text,
                f"{SOURCE}, {where}",
                "published",
                expected,
                3.0,
                reason,
                other,
                jumped,
                unit="octaves",
                on_record=NOT_TESTED,
            )
        )
    return found


def draw(measured: Mapping[str, Measured], stem: Path) -> tuple[Path, Path]:
    """Curves above, the best rates below."""
    figure, axes = panels(2, 3, height=2.5)
    with styled():
        for column, (name, case) in zip(axes.T, measured.items(), strict=True):
            plot_curves(case.frame, column[0], x="hp.learning_rate", axis="n", optima=True, logarithmic="xy")
            column[0].set_xscale("log", base=2)
            low = case.frame.groupby(["size.n", "hp.learning_rate"])["value"].mean().min()
            column[0].set(
                title=f"{TITLES[name]}: {case.verdict.kind}", xlabel="learning rate", ylabel="validation loss", ylim=(0.7 * low, 100 * low)
            )
            _best(name, case, column[1])
        axes[0, 0].set_ylim(top=1.0)
        axes[0, 0].legend(title="width", ncols=3, loc="upper right", handlelength=1.0, columnspacing=0.7, fontsize=6.5)
        letter(axes.flat)
    return save(figure, stem)


def _best(name: str, case: Measured, ax: Axes) -> None:
    table = case.table
    ax.plot(table["size"], table["optimum"], "*-", color=BLUE, ms=8, mec="white", label="here")
    if name == "ball":
        n = np.geomspace(181, 16384, 50)
        ax.plot(n, 2 ** (-7.80 * n**-0.388 - 6.78), color=RED, lw=1.1, ls="--", label="published (64 inputs)")
    elif name == "k-index":
        ax.plot([128, 1448, 5793], [0.145, 0.17, 0.09], color=RED, lw=1.1, ls="--", label="published (64 inputs)")
        ax.plot([8192, 16384], [1.5e-3, 1.5e-3], color=RED, lw=1.1, ls="--")
    else:
        ax.plot([128, 4096, 16384], [1.3, 0.65, 0.87], color=RED, lw=1.1, ls="--", label="published (64 inputs)")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set(title="Best rate", xlabel="width", ylabel="best learning rate")
    ax.legend(labelcolor=INK)
