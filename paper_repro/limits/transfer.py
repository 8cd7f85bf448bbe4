"""Learning-rate transfer predicted from the limit alone, beside networks.

The limit gives the loss L(rate) of the infinite network; systems of few particles with exact conditioning have the law of networks of
that width, so their mean minus the limit, times the width, is the first correction b(rate) (arXiv 2304.03408). Then
``L_n = L + b / n``: the optimum of width n, how far it is from that of the limit (as 1/n), the loss gap (as 1/n), and so that
transfer is fast (arXiv 2512.22768: beta = 1 > alpha / 2 = 1/2). No finite network enters the prediction.

Eight points are learned in batches of two, so that the best rate is where the noise of the batches and the progress balance. On four
points with full batches it sits at the edge of stability, where the loss of the limit has a cusp and no 1/n law was found up to width 512.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...dmft import Problem, Settings, run, solve
from ...figures.style import INK, LIMIT, colours, letter, panels, save, styled
from ...synthetic.engines import Engine
from ...synthetic.store import Store
from ...theory.constants import Constants
from ...theory.curves import find_optima
from ...theory.zoo import mlp
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from .finite import networks
from .laws import fit_bias
from .problems import batches, rich, sphere

FIGURE, SOURCE = "dmft/transfer", "widelimit.dmft; arXiv 2304.03408, arXiv 2512.22768"
DRAWS = 200


@dataclass(frozen=True)
class Size:
    """What is solved and trained.

    Args:
        octaves: log2 of the rates, first, last and spacing.
        steps: of training.
        particles: of the limit.
        law: width of the particle systems that give the correction.
        systems: how many of them at every rate.
        seeds: networks of every width.
        device: where they are trained.
    """

    octaves: tuple[float, float, float] = (-1.0, 1.0, 0.25)
    steps: int = 8
    particles: int = 16384
    law: int = 64
    systems: int = 1000
    seeds: tuple[tuple[int, int], ...] = ((32, 1500), (64, 1500), (128, 1500), (256, 1000), (512, 400))
    device: str = "cpu"

    @property
    def points(self) -> np.ndarray:
        """log2 of the rates."""
        first, last, spacing = self.octaves
        return np.arange(first, last + spacing / 2, spacing)


PRESETS = {
    "smoke": Size((-1.0, 1.0, 0.5), particles=512, systems=100, seeds=((32, 100), (64, 100), (128, 60))),
    "laptop": Size(),
    "gpu": Size((-1.0, 1.0, 0.125), systems=20000, seeds=tuple((2**k, 20000 >> (k - 5)) for k in range(5, 12)), device="cuda"),
}  # fmt: skip


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Predict the curves of every width, train networks, and compare optima and losses."""
    size = PRESETS[preset]
    predicted, measured = predict(size, progress), measure(size, store_home, progress, engine)
    table = tabulate(size, predicted, measured)
    found = make_claims(size, table, untested=preset == "smoke")
    return Result(FIGURE, found, draw(size, predicted, measured, table, out / "transfer"), {"optima": table})


