"""Cases that are solved exactly: the limit is known, and so is every gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.polynomial import Polynomial
from threadpoolctl import threadpool_limits

from ...synthetic import linear_models as linear
from ...theory import ridge
from ...theory.curves import Curves
from ...theory.modes import Modes, gaps_between, mode_gaps
from ...theory.transfer import Gaps, TransferRates
from ...theory.verdict import FAST, NONE, WEAK, judge_gaps
from .catalogue import Measured, Progress

COLUMNS = {"loss": "loss gap", "hyperparameter": "HP gap", "suboptimality": "transfer cost"}
HALF = TransferRates(0.5, 0.5, 1.0)
FLOORLESS = ("slow", "single-eigenvalue")  # their limit's loss is 0 at its optimum, where a logarithm has none
SPECTRUM, TARGET = np.arange(1, 301) ** -1.5, np.arange(1, 301) ** -0.25


@dataclass(frozen=True)
class Settings:
    """Widths, and random networks at each."""

    sizes: tuple[float, ...]
    draws: int


def _powers(low: int, high: int, step: float = 1.0) -> tuple[float, ...]:
    return tuple(float(n) for n in 2.0 ** np.arange(low, high + step / 2, step))


_DRAWN = {
    "smoke": Settings(_powers(6, 10), 16),
    "laptop": Settings(_powers(6, 12), 120),
    "gpu": Settings(_powers(6, 14), 200),
}
_DEEP = {"smoke": Settings(_powers(5, 8), 16), "laptop": Settings(_powers(5, 10), 60), "gpu": Settings(_powers(5, 12), 60)}
_SOLVED = {preset: Settings(_powers(10, 14, 0.5), 1) for preset in _DRAWN}
PRESETS = {
    "ridge": _SOLVED,
    "slow": _SOLVED,
    "shallow-linear": _DRAWN,
    "shallow-linear-growing": _DRAWN,
    "single-eigenvalue": _DRAWN,
    "deep-linear": _DEEP,
    "deep-linear-sp": _DEEP,
    "sketched-regression": {name: replace(s, draws=max(8, s.draws // 5)) for name, s in _DRAWN.items()},
}


@dataclass(frozen=True)
class Model:
    """How a case is solved, at a size for a seed: the optimum with its gaps, and the loss as a function; and what theory says.

    ``spacing`` is that of a grid on which the loss has polynomials through a few points for its optimum; it is in octaves if ``octaves``.
    """

    hyperparameter: str
    gaps: Callable[[float, int], tuple[float, Gaps]]
    loss: Callable[[float, int], Callable[[np.ndarray], np.ndarray]]
    predicted: TransferRates | None
    expected: str
    why: str
    octaves: bool = True
    spacing: float = 1 / 16


def measure(name: str, preset: str, *, store_home: Path, progress: Progress) -> Measured:
    """Solve every size and draw of a case; nothing is kept, since it takes seconds."""
    settings, model = PRESETS[name][preset], MODELS[name]()
    rows = []
    with threadpool_limits(1):  # the matrices are small: threads would only wait for each other
        for size in settings.sizes:
            progress(f"{name}: n={size:g}, {settings.draws} draw{'s' * (settings.draws > 1)}")
            for seed in range(settings.draws):
                optimum, gaps = model.gaps(size, seed)
                rows.append({"case": name, "size.n": size, "seed": seed, "optimum": optimum, **vars(gaps)})
    frame = pd.DataFrame(rows)
    shape = (len(settings.sizes), settings.draws, 3)
    gaps = frame[list(COLUMNS)].to_numpy().reshape(shape).transpose(1, 0, 2)
    table = frame.groupby("size.n")[["optimum", *COLUMNS]].median().rename_axis("size").rename(columns=COLUMNS).reset_index()
    table["cost/gap"] = table["transfer cost"] / table["loss gap"]
    verdict = judge_gaps(settings.sizes, gaps)
    return Measured("n", model.hyperparameter, table, verdict, model.predicted, model.expected, model.why, frame)


def sample(name: str, sizes: tuple[float, ...], draws: int) -> Curves:
    """Losses of a case's random networks over log2 of the hyperparameter (over itself where it may be negative).

    The grid goes from 16 steps below the optima of the first seeds to 16 above them.
    """
    model = MODELS[name]()
    with threadpool_limits(1):
        optima = np.array([[model.gaps(size, seed)[0] for seed in range(min(draws, 8))] for size in sizes])
        middles = np.median(np.log2(optima) if model.octaves else optima, axis=1)
        points = model.spacing * np.arange(np.floor(middles.min() / model.spacing) - 16, np.ceil(middles.max() / model.spacing) + 17)
        values = 2.0**points if model.octaves else points
        losses = [[model.loss(size, seed)(values) for size in sizes] for seed in range(draws)]
    return Curves(np.array(sizes), points, np.array(losses), steep=name not in FLOORLESS)


def _ridge() -> Model:
    problem = ridge.RidgeProblem(data_ratio=4.0, noise=0.25, activation="tanh", target="relu")

    def gaps(size: float, seed: int) -> tuple[float, Gaps]:
        return ridge.optimum(problem, size).ridge, ridge.gaps(problem, size)

    def loss(size: float, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda penalty: ridge.risk(problem, penalty, size)

    return Model("ridge penalty", gaps, loss, TransferRates(1.0, 1.0, 2.0), FAST, "a, b ~ 1/n and c ~ 1/n^2 (Theorem 3)")


def _slow() -> Model:
    def gaps(size: float, seed: int) -> tuple[float, Gaps]:
        moved = size**-0.25
        return moved, gaps_between(loss(size, seed), moved, lambda nu: nu**2 / 2, 0.0)

    def loss(size: float, seed: int) -> Callable[..., Any]:
        return lambda nu: (nu - size**-0.25) ** 2 / 2 + 1 / size

    return Model("nu", gaps, loss, TransferRates(1.0, 0.25, 0.5), WEAK, "by construction", octaves=False, spacing=0.02)


def _modes(draw: Callable[[int, int], Modes], limit: Modes, steps: Callable[[float], int], **theory: object) -> Model:
    def gaps(size: float, seed: int) -> tuple[float, Gaps]:
        finite, count = draw(int(size), seed), steps(size)
        return finite.best_rate(count), mode_gaps(finite, limit, count)

    def loss(size: float, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        return partial(draw(int(size), seed).loss, steps=steps(size))

    return Model("learning rate", gaps, loss, **theory)  # type: ignore[arg-type]


def _shallow(samples: linear.Samples, steps: Callable[[float], int], **theory: object) -> Model:
    return _modes(partial(linear.shallow, samples), linear.shallow_limit(samples), steps, **theory)


def _growing() -> Model:
    why = "for T = o(n^1/2) steps c/a ~ T/(q n^1/2) falls, whatever the powers of n"
    return _shallow(linear.Samples.gaussian(4, 6), lambda n: round(n**0.25), predicted=None, expected=FAST, why=why)


def _single() -> Model:
    why = "with one eigenvalue the loss does not respond to first order: a ~ n^-T, b ~ n^-1/2, c ~ n^-T: c/a stays"
    rates = TransferRates(2.0, 0.5, 2.0)
    return _shallow(linear.Samples.orthogonal(4, 6), lambda n: 2, predicted=rates, expected=WEAK, why=why)


def _sketched() -> Model:
    why = "a, b ~ n^-1/2 and c ~ 1/n at a fixed number of steps"
    draw = partial(linear.sketched, SPECTRUM, TARGET)
    return _modes(draw, linear.sketched_limit(SPECTRUM, TARGET), lambda n: 4, predicted=HALF, expected=FAST, why=why)


def _deep(parameterization: str) -> Model:
    samples, layers = linear.Samples.gaussian(4, 6), 2
    limit = linear.shallow_limit(samples, layers)

    def loss(size: float, seed: int) -> Polynomial:
        return linear.deep_step(samples, int(size), layers, seed, parameterization=parameterization)

    def gaps(size: float, seed: int) -> tuple[float, Gaps]:
        curve = loss(size, seed)
        best = linear.best_rate(curve)
        return best, gaps_between(lambda eta: float(curve(eta)), best, lambda eta: float(limit.loss(eta, 1)), limit.best_rate(1))

    if parameterization == "mup":
        return Model("learning rate", gaps, loss, HALF, FAST, "the best rate settles within n^-1/2 (Theorem of one step)")
    return Model("learning rate", gaps, loss, None, NONE, "the best rate falls to zero as 1/n, away from the limit's")


MODELS: dict[str, Callable[[], Model]] = {
    "ridge": _ridge,
    "slow": _slow,
    "shallow-linear": lambda: _shallow(
        linear.Samples.gaussian(4, 6), lambda n: 4, predicted=HALF, expected=FAST, why="a, b ~ n^-1/2 and c ~ 1/n at fixed T"
    ),
    "shallow-linear-growing": _growing,
    "single-eigenvalue": _single,
    "deep-linear": lambda: _deep("mup"),
    "deep-linear-sp": lambda: _deep("sp"),
    "sketched-regression": _sketched,
}
