"""What desiderata say of weight decay: which of them do, with which exponents, and what follows for one weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from .decay import (
    CONSTANT_DECAY,
    EQUAL_TIMESCALE,
    MAXIMAL,
    UNSTEADY,
    Invariance,
    SteadyWeight,
    equal_gain,
    equal_top,
    exponent_of,
    formula,
    settle,
)
from .optimizers import HALF, Optimizer
from .scales import Powers, as_fraction

FIXED = {
    "equal-timescale": (MAXIMAL, EQUAL_TIMESCALE),
    "constant-decay": (MAXIMAL, CONSTANT_DECAY),
    "no-decay": (MAXIMAL,),
}
OF_MATRICES: dict[str, Callable[[Fraction | None], tuple[Invariance, ...]]] = {
    "gain-invariant": lambda alpha: (MAXIMAL, equal_gain(alpha)),
    "equal-top-singular-value": lambda alpha: (MAXIMAL, equal_top(alpha)),
    "balanced": lambda alpha: (EQUAL_TIMESCALE, equal_gain(alpha)),
}
NONE = "no-decay"


def is_of_decay(name: str) -> bool:
    """Whether a desideratum, without its exponent, is about decay."""
    return name.partition(":")[0] in (*FIXED, *OF_MATRICES)


def check_decay(names: Iterable[str]) -> None:
    """Read all exponents.

    Raises:
        ValueError: if one is no rational number between 1/2 and 1 or stands where none belongs, or if there is to be no decay and some.
    """
    own = [name for name in names if is_of_decay(name)]
    for name in own:
        _alpha(name)
    if NONE in own and len(own) > 1:
        raise ValueError(f"`{NONE}` cannot be joined with {', '.join(name for name in own if name != NONE)}")


def _alpha(name: str) -> Fraction | None:
    """The exponent of a desideratum, or None."""
    kind, colon, text = name.partition(":")
    if not colon:
        return None
    if kind in FIXED:
        raise ValueError(f"`{kind}` takes no exponent, so `{name}` is none of the desiderata")
    alpha = as_fraction(text, f"alpha of `{kind}`")
    if not HALF <= alpha <= 1:
        raise ValueError(f"alpha of `{kind}` is {alpha}; it lies between 1/2 (noise) and 1 (one coherent direction)")
    return alpha


@dataclass(frozen=True)
class Decayed:
    """How one weight is trained at its steady state: rate, decay (None: not decayed), why, and what contradicts."""

    rate: Powers
    decay: Powers | None = Powers()
    reason: str = ""
    clash: tuple[str, ...] = ()
    above: Powers = Powers()  # the rate over that of maximal updates


def need_steady(optimizer: Optimizer, names: Iterable[str]) -> None:
    """Raise where what is asked of matrices needs a steady state that the optimizer does not have."""
    asked = [name for name in names if name.partition(":")[0] in OF_MATRICES]
    if asked and optimizer.decay and optimizer.relative:
        raise ValueError(f"`{asked[0]}` cannot be asked of `{optimizer.name}`: a weight has {UNSTEADY}; choose equal-timescale")


def without_decay(optimizer: Optimizer, names: Iterable[str]) -> tuple[str, ...]:
    """A note where decay is asked of an optimizer that has none."""
    asked = [name for name in names if is_of_decay(name) and name not in (NONE, EQUAL_TIMESCALE.name)]
    if optimizer.decay or not asked:
        return ()
    return (f"`{optimizer.name}` has no weight decay, so that {' and '.join(asked)} cannot ask anything of it",)


def faster(weights: Iterable[Decayed]) -> tuple[str, ...]:
    """A note where rates are those of the steady state, and not those of maximal updates."""
    count = Counter(weight.above for weight in weights if weight.above)
    return tuple(
        f"the rates of {many} weight{'s' * (many > 1)} are {above} times those of maximal updates: as long as updates are aligned they are "
        "too large, and have to be warmed up from there"
        for above, many in count.items()
    )


def decide_decay(optimizer: Optimizer, names: Iterable[str], weight: SteadyWeight, *, matrix: bool) -> Decayed:
    """Rate and decay of a weight.

    Args:
        optimizer: the update rule.
        names: of the desiderata.
        weight: with its maximal rate.
        matrix: whether both of its fans grow.
    """
    own, rate = [name for name in names if is_of_decay(name)], weight.maximal
    if not own or not optimizer.decay:
        return Decayed(rate)
    if NONE in own:
        return Decayed(rate, None, "no decay")
    kinds = [name.partition(":")[0] for name in own]
    if not matrix and any(kind in OF_MATRICES for kind in kinds):
        return Decayed(rate, None, "not both of its fans grow (vector-like): no decay")
    kept = [one for kind, name in zip(kinds, own) for one in (OF_MATRICES[kind](_alpha(name)) if kind in OF_MATRICES else FIXED[kind])]
    found = settle(weight, kept)
    if found.clash:
        return Decayed(rate, clash=tuple(f"{_claim(weight, one)} ({one.name})" for one in found.clash))
    assert found.rate is not None and found.decay is not None
    wanted = " and ".join(dict.fromkeys(_claim(weight, one) for one in kept if one is not MAXIMAL))
    above = found.rate / rate
    before = f" with rate = {rate}, so" if MAXIMAL in kept else f", so rate = {found.rate} and"
    return Decayed(found.rate, found.decay, f"{wanted}{before} decay = {found.decay}{_origin(weight, kept)}", above=above)


def _claim(weight: SteadyWeight, one: Invariance) -> str:
    return f"rate = {weight.maximal}" if one is MAXIMAL else f"{one.words} {formula(one.size(weight))} = 1"


def _origin(weight: SteadyWeight, kept: Iterable[Invariance]) -> str:
    """Where the exponent in a size comes from."""
    for one in kept:
        if one.name in OF_MATRICES:
            alpha = exponent_of(weight, one.alpha)
            if one.alpha is not None:
                return f" (alpha = {alpha} is given)"
            if weight.flat:
                return f" (alpha = {alpha}: its updates move all directions alike)"
            return f" (alpha = {alpha} is observed on text, arXiv 2510.15262, and not universal)"
    return ""
