"""The panels of the figure that `llama` measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.style import BLUE, GREEN, ORANGE, PURPLE, QUIET, RED, letter, panels, save, size_label, styled
from .decomposition_panels import show_components, show_sweep
from .parts import Parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"adam": "Adam", "sgd": "SGD, momentum", "muon": "Muon", "dion bounded": "Dion, bounded rank", "dion proportional": "Dion, rank n/2"}
SHADES = {"adam": BLUE, "sgd": GREEN, "muon": RED, "dion bounded": PURPLE, "dion proportional": ORANGE}
RATE = "learning rate at width 64"


def draw(frames: Mapping[str, pd.DataFrame], parts: Mapping[str, Parts], top: int, stem: Path) -> tuple[Path, Path]:
    """A column for each optimizer: losses against the rate, components at the smallest width's best rate; at last all side by side.

    Args:
        frames: of every optimizer, what `study.measure` returns.
        parts: of them.
        top: how many components are the first.
        stem: of the files, without a suffix.
    """
    figure, axes = panels(2, len(frames) + 1, width=2.55, height=2.6)
    with styled():
        for column, (name, frame) in zip(axes.T, frames.items(), strict=False):
            _optimizer(name, frame, parts[name], top, column)
        _share_limits(axes[:, : len(frames)])
        _drifts(parts, axes[0, -1])
        _changes(parts, top, axes[1, -1])
        letter(axes.flat)
    return save(figure, stem)


def _optimizer(name: str, frame: pd.DataFrame, parts: Parts, top: int, column: np.ndarray) -> None:
    show_sweep(frame, parts, column[0])
    show_components(parts, column[1])
    column[1].axvline(top, color=QUIET, lw=0.8, ls=(0, (2, 2)))
    column[0].set(title=NAMES[name], xlabel=RATE, ylabel="validation loss (nats a character)" if name == "adam" else "")
    column[1].set(title="Loss change of the first k", ylabel="$\\phi^k$" if name == "adam" else "")
    if name == "adam":
        column[0].legend(title="width (dashes: linearised)", ncols=2, loc="upper center")
        column[1].annotate(f"k = {top}", (top, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points", va="top")
    else:
        column[0].get_legend().remove()


def _share_limits(axes: np.ndarray) -> None:
    """One vertical scale for each row."""
    for row in axes:
        low, high = (f(ax.get_ylim()[i] for ax in row) for i, f in enumerate((min, max)))
        for ax in row:
            ax.set_ylim(low, high)


def _drifts(parts: Mapping[str, Parts], ax: Axes) -> None:
    """How far the best rate of every width is from that of the smallest; rates on the edge of the grid are left out."""
    for name, own in parts.items():
        ax.plot(own.widths, own.best - own.best[0], "o-", ms=4, mec="white", color=SHADES[name], label=NAMES[name])
    _widths(ax, next(iter(parts.values())))
    ax.axhline(0, color=QUIET, lw=0.7, zorder=0)
    ax.set(title="Drift of the best rate", ylabel="octaves from the smallest")
    ax.margins(y=0.25)


def _changes(parts: Mapping[str, Parts], top: int, ax: Axes) -> None:
    """At the smallest width's best rate, what every width gains over the smallest: all components (lines), the first (dashes)."""
    for name, own in parts.items():
        gained = np.array([own_top.mean(axis=0)[own.chosen, [top - 1, -1]] for own_top in own.tops])
        first, whole = (gained - gained[0]).T
        ax.plot(own.widths, whole, "o-", ms=4, mec="white", color=SHADES[name], label=NAMES[name])
        ax.plot(own.widths, first, ls=(0, (3, 2)), color=SHADES[name])
    _widths(ax, next(iter(parts.values())))
    ax.set(title=f"Gain with width (dashes: first {top})", ylabel="loss change from the smallest")
    ax.legend(loc="lower left", handlelength=1.2)


def _widths(ax: Axes, parts: Parts) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(parts.widths, [size_label(n) for n in parts.widths])
    ax.set_xlabel("width")
