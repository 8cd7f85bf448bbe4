"""Mixtures of experts of which every sample reaches a half or a quarter: what muP loses and scale stability keeps.

The mask of the largest logits is not differentiated and of order one, so it leaves every table as it is; experts' initial sum vanishes
as n^-1/2 under muP with many experts, and stays under maximal scale stability. Under muP a few slopes differ from their exponents at
these sizes, the more so the fewer experts are active (see ``terms.csv``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...figures.style import BLUE, INK, ORANGE, QUIET, letter, panels, save, styled
from ...synthetic.store import Store
from ...theory.architecture import with_init
from ...theory.derivation import derive
from ...theory.experts import REGIMES, moe
from ..check import Check, Settings, run_check
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .networks import REMEDY
from .terms import HELD, SUMMED

LATE = ("1/4",)  # shares at which muP's initial sum is a good part of the stream up to n = 500, so that what reads it is no power law
FIGURE, SOURCE = "moe/top-k", "arXiv 2605.14200 (top-K variants); widelimit.theory (derived)"
Found = dict[tuple[str, str, str], Check]


@dataclass(frozen=True)
class Size:
    """What is trained."""

    sizes: dict[str, tuple[int, ...]]
    shares: tuple[str, ...] = ("1/2", "1/4")
    seeds: int = 8
    optimizer: str = "adam"
    steps: tuple[int, ...] = (1, 2, 3)


PRESETS = {
    "smoke": Size({"II": (64, 128)}, ("1/2",), 2, steps=(1, 2)),
    "laptop": Size({"I": (64, 128, 256), "II": (128, 256, 512), "III": (64, 128, 256)}),
    "gpu": Size({"I": (128, 256, 512, 1024), "II": (256, 512, 1024, 2048), "III": (128, 256, 512)}, seeds=16),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Derive both tables of every regime and share, train under them, compare."""
    size, found = PRESETS[preset], {}
    for share in size.shares:
        for regime, sizes in size.sizes.items():
            for name in ("mup", "mssp"):
                net = with_init(moe(active=share), **(REMEDY[regime] if name == "mssp" else {}))
                table = derive(net, size.optimizer, desiderata=name, regime=REGIMES[regime])
                progress(f"top-k: {share} active, {regime}, {name}: {table.verdict}")
                settings = Settings(sizes, size.seeds, size.steps)
                found[share, regime, name] = run_check(net, table, settings, store=Store(store_home), progress=lambda text: None)
    rows = pd.concat([c.rows.assign(share=s, regime=r, table=t) for (s, r, t), c in found.items()], ignore_index=True)
    claims = [*_sums(found, untested=preset == "smoke"), *_all(found, untested=preset == "smoke", wide=preset == "gpu")]
    return Result(FIGURE, tuple(claims), draw(found, out / "top-k"), {"terms": rows})


def _slope(check: Check) -> tuple[float, float]:
    rows = check.rows[(check.rows["term"] == SUMMED) & (check.rows["step"] == check.rows["step"].max())]
    return float(rows["measured"].iloc[0]), float(rows["se"].iloc[0])


def _sums(found: Found, *, untested: bool) -> list[Claim]:
    """What the active experts add up to at initialisation."""
    claims = []
    for (share, regime, name), check in ((key, check) for key, check in found.items() if key[1] != "I"):
        (value, se), (wrong, other) = _slope(check), _slope(found[share, regime, "mup" if name == "mssp" else "mssp"])
        what = "vanishes as n^-1/2" if name == "mup" else "stays"
        claims.append(Claim(
            f"{FIGURE}/{regime}-{share.replace('/', '-')}-{name}",
            f"With {share} of the experts active their initial sum {what} under {name} in regime {regime}", SOURCE, "prediction",
            -0.5 if name == "mup" else 0.0, 0.2, "a few active experts at the smallest size: their gates fluctuate",
            Control("the other table", wrong, (wrong - 2 * other, wrong + 2 * other)),
            None if untested else value, None if untested else (value - 2 * se, value + 2 * se),
        ))  # fmt: skip
    return claims


def _all(found: Found, *, untested: bool, wide: bool) -> list[Claim]:
    """How many slopes agree, for every share of active experts and both tables."""
    claims = []
    for share, table in dict.fromkeys((share, name) for share, _, name in found):
        told = pd.concat([c.rows for (s, _, name), c in found.items() if (s, name) == (share, table)], ignore_index=True)
        told = told[told["verdict"] != "too noisy"]
        agree = float(1 - (told["verdict"] == "misses").mean())
        late = table == "mup" and share in LATE and not wide
        moved = told["measured"] - 0.5
        far = (moved > told["predicted"] + told["tolerance"]) | (moved < told["low"] - told["tolerance"])
        claims.append(Claim(
            f"{FIGURE}/{share.replace('/', '-')}-{table}-all",
            f"Slopes of atomic terms agree with exponents derived for {table}, {share} of the experts active "
            f"(share of {len(told)}{f'; {agree:.3f} at these sizes, where the sum that vanishes is not yet small' if late else ''})",
            SOURCE, "prediction", HELD, 0.0, "terms that start from nothing have no power law in the first steps",
            Control("exponents larger by 1/2", float(1 - far.mean())),
            None if untested or late else agree, relation=">=",
        ))  # fmt: skip
    return claims


def draw(found: Found, stem: Path) -> tuple[Path, Path]:
    """Measured against derived exponents, one panel for every share."""
    shares = list(dict.fromkeys(key[0] for key in found))
    figure, axes = panels(1, len(shares), width=2.9, height=2.8)
    with styled():
        for ax, share in zip(axes.flat, shares, strict=True):
            for (s, _, name), check in found.items():
                rows = check.rows[(check.rows["verdict"] != "too noisy") & (check.rows["low"] == check.rows["predicted"])]
                if s == share:
                    marker, colour = ("o", ORANGE) if name == "mup" else ("D", BLUE)
                    ax.plot(rows["predicted"], rows["measured"], marker, ms=3, color=colour, mec="white", mew=0.3, label=name)
            ax.plot([-3.2, 0.8], [-3.2, 0.8], color=QUIET, lw=0.8, zorder=0)
            ax.set(title=f"{share} of the experts active", xlabel="derived exponent", ylabel="measured slope")
            named = dict(zip(*reversed(ax.get_legend_handles_labels())))
            ax.legend(named.values(), named.keys(), labelcolor=INK)
        letter(axes.flat)
    return save(figure, stem)
