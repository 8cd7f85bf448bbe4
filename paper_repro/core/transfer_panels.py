"""The panels of the figure that `transfer` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import NullLocator

from ...figures.fit import best_rates, fit_slope
from ...figures.plots import plot_curves
from ...figures.style import BLUE, INK, QUIET, RED, colours, letter, panels, save, size_label, styled
from .transfer_claims import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}
CONFIGS = {"sp": ("SP", RED), "mup": ("μP", BLUE)}
HIGHEST = 4.0


def draw(losses: pd.DataFrame, drifts: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """A row for each optimizer: the curves in SP and in muP, and the best rate against the width.

    Args:
        losses: final validation losses (see `transfer.measure`); curves are shown for the first activation.
        drifts: the table of `transfer_claims.tabulate`.
        stem: of the files, without a suffix.
    """
    shown = losses["case"].iloc[0].split()[0]
    figure, axes = panels(2, 3, height=2.7)
    with styled():
        for row, (optimizer, name) in zip(axes, OPTIMIZERS.items(), strict=True):
            rows = losses.loc[losses["case"] == f"{shown} {optimizer}"]
            for ax, (config, (label, _)) in zip(row, CONFIGS.items(), strict=False):
                _curves(rows.loc[rows["config"] == config], ax)
                ax.set(title=f"{label} with {name} ({shown})", ylabel="validation cross-entropy" if config == "sp" else "")
                ax.sharey(row[0])
            row[0].set_ylim(0.93 * rows["value"].min(), HIGHEST)
            row[0].legend(title="width", ncols=3, loc="upper left", handlelength=1.2, columnspacing=0.9)
            _optima(losses, drifts, optimizer, row[2])
            row[2].set(title=f"Best rate with {name}")
        letter(axes.flat)
    return save(figure, stem)


def _curves(rows: pd.DataFrame, ax: Axes) -> None:
    plot_curves(rows, ax, x="hp.learning_rate", axis="n", logarithmic="y")
    sweep, shades = Sweep.of(rows), colours(rows["size.n"])
    for width, curve in zip(sweep.widths, sweep.losses.mean(axis=0), strict=True):
        best = best_rates(sweep.rates, curve)
        height = np.interp(best, np.log2(sweep.rates), curve)
        ax.plot(2**best, height, marker="*", ms=9, color=shades[width], mec="white", mew=0.7, zorder=5, ls="none")
    ax.set_xscale("log", base=2)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("learning rate at width 64")
    ax.set_yticks([0.15, 0.3, 0.6, 1.2, 2.4], ["0.15", "0.3", "0.6", "1.2", "2.4"])


def _optima(losses: pd.DataFrame, drifts: pd.DataFrame, optimizer: str, ax: Axes) -> None:
    """Circles: of the mean curve (filled: the activation of the other panels); ticks: of single seeds; lines: least squares."""
    for row in drifts.loc[drifts["case"].str.endswith(f" {optimizer}")].to_dict(orient="records"):
        activation, (name, colour) = str(row["case"]).split()[0], CONFIGS[str(row["config"])]
        sweep = Sweep.of(losses.loc[(losses["case"] == row["case"]) & (losses["config"] == row["config"])])
        first = activation == losses["case"].iloc[0].split()[0]
        face, shift = (colour, 0.97) if first else ("white", 1.03)
        best = 2 ** best_rates(sweep.rates, sweep.losses.mean(axis=0))
        each = 2 ** best_rates(sweep.rates, sweep.losses)
        x: np.ndarray = sweep.widths * shift
        style: dict[str, Any] = {"color": colour, "ls": "none"}
        ax.plot(np.tile(x, (len(each), 1)).T, each.T, marker="_", ms=4, mew=0.8, alpha=0.6, zorder=2, **style)
        label = f"{name}, {activation}: {row['drift']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]".replace("-", "−")
        ax.plot(x, best, marker="o", ms=5, mfc=face, mec=colour if not first else "white", mew=0.9, zorder=4, label=label, **style)
        if np.isfinite(best).all():
            line = fit_slope(sweep.widths, best)
            ends = sweep.widths[[0, -1]]
            fitted = 2 ** (line.intercept + line.value * np.log2(ends))
            ax.plot(ends, fitted, color=colour, lw=1.1, ls="-" if first else "--", zorder=1)
    widths = sorted(losses["size.n"].unique())
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(widths, [size_label(n) for n in widths])
    ax.set(xlabel="width", ylabel="best learning rate")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.6)
    ax.legend(loc="upper right", title="octaves per doubling [95 %]", labelcolor=INK, title_fontproperties={"size": 7.5})
    ax.tick_params(color=QUIET)
