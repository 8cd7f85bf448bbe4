"""Reading a mixture of experts: which infinite network a table makes of it, and with which constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod

import jax.numpy as jnp

from ..theory.architecture import Architecture, Node
from ..theory.constants import Constants
from ..theory.scales import Powers, Regime
from ..theory.table import ExponentTable
from .activations import ACTIVATIONS
from .experts import DOWN, UP, Mixing
from .gates import Gate
from .values import Parameters, Rates, Scales

SCALE = "scale"  # the axis of a table's powers under a regime


@dataclass(frozen=True)
class Size:
    """A positive number at the base sizes, and the power of the common scale with which it grows from there."""

    value: float
    power: Fraction = Fraction(0)

    def __mul__(self, other: Size) -> Size:
        return Size(self.value * other.value, self.power + other.power)

    def __truediv__(self, other: Size) -> Size:
        return Size(self.value / other.value, self.power - other.power)

    def limit(self, what: str) -> float:
        """At infinite scale.

        Raises:
            ValueError: if it is infinite.
        """
        if self.power > 0 and self.value:
            raise ValueError(f"this table has no limit: {what} grows as scale^{self.power}")
        return self.value if self.power == 0 else 0.0


@dataclass(frozen=True)
class Parts:
    """The weights and operations of a mixture, by what they do.

    Args:
        embed, router, up, down, readout: weights.
        aggregate: the multiplier before the sum over experts.
        branch: the multiplier of residual branches, or None.
        activation: of the experts.
        gate: ``sigmoid`` or ``softmax``.
        gates: the multiplier of a softmax, or None.
        active: the dimension whose size says how many experts are active, or empty: all.
        residual: the stream is kept.
        norm: the stream is normalised before every block and the readout.
        layers: the dimension of a stack of blocks, or empty: one block.
    """

    embed: str
    router: str
    up: str
    down: str
    readout: str
    aggregate: Node
    branch: Node | None
    activation: str
    gate: str
    gates: Node | None
    active: str
    residual: bool
    norm: bool
    layers: str


class _Walk:
    """From the input to the output, one operation after the other."""

    def __init__(self, architecture: Architecture):
        self.net, self.nodes = architecture, list(architecture.nodes)

    def take(self, op: str, *, kind: str = "", optional: bool = False) -> Node | None:
        """The next operation, which must be this one."""
        if self.nodes and self.nodes[0].op == op and (not kind or self.nodes[0].kind == kind):
            return self.nodes.pop(0)
        if optional:
            return None
        found = f"`{self.nodes[0].op}` (`{self.nodes[0].name}`)" if self.nodes else "the end"
        raise ValueError(
            f"`{self.net.name}` has {found} where a mixture of experts has the operation `{op}`; the solver knows `moe`, and `resmoe`"
        )

    def need(self, op: str, *, kind: str = "") -> Node:
        """`take`, which is not optional."""
        node = self.take(op, kind=kind)
        assert node is not None
        return node

    def parts(self) -> Parts:
        self.need("input")
        embed = self.need("dense").weight
        carry = self.take("carry", optional=True)
        norm = self.take("norm", optional=True)
        router = self.need("dense").weight
        gate = "sigmoid" if self.take("map", kind="sigmoid", optional=True) else "softmax"
        gates = None
        if gate == "softmax":
            self.need("softmax")
            gates = self.need("scale")
        top = self.take("top", optional=True)
        if top:
            self.need("product")
        up, activation = self.need("dense").weight, self.need("map").kind
        self.need("product")
        down, aggregate = self.need("dense").weight, self.need("scale", kind="aggregation")
        self.need("sum")
        branch = self.need("scale") if carry else None
        residual = bool(self.take("collect" if carry else "add", optional=not carry))
        if norm:
            self.need("norm")
        readout = self.need("dense").weight
        if self.nodes or activation not in ACTIVATIONS or len(self.net.weights[up].index) > 1 + bool(carry):
            raise ValueError(f"`{self.net.name}` is another mixture of experts than those the solver knows: `moe`, and `resmoe`")
        names = embed, router, up, down, readout
        active, layers = top.over[-1] if top else "", carry.stack if carry else ""
        return Parts(*names, aggregate, branch, activation, gate, gates, active, residual, bool(norm), layers)


@dataclass(frozen=True)
class ExpertLayout:
    """A mixture of experts whose sizes go to infinity as a regime says; axes that it keeps fixed have their base size.

    Args:
        architecture: `moe` or `resmoe` of `widelimit.theory.experts`.
        table: derived in the regime; it says which terms survive.
        constants: at the base sizes.
        base: sizes of all axes, in the proportions in which they grow.
    """

    architecture: Architecture
    table: ExponentTable
    constants: Constants
    base: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.table.regime is None:
            raise ValueError(f"the table of `{self.table.target}` is for one axis at a time; derive it in a regime of all three")
        if not self.table.rows:
            raise ValueError(f"there is no table for `{self.table.target}`: {self.table.verdict} ({'; '.join(self.table.clash)})")
        if self.parts.active and not self.experts.power:
            raise ValueError("with a fixed number of experts, which of them are active is decided by differences that vanish; let E grow")
        if self.parts.active and self._size(self.parts.active).power != self.experts.power:
            raise ValueError("a fixed number of active experts is a vanishing part of them all; let `active` be a share of the experts")
        for what, wanted in self._numbers().items():
            wanted.limit(what)

    @cached_property
    def parts(self) -> Parts:
        """What is what."""
        return _Walk(self.architecture).parts()

    @property
    def regime(self) -> Regime:
        """How fast axes grow."""
        assert self.table.regime is not None
        return self.table.regime

    def _size(self, *dims: str) -> Size:
        every = [self.architecture.dims[d] for d in dims]
        sizes = self.architecture.sizes(self.base)
        power = sum((dim.powers.at(self.regime) for dim in every), Fraction(0))
        return Size(float(prod(dim.size(sizes, self.architecture.name) for dim in every)), power)

    def _grows(self, powers: Powers) -> Fraction:
        return powers[SCALE] + sum((powers[axis] * self.regime[axis] for axis in self.regime), Fraction(0))

    @property
    def stream(self) -> Size:
        """N."""
        return self._size(*self.architecture.weights[self.parts.up].inn)

    @property
    def neurons(self) -> Size:
        """m, of one expert."""
        return self._size(*self.architecture.weights[self.parts.up].out)

    @property
    def experts(self) -> Size:
        """E."""
        return self._size(*(d for d in self.architecture.weights[self.parts.up].index if d != self.parts.layers))

    @property
    def inputs(self) -> int:
        """Coordinates of a sample."""
        return round(self._size(*self.architecture.weights[self.parts.embed].inn).value)

    @property
    def outputs(self) -> int:
        """Of the network."""
        return round(self._size(*self.architecture.weights[self.parts.readout].out).value)

    @property
    def blocks(self) -> int:
        """One after the other."""
        return round(self._size(self.parts.layers).value) if self.parts.layers else 1

    def shares(self, weight: str) -> bool:
        """Whether all experts start with the same values."""
        return self.table.row(weight).shared_init or bool(self.architecture.weights[weight].shared)

    @cached_property
    def wiring(self) -> Mixing:
        """What programs are compiled for."""
        parts = self.parts
        gate = Gate(parts.gate, self._size(parts.active).value / self.experts.value if parts.active else 1.0)
        shared = tuple(role for role, name in ((UP, parts.up), (DOWN, parts.down)) if self.shares(name))
        return Mixing(parts.activation, gate, parts.residual, parts.norm, self.blocks, shared)

    def draws(self) -> tuple[tuple[bool, bool], ...]:
        """Of router, up and down: whether there is noise, forward and backward."""
        found = self._numbers()
        return tuple((found[f"{one} forward"].limit("") > 0, found[f"{one} backward"].limit("") > 0) for one in ("router", "up", "down"))

    def grid(self, particles: int) -> tuple[int, int]:
        """Experts that are followed and neurons in each, for so many particles.

        A fixed number of experts is represented by one: they are equal in law, their gates are equal, and all their neurons are one
        population.
        """
        experts, neurons = self.experts, self.neurons
        if not experts.power:
            return 1, particles
        if not neurons.power:
            return particles, round(neurons.value)
        return max(8, particles // 8), max(8, particles // 2)

    @property
    def readout_std(self) -> float:
        """Of n times the readout's entries."""
        return self._numbers()["readout"].limit("the readout")

    def _weight(self, name: str) -> tuple[Size, Size, Size]:
        """Variance at initialisation, learning rate and what a step takes, as if the weight's multiplier were one."""
        row, own = self.table.row(name), self.constants.weights[name]
        m = Size(own.multiplier, self._grows(row.multiplier))
        std = Size(own.init_std, self._grows(row.init_std)) * m
        silent = row.zero_init or self.architecture.weights[name].init == "zero"
        rate = Size(own.learning_rate * self.constants.learning_rate, self._grows(row.learning_rate))
        decay = Size(own.weight_decay, self._grows(row.weight_decay)) * rate if row.decayed else Size(0.0)
        return Size(0.0) if silent else std * std, rate * m * m, decay

    def _numbers(self) -> dict[str, Size]:
        """What the limit is made of: noise of matrices (see `experts`), rates of updates, the multiplier of the sum."""
        parts, n, m, e = self.parts, self.stream, self.neurons, self.experts
        own = {name: self._weight(getattr(parts, name)) for name in ("embed", "router", "up", "down", "readout")}
        variance = {name: found[0] for name, found in own.items()}
        one = Size(1.0)
        together = {name: one if self.shares(getattr(parts, name)) else e for name in ("up", "down")}
        natural = {"embed": one / n, "router": n / e, "up": n / (e * m), "down": m / (e * n), "readout": n}
        # a constant in front of the gates is one in front of the sum
        gates = one if parts.gates is None else self._operation(parts.gates) / e
        return {
            "embed": variance["embed"],
            "readout": variance["readout"] * n * n,
            "router forward": variance["router"] * n,
            "router backward": variance["router"] * n * n / e,
            "up forward": variance["up"] * n,
            "up backward": variance["up"] * n * n / (together["up"] * m),
            "down forward": variance["down"] * m / together["down"],
            "down backward": variance["down"] * m * m / n,
            "branch": gates * self._operation(parts.aggregate) * e * (self._operation(parts.branch) if parts.branch else one),
            **{f"rate of {name}": own[name][1] * factor for name, factor in natural.items()},
            **{f"decay of {name}": found[2] for name, found in own.items()},
        }

    def _operation(self, node: Node) -> Size:
        """A multiplier."""
        given = self.table.operation(node.name)
        powers = given.multiplier if given is not None else node.power
        return Size(self.constants.operations.get(node.name, node.at_base(self.base)), self._grows(powers or Powers()))

    def scales(self, tolerance: float) -> Scales:
        """For the compiled program."""
        found = {name: size.limit(name) for name, size in self._numbers().items()}
        gains = tuple((found[f"{one} forward"] ** 0.5, found[f"{one} backward"] ** 0.5) for one in ("router", "up", "down"))
        every = ("router", "up", "down") * self.blocks

        def leaves(value: Mapping[str, float]) -> Parameters:
            number = {name: jnp.asarray(v, float) for name, v in value.items()}
            hidden = tuple(number[name] for name in every)
            return Parameters(number["embed"], hidden, hidden, (), number["readout"], ())

        names = ("embed", "router", "up", "down", "readout")
        rate = {name: found[f"rate of {name}"] for name in names}
        decay = {name: found[f"decay of {name}"] / rate[name] if rate[name] else 0.0 for name in names}
        rates = Rates(leaves(rate), leaves(decay), leaves(dict.fromkeys(names, 0.0)))
        std = {name: jnp.asarray(found[name] ** 0.5, float) for name in ("embed", "readout")}
        arrays = tuple((jnp.asarray(a, float), jnp.asarray(b, float)) for a, b in gains) * self.blocks
        branch, cut = (jnp.asarray(number, float) for number in (found["branch"], tolerance))
        return Scales(rates, (std["embed"], (), std["readout"]), branch, cut, arrays)
