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

    @classmethod
    def rich(
        cls,
        architecture: Architecture,
        *,
        richness: float = 1.0,
        learning_rate: float = 1.0,
        gain: float = 1.0,
        base: Mapping[str, int] | None = None,
    ) -> Constants:
        """The mean-field network of richness gamma_0, at the base sizes.

        ``h^1 = W^0 x / sqrt(D)``, ``h^(l+1) = W^l phi(h^l) / sqrt(n)``, ``f = w phi(h^L) / (gamma_0 n)`` with entries
        N(0, gain^2), those of the input matrix N(0, 1), trained at the rate ``learning_rate gamma_0^2 n`` (Bordelon and
        Pehlevan, arXiv 2205.09653): gamma_0 -> 0 is the kernel (lazy) limit. In terms of whole weights: the readout's std is divided
        by gamma_0, and every rate is the square of the weight's std before that, times gamma_0^2 for all but the readout
        (biases have the std 1 there).

        Args:
            architecture: whose last weight without a growing output is the readout.
            richness: gamma_0.
            learning_rate: of all weights.
            gain: of the matrices behind an activation; sqrt(2) for relu.
            base: base sizes.
        """
        default = cls.default(architecture, base=base, learning_rate=learning_rate)
        dense = [node for node in architecture.nodes if node.op == "dense" and architecture.node(node.args[0]).op != "one"]
        weights = {}
        for name, own in default.weights.items():
            std = own.init_std * (gain if any(n.weight == name and architecture.node(n.args[0]).op == "map" for n in dense) else 1.0)
            last = name == dense[-1].weight or set(architecture.uses(name)[0].dims) == set(dense[-1].dims)
            weights[name] = replace(own, init_std=std / richness if last else std, learning_rate=std**2 * (1.0 if last else richness**2))
        return replace(default, weights=weights)

    def with_rate(self, learning_rate: float) -> Constants:
        """The same constants at another base learning rate."""
        return replace(self, learning_rate=learning_rate)

    def with_weights(self, **columns: float) -> Constants:
        """The same constants with some columns set for every weight."""
        return replace(self, weights={name: replace(w, **columns) for name, w in self.weights.items()})
