"""The panels of the figure that `samples` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.style import BLUE, INK, colours, letter, panels, save, size_label, styled
from .decomposition_panels import RATE
from .parts import Parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 5


def draw(centres: pd.DataFrame, width: int, parts: dict[str, Parts], overlaps: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Histogram of the indices, the extreme digits, overlaps, and the sweeps on all, easy and hard samples.

    Args:
        centres: mean component indices, rows (width, seed), one column for each validation sample.
        width: the one whose first seed orders the samples.
        parts: of the sweeps, by the samples on which they are evaluated.
        overlaps: the table of `samples.overlap`.
        stem: of the files, without a suffix.
    """
    figure, axes = panels(2, 3, height=2.6)
    own = centres.loc[width].iloc[0]
    with styled():
        axes[0, 0].hist(own, bins=40, color=BLUE)
        axes[0, 0].set_yscale("log")
        axes[0, 0].set(title=f"Mean component index, width {width}", xlabel="index", ylabel="validation digits")
        _digits(own, axes[0, 1])
        _overlaps(overlaps, axes[0, 2])
        titles = {"all": "All samples", "easy": "The easiest quarter", "hard": "The hardest twentieth"}
        for ax, (name, title) in zip(axes[1], titles.items(), strict=True):
            _sweep(parts[name], ax)
            ax.set(title=title, xlabel=RATE, ylabel="loss at the average" if name == "all" else "")
        axes[1, 0].legend(title="width", ncols=2, loc="upper center")
        letter(axes.flat)
    return save(figure, stem)


def _sweep(parts: Parts, ax: Axes) -> None:
    shades = colours(parts.widths)
    for width, curve, best in zip(parts.widths, parts.curves, parts.best, strict=True):
        ax.plot(2**parts.points, curve, color=shades[width], marker=".", ms=3, label=size_label(width))
        if np.isfinite(best):
            ax.plot(
                2**best,
                np.interp(best, parts.points, curve),
                marker="*",
                ms=9,
                color=shades[width],
                mec="white",
                mew=0.7,
                ls="none",
                zorder=5,
            )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")


def _digits(own: pd.Series, ax: Axes) -> None:
    from sklearn.datasets import load_digits

    from ...synthetic.streams import stream

    pixels, classes = (np.asarray(array) for array in load_digits(return_X_y=True))
    held_out = stream(0, "digits/split").permutation(len(pixels))[len(pixels) // 2 :]
    order = own.to_numpy().argsort()
    for row, samples in enumerate((order[:SHOWN], order[-SHOWN:])):
        for column, sample in enumerate(samples):
            place = (column + 0.05, column + 0.95, 1 - row + 0.05, 1 - row + 0.75)
            ax.imshow(-pixels[held_out[sample]].reshape(8, 8), cmap="gray", extent=place, aspect="auto")
            text = f"{classes[held_out[sample]]}: {own.iloc[sample]:.1f}"
            ax.annotate(text, (column + 0.5, 1 - row + 0.78), ha="center", va="bottom", fontsize=7.5, color=INK)
    ax.set(title="Lowest and highest (class: index)", xlim=(0, SHOWN), ylim=(0, 2.1), xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def _overlaps(overlaps: pd.DataFrame, ax: Axes) -> None:
    for which, style in (("easiest", "o-"), ("hardest", "s--")):
        rows = overlaps[overlaps["which"] == which]
        for width, shade in colours(rows["width"]).items():
            group = rows[rows["width"] == width]
            label = f"{which} 5 %" if width == rows["width"].min() else None
            ax.plot(group["other width"], group["overlap"], style, color=shade, ms=4, lw=1.1, label=label)
    widths = sorted(set(overlaps["width"]))
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [size_label(n) for n in widths])
    ax.set(title="Shared by two networks", xlabel="width of the other", ylabel="overlap", ylim=(0, 1))
    ax.legend(loc="upper right", labelcolor=INK)
