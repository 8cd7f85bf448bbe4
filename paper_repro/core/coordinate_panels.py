"""The drawing of the coordinate check."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ...figures.plots import plot_slopes, plot_terms
from ...figures.style import panels, save, styled
from ..check import Check


def draw(rows: pd.DataFrame, good: Check, bad: Check, stem: Path) -> tuple[Path, ...]:
    """Measured against derived for every table, and the forward terms of the MLP under muP and SP against width."""
    with styled():
        figure, axes = panels(2, 3)
        for ax, (table, group) in zip(axes[0], rows.groupby("table", sort=False), strict=False):
            plot_slopes(group, ax)
            ax.set_title({"sp": "standard", "ntp": "neural tangent", "mup": "maximal update"}[str(table)], loc="left")
        for ax, (check, weight, title) in zip(axes[1], _terms(good, bad), strict=True):
            step = check.frame["step"].max()
            frame = check.frame[(check.frame["weight"] == weight) & (check.frame["step"] == step)]
            forward = frame[frame["term"].str.startswith(f"{weight}: ")]
            plot_terms(forward, [ax], axis="n", rows=check.rows[check.rows["step"] == step])
            ax.set_title(title, loc="left")
        return save(figure, stem)


def _terms(good: Check, bad: Check) -> list[tuple[Check, str, str]]:
    return [
        (bad, "W2", "hidden weight, SP, Adam, first update"),
        (good, "W2", "hidden weight, muP, Adam, trained"),
        (good, "W3", "readout, muP, Adam, trained"),
    ]
