"""Error of infinite-width losses against CPU seconds: this solver, the classical alternating Monte Carlo, wide networks.

Two hidden tanh layers, full-batch gradient descent, points on a sphere. An error is the largest over all steps of the training loss;
the reference has eight replicates of 8192 particles and keys of its own. The classical method is judged twice: against exact gradient
descent, which is what users simulate, and against the solution of its own equations, which follow the tangent kernel by Euler steps (its
mean over the last third of the iterations). CPU seconds are those of a second call in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...dmft import Problem, Settings, solve
from ...dmft.alternating import alternate
from ...figures.style import BLUE, GREEN, INK, ORANGE, letter, panels, save, styled
from ...synthetic import train
from ...synthetic.engines import Engine
from ...theory.zoo import mlp
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import plan
from .problems import rich, sphere

FIGURE, SOURCE = "dmft/cost", "widelimit.dmft; the alternating method of arXiv 2205.09653"
ITERATIONS = 12
OURS, CLASSICAL, NETWORK = "causal sweep", "alternating", "one network"
COLOURS = {OURS: BLUE, CLASSICAL: ORANGE, NETWORK: GREEN}


@dataclass(frozen=True)
class Size:
    """What is timed.

    Args:
        cases: samples, steps, and the draws of the classical method.
        particles: of our solver, eight replicates each: less exact than what it settles on by itself.
        errors: that our solver is asked for.
        widths: of networks.
    """

    cases: tuple[tuple[int, int, tuple[int, ...]], ...] = ((4, 15, (125, 500)), (4, 25, (250,)))
    particles: tuple[int, ...] = (64, 256)
    errors: tuple[float, ...] = (1e-3,)
    widths: tuple[int, ...] = (256, 1024)


_LARGER = ((4, 15, (125, 500, 2000)), (4, 25, (500, 2000)), (4, 50, (500,)), (10, 15, (500,)), (10, 50, ()))
PRESETS = {
    "smoke": Size(((2, 4, (50,)),), (64,), (1e-2,), (64,)),
    "laptop": Size(),
    "gpu": Size(_LARGER, (64, 256, 1024), (1e-2, 1e-3, 3e-4), (256, 1024, 4096)),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Time everything; nothing of it is kept, since seconds belong to one run."""
    del store_home, engine
    size, rows = PRESETS[preset], []
    for samples, steps, draws in size.cases:
        for row in measure(samples, steps, draws=draws, particles=size.particles, errors=size.errors, widths=size.widths):
            progress(f"cost: P = {samples}, T = {steps}: {row['method']} {row['setting']}, {row['CPU seconds']:.2f} CPU s")
            rows.append(row)
    table = pd.DataFrame(rows)
    return Result(FIGURE, make_claims(table, untested=preset == "smoke"), draw(table, out / "cost"), {"cost": table})


def task(samples: int, steps: int, rate: float = 0.5) -> Problem:
    """The benchmark's problem."""
    net = mlp(hidden=2, inputs=10, outputs=1, activation="tanh", base=1)
    return Problem(net, *sphere(samples=samples), steps, rich(net, learning_rate=rate))


