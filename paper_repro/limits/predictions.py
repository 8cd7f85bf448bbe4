"""What networks say, sample by sample, beside the limit: training samples and others that are not learned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Problem, Settings, Solution, solve
from ...dmft.solution import Curve
from ...figures.fit import Slope, fit_slope
from ...figures.style import BLUE, INK, QUIET, RED, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import Networks, networks
from .problems import perceptron
from .telling import telling

FIGURE, SOURCE = "dmft/predictions", "arXiv 2205.09653; widelimit.dmft"
GROUPS = 8


@dataclass(frozen=True)
class Size:
    """What is trained.

    Args:
        seeds: networks of every width; the two widest extrapolate the mean.
        error: of the limit's loss.
        steps: of training.
        test: samples that are not learned.
        device: where networks are trained.
    """

    seeds: dict[int, int] = field(default_factory=lambda: {32: 256, 64: 256, 128: 512, 256: 512})
    error: float = 1e-3
    steps: int = 20
    test: int = 3
    device: str = "cpu"


PRESETS = {
    "smoke": Size({32: 40, 64: 40}, 1e-2, 5),
    "laptop": Size(),
    "gpu": Size({32: 2000, 64: 2000, 128: 2000, 256: 2000, 512: 1000, 1024: 1000}, 3e-4, 50, device="cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Solve, train, and compare every prediction."""
    size, found = PRESETS[preset], {}
    for activation in ("tanh", "relu"):
        problem = replace(perceptron(activation, steps=size.steps), test=_unseen(size.test))
        limit = solve(problem, error=size.error, progress=telling(progress, f"{activation}: "))
        alone = solve(problem, particles=1024, settings=Settings(responds=False, dtype="float32"))
        store = Store(store_home)
        beside = networks(
            problem, size.seeds, store, case=activation, progress=progress, device=size.device, engine=engine, predictions=True
        )
        found[activation] = Said(activation, problem, limit, alone, beside)
    claims = tuple(claim for one in found.values() for claim in one.claims(untested=preset == "smoke"))
    tables = pd.concat([one.table() for one in found.values()], ignore_index=True)
    return Result(FIGURE, claims, draw(list(found.values()), out / "predictions"), {"predictions": tables})


def _unseen(count: int, inputs: int = 10) -> np.ndarray:
    """Points on the sphere of the training samples."""
    x = np.random.default_rng([0, 23]).standard_normal((count, inputs))
    return x * inputs**0.5 / np.linalg.norm(x, axis=1, keepdims=True)


def _all(solution: Solution) -> Curve:
    """Predictions of training and test samples, (record, sample)."""
    assert solution.test is not None
    both = solution.predictions, solution.test
    join = lambda name: np.concatenate([getattr(c, name)[..., 0] for c in both], 1)  # noqa: E731
    return Curve(join("value"), join("error"), join("bias"), both[0].replicates)


