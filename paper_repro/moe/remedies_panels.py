"""The panels of the figure that `remedies` measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.fit import best_rates
from ...figures.plots import plot_curves
from ...figures.style import BLUE, INK, ORANGE, QUIET, RED, letter, panels, save, size_label, styled
from ..core.transfer_claims import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"independent": ORANGE, "wider": RED, "shared": BLUE}
CONFIGS = {"scaled": BLUE, "global": RED}


def draw(slopes: pd.DataFrame, last: pd.DataFrame, sweeps: Mapping[tuple[str, str], Sweep], stem: Path) -> tuple[Path, Path]:
    """A row for each regime: slopes of the three starts, loss against rate with either epsilon, best rates."""
    figure, axes = panels(2, 4, width=2.5, height=2.3)
    with styled():
        for row, regime in zip(axes, ("II", "III"), strict=True):
            first, *curves, optima = row
            _slopes(slopes[slopes["regime"] == regime], first)
            first.set_title(f"{regime}: three starts")
            for ax, config in zip(curves, CONFIGS, strict=True):
                rows = last[(last["case"] == regime) & (last["config"] == config)]
                plot_curves(rows, ax, x="hp.learning_rate", axis="n", optima=True, logarithmic="y")
                ax.set_xscale("log", base=2)
                ax.set(title=f"{regime}: {config} epsilon", xlabel="learning rate", ylabel="", ylim=(0.11, 0.6))
                ax.set_yticks([0.15, 0.3, 0.5], ["0.15", "0.3", "0.5"])
                ax.minorticks_off()
            curves[0].set_ylabel("validation loss")
            curves[0].legend(title="n", fontsize=6, title_fontsize=6, handlelength=1.0, labelspacing=0.2)
            for config, colour in CONFIGS.items():
                sweep = sweeps[regime, config]
                best = 2 ** best_rates(sweep.rates, sweep.losses.mean(axis=0))
                optima.plot(sweep.widths, best, "o-", ms=4, mec="white", mew=0.4, lw=1.0, color=colour, label=f"{config} epsilon")
            optima.set_xscale("log", base=2)
            optima.set_yscale("log", base=2)
            optima.set_xticks(sweep.widths, [size_label(float(n)) for n in sweep.widths])
            optima.set(title=f"{regime}: best rates", xlabel="n", ylabel="best learning rate")
            optima.legend(fontsize=6, labelcolor=INK)
        letter(axes.flat)
    return save(figure, stem)


def _slopes(rows: pd.DataFrame, ax: Axes) -> None:
    """Bars from zero to each measured slope; short lines where it is derived."""
    names = list(dict.fromkeys(rows["term"]))
    for k, (start, colour) in enumerate(COLOURS.items()):
        own = rows[rows["start"] == start].set_index("term").loc[names]
        place = np.arange(len(names)) + 0.27 * (k - 1)
        ax.bar(place, own["measured"], 0.23, yerr=2 * own["se"], color=colour, label=start, error_kw={"elinewidth": 0.8})
        ax.plot(np.array([place - 0.13, place + 0.13]), np.array([own["derived"]] * 2), color=INK, lw=1.2)
    ax.axhline(0, color=QUIET, lw=0.7)
    ax.set_xticks(range(len(names)), ["sum over\nexperts", "gradient of\nthe stream", "gradient of\nthe experts"], fontsize=6.5)
    ax.set(ylabel="power of n (line: derived)")
    ax.legend(fontsize=6, labelcolor=INK)
    ax.grid(axis="x", visible=False)
