"""The three gaps of every case that is solved exactly, their rates against theory, and what a search on a budget gains.

Ghosh, Wu and Bietti (arXiv 2512.22768): Figure 3 (the gaps, there a cartoon) and Theorem 2. The linear networks are those of Sakai and
Imaizumi (2026) and Hayou (arXiv 2511.01734).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...figures.style import BLUE, GREEN, INK, ORANGE, RED, letter, panels, save, styled
from ...theory.grid_search import Search
from ..cases.catalogue import CASES, Measured
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = "fast-transfer/gaps"
EXACT = (
    "ridge",
    "shallow-linear",
    "shallow-linear-growing",
    "single-eigenvalue",
    "deep-linear",
    "deep-linear-sp",
    "sketched-regression",
    "slow",
)
COLUMNS = {"loss gap": ("a", BLUE, "o-"), "HP gap": ("b", GREEN, "s-"), "transfer cost": ("c", RED, "^-")}
SEARCHES = {"fast": Search(1.0, 1.0), "weak": Search(1.0, 0.5), "fast, three HPs": Search(1.0, 1.0, hyperparameters=3)}
BUDGETS = 2.0 ** np.arange(14, 33, 2)


@dataclass(frozen=True)
class Settings:
    """The preset of the cases, and the random shifts of every simulated grid."""

    cases: str
    draws: int


PRESETS = {"smoke": Settings("smoke", 50), "laptop": Settings("laptop", 400), "gpu": Settings("gpu", 400)}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Solve every case, and make searches on growing budgets."""
    settings = PRESETS[preset]
    measured = {}
    for name in EXACT:
        measured[name] = CASES[name].load().measure(name, settings.cases, store_home=store_home, progress=progress)
    searches = search(settings.draws)
    images = draw(measured, searches, out / "gaps")
    return Result(FIGURE, (*case_claims(measured), *search_claims(searches)), images, {"rates": tabulate(measured), "searches": searches})


def tabulate(measured: Mapping[str, Measured]) -> pd.DataFrame:
    """Rates with intervals, predictions, and both verdicts of every case."""
    rows = []
    for name, case in measured.items():
        v, p = case.verdict, case.predicted
        row = {
            "case": name,
            "alpha": v.rates.loss if v.rates else np.nan,
            "alpha interval": list(v.loss),
            "beta": v.rates.hyperparameter if v.rates else np.nan,
        }
        row |= {"beta interval": list(v.hyperparameter), "predicted": None if p is None else [p.loss, p.hyperparameter]}
        rows.append({**row, "verdict": v.kind, "expected": case.expected})
    return pd.DataFrame(rows)


def case_claims(measured: Mapping[str, Measured]) -> Iterator[Claim]:
    """The verdict's number of every case: half of what the rate of the cost has over that of the loss gap."""
    for name, case in measured.items():
        low, high = case.verdict.advantage
        middle = (low + high) / 2
        source = f"{CASES[name].source}; widelimit.theory.verdict.judge_gaps"
        if case.expected == "fast":
            text, numbers = f"Transfer is fast: {CASES[name].title}", {"expected": 0.0, "relation": ">=", "tolerance": 0.0}
            control = Control("the same rates with the optimum at the square root of the loss gap", -1e-3)
        elif case.expected == "weak":
            text, numbers = f"Transfer is not fast: {CASES[name].title}", {"expected": 0.0, "relation": "<=", "tolerance": 0.1}
            control = Control("that of random features, where it is", *_advantage(measured["ridge"]))
        else:
            middle, (low, high) = case.verdict.rates.hyperparameter if case.verdict.rates else np.nan, case.verdict.hyperparameter
            text, numbers = f"The optimum does not settle: {CASES[name].title}", {"expected": 0.0, "relation": "<=", "tolerance": 0.1}
            control = Control("the rate of muP", float(np.mean(measured["deep-linear"].verdict.hyperparameter)))
        reason = "the sign decides; 0.1 where the measured exponent still falls towards its limit"
        yield Claim(
            f"{FIGURE}/{name}", text, source, "published", reason=reason, control=control, measured=middle, interval=(low, high), **numbers
        )


def _advantage(case: Measured) -> tuple[float, tuple[float, float]]:
    low, high = case.verdict.advantage
    return (low + high) / 2, (low, high)


def search(draws: int) -> pd.DataFrame:
    """Excess losses of simulated searches and those that are least in expectation."""
    rows = [
        {"rates": name, "method": method, "budget": f, "simulated": simulated, "expected": expected}
        for name, own in SEARCHES.items()
        for method in ("direct", "transfer")
        for f, simulated, expected in zip(BUDGETS, own.simulate(BUDGETS, method, draws=draws), own.excess(BUDGETS, method), strict=True)
    ]
    return pd.DataFrame(rows)


def search_claims(searches: pd.DataFrame) -> Iterator[Claim]:
    """The powers of Theorem 2, in searches that are really made."""
    for (name, method), rows in searches.groupby(["rates", "method"], sort=False):
        own, other = (getattr(SEARCHES[str(name)], m) for m in (str(method), "transfer" if method == "direct" else "direct"))
        late = rows[rows["budget"] >= BUDGETS[3]]
        slope = -float(np.polyfit(np.log(late["budget"]), np.log(late["simulated"]), 1)[0])
        text = f"A {method} search with a budget F misses the limit's loss by F^-{own:.3f} ({name})"
        reason = "whole numbers of grid points and both terms of the sum bend the slope by up to 0.02"
        control = Control(f"the other method's power, {other:.3f}", expected=other)
        if abs(own - other) < 0.03:
            control = Control("a quarter more in its place", expected=1.25 * own)
        slug = f"{FIGURE}/search-{str(name).replace(' ', '-').replace(',', '')}-{method}"
        yield Claim(slug, text, "arXiv 2512.22768, Theorem 2", "published", own, 0.03, reason, control, slope)


def draw(measured: Mapping[str, Measured], searches: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """A panel for the gaps of every case, and one for the searches."""
    figure, axes = panels(3, 3, width=3.1, height=2.3)
    with styled():
        for ax, (name, case) in zip(axes.flat, measured.items(), strict=False):
            _gaps(name, case, ax)
        _searches(searches, axes[2, 2])
        letter(axes.flat)
    return save(figure, stem)


def _gaps(name: str, case: Measured, ax: Axes) -> None:
    for column, (symbol, colour, style) in COLUMNS.items():
        ax.plot(case.table["size"], case.table[column], style, color=colour, ms=3.6, mec="white", mew=0.4, label=f"${symbol}_n$")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set(title=f"{name}: {case.verdict.kind}", xlabel="size")
    ax.legend(loc="lower left", ncols=3, handlelength=1.2, columnspacing=0.8)


def _searches(searches: pd.DataFrame, ax: Axes) -> None:
    for name, colour in (("fast", BLUE), ("weak", ORANGE)):
        for method, style in (("direct", "o"), ("transfer", "^")):
            rows = searches[(searches["rates"] == name) & (searches["method"] == method)]
            ax.plot(rows["budget"], rows["simulated"], style, color=colour, ms=4, mec="white", label=f"{name}, {method}")
            ax.plot(rows["budget"], rows["expected"], color=colour, lw=1.0, ls="-" if method == "direct" else "--")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(title="Searches on a budget", xlabel="budget", ylabel="excess loss")
    ax.legend(labelcolor=INK)
