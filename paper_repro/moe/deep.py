"""Depth of mixtures of experts at infinite width, branches of 1/L: deterministic or random in depth, as alpha = n / (m E L) says.

With n neurons in the stream and L blocks of E experts of width m, initial matrices add noise of the variance alpha to the stream in all:
where alpha falls to zero the stream follows an ordinary differential equation in depth, else a stochastic one (Jiang, Bordelon, Pehlevan
and Hanin, arXiv 2601.20205). With experts' last weights of the deviation n^(1/2)/m, theirs, the former does not depend on m/n; with
m^(-1/2), that of muP, it does. Routers start at zero, so that alpha is all that differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Problem, Solution, solve
from ...figures.style import BLUE, GREEN, INK, ORANGE, QUIET, RED, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ...theory.architecture import Architecture, with_init
from ...theory.constants import Constants, WeightConstants
from ...theory.derivation import derive
from ...theory.experts import REGIMES, resmoe
from ...theory.scales import Regime
from ...theory.table import ExponentTable
from ..claims import Claim, Control
from ..limits.finite import networks
from ..limits.points import sphere
from ..limits.variants import Beside
from ..papers import Progress
from ..results import Result

FIGURE, SOURCE = "moe/deep", "arXiv 2601.20205 (appendix E); widelimit.dmft.experts"
ALPHA, STEPS, RATIOS = 2.0, 8, (0.25, 1.0)
INSIDE = ("router", "up", "down")


@dataclass(frozen=True)
class Size:
    """What is solved and trained.

    Args:
        depths: numbers of blocks.
        particles: of the limits.
        seeds: networks of every width.
        widths: two of them.
        device: where networks are trained.
    """

    depths: tuple[int, ...] = (2, 4, 8)
    particles: int = 512
    seeds: int = 160
    widths: tuple[int, int] = (64, 128)
    device: str = "cpu"


PRESETS = {
    "smoke": Size((1, 2), 64, 8, (32, 64)),
    "laptop": Size(),
    "gpu": Size((2, 4, 8, 16), 1024, 512, (256, 512), "cuda"),
}


@cache
def _table(regime: str) -> tuple[Architecture, ExponentTable]:
    net = with_init(resmoe(inputs=10, outputs=1, activation="tanh"), router="zero")
    return net, derive(net, "sgd", regime=Regime({**REGIMES[regime], "L": 0}))


def deep(depth: int, *, ratio: float = 1.0, noise: float = 0.0, published: bool = True) -> Problem:
    """Blocks behind branches of 1/L, learned at rates that grow with L as derived.

    Args:
        depth: L.
        ratio: m/n of the limit without noise (regime III, where E grows).
        noise: n/(m E), which stays where E does not grow; one expert. Zero: none.
        published: experts' last weights start with the deviation n^(1/2)/m, else with m^(-1/2).
    """
    n, e = 64, 1 if noise else 8
    m = round(n / noise) if noise else round(ratio * n)
    std = {"embed": 10**-0.5, "router": 0.0, "up": n**-0.5, "down": n**0.5 / m if published else m**-0.5, "readout": 1 / n}
    unit = {"embed": n / 10, "router": e / n, "up": e * m / n, "down": e * n / m, "readout": 1 / n}
    rates = {w: 0.25 * unit[w] * (depth * {"router": 4, "up": 2, "down": 2}[w] if w in INSIDE else 1) for w in unit}
    weights = {w: WeightConstants(learning_rate=rates[w], init_std=std[w]) for w in std}
    net, table = _table("I" if noise else "III")
    constants = Constants(weights, 1.0, {"aggregate": 1 / e, "branch": 4 / depth})
    return Problem(net, *sphere(), STEPS, constants, table=table, base={"n": n, "m": m, "E": e, "L": depth})


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Limits with and without noise at growing depth, and networks of two expert widths."""
    size, limits = PRESETS[preset], {}
    for depth in size.depths:
        for name, noise in (("none", 0.0), ("alpha", ALPHA * depth), ("fixed", ALPHA * size.depths[0])):
            progress(f"deep: {depth} blocks, {name}")
            limits[name, depth] = _solve(deep(depth, noise=noise), size)
    beside = {}
    for published in (True, False):
        for ratio in RATIOS:
            problem = deep(size.depths[1], ratio=ratio, published=published)
            name = f"{'three-level' if published else 'muP'}, m/n = {ratio:g}"
            progress(f"deep: {name}")
            beside[name] = _beside(name, problem, size, store_home, progress, engine)
    noisy = _beside("alpha", deep(size.depths[1], noise=ALPHA * size.depths[1]), size, store_home, progress, engine)
    beside["alpha"] = noisy
    untested = preset == "smoke"
    claims = (_noise_claim(limits, size, untested), _ratio_claim(beside, untested), _network_claim(noisy, limits, size, untested))
    table = pd.DataFrame([{"case": name, "depth": d, "distance": _distance(limits, name, d)} for name, d in limits])
    return Result(FIGURE, claims, draw(limits, beside, size, out / "deep"), {"distances": table})


