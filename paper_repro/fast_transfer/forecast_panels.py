"""The panels of the figure that `forecast` measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.style import BLUE, GRID, INK, ORANGE, QUIET, letter, panels, save, styled
from .forecast_score import FORECAST, LINE, METHODS, STILL, Problem, extrapolate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = {FORECAST: BLUE, STILL: QUIET, LINE: ORANGE}
MARKS = {FORECAST: "o", STILL: "s", LINE: "D"}
SHOWN = (  # the first of each that was measured is drawn
    ("{}: solved exactly", ("shallow-linear",)),
    ("{}: trained", ("ball",)),
    ("{}: does not settle", ("digits-sp", "deep-linear-sp")),
)
SCORES = (
    ("Error from two widths", 2, "error", (4e-4, 20.0)),
    ("Error from three widths", 3, "error", (4e-4, 20.0)),
    ("Regret from three widths", 3, "regret", (1e-4, 30.0)),
)
WORDS = {"error": "error of the optimum (octaves; slow: of nu)", "regret": "loss / what width has won"}


def draw(problems: Sequence[Problem], scores: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Three cases with their forecast from three widths, and the scores of all.

    Args:
        problems: every case.
        scores: as `forecast_score.summarise`.
        stem: of the files, without a suffix.
    """
    named = {problem.name: problem for problem in problems}
    figure, axes = panels(2, 3, height=2.9)
    with styled():
        for ax, (title, names) in zip(axes[0], SHOWN, strict=True):
            if found := [name for name in names if name in named]:
                _optima(named[found[0]], ax)
                ax.set_title(title.format(found[0]))
            else:
                ax.set_axis_off()
        axes[0, 0].legend(loc="lower right")
        for ax, (title, seen, quantity, limits) in zip(axes[1], SCORES, strict=True):
            _scores(scores[scores["seen"] == seen], list(named), ax, quantity, limits)
            ax.set_title(title)
        for ax in axes[1, 1:]:
            ax.set_yticklabels([])
        for method in METHODS:
            axes[1, 1].plot([], [], MARKS[method], ms=3.9, color=SHADES[method], label=method)
        axes[1, 1].plot([], [], "<", ms=3.9, color=INK, label="smaller still")
        axes[1, 1].legend(loc="center left", bbox_to_anchor=(0, 0.4))
        letter(axes.flat)
    return save(figure, stem)


def _optima(problem: Problem, ax: Axes, seen: int = 3) -> None:
    """The measured optimum against the width, the forecast's interval, and where the baselines point."""
    curves, sizes = problem.curves, problem.curves.sizes
    places = curves.optima(curves.means()[0]).place
    drawn = curves.optima(curves.resampled(200, 0, paired=False)).place
    errors = np.abs(np.nanquantile(drawn, [0.025, 0.975], axis=0) - places)
    found = extrapolate(problem, seen, curves, draws=400)
    larger, last = found.sizes, places[seen - 1]
    slope = (last - places[seen - 2]) / np.log2(sizes[seen - 1] / sizes[seen - 2])
    ax.fill_between(larger, *found.place_ends, color=BLUE, alpha=0.16, lw=0)
    ax.plot(larger, found.places, color=BLUE, label=FORECAST)
    ax.plot(larger, np.full(larger.size, last), color=QUIET, ls="--", label=STILL)
    ax.plot(larger, last + slope * np.log2(larger / sizes[seen - 1]), color=ORANGE, ls=":", label=LINE)
    for part, fill, label in ((slice(seen), INK, "seen"), (slice(seen, None), "white", "measured")):
        bars = {"yerr": errors[:, part], "elinewidth": 0.9, "mec": INK, "mfc": fill, "color": INK, "zorder": 4}
        ax.errorbar(sizes[part], places[part], fmt="o", ms=4, label=label, **bars)
    reach = np.concatenate([places, found.places, found.place_ends.ravel()])
    margin = 0.15 * np.ptp(reach)
    ax.set_ylim(reach.min() - margin, reach.max() + margin)
    ax.set_xscale("log", base=2)
    ax.set(xlabel="width $n$", ylabel="log2 of the best learning rate")


def _scores(rows: pd.DataFrame, names: Sequence[str], ax: Axes, quantity: str, limits: tuple[float, float]) -> None:
    """One line per case, one mark per method with its interval; a triangle on a limit is beyond it."""
    for i, name in enumerate(names):
        ax.axhspan(i - 0.5, i + 0.5, color=GRID, alpha=0.45 * (i % 2), lw=0, zorder=0)
        for j, method in enumerate(METHODS):
            row = rows[(rows["case"] == name) & (rows["method"] == method)]
            if row.empty or not np.isfinite(row[quantity].iloc[0]):
                continue
            exact = row[[quantity, f"{quantity} low", f"{quantity} high"]].iloc[0].to_numpy(float)
            (value, low, high), y, shade = np.clip(exact, *limits), i + 0.24 * (j - 1), SHADES[method]
            mark = MARKS[method] if value == exact[0] else "<" if value > exact[0] else ">"
            ax.plot([low, high], [y, y], color=shade, lw=1.1, alpha=0.6)
            ax.plot(value, y, mark, ms=3.9, color=shade, mec="white", mew=0.4)
    ax.set_xscale("log")
    ax.set(xlim=(limits[0] / 1.6, limits[1] * 1.6), xlabel=WORDS[quantity], yticks=range(len(names)), yticklabels=names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
