"""One style for every figure: colours that colour-blind readers can tell apart, light to dark for growing sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, GRID = "#1f2430", "#6b7280", "#e5e7eb"
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8e5aa8"
LIMIT = RED
VERDICT_COLOURS = {"agrees": BLUE, "misses": RED, "too noisy": ORANGE, "diverged": PURPLE, "vanishes": QUIET}
PHASE_COLOURS = {"unstable": "#dcdfe4", "trivial": "#f6f3e6", "kernel": ORANGE, "feature learning": BLUE}
COLUMN = 3.3

RC: dict[Any, Any] = {
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "text.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "widelimit",
}


@contextmanager
def styled() -> Iterator[None]:
    """The package's matplotlib settings, for the duration of the block; global settings are left alone."""
    import matplotlib as mpl

    with mpl.rc_context(RC):
        yield


def panels(rows: int = 1, columns: int = 1, *, width: float = COLUMN, height: float = 2.55) -> tuple[Figure, Any]:
    """A figure with a grid of axes that needs no display.

    Args:
        rows: rows of panels.
        columns: columns of panels.
        width: inches per panel.
        height: inches per panel.

    Returns:
        The figure, and its axes in an array of shape ``(rows, columns)``.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = np.empty((rows, columns), object)
        axes[:] = figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def letter(axes: Iterable[Axes]) -> None:
    """Put a, b, c... before the titles of the panels."""
    for mark, ax in zip("abcdefghijklmnopqrstuvwxyz", axes, strict=False):
        ax.set_title(f"{mark}   {ax.get_title(loc='left')}", loc="left")


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem.png`` and ``stem.svg``, byte for byte the same every time.

    Raises:
        OSError: if the folder cannot be written.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    with styled():
        figure.savefig(png, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def colours(sizes: Iterable[float]) -> dict[float, Any]:
    """A colour for each size, light (small) to dark (large); an infinite size, the limit, has its own."""
    import matplotlib as mpl

    ordered = sorted(set(sizes))
    finite = [s for s in ordered if math.isfinite(s)]
    ramp = mpl.colormaps["viridis_r"]
    shades = {s: ramp(0.12 + 0.83 * i / max(len(finite) - 1, 1)) for i, s in enumerate(finite)}
    return shades | {s: LIMIT for s in ordered if not math.isfinite(s)}


def size_label(size: float) -> str:
    """A size as a person would write it: ``64``, ``5.66``, the infinity sign."""
    return "∞" if math.isinf(size) else f"{size:.3g}" if size < 100 else f"{size:.0f}"
