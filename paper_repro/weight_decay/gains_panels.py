"""The panels of `gains`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.style import BLUE, GREEN, GRID, INK, ORANGE, QUIET, RED, letter, panels, save, size_label, styled
from .study import Followed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"S1": BLUE, "S1 0.5": ORANGE, "S2": GREEN}
NAMES = {"S1": "white inputs, random labels", "S1 0.5": "inputs $i^{-1/2}$, random labels", "S2": "Zipf's tokens, learnable"}
MARKERS = {"blocks.0.up": "o", "blocks.0.down": "v", "blocks.1.up": "D", "blocks.1.down": "s"}
SHORT = {"blocks.0.up": "up 1", "blocks.0.down": "down 1", "blocks.1.up": "up 2", "blocks.1.down": "down 2"}
FIRST = "blocks.0.up"


def draw(followed: Followed, table: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Top singular values and gains against the width, their exponents beside those of noise, and what tells noise from signal."""
    figure, axes = panels(2, 3, width=3.6, height=3.1)
    with styled():
        _widths(followed, axes[0, 0], "top singular value", "noise top")
        axes[0, 0].set(title="Top singular value, first up", ylabel=r"$\sigma_1 / \sqrt{\eta / \lambda}$")
        _widths(followed, axes[0, 1], "gain", "noise gain")
        axes[0, 1].set(title="Gain, first up", ylabel=r"gain $/ \sqrt{\eta / \lambda}$")
        _all(table, axes[0, 2])
        _expected(table, axes[1, 0])
        _powers(table, axes[1, 1])
        _persists(followed, axes[1, 2])
        letter(axes.flat)
    return save(figure, stem)


def _widths(followed: Followed, ax: Axes, term: str, expected: str) -> None:
    """Means over seeds, and lines through what noise would have."""
    widths = np.array([])
    for case in dict.fromkeys(case for case, _ in followed.kinds):
        widths, logs = followed.logs(case, FIRST, term)
        said = followed.logs(case, FIRST, expected)[1].mean(0)
        slope = np.polyfit(np.log2(widths), logs.mean(0), 1)[0]
        ax.plot(widths, 2**said, color=COLOURS[case], lw=1.1)
        ax.plot(widths, 2 ** logs.mean(0), "o", ms=4.5, color=COLOURS[case], mec="white", mew=0.5, label=f"{NAMES[case]}: {slope:.2f}")
    ax.plot([], [], color=QUIET, lw=1.1, label="noise of these correlations")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(lambda value, place: size_label(value))
    ax.set_xticks(widths, [size_label(float(n)) for n in widths])
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.5)
    ax.set(xlabel="width n")
    ax.legend(labelcolor=INK, loc="upper left", fontsize=6.8)


def _all(table: pd.DataFrame, ax: Axes) -> None:
    """Exponents of every matrix with their intervals, the published one among them."""
    ax.axvspan(0.65, 0.85, color=GRID, alpha=0.7, lw=0, zorder=0)
    ax.axvline(0.75, color=INK, lw=0.8, ls=":", zorder=1)
    labels = []
    kinds = [(case, weight) for case in dict.fromkeys(table["setting"]) for weight in MARKERS]
    for row, (case, weight) in enumerate(kinds):
        for term, fill in (("top singular value", COLOURS[case]), ("gain", "white")):
            own = table[(table["setting"] == case) & (table["weight"] == weight) & (table["term"] == term)].iloc[0]
            ends = [[own["exponent"] - own["low"]], [own["high"] - own["exponent"]]]
            ax.errorbar(own["exponent"], -row, xerr=ends, fmt="o", ms=4.6, color=COLOURS[case], mfc=fill, mew=1.0, elinewidth=0.9, zorder=3)
        if weight == FIRST:
            ax.text(0.12, -row, NAMES[case].split(",")[0], color=COLOURS[case], va="center", fontsize=6.8)
        labels.append(SHORT[weight])
    ax.set_yticks(-np.arange(len(labels)), labels)
    ax.set_xlim(0.1, 1.2)
    ax.text(0.75, 0.7, "published", ha="center", va="bottom", fontsize=6.8)
    ax.plot([], [], "o", color=QUIET, ms=4.6, label="top singular value")
    ax.plot([], [], "o", color=QUIET, mfc="white", ms=4.6, label="gain")
    ax.set(title="Every matrix", xlabel="exponent in the width", ylim=(-len(labels) + 0.4, 1.6))
    ax.legend(labelcolor=INK, loc="lower left", fontsize=6.8)