def _solve(problem: Problem, size: Size) -> Solution:
    return solve(problem, particles=size.particles, replicates=6, error=1e-3)


def _beside(name: str, problem: Problem, size: Size, home: Path, progress: Progress, engine: Engine | None) -> Beside:
    seeds = dict.fromkeys(size.widths, size.seeds)
    found = networks(problem, seeds, Store(home), case=f"deep, {name}", progress=progress, device=size.device, engine=engine)
    limit = _solve(problem, size)
    return Beside(name, limit, found, "", limit.loss, FIGURE)


def _distance(limits: dict[tuple[str, int], Solution], name: str, depth: int) -> float:
    """The largest difference between the losses of a limit and of that without noise."""
    return float(np.abs(limits[name, depth].loss.value - limits["none", depth].loss.value).max())


def _noise_claim(limits: dict[tuple[str, int], Solution], size: Size, untested: bool) -> Claim:
    first, last = size.depths[0], size.depths[-1]
    kept, lost = (_distance(limits, name, last) / _distance(limits, name, first) for name in ("alpha", "fixed"))
    return Claim(
        f"{FIGURE}/noise",
        f"At fixed alpha the noise of initial experts stays: its effect on the loss at {last} blocks over that at {first}",
        SOURCE,
        "published",
        1.0,
        0.3,
        "terms of 1/L at the smallest depth; sampling errors of some per cent",
        Control("the width of experts fixed, so that alpha falls as 1/L", lost),
        None if untested else kept,
        on_record="reproduced",
    )


def _apart(beside: dict[str, Beside], name: str) -> float:
    """The largest distance between networks of two expert widths, extrapolated, in standard errors."""
    (a, error), (b, other) = (beside[f"{name}, m/n = {ratio:g}"].extrapolated() for ratio in RATIOS)
    return float((np.abs(a - b) / np.hypot(error, other)).max())


def _ratio_claim(beside: dict[str, Beside], untested: bool) -> Claim:
    return Claim(
        f"{FIGURE}/ratio",
        "Without noise and with last weights of n^(1/2)/m, networks with m/n = 1/4 and 1, extrapolated, agree: standard errors",
        SOURCE,
        "published",
        4.0,
        0.0,
        "the largest of a dozen dependent normal numbers",
        Control("last weights of m^(-1/2), as under muP", _apart(beside, "muP")),
        None if untested else _apart(beside, "three-level"),
        relation="<=",
        unit="errors",
        on_record="reproduced",
    )


def _network_claim(noisy: Beside, limits: dict[tuple[str, int], Solution], size: Size, untested: bool) -> Claim:
    return Claim(
        f"{FIGURE}/networks",
        f"Networks of {size.depths[1]} blocks with alpha = {ALPHA:g}, extrapolated, have the loss of the limit: standard errors",
        "widelimit.dmft.experts",
        "prediction",
        4.0,
        0.0,
        "the largest of a dozen dependent normal numbers",
        Control("the limit without noise", noisy.miss(limits["none", size.depths[1]].loss)),
        None if untested else noisy.miss(noisy.limit.loss),
        relation="<=",
        unit="errors",
    )


def draw(limits: dict[tuple[str, int], Solution], beside: dict[str, Beside], size: Size, stem: Path) -> tuple[Path, Path]:
    """Losses with and without noise by depth, and networks of two expert widths beside their limits."""
    figure, axes = panels(1, 2, width=3.4, height=2.8)
    styles = dict(zip(size.depths, ("-", "--", ":", "-."), strict=False))
    with styled():
        left, right = axes.flat
        for (name, depth), found in limits.items():
            colour = {"none": BLUE, "alpha": RED, "fixed": QUIET}[name]
            text = {"none": "no noise", "alpha": "alpha fixed", "fixed": "n/(m E) fixed"}[name]
            left.plot(found.steps, found.loss.value, styles[depth], color=colour, lw=1.2, label=f"{text}, L = {depth}")
        left.set(title="Limits", xlabel="step", ylabel="loss", yscale="log")
        colours = (BLUE, GREEN, ORANGE, RED)
        for (name, one), colour in zip(((n, b) for n, b in beside.items() if n != "alpha"), colours, strict=True):
            right.plot(one.limit.steps, one.limit.loss.value, color=colour, lw=1.2, label=name)
            right.plot(one.beside.steps, one.extrapolated()[0], "o", ms=3, color=colour, mec="white", mew=0.3)
        right.set(title="Networks, extrapolated", xlabel="step", ylabel="loss", yscale="log")
        for ax in (left, right):
            ax.legend(labelcolor=INK, fontsize=5.5)
        letter(list(axes.flat))
    return save(figure, stem)
