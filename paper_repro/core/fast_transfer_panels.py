"""The panels of the figure that `fast_transfer` measures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.plots import plot_curves, plot_power_law
from ...figures.style import BLUE, GREEN, INK, QUIET, RED, colours, letter, panels, save, size_label, styled
from ...theory.ridge import GapConstants, RidgeProblem, gap_constants, optimum, risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, math.inf)
WIDTH = "width  $\\psi_2 = n/d$"
GAPS = {
    "loss": ("Loss gap $a_n$", BLUE, -1),
    "hyperparameter": ("Hyperparameter gap $b_n$", GREEN, -1),
    "suboptimality": ("Transfer suboptimality $c_n$", RED, -2),
}


def draw(problem: RidgeProblem, published: GapConstants, solved: pd.DataFrame, simulated: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Six panels: the curves, their finite-size simulation, the constants, and the three gaps.

    Args:
        problem: the regression.
        published: the constants printed in the paper.
        solved: one row per width with the optimum and the gaps.
        simulated: what `synthetic.random_features.measure` returns, for several dimensions.
        stem: of the files, without a suffix.
    """
    figure, axes = panels(2, 3)
    with styled():
        _curves(problem, simulated, axes[0, 0])
        _finite_size(simulated, axes[0, 1])
        _constants(problem, published, solved, axes[0, 2])
        for ax, (gap, (title, colour, slope)) in zip(axes[1], GAPS.items(), strict=True):
            rows = solved.rename(columns={gap: "value"})[["size.width", "value"]]
            plot_power_law(rows, ax, axis="width", reference=slope, colour=colour)
            ax.set(title=title, xlabel=WIDTH)
        letter(axes.flat)
    return save(figure, stem)


def _curves(problem: RidgeProblem, simulated: pd.DataFrame, ax: Axes) -> None:
    ridges, shades = np.geomspace(0.08, 1.0, 60), colours(SHOWN)
    frames = [pd.DataFrame({"size.width": w, "seed": 0, "hp.ridge": ridges, "value": risk(problem, ridges, w)}) for w in SHOWN]
    plot_curves(pd.concat(frames), ax, x="hp.ridge", axis="width", optima=True)
    largest = simulated[(simulated["size.d"] == simulated["size.d"].max()) & (simulated["term"] == "risk")]
    for width, group in largest.groupby("size.width"):
        points = group.groupby("hp.ridge")["value"].agg(["mean", "sem"])
        ax.errorbar(
            points.index,
            points["mean"],
            yerr=points["sem"],
            fmt="o",
            ms=3.4,
            mfc="white",
            color=shades[width],
            mew=1.0,
            elinewidth=0.9,
        )
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, labels, title=WIDTH, ncols=4, loc="upper center", handlelength=1.4, columnspacing=1.0)
    ax.set(title="Test risk (circles: simulated)", xlabel="ridge $\\lambda$", ylabel="test risk")
    ax.set(ylim=(0.415, 0.532), xticks=[0.1, 0.2, 0.5, 1.0], xticklabels=["0.1", "0.2", "0.5", "1"])


def _finite_size(simulated: pd.DataFrame, ax: Axes) -> None:
    rows = simulated[simulated["term"] == "risk"].assign(off=lambda f: f["value"] / f["predicted"] - 1)
    shades = colours(SHOWN)
    for i, width in enumerate(sorted(set(rows["size.width"]))):
        points = rows[rows["size.width"] == width].groupby(["size.d", "seed"])["off"].mean().groupby("size.d").agg(["mean", "sem"])
        shift = 1 + 0.06 * (i - 1)
        mean, se, label = 100 * points["mean"], 100 * points["sem"], size_label(width)
        ax.errorbar(points.index * shift, mean, yerr=se, fmt="o", ms=4, color=shades[width], label=label)
    d = np.geomspace(rows["size.d"].min() / 1.15, rows["size.d"].max() * 1.15, 50)
    ax.fill_between(d, -100 / d, 100 / d, color=QUIET, alpha=0.15, lw=0, label="$\\pm 1/d$")
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_xscale("log", base=2)
    ticks = sorted(rows["size.d"].unique())
    ax.set(
        title="Simulation against the limit",
        xlabel="input dimension $d$",
        ylabel="deviation of the risk (%)",
        xticks=ticks,
        xticklabels=ticks,
    )
    ax.set_ylim(-3, 4.5)
    ax.legend(title=WIDTH, ncols=4, loc="upper right", handletextpad=0.3, columnspacing=1.0)


def _constants(problem: RidgeProblem, published: GapConstants, solved: pd.DataFrame, ax: Axes) -> None:
    ours, scale = gap_constants(problem), solved["size.width"] / problem.data_ratio
    drift = solved["ridge"] - optimum(problem).ridge
    for name, symbol, values, colour in (("loss", "a", solved["loss"], BLUE), ("ridge", "b", drift, GREEN)):
        right = getattr(ours, name)
        label = f"${symbol}_n\\,\\psi_2/\\psi_1$"
        ax.plot(solved["size.width"], values * scale / right, "o-", ms=3.2, lw=1.1, color=colour, mec="white", mew=0.4, label=label)
        wrong = getattr(published, name) / right
        ax.axhline(wrong, color=colour, ls="--", lw=1.1)
        text = f"published for ${symbol}_n$: ${getattr(published, name)}$"
        ax.annotate(
            text,
            (1, wrong),
            xycoords=ax.get_yaxis_transform(),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=colour,
        )
    ax.axhline(1, color=INK, lw=0.8, ls=":")
    ax.set_xscale("log")
    ax.set(title="Leading constants", xlabel=WIDTH, ylabel="ratio to our closed form", ylim=(-0.45, 2.8))
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.66))