def _expected(table: pd.DataFrame, ax: Axes) -> None:
    """Measured exponents against those of noise; what is noise has a dark edge."""
    ends = (0.25, 1.15)
    ax.plot(ends, ends, color=QUIET, lw=0.9, zorder=1)
    ax.fill_between(ends, np.subtract(ends, 0.1), np.add(ends, 0.1), color=GRID, alpha=0.7, lw=0, zorder=0)
    for own in table.to_dict("records"):
        colour, marker = COLOURS[own["setting"]], MARKERS[own["weight"]]
        fill = colour if own["term"] == "top singular value" else "white"
        edge = INK if own["is noise"] else colour
        ax.plot(own["noise"], own["exponent"], marker, ms=6, color=colour, mfc=fill, mec=edge, mew=1.2, zorder=3)
    for weight, marker in MARKERS.items():
        ax.plot([], [], marker, color=QUIET, ms=5, label=SHORT[weight])
    ax.plot([], [], "o", color=QUIET, mec=INK, mew=1.2, ms=5, label="forgets and turns as noise")
    ax.set(
        title="Measured against noise", xlabel="exponent of noise with these correlations", ylabel="measured exponent", xlim=ends, ylim=ends
    )
    ax.legend(labelcolor=INK, loc="upper left", fontsize=6.8)


def _powers(table: pd.DataFrame, ax: Axes) -> None:
    """Exponents of top singular values and gains in the rate and in the decay."""
    ax.plot([0.5, 0], [-0.5, -1], color=QUIET, lw=0.9, zorder=1)
    for place, text in (((0.5, -0.5), r"noise: $\sqrt{\eta/\lambda}$"), ((0, -1), r"signal: $1/\lambda$")):
        ax.plot(*place, "*", ms=13, color=RED, mec="white", zorder=2)
        ax.annotate(text, place, xytext=(9, -11), textcoords="offset points", fontsize=7.5, color=RED)
    for own in table.to_dict("records"):
        colour, marker = COLOURS[own["setting"]], MARKERS[own["weight"]]
        fill = colour if own["term"] == "top singular value" else "white"
        edge = INK if own["is noise"] else colour
        ax.plot(own["in rate"], own["in decay"], marker, ms=5.5, color=colour, mfc=fill, mec=edge, mew=1.2, zorder=3)
    ax.set(title="Rate and decay, each varied alone", xlabel=r"exponent in the rate $\eta$", ylabel=r"exponent in the decay $\lambda$")
    ax.margins(0.15)


def _persists(followed: Followed, ax: Axes) -> None:
    """Cosine with what a matrix was one memory ago, by width."""
    widths = np.array([])
    for case, weight in followed.kinds:
        widths, logs = followed.logs(case, weight, "similarity", scaled=False)
        ax.plot(widths, 2 ** logs.mean(0), "-", marker=MARKERS[weight], ms=4.2, lw=0.9, color=COLOURS[case], mec="white", mew=0.4)
    ax.axhline(np.exp(-1), color=RED, lw=1, ls=(0, (4, 1.6)))
    ax.text(0.03, 0.3, "noise: 1/e", transform=ax.get_yaxis_transform(), va="top", color=RED, fontsize=7.5)
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [size_label(float(n)) for n in widths])
    ax.set(title=r"Cosine after $1/(\eta\lambda)$ updates", xlabel="width n", ylabel="cosine", ylim=(0, 1.02))
