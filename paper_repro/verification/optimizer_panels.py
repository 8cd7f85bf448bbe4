"""The drawing of the optimizers' check."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ...figures.plots import plot_slopes
from ...figures.style import panels, save, styled


def draw(rows: pd.DataFrame, stem: Path) -> tuple[Path, ...]:
    """Measured against derived, one panel per architecture."""
    with styled():
        groups = list(rows.groupby("architecture", sort=False))
        figure, axes = panels(1, len(groups))
        for ax, (name, group) in zip(axes.flat, groups, strict=True):
            plot_slopes(group, ax)
            ax.set_title(f"{name}, {group['optimizer'].nunique()} optimizers", loc="left")
        return save(figure, stem)
