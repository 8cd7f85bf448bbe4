"""The steady state of AdamW under noise: exact second moments of a weight, from the recursion that the optimizer is.

``m <- b1 m + (1 - b1) g``, ``w <- a w - rate m / sqrt(v)``, with ``a = 1 - rate decay`` as in PyTorch, or ``a = 1 - decay`` where the decay
is independent of the rate (Loshchilov and Hutter, arXiv 1711.05101). Gradients are independent from step to step. Here ``v`` is their mean
square (b2 -> 1, epsilon = 0), which makes everything linear, so that any law of the gradients gives the same; what fluctuations of ``v``
change at finite b2 is in `normaliser`. Everything is per weight: a matrix m x n has ``|W|_F^2 = m n Var(w)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple


class Moments(NamedTuple):
    """Second moments of weight and momentum; numbers or expressions."""

    weight: Any
    cross: Any
    momentum: Any

    def advanced(self, rate: Any, kept: Any, beta1: Any) -> Moments:
        """One step with fresh noise of variance one: ``m' = b1 m + (1 - b1) g`` and ``w' = kept w - rate m'``."""
        momentum = beta1**2 * self.momentum + (1 - beta1) ** 2
        cross = kept * beta1 * self.cross - rate * momentum
        weight = kept**2 * self.weight - 2 * kept * rate * beta1 * self.cross + rate**2 * momentum
        return Moments(weight, cross, momentum)


@cache
def steady_moments() -> Moments:
    """The fixed point of the recursion, in the symbols ``rate``, ``kept`` (a) and ``beta1``.

    The weight's variance is ``rate^2 / (1 - a^2) (1 - b1) / (1 + b1) (1 + a b1) / (1 - a b1)``: for small ``1 - a`` it is
    ``rate / (2 decay)``, whatever b1.
    """
    import sympy

    rate, kept, beta1 = sympy.symbols("rate kept beta1", positive=True)
    now = Moments(*sympy.symbols("weight cross momentum"))
    after = now.advanced(rate, kept, beta1)
    found = sympy.solve([b - a for a, b in zip(now, after, strict=True)], now, dict=True)[0]
    return Moments(*(sympy.factor(found[symbol]) for symbol in now))


@cache
def _numeric(name: str) -> Any:
    """A moment as a function of numbers."""
    import sympy

    return sympy.lambdify(sympy.symbols("rate kept beta1", positive=True), getattr(steady_moments(), name), "math")


@dataclass(frozen=True)
class AdamW:
    """AdamW at constant rate and decay.

    Args:
        rate: eta.
        decay: lambda.
        beta1: of the momentum.
        beta2: of the mean square; it enters `variance` and `relative_update` by what `normaliser` has.
        independent: ``w <- w - decay w`` in place of ``w <- w - rate decay w``.
    """

    rate: float
    decay: float
    beta1: float = 0.9
    beta2: float = 0.999
    independent: bool = False

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 0 < self.decay * (1 if self.independent else self.rate) < 1):
            raise ValueError(f"rate {self.rate} and decay {self.decay} have no steady state: each step must remove a part of the weight")
        if not 0 <= self.beta1 < 1:
            raise ValueError(f"`beta1` is {self.beta1}; it is at least 0 and below 1")

    @property
    def forgotten(self) -> float:
        """The fraction of the weight that decay removes per step."""
        return self.decay if self.independent else self.rate * self.decay

    @property
    def kept(self) -> float:
        """What is left, a."""
        return 1 - self.forgotten

    @property
    def memory(self) -> float:
        """Steps after which 1/e of a weight is left, one over what is removed per step."""
        return 1 / self.forgotten

    @property
    def naive(self) -> float:
        """The variance to leading order, ``rate / (2 decay)``; ``rate^2 / (2 decay)`` where decay is independent."""
        return self.rate**2 / (2 * self.forgotten)

    @property
    def variance_at_full_averaging(self) -> float:
        """Of a weight, at b2 -> 1."""
        return _numeric("weight")(self.rate, self.kept, self.beta1)

    @property
    def variance(self) -> float:
        """Of a weight whose gradients are Gaussian: exact in beta1, beta2, rate and decay."""
        from .normaliser import correction

        return self.variance_at_full_averaging * correction(self.beta1, self.beta2, kept=self.kept)

    @property
    def relative_update(self) -> float:
        """RMS of a step over that of the weight: to leading order ``sqrt(2 rate decay (1 - b1) / (1 + b1))``."""
        from .normaliser import mean_square_update

        return self.rate * math.sqrt(mean_square_update(self.beta1, self.beta2) / self.variance)

    @property
    def equal_strength(self) -> float:
        """The mean of a gradient, in units of its root mean square, at which mean and noise of a weight are as large.

        To leading order ``sqrt(rate decay / 2)``.
        """
        own = self.variance_at_full_averaging * (self.forgotten / self.rate) ** 2
        return math.sqrt(own / (1 + own))

    def overlap(self, steps: int) -> float:
        """Cosine of the angle by which many weights together turn in so many steps, at b2 -> 1: 1/e after a memory."""
        found = [_numeric(name)(self.rate, self.kept, self.beta1) for name in Moments._fields]
        weight, cross = found[0], found[1]
        start = weight
        for _ in range(steps):
            cross = self.beta1 * cross  # with the momentum, of which no new gradient knows the old weight
            weight = self.kept * weight - self.rate * cross
        return weight / start

    def relaxed(self, steps: int, start: float) -> float:
        """Variance after so many steps from a given one, without momentum at first, at b2 -> 1.

        Close to ``V + (start - V) exp(-2 steps / memory)``.
        """
        return list(march([self.rate] * steps, [self.forgotten] * steps, self.beta1, start=start, corrected=False))[-1] if steps else start

    def time_to_forget(self, start: float, *, within: float = math.exp(-3)) -> float:
        """Steps until the variance that the weight started with counts less than ``within`` times the steady one."""
        return max(0.0, self.memory / 2 * math.log(start / (within * self.variance_at_full_averaging)))


