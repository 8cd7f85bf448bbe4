"""Published tables of mixtures of experts: powers of the width n, the experts' width m, their number E and the depth L."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..architecture import Architecture, Weight
from ..scales import Powers
from ..table import ExponentTable, Operation, Row, Shape

Entry = tuple[Powers, Powers, Powers]
"""Initial standard deviation, learning rate, epsilon."""


@dataclass(frozen=True)
class PublishedMixture:
    """A published parameterisation of mixtures of experts.

    Args:
        name: how it is called.
        source: paper.
        optimizer: its name in `theory.optimizers`.
        entries: by kind of weight: ``embed``, ``router``, ``up``, ``down`` (of the experts), ``readout``.
        status: ``read`` at the source, or ``second-hand``.
        note: what the source leaves open, and what was taken.
    """

    name: str
    source: str
    optimizer: str
    entries: Mapping[str, Entry]
    status: str = "read"
    note: str = ""


ONE = Powers()
JIANG = PublishedMixture(
    "jiang",
    "Jiang, Bordelon, Pehlevan and Hanin (2601.20205), router std n^-1",
    "adam",
    {
        "embed": (ONE, ONE, Powers(n=-1)),
        "router": (Powers(n=-1), Powers(n=-1), Powers(n=-1, L=-1)),
        "up": (Powers(n="-1/2"), Powers(n=-1), Powers(m=-1, L=-1)),
        "down": (Powers(n="1/2", m=-1), Powers(m=-1), Powers(n=1, m=-2, L=-1)),
        "readout": (Powers(n=-1), Powers(n=-1), ONE),
    },
    "second-hand",
    "initialisation and rate of embedding and readout are not in the notes: muP's; biases of the router have rate 1",
)


def published_mixture(table: PublishedMixture, architecture: Architecture) -> ExponentTable:
    """A published table laid over an architecture; weights are matched by which sizes their fans have, never by name.

    Raises:
        ValueError: if the table says nothing of one of the weights or multipliers.
    """
    known = {axis.name for axis in architecture.axes}
    rows = []
    for weight in architecture.weights.values():
        kind = _kind(weight, architecture)
        if kind not in table.entries:
            raise ValueError(
                f"`{table.name}` ({table.source}) says nothing of the weight `{weight.name}` of `{architecture.name}` "
                f"(it has {', '.join(table.entries)})"
            )
        std, rate, epsilon = (Powers({a: p for a, p in powers.items() if a in known}) for powers in table.entries[kind])
        shape = Shape(*(architecture.monomial(dims) for dims in (weight.out, weight.inn, weight.index)))
        zero = weight.init == "zero"
        rows.append(Row(weight.name, shape, init_std=std, learning_rate=rate, epsilon=epsilon, zero_init=zero, trained=weight.trained))
    if free := [node.name for node in architecture.operations if node.power is None]:
        raise ValueError(f"`{table.name}` ({table.source}) says nothing of the multiplier `{free[0]}` of `{architecture.name}`")
    operations = tuple(Operation(n.name, n.kind, n.power or ONE) for n in architecture.operations)
    return ExponentTable(architecture.name, table.optimizer, tuple(rows), operations, notes=(table.note,))


def _kind(weight: Weight, architecture: Architecture) -> str:
    """The kind of a weight by its sizes; those of no mixture have an empty one."""
    out, inn = architecture.monomial(weight.out), architecture.monomial(weight.inn)
    several = "E" in architecture.monomial(architecture.index_of(weight.name))
    n, m, experts = Powers(n=1), Powers(m=1), Powers(E=1)
    kinds = {(n, ONE, False): "embed", (ONE, n, False): "readout", (experts, n, False): "router", (m, n, True): "up", (n, m, True): "down"}
    return kinds.get((out, inn, several), "")