@dataclass(frozen=True, eq=False)
class Curves:
    """Last losses over the rates: means and standard errors, (width, point); widths may be infinite."""

    widths: np.ndarray
    mean: np.ndarray
    error: np.ndarray

    def optima(self, points: np.ndarray, draw: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Best point (log2) and least loss of every width."""
        curves = self.mean if draw is None else self.mean + draw * self.error
        found = find_optima(points, np.maximum(curves, 1e-9), steep=True)
        return found.place, found.value


def predict(size: Size, progress: Progress) -> Curves:
    """The limit, and the limit with its first correction at every width."""
    problem = _problem(0.0, size)
    constants = problem.constants
    assert constants is not None
    rates = [constants.with_rate(float(2**x)) for x in size.points]
    progress(f"transfer: the limit at {len(rates)} rates, by {size.particles} particles")
    limit = _all_rates(problem, Settings(size.particles, dtype="float32"), 8, rates)
    bias = []
    for x, own in zip(size.points, rates, strict=True):
        progress(f"transfer: {size.systems} systems of {size.law} particles at the rate 2^{x:g}")
        bias += _all_rates(problem, Settings(size.law, noise="random", cut=1e-8), size.systems, [own])
    (mean, error), (few, spread) = (np.array(rows).T for rows in (limit, bias))
    slope, slope_error = size.law * (few - mean), size.law * np.hypot(spread, error)
    widths = np.array([float(n) for n, _ in size.seeds])
    means = [mean, *(mean + slope / n for n in widths)]
    errors = [error, *(np.hypot(error, slope_error / n) for n in widths)]
    return Curves(np.array([np.inf, *widths]), np.array(means), np.array(errors))


def _problem(octave: float, size: Size) -> Problem:
    samples, batch = 8, 2
    index = batches(samples, batch, size.steps)
    net = mlp(hidden=2, inputs=10, outputs=1, activation="tanh", base=1)
    return Problem(net, *sphere(samples=samples), size.steps, rich(net, learning_rate=float(2**octave)), index=index)


def _all_rates(problem: Problem, settings: Settings, count: int, rates: Sequence[Constants]) -> list[tuple[float, float]]:
    """Mean and standard error of the last loss at every rate; the noise is the same at all."""
    keys = [key for _ in rates for key in range(count)]
    found = run(problem, settings, keys, constants=[own for own in rates for _ in range(count)]).train[:, -1]
    losses = ((problem.values - found) ** 2).sum(-1).mean(-1) / 2
    return [_moments(own) for own in losses.reshape(len(rates), count)]


def _moments(losses: np.ndarray) -> tuple[float, float]:
    return float(losses.mean()), float(losses.std(ddof=1) / len(losses) ** 0.5)


def measure(size: Size, store_home: Path, progress: Progress, engine: Engine | None) -> Curves:
    """Networks of every width at every rate."""
    columns = []
    for x in size.points:
        problem = _problem(float(x), size)
        case = f"transfer 2^{x:g}"
        found = networks(problem, dict(size.seeds), Store(store_home), case=case, progress=progress, device=size.device, engine=engine)
        columns.append([_moments(found.losses[n][:, -1]) for n, _ in size.seeds])
    mean, error = np.moveaxis(np.array(columns), (0, 1, 2), (2, 1, 0))
    return Curves(np.array([float(n) for n, _ in size.seeds]), mean, error)


def tabulate(size: Size, predicted: Curves, measured: Curves) -> pd.DataFrame:
    """Optima and least losses of every width, predicted and measured, with standard errors by drawing the curves anew."""
    rng = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {"width": measured.widths}
    for name, own in (("predicted", predicted), ("measured", measured)):
        keep = slice(1, None) if name == "predicted" else slice(None)
        values = own.optima(size.points)
        for k, what in enumerate(("best", "loss")):
            # networks of one width start alike at all rates: their losses err together, which moves no optimum
            shape = (len(own.widths), 1) if what == "loss" else own.mean.shape
            draws = [own.optima(size.points, rng.standard_normal(shape))[k][keep] for _ in range(DRAWS)]
            columns[f"{what}, {name}"] = values[k][keep]
            columns[f"{what}, {name}, error"] = np.nanstd(draws, axis=0)
    place, least = predicted.optima(size.points)
    near = int(np.abs(size.points - place[0]).argmin())
    limit = {"best of the limit": place[0], "loss of the limit": least[0], "error of the limit": predicted.error[0, near]}
    return pd.DataFrame(columns).assign(**limit)


def make_claims(size: Size, table: pd.DataFrame, *, untested: bool) -> tuple[Claim, ...]:
    """The optimum, the least loss, and its rate."""
    wide = table[table["width"] >= 64]
    moved = float((wide["best, measured"] - wide["best, predicted"]).abs().max())
    off = float((wide["loss, measured"] - wide["loss, predicted"]).abs().max())
    bare = float((wide["loss, measured"] - wide["loss of the limit"]).abs().max())
    errors = np.hypot(np.asarray(table["loss, measured, error"]), np.asarray(table["error of the limit"]))
    gaps = np.asarray(table["loss, measured"] - table["loss of the limit"])
    rate = fit_bias(table["width"].to_numpy(), gaps, errors)
    lazy = abs(lazy_optimum(size) - float(wide["best, measured"].iloc[-1]))
    give = lambda value: None if untested else value  # noqa: E731
    return (
        Claim(
            f"{FIGURE}/optimum",
            "The best rates of widths 64 and more are where limit and correction put them: largest distance",
            SOURCE,
            "prediction",
            0.04,
            0.0,
            "0.01 octaves of sampling error in each of two estimates, twice; a sixth of the grid's spacing",
            Control("the best rate of the tangent kernel", lazy),
            give(moved),
            relation="<=",
            unit="octaves",
        ),
        Claim(
            f"{FIGURE}/loss",
            "The least losses of widths 64 and more are those predicted: largest distance",
            SOURCE,
            "prediction",
            0.003,
            0.0,
            "sampling errors of 0.0006 in limit, correction and networks together; 1/n^2 terms of 0.001 at 64",
            Control("the limit's loss at every width", bare),
            give(off),
            relation="<=",
        ),
        Claim(
            f"{FIGURE}/loss-rate",
            "The least loss approaches the limit's as 1/n (alpha = 1)",
            SOURCE,
            "prediction",
            -1.0,
            0.25,
            "networks know the gap at width 512 to a third; terms of order 1/n^2 are a tenth of it at 32",
            Control("the rate of a single network", expected=-0.5),
            give(rate.power),
            give(rate.interval),
        ),
    )


def lazy_optimum(size: Size) -> float:
    """The best rate (log2) of the linearised network."""
    losses, (first, last, spacing) = [], size.octaves
    points = np.arange(first, last + 2.0, spacing)  # it learns at rates that are too large for the rich network
    for x in points:
        problem = _problem(float(x), size)
        found = solve(problem, method="lazy", particles=1024, replicates=4)
        losses.append(found.loss.value[-1])
    return float(find_optima(points, losses, steep=True).place)


def draw(size: Size, predicted: Curves, measured: Curves, table: pd.DataFrame, stem: Path) -> tuple[Path, Path]:
    """Curves, optima and gaps."""
    figure, axes = panels(1, 3, width=3.0, height=2.7)
    shades = colours([float(n) for n in measured.widths])
    curves, optima, gaps = axes[0]
    with styled():
        for n, mean, error in zip(measured.widths, measured.mean, measured.error, strict=True):
            row = predicted.mean[list(predicted.widths).index(n)]
            curves.errorbar(size.points, mean, yerr=2 * error, fmt="o", ms=3, color=shades[float(n)], mec="white", mew=0.3)
            curves.plot(size.points, row, color=shades[float(n)], lw=1.0, label=f"n = {n:.0f}")
        curves.plot(size.points, predicted.mean[0], color=LIMIT, lw=1.4, label="limit")
        curves.set(title="Networks and predictions", xlabel="log2 learning rate", ylabel="loss", yscale="log")
        x = table["width"]
        for name, style, colour in (("measured", "o", INK), ("predicted", "-", LIMIT)):
            optima.errorbar(x, table[f"best, {name}"], yerr=2 * table[f"best, {name}, error"], fmt=style, ms=4, color=colour, label=name)
            gap = table[f"loss, {name}"] - table["loss of the limit"]
            gaps.errorbar(x, gap, yerr=2 * table[f"loss, {name}, error"], fmt=style, ms=4, color=colour, label=name)
        optima.axhline(table["best of the limit"].iloc[0], ls="--", color=LIMIT, lw=1.0, label="limit")
        optima.set(title="Best rate", xlabel="width", ylabel="log2 learning rate")
        gaps.set(title="Loss gap at the best rate", xlabel="width", yscale="log")
        for ax in (optima, gaps):
            ax.set_xscale("log", base=2)
        for ax in axes[0]:
            ax.legend(labelcolor=INK, fontsize=6)
        letter(axes.flat)
    return save(figure, stem)
