"""The panels of `coloured`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.style import BLUE, INK, ORANGE, QUIET, colours, letter, panels, save, size_label, styled
from ...theory.gain import PowerLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOK = {"both": (BLUE, "o", -0.012, "both sides"), "in": (ORANGE, "D", 0.012, "inputs alone")}


def draw(frame: pd.DataFrame, table: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Top singular values against the width, spectra at the largest, and both exponents against that of the spectrum."""
    figure, axes = panels(2, 2, width=3.7, height=3.0)
    with styled():
        shades = colours([a + 1 for a in frame["hp.exponent"].unique()])
        _widths(frame, axes[0, 0], shades)
        _spectra(frame, axes[0, 1], shades)
        _exponents(table, axes[1, 0], "top singular value", "ranks", "stable ranks")
        _exponents(table, axes[1, 1], "gain", "ratios", "participation ratios")
        axes[1, 0].axhline(0.75, color=INK, lw=0.8, ls=":", zorder=1)
        axes[1, 0].text(0.99, 0.755, "0.75", transform=axes[1, 0].get_yaxis_transform(), ha="right", va="bottom", fontsize=7)
        axes[1, 0].set(title="Exponent of the top singular value", ylabel=r"$\alpha$ in $\sigma_1 \propto d^{\,\alpha}$")
        axes[1, 1].set(title="Exponent of the gain", ylabel=r"$\alpha$ in gain $\propto d^{\,\alpha}$")
        laws = [PowerLaw.of(a) for a in ("0", "1/2", "3/4", "1")]  # straight lines between
        bends = [float(law.exponent) for law in laws]
        for ax, way, text in ((axes[1, 0], "top", "$(1 + a)/2$"), (axes[1, 1], "gain", r"$\max(1/2,\ a)$")):
            ax.plot(bends, [float(getattr(law, way).power) for law in laws], color=QUIET, lw=1, ls="--", label=f"d → ∞: {text}", zorder=1)
            ax.legend(labelcolor=INK, loc="upper left")
        letter(axes.flat)
    return save(figure, stem)


def _widths(frame: pd.DataFrame, ax: Axes, shades: dict) -> None:
    rows = frame[(frame["term"] == "top singular value") & (frame["config"] == "both")]
    for a, own in ((float(a), own) for a, own in rows.groupby("hp.exponent")):  # type: ignore[arg-type]
        means = own.groupby("size.n")[["value", "predicted"]].mean()
        ax.plot(means.index, means["predicted"], color=shades[a + 1], lw=1.1)
        ax.plot(means.index, means["value"], "o", ms=4.2, color=shades[a + 1], mec="white", mew=0.5, label=f"a = {a:g}")
    widths = np.sort(rows["size.n"].unique())
    ax.set_xscale("log", base=2)
    ax.set(title="Noise with covariances $i^{-a}$", xlabel="width d", ylabel=r"$\sigma_1 / \sqrt{\eta / \lambda}$", yscale="log")
    ax.set_xticks(widths, [size_label(float(n)) for n in widths])
    ax.plot([], [], color=QUIET, lw=1.1, label="predicted")
    ax.legend(labelcolor=INK, loc="upper left")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * 1.6)


def _spectra(frame: pd.DataFrame, ax: Axes, shades: dict) -> None:
    """Mean over seeds at the largest width, each divided by its first, with lines of the slope ``-a/2``."""
    largest = frame["size.n"].max()
    rows = frame[(frame["term"] == "singular value") & (frame["config"] == "both") & (frame["size.n"] == largest)]
    for a, own in ((float(a), own) for a, own in rows.groupby("hp.exponent")):  # type: ignore[arg-type]
        mean = own.groupby("k")["value"].mean()
        mean = mean / mean.iloc[0]
        ax.plot(mean.index, mean, color=shades[a + 1], label=f"a = {a:g}")
        k = np.array([1.0, largest / 6])
        ax.plot(k, k ** (-a / 2), color=shades[a + 1], lw=0.8, ls=":")
    ax.plot([], [], color=QUIET, lw=0.8, ls=":", label="$k^{-a/2}$")
    ax.set(title=f"Singular values at d = {largest:g}", xlabel="place k", ylabel=r"$\sigma_k / \sigma_1$", xscale="log", yscale="log")
    ax.set_ylim(0.02, 1.4)
    ax.legend(labelcolor=INK, loc="lower left")


def _exponents(table: pd.DataFrame, ax: Axes, term: str, expected: str, what: str) -> None:
    for side, (colour, marker, aside, text) in LOOK.items():
        rows, said = (table[(table["side"] == side) & (table["term"] == t)] for t in (term, expected))
        error = [rows["exponent"] - rows["low"], rows["high"] - rows["exponent"]]
        ax.errorbar(
            rows["a"] + aside, rows["exponent"], yerr=error, fmt=marker, ms=4.2, color=colour, mec="white", mew=0.5, elinewidth=0.9,
            label=f"{text}, measured", zorder=3,
        )  # fmt: skip
        ax.plot(said["a"], said["exponent"], color=colour, lw=1.2, label=f"{text}, from {what}")
    ax.set(xlabel="a of the noise's covariance $i^{-a}$", ylim=(0.42, 1.12))
