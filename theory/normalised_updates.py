"""Steady states where an update is a momentum normalised to a fixed size: signs (Lion), orthogonal matrices (Muon), unit vectors.

Under noise the momentum is a stationary Gaussian process with correlations rho_k. Normalised updates then correlate as ``f(rho_k)`` with
``f(rho) = sum_p c_p rho^p``, and with W = -rate sum_k a^k u_(t-k)

    Var(W) = rate^2 |u|^2 / (1 - a^2) (1 + 2 sum_(k >= 1) a^k f(rho_k)),    rho_k = rho_1 b^(k - 1),

whose sums over k are geometric for every p.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

TERMS = 4000  # of the series in p; the terms fall as p^(-3/2) (signs) or p^(-2) (orthogonal) times rho^p


def arcsine(order: int) -> float:
    """``c_p`` of signs: ``(2 / pi) arcsin(rho)`` of two Gaussian numbers."""
    if order % 2 == 0:
        return 0.0
    n = (order - 1) // 2
    return 2 / math.pi * math.exp(math.lgamma(2 * n + 1) - 2 * math.lgamma(n + 1) - 2 * n * math.log(2)) / order


def free_arcsine(order: int) -> float:
    """``c_p`` of orthogonal factors: ``(16 / pi^2) ((p + 1) / (p (p + 2)))^2`` for odd p, of large square Gaussian matrices.

    The matrix ``[[0, M], [M^T, 0]]`` is a semicircular element and its sign has the polar factor of M in the corner. Two of them that
    correlate by rho share ``rho^p`` of the Chebyshev polynomial U_p (the free Ornstein-Uhlenbeck semigroup), so that ``c_p`` is the
    square of ``int sign(x) U_p(x)`` under the semicircle law. Its first is ``(8 / (3 pi))^2``, the mean singular value squared.
    """
    return (4 / math.pi * (order + 1) / (order * (order + 2))) ** 2 if order % 2 else 0.0


def linear(order: int) -> float:
    """``c_p`` of long vectors that are divided by their norm, which hardly fluctuates: ``f(rho) = rho``."""
    return float(order == 1)


def correlation(rho: float, series: Callable[[int], float]) -> float:
    """``f(rho)``; at one it is one."""
    return 1.0 if rho == 1 else math.fsum(series(p) * rho**p for p in range(1, TERMS, 2))


@dataclass(frozen=True)
class Momentum:
    """What is normalised, under noise: ``now g_t + past (g_(t-1) + ratio g_(t-2) + ratio^2 g_(t-3) + ...)``.

    Args:
        now: weight of the newest gradient.
        past: of the one before.
        ratio: of every one before that.
    """

    now: float = 1.0
    past: float = 0.0
    ratio: float = 0.0

    @property
    def variance(self) -> float:
        """In units of a gradient's."""
        return self.now**2 + self.past**2 / (1 - self.ratio**2)

    @property
    def rho(self) -> float:
        """Correlation of two steps in a row; it falls by the ratio with every step more."""
        return (self.now * self.past + self.past**2 * self.ratio / (1 - self.ratio**2)) / self.variance


def plain(beta: float) -> Momentum:
    """``m <- beta m + (1 - beta) g``."""
    return Momentum(1 - beta, (1 - beta) * beta, beta)


def nesterov(beta: float) -> Momentum:
    """``beta m + (1 - beta) g`` with the newest m, as in Muon."""
    return Momentum((1 - beta) * (1 + beta), (1 - beta) * beta**2, beta)


def interpolated(beta1: float, beta2: float) -> Momentum:
    """``beta1 m + (1 - beta1) g`` with the m before, which averages with beta2, as in Lion (Chen et al., arXiv 2302.06675)."""
    return Momentum(1 - beta1, beta1 * (1 - beta2), beta2)


@dataclass(frozen=True)
class Normalised:
    """An optimizer with normalised updates at constant rate and decay, under noise.

    Args:
        rate: eta.
        decay: lambda, ``w <- (1 - rate decay) w - rate u``.
        momentum: what is normalised.
        series: ``c_p`` of the normalisation.
    """

    rate: float
    decay: float
    momentum: Momentum = Momentum()
    series: Callable[[int], float] = linear

    @property
    def kept(self) -> float:
        """What decay leaves in a step, a."""
        return 1 - self.rate * self.decay

    @property
    def variance(self) -> float:
        """``|W|^2 / |u|^2``: of an entry for signs, of a square orthogonal matrix for its singular values' mean square."""
        return self.rate**2 / (1 - self.kept**2) * coherence(self.kept, self.momentum, self.series)

    @property
    def naive(self) -> float:
        """``rate / (2 decay)``: what it is where updates do not correlate."""
        return self.rate / (2 * self.decay)

    @property
    def relative_update(self) -> float:
        """Size of a step over that of the weight."""
        return self.rate / math.sqrt(self.variance)


