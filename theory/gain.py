"""The gain calculus: how top singular value and gain of a noise-made matrix grow, from the covariance spectra that made it.

Gradients ``sum_b delta_b x_b^T`` with covariances A of the inputs and B of what comes back (``tr A = n``, ``tr B = m``: Adam fixes the
size of entries) leave at the steady state ``W = w B^(1/2) Z A^(1/2)`` with Z Gaussian and w from `steady_state`. Then

* ``|W| <= w (sqrt(|A| tr B) + sqrt(|B| tr A))`` (Chevet), which has the right exponent; `top_singular_value` has the constant as well;
* ``gain^2 = E|W x|^2 / m / (E|x|^2 / n) = w^2 n tr(A^2) / tr A = w^2 n^2 / PR(A)``, whatever B is.

For square d: with stable rank ``tr A / |A| ~ d^gamma`` and participation ratio ``PR = (tr A)^2 / tr A^2 ~ d^gamma'`` the exponents are
``1 - gamma / 2`` and ``1 - gamma' / 2``. They need not be equal: matching top singular values and matching gains are two diagnostics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from .scales import Rational, as_fraction

if TYPE_CHECKING:
    import numpy as np

ZERO, HALF, ONE = Fraction(0), Fraction(1, 2), Fraction(1)


class Growth(NamedTuple):
    """``d^power log(d)^logs``; the larger of two is the one that grows faster."""

    power: Fraction
    logs: Fraction = ZERO

    def times(self, other: Growth, exponent: Rational = 1) -> Growth:
        """The product with a power of another."""
        return Growth(self.power + other.power * Fraction(exponent), self.logs + other.logs * Fraction(exponent))

    def __str__(self) -> str:
        parts = [f"{name}^{p}" if p != 1 else name for name, p in (("d", self.power), ("log(d)", self.logs)) if p]
        return " ".join(parts) or "1"


WIDTH = Growth(ONE)


def sum_of_powers(exponent: Fraction) -> Growth:
    """``sum_(i <= d) i^-a``: a power below a = 1, a logarithm there, a constant above."""
    return Growth(ONE - exponent) if exponent < 1 else Growth(ZERO, ONE) if exponent == 1 else Growth(ZERO)


@dataclass(frozen=True)
class PowerLaw:
    """A covariance with eigenvalues ``i^-a`` times what makes their sum d.

    Args:
        exponent: a, exact; 0 is isotropic.
    """

    exponent: Fraction

    @classmethod
    def of(cls, exponent: Rational | float) -> PowerLaw:
        """With an exponent to be read.

        Raises:
            ValueError: if it is no rational number, or negative.
        """
        a = as_fraction(exponent, "exponent of the spectrum")
        if a < 0:
            raise ValueError(f"exponent of the spectrum is {a}; eigenvalues i^-a fall, so it is 0 or positive")
        return cls(a)

    @property
    def stable_rank(self) -> Growth:
        """``tr A / |A|``."""
        return sum_of_powers(self.exponent)

    @property
    def participation_ratio(self) -> Growth:
        """``(tr A)^2 / tr A^2``."""
        total, squares = sum_of_powers(self.exponent), sum_of_powers(2 * self.exponent)
        return total.times(total).times(squares, -1)

    @property
    def top(self) -> Growth:
        """Of the top singular value, where both sides are like this: power ``(1 + a) / 2`` below a = 1, 1 above."""
        return WIDTH.times(self.stable_rank, -HALF)

    @property
    def gain(self) -> Growth:
        """Of the gain: power 1/2 below a = 1/2, a from there to 1, 1 above."""
        return WIDTH.times(self.participation_ratio, -HALF)

    @property
    def slope(self) -> Fraction:
        """Of singular values against their rank, ``sigma_i ~ i^-slope``: that of the top singular value over noise, where a < 1."""
        return self.exponent / 2

    def eigenvalues(self, size: int) -> np.ndarray:
        """At a finite size, with mean one."""
        import numpy as np

        values = np.arange(1, size + 1.0) ** -float(self.exponent)
        return values * (size / values.sum())


def top_growth(inputs: PowerLaw, outputs: PowerLaw, *, inn: Rational = 1, out: Rational = 1) -> Growth:
    """Of the top singular value of a matrix ``d^out`` times ``d^inn``: the larger of Chevet's two terms.

    Args:
        inputs: covariance of what it reads.
        outputs: of what comes back to it.
        inn: exponent of the fan-in.
        out: exponent of the fan-out.
    """
    p, q = Fraction(inn), Fraction(out)
    sides = ((p, inputs, q), (q, outputs, p))
    return max(Growth((own + other) / 2).times(_at(law.stable_rank, own), -HALF) for own, law, other in sides)


def gain_growth(inputs: PowerLaw, *, inn: Rational = 1) -> Growth:
    """Of the gain of a matrix with fan-in ``d^inn``: what comes back to it, and the fan-out, do not count."""
    p = Fraction(inn)
    return Growth(p).times(_at(inputs.participation_ratio, p), -HALF)


def _at(growth: Growth, exponent: Fraction) -> Growth:
    """Of a size that is a power of d; logarithms of it are those of d but for a constant."""
    return Growth(growth.power * exponent, growth.logs if exponent else ZERO)


@dataclass(frozen=True)
class Spiked:
    """An isotropic bulk with one coherent direction, ``(1 - share) I + share d u u^T``: no power law, but a crossover.

    Args:
        share: of the variance that lies along u (a mean, or the head of a vocabulary).
    """

    share: float

    def eigenvalues(self, size: int) -> np.ndarray:
        """At a finite size, with mean one."""
        import numpy as np

        values = np.full(size, 1 - self.share)
        values[0] += self.share * size
        return values

    def local_exponent(self, size: float) -> float:
        """Slope of the top singular value at a size, where both sides are like this: from 1/2 to 1, 3/4 at ``(1 - share) / share``."""
        spike = self.share * size
        return 0.5 + 0.5 * spike / (1 - self.share + spike)

    @property
    def crossover(self) -> float:
        """The size at which the slope is 3/4; it is within 0.15 of that over 1.2 decades around."""
        return (1 - self.share) / self.share


def stable_rank(eigenvalues: np.ndarray) -> float:
    """``tr A / |A|``."""
    return float(eigenvalues.sum() / eigenvalues.max())


def participation_ratio(eigenvalues: np.ndarray) -> float:
    """``(tr A)^2 / tr A^2``."""
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def chevet(inputs: np.ndarray, outputs: np.ndarray) -> float:
    """Upper bound of the top singular value of ``B^(1/2) Z A^(1/2)``, from the eigenvalues of A and B."""
    return float((inputs.max() * outputs.sum()) ** 0.5 + (outputs.max() * inputs.sum()) ** 0.5)


def top_singular_value(inputs: np.ndarray, outputs: np.ndarray) -> float:
    """The largest singular value of ``B^(1/2) Z A^(1/2)``, of which Chevet's bound has the exponent alone.

    Deterministic equivalent of a separable covariance: with ``p(u) = sum_j a_j / (1 - a_j u)`` and q(v) likewise of b, singular values off
    the bulk are ``sqrt(p(u) / v)`` on the curve ``u p(u) = v q(v)``, and the bulk ends where that is least. The largest eigenvalue of a
    side is left out of its sum: where ``u = 1 / a_1`` comes before the end it stands apart, at that u.

    Args:
        inputs: eigenvalues of A, at least two.
        outputs: of B.
    """
    import numpy as np

    sides = (np.sort(np.asarray(inputs, float)), np.sort(np.asarray(outputs, float)))
    return max(_largest(own[:-1], own[-1], other) for own, other in (sides, sides[::-1]))


def _largest(a: np.ndarray, apart: float, b: np.ndarray) -> float:
    """Of a bulk with one eigenvalue of A apart."""
    from scipy.optimize import brentq

    def moved(values: np.ndarray, at: float) -> tuple[float, float]:
        """``u p(u)`` and its derivative to log(u)."""
        x = values * at
        return float((x / (1 - x)).sum()), float((x / (1 - x) ** 2).sum())

    def partner(u: float) -> float:
        wanted, end = moved(a, u)[0], (1 - 1e-13) / float(b.max())
        return float(brentq(lambda v: moved(b, v)[0] - wanted, 0.0, end, xtol=1e-300, rtol=1e-13))  # type: ignore[arg-type]

    def slope(u: float) -> float:
        """Of ``log(p(u) / v)`` in log(u), which vanishes at the end of the bulk."""
        size, own = moved(a, u)
        return own / size - 1 - own / moved(b, partner(u))[1]

    low, high = 1e-9 / float(a.max()), min((1 - 1e-9) / float(a.max()), 1 / apart)
    u = high if slope(high) < 0 else float(brentq(slope, low, high, xtol=1e-300, rtol=1e-12))  # type: ignore[arg-type]
    return (moved(a, u)[0] / (u * partner(u))) ** 0.5


def noise_top(inputs: np.ndarray, outputs: np.ndarray, *, draws: int = 4, seed: int = 0) -> float:
    """The mean top singular value of ``B^(1/2) Z A^(1/2)`` where its entries have the mean square 1, from a few draws of Z.

    Z is Gaussian, so that eigenvalues alone matter. For what AdamW accumulates they are those of correlations: it divides every entry
    by its own size.

    Args:
        inputs: eigenvalues of A, of any sum.
        outputs: eigenvalues of B.
        draws: of Z; a single one scatters by some per cent.
        seed: of the draws.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    rows, columns = (np.sqrt(values / values.mean()).astype(np.float32) for values in (outputs, inputs))
    drawn = rng.standard_normal((draws, len(rows), len(columns)), np.float32) * rows[:, None] * columns
    small = drawn if len(rows) <= len(columns) else drawn.swapaxes(1, 2)
    return float(np.sqrt(np.linalg.eigvalsh(small @ small.swapaxes(1, 2))[:, -1]).mean())


