"""Which initial values make a mixture of experts scale-stable, for every joint growth ``m ~ n^a`` of its experts' width and ``E ~ n^b`` of
their number.

Every place is a derivation; what is expected of it is one line each. With independent experts, the forward pass wants the variance of
``down`` that the backward pass wants where a + b = 1; the router is heard in both directions where b = 1, and must start at zero
elsewhere. With n/m different initial experts, all others copies, both passes agree wherever a <= 1 <= a + b.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from ...figures.style import BLUE, GREEN, INK, ORANGE, QUIET, letter, panels, save, styled
from ...theory.architecture import with_init
from ...theory.derivation import derive
from ...theory.experts import moe
from ...theory.scales import Regime
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result

FIGURE, SOURCE = "moe/plane", "widelimit.theory (derived); regimes I, II, III: arXiv 2605.14200"
ONE = Fraction(1)
WAYS: dict[str, tuple[bool, dict[str, str]]] = {
    "independent": (False, {}),
    "independent, zero router": (False, {"router": "zero"}),
    "shared": (False, {"up": "shared", "down": "shared"}),
    "shared, zero router": (False, {"up": "shared", "down": "shared", "router": "zero"}),
    "grouped": (True, {}),
    "grouped, zero router": (True, {"router": "zero"}),
}
"""How weights start, besides a readout at zero: whether experts come in groups, and single weights."""
STYLES = {
    "independent": ("o", BLUE),
    "independent, zero router": ("o", "white"),
    "grouped": ("s", GREEN),
    "grouped, zero router": ("s", "white"),
}


@dataclass(frozen=True)
class Size:
    """Where to derive: a lattice with this step up to `top`, and random places."""

    step: Fraction = Fraction(1, 4)
    top: Fraction = Fraction(3, 2)
    random: int = 30


PRESETS = {"smoke": Size(Fraction(1, 2), ONE, 2), "laptop": Size(), "gpu": Size(Fraction(1, 8), Fraction(3, 2), 200)}


def expected(way: str, a: Fraction, b: Fraction) -> bool:
    """Whether that start is scale-stable."""
    router = b == 1 or way.endswith("zero router")
    if way.startswith("independent"):
        return router and a + b == 1
    if way.startswith("shared"):
        return router and a == 1
    return router and a <= 1 <= a + b


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Derive everywhere and compare."""
    del store_home
    size, rows = PRESETS[preset], []
    places = _places(size)
    for i, (a, b) in enumerate(places):
        progress(f"plane: place {i + 1} of {len(places)}")
        rows += [{"a": str(a), "b": str(b), "way": way, **_derived(way, a, b), "expected": expected(way, a, b)} for way in WAYS]
    table = pd.DataFrame([row for row in rows if row["verdict"]])
    return Result(FIGURE, make_claims(table), draw(table, out / "plane"), {"plane": table})


def _places(size: Size) -> list[tuple[Fraction, Fraction]]:
    """The lattice; random places, half of them on the lines that matter."""
    count = int(size.top / size.step) + 1
    lattice = [(i * size.step, j * size.step) for i in range(count) for j in range(count) if i + j]
    rng = np.random.default_rng(7)
    for i in range(size.random):
        a, b = (Fraction(int(x), 24) for x in rng.integers(1, 34, size=2))
        lattice.append([(a, b), (min(a, ONE), max(ONE - a, Fraction(0))), (a, ONE), (ONE, b)][i % 4])
    return list(dict.fromkeys(lattice))


def _derived(way: str, a: Fraction, b: Fraction) -> dict[str, str]:
    """The verdict, and the initial standard deviation of `down`; empty where groups cannot be formed."""
    grouped, inits = WAYS[way]
    if grouped and not a <= 1 <= a + b:
        return {"verdict": "", "down": ""}
    net = with_init(moe(activation="tanh", grouped=grouped), readout="zero", **inits)
    table = derive(net, "sgd", desiderata="mssp", regime=Regime(n=1, m=a, E=b))
    return {"verdict": table.verdict, "down": str(table.row("down").init_std["scale"]) if table.rows else ""}


def make_claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """All derivations are as expected, and the standard deviation of ``down`` is n^(1/2) / m."""
    found = table["verdict"] == "unique"
    wrong = float((found != table["expected"]).mean())
    control = float((found != table["expected"].sample(frac=1.0, random_state=1).to_numpy()).mean())
    works = table[found]
    off = [abs(Fraction(std) - (Fraction(1, 2) - Fraction(a))) for std, a in zip(works["down"], works["a"], strict=True)]
    naive = [abs(Fraction(std) + Fraction(a) / 2) for std, a in zip(works["down"], works["a"], strict=True)]
    return (
        Claim(
            f"{FIGURE}/where",
            f"Scale stability is where it is expected, with six ways to start ({len(table)} derivations, share of others)",
            SOURCE,
            "prediction",
            0.0,
            0.0,
            "exact",
            Control("verdicts of other places", control),
            wrong,
        ),
        Claim(
            f"{FIGURE}/down",
            f"Where it is possible, `down` starts with the standard deviation n^(1/2) / m (largest distance of {len(works)} exponents)",
            SOURCE,
            "prediction",
            0.0,
            0.0,
            "exact",
            Control("that of muP, m^(-1/2)", float(max(naive, default=Fraction(0)))),
            float(max(off, default=Fraction(0))),
        ),
    )


def draw(table: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """The plane: what works at every place, and the three published regimes."""
    figure, axes = panels(1, 2, width=3.6, height=3.4)
    works = table[table["verdict"] == "unique"]
    with styled():
        for ax, kind in zip(axes.flat, ("independent", "grouped"), strict=True):
            every = table[["a", "b"]].drop_duplicates()
            ax.plot(every["a"].map(_number), every["b"].map(_number), ".", ms=2.5, color=QUIET, label="none of these")
            for way in (f"{kind}, zero router", kind):
                marker, fill = STYLES[way]
                rows = works[works["way"] == way]
                ax.plot(rows["a"].map(_number), rows["b"].map(_number), marker, ms=5, mfc=fill, mec=STYLES[kind][1], label=way)
            for name, (a, b) in {"I": (1, 0), "II": (0, 1), "III": (1, 1)}.items():
                ax.annotate(name, (a, b), (6, 4), textcoords="offset points", color=ORANGE, weight="bold")
            title = "Independent experts" if kind == "independent" else "n/m different initial experts"
            ax.set(title=title, xlabel="expert width, power of n", ylabel="number of experts, power of n")
            ax.legend(labelcolor=INK, fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
        letter(axes.flat)
    return save(figure, stem)


def _number(text: str) -> float:
    return float(Fraction(text))
