"""Finite networks converge to the limit: one network as n^-1/2, the mean over initialisations as 1/n.

The rates are those of the fluctuations and the first correction of dynamical mean-field theory (Bordelon and Pehlevan, arXiv 2304.03408);
the numbers of the reference run are in its Section 3 and were measured anew here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Problem, Settings, Solution, solve
from ...figures.fit import Slope, fit_slope
from ...figures.style import BLUE, INK, ORANGE, QUIET, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import Networks, networks
from .laws import PowerLaw, fit_bias
from .problems import perceptron
from .telling import telling

FIGURE, SOURCE = "dmft/convergence", "arXiv 2304.03408; arXiv 2205.09653"
STEP = 5  # of the mean's test: losses are still large and the spread is at its largest


@dataclass(frozen=True)
class Size:
    """What is trained and how exactly the limit is solved.

    Args:
        seeds: networks of every width.
        bias: widths of the mean's fit.
        error: of the limit.
        hidden: numbers of hidden layers.
        steps: of training.
        device: where networks are trained.
    """

    seeds: dict[int, int] = field(default_factory=lambda: {32: 1500, 64: 1500, 128: 1500, 256: 1500, 512: 256, 1024: 96})
    bias: tuple[int, ...] = (32, 64, 128, 256)
    error: float = 4e-4
    hidden: tuple[int, ...] = (1, 2)
    steps: int = 20
    device: str = "cpu"


_WIDE = {32: 4000, 64: 4000, 128: 4000, 256: 4000, 512: 1000, 1024: 256, 2048: 64, 4096: 16, 8192: 8}
PRESETS = {
    "smoke": Size({32: 60, 64: 60, 128: 30}, (32, 64, 128), 2e-3, (2,), 6),
    "laptop": Size(),
    "gpu": Size(_WIDE, error=1e-4, steps=50, device="cuda"),
}
CASES = {"tanh": BLUE, "relu": ORANGE}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Solve four limits, train networks of every width, and fit both rates."""
    size, found = PRESETS[preset], {}
    for activation in CASES:
        for hidden in size.hidden:
            name = f"{activation}, {hidden} hidden"
            problem = perceptron(activation, hidden=hidden, steps=size.steps)
            told = telling(progress, f"{name}: ")
            limit = solve(problem, error=size.error, progress=told)
            beside = networks(problem, size.seeds, Store(store_home), case=name, progress=progress, device=size.device, engine=engine)
            found[name] = Compared(problem, limit, beside, size)
    images = draw(found, out / "convergence")
    tables = pd.concat([one.table().assign(case=name) for name, one in found.items()], ignore_index=True)
    claims = tuple(claim for name, one in found.items() for claim in one.claims(name, untested=preset == "smoke"))
    return Result(FIGURE, claims, images, {"errors": tables})