@dataclass(frozen=True, eq=False)
class Said:
    """A limit, the limit without response terms, and networks."""

    name: str
    problem: Problem
    limit: Solution
    alone: Solution
    beside: Networks

    def single(self, curve: Curve) -> Slope:
        """How the root mean square distance of one network's predictions from a limit falls, groups of seeds standing for seeds."""
        theirs, here = self.beside.common(self.limit.steps)
        widths, off = sorted(self.beside.predictions), lambda f: ((f[:, here] - curve.value[theirs]) ** 2).mean((1, 2))
        groups = [[g.mean() ** 0.5 for g in np.array_split(off(self.beside.predictions[n]), GROUPS)] for n in widths]
        return fit_slope(widths, np.array(groups).T)

    def extrapolated(self) -> tuple[np.ndarray, np.ndarray]:
        """``2 m(2n) - m(n)`` of the two widest and its standard error, (record, sample)."""
        first, second = (self.beside.predictions[n] for n in sorted(self.beside.predictions)[-2:])
        error = lambda f: f.std(0, ddof=1) / len(f) ** 0.5  # noqa: E731
        return 2 * second.mean(0) - first.mean(0), np.hypot(2 * error(second), error(first))

    def miss(self, curve: Curve) -> float:
        """The largest distance of the extrapolated mean from a limit, in standard errors of both."""
        (mean, error), (theirs, here) = self.extrapolated(), self.beside.common(self.limit.steps)
        both = np.hypot(error[here], np.hypot(curve.error, curve.bias)[theirs])
        return float((np.abs(mean[here] - curve.value[theirs]) / np.maximum(both, 1e-12))[theirs > 0].max())

    def claims(self, *, untested: bool) -> list[Claim]:
        """The mean agrees, and one network's distance falls."""
        limit, alone, keep = _all(self.limit), _all(self.alone), not untested
        right, wrong = self.single(limit), self.single(alone)
        what = f"predictions of {limit.value.shape[1]} samples, {self.problem.test.shape[0] if self.problem.test is not None else 0} unseen"
        return [
            Claim(
                f"{FIGURE}/{self.name}-mean",
                f"Two widths, extrapolated, predict what the limit does ({self.name}; {what}): largest distance in standard errors",
                SOURCE,
                "prediction",
                4.0,
                0.0,
                "the largest of some 140 dependent normal numbers",
                Control("the limit without response terms", self.miss(alone)),
                self.miss(limit) if keep else None,
                relation="<=",
                unit="errors",
            ),
            Claim(
                f"{FIGURE}/{self.name}-single",
                f"One network's predictions come to the limit as n^-1/2 ({self.name})",
                SOURCE,
                "prediction",
                -0.5,
                0.06,
                "terms of order 1/n bend the line at width 32",
                Control("against the limit without response terms", wrong.value, (wrong.low, wrong.high)),
                right.value if keep else None,
                (right.low, right.high) if keep else None,
            ),
        ]

    def table(self) -> pd.DataFrame:
        """The limit and the extrapolated mean, sample by sample."""
        limit, (mean, error), (theirs, here) = _all(self.limit), self.extrapolated(), self.beside.common(self.limit.steps)
        samples = limit.value.shape[1]
        columns = {"limit": limit.value[theirs], "limit error": limit.error[theirs], "networks": mean[here], "networks error": error[here]}
        flat = {name: values.ravel() for name, values in columns.items()}
        place = {"step": np.repeat(self.limit.steps[theirs], samples), "sample": np.tile(np.arange(samples), len(theirs))}
        return pd.DataFrame({"activation": self.name, **place, **flat})


def draw(found: list[Said], stem: Path) -> tuple[Path, Path]:
    """Predictions against steps: the limit as lines, networks of the smallest and the greatest width as bands."""
    figure, axes = panels(1, 2 * len(found), width=2.5, height=2.4)
    with styled():
        for row, one in enumerate(found):
            curve, learned = _all(one.limit).value, len(one.problem.inputs)
            narrow, wide = min(one.beside.predictions), max(one.beside.predictions)
            for column, samples in enumerate((range(learned), range(learned, curve.shape[1]))):
                ax = axes[0, 2 * row + column]
                for n, colour in ((narrow, QUIET), (wide, BLUE)):
                    low, high = np.quantile(one.beside.predictions[n], [0.1, 0.9], axis=0)
                    for i in samples:
                        label = f"n = {n}, 10 to 90 %" if i == samples[0] else None
                        ax.fill_between(one.beside.steps, low[:, i], high[:, i], color=colour, alpha=0.35, lw=0, label=label)
                for i in samples:
                    ax.plot(one.limit.steps, curve[:, i], color=RED, lw=1.2, label="limit" if i == samples[0] else None)
                ax.set(title=f"{one.name}, {'learned' if column == 0 else 'unseen'}", xlabel="step", ylabel="prediction")
        axes.flat[0].legend(labelcolor=INK, fontsize=6)
        letter(axes.flat)
    return save(figure, stem)