def measure(
    samples: int, steps: int, *, draws: tuple[int, ...], particles: tuple[int, ...], errors: tuple[float, ...], widths: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """Rows of one size: method, setting, error, error against its own equations, CPU seconds, seconds to compile."""
    problem = task(samples, steps)
    exact = solve(problem, particles=8192, settings=Settings(dtype="float32")).loss.value
    off = lambda loss: float(np.nanmax(np.abs(loss - exact)))  # noqa: E731
    place = {"samples": samples, "steps": steps}
    for count in particles:
        small = partial(solve, problem, particles=count, key=1, settings=Settings(dtype="float32"))
        found, seconds, first = timed(small)
        yield place | _row(OURS, f"{count} x {found.stats['replicates']}", off(found.loss.value), seconds, first)
    for error in errors:
        found, seconds, first = timed(lambda error=error: solve(problem, error=error, key=1, throw=False))
        setting = f"error {error:g}: {found.stats['particles']} x {found.stats['replicates']}"
        yield place | _row(OURS, setting, off(found.loss.value), seconds, first) | {"asked": error}
    for count in draws:
        start = time.process_time()
        alternate(problem, samples=count, iterations=1)
        middle = time.process_time()
        found = alternate(problem, samples=count, iterations=ITERATIONS)
        seconds = time.process_time() - middle
        own = float(np.abs(found.loss[-1] - found.loss[-ITERATIONS // 3 :].mean(0)).max())
        first = max(0.0, middle - start - seconds / ITERATIONS)
        yield place | _row(CLASSICAL, f"{count} draws", off(found.loss[-1]), seconds, first) | {"own equations": own}
    for width in widths:
        found, seconds, first = timed(lambda width=width: _network(problem, width))
        yield place | _row(NETWORK, f"width {width}", off(found), seconds, first)


def _row(method: str, setting: str, error: float, seconds: float, first: float) -> dict[str, Any]:
    return {"method": method, "setting": setting, "error": error, "CPU seconds": seconds, "compile seconds": first}


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returns, CPU seconds of the second call, and how many more the first took."""
    seconds = []
    for _ in range(2):
        start = time.process_time()
        found = call()
        seconds.append(time.process_time() - start)
    return found, seconds[1], max(0.0, seconds[0] - seconds[1])


def _network(problem: Problem, width: int) -> np.ndarray:
    """The loss of one wide network."""
    (ensemble,) = plan(problem, {width: 1}, case="benchmark").ensembles
    frame = train(ensemble)
    rows = frame[frame["term"] == "train loss"]
    found = np.full(problem.steps + 1, np.nan)
    found[rows["step"].to_numpy()] = rows["value"]
    return found


def make_claims(table: pd.DataFrame, *, untested: bool) -> tuple[Claim, ...]:
    """The cheapest of our solves that is at least as exact as the classical method, and whether errors are what was asked for."""
    classical = table[table["method"] == CLASSICAL].iloc[-1]  # of the largest size
    here = table[(table["samples"] == classical["samples"]) & (table["steps"] == classical["steps"])]
    seconds = _cheapest(here, OURS, classical["own equations"])
    network = _cheapest(here, NETWORK, classical["own equations"])
    size = f"{classical['samples']} samples, {classical['steps']} steps"
    ours = table[(table["method"] == OURS) & table["asked"].notna()]
    pilot = np.abs(_pilot(int(ours["samples"].min()), int(ours["steps"].max()))).max() / ours["asked"].min()
    keep = not untested
    return (
        Claim(
            f"{FIGURE}/ratio",
            "The alternating method takes more than fifty times the CPU seconds that we need for an error like its own against its own "
            f"equations ({size})",
            SOURCE,
            "prediction",
            50.0,
            0.0,
            "seconds of two runs on a shared machine differ by a third; against gradient descent its error is larger",
            Control("one wide network in its place", network / seconds),
            classical["CPU seconds"] / seconds if keep else None,
            relation=">=",
            unit="times",
        ),
        Claim(
            f"{FIGURE}/accuracy",
            "The error of a solve, as a part of the bound that was asked for (the greatest of all)",
            SOURCE,
            "prediction",
            1.0,
            1.0,
            "the bound is one standard error and the bias; two standard errors are common among so many steps and solves",
            Control("256 particles, whatever the bound", float(pilot)),
            float((ours["error"] / ours["asked"]).max()) if keep else None,
            relation="<=",
            unit="bounds",
        ),
    )


def _cheapest(rows: pd.DataFrame, method: str, error: float) -> float:
    """CPU seconds of the cheapest setting with an error of at most this; of the most exact, where none has."""
    own = rows[rows["method"] == method]
    good = own[own["error"] <= error]
    return float((good["CPU seconds"] if len(good) else own.nsmallest(1, "error")["CPU seconds"]).min())


def _pilot(samples: int, steps: int) -> np.ndarray:
    """Error of one replicate of 256 particles."""
    problem = task(samples, steps)
    exact = solve(problem, error=1e-3).loss.value
    return solve(problem, particles=256, replicates=1, key=3).loss.value - exact


def draw(table: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Error against seconds, one panel for every size."""
    sizes = list(table.groupby(["samples", "steps"], sort=False))
    figure, axes = panels(1, len(sizes), width=2.9, height=2.6)
    with styled():
        for ax, (place, rows) in zip(axes.flat, sizes, strict=True):
            for method, own in rows.groupby("method", sort=False):
                ax.plot(own["CPU seconds"], own["error"], "o-", color=COLOURS[str(method)], ms=4.5, mec="white", lw=1.0, label=str(method))
            classical = rows[rows["method"] == CLASSICAL]
            if len(classical):
                own, label = classical["own equations"], "alternating, against its own equations"
                ax.plot(classical["CPU seconds"], own, "o", ms=4.5, mfc="none", mec=ORANGE, label=label)
            ax.set(title=f"{place[0]} samples, {place[1]} steps", xlabel="CPU seconds", ylabel="largest error of the loss")
            ax.set(xscale="log", yscale="log")
        axes.flat[0].legend(labelcolor=INK, fontsize=6.5)
        letter(axes.flat)
    return save(figure, stem)
