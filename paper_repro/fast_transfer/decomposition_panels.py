"""The panels of the figure that `decomposition` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...figures.plots import plot_curves
from ...figures.style import BLUE, INK, ORANGE, QUIET, RED, colours, letter, panels, save, size_label, styled
from .parts import Parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = "learning rate at width 32"


def draw(frame: pd.DataFrame, parts: Parts, cuts: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Losses with their linearisation, transfer, components, truncated curves, residuals, and the course of top and residual.

    Args:
        frame: what `study.measure` returns.
        parts: of it.
        cuts: the table of `decomposition.tabulate`.
        stem: of the files, without a suffix.
    """
    figure, axes = panels(2, 3, height=2.75)
    with styled():
        show_sweep(frame, parts, axes[0, 0])
        show_transfer(parts, axes[0, 1])
        show_components(parts, axes[0, 2])
        _truncated(parts, cuts, axes[1, 0])
        _residuals(parts, cuts, axes[1, 1])
        _course(frame, parts, axes[1, 2])
        letter(axes.flat)
    return save(figure, stem)


def show_sweep(frame: pd.DataFrame, parts: Parts, ax: Axes) -> None:
    """Loss at the average (lines with stars) and linearised (dashes) against the rate."""
    rows = parts.rows(frame)
    plot_curves(rows[rows["term"] == "averaged loss"], ax, x="hp.learning_rate", axis="n", optima=True)
    shades = colours(parts.widths)
    for width, curve in zip(parts.widths, parts.linear.mean(axis=0), strict=True):
        ax.plot(2**parts.points, curve, color=shades[width], lw=1.0, ls=(0, (3, 2)))
    ax.set_xscale("log", base=2)
    ax.set(title="Loss at the average; linearised", xlabel=RATE, ylabel="validation loss")
    ax.legend(title="width", ncols=3, loc="upper right", handlelength=1.2, columnspacing=0.9)


def show_transfer(parts: Parts, ax: Axes) -> None:
    """The loss of every width at its own best rate and at that of the smallest."""
    own, moved = parts.curves.min(axis=1), parts.curves[:, parts.chosen]
    ax.plot(parts.widths, own, "o-", color=BLUE, ms=5, mec="white", label="own best rate")
    ax.plot(parts.widths, moved, "^--", color=ORANGE, ms=5, mec="white", label=f"best of width {size_label(parts.widths[0])}")
    _width_axis(ax, parts)
    ax.set(title="Tuned against transferred", ylabel="validation loss")
    ax.legend(loc="upper right")


def show_components(parts: Parts, ax: Axes) -> None:
    """``phi^k`` against k at the best rate of the smallest width."""
    for width, top in zip(parts.widths, parts.tops, strict=True):
        curve = top[:, parts.chosen].mean(axis=0)
        ax.plot(np.arange(1, curve.size + 1), curve, color=colours(parts.widths)[width], marker=".", ms=3, lw=1.1)
    ax.set_xscale("log", base=2)
    ax.set(title="Loss change of the first k", xlabel="components $k$", ylabel="$\\phi^k$")


def _width_axis(ax: Axes, parts: Parts) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(parts.widths, [size_label(n) for n in parts.widths])
    ax.set_xlabel("width")


def _cut(row: Any, parts: Parts) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Top curves and residuals of a width and of the largest, at the row's kappa."""
    i = int(np.flatnonzero(parts.widths == row["width"])[0])
    pair, _ = parts.truncated(i)
    kappa = np.asarray(row["kappa"])
    return (*pair.top(kappa), *pair.residuals(kappa))


def _truncated(parts: Parts, cuts: pd.DataFrame, ax: Axes) -> None:
    for row in cuts.to_dict("records"):
        finite, limit, *_ = _cut(row, parts)
        shade = colours(parts.widths)[float(row["width"])]
        ax.plot(2**parts.points, finite, color=shade, marker=".", ms=3)
        ax.plot(2**parts.points, limit, color=shade, lw=1.0, ls=(0, (3, 2)))
    ax.set_xscale("log", base=2)
    ax.set(title="Truncated (dashes: largest width)", xlabel=RATE, ylabel="$\\phi^{\\kappa_n}$")


def _residuals(parts: Parts, cuts: pd.DataFrame, ax: Axes) -> None:
    for row in cuts.to_dict("records"):
        *_, finite, limit = _cut(row, parts)
        shade = colours(parts.widths)[float(row["width"])]
        ax.plot(2**parts.points, finite, color=shade, marker=".", ms=3)
        ax.plot(2**parts.points, limit, color=shade, lw=1.0, ls=(0, (3, 2)))
    ax.axhline(0, color=QUIET, lw=0.7)
    ax.set_xscale("log", base=2)
    ax.set(title="Residuals (dashes: largest width)", xlabel=RATE, ylabel="$\\phi - \\phi^{\\kappa_n}$")


def _course(frame: pd.DataFrame, parts: Parts, ax: Axes) -> None:
    """The first eight components and the rest, over the steps."""
    rate = 2 ** parts.points[parts.chosen]
    rows = frame[np.isclose(frame["hp.learning_rate"], rate)]
    start = rows[(rows["term"] == "averaged loss") & (rows["step"] == 0)].groupby("size.n")["value"].mean()
    top = rows[(rows["term"] == "top") & (rows["k"] == 8)].groupby(["size.n", "step"])["value"].mean()
    whole = rows[rows["term"] == "linearised loss"].groupby(["size.n", "step"])["value"].mean()
    for width in parts.widths:
        shade, head = colours(parts.widths)[width], top[width]
        rest = whole[width] - start[width] - head
        ax.plot(head.index, head, color=shade)
        ax.plot(rest.index, rest, color=shade, ls=(0, (3, 2)))
    ax.annotate("first 8", (0.97, 0.12), xycoords="axes fraction", ha="right", color=INK)
    ax.annotate("the rest (dashes)", (0.97, 0.62), xycoords="axes fraction", ha="right", color=RED)
    ax.set(title="Top and residual during training", xlabel="step", ylabel="linearised loss change")