@dataclass(frozen=True, eq=False)
class Compared:
    """A limit and the networks beside it."""

    problem: Problem
    limit: Solution
    beside: Networks
    size: Size

    def errors(self, loss: np.ndarray, width: int) -> np.ndarray:
        """``max_t |loss_n - loss|`` of every network."""
        theirs, here = self.beside.common(self.limit.steps)
        return np.abs(self.beside.losses[width][:, here] - loss[theirs]).max(1)

    def single(self, loss: np.ndarray) -> Slope:
        """How the error of one network falls; halves of the seeds stand for seeds."""
        widths = sorted(self.beside.losses)
        groups = [[g.mean() for g in np.array_split(self.errors(loss, width), 8)] for width in widths]
        return fit_slope(widths, np.array(groups).T)

    def gaps(self) -> tuple[np.ndarray, np.ndarray]:
        """At `STEP`: how far the mean is from the limit, and its standard error."""
        here = int(np.flatnonzero(self.beside.steps == STEP)[0])
        place = int(np.flatnonzero(self.limit.steps == STEP)[0])
        losses = [self.beside.losses[width][:, here] for width in self.size.bias]
        gap = np.array([own.mean() for own in losses]) - self.limit.loss.value[place]
        errors = [np.hypot(own.std(ddof=1) / len(own) ** 0.5, self.limit.loss.error[place]) for own in losses]
        return gap, np.array(errors)

    def mean(self) -> PowerLaw:
        """How the mean's distance falls."""
        return fit_bias(np.array(self.size.bias), *self.gaps())

    def without(self) -> np.ndarray:
        """The loss of the limit without response terms; of one layer, which has none, at half the richness."""
        if len(self.problem.layout.hidden):
            return solve(self.problem, settings=Settings(responds=False), particles=2048).loss.value
        constants = self.problem.constants
        assert constants is not None
        weights = {n: replace(w, learning_rate=w.learning_rate / 2) for n, w in constants.weights.items()}
        return solve(self.problem.with_constants(replace(constants, weights=weights)), particles=2048).loss.value

    def table(self) -> pd.DataFrame:
        """Errors and gaps of every width."""
        rows = [
            {"width": n, "seeds": len(own), "single": self.errors(self.limit.loss.value, n).mean()} for n, own in self.beside.losses.items()
        ]
        gap, error = self.gaps()
        return pd.DataFrame(rows).merge(pd.DataFrame({"width": self.size.bias, "gap": gap, "se": error}), how="left")

    def claims(self, name: str, *, untested: bool) -> list[Claim]:
        """Both rates."""
        slug = name.replace(", ", "-").replace(" ", "-")
        single, wrong, mean = self.single(self.limit.loss.value), self.single(self.without()), self.mean()
        what = "without response terms" if len(self.problem.layout.hidden) else "at half the rate"
        reason = "terms of order 1/n bend the line at width 32"
        keep = not untested
        return [
            Claim(
                f"{FIGURE}/{slug}-single",
                f"The largest error of one network falls as n^-1/2 ({name})",
                SOURCE,
                "prediction",
                -0.5,
                0.09,
                reason,
                Control(f"against the limit {what}", wrong.value, (wrong.low, wrong.high)),
                single.value if keep else None,
                (single.low, single.high) if keep else None,
            ),
            Claim(
                f"{FIGURE}/{slug}-mean",
                f"The mean over initialisations is off by 1/n at step {STEP} ({name})",
                SOURCE,
                "prediction",
                -1.0,
                0.35,
                "1500 networks know the distance at width 256 to a third or less",
                Control("the rate of one network in its place", expected=-0.25),
                mean.power if keep else None,
                mean.interval if keep else None,
            ),
        ]


def draw(found: dict[str, Compared], stem: Path) -> tuple[Path, Path]:
    """The error of one network, and of the mean, against the width."""
    figure, axes = panels(1, 2, width=3.6, height=2.9)
    with styled():
        for name, one in found.items():
            table, colour = one.table(), CASES[name.split(",")[0]]
            style = {"color": colour, "ms": 4.5, "mec": "white", "lw": 1.2, "ls": "-" if "2 hidden" in name else ":"}
            axes[0, 0].plot(table["width"], table["single"], marker="o", label=name, **style)
            rows = table.dropna()
            axes[0, 1].errorbar(rows["width"], rows["gap"].abs(), yerr=rows["se"], marker="o", label=name, elinewidth=0.8, **style)
        for ax, power, title in ((axes[0, 0], -0.5, "One network"), (axes[0, 1], -1.0, f"Mean over initialisations, step {STEP}")):
            x = np.array(ax.get_xlim())
            x = np.array([32.0, max(x[1], 64)])
            top = ax.get_ylim()[1] * 0.8
            ax.plot(x, top * (x / x[0]) ** power, "--", color=QUIET, lw=1.0, label=f"n^{power:g}")
            ax.set(title=title, xlabel="width", ylabel="|loss - limit|", xscale="log", yscale="log")
            ax.set_xscale("log", base=2)
            ax.legend(labelcolor=INK, fontsize=6.5)
        letter(axes.flat)
    return save(figure, stem)
