"""Real inputs: 48 of scikit-learn's digits in ten classes, cross-entropy, batches of 16; networks of several widths beside the limit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Solution, solve
from ...figures.fit import Slope, fit_slope
from ...figures.style import INK, LIMIT, QUIET, colours, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ...synthetic.tasks import digits
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import Networks, networks
from .laws import PowerLaw, fit_bias
from .problems import pixels
from .telling import telling

FIGURE, SOURCE = "dmft/digits", "widelimit.dmft; arXiv 2304.03408"


@dataclass(frozen=True)
class Size:
    """Samples, steps, networks, accuracy."""

    samples: int = 48
    steps: int = 60
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    seeds: int = 32
    error: float = 1e-2
    device: str = "cpu"


PRESETS = {
    "smoke": Size(16, 6, (32, 64), 4, 0.1),
    "laptop": Size(),
    "gpu": Size(64, 200, (32, 64, 128, 256, 512, 1024, 2048, 4096), 64, 3e-3, "cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Solve, train, compare."""
    size = PRESETS[preset]
    problem = pixels(samples=size.samples, steps=size.steps)
    limit = solve(problem, error=size.error, at=(0, size.steps), progress=telling(progress, "digits: "))
    seeds = dict.fromkeys(size.widths, size.seeds)
    beside = networks(problem, seeds, Store(store_home), case="digits", progress=progress, device=size.device, engine=engine)
    slow = solve(pixels(samples=size.samples, steps=size.steps, rate=0.8), particles=512, replicates=4).loss.value
    accuracy = _accuracy(limit, size)
    found = make_claims(limit, beside, slow, untested=preset == "smoke")
    table = pd.DataFrame({"step": limit.steps, "limit": limit.loss.value, "error": limit.loss.error, "test accuracy": accuracy})
    return Result(FIGURE, found, draw(limit, beside, accuracy, out / "digits", size), {"limit": table})


def make_claims(limit: Solution, beside: Networks, slow: np.ndarray, *, untested: bool) -> tuple[Claim, ...]:
    """How much networks differ from each other, and their mean from the limit."""
    spread = _spread(beside)
    mean, wrong = (_gap(loss, limit, beside) for loss in (limit.loss.value, slow))
    give = lambda value: None if untested else value  # noqa: E731
    return (
        Claim(
            f"{FIGURE}/spread",
            "Losses differ between initialisations by n^-1/2",
            SOURCE,
            "prediction",
            -0.5,
            0.1,
            "deviations of a few networks in each of eight groups; 1/n terms at width 32",
            Control("the rate of the mean in its place", expected=-1.0),
            give(spread.value),
            give((spread.low, spread.high)),
        ),
        Claim(
            f"{FIGURE}/mean",
            "The mean over initialisations is off by 1/n at the last step",
            SOURCE,
            "prediction",
            -1.0,
            0.2,
            "terms of order 1/n^2 are a tenth at width 32; the limit is known to a tenth of the distance at 512",
            Control("from the limit of four fifths of the rate", wrong.power, wrong.interval),
            give(mean.power),
            give(mean.interval),
        ),
    )


def _spread(beside: Networks) -> Slope:
    """The standard deviation, largest over the steps, in eight groups of networks."""
    rows = [[g.std(0, ddof=1).max() for g in np.array_split(own, max(1, min(8, len(own) // 2)))] for own in beside.losses.values()]
    return fit_slope(sorted(beside.losses), np.array(rows).T)


def _gap(loss: np.ndarray, limit: Solution, beside: Networks) -> PowerLaw:
    """How the mean of the last step approaches a loss."""
    last = [own[:, -1] for own in beside.losses.values()]
    errors = [np.hypot(own.std(ddof=1) / len(own) ** 0.5, limit.loss.error[-1]) for own in last]
    return fit_bias(np.array(sorted(beside.losses)), np.array([own.mean() - loss[-1] for own in last]), np.array(errors))


def _accuracy(limit: Solution, size: Size) -> np.ndarray:
    """Of the infinite network on as many other digits."""
    assert limit.test is not None
    task = digits()
    classes = task.targets[task.train : task.train + size.samples]
    return (limit.test.value.argmax(-1) == classes).mean(-1)


def draw(limit: Solution, beside: Networks, accuracy: np.ndarray, stem: Path, size: Size) -> tuple[Path, Path]:
    """Loss curves, errors against the width, features before and after."""
    figure, axes = panels(1, 4, width=2.7, height=2.6)
    curves, errors, before, after = axes[0]
    shades = colours([float(n) for n in beside.losses])
    with styled():
        for n, own in beside.losses.items():
            for seed, row in enumerate(own[:4]):
                curves.plot(beside.steps, row, color=shades[float(n)], lw=0.6, label=None if seed else f"n = {n}")
        low, high = limit.loss.interval()
        curves.fill_between(limit.steps, low, high, color=LIMIT, alpha=0.4, lw=0)
        curves.plot(limit.steps, limit.loss.value, color=LIMIT, lw=1.6, label="limit")
        curves.set(title="Four networks a width", xlabel="step", ylabel="cross-entropy")
        curves.text(0.03, 0.05, f"test accuracy of the limit: {accuracy[-1]:.0%}", transform=curves.transAxes, fontsize=6.5, color=INK)
        widths = np.array(sorted(beside.losses), float)
        last = [own[:, -1] for own in beside.losses.values()]
        gap, spread = [own.mean() - limit.loss.value[-1] for own in last], [own.std(ddof=1) for own in last]
        for values, power, mark, label in ((spread, -0.5, "o", "spread"), (gap, -1.0, "s", "mean - limit")):
            errors.plot(widths, values, mark, color=INK, ms=4, mec="white", label=label)
            errors.plot(widths, values[0] * (widths / widths[0]) ** power, "--", color=QUIET, lw=1.0, label=f"n^{power:g}")
        errors.set(title="At the last step", xlabel="width", yscale="log")
        errors.set_xscale("log", base=2)
        order = np.argsort(digits().targets[: size.samples], kind="stable")
        for ax, step in ((before, 0), (after, size.steps)):
            kernel = limit.kernel(2, step)[np.ix_(order, order)]
            ax.imshow(kernel, cmap="RdBu_r", vmin=-1, vmax=1)
            ax.set(title=f"Features, step {step}", xticks=[], yticks=[], xlabel="digits, sorted by class")
            ax.grid(visible=False)
        for ax in (curves, errors):
            ax.legend(labelcolor=INK, fontsize=6)
        letter(axes.flat)
    return save(figure, stem)
