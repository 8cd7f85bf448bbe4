"""Plots: each takes a long-form frame (or a table of slopes) and an axes, draws, and returns the axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import style
from .fit import best_rates, fit_slope

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_curves(frame: pd.DataFrame, ax: Axes, *, x: str, axis: str, optima: bool = False, logarithmic: str = "x") -> Axes:
    """Mean over seeds of ``value`` against ``x``, one line per size with a band of one standard error.

    An infinite size is the limit and is drawn dashed. Loss against learning rate is ``x="hp.learning_rate", optima=True``.

    Args:
        frame: columns ``x``, ``value``, ``seed``, ``size.<axis>``; rows of one term.
        ax: where to draw.
        x: the column on the horizontal axis.
        axis: the size that tells the curves apart.
        optima: mark each curve's minimum with a star (none where it lies on the grid's edge).
        logarithmic: which axes are logarithmic: ``""``, ``"x"``, ``"y"`` or ``"xy"``.
    """
    size = f"size.{axis}"
    shades = style.colours(frame[size])
    for n in sorted(shades):
        curve = frame[frame[size] == n].groupby(x)["value"].agg(["mean", "sem"])
        curve = curve[np.isfinite(curve["mean"])]
        dashed: Mapping[str, Any] = {"ls": (0, (4, 1.6)), "zorder": 3} if math.isinf(n) else {}
        ax.plot(curve.index, curve["mean"], color=shades[n], label=style.size_label(n), **dashed)
        if (curve["sem"] > 0).any():
            ax.fill_between(curve.index, curve["mean"] - curve["sem"], curve["mean"] + curve["sem"], color=shades[n], alpha=0.18, lw=0)
        if optima:
            _mark_optimum(ax, curve.index.to_numpy(float), curve["mean"].to_numpy(float), shades[n])
    _scale(ax, logarithmic)
    ax.set(xlabel=x.removeprefix("hp.").replace("_", " "), ylabel="value")
    return ax


def _mark_optimum(ax: Axes, rates: Any, losses: Any, colour: Any) -> None:
    best = float(best_rates(rates, losses)) if len(rates) > 2 else math.nan
    if math.isnan(best):
        return
    i = int(np.argmin(losses))
    parabola = np.polyfit(np.log2(rates[i - 1 : i + 2]), losses[i - 1 : i + 2], 2)
    ax.plot(2**best, np.polyval(parabola, best), marker="*", ms=9, color=colour, mec="white", mew=0.7, zorder=5, ls="none")


def _scale(ax: Axes, logarithmic: str) -> None:
    if "x" in logarithmic:
        ax.set_xscale("log")
    if "y" in logarithmic:
        ax.set_yscale("log")


def _size_ticks(ax: Axes, sizes: np.ndarray) -> None:
    """A few sizes are written out below a log2 axis; many are left to powers of ten."""
    if sizes.size <= 9:
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [style.size_label(float(n)) for n in sizes])


def plot_power_law(
    frame: pd.DataFrame, ax: Axes, *, axis: str, reference: float | None = None, colour: Any = style.BLUE, label: str = ""
) -> Axes:
    """``value`` against the size, log-log, with a dotted line of the expected slope through the last point.

    Args:
        frame: columns ``value``, ``size.<axis>``, ``seed``; rows of one term.
        ax: where to draw.
        axis: the size on the horizontal axis.
        reference: expected exponent; its line is drawn and labelled.
        colour: of the points.
        label: for a legend.
    """
    points = frame.groupby(f"size.{axis}")["value"].agg(["mean", "sem"]).sort_index()
    n, y = points.index.to_numpy(float), points["mean"].to_numpy(float)
    ax.errorbar(
        n,
        y,
        yerr=points["sem"].fillna(0.0),
        color=colour,
        marker="o",
        ms=3.6,
        mec="white",
        mew=0.5,
        lw=1.2,
        elinewidth=0.8,
        label=label,
    )
    _scale(ax, "xy")
    _size_ticks(ax, n)
    if reference is not None:
        line = 1.5 * y[-1] * (n / n[-1]) ** reference
        seen = line < 4 * y.max()
        ax.plot(n[seen], line[seen], ls=":", color=style.INK, lw=1.1, zorder=1)
        middle = np.flatnonzero(seen)[seen.sum() // 2]
        ax.annotate(
            f"slope ${reference:g}$",
            (n[middle], line[middle]),
            xytext=(4, 4),
            textcoords="offset points",
            color=style.INK,
            fontsize=7.5,
        )
    ax.set(xlabel=axis)
    return ax


def plot_drift(frame: pd.DataFrame, ax: Axes, *, axis: str, rate: str = "hp.learning_rate") -> Axes:
    """The best rate of the seed-mean curve against the size, log2-log2, with a fitted line if every optimum is inside the grid.

    Args:
        frame: columns ``rate``, ``value``, ``seed``, ``size.<axis>``; the final loss of every run.
        ax: where to draw.
        axis: the size on the horizontal axis.
        rate: the column of rates, in base-rate units.
    """
    table = frame.groupby([f"size.{axis}", rate])["value"].mean().unstack()
    sizes, rates = table.index.to_numpy(float), table.columns.to_numpy(float)
    best = 2 ** best_rates(rates, table.to_numpy(float))
    shades = style.colours(sizes)
    for n, value in zip(sizes, best, strict=True):
        ax.plot(n, value, marker="*", ms=11, color=shades[n], mec="white", mew=0.8, ls="none", zorder=4)
    if np.isfinite(best).all() and sizes.size > 1:
        line = fit_slope(sizes, best)
        ax.plot(
            sizes,
            2 ** (line.intercept + line.value * np.log2(sizes)),
            color=style.QUIET,
            lw=1.0,
            ls="--",
            label=f"slope ${line.value:+.2f}$",
        )
        ax.legend()
    _size_ticks(ax, sizes)
    ax.set_yscale("log", base=2)
    ax.set_ylim(rates[0], rates[-1])
    ax.set(xlabel=axis, ylabel=f"best {rate.removeprefix('hp.').replace('_', ' ')}")
    return ax


def plot_slopes(rows: pd.DataFrame, ax: Axes) -> Axes:
    """Measured slope against predicted exponent, one point per weight, term and step, coloured by verdict.

    Args:
        rows: what `compare.compare_slopes` returns.
        ax: where to draw.
    """
    shown = rows[rows["measured"].notna()].copy()
    shown["at"] = [float(np.mean(p)) if isinstance(p, tuple) else float(p) for p in shown["predicted"]]
    ends = (shown[["at", "measured"]].min().min() - 0.25, shown[["at", "measured"]].max().max() + 0.25) if len(shown) else (-1.0, 1.0)
    band = float(rows["tolerance"].min())
    ax.plot(ends, ends, color=style.QUIET, lw=0.9, zorder=1)
    ax.fill_between(ends, np.subtract(ends, band), np.add(ends, band), color=style.GRID, alpha=0.7, lw=0, zorder=0)
    for verdict, group in shown.groupby("verdict", sort=False):
        place = group["at"] + _spread(group["at"])
        mark = {"agrees": "o", "misses": "X"}.get(str(verdict), "s")
        colour = style.VERDICT_COLOURS.get(str(verdict), style.QUIET)
        ax.errorbar(
            place,
            group["measured"],
            yerr=2 * group["se"].fillna(0),
            fmt=mark,
            ms=4.5,
            color=colour,
            mec="white",
            mew=0.5,
            elinewidth=0.8,
            label=f"{verdict} ({len(group)})",
        )
    ax.set(xlabel="predicted exponent", ylabel="measured slope", xlim=ends, ylim=ends)
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)
    ax.legend(loc="upper left")
    return ax


def plot_phases(phases: Iterable[Any], ax: Axes, *, places: Mapping[str, Sequence[float]] | None = None) -> Axes:
    """A phase diagram of two exponents: areas by the kind of their limit, thick lines where facets have a kind of their own.

    Args:
        phases: as from `theory.phases.phase_diagram`, of two parameters.
        ax: where to draw.
        places: named points to mark.
    """
    named: set[str] = set()
    for phase in sorted(phases, key=lambda phase: phase.kind != "unstable"):
        corners = np.array(phase.corners, float)
        around = corners - corners.mean(0)
        corners = corners[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
        label = phase.kind if phase.kind not in named else None
        named.add(phase.kind)
        ax.fill(*corners.T, color=style.PHASE_COLOURS[phase.kind], lw=0, zorder=1, label=label)
        for facet in phase.facets:
            if facet.kind != phase.kind:
                label = facet.kind if facet.kind not in named else None
                named.add(facet.kind)
                ax.plot(*np.array(facet.corners, float).T, color=style.PHASE_COLOURS[facet.kind], lw=3, zorder=3, label=label)
    for name, (x, y) in (places or {}).items():
        ax.plot(x, y, "o", color=style.INK, ms=5, zorder=4, clip_on=False)
        ax.annotate(name, (x, y), (6, 4), textcoords="offset points", zorder=4)
    ax.margins(0)
    ax.locator_params(nbins=5)
    ax.grid(visible=False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return ax


def _spread(values: pd.Series) -> np.ndarray:
    """Small horizontal offsets that keep points of one exponent apart, in order of appearance."""
    rank = values.groupby(values).cumcount().to_numpy(float)
    count = values.groupby(values).transform("size").to_numpy(float)
    return 0.16 * (rank - (count - 1) / 2) / np.maximum(count - 1, 1)


def plot_terms(frame: pd.DataFrame, axes: Iterable[Axes], *, axis: str, rows: pd.DataFrame | None = None) -> list[Axes]:
    """Small multiples: RMS of the terms of one weight against the size, one panel per weight, one line per term.

    Args:
        frame: columns ``weight, term, step, value, seed, size.<axis>``; one step.
        axes: at least as many as there are weights; those left over are hidden.
        axis: the size on the horizontal axis.
        rows: what `compare.compare_slopes` returns, to write predicted and measured exponents into the legend.
    """
    axes = list(np.ravel(np.asarray(axes, object)))
    weights = list(dict.fromkeys(frame["weight"]))
    if len(axes) < len(weights):
        raise ValueError(f"{len(weights)} weights need as many axes, not {len(axes)}")
    terms = list(dict.fromkeys(frame["term"]))
    palette = dict(zip(terms, [style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.QUIET] * len(terms), strict=False))
    for ax, weight in zip(axes, weights, strict=False):
        for term, group in frame[frame["weight"] == weight].groupby("term", sort=False):
            plot_power_law(group[group["value"] > 0], ax, axis=axis, colour=palette[term], label=_legend(rows, weight, str(term)))
        ax.set_title(weight, loc="left")
        ax.set(ylabel="RMS")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high * (high / low) ** (0.12 * (1 + len(ax.get_lines()))))
        ax.legend(loc="upper right")
    for ax in axes[len(weights) :]:
        ax.set_visible(False)
    return axes[: len(weights)]


def _legend(rows: pd.DataFrame | None, weight: str, term: str) -> str:
    if rows is None:
        return term
    found = rows[(rows["weight"] == weight) & (rows["term"] == term)]
    if found.empty or not np.isfinite(found["measured"].iloc[0]):
        return term
    row = found.iloc[0]
    expected = " to ".join(f"{p:g}" for p in row["predicted"]) if isinstance(row["predicted"], tuple) else f"{row['predicted']:g}"
    return f"{term}  {row['measured']:+.2f} ({expected})"
