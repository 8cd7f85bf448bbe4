"""The panels of the figure that `language` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...figures.fit import best_rates
from ...figures.plots import plot_curves
from ...figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, QUIET, RED, colours, letter, panels, save, size_label, styled
from .llama import KINDS, RULES
from .settled import over_seeds
from .tuning import DECAY, RATE, Tuned
from .widths import Widths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = dict(zip(KINDS, (BLUE, "#56b4e9", GREEN, INK, ORANGE, RED, PURPLE), strict=True))
PUBLISHED = 0.75
TICKS = [float(a * 10**b) for b in range(4) for a in (1, 2, 5)]
RULE_NAMES = {"constant": "λ constant", "root": "λ ∝ √d", "linear": "λ ∝ d"}
SIGNS = {"top": ("top", "top from stable ranks", "top from the spectrum"), "gain": ("gain", "gain from participation")}
MARKS = {
    "top": ("o", BLUE, "measured"),
    "top from stable ranks": ("D", ORANGE, "from stable ranks"),
    "top from the spectrum": ("^", GREEN, "½ + slope of spectrum"),
    "gain": ("o", BLUE, "measured"),
    "gain from participation": ("D", ORANGE, "from participation"),
}


def draw(widths: Widths, tuned: Tuned, stem: Path) -> tuple[Path, Path]:
    """Powers of the width above; below losses against the rate under three rules, and against the decay."""
    figure, axes = panels(2, 4, width=2.75, height=2.75)
    with styled():
        for ax, way, label in (
            (axes[0, 0], "top", "$\\sigma_1\\ /\\ \\sqrt{\\eta/\\lambda}$"),
            (axes[0, 1], "gain", "gain $/\\ \\sqrt{\\eta/\\lambda}$"),
        ):
            _growth(widths, way, ax, label)
        for ax, way in ((axes[0, 2], "top"), (axes[0, 3], "gain")):
            _powers(widths, way, ax)
        for rule, ax in zip(RULES, axes[1], strict=False):
            _losses(tuned, rule, ax)
        _share_losses(tuned, axes[1, : len(RULES)])
        _decays(tuned, axes[1, 3])
        letter(axes.flat)
    return save(figure, stem)


def _growth(widths: Widths, way: str, ax: Axes, label: str) -> None:
    """Against the width, one line for every kind of matrix; dotted the published power."""
    for kind, shade in SHADES.items():
        n, mean = widths.sizes, np.exp(np.log(widths.values(way, kind)).mean(axis=1))
        ax.plot(n, mean, "o-", ms=3.6, mec="white", mew=0.4, lw=1.1, color=shade, label=kind)
    n, low = widths.sizes, ax.get_ylim()[0]
    ax.plot(n, low * (n / n[0]) ** PUBLISHED, color=QUIET, lw=1.0, ls=":", label=f"$d^{{{PUBLISHED}}}$")
    ax.set(title="Largest singular value" if way == "top" else "Gain", xlabel="width $d$", ylabel=label, yscale="log")
    ax.set_xscale("log", base=2)
    ax.set_xticks(n, [size_label(w) for w in n])
    high = ax.get_ylim()[1] * (1.7 if way == "top" else 1.0)
    ax.set_yticks(TICKS, [size_label(t) for t in TICKS])
    ax.minorticks_off()
    ax.set_ylim(0.8 * low, high)
    if way == "top":
        ax.legend(ncols=2, fontsize=6.5, handlelength=1.2, columnspacing=0.8, labelspacing=0.25, loc="upper left")


def _powers(widths: Widths, way: str, ax: Axes) -> None:
    """For every kind the power measured and those predicted, with intervals over seeds."""
    for i, kind in enumerate(KINDS):
        for j, own in enumerate(SIGNS[way]):
            value, (low, high) = over_seeds(widths.powers(own, kind))
            sign, shade, _ = MARKS[own]
            ax.errorbar(
                value,
                i + 0.22 * (j - 0.5),
                xerr=[[value - low], [high - value]],
                fmt=sign,
                ms=4.5,
                color=shade,
                mec="white",
                mew=0.4,
                elinewidth=0.9,
            )
    for own in SIGNS[way]:
        sign, shade, name = MARKS[own]
        ax.plot([], [], sign, ms=4.5, color=shade, label=name)
    ax.axvline(0.5, color=QUIET, lw=0.8, ls=":", zorder=0)
    ax.axvline(1.0, color=QUIET, lw=0.8, ls=":", zorder=0)
    if way == "top":
        ax.axvspan(0.7, 0.8, color=QUIET, alpha=0.15, lw=0, zorder=0, label="published, 0.75")
    ax.set(
        title="Its power of $d$" if way == "top" else "Power of the gain",
        xlabel="dots: noise ½, one direction 1",
        ylim=(len(KINDS) + 1.3, -0.7),
    )
    ax.set_yticks(range(len(KINDS)), KINDS)
    ax.legend(fontsize=6.5, loc="lower center", ncols=2, handlelength=1.0, columnspacing=0.8)


def _losses(tuned: Tuned, rule: str, ax: Axes) -> None:
    """Against the rate, with the drift of the best one."""
    plot_curves(tuned.rates(rule), ax, x=RATE, axis="n", optima=True)
    drift = tuned.drift(rule)
    said = "an optimum on the edge" if drift.problem else f"drift {drift.value:+.2f} [{drift.low:+.2f}, {drift.high:+.2f}]"
    ax.set_title(f"{RULE_NAMES[rule]}")
    ax.set(xlabel=f"rate at width {tuned.tuning.study.widths[0]}\n{said}", ylabel="")
    ax.set_xscale("log", base=2)
    if rule == next(iter(RULES)):
        ax.set_ylabel("validation loss, nats a character")
        ax.legend(title="width", ncols=3, fontsize=6.5, handlelength=1.0, loc="upper center", columnspacing=0.8)


def _share_losses(tuned: Tuned, axes: np.ndarray) -> None:
    """One vertical scale, with room for a legend."""
    rows = tuned.last[tuned.last["case"] == "llama, rates"]
    best = rows.groupby(["config", "size.n", RATE])["value"].mean().groupby(["config", "size.n"]).min().to_numpy(float)
    low, span = best.min(), max(float(np.ptp(best)), 0.02)
    for ax in axes:
        ax.set_ylim(low - 0.12 * span, low + 1.75 * span)


def _decays(tuned: Tuned, ax: Axes) -> None:
    """Against the decay itself, each width's from its lowest; with the power of the best one."""
    rows, first = tuned.decays, tuned.tuning.study.widths[0]
    shades = colours(rows["size.n"])
    for n in np.unique(rows["size.n"].to_numpy(float)):
        mean = rows[rows["size.n"] == n].groupby(DECAY)["value"].mean()
        decays = mean.index.to_numpy() * (n / first) ** 0.5
        ax.plot(decays, mean - mean.min(), "o-", ms=3, mec="white", mew=0.4, lw=1.1, color=shades[n], label=size_label(n))
        best = best_rates(decays, mean.to_numpy())
        if np.isfinite(best):
            ax.plot(2**best, 0, "*", ms=9, color=shades[n], mec="white", mew=0.7, zorder=5, clip_on=False)
    power = tuned.power
    said = "an optimum on the edge" if power.problem else f"best ∝ $d^{{{power.value:.2f}}}$ [{power.low:.2f}, {power.high:.2f}]"
    ax.set_title("Decay at one rate")
    ax.set(xlabel=f"decay λ\n{said}", ylabel="loss over each width's least")
    ax.set_xscale("log", base=2)
    ax.set_ylim(0, min(ax.get_ylim()[1], 0.3))
