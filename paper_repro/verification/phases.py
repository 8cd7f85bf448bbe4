"""Phase diagrams of an MLP: rates against the size of the readout, with the regions of Tensor Programs IV and IVb.

The diagram is found by classifying tables and cutting exact polyhedra out of what was seen; the theorems say the same in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random

import pandas as pd

from ...figures.plots import plot_phases
from ...figures.style import panels, save, styled
from ...theory.derivation import derive
from ...theory.phases import Family, Phase, phase_diagram
from ...theory.zoo import mlp
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result

FIGURE = "verification/phases"
LOW, HIGH = (Fraction(-1, 2), Fraction(-1)), (Fraction(3, 2), Fraction(1))
NETWORK = mlp()
PUBLISHED = {
    "sgd": "Tensor Programs IV (2011.14522), Theorem 3.3 and Corollary 3.9",
    "adam": "Tensor Programs IVb (2308.01814), Theorem 2.3.4",
}


@dataclass(frozen=True)
class Preset:
    """How many random places, and places on each facet, are held against the theorem."""

    places: int


PRESETS = {"smoke": Preset(50), "laptop": Preset(2000), "gpu": Preset(20000)}


def family(optimizer: str) -> Family:
    """Maximal updates with all learning rates times n^-x, and the initial readout times n^-y."""
    table = derive(NETWORK, optimizer)
    rates = {(row.weight, "learning_rate"): -1 for row in table.rows}
    return Family(NETWORK, table, {"x": rates, "y": {(table.rows[-1].weight, "init_std"): -1}})


def theorem(optimizer: str, x: Fraction, y: Fraction) -> str:
    """What the theorems say of this family: in their signs the readout has a + b = 1 + y, and all updates fall by x more.

    SGD: r = min(a + b, 2a + c) + c + ... - 1 = min(1 + y, 1 + x) + x - 1; entrywise updates: r = x. Stable if r >= 0, x >= 0,
    a + b >= 1/2 and a + b + r >= 1; nontrivial if in addition x = 0 or a + b + r = 1.
    """
    r = min(y, x) + x if optimizer == "sgd" else x
    if r < 0 or x < 0 or y < Fraction(-1, 2) or y + r < 0:
        return "unstable"
    return "trivial" if x and y + r else "feature learning" if r == 0 else "kernel"


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Find both diagrams, hold them against the theorems, draw them."""
    del store_home
    diagrams = {}
    for optimizer in PUBLISHED:
        progress(f"phases of {NETWORK.name} with {optimizer}")
        diagrams[optimizer] = phase_diagram(family(optimizer), LOW, HIGH)
    count = PRESETS[preset].places
    other = dict(zip(PUBLISHED, reversed(PUBLISHED), strict=True))
    claims = tuple(_claim(name, phases, other[name], count) for name, phases in diagrams.items())
    facets = [
        {"optimizer": name, "phase": phase.kind, "facet": facet.kind, "corners": " to ".join(f"({x}, {y})" for x, y in facet.corners)}
        for name, phases in diagrams.items()
        for phase in phases
        for facet in phase.facets
    ]  # fmt: skip
    return Result(FIGURE, claims, _draw(diagrams, out / "phases"), {"facets": pd.DataFrame(facets)})


def disagreements(phases: tuple[Phase, ...], optimizer: str, count: int) -> float:
    """The share of places, random ones and ones on facets, where a diagram says something else than the theorem."""
    random, wrong, total = Random(0), 0, 0
    for _ in range(count):
        x, y = (low + (high - low) * Fraction(random.randint(1, 996), 997) for low, high in zip(LOW, HIGH, strict=True))
        kinds = {phase.kind for phase in phases if phase.has((x, y))}
        wrong, total = wrong + (kinds != {theorem(optimizer, x, y)}), total + 1
    for facet in (facet for phase in phases for facet in phase.facets):
        (x0, y0), (x1, y1) = facet.corners
        for share in (Fraction(random.randint(1, 996), 997) for _ in range(count // 10)):
            kind = theorem(optimizer, x0 + (x1 - x0) * share, y0 + (y1 - y0) * share)
            wrong, total = wrong + (kind != facet.kind), total + 1
    return wrong / total


def _claim(optimizer: str, phases: tuple[Phase, ...], other: str, count: int) -> Claim:
    text = (
        f"Share of {count} random places, and {count // 10} on each facet of the stable phases, at which the diagram found for an MLP with "
        f"{optimizer} (learning rates times n^-x, initial readout times n^-y) says something else than the theorem"
    )
    control = Control(f"the theorem for {other}", disagreements(phases, other, count))
    measured = disagreements(phases, optimizer, count)
    return Claim(
        f"{FIGURE}/{optimizer}", text, PUBLISHED[optimizer], "published", 0.0, 0.0, "both are exact", control, measured, relation="<="
    )


def _draw(diagrams: dict[str, tuple[Phase, ...]], stem: Path) -> tuple[Path, ...]:
    with styled():
        figure, axes = panels(1, len(diagrams), height=3.4)
        for ax, (optimizer, phases) in zip(axes.flat, diagrams.items(), strict=True):
            plot_phases(phases, ax, places={"maximal updates": (0, 0)})
            ax.set(xlabel="x: learning rates times $n^{-x}$", ylabel="y: initial readout times $n^{-y}$", title=f"MLP, {optimizer}")
        return save(figure, stem)
