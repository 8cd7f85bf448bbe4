"""What an optimizer does to the parameters of the infinite network."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .values import Parameters, Rates

KINDS = ("sgd", "flow", "adam", "sign")
_TINY = 1e-300  # an entry without a gradient stays

Memory = tuple[Parameters, ...]
"""What an optimizer remembers: nothing, the velocity, or Adam's two averages."""


@dataclass(frozen=True)
class Rule:
    """How gradients become updates; the rates themselves are `widelimit.theory.constants.Constants`.

    Args:
        kind: ``sgd``, the discrete algorithm; ``flow``, where every step is the same time of gradient flow, by Heun's method; ``adam``,
            ``w <- w - lr lambda w - lr m^ / (sqrt(v^) + eps)``; ``sign``, Adam without averages and epsilon.
        momentum: of ``sgd``: ``v <- momentum v + g``, ``w <- w - lr lambda w - lr v``.
        nesterov: ``g + momentum v`` in place of the last ``v``.
        betas: of Adam.
        substeps: of Heun's method in one step.
    """

    kind: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    substeps: int = 4

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown rule `{self.kind}`; choose from {', '.join(KINDS)}")
        if not 0 <= self.momentum < 1 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"`momentum` is {self.momentum} and `betas` are {self.betas}; each must be at least 0 and less than 1")
        if self.kind != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"`momentum` is {self.momentum}, but the rule `{self.kind}` has none")
        if self.substeps < 1:
            raise ValueError(f"`substeps` is {self.substeps}; a step takes at least one")

    @property
    def entrywise(self) -> bool:
        """Whether updates are nonlinear in the entries of the gradient, so that they have no finite rank."""
        return self.kind in ("adam", "sign")

    @property
    def memories(self) -> int:
        """How many values per parameter are remembered."""
        return 2 if self.kind == "adam" else int(self.momentum > 0)


def descend(
    parameters: Parameters, memory: Memory, ascent: Parameters, rates: Rates, factor: Float[Array, ""], rule: Rule, step: Int[Array, ""]
) -> tuple[Parameters, Memory]:
    """One update; ``factor`` is the value of the schedule, ``step`` counts from 0."""
    if rule.kind == "adam":
        memory = _average(memory, ascent, rule)
    elif rule.momentum:
        memory = (jax.tree.map(lambda v, a: rule.momentum * v + a, memory[0], ascent),)
    towards = _direction(memory, ascent, rates, rule, step)

    def move(p: Array, a: Array, rate: Array, decay: Array) -> Array:
        length = rate * factor
        return (p * (1 - length * decay) + length * a).astype(p.dtype)

    return jax.tree.map(move, parameters, towards, rates.learning, rates.decay), memory


def _average(memory: Memory, ascent: Parameters, rule: Rule) -> Memory:
    first, second = rule.betas
    mean = jax.tree.map(lambda m, a: first * m + (1 - first) * a, memory[0], ascent)
    square = jax.tree.map(lambda v, a: second * v + (1 - second) * a**2, memory[1], ascent)
    return mean, square


def _direction(memory: Memory, ascent: Parameters, rates: Rates, rule: Rule, step: Int[Array, ""]) -> Parameters:
    if rule.kind == "sign":
        return jax.tree.map(jnp.sign, ascent)
    if rule.kind == "adam":
        first, second = (1 - jnp.asarray(beta) ** (step + 1) for beta in rule.betas)
        return jax.tree.map(lambda m, v, eps: (m / first / (jnp.sqrt(v / second) + eps + _TINY)).astype(m.dtype), *memory, rates.epsilon)
    if rule.nesterov and rule.momentum:
        return jax.tree.map(lambda v, a: a + rule.momentum * v, memory[0], ascent)
    return memory[0] if rule.momentum else ascent