def gain(inputs: np.ndarray) -> float:
    """``sqrt(E|W x|^2 / m) / sqrt(E|x|^2 / n)`` for entries of size one: ``n / sqrt(PR(A))``."""
    return len(inputs) / participation_ratio(inputs) ** 0.5


def local_exponents(sizes: Sequence[float], values: Sequence[float]) -> list[float]:
    """Slopes between sizes that follow on each other; where they drift, a single fit hides a crossover."""
    import numpy as np

    return list(np.diff(np.log(values)) / np.diff(np.log(sizes)))


def from_ranks(sizes: Sequence[float], ranks: Sequence[float]) -> float:
    """The exponent ``1 - gamma / 2`` from measured stable ranks, or of the gain from participation ratios."""
    import numpy as np

    return 1 - float(np.polyfit(np.log(sizes), np.log(ranks), 1)[0]) / 2


def decay_exponent(alpha: Rational) -> Fraction:
    """Of the decay that keeps a quantity with this exponent under maximal updates of an entrywise optimizer: ``2 alpha - 1``."""
    from .decay import MAXIMAL, SteadyWeight, equal_gain, settle
    from .optimizers import ADAMW
    from .scales import Powers

    width = Powers(d=1)
    found = settle(SteadyWeight.of(ADAMW, width, width), (MAXIMAL, equal_gain(Fraction(alpha))))
    assert found.decay is not None
    return found.decay["d"]
