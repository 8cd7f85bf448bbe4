"""What an optimizer does to the parameters of the infinite network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from .network import Parameters

KINDS = ("sgd", "flow")


@dataclass(frozen=True)
class Rule:
    """How gradients become updates; the rates themselves are `widelimit.theory.constants.Constants`.

    Args:
        kind: ``sgd``, the discrete algorithm; ``flow``, where every step is the same time of gradient flow, by Heun's method.
        momentum: ``v <- momentum v + g``, ``w <- w - lr lambda w - lr v``.
        nesterov: ``g + momentum v`` in place of the last ``v``.
        substeps: of Heun's method in one step.
    """

    kind: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    substeps: int = 4

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown rule `{self.kind}`; choose from {', '.join(KINDS)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"`momentum` is {self.momentum}; it must be at least 0 and less than 1")
        if self.kind == "flow" and self.momentum:
            raise ValueError(f"`momentum` is {self.momentum}, but gradient flow has none: it would only rescale time")
        if self.substeps < 1:
            raise ValueError(f"`substeps` is {self.substeps}; a step takes at least one")


class Rates(NamedTuple):
    """Learning rate and weight decay of every parameter, at width 1.

    Args:
        learning: one number for every leaf of `Parameters`.
        decay: lambda in ``w <- w - lr lambda w``.
    """

    learning: Parameters
    decay: Parameters


def descend(
    parameters: Parameters, velocity: Parameters, ascent: Parameters, rates: Rates, factor: Float[Array, ""], rule: Rule
) -> tuple[Parameters, Parameters]:
    """One update; ``factor`` is the value of the schedule.

    Returns:
        Parameters and velocity (without momentum, as it was).
    """
    ahead = ascent
    if rule.momentum:
        velocity = jax.tree.map(lambda v, a: rule.momentum * v + a, velocity, ascent)
        ahead = jax.tree.map(lambda v, a: a + rule.momentum * v, velocity, ascent) if rule.nesterov else velocity

    def move(p: Array, a: Array, rate: Array, decay: Array) -> Array:
        step = rate * factor
        return (p * (1 - step * decay) + step * a).astype(p.dtype)

    return jax.tree.map(move, parameters, ahead, rates.learning, rates.decay), velocity
