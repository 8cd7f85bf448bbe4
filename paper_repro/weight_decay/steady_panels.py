"""The drawing of steady states: formulas as lines, simulations as dots, what is usually written dashed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, QUIET, RED, letter, panels, save, styled

WINDOW = r"window of the momentum  $1/(1-\beta)$"
COLOURS = (BLUE, GREEN, ORANGE, RED, PURPLE)
DOTS = {"ls": "", "ms": 4.2, "mec": "white", "mew": 0.5}


def draw(frame: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Eight panels."""
    figure, axes = panels(2, 4, width=2.95, height=2.6)
    with styled():
        for ax, plot in zip(axes.flat, PANELS, strict=True):
            plot(ax, frame)
            ax.margins(x=0.06)
        letter(list(axes.flat))
    return save(figure, stem)


def _series(ax: Axes, frame: pd.DataFrame, panel: str, *, naive: bool = False, label: str = "{}") -> None:
    """Lines of formulas and dots of simulations with two standard errors, a colour for each series."""
    for (name, own), colour in zip(frame[frame["panel"] == panel].groupby("series", sort=False), COLOURS, strict=False):
        line, dots = own.sort_values("x"), own.dropna(subset="measured")
        ax.plot(line["x"], line["predicted"], color=colour, lw=1.3, zorder=2)
        if naive:
            ax.plot(line["x"], line["naive"], color=colour, lw=1, ls=(0, (2, 2)), alpha=0.7, zorder=1)
        ax.errorbar(dots["x"], dots["measured"], 2 * dots["error"] * dots["measured"].abs(), color=colour, fmt="none", lw=0.8, alpha=0.6)
        ax.plot(dots["x"], dots["measured"], "o", color=colour, label=label.format(name), zorder=3, **DOTS)  # type: ignore[arg-type]


def _say(ax: Axes, text: str, x: float, y: float, **more: Any) -> None:
    """A few words at a place in the panel."""
    ax.text(x, y, text, transform=ax.transAxes, color=QUIET, fontsize=7, **more)


def _level(ax: Axes, at: float = 1.0) -> None:
    """A dashed line of what is usually written."""
    ax.axhline(at, color=QUIET, lw=1, ls=(0, (4, 3)), zorder=1)


def _ticks(ax: Axes, ticks: Sequence[float]) -> None:
    """Numbers on a logarithmic axis, and none between."""
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)


def _legend(ax: Axes, place: Any, **more: Any) -> None:
    ax.legend(loc=place, handletextpad=0.1, labelspacing=0.25, borderaxespad=0.2, alignment="left", **more)


def _variance(ax: Axes, frame: pd.DataFrame) -> None:
    _series(ax, frame, "variance")
    _level(ax)
    ax.set(title="AdamW", xscale="log", xlabel=r"decay per step  $\eta\lambda$", ylabel=r"variance / $(\eta/2\lambda)$", ylim=(0, 1.12))
    _ticks(ax, (0.01, 0.02, 0.05, 0.1))
    _legend(ax, "lower left", title=r"$\beta_1, \beta_2$")


def _normaliser(ax: Axes, frame: pd.DataFrame) -> None:
    _series(ax, frame, "normaliser")
    _level(ax)
    _say(ax, "dashed: constant normaliser", 0.02, 0.04)
    ax.set(title="Its normaliser fluctuates", xscale="log", xlabel=r"$1 - \beta_2$", ylabel="factor  L")
    _ticks(ax, (0.02, 0.05, 0.1, 0.2, 0.4))
    _legend(ax, "upper left", title=r"$\beta_1$")


