"""Measured slopes against derived exponents, a panel for each architecture."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ...figures.plots import plot_slopes
from ...figures.style import panels, save, styled

COLUMNS = 4


def draw(rows: pd.DataFrame, stem: Path) -> tuple[Path, ...]:
    """One panel per architecture, with the slopes of all its optimizers."""
    with styled():
        groups = list(rows.groupby("architecture", sort=False))
        columns = min(COLUMNS, len(groups))
        figure, axes = panels(-(-len(groups) // columns), columns, height=3.0)
        for ax, (name, group) in zip(axes.flat, groups, strict=False):
            plot_slopes(group, ax).legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
            names = list(group["optimizer"].unique())
            ax.set_title(f"{name}, {' and '.join(names) if len(names) < 3 else f'{len(names)} optimizers'}", loc="left")
        for ax in list(axes.flat)[len(groups) :]:
            ax.set_axis_off()
        return save(figure, stem)
