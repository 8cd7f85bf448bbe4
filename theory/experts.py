"""Mixtures of experts as architectures, and the regimes in which they are scaled (arXiv 2605.14200, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from .architecture import Architecture
from .graph import Graph
from .scales import Axis, Powers, Rational, Regime, as_fraction

REGIMES = {
    "I": Regime(n=1, m=1, E=0),
    "II": Regime(n=1, m=0, E=1),
    "III": Regime(n=1, m=1, E=1),
}
"""Wider experts; more experts of fixed width; more and wider experts."""
GATES = ("sigmoid", "softmax")


def axes(base: Mapping[str, int] | None = None) -> tuple[Axis, ...]:
    """Width n, experts' width m and their number E, with their base sizes: 64, 64 and 8 where nothing else is given."""
    sizes = {"n": 64, "m": 64, "E": 8} | dict(base or {})
    meanings = {"n": "width", "m": "expert width", "E": "experts"}
    return tuple(Axis(axis, base=sizes[axis], meaning=meaning) for axis, meaning in meanings.items())


@dataclass(frozen=True)
class Mixture:
    """How experts are mixed: ``1/E sum_i gate(q_i x) V_i phi(W_i x)``.

    Args:
        gate: of the logits: ``sigmoid``, or ``softmax`` over the experts, multiplied by E.
        active: experts that a sample reaches, those with the largest logits: a share of all below 1, or a number from 1; None: all.
            Their gates are divided by the share.
        activation: of the experts.
        grouped: the experts come in n/m groups; those of a group start with the same weights.
        tied: all experts start with the same weights.
        dense: add one expert of width n that every sample reaches with gate 1.

    Raises:
        ValueError: if there is no such gate, or so many experts cannot be active.
    """

    gate: str = "sigmoid"
    active: Rational | None = None
    activation: str = "gelu"
    grouped: bool = False
    tied: bool = False
    dense: bool = False

    def __post_init__(self) -> None:
        if self.gate not in GATES:
            raise ValueError(f"`gate` is `{self.gate}`; choose sigmoid or softmax")
        if self.active is not None:
            share = as_fraction(self.active, "`active`")
            if share <= 0 or (share > 1 and share.denominator != 1):
                raise ValueError(f"`active` is {self.active}; give a share of the experts between 0 and 1, or a whole number of them")

    @property
    def index(self) -> tuple[str, ...]:
        """The dimensions that count experts."""
        return ("group", "member") if self.grouped else ("expert",)

    def declare(self, g: Graph) -> None:
        """Add the dimensions of the experts to a graph that has those of the stream, n."""
        g.dims(**({"group": Powers(n=1, m=-1), "member": Powers(E=1, n=-1, m=1)} if self.grouped else {"expert": "E"}))
        g.dims(m="m")
        if self.active is not None:
            share = as_fraction(self.active)
            g.dims(active=(share, "E") if share < 1 else int(share))
        if self.dense:
            g.dims(wide="n")

    def add(self, g: Graph, x: str, *, label: str = "", layers: tuple[str, ...] = ()) -> str:
        """The mixture of what experts make of ``x``; weights start with ``label`` and come one for each of the layers."""
        experts = (*layers, *self.index)
        equal = ("member",) if self.grouped else self.index if self.tied else ()
        gates = self._gates(g, g.dense(f"{label}router", x, self.index, index=layers), label)
        z = g.map(self.activation, g.dense(f"{label}up", x, "m", index=experts, shared=equal))
        out = g.dense(f"{label}down", g.product(gates, z), "n", over="m", index=experts, shared=equal)
        mixed = g.sum(g.scale(out, Powers(E=-1), kind="aggregation", name=f"{label}aggregate"), self.index)
        if not self.dense:
            return mixed
        h = g.map(self.activation, g.dense(f"{label}dense_up", x, "wide", index=layers))
        return g.add(mixed, g.dense(f"{label}dense_down", h, "n", over="wide", index=layers))

    def _gates(self, g: Graph, logits: str, label: str) -> str:
        if self.gate == "sigmoid":
            gates = g.map("sigmoid", logits)
        else:
            gates = g.scale(g.softmax(logits, self.index), Powers(E=1), name=f"{label}gates")
        return gates if self.active is None else g.product(gates, g.top(logits, self.index, "active", name=f"{label}routes"))


