"""The panels of the figure that `spectra` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, QUIET, RED, letter, panels, save, styled
from .llama import KINDS
from .pairs import PAIRS, PUBLISHED, SLOW, TERMS, Runs, place
from .settled import over_seeds, relaxation, relaxed, turned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = {"base": INK, "both x 1/2": BLUE, "both x 2": GREEN, "both x 4": PURPLE, "decay x 1/2": RED, "decay x 2": ORANGE}
NAMES = {
    "base": "base $(\\eta, \\lambda)$", "both x 1/2": "$(\\eta, \\lambda) \\times ½$", "both x 2": "$(\\eta, \\lambda) \\times 2$",
    "both x 4": "$(\\eta, \\lambda) \\times 4$", "decay x 1/2": "$\\lambda \\times ½$", "decay x 2": "$\\lambda \\times 2$",
}  # fmt: skip
SIGNS = {"gain": "o", "top singular value": "s"}


def draw(runs: Runs, stem: Path) -> tuple[Path, Path]:
    """Gains over time, spectra, spectra divided; ratios beside the published, exponents by kind of matrix, relaxation and rotation."""
    figure, axes = panels(2, 3, width=3.35, height=2.85)
    with styled():
        _gains(runs, axes[0, 0])
        _spectra(runs, axes[0, 1], axes[0, 2])
        _ratios(runs, axes[1, 0])
        _exponents(runs, axes[1, 1])
        _motions(runs, axes[1, 2])
        letter(axes.flat)
    return save(figure, stem)


def _gains(runs: Runs, ax: Axes) -> None:
    """Means over seeds with a band of all; dashed the law, with the last gain fitted."""
    gains, steps = runs.followed.curves("gain"), runs.followed.looks
    for name, shade in SHADES.items():
        own, x = gains[place(name)], runs.forgotten[place(name)]
        mean = np.exp(np.log(own).mean(axis=0))
        ax.plot(steps, mean, color=shade, lw=1.2, label=NAMES[name])
        ax.fill_between(steps, own.min(axis=0), own.max(axis=0), color=shade, alpha=0.15, lw=0)
        if name in SLOW:
            x, start = x[runs.warm] - x[runs.warm][0], mean[runs.warm]
            fine = np.linspace(0, x[-1], 300)
            law = relaxed(fine, start[0], relaxation(x, start, 1.0)[0])
            ax.plot(np.interp(fine, x, steps[runs.warm]), law, color=shade, lw=1.0, ls=(0, (2, 2)))
    ax.plot([], [], color=QUIET, lw=0.9, ls=(0, (2, 2)), label="law, $e^{-2\\eta\\lambda t}$")
    low, high = ax.get_ylim()
    ax.set(title="Gain of feed-forward matrices", xlabel="update", ylabel="rms$(Wx)$ / rms$(x)$", yscale="log")
    ax.set_ylim(max(low, 0.9 * float(gains.min())), high)
    ax.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    ax.minorticks_off()
    ax.legend(ncols=2, loc="lower right", fontsize=6.5, handlelength=1.2, columnspacing=0.8, labelspacing=0.25)


def _spectra(runs: Runs, whole: Axes, scaled: Axes) -> None:
    """At the end, as they are and over the root of rate / decay."""
    spectra = runs.followed.spectra()
    places = np.arange(1, spectra.shape[-1] + 1)
    for name, shade in SHADES.items():
        mean = np.exp(np.log(spectra[place(name)]).mean(axis=0))
        whole.plot(places, mean, color=shade, lw=1.2)
        scaled.plot(places, mean / runs.scales[place(name)], color=shade, lw=1.2)
    for ax, title, label in (
        (whole, "Their singular values", "$\\sigma_i$"),
        (scaled, "over $\\sqrt{\\eta/\\lambda}$", "$\\sigma_i\\ /\\ \\sqrt{\\eta/\\lambda}$"),
    ):
        ax.set(title=title, xlabel="place $i$", ylabel=label, xscale="log", yscale="log")


def _ratios(runs: Runs, ax: Axes) -> None:
    """Of every pair to the base; hollow as published."""
    others = [name for name in PAIRS if name != "base"]
    for i, name in enumerate(others):
        for j, term in enumerate(TERMS):
            value, (low, high) = over_seeds(np.log(runs.ratio(term, name, "base")))
            x = i + 0.26 * j - 0.22
            ax.errorbar(x, np.exp(value), [[np.exp(value) - np.exp(low)], [np.exp(high) - np.exp(value)]], fmt=SIGNS[term], ms=5,
                        color=SHADES[name], mec="white", mew=0.5, elinewidth=0.9)  # fmt: skip
            ax.plot(x + 0.13, PUBLISHED[name][j] / PUBLISHED["base"][j], SIGNS[term], ms=4.5, mfc="none", color=SHADES[name])
    for term, sign in SIGNS.items():
        ax.plot([], [], sign, color=QUIET, ms=4.5, label=term)
    ax.plot([], [], "o", mfc="none", color=QUIET, ms=4.5, label="hollow: published, $d=512$")
    for level in (2**-0.5, 1.0, 2**0.5):
        ax.axhline(level, color=QUIET, lw=0.7, ls=(0, (2, 2)), zorder=0)
    for level in (0.5, 2.0):
        ax.axhline(level, color=QUIET, lw=0.7, ls=":", zorder=0)
    ax.set(title="Ratios to the base", yscale="log", ylim=(0.42, 3.6), xlim=(-0.6, len(others) - 0.4))
    ax.set_xticks(range(len(others)), [NAMES[name] for name in others], fontsize=6.5)
    ax.set_yticks([0.5, 2**-0.5, 1, 2**0.5, 2], ["$1/2$", "$1/\\sqrt{2}$", "1", "$\\sqrt{2}$", "2"])
    ax.minorticks_off()
    ax.legend(loc="upper left", fontsize=6.5, handlelength=1.0, labelspacing=0.25)


def _exponents(runs: Runs, ax: Axes) -> None:
    """Of rate and decay for every kind of matrix, and what a signal that persists would have."""
    for i, kind in enumerate(KINDS):
        for j, term in enumerate(TERMS):
            for shade, values in zip((BLUE, RED), runs.exponents(term, (kind,)), strict=True):
                value, (low, high) = over_seeds(values)
                y = i + 0.3 * j - 0.15
                ax.errorbar(
                    value, y, xerr=[[value - low], [high - value]], fmt=SIGNS[term], ms=4, color=shade, mec="white", mew=0.4, elinewidth=0.9
                )
    for x, shade in ((0.5, BLUE), (-0.5, RED)):
        ax.axvline(x, color=shade, lw=0.9, ls=(0, (2, 2)), zorder=0)
    for x, shade in ((0.0, BLUE), (-1.0, RED)):
        ax.axvline(x, color=shade, lw=0.9, ls=":", zorder=0)
    ax.set(
        title="Exponents of $\\eta$ (blue) and $\\lambda$ (red)",
        xlabel="all pairs but × 4; dashes: $\\sqrt{\\eta/\\lambda}$, dots: $1/\\lambda$",
        xlim=(-1.25, 0.85),
    )
    ax.set_yticks(range(len(KINDS)), KINDS)
    ax.invert_yaxis()


def _motions(runs: Runs, ax: Axes) -> None:
    """Fitted pace of relaxation, and the angle of one update, against rate times decay."""
    products, gains, entries = runs.products, runs.paces("gain"), runs.paces("rms")
    fine = np.geomspace(products.min() / 1.5, products.max() * 1.5, 50)
    ax.plot(fine, 2 * fine, color=QUIET, lw=0.9, ls=(0, (2, 2)))
    ax.plot(fine, turned(fine), color=QUIET, lw=0.9, ls=(0, (2, 2)))
    for name, shade in SHADES.items():
        k = place(name)
        if name in SLOW:
            for own, filled in ((gains, shade), (entries, "none")):
                pace = np.exp(np.log(own[k]).mean())
                ax.plot(
                    products[k],
                    2 * products[k] * pace,
                    "^",
                    ms=5.5,
                    color=shade,
                    mfc=filled,
                    mec="white" if own is gains else shade,
                    mew=0.7,
                )
        ax.plot(products[k], np.exp(np.log(runs.turns[k]).mean()) * turned(products[k]), "D", ms=5, color=shade, mec="white", mew=0.5)
    ax.plot([], [], "^", color=QUIET, label="relaxation of squared gains: $2\\eta\\lambda$")
    ax.plot([], [], "^", color=QUIET, mfc="none", label="that of squared entries")
    ax.plot([], [], "D", color=QUIET, ms=5, label="angle per update: $\\sqrt{2\\eta\\lambda(1-\\beta_1)/(1+\\beta_1)}$")
    ax.set(title="Forgetting and turning", xlabel="$\\eta\\lambda$", xscale="log", yscale="log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * 4)
    ax.legend(loc="upper left", fontsize=6.5)
