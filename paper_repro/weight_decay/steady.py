"""Steady states of AdamW, Lion, Muon and on a sphere: simulated on pure noise, against the formulas of `theory`.

No network and no data: gradients are Gaussian, independent from step to step. Every claim's control is what is usually written, and it
fails: ``rate / (2 decay)`` for the variance, a constant normaliser, a present rate, noise that a mean does not touch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...theory.normalised_updates import Sphere, arcsine, lion, muon, plain, top_of_fresh
from ...theory.normaliser import correction
from ...theory.steady_state import AdamW, Signal, march
from ..claims import Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .simulate import Adam, Normalising, orthogonal, unit
from .steady_panels import draw

FIGURE, SOURCE = "weight-decay/steady", "widelimit.theory.steady_state"
OPTIMIZERS = ("AdamW", "Lion", "Muon", "sphere")
SCHEDULES = ("constant", "warmup", "linear", "cosine")


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Args:
        weights: under every setting of AdamW; others in proportion.
        width: of Muon's matrices.
        memories: that pass before a steady state is measured over as many.
    """

    weights: int = 60_000
    width: int = 64
    memories: int = 5


PRESETS = {"smoke": Size(1000, 16, 2), "laptop": Size(), "gpu": Size(400_000, 128, 6)}


class Point(NamedTuple):
    """One measurement beside its formula and beside what is usually written."""

    panel: str
    series: str
    x: float
    predicted: float
    measured: float
    error: float
    naive: float = math.nan


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Simulate everything, hold it against the formulas, draw it."""
    del store_home
    size, points = PRESETS[preset], []
    for measure in (variances, normalisers, conventions, schedules, signals, signs, orthogonals, tops, angles):
        progress(f"steady: {measure.__name__}")
        points += list(measure(size))
    frame = pd.DataFrame(points, columns=Point._fields)
    claims = tuple(_claim(frame, *row) for row in CLAIMS)
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, draw(frame, out / "steady"), {"points": frame})


def _steady(own: AdamW, size: Size, *, signal: float = 0.0, seed: int = 0) -> tuple[float, float, float]:
    """Variance, its relative standard error, and mean of the weights; a memory gives one independent measurement of each weight."""
    memory = max(own.memory, 1 / (1 - own.beta1))
    start, steps = math.ceil(max(size.memories * memory, 0.5 / (1 - own.beta2))), math.ceil(size.memories * memory)
    run = Adam([own.rate] * (start + steps), own.decay, own.beta1, own.beta2, own.independent, signal, weights=size.weights)
    kept = np.array([(w.var(), w.mean()) for step, (w, _) in enumerate(run.run(seed)) if step >= start], float)
    return float(kept[:, 0].mean()), math.sqrt(2 * memory / (size.weights * steps)), float(kept[:, 1].mean())


def variances(size: Size) -> Iterator[Point]:
    """Over betas and what a step removes."""
    for beta1, beta2 in ((0.0, 0.999), (0.9, 0.999), (0.9, 0.95), (0.95, 0.95), (0.98, 0.95)):
        name = f"{beta1:g}, {beta2:g}"
        for forgotten in np.geomspace(0.01, 0.1, 25):
            yield _curve("variance", name, forgotten, (own := AdamW(0.04, forgotten / 0.04, beta1, beta2)).variance / own.naive)
        for seed, forgotten in enumerate((0.01, 0.02, 0.05, 0.1)):
            own = AdamW(0.04, forgotten / 0.04, beta1, beta2)
            found, error, _ = _steady(own, size, seed=seed)
            yield Point("variance", name, forgotten, own.variance / own.naive, found / own.naive, error, 1.0)


def _curve(panel: str, series: str, x: float, predicted: float) -> Point:
    """A place on the line of a formula, where nothing is simulated."""
    return Point(panel, series, x, predicted, math.nan, math.nan)


def normalisers(size: Size) -> Iterator[Point]:
    """Over the window of the mean square, at a short memory."""
    for beta1 in (0.0, 0.9, 0.98):
        name = f"{beta1:g}"
        for beta2 in (0.65, 0.7, 0.75, 0.85, 0.93, 0.97):
            yield _curve("normaliser", name, 1 - beta2, correction(beta1, beta2, kept=0.95))
        for seed, beta2 in enumerate((0.6, 0.8, 0.9, 0.95, 0.98)):
            own = AdamW(0.05, 1.0, beta1, beta2)
            found, error, _ = _steady(own, size, seed=10 + seed)
            whole, factor = own.variance_at_full_averaging, correction(beta1, beta2, kept=own.kept)
            yield Point("normaliser", name, 1 - beta2, factor, found / whole, error, 1.0)


def conventions(size: Size) -> Iterator[Point]:
    """Decay that the rate multiplies, or not; the same numbers in the other convention are another optimizer."""
    settings = [(0.1, 0.2, False), (0.1, 0.5, False), (0.05, 0.4, False), (0.1, 0.02, True), (0.02, 0.05, True), (0.05, 0.02, True)]
    for seed, (rate, decay, independent) in enumerate(settings):
        own, other = (AdamW(rate, decay, 0.9, 0.95, kind) for kind in (independent, not independent))
        found, error, _ = _steady(own, size, seed=20 + seed)
        yield Point("convention", "independent" if independent else "PyTorch", rate, own.variance, found, error, other.variance)


def schedules(size: Size) -> Iterator[Point]:
    """Variance along a schedule, in units of that at the largest rate."""
    steps, decay, peak = 1500, 1.0, 0.01
    t = np.arange(1, steps + 1) / steps
    shapes = {"constant": np.ones(steps), "warmup": np.minimum(1, t / 0.7), "linear": 1.001 - t}
    shapes["cosine"] = np.minimum(1, t / 0.1) * (0.05 + 0.475 * (1 + np.cos(np.pi * t)))
    own = AdamW(peak, decay, 0.9, 0.95)
    for seed, name in enumerate(SCHEDULES):
        rates = list(peak * shapes[name])
        predicted = list(march(rates, [rate * decay for rate in rates], 0.9, noise=correction(0.9, 0.95, kept=own.kept)))
        run = Adam(rates, decay, 0.9, 0.95, weights=size.weights).run(30 + seed)
        for step, (w, _) in enumerate(run):
            if step % 75 == 74:
                error = math.sqrt(2 / size.weights)
                yield Point("schedule", name, t[step], predicted[step] / own.naive, float(w.var()) / own.naive, error, rates[step] / peak)


def signals(size: Size) -> Iterator[Point]:
    """Noise around the mean of a weight, for gradients with a mean."""
    for memory in (100, 20):
        own, name = AdamW(0.02, 50 / memory, 0.9, 0.99), f"memory {memory}"
        for strength in np.linspace(0.05, 0.55, 21):
            yield _curve("signal", name, strength, Signal(own, strength).variance / own.variance)
        for seed, strength in enumerate((0.1, 0.2, 0.35, 0.5)):
            found, error, mean = _steady(own, size, signal=strength / math.sqrt(1 - strength**2), seed=40 + seed)
            predicted = Signal(own, strength)
            yield Point("signal", name, strength, predicted.variance / own.variance, found / own.variance, error, 1 - strength**2)
            off = math.sqrt(own.variance / size.weights) / abs(mean)
            yield Point("mean", name, strength, predicted.mean, mean, off, -math.sqrt(own.variance))


def _late(run: Normalising, seed: int, memory: float, size: Size, squares: float) -> float:
    """Mean square of entries times ``squares``, after some memories."""
    steps = math.ceil(2 * size.memories * memory)
    return float(np.mean([squares * float(np.mean(w * w)) for step, w in enumerate(run.run(seed, steps)) if step >= steps / 2]))


def signs(size: Size) -> Iterator[Point]:
    """Lion over the window of its momentum, of which it takes nine tenths and a tenth of the gradient."""
    for beta2 in 1 - np.geomspace(1, 0.01, 30):
        yield _curve("coherence", "Lion", 1 / (1 - beta2), (own := lion(0.02, 1.0, beta2=beta2)).variance / own.naive)
    for seed, beta2 in enumerate((0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)):
        own, count = lion(0.02, 1.0, beta2=beta2), size.weights // 3
        run = Normalising(np.sign, (count,), 0.02, 1.0, beta2, 0.9, newest=False)
        found, error = _late(run, 50 + seed, 50 + 1 / (1 - beta2), size, 1.0), math.sqrt(2 / (count * size.memories))
        yield Point("coherence", "Lion", 1 / (1 - beta2), own.variance / own.naive, found / own.naive, error, 1.0)


def orthogonals(size: Size) -> Iterator[Point]:
    """Muon over the window of its momentum; beside it what the arcsine law of signs would say."""
    for beta in 1 - np.geomspace(1, 0.01, 30):
        own = muon(0.02, 1.0, momentum=plain(beta))
        yield _curve("coherence", "Muon", 1 / (1 - beta), own.variance / own.naive)._replace(
            naive=replace(own, series=arcsine).variance / own.naive
        )
    for seed, beta in enumerate((0.0, 0.5, 0.8, 0.9, 0.95, 0.98)):
        own, d = muon(0.02, 1.0, momentum=plain(beta)), size.width
        found = _late(Normalising(orthogonal, (2, d, d), 0.02, 1.0, beta), 60 + seed, 50 + 1 / (1 - beta), size, d)
        error = math.sqrt(1 / (d * d * size.memories)) + 0.5 / d  # the law is that of infinite width
        as_signs = replace(own, series=arcsine).variance
        yield Point("coherence", "Muon", 1 / (1 - beta), own.variance / own.naive, found / own.naive, error, as_signs / own.naive)


def tops(size: Size) -> Iterator[Point]:
    """Largest singular values of steady states without momentum, in units of ``sqrt(rate / (2 decay))``."""
    for seed, d in enumerate((size.width // 4, size.width // 2, size.width, 2 * size.width)):
        scale, edge = math.sqrt(0.05 / 2), 0.5 * d ** (-2 / 3)
        *_, w = Normalising(orthogonal, (3, d, d), 0.05, 1.0).run(70 + seed, 120)
        found = np.linalg.norm(w, 2, axis=(1, 2)) / scale
        yield Point("top", "Muon", d, top_of_fresh(0.05, 1.0) / scale, float(found.mean()), edge, 2 * math.sqrt(d))
        own = AdamW(0.05, 1.0, 0.0, 0.95)
        *_, (flat, _) = Adam([0.05] * 120, 1.0, 0.0, 0.95, weights=d * d).run(80 + seed)
        predicted = 2 * math.sqrt(d * own.variance) / scale
        yield Point("top", "AdamW", d, predicted, float(np.linalg.norm(flat.reshape(d, d), 2)) / scale, edge)


def angles(size: Size) -> Iterator[Point]:
    """By which a weight of fixed norm turns in a step, over the rate."""
    rate, straight = 0.05, math.atan(0.05) / 0.05
    for beta in 1 - np.geomspace(1, 0.05, 30):
        yield _curve("angle", "sphere", 1 / (1 - beta), Sphere(rate, plain(beta)).angle / rate)
    for beta in (0.0, 0.5, 0.8, 0.9, 0.95):
        own, old, found = Sphere(rate, plain(beta)), None, []
        for step, w in enumerate(Normalising(unit, (4, size.weights // 10), rate, 0.0, beta, sphere=True).run(90, 200 * size.memories)):
            if old is not None and step > 100 * size.memories:
                found.append(float((w * old).sum(1).mean()))
            old = w
        error = 1 / math.sqrt(4 * size.weights // 10 * len(found))
        yield Point("angle", "sphere", 1 / (1 - beta), own.angle / rate, math.acos(float(np.mean(found))) / rate, error, straight)


RANDOM = "Monte Carlo errors of 0.3 % each, and what is left out at first order in 1 - beta2"
CLAIMS = (
    ("variance", "AdamW", "The variance is the closed form in beta1, beta2, rate and decay", 0.01, RANDOM, "rate / (2 decay)"),
    ("normaliser", "AdamW", "A fluctuating normaliser changes it by the factor L, exact for Gaussian gradients", 0.01, RANDOM, "L = 1"),
    ("convention", "AdamW", "Decay that the rate multiplies, and decay that it does not", 0.01, RANDOM, "the other convention"),
    (
        "schedule",
        "AdamW",
        "On a schedule it averages past rates over the memory",
        0.02,
        "Monte Carlo errors of 0.6 % each",
        "the present rate",
    ),
    ("signal", "AdamW", "Noise around a mean is less than its own part, as the normaliser sees the mean", 0.02, RANDOM, "1 - strength^2"),
    ("mean", "AdamW", "The mean of a weight is its gradient's over the decay", 0.02, RANDOM, "the root of the noise's variance"),
    (
        "coherence",
        "Lion",
        "Its variance follows the arcsine law of signs",
        0.02,
        "Monte Carlo errors of 0.5 % each",
        "updates that do not agree",
    ),
    ("coherence", "Muon", "Its variance follows the free arcsine law", 0.02, "finite width: below 1/d", "the arcsine law of signs"),
    ("top", "Muon", "Its top singular value does not grow with the width", 0.12, "the edge's finite size d^(-2/3)", "growth as for AdamW"),
    ("angle", "sphere", "A step turns by an angle that momentum makes smaller", 0.01, "Monte Carlo errors below 0.1 %", "arctan(rate)"),
)


def _claim(frame: pd.DataFrame, panel: str, optimizer: str, statement: str, most: float, reason: str, control: str) -> Claim:
    """Root mean square of relative deviations, of the formula and of what is usually written."""
    own = frame[
        frame["measured"].notna() & (frame["panel"] == panel) & ((frame["series"] == optimizer) | ~frame["series"].isin(OPTIMIZERS))
    ]
    off, other = (_off(own["measured"] / own[column]) for column in ("predicted", "naive"))
    spread = 2 * off / math.sqrt(2 * len(own))
    return Claim(
        f"{FIGURE}/{optimizer.lower()}-{panel}", f"{optimizer}: {statement[0].lower()}{statement[1:]} (root mean square of what it is off)",
        SOURCE, "prediction", most, 0.0, reason, Control(control, other), off, (max(0.0, off - spread), off + spread), relation="<=",
    )  # fmt: skip


def _off(ratios: pd.Series) -> float:
    return float(np.sqrt(np.mean((ratios - 1) ** 2)))