def coherence(kept: float, momentum: Momentum, series: Callable[[int], float]) -> float:
    """``1 + 2 sum_(k >= 1) a^k f(rho_k)``: for how many steps updates agree."""
    rho, ratio = momentum.rho, momentum.ratio
    if not rho:
        return 1.0
    return 1 + 2 * math.fsum(series(p) * kept * rho**p / (1 - kept * ratio**p) for p in range(1, TERMS, 2))


def lion(rate: float, decay: float, *, beta1: float = 0.9, beta2: float = 0.99) -> Normalised:
    """Lion: signs of ``beta1 m + (1 - beta1) g``, where m averages with beta2."""
    return Normalised(rate, decay, interpolated(beta1, beta2), arcsine)


def muon(rate: float, decay: float, *, momentum: Momentum | None = None) -> Normalised:
    """Muon for large square matrices: exact at infinite width.

    Args:
        rate: times the singular value of updates, if that is not one.
        decay: over it, then.
        momentum: whose polar factor the update is; by default Nesterov's of 0.95.
    """
    return Normalised(rate, decay, momentum or nesterov(0.95), free_arcsine)


def sign_of_signal(strength: float, *, beta1: float = 0.9, beta2: float = 0.99) -> float:
    """Mean of Lion's update where gradients have the mean ``strength`` in units of their standard deviation: ``erf``, not linear."""
    return math.erf(strength / math.sqrt(2 * interpolated(beta1, beta2).variance))


def top_of_fresh(rate: float, decay: float, *, out: int = 1, inn: int = 1) -> float:
    """Largest singular value of ``rate sum_k a^k U_k`` for fresh orthogonal updates.

    Square: ``min_t 2 t + sum_k (sqrt(t^2 + x_k^2) - t)`` with ``x_k = rate a^k`` at infinite width (Akemann and Ostrand 1976, for free
    unitaries); to leading order ``2 sqrt(rate / (2 decay))``, whatever the width. Otherwise, to that order, entries are Gaussian with
    the variance ``rate / (2 decay max(out, inn))``.
    """
    kept = 1 - rate * decay
    total = rate**2 / (1 - kept**2)
    if out != inn:
        return math.sqrt(total / max(out, inn)) * (math.sqrt(out) + math.sqrt(inn))
    sizes = [rate * kept**k for k in range(math.ceil(math.log(1e-9) / math.log(kept)))]

    def slope(t: float) -> float:
        return 2 - math.fsum(1 - t / math.hypot(t, x) for x in sizes)

    from scipy.optimize import brentq

    t = float(brentq(slope, 0.0, math.sqrt(total)))  # type: ignore[arg-type]
    return 2 * t + math.fsum(math.hypot(t, x) - t for x in sizes)


def top_of_persistent(decay: float, *, scale: float = 1.0) -> float:
    """Singular value where all updates agree on a direction: ``scale / decay``, which bounds every steady state."""
    return scale / decay


@dataclass(frozen=True)
class Sphere:
    """Updates of size ``rate R`` with the norm put back to R after each: ``W <- R (W - rate R u) / |W - rate R u|``.

    The restoring factor acts as a decay that nobody chose. With ``a`` for what it leaves in a step, W is ``-rate sum_k a^(k+1) u_(t-k)``
    (u a unit vector), and its norm fixes a: ``rate^2 a^2 / (1 - a^2) (1 + 2 sum_k a^k rho_k) = 1``. Exact for many weights.

    Args:
        rate: of the angle.
        momentum: whose direction u is.
    """

    rate: float
    momentum: Momentum = Momentum()

    @property
    def kept(self) -> float:
        """What the restoring factor leaves of a weight in a step: ``1 / sqrt(1 + rate^2)`` where updates do not correlate."""
        from scipy.optimize import brentq

        def excess(kept: float) -> float:
            return (self.rate * kept) ** 2 * coherence(kept, self.momentum, linear) - (1 - kept**2)

        return float(brentq(excess, 1e-9, 1.0, xtol=1e-15))  # type: ignore[arg-type]

    @property
    def decay(self) -> float:
        """The decay that would do the same."""
        return (1 - self.kept) / self.rate

    @property
    def angle(self) -> float:
        """By which the weight turns in a step, in radians: ``arctan(rate)`` where updates do not correlate."""
        kept = self.kept
        aligned = -self.rate * kept * self.momentum.rho / (1 - kept * self.momentum.ratio)  # cosine of the weight and the next update
        return math.acos(min(1.0, kept * (1 - self.rate * aligned)))

    @property
    def memory(self) -> float:
        """Steps after which the cosine with an old weight is 1/e."""
        return -1 / math.log(self.kept)

    def with_decay(self, decay: float) -> Sphere:
        """What a decay before the step does: it divides the rate by ``1 - rate decay``, and that is all."""
        return Sphere(self.rate / (1 - self.rate * decay), self.momentum)
