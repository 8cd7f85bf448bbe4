"""The panels of the figure that `llama` measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...figures.style import BLUE, GREEN, ORANGE, PURPLE, QUIET, RED, colours, letter, panels, save, size_label, styled
from .parts import Parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"adam": "Adam", "sgd": "Momentum SGD", "muon": "Muon", "dion bounded": "Dion, bounded rank", "dion proportional": "Dion, rank n/2"}
SHADES = {"adam": BLUE, "sgd": GREEN, "muon": RED, "dion bounded": PURPLE, "dion proportional": ORANGE}
RATE = "learning rate at width 64"


def draw(parts: Mapping[str, Parts], top: int, stem: Path) -> tuple[Path, Path]:
    """A column for each optimizer: losses against the rate, components at the smallest width's best rate; at last all side by side.

    Args:
        parts: of every optimizer.
        top: how many components are the first.
        stem: of the files, without a suffix.
    """
    figure, axes = panels(2, len(parts) + 1, width=2.55, height=2.6)
    with styled():
        for column, (name, own) in zip(axes.T, parts.items(), strict=False):
            _losses(name, own, column[0])
            _components(name, own, top, column[1])
        _share_limits(parts, axes[:, : len(parts)])
        _drifts(parts, axes[0, -1])
        _changes(parts, top, axes[1, -1])
        letter(axes.flat)
    return save(figure, stem)


def _losses(name: str, parts: Parts, ax: Axes) -> None:
    """Loss at the average against the rate, with a band of the seeds and a star at the best."""
    shades = colours(parts.widths)
    for i, (width, best) in enumerate(zip(parts.widths, parts.best, strict=True)):
        curves, shade = parts.losses[:, i], shades[width]
        ax.plot(2**parts.points, curves.mean(axis=0), color=shade, marker=".", ms=3, label=size_label(width))
        ax.fill_between(2**parts.points, curves.min(axis=0), curves.max(axis=0), color=shade, alpha=0.18, lw=0)
        if np.isfinite(best):
            ax.plot(2**best, np.interp(best, parts.points, curves.mean(axis=0)), "*", ms=9, color=shade, mec="white", mew=0.7, zorder=5)
    ax.set_xscale("log", base=2)
    ax.set(title=NAMES[name], xlabel=RATE)
    if name == "adam":
        ax.set_ylabel("validation loss, nats a character")
        ax.legend(title="width", ncols=4, loc="upper center", handlelength=1.0, columnspacing=0.8)


def _components(name: str, parts: Parts, top: int, ax: Axes) -> None:
    """``phi^k`` at the best rate of the smallest width; where only the leading ones are known, a dashed line to all of them."""
    for width, own in zip(parts.widths, parts.tops, strict=True):
        curve, shade = own[:, parts.chosen].mean(axis=0), colours(parts.widths)[width]
        known = curve.size - int(curve.size != width)  # the last of some is all of them
        ax.plot(np.arange(1, known + 1), curve[:known], color=shade, marker=".", ms=2.5, lw=1.1)
        if known < width:
            ax.plot([known, width], curve[[known - 1, -1]], color=shade, lw=1.1, ls=(0, (3, 2)))
    ax.axvline(top, color=QUIET, lw=0.8, ls=(0, (2, 2)))
    ax.set_xscale("log", base=2)
    ax.set(title="First components", xlabel="components $k$")
    if name == "adam":
        ax.set_ylabel("their loss change, $\\phi^k$")
        ax.annotate(f"k = {top}", (top, 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points", va="top")


def _share_limits(parts: Mapping[str, Parts], axes: np.ndarray) -> None:
    """One vertical scale for each row; of the losses what lies near the best, beyond which they rise steeply."""
    best = np.array([own.curves.min(axis=1) for own in parts.values()])
    low, span = best.min(), np.ptp(best)
    for ax in axes[0]:
        ax.set_ylim(low - 0.15 * span, low + 2.2 * span)
    ends = np.array([ax.get_ylim() for ax in axes[1]])
    for ax in axes[1]:
        ax.set_ylim(ends.min(), ends.max())


def _drifts(parts: Mapping[str, Parts], ax: Axes) -> None:
    """How far the best rate of every width is from that of the smallest; rates on the edge of the grid are left out."""
    for name, own in parts.items():
        ax.plot(own.widths, own.best - own.best[0], "o-", ms=4, mec="white", color=SHADES[name], label=NAMES[name])
    _widths(ax, next(iter(parts.values())))
    ax.axhline(0, color=QUIET, lw=0.7, zorder=0)
    ax.set(title="Drift of the best rate", ylabel="octaves from the smallest")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -0.5), max(high, 0.5) + 0.8)  # room for the legend
    ax.legend(loc="upper left", handlelength=1.2, fontsize=6.5, labelspacing=0.25)


def _changes(parts: Mapping[str, Parts], top: int, ax: Axes) -> None:
    """At the smallest width's best rate, what every width gains over the smallest: all components (lines), the first (dashes)."""
    for name, own in parts.items():
        gained = np.array([own_top.mean(axis=0)[own.chosen, [top - 1, -1]] for own_top in own.tops])
        first, whole = (gained - gained[0]).T
        ax.plot(own.widths, whole, "o-", ms=4, mec="white", color=SHADES[name], label=NAMES[name])
        ax.plot(own.widths, first, ls=(0, (3, 2)), color=SHADES[name])
    _widths(ax, next(iter(parts.values())))
    ax.set(title="Gain with width", ylabel=f"from the smallest (dashes: first {top})")


def _widths(ax: Axes, parts: Parts) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(parts.widths, [size_label(n) for n in parts.widths])
    ax.set_xlabel("width")
