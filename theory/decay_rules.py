"""Ten rules for the decay of matrices, R0 to R9, each as the invariances of which it is the solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from .decay import (
    CONSTANT_DECAY,
    CONSTANT_RATE,
    EQUAL_ROTATION,
    EQUAL_TIMESCALE,
    MAXIMAL,
    RATE,
    Exponent,
    Invariance,
    Settled,
    SteadyWeight,
    equal_gain,
    equal_top,
    settle,
    substitute,
    tokens_per_parameter,
)
from .decay import DECAY as DECAY_OF
from .optimizers import find_optimizer
from .scales import Powers

WIDTH = Powers(d=1)
POWER_LINES = Fraction(-527, 1000)


@dataclass(frozen=True)
class Rule:
    """How rate and decay of a matrix that is d times d scale.

    Args:
        name: R0 to R9.
        title: in words.
        kept: what it holds fixed.
        source: where it comes from.
        optimizer: for which.
        decayed: whether there is decay at all.
    """

    name: str
    title: str
    kept: tuple[Invariance, ...]
    source: str
    optimizer: str = "adamw"
    decayed: bool = True

    def __str__(self) -> str:
        found = self.solve()
        return f"{self.name}: rate {found.rate}, decay {found.decay if self.decayed else 0}: {self.title} ({self.optimizer}; {self.source})"

    @property
    def weight(self) -> SteadyWeight:
        """The matrix under the rule's optimizer."""
        return SteadyWeight.of(find_optimizer(self.optimizer), WIDTH, WIDTH)

    def solve(self) -> Settled:
        """Powers of d of rate and decay."""
        return settle(self.weight, self.kept)

    def scaling(self, alpha: Exponent) -> Mapping[str, Powers]:
        """How its steady state scales: root of the ratio, gain, top singular value, memory and angle of a step.

        Args:
            alpha: of gain and top singular value.

        Raises:
            ValueError: if the rule has no decay.
        """
        found, weight = self.solve(), self.weight
        if found.rate is None or found.decay is None:
            raise ValueError(f"{self.name} ({self.title}) has no steady state that decay keeps")
        sizes = {
            "ratio": Powers({RATE: Fraction(1, 2), DECAY_OF: Fraction(-1, 2)}),
            "gain": weight.gain(alpha),
            "top singular value": weight.top(alpha),
            "memory": weight.forgotten**-1,
            "angle": weight.rotation,
        }
        return {name: substitute(size, {RATE: found.rate, DECAY_OF: found.decay}) for name, size in sizes.items()}


def rules(*, tokens: Powers = Powers(), batch: Powers = Powers(), measured: Exponent = "alpha") -> tuple[Rule, ...]:
    """The rules, in the order R0 to R9.

    Args:
        tokens: on which a model of width d is trained (for R7).
        batch: tokens in a batch (for R7).
        measured: exponent of the top singular value, a number or a symbol (for R3 and R4).
    """
    lines = tokens_per_parameter(POWER_LINES, tokens=tokens, parameters=WIDTH**2, batch=batch)
    top = equal_top(measured)
    return (
        Rule("R0", "maximal updates, one decay for all", (MAXIMAL, CONSTANT_DECAY), "Yang et al., arXiv 2203.03466"),
        Rule("R1", "maximal updates, equal timescale", (MAXIMAL, EQUAL_TIMESCALE), "Wang and Aitchison, arXiv 2405.13698"),
        Rule("R2", "maximal updates, equal gain", (MAXIMAL, equal_gain()), "Fan et al., arXiv 2510.15262"),
        Rule("R3", "maximal updates, equal top singular value as measured", (MAXIMAL, top), "this package"),
        Rule("R4", "equal timescale and equal top singular value", (EQUAL_TIMESCALE, top), "this package"),
        Rule(
            "R5", "one rate and one decay for all, with a long warmup", (CONSTANT_RATE, CONSTANT_DECAY), "Kosson et al., arXiv 2510.19093"
        ),
        Rule("R6", "maximal updates, no decay", (MAXIMAL,), "a control", decayed=False),
        Rule("R7", "maximal updates, memory by tokens per parameter", (MAXIMAL, lines), "Bergsma et al., arXiv 2505.13738"),
        Rule("R8", "a fixed norm, equal angle per step", (EQUAL_ROTATION,), "Wen et al., arXiv 2606.16899", "hyperball", False),
        Rule("R9", "Muon, equal top singular value", (MAXIMAL, equal_top()), "Liu et al., arXiv 2502.16982", "muon"),
    )
