"""Options of the solver beside networks: momentum, a schedule, decay, batches, another loss, residual branches, Adam, signs of gradients.

Two widths n and 2n extrapolate the mean over initialisations to infinite width, ``2 m(2n) - m(n)``, where the first correction is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Problem, Rule, Settings, Solution, solve
from ...dmft.solution import Curve
from ...figures.style import BLUE, INK, ORANGE, QUIET, RED, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ...theory.constants import Constants
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import Networks, networks
from .problems import find_problem
from .telling import telling

FIGURE, SOURCE = "dmft/variants", "widelimit.dmft; arXiv 2205.09653, Tensor Programs IVb (arXiv 2308.01814)"


@dataclass(frozen=True)
class Size:
    """What is trained.

    Args:
        width: n of the two widths n and 2n.
        seeds: networks of each.
        error: of the limits, as a part of the first loss.
        names: of the problems.
        device: where networks are trained.
    """

    width: int = 128
    seeds: int = 192
    error: float = 1e-3
    names: tuple[str, ...] = ("momentum", "nesterov", "decay", "minibatch", "logistic", "resnet", "adam", "sign")
    device: str = "cpu"


PRESETS = {
    "smoke": Size(32, 16, 1e-2, ("momentum", "minibatch")),
    "laptop": Size(),
    "gpu": Size(512, 512, 3e-4, device="cuda"),
}


def _without_momentum(p: Problem) -> Problem:
    return replace(p, rule=Rule())


def _without_schedule(p: Problem) -> Problem:
    return replace(p, schedule=None)


def _without_decay(p: Problem) -> Problem:
    assert p.constants is not None
    return p.with_constants(p.constants.with_weights(weight_decay=0.0))


def _all_samples(p: Problem) -> Problem:
    return replace(p, index=None)


def _half_rate(p: Problem) -> Problem:
    constants: Constants | None = p.constants
    assert constants is not None
    return p.with_constants(constants.with_rate(constants.learning_rate / 2))


SWITCHED: dict[str, tuple[str, Callable[[Problem], Problem] | None]] = {
    "momentum": ("without momentum", _without_momentum),
    "nesterov": ("at a constant rate", _without_schedule),
    "decay": ("without decay", _without_decay),
    "minibatch": ("with all samples in every step", _all_samples),
    "resnet": ("without response terms", None),
}  # else at half the rate


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Solve and train every problem."""
    size, found = PRESETS[preset], []
    for name in size.names:
        problem, told = find_problem(name).make(), telling(progress, f"{name}: ")
        scale = {"sign": 10.0, "adam": 4.0}.get(name, 1.0)  # they cost more than the others
        limit = solve(problem, error=size.error * scale, progress=told)
        seeds = dict.fromkeys((size.width, 2 * size.width), size.seeds)
        beside = networks(problem, seeds, Store(store_home), case=name, progress=progress, device=size.device, engine=engine)
        found.append(Beside(name, limit, beside, *_control(problem, name)))
    claims = tuple(one.claim(untested=preset == "smoke") for one in found)
    table = pd.concat([one.table() for one in found], ignore_index=True)
    return Result(FIGURE, claims, draw(found, out / "variants"), {"losses": table})


def _control(problem: Problem, name: str) -> tuple[str, Curve]:
    """The limit of another problem: the option switched off."""
    what, switch = SWITCHED.get(name, ("at half the rate", _half_rate))
    settings = Settings(dtype="float32", responds=switch is not None)
    other = solve(switch(problem) if switch else problem, settings=settings, particles=1024, replicates=4)
    return what, other.loss


@dataclass(frozen=True, eq=False)
class Beside:
    """A limit, networks, and the limit of the control."""

    name: str
    limit: Solution
    beside: Networks
    what: str
    control: Curve
    figure: str = FIGURE

    def extrapolated(self) -> tuple[np.ndarray, np.ndarray]:
        """``2 m(2n) - m(n)`` at the networks' steps, and its standard error."""
        (first, second) = (self.beside.losses[n] for n in sorted(self.beside.losses)[-2:])
        error = lambda losses: losses.std(0, ddof=1) / len(losses) ** 0.5  # noqa: E731
        return 2 * second.mean(0) - first.mean(0), np.hypot(2 * error(second), error(first))

    def miss(self, curve: Curve) -> float:
        """The largest distance from a limit, in standard errors of both."""
        mean, error = self.extrapolated()
        theirs, here = self.beside.common(self.limit.steps[: len(curve.value)])
        both = np.hypot(error[here], np.hypot(curve.error, curve.bias)[theirs])
        return float((np.abs(mean[here] - curve.value[theirs]) / np.maximum(both, 1e-12))[theirs > 0].max())

    def claim(self, *, untested: bool) -> Claim:
        """Networks, extrapolated, agree with the limit."""
        text = f"Networks of two widths, extrapolated, have the loss of the limit ({self.name}): largest distance in standard errors"
        reason = "the largest of some 20 dependent normal numbers; terms beyond 1/n are smaller than the error"
        own = None if untested else self.miss(self.limit.loss)
        control = Control(f"the limit {self.what}", self.miss(self.control))
        return Claim(f"{self.figure}/{self.name}", text, SOURCE, "prediction", 4.0, 0.0, reason, control, own, relation="<=", unit="errors")

    def table(self) -> pd.DataFrame:
        """Losses at the common steps."""
        mean, error = self.extrapolated()
        theirs, here = self.beside.common(self.limit.steps)
        columns = {"limit": self.limit.loss.value[theirs], "limit error": self.limit.loss.error[theirs], "networks": mean[here]}
        return pd.DataFrame({"problem": self.name, "step": self.limit.steps[theirs], **columns, "networks error": error[here]})


def draw(found: list[Beside], stem: Path) -> tuple[Path, Path]:
    """One panel for every problem."""
    columns = min(4, len(found))
    figure, axes = panels(-(-len(found) // columns), columns, width=2.5, height=2.2)
    with styled():
        for ax, one in zip(axes.flat, found, strict=False):
            narrow, wide = sorted(one.beside.losses)[-2:]
            for width, colour in ((narrow, QUIET), (wide, BLUE)):
                ax.plot(
                    one.beside.steps, one.beside.losses[width].mean(0), "o", ms=3, color=colour, mec="white", mew=0.3, label=f"n = {width}"
                )
            ax.plot(one.limit.steps, one.limit.loss.value, color=RED, lw=1.4, label="limit", zorder=0)
            ax.plot(
                one.limit.steps[: len(one.control.value)],
                one.control.value,
                "--",
                color=ORANGE,
                lw=1.0,
                label=f"limit {one.what}",
                zorder=0,
            )
            ax.set(title=one.name, xlabel="step", ylabel="loss", yscale="log")
            ax.legend(labelcolor=INK, fontsize=5.5)
        for ax in list(axes.flat)[len(found) :]:
            ax.set_visible(False)
        letter(list(axes.flat)[: len(found)])
    return save(figure, stem)
