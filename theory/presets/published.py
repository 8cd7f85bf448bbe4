"""Published tables by name, laid over an architecture."""

from __future__ import annotations

from ..architecture import Architecture, Node, Weight
from ..scales import Axis, Powers
from ..table import ExponentTable, Operation, Row, Shape
from .everett import EVERETT
from .matrix_optimizers import MATRIX_OPTIMIZERS
from .record import Published
from .tensor_programs import TP4, TP4B, TP5

PUBLISHED: dict[str, Published] = {table.name: table for table in (*TP4, *TP4B, *TP5, *EVERETT, *MATRIX_OPTIMIZERS)}


def published(name: str, architecture: Architecture) -> ExponentTable:
    """A published width-only table for the weights of an architecture.

    Weights are matched by which of their fans grow with the width, never by name.

    Args:
        name: a key of `PUBLISHED`.
        architecture: the network; its first growing axis is the width.

    Raises:
        ValueError: if there is no table of this name, or if it says nothing of one of the weights or multipliers.
    """
    if name not in PUBLISHED:
        raise ValueError(f"unknown published table `{name}`; choose from {', '.join(PUBLISHED)}")
    table, width = PUBLISHED[name], next(axis for axis in architecture.axes if axis.power)
    roles = {weight.name: _role(weight, architecture, width) for weight in architecture.weights.values()}
    hidden = 1 + sum(role == "hid" for role in roles.values())
    if table.layers is not None and hidden != table.layers:
        raise ValueError(f"`{name}` ({table.source}) holds for {table.layers} hidden layer, and `{architecture.name}` has {hidden}")
    rows = tuple(_row(table, roles[weight.name], weight, architecture, width) for weight in architecture.weights.values())
    operations = tuple(Operation(n.name, n.kind, _multiplier(table, n, architecture, width)) for n in architecture.operations)
    notes = tuple(text for text in (table.source, table.note) if text)
    return ExponentTable(architecture.name, table.optimizer, rows, operations, notes=notes)


def _role(weight: Weight, architecture: Architecture, width: Axis) -> str:
    """Which of the fans grow with the width."""
    grows = []
    for dims in (weight.out, weight.inn):
        fan = architecture.monomial(dims)
        if fan not in (Powers(), Powers({width.name: 1})):
            raise ValueError(f"a fan of the weight `{weight.name}` grows as {fan}; published tables know only {width.name}")
        grows.append(bool(fan))
    return {(True, False): "in", (True, True): "hid", (False, True): "out", (False, False): "scalar"}[grows[0], grows[1]]


def _row(table: Published, role: str, weight: Weight, architecture: Architecture, width: Axis) -> Row:
    entry = table.entry(role)
    power = lambda exponent: Powers({width.name: exponent})  # noqa: E731
    shape = Shape(*(architecture.monomial(dims) for dims in (weight.out, weight.inn, weight.index)))
    # a gain starts at one whatever the table's std and multiplier: the product is what is meant
    std = -entry.multiplier if weight.init == "ones" else entry.init_std
    return Row(
        weight.name, shape, power(entry.multiplier), power(std), power(entry.learning_rate), power(entry.epsilon or 0),
        zero_init=weight.init == "zero", trained=weight.trained,
    )  # fmt: skip


def _multiplier(table: Published, node: Node, architecture: Architecture, width: Axis) -> Powers:
    """Multipliers that sit on no weight: imposed ones stay, attention's and a tied output's are the table's."""
    if node.power is not None:
        return node.power
    if node.kind == "attention logits" and table.attention is not None:
        head = node.at_base**-2  # at the base the logits are divided by the root of the head dimension
        return Powers({width.name: head[width.name] * table.attention})
    if node.kind == "output":
        first, last = table.entry("in"), table.entry("out")
        if (first.init_std, first.learning_rate) == (last.init_std, last.learning_rate):
            return Powers({width.name: last.multiplier - first.multiplier})
        raise ValueError(
            f"`{table.name}` gives embedding and readout different initialisations or rates, so that "
            f"`{architecture.name}` cannot tie them; take the same table in another gauge (TP V: 8 or 9)"
        )
    raise ValueError(f"`{table.name}` ({table.source}) says nothing of the multiplier `{node.name}` of `{architecture.name}`")
