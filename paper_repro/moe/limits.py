"""The limits of mixtures of experts beside networks: three regimes, muP and maximal scale stability, three kinds of gates.

One network differs from its limit as n^-1/2. The mean over initialisations, extrapolated from two sizes, is that of the limit; it is
neither that of the limit without response terms nor, where many experts grow, that of the other table. Router logits have the spread
that the limit gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import NullLocator

from ...dmft import Problem, Settings, solve
from ...figures.fit import fit_slope
from ...figures.style import BLUE, INK, ORANGE, RED, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ..claims import Claim, Control, Interval
from ..limits.finite import networks
from ..limits.problems import find_problem
from ..limits.telling import telling
from ..limits.variants import Beside
from ..limits.variants import draw as draw_losses
from ..papers import Progress
from ..results import Result
from .routing import spread, trained_logits

FIGURE, SOURCE = "moe/limits", "widelimit.dmft.experts (derived); regimes and tables: arXiv 2605.14200"
MAIN = tuple(f"moe-{regime}-{name}" for regime in ("I", "II", "III") for name in ("mup", "mssp"))
MORE = ("moe-II-mssp-top-k", "moe-III-mssp-top-k", "moe-II-mup-softmax", "moe-III-mssp-softmax")
ROUTED = tuple(name for name in MAIN if name.startswith("moe-II"))  # in I logits of initial routers vanish


@dataclass(frozen=True)
class Size:
    """What is trained.

    Args:
        widths: of the stream, and networks of each, by regime.
        error: of the limits.
        names: of the problems.
        routed: of those whose logits are compared.
        device: where networks are trained.
    """

    widths: Mapping[str, Mapping[int, int]] = field(
        default_factory=lambda: {
            "I": {64: 256, 128: 256, 256: 192, 512: 64},
            "II": {64: 256, 128: 256, 256: 256, 512: 128},
            "III": {64: 192, 128: 96, 256: 32},
        }
    )
    error: float = 5e-3
    names: tuple[str, ...] = MAIN + MORE
    routed: tuple[str, ...] = ROUTED
    device: str = "cpu"


_FEW = {regime: {32: 16, 64: 16, 128: 16} for regime in ("I", "II", "III")}
_MANY = {n: 512 for n in (128, 256, 512, 1024)}
PRESETS = {
    "smoke": Size(_FEW, 2e-2, ("moe-II-mup", "moe-II-mssp"), ("moe-II-mssp",)),
    "laptop": Size(),
    "gpu": Size({"I": {**_MANY, 2048: 64}, "II": {**_MANY, 2048: 64}, "III": {64: 512, 128: 512, 256: 256, 512: 64}}, 2e-3, device="cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Solve and train every problem, with the fields of the limits after the last step."""
    size, found, law = PRESETS[preset], {}, []
    for name in size.names:
        problem, told = find_problem(name).make(), telling(progress, f"{name}: ")
        limit = solve(problem, error=size.error, at=[problem.steps] if name in size.routed else [], progress=told)
        control = solve(problem, settings=Settings(responds=False, dtype="float32"), particles=256, replicates=4, throw=False)
        widths = size.widths[name.split("-")[1]]
        beside = networks(problem, widths, Store(store_home), case=name, progress=progress, device=size.device, engine=engine)
        found[name] = Beside(name.removeprefix("moe-"), limit, beside, "without response terms", control.loss, FIGURE)
        if name in size.routed:
            progress(f"{name}: router logits")
            law.append(_logits(name, problem, limit.fields[2, problem.steps].before, max(widths)))
    untested, every = preset == "smoke", list(found.values())
    claims = [claim for one in every for claim in (one.claim(untested=untested), _single(one, untested))]
    claims += [*_differ(found, untested), *(_law_claim(row, untested) for row in law)]
    images = [*draw_losses(every, out / "losses"), *draw_rates(every, out / "rates")]
    tables = {"losses": pd.concat([one.table() for one in every], ignore_index=True), "logits": pd.DataFrame(law)}
    return Result(FIGURE, tuple(claims), tuple(images), tables)


