"""The law of a finite network, not only its limit: n particles with exact conditioning are distributed as a network of width n.

So the solver predicts how much losses differ between initialisations. Particles that are not conditioned have another law.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Settings, run
from ...figures.style import BLUE, INK, RED, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import networks
from .problems import perceptron

FIGURE, SOURCE = "dmft/law", "widelimit.dmft.edge (Gaussian conditioning)"
DRAWS = 400


@dataclass(frozen=True)
class Size:
    """How many particles, networks, replicates and steps."""

    width: int = 64
    seeds: int = 2000
    steps: int = 15
    device: str = "cpu"


PRESETS = {"smoke": Size(32, 60, 4), "laptop": Size(), "gpu": Size(128, 8000, 30, "cuda")}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Losses of networks and of particle systems, at several steps."""
    size, rows, claims, drawn = PRESETS[preset], [], [], {}
    for activation in ("tanh", "relu"):
        problem = perceptron(activation, steps=size.steps)
        progress(f"law: {size.seeds} systems of {size.width} particles, {activation}")
        particles = _losses(problem, size.width, size.seeds)
        double = _losses(problem, 2 * size.width, size.seeds // 2)
        seeds = {size.width: size.seeds}
        found = networks(problem, seeds, Store(store_home), case=f"law {activation}", progress=progress, device=size.device, engine=engine)
        finite = found.losses[size.width]
        drawn[activation] = (found.steps, finite, particles)
        ratio, interval = _ratio(particles, finite)
        wrong = _ratio(double, finite)
        text = f"{size.width} particles spread as networks of width {size.width} do ({activation}): ratio of deviations, mean over steps"
        claims.append(
            Claim(
                f"{FIGURE}/{activation}",
                text,
                SOURCE,
                "prediction",
                1.0,
                0.08,
                "the deviation of 2000 long-tailed losses is known to 3 %",
                Control("twice as many particles", *wrong),
                None if preset == "smoke" else ratio,
                None if preset == "smoke" else interval,
            )
        )
        deviations = {"networks": finite.std(0, ddof=1), "particles": particles.std(0, ddof=1), "networks mean": finite.mean(0)}
        rows.append(pd.DataFrame({"activation": activation, "step": found.steps, **deviations, "particles mean": particles.mean(0)}))
    return Result(FIGURE, tuple(claims), draw(drawn, out / "law"), {"deviations": pd.concat(rows, ignore_index=True)})


def _losses(problem, width: int, seeds: int) -> np.ndarray:
    found = run(problem, Settings(width, noise="random", cut=1e-10, dtype="float64"), range(seeds))
    return ((problem.values - found.train) ** 2).sum(-1).mean(-1) / 2


def _ratio(a: np.ndarray, b: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Of deviations: the geometric mean over the first two thirds of the steps, where losses are not tiny; bootstrap over seeds."""
    last = 1 + 2 * a.shape[1] // 3
    rng = np.random.default_rng(3)

    def ratio(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.exp(np.mean(np.log(x[:, :last].std(0, ddof=1) / y[:, :last].std(0, ddof=1)))))

    pick = lambda x: x[rng.integers(len(x), size=len(x))]  # noqa: E731
    draws = [ratio(pick(a), pick(b)) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return ratio(a, b), (float(low), float(high))


def draw(drawn: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], stem: Path) -> tuple[Path, Path]:
    """Means and quantiles of both."""
    figure, axes = panels(1, 2, width=3.4, height=2.7)
    with styled():
        for ax, (activation, (steps, finite, particles)) in zip(axes.flat, drawn.items(), strict=True):
            low, high = np.quantile(finite, [0.1, 0.9], axis=0)
            ax.fill_between(steps, low, high, color=BLUE, alpha=0.25, lw=0, label="networks, 10 to 90 %")
            ax.plot(steps, np.median(finite, 0), color=BLUE, label="networks, median")
            for q, style in ((0.1, ":"), (0.5, "-"), (0.9, ":")):
                ax.plot(steps, np.quantile(particles, q, axis=0), style, color=RED, lw=1.1, label="particles" if q == 0.5 else None)
            ax.set(title=activation, xlabel="step", ylabel="loss", yscale="log")
            ax.legend(labelcolor=INK)
        letter(axes.flat)
    return save(figure, stem)