def moe(
    *,
    residual: bool = True,
    gate: str = "sigmoid",
    active: Rational | None = None,
    activation: str = "gelu",
    inputs: int = 64,
    outputs: int = 10,
    grouped: bool = False,
    dense: bool = False,
    base: Mapping[str, int] | None = None,
) -> Architecture:
    """A mixture of E experts of width m on a stream of width n: ``s = u + 1/E sum_i gate(q_i u) V_i phi(W_i u)``.

    The multiplier 1/E stands before the sum.

    Args:
        residual: keep u in s.
        gate: see `Mixture`; likewise ``active``, ``activation``, ``grouped`` and ``dense``.
        inputs: of the embedding.
        outputs: of the readout.
        base: sizes of the axes at which all parameterisations coincide, where they are not those of `axes`.
    """
    mixture = Mixture(gate, active, activation, grouped=grouped, dense=dense)
    g = Graph("moe", axes(base))
    g.dims(x=inputs, n="n", y=outputs)
    mixture.declare(g)
    u = g.dense("embed", g.input("x"), "n")
    mixed = mixture.add(g, u)
    return g.build(g.dense("readout", g.add(u, mixed) if residual else mixed, "y"))


def resmoe(
    *,
    branch: Rational | None = -1,
    gate: str = "sigmoid",
    active: Rational | None = None,
    activation: str = "gelu",
    norm: str = "rms",
    inputs: int = 64,
    outputs: int = 10,
    tied: bool = False,
    dense: bool = False,
) -> Architecture:
    """L pre-norm residual blocks, each a mixture of experts, multiplied by L^branch (None: unknown).

    Args:
        branch: power of the depth in the multiplier of every block.
        gate: see `Mixture`; likewise ``active``, ``activation``, ``tied`` and ``dense``.
        norm: ``rms`` or ``layer``, before every block and the readout.
        inputs: of the embedding.
        outputs: of the readout.
    """
    mixture = Mixture(gate, active, activation, tied=tied, dense=dense)
    g = Graph("resmoe", (*axes(), Axis("L", base=4, meaning="depth")))
    g.dims(x=inputs, n="n", y=outputs, layer="L")
    mixture.declare(g)
    with g.stack("layer", g.dense("embed", g.input("x"), "n")) as stack:
        mixed = mixture.add(g, g.norm(stack.stream, kind=norm), layers=("layer",))
        power = None if branch is None else Powers(L=branch)
        x = stack.add(g.scale(mixed, power, kind="residual", at_base=Powers(L="-1/2"), name="branch"))
    return g.build(g.dense("readout", g.norm(x, kind=norm), "y"))


def named_regime(name: str, architecture: Architecture) -> Regime:
    """A regime of `REGIMES` for any architecture with experts: heads grow with the width, at a fixed head dimension; depth is fixed.

    Raises:
        ValueError: if the architecture has no experts, or an axis of which the regime says nothing.
    """
    rest = {"heads": Fraction(1), "L": Fraction(0)}
    axes = [axis.name for axis in architecture.axes]
    if missing := [axis for axis in REGIMES[name] if axis not in axes] or [axis for axis in axes if axis not in {*REGIMES[name], *rest}]:
        raise ValueError(
            f"regime {name} is one of mixtures of experts (axes n, m, E), and does not fit the axis `{missing[0]}` of `{architecture.name}`"
        )
    return Regime({axis: rest[axis] if axis in rest else REGIMES[name][axis] for axis in axes})