def _errors(one: Beside) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square difference between the loss of one network and the limit, over steps and seeds, by width."""
    theirs, here = one.beside.common(one.limit.steps)
    sizes = np.array(sorted(one.beside.losses), float)
    away = [one.beside.losses[int(n)][:, here] - one.limit.loss.value[theirs] for n in sizes]
    return sizes, np.array([np.sqrt((a**2).mean()) for a in away])


def _single(one: Beside, untested: bool) -> Claim:
    """How fast single networks come closer to the limit."""
    sizes, errors = _errors(one)
    fit = fit_slope(sizes, errors) if len(sizes) > 2 else None
    wrong = fit_slope(sizes, _stuck(one)) if fit else None
    return Claim(
        f"{FIGURE}/{one.name}-single",
        f"The loss of one network differs from that of the limit as n^-1/2 ({one.name}; root mean square over steps)",
        SOURCE,
        "prediction",
        -0.5,
        0.15,
        "terms of order 1/n at the smallest size, where losses fall fastest (in III eight experts)",
        Control("to the limit without response terms", wrong.value if wrong else 0.0),
        None if untested or fit is None else fit.value,
        None if untested or fit is None else (fit.low, fit.high),
    )


def _stuck(one: Beside) -> np.ndarray:
    """The same as `_errors`, to the control."""
    theirs, here = one.beside.common(one.limit.steps[: len(one.control.value)])
    away = [one.beside.losses[n][:, here] - one.control.value[theirs] for n in sorted(one.beside.losses)]
    return np.array([np.sqrt((a**2).mean()) for a in away])


def _differ(found: Mapping[str, Beside], untested: bool) -> list[Claim]:
    """The two limits of a regime are not one."""
    claims = []
    for regime in ("I", "II", "III"):
        mup, mssp = (found.get(f"moe-{regime}-{name}") for name in ("mup", "mssp"))
        if mup is None or mssp is None:
            continue
        own, other = (one.miss(against.limit.loss) for one, against in ((mup, mssp), (mup, mup)))
        claims.append(
            Claim(
                f"{FIGURE}/{regime}-differ",
                f"Networks under muP do not have the MSSP limit (regime {regime}): largest distance in standard errors",
                "arXiv 2605.14200 (that the limits differ qualitatively)",
                "published",
                10.0,
                0.0,
                "the largest of twenty dependent normal numbers is below 4",
                Control("their own limit", other),
                None if untested else own,
                relation=">=",
                unit="errors",
                on_record="reproduced",
            )
        )
    return claims


def _logits(name: str, problem: Problem, limit: np.ndarray, width: int) -> dict[str, float | str]:
    """How widely logits vary over experts after the last step: in the limit, in networks, and at initialisation."""
    own = spread(trained_logits(problem, width, 24))
    first = float(np.sqrt((problem.inputs**2).sum(1) / problem.inputs.shape[1]).mean())
    return {
        "problem": name,
        "limit": float(spread(limit)),
        "networks": own.mean(),
        "se": own.std(ddof=1) / len(own) ** 0.5,
        "initial": first,
    }


def _law_claim(row: Mapping[str, float | str], untested: bool) -> Claim:
    limit, mean, se, first = (float(row[key]) for key in ("limit", "networks", "se", "initial"))
    interval: Interval = ((mean - 2 * se) / limit, (mean + 2 * se) / limit)
    return Claim(
        f"{FIGURE}/{str(row['problem']).removeprefix('moe-')}-logits",
        f"Trained router logits vary over experts as the limit says ({row['problem']}): ratio of deviations",
        SOURCE,
        "prediction",
        1.0,
        0.08,
        "a few dozen experts in networks, 1/E of the deviation; a few hundred particles in the limit",
        Control("the deviation at initialisation", first / limit),
        None if untested else mean / limit,
        None if untested else interval,
    )


def draw_rates(found: list[Beside], stem: Path) -> tuple[Path, Path]:
    """Distance of single networks from the limit by size, one panel for every regime."""
    regimes = list(dict.fromkeys(one.name.split("-")[0] for one in found))
    figure, axes = panels(1, len(regimes), width=2.6, height=2.5)
    with styled():
        for ax, regime in zip(np.atleast_1d(axes).flat, regimes, strict=True):
            for one in (o for o in found if o.name.split("-")[0] == regime):
                sizes, errors = _errors(one)
                colour = ORANGE if "mup" in one.name else BLUE
                style = "o-" if one.name.count("-") == 1 else "s:" if "top-k" in one.name else "^-."
                ax.plot(sizes, errors, style, ms=3.5, color=colour, mec="white", mew=0.4, lw=1.2, label=one.name.partition("-")[2])
            ax.plot(sizes, errors[0] * (sizes / sizes[0]) ** -0.5, color=RED, lw=0.8, ls="--", label="n^-1/2")
            ax.set(title=f"Regime {regime}", xlabel="n", ylabel="one network - limit", yscale="log")
            ax.set_xscale("log", base=2)
            ax.set_xticks(sizes, [f"{n:.0f}" for n in sizes])
            ax.xaxis.set_minor_locator(NullLocator())
            ax.legend(labelcolor=INK, fontsize=6)
        letter(list(np.atleast_1d(axes).flat))
    return save(figure, stem)
