"""The panels of the figure that `rates` measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...figures.fit import best_rates
from ...figures.plots import plot_curves
from ...figures.style import BLUE, GREEN, INK, ORANGE, RED, colours, panels, save, size_label, styled
from ..core.transfer_claims import Sweep
from .networks import START
from .study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"mup": ORANGE, "mup-zero": RED, "mssp": BLUE, "mssp-readout": GREEN}
SHOWN = ("mup", "mssp")
NAMES = {"sgd": "SGD", "adam": "Adam"}


def draw(study: Study, last: pd.DataFrame, sweeps: Mapping[tuple[str, str], Sweep], stem: Path) -> tuple[Path, Path]:
    """A row for each regime and starting point: loss against rate under muP and MSSP, and best rates, with both optimizers."""
    rows = list(dict.fromkeys((scan.base, scan.regime) for scan in study.scans))
    optimizers = list(dict.fromkeys(scan.optimizer for scan in study.scans))
    figure, axes = panels(len(rows), 3 * len(optimizers), width=2.15, height=1.95)
    with styled():
        for i, (base, regime) in enumerate(rows):
            for j, optimizer in enumerate(optimizers):
                case = f"{regime} {optimizer} {base}"
                *curves, optima = axes[i, 3 * j : 3 * j + 3]
                for ax, config in zip(curves, SHOWN, strict=True):
                    _curves(last[(last["case"] == case) & (last["config"] == config)], sweeps[case, config], ax)
                    ax.set_title(f"{regime} {base}: {START[config]}, {NAMES[optimizer]}", fontsize=8)
                    ax.sharey(curves[0])
                curves[0].set_ylabel("validation loss")
                _optima({config: sweeps[case, config] for config in START}, optima)
                optima.set_title(f"{regime} {base}: best rates", fontsize=8)
        axes[0, 2].legend(fontsize=6, labelcolor=INK)
    return save(figure, stem)


def _curves(rows: pd.DataFrame, sweep: Sweep, ax: Axes) -> None:
    """Loss against rate at every size, with a star at each optimum and a line at the rate tuned for the smallest size."""
    plot_curves(rows, ax, x="hp.learning_rate", axis="n", logarithmic="y")
    shades, mean = colours(rows["size.n"]), sweep.losses.mean(axis=0)
    for n, curve in zip(sweep.widths, mean, strict=True):
        best = best_rates(sweep.rates, curve)
        if np.isfinite(best):
            ax.plot(2**best, curve.min(), marker="*", ms=8, color=shades[n], mec="white", mew=0.6, zorder=5, ls="none")
    ax.axvline(float(sweep.rates[mean[0].argmin()]), color=INK, lw=0.7, ls=":")
    ax.set_xscale("log", base=2)
    ax.set(xlabel="learning rate", ylabel="", ylim=(0.8 * mean.min(), 0.6))
    ax.set_yticks([0.1, 0.2, 0.4], ["0.1", "0.2", "0.4"])
    ax.minorticks_off()
    ax.legend(fontsize=5.5, handlelength=1.0, ncols=2, loc="lower left", columnspacing=0.7, labelspacing=0.2)


def _optima(sweeps: Mapping[str, Sweep], ax: Axes) -> None:
    """Best rates of the mean curves against the size; lines are shifted a little where they coincide."""
    for shift, (config, sweep) in enumerate(sweeps.items()):
        best = best_rates(sweep.rates, sweep.losses.mean(axis=0))
        style: dict[str, Any] = {"color": COLOURS[config], "ls": "-" if config in SHOWN else "--"}
        ax.plot(sweep.widths * 1.04**shift, 2**best, marker="o", ms=3.5, mec="white", mew=0.4, lw=1.0, label=START[config], **style)
    widths = next(iter(sweeps.values())).widths
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(widths, [size_label(float(n)) for n in widths])
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.5 * high / 2), high * 2)
    ax.set(xlabel="n", ylabel="best learning rate")
