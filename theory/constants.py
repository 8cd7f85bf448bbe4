"""The order-one constants that exponents leave open, shared by finite networks and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .architecture import Architecture


@dataclass(frozen=True)
class WeightConstants:
    """Constants of one weight; a table multiplies each by (size / base) ** power."""

    learning_rate: float = 1.0
    init_std: float = 1.0
    multiplier: float = 1.0
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    damping: float = 1e-8


@dataclass(frozen=True)
class Constants:
    """`WeightConstants` for every weight of an architecture; ``learning_rate`` multiplies all of theirs."""

    weights: Mapping[str, WeightConstants]
    learning_rate: float = 1.0
    operations: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def default(cls, architecture: Architecture, *, base: Mapping[str, int] | None = None, learning_rate: float = 1.0) -> Constants:
        """Fan-in initialisation at the base sizes: std 1/sqrt(fan-in), 1 for a looked-up embedding."""
        sizes = architecture.sizes(base or {})
        weights = {}
        for weight in architecture.weights.values():
            first = architecture.uses(weight.name)[0]
            lookup = architecture.node(first.args[0]).kind == "token"
            fan_in = 1
            for dim in () if lookup else weight.inn:
                fan_in *= architecture.dims[dim].size(sizes, weight.name)
            weights[weight.name] = WeightConstants(init_std=fan_in**-0.5)
        return cls(weights, learning_rate, {n.name: n.at_base(sizes) for n in architecture.operations})

    def with_rate(self, learning_rate: float) -> Constants:
        """The same constants at another base learning rate."""
        return replace(self, learning_rate=learning_rate)

    def with_weights(self, **columns: float) -> Constants:
        """The same constants with some columns set for every weight."""
        return replace(self, weights={name: replace(w, **columns) for name, w in self.weights.items()})
