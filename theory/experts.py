"""Mixtures of experts as architectures, and the regimes in which they are scaled (arXiv 2605.14200, section 2)."""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture
from .graph import Graph
from .scales import Axis, Powers, Regime

REGIMES = {
    "I": Regime(n=1, m=1, E=0),
    "II": Regime(n=1, m=0, E=1),
    "III": Regime(n=1, m=1, E=1),
}
"""Wider experts; more experts of fixed width; more and wider experts."""


def moe(
    *,
    residual: bool = True,
    gate: str = "sigmoid",
    activation: str = "gelu",
    inputs: int = 64,
    outputs: int = 10,
    grouped: bool = False,
    base: Mapping[str, int] | None = None,
) -> Architecture:
    """A mixture of E experts of width m on a stream of width n: ``s = u + 1/E sum_i gate(q_i u) V_i phi(W_i u)``.

    Every expert is active; the multiplier 1/E stands before the sum.

    Args:
        residual: keep u in s.
        gate: of the logits: ``sigmoid``, or ``softmax`` over the experts, multiplied by E.
        activation: of the experts.
        inputs: of the embedding.
        outputs: of the readout.
        grouped: the experts come in n/m groups; those of a group start with the same weights.
        base: sizes of the axes at which all parameterisations coincide, where they are not n = m = 64 and E = 8.
    """
    if gate not in ("sigmoid", "softmax"):
        raise ValueError(f"`gate` is `{gate}`; choose sigmoid or softmax")
    sizes = {"n": 64, "m": 64, "E": 8} | dict(base or {})
    meanings = {"n": "width", "m": "expert width", "E": "experts"}
    g = Graph("moe", [Axis(axis, base=sizes[axis], meaning=meaning) for axis, meaning in meanings.items()])
    groups = {"group": Powers(n=1, m=-1), "member": Powers(E=1, n=-1, m=1)} if grouped else {"expert": Powers(E=1)}
    g.dims(x=inputs, n="n", m="m", y=outputs, **groups)
    index, shared = tuple(groups), ("member",) if grouped else ()
    u = g.dense("embed", g.input("x"), "n")
    logits = g.dense("router", u, index)
    gates = g.map("sigmoid", logits) if gate == "sigmoid" else g.scale(g.softmax(logits, "expert"), Powers(E=1), name="gates")
    z = g.map(activation, g.dense("up", u, "m", index=index, shared=shared))
    out = g.dense("down", g.product(gates, z), "n", over="m", index=index, shared=shared)
    mixed = g.sum(g.scale(out, Powers(E=-1), kind="aggregation", name="aggregate"), index)
    return g.build(g.dense("readout", g.add(u, mixed) if residual else mixed, "y"))