def _convention(ax: Axes, frame: pd.DataFrame) -> None:
    for (name, own), colour in zip(frame[frame["panel"] == "convention"].groupby("series", sort=False), (BLUE, RED), strict=True):
        ax.plot(own["predicted"], own["measured"], "o", color=colour, label=str(name), zorder=3, **DOTS)  # type: ignore[arg-type]
        ax.plot(own["naive"], own["measured"], "x", color=colour, ms=4, mew=1, alpha=0.55, zorder=2)
    ends = np.array([1e-3, 1.0])
    ax.plot(ends, ends, color=INK, lw=0.9, zorder=1)
    ax.plot([], [], "x", color=QUIET, ms=4, mew=1, label="read as the other")
    ax.set(title="Two conventions of decay", xscale="log", yscale="log", xlabel="predicted variance", ylabel="simulated variance")
    ax.set_ylim(1e-3, 12)
    _legend(ax, "upper left")


def _schedule(ax: Axes, frame: pd.DataFrame) -> None:
    _series(ax, frame, "schedule", naive=True)
    ax.set(title="Schedules are remembered", xlabel="share of training", ylabel=r"variance / $(\eta_{max}/2\lambda)$", ylim=(0, 1.45))
    _say(ax, "dashed: the present rate", 0.98, 0.74, ha="right")
    _legend(ax, "upper left", ncols=2, columnspacing=0.8)


def _signal(ax: Axes, frame: pd.DataFrame) -> None:
    x = np.linspace(0, 0.56, 50)
    ax.plot(x, 1 - x**2, color=QUIET, lw=1, ls=(0, (4, 3)), zorder=1)
    ax.plot(x, (1 - x**2) ** 2 * (1 - x**2 / 2), color=INK, lw=1, ls=":", zorder=1)
    _series(ax, frame, "signal")
    ax.text(0.45, 0.84, r"$1-\rho^2$", color=QUIET, fontsize=7)
    ax.text(0.4, 0.5, r"$(1-\rho^2)^2(1-\rho^2/2)$", color=INK, fontsize=7, ha="right")
    ax.set(
        title="A mean takes noise away",
        xlabel=r"mean / rms of gradients  $\rho$",
        ylabel="variance / that without a mean",
        ylim=(0.3, 1.03),
    )
    _legend(ax, "lower left")


def _coherence(ax: Axes, frame: pd.DataFrame) -> None:
    _series(ax, frame, "coherence")
    own = frame[(frame["panel"] == "coherence") & (frame["series"] == "Muon")].sort_values("x")
    ax.plot(own["x"], own["naive"], color=GREEN, lw=1, ls=(0, (2, 2)), alpha=0.8)
    _level(ax)
    _say(ax, "updates that do not agree", 0.98, 0.08, ha="right")
    ax.set(
        title="Normalised momenta agree", xscale="log", yscale="log", xlabel=WINDOW, ylabel=r"variance / $(\eta/2\lambda)$", ylim=(0.8, 60)
    )
    _ticks(ax, (1, 2, 5, 10, 20, 50, 100))
    ax.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    _say(ax, "dashed: as for signs", 0.02, 0.7)
    _legend(ax, "upper left")


def _top(ax: Axes, frame: pd.DataFrame) -> None:
    _series(ax, frame, "top")
    ax.set(title="Muon needs no width rule", xscale="log", yscale="log", xlabel="width  d", ylabel=r"$\sigma_1$ / $\sqrt{\eta/2\lambda}$")
    ax.set(ylim=(1, 50))
    _ticks(ax, sorted(frame.loc[frame["panel"] == "top", "x"].unique()))
    ax.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    _legend(ax, "upper left")


def _angle(ax: Axes, frame: pd.DataFrame) -> None:
    _series(ax, frame, "angle")
    _level(ax)
    _say(ax, r"$\arctan\,\eta$", 0.98, 0.9, ha="right")
    ax.set(title="Steps on a sphere", xscale="log", xlabel=WINDOW, ylabel=r"angle of a step / $\eta$", ylim=(0.76, 1.03))
    _ticks(ax, (1, 2, 5, 10, 20))


PANELS = (_variance, _normaliser, _convention, _schedule, _signal, _coherence, _top, _angle)
