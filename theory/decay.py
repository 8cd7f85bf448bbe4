"""How rate and decay of a weight scale together: sizes of its steady state that must not scale, solved for their exponents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from .optimizers import HALF, Optimizer
from .scales import Powers, Rational, as_fraction

RATE, DECAY = "learning rate", "weight decay"  # the two unknowns of a monomial; no axis can have a space in its name
OBSERVED = Fraction(3, 4)  # top singular value ~ sqrt(rate / decay) d^0.75 in LLaMA-style networks on text (Fan et al., 2510.15262)
UNSTEADY = "no steady state where updates are relative to it: its norm then goes as exp((rate^2 / 2 - rate decay) t)"
Exponent = Fraction | str  # a number, or the name of a symbol


@dataclass(frozen=True)
class SteadyWeight:
    """A weight whose gradients are mostly noise, after many steps; sizes are monomials in the two unknowns and the axes.

    ``W <- (1 - rate decay) W - rate U`` with fresh updates has entries of variance ``rate |U|^2 / (2 decay)``, and
    ``rate^2 |U|^2 / (2 decay)`` where the decay does not multiply the rate (see `steady_state` for what is exact).

    Args:
        out: fan-out.
        inn: fan-in.
        update: RMS entry of an update at the rate one, where gradients are noise; None if it is relative to the weight.
        maximal: the rate at which an update moves what the weight makes by Theta(1).
        decay: the convention, see `Optimizer`; without decay the norm is held fixed, and the rate is an angle.
        flat: whether updates move all directions alike, whatever the gradients' spectrum.
    """

    out: Powers
    inn: Powers
    update: Powers | None = Powers()
    maximal: Powers = Powers()
    decay: str = "coupled"
    flat: bool = False

    @classmethod
    def of(
        cls, optimizer: Optimizer, out: Powers, inn: Powers, *, maximal: Powers | None = None, gradient: Powers = Powers()
    ) -> SteadyWeight:
        """A weight under an optimizer.

        Args:
            optimizer: the update rule.
            out: fan-out.
            inn: fan-in.
            maximal: the rate of maximal updates; by default that of updates of finite rank, each read by its own input.
            gradient: size of the gradient's factors, each to the power of the update's degree in it.

        """
        offsets = optimizer.offset_out, optimizer.offset_in, optimizer.offset_max
        if maximal is None:
            maximal = (inn * gradient * _shape(offsets, out, inn)) ** -1
        update = Powers() if optimizer.frobenius else gradient * _shape(optimizer.noise or offsets, out, inn)
        update = None if optimizer.relative and optimizer.decay else update
        return cls(out, inn, update, maximal, optimizer.decay, optimizer.flat)

    @property
    def rms(self) -> Powers:
        """RMS entry of the weight.

        Raises:
            ValueError: if there is no steady state.
        """
        if not self.decay:
            return Powers()
        if self.update is None:
            raise ValueError(f"a weight has {UNSTEADY}")
        return Powers({RATE: HALF if self.decay == "coupled" else 1, DECAY: -HALF}) * self.update

    @property
    def forgotten(self) -> Powers:
        """The fraction that decay removes in a step, one over the memory."""
        return Powers({RATE: 1, DECAY: 1} if self.decay == "coupled" else {DECAY: 1})

    @property
    def rotation(self) -> Powers:
        """The size of an update over that of the weight: the angle of a step."""
        return Powers({RATE: 1}) if not self.decay or self.update is None else Powers({RATE: 1}) * self.update / self.rms

    def gain(self, alpha: Exponent) -> Powers:
        """RMS of ``W x`` over that of ``x``, for inputs whose participation ratio is ``fan_in^(2 - 2 alpha)``."""
        return self.rms * raised(self.inn, alpha)

    def top(self, alpha: Exponent) -> Powers:
        """Top singular value, for covariances whose stable ranks are ``fan^(2 - 2 alpha)`` on both sides.

        Chevet's bound ``|A|^(1/2) tr(B)^(1/2) + |B|^(1/2) tr(A)^(1/2)`` of ``B^(1/2) Z A^(1/2)``: with fans m >= n it is
        ``m^(1/2) n^(alpha - 1/2)``.
        """
        small, large = sorted((self.out, self.inn), key=_exponent)
        return self.rms * large**HALF * raised(small, alpha) / small**HALF


def raised(power: Powers, exponent: Exponent) -> Powers:
    """A monomial to the power of a number or of a symbol."""
    if isinstance(exponent, str):
        return Powers({f"{axis}^{exponent}": p for axis, p in power.items()})
    return power**exponent


def _exponent(power: Powers) -> Fraction:
    return sum(power.values(), Fraction(0))


def _shape(offsets: tuple[Fraction, Fraction, Fraction], out: Powers, inn: Powers) -> Powers:
    """``out^a inn^b max(out, inn)^c``."""
    of_out, of_inn, of_larger = offsets
    return out**of_out * inn**of_inn * max(out, inn, key=_exponent) ** of_larger


@dataclass(frozen=True)
class Invariance:
    """A size that must not scale.

    Args:
        name: as among the desiderata.
        words: what it is, for a reason.
        size: its monomial for a weight.
        alpha: the exponent in it; None for what is observed.
    """

    name: str
    words: str
    size: Callable[[SteadyWeight], Powers]
    alpha: Exponent | None = None


MAXIMAL = Invariance("maximal-update", "update", lambda weight: Powers({RATE: 1}) / weight.maximal)
EQUAL_TIMESCALE = Invariance("equal-timescale", "removed per step", lambda weight: weight.forgotten)
EQUAL_ROTATION = Invariance("equal-rotation", "angle per step", lambda weight: weight.rotation)
CONSTANT_DECAY = Invariance("constant-decay", "decay", lambda _: Powers({DECAY: 1}))
CONSTANT_RATE = Invariance("constant-rate", "rate", lambda _: Powers({RATE: 1}))


def equal_gain(alpha: Exponent | None = None) -> Invariance:
    """The gain ``|W x| / |x|`` does not scale; where no exponent is given, the observed one is taken."""
    return Invariance("gain-invariant", "gain", lambda weight: weight.gain(exponent_of(weight, alpha)), alpha)


def equal_top(alpha: Exponent | None = None) -> Invariance:
    """The top singular value does not scale; where no exponent is given, the observed one is taken."""
    return Invariance("equal-top-singular-value", "top singular value", lambda weight: weight.top(exponent_of(weight, alpha)), alpha)


def exponent_of(weight: SteadyWeight, given: Exponent | None) -> Exponent:
    """The given exponent, else the observed one; 1/2 where updates move all directions alike."""
    if given is None:
        return HALF if weight.flat else OBSERVED
    return given


def tokens_per_parameter(power: Rational, *, tokens: Powers, parameters: Powers, batch: Powers = Powers()) -> Invariance:
    """The memory in epochs, ``batch / (rate decay tokens)``, as a power of tokens per parameter (Bergsma et al., 2505.13738)."""
    wanted = (tokens / parameters) ** as_fraction(power, "power of tokens per parameter")
    return Invariance("tokens-per-parameter", "memory in epochs", lambda weight: batch / (weight.forgotten * tokens * wanted))


@dataclass(frozen=True)
class Settled:
    """Rate and decay that keep what is asked; None where nothing fixes one of them. ``clash`` are invariances that contradict."""

    rate: Powers | None
    decay: Powers | None
    clash: tuple[Invariance, ...] = ()


def settle(weight: SteadyWeight, kept: Sequence[Invariance]) -> Settled:
    """Solve the invariances for the exponents of rate and decay; where they contradict, name the fewest that do."""
    sizes = [one.size(weight) for one in kept]
    for many in range(1, len(kept) + 1):
        for some in combinations(range(len(kept)), many):
            if _solve([sizes[i] for i in some]) is None:
                return Settled(None, None, tuple(kept[i] for i in some))
    found = _solve(sizes) or {}
    return Settled(found.get(RATE), found.get(DECAY))


def _solve(sizes: Sequence[Powers]) -> dict[str, Powers] | None:
    """What makes every size Theta(1), or None: elimination of two unknowns, whose coefficients are numbers."""
    rows, pivots = list(sizes), {}
    for unknown in (RATE, DECAY):
        pivot = next((row for row in rows if row[unknown]), None)
        if pivot is not None:
            pivot = pivot ** (1 / pivot[unknown])
            rows.remove(next(row for row in rows if row[unknown]))
            rows = [row / pivot ** row[unknown] for row in rows]
            pivots[unknown] = pivot
    if any(rows):
        return None
    found: dict[str, Powers] = {}
    for unknown in reversed(pivots):
        rest = Powers({name: power for name, power in pivots[unknown].items() if name != unknown})
        value = substitute(rest, found) ** -1
        if not {RATE, DECAY} & {*value}:
            found[unknown] = value
    return found


def substitute(size: Powers, values: Mapping[str, Powers]) -> Powers:
    """A monomial with the unknowns that are known put in."""
    for unknown, value in values.items():
        size = size / Powers({unknown: size[unknown]}) * value ** size[unknown]
    return size


def formula(size: Powers) -> str:
    """A monomial as text, the two unknowns first."""
    rate, decay = size[RATE], size[DECAY]
    words = {(1, 1): "rate * decay", (HALF, -HALF): "sqrt(rate / decay)", (1, -HALF): "rate / sqrt(decay)", (0, 1): "decay", (1, 0): "rate"}
    rest = size / Powers({RATE: rate, DECAY: decay})
    head = words.get((rate, decay), f"rate^{rate} decay^{decay}")
    return f"{head} * {rest}" if rest else head