def march(
    rates: Sequence[float], forgotten: Sequence[float], beta1: float, *, start: float = 0.0, corrected: bool = True, noise: float = 1.0
) -> Iterator[float]:
    """The variance after every step of a schedule, exact at b2 -> 1.

    With the cumulative rate s as time it is ``dV/ds = -2 decay V + rate``: an average of past rates over a window ``1 / (2 decay)``,
    and not the present ``rate / (2 decay)``.

    Args:
        rates: of every step.
        forgotten: the fraction removed in every step (rate times decay, in PyTorch).
        beta1: of the momentum.
        start: the variance at first.
        corrected: the momentum is divided by ``1 - b1^t``.
        noise: factor on the variance that enters (`normaliser.correction`).
    """
    now = Moments(start, 0.0, 0.0)
    for step, (rate, removed) in enumerate(zip(rates, forgotten, strict=True), 1):
        own = rate * math.sqrt(noise) / (1 - beta1**step if corrected else 1.0)
        now = now.advanced(own, 1 - removed, beta1)
        yield now.weight


def stationarity(rates: Sequence[float], decay: float) -> float:
    """``2 decay (sum of the rates)``: the start counts ``exp`` of minus that."""
    return 2 * decay * math.fsum(rates)


@dataclass(frozen=True)
class Signal:
    """A weight whose gradients have a constant mean, in units of their root mean square.

    Args:
        optimizer: with which it is trained.
        strength: mean of a gradient over its root mean square.
    """

    optimizer: AdamW
    strength: float

    @property
    def mean(self) -> float:
        """Of the weight: minus the strength over the decay, not over its root; with what Gaussian noise changes at order ``1 - b2``."""
        o, mu2 = self.optimizer, self.strength**2
        spread = (1 - o.beta2) / (1 + o.beta2) * 3 / 4 * (1 - mu2) * (1 + mu2)
        seen = (1 - mu2) * (1 - o.beta2) * (1 - o.beta1) / (1 - o.beta1 * o.beta2)
        return -self.strength * (1 + spread - seen) * o.rate / o.forgotten

    @property
    def variance(self) -> float:
        """Of the weight around its mean, for Gaussian noise: exact without a mean, with one to leading order in ``1 - b2``.

        A gradient that is large makes the normaliser large as well, which takes from the mean of the update: with ``mu^2 + s^2 = 1`` an
        update's noise is ``s x - mu (2 mu s x + s^2 (x^2 - 1)) / 2``, the first filtered by b1 and the second by b2. Where the memory is
        longer than that of the normaliser, ``s^2`` becomes ``s^4 (1 - mu^2 / 2)``.
        """
        from .normaliser import correction

        o, mu2 = self.optimizer, self.strength**2
        own, mixed, slow = (shared(o.kept, *betas) for betas in ((o.beta1, o.beta1), (o.beta1, o.beta2), (o.beta2, o.beta2)))
        direct, through_square = own - 2 * mu2 * mixed + mu2**2 * slow, mu2 * (1 - mu2) / 2 * slow
        return o.rate**2 * (1 - mu2) * (direct + through_square) * correction(o.beta1, o.beta2, kept=o.kept)


def shared(kept: float, first: float, second: float) -> float:
    """``sum_k h_k h'_k`` of responses ``h_k = (1 - b) sum_i a^(k - i) b^i`` of a weight through filters b and b' (Cauchy's identity)."""
    numerator = (1 - first) * (1 - second) * (1 - kept**2 * first * second)
    return numerator / ((1 - kept**2) * (1 - kept * first) * (1 - kept * second) * (1 - first * second))
