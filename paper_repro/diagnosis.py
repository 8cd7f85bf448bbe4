"""Which power of the width decay needs: matrices followed to their steady state at several sizes, and how their size grows there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, exp, log
from typing import Any

import numpy as np
import pandas as pd

from ..theory.steady_state import AdamW
from ..theory.table import ExponentTable
from .weight_decay.slopes import estimate, local_slopes, slope

FORGOTTEN = 4.0  # e-folds beyond the ratio of initial to final squared norms: 2 % of the latter is left of the former
BEYOND = 2.0  # and one memory more, over which norms are seen to rest
MOVING = 0.1  # what squared norms may change over the last memory, beyond two standard errors
SYSTEMATIC = 0.05  # between the smallest and the largest size: what is left of transients, the batch, the samples of covariances
DIFFERS = 0.1  # distance of exponents beyond which a matrix is not the noise that its inputs and derivatives say
PUBLISHED = 0.5  # decay ~ sqrt(width) (Fan et al., arXiv 2510.15262)
BETAS = (0.9, 0.95)
TERMS = {"top": ("top singular value", "noise top"), "gain": ("gain", "noise gain")}
Array = np.ndarray
Say = Callable[[str], object]


@dataclass(frozen=True)
class Settings:
    """How a target is diagnosed.

    Args:
        sizes: of the axis.
        seeds: runs of every size, at least two.
        learning_rate: at the smallest size.
        decay: of matrices there, in ``w <- w - rate decay w``.
        steps: updates; None: as many as it takes to be stationary.
        batch: samples of an update.
        match: which size of a matrix is to stay, of `TERMS`.
        loss: of the data; by default what suits the targets.
        axis: that grows; by default the first that does.
    """

    sizes: tuple[int, ...] = ()
    seeds: int = 4
    learning_rate: float = 0.005
    decay: float = 1.0
    steps: int | None = None
    batch: int = 64
    match: str = "top"
    loss: str = ""
    axis: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(
                f"--learning-rate is {self.learning_rate:g}; at that nothing is trained and nothing decays: give a positive one"
            )
        if not 0 < self.decay < float("inf"):
            raise ValueError(f"--decay is {self.decay:g}; without decay norms never settle, and there is no exponent: give a positive one")
        if self.forgotten >= 1:
            raise ValueError(
                f"--learning-rate times --decay is {self.forgotten:g}; an update keeps the part 1 - rate decay of a weight, so at 1 "
                "or more nothing of it lasts to the next one: give a product below 1, such as 0.01"
            )
        for name, value, least in (("seeds", self.seeds, 2), ("batch", self.batch, 1), ("steps", self.steps or 1, 1)):
            if value < least or (name == "steps" and self.steps == 0):
                raise ValueError(f"--{name} is {getattr(self, name)}; it must be at least {least}" + (", for an interval" * (least == 2)))
        if self.sizes and len(self.sizes) < 2:
            raise ValueError("--sizes needs at least two sizes: one gives no exponent")

    @property
    def forgotten(self) -> float:
        """The part of a weight that an update removes, at every size."""
        return self.learning_rate * self.decay

    @property
    def memory(self) -> int:
        """Updates."""
        return max(2, round(1 / self.forgotten))

    def planned(self, ratio: float) -> tuple[int, int]:
        """Updates and how many of them warm up, where squared norms begin at most ``ratio`` times as large as they end.

        Raises:
            ValueError: if the updates asked for are too few.
        """
        needed = max(0.0, log(ratio)) + FORGOTTEN if ratio > 0 else FORGOTTEN
        wanted = ceil((needed + BEYOND) / (2 * self.forgotten) / 0.975)
        steps = self.steps or wanted
        warmup = steps // 20
        reached = 2 * self.forgotten * (steps - warmup / 2)
        if reached < needed or steps < self.memory + 2:
            raise ValueError(
                f"with --steps {steps} the runs are not stationary: 2 sum(rate decay) is {reached:.2g}, and initial squared norms (up to "
                f"{max(ratio, 1):.2g} times the final ones) are forgotten from {needed:.2g} on; "
                f"give --steps {wanted} or more, or a larger --decay"
            )
        return steps, warmup

    def looks(self, steps: int) -> tuple[int, ...]:
        """After the updates at which matrices are measured: over the last memory."""
        return tuple(sorted({steps - self.memory, steps - self.memory // 2, steps}))


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, *parts: tuple[Array, Array]) -> Estimate:
        """The mean exponent of values of which sizes and log2, (seed, size), are given.

        The bootstrap over seeds knows neither how few these are (Student's t does) nor that the exponent may drift with the size, nor
        what all seeds share (`SYSTEMATIC`): the interval is the widest that any of these asks for.
        """
        from scipy.stats import t

        slopes = np.mean([slope(*part) for part in parts], axis=0)
        seeds, drawn = len(slopes), estimate({"": slopes}, lambda means: float(means[""]))
        few = float(t.ppf(0.975, seeds - 1) * slopes.std(ddof=1) / seeds**0.5) if seeds > 1 else 0.0
        drift = float(np.mean([np.ptp(local_slopes(sizes, logs.mean(0))) for sizes, logs in parts])) / 2
        floor = log(1 + SYSTEMATIC) / log(max(sizes.max() / sizes.min() for sizes, _ in parts))
        half = max(few, drift, floor, drawn.value - drawn.interval[0], drawn.interval[1] - drawn.value)
        return cls(drawn.value, drawn.value - half, drawn.value + half)

    def scaled(self, factor: float, shift: float = 0.0) -> Estimate:
        """A linear function of it."""
        ends = sorted(factor * end + shift for end in (self.low, self.high))
        return Estimate(factor * self.value + shift, ends[0], ends[1])

    def has(self, value: float) -> bool:
        """Whether a number lies inside."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Finding:
    """One matrix, or all.

    Args:
        weight: its name.
        alpha: exponent of what is to stay over ``sqrt(rate / decay)``, measured.
        other: that of the other of `TERMS`.
        noise: what noise with the correlations of inputs and derivatives would have.
        gamma: of the stable rank of both, ``(r_in^-1/2 + r_back^-1/2)^-2``; for gains, of the inputs' participation ratio.
        sides: exponents of what is read and what comes back alone.
        persists: the part of the matrix that does not forget, at the largest size: 0 is noise.
        decay: the power of the size with which its decay has to grow.
        differs: measured less that of noise.
        offset: alpha is this less gamma/2.
    """

    weight: str
    alpha: Estimate
    other: Estimate
    noise: Estimate
    gamma: Estimate
    sides: tuple[Estimate, Estimate]
    persists: float
    decay: Estimate
    differs: Estimate
    offset: float

    @property
    def from_ranks(self) -> Estimate:
        """alpha as spectra alone predict it, ``1 - gamma / 2`` for square matrices."""
        return self.gamma.scaled(-0.5, self.offset)

    @property
    def is_noise(self) -> bool:
        """Whether what is measured is what noise has."""
        return self.differs.has(0) or abs(self.differs.value) <= DIFFERS


@dataclass(frozen=True)
class Diagnosis:
    """What was measured, and what follows.

    Args:
        frame: rows as of `synthetic.module_following.Study.follow`, with ``stationary``: whether the matrix was, at that size.
        axis: that grows.
        settings: how it was measured.
        steps: updates.
        stationarity: ``2 sum(rate decay)``.
        rates: power of the axis in each matrix' rate.
        shapes: powers of the axis in its fan-in and fan-out.
        left_out: matrices that could not be measured, and why.
        data: what it was trained on, in words.

    Raises:
        ValueError: if fewer than half of the matrices were stationary at two sizes.
    """

    frame: pd.DataFrame
    axis: str
    settings: Settings
    steps: int
    stationarity: float
    rates: Mapping[str, float]
    shapes: Mapping[str, tuple[float, float]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    data: str = ""

    def __post_init__(self) -> None:
        if 2 * len(self.findings) < self.frame["weight"].nunique() or not self.findings:
            moved = ", ".join(f"{w} at {self.axis}={n}" for w, n in self.moving) or "a measurement is not finite"
            rest = f", and only {len(self.findings)} of {self.frame['weight'].nunique()} matrices rest" if self.findings else ""
            raise ValueError(
                f"the runs are not stationary{rest}: after {self.steps} updates squared norms still move by more than {MOVING:.0%} over "
                f"the last 1/(rate decay) = {self.settings.memory} ({moved}); give --steps {2 * self.steps} or a larger --decay"
            )

    @property
    def column(self) -> str:
        return f"size.{self.axis}"

    @cached_property
    def moving(self) -> tuple[tuple[str, int], ...]:
        """Matrices that are not stationary, with the size."""
        own = self.frame[~self.frame["stationary"]]
        return tuple(own[["weight", self.column]].drop_duplicates().itertuples(index=False, name=None))

    @property
    def excluded(self) -> int:
        """Runs of which a matrix is left out of the fits: seeds times sizes."""
        return len(self.frame[~self.frame["stationary"]][["seed", self.column]].drop_duplicates())

    def logs(self, weight: str, term: str, *, scaled: bool = False) -> tuple[Array, Array]:
        """Sizes, and log2 of a term in the mean over looks, (seed, size); ``scaled``: over ``sqrt(rate / decay)``."""
        rows = self.frame[(self.frame["weight"] == weight) & (self.frame["term"] == term) & self.frame["stationary"]]
        values = np.log2(rows["value"]) - (np.log2(rows["rate"] / rows["decay"]) / 2 if scaled else 0.0)
        table = rows.assign(value=values).pivot_table(index="seed", columns=self.column, values="value", dropna=False)
        return table.columns.to_numpy(float), table.to_numpy(float)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Of every matrix that was stationary at two sizes at least."""
        return tuple(found for weight in self.frame["weight"].unique() if (found := self._find(str(weight))) is not None)

    def _find(self, weight: str) -> Finding | None:
        parts = self._parts(weight)
        known = [len(sizes) > 1 and bool(np.isfinite(logs).all()) for sizes, logs in parts.values()]
        return self._finding(weight, [weight]) if all(known) else None

    def _parts(self, weight: str) -> dict[str, tuple[Array, Array]]:
        """What a `Finding` is made of, each with its sizes."""
        top, (own, noise) = self.settings.match == "top", TERMS[self.settings.match]
        other, spread = TERMS["gain" if top else "top"][0], "stable rank" if top else "participation"
        sizes, inn = self.logs(weight, f"{spread} in")
        _, back = self.logs(weight, f"{spread} back")
        (_, alpha), (_, expected) = (self.logs(weight, term, scaled=True) for term in (own, noise))
        both = -2 * np.log2(2 ** (-inn / 2) + 2 ** (-back / 2)) if top else inn
        _, others = self.logs(weight, other, scaled=True)
        found = {"alpha": alpha, "other": others, "noise": expected, "gamma": both, "in": inn, "back": back, "differs": alpha - expected}
        return {name: (sizes, logs) for name, logs in found.items()}

    def _finding(self, name: str, weights: list[str]) -> Finding:
        every = [self._parts(weight) for weight in weights]
        found = {what: Estimate.of(*(parts[what] for parts in every)) for what in every[0]}
        shapes = np.array([self.shapes[weight] for weight in weights]).mean(0)
        rate = float(np.mean([self.rates[weight] for weight in weights]))
        return Finding(
            name, found["alpha"], found["other"], found["noise"], found["gamma"], (found["in"], found["back"]),
            float(np.mean([self._persists(weight) for weight in weights])), found["alpha"].scaled(2, rate), found["differs"],
            float(shapes.mean() if self.settings.match == "top" else shapes[0]),
        )  # fmt: skip

    def _persists(self, weight: str) -> float:
        """The cosine with what it was half a memory before, over what noise has."""
        sizes, similar = self.logs(weight, "similarity")
        if not len(sizes):
            return float("nan")
        steps = self.settings.memory - self.settings.memory // 2
        forgets = AdamW(self.settings.learning_rate, self.settings.decay, BETAS[0]).overlap(steps)
        return float((2 ** similar[:, -1].mean() - forgets) / (1 - forgets))

    @property
    def complete(self) -> bool:
        """Whether every matrix has a result."""
        return len(self.findings) == self.frame["weight"].nunique()

    @cached_property
    def whole(self) -> Finding:
        """All of these matrices: the mean of their exponents."""
        return self._finding("all", [found.weight for found in self.findings])

    @property
    def largest_move(self) -> float:
        """Of squared norms over the last memory, beyond two standard errors of the mean over seeds, of what entered."""
        return float(self.frame.loc[self.frame["stationary"], "moved"].max())


def flagged(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """With ``moved``, the part by which a matrix' squared norm changes from first to last look, and ``stationary``.

    The change is in the mean over seeds, and beyond two of its standard errors (over all sizes, as seeds are few); stationary is what
    moves by less than `MOVING`.
    """
    column, first, last = f"size.{axis}", frame["step"].min(), frame["step"].max()
    rms = frame[frame["term"] == "rms"].pivot_table(index=["weight", column, "seed"], columns="step", values="value")
    change = 2 * np.log(rms[last] / rms[first]).groupby(level=[0, 1]).agg(["mean", "sem"])
    pooled = change["sem"].pow(2).groupby(level=0).transform("mean").pow(0.5).fillna(0.0)
    moved = np.expm1((change["mean"].abs() - 2 * pooled).clip(lower=0.0))
    return frame.merge(pd.DataFrame({"moved": moved, "stationary": moved <= MOVING}).reset_index(), on=["weight", column])


def initial_ratio(start: float, init: float, settings: Settings, rate: float, decay: float, growth: float) -> float:
    """How many times as large the initial mean square of a weight is as the final one, at a size ``growth`` times the smallest.

    Args:
        start: standard deviation at the smallest size.
        init: power of the size in it.
        settings: rate and decay at the smallest size.
        rate: power of the size in the rate.
        decay: power in the decay.
        growth: largest size over smallest.
    """
    final = settings.learning_rate / (2 * settings.decay) * growth ** (rate - decay)
    return start**2 * growth ** (2 * init) / final


def remaining(stationarity: float) -> float:
    """The part of initial squared norms that is left."""
    return exp(-stationarity)


def powers(table: ExponentTable, name: str, axis: str) -> tuple[float, float, float]:
    """Of the axis in a weight's initial values, rate and decay."""
    row: Any = table.row(name)
    return tuple(float(getattr(row, column)[axis]) for column in ("init_std", "learning_rate", "weight_decay"))  # type: ignore[return-value]
