"""From powers to numbers: constants times (size / base) ** power for every weight and operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose

from ..theory.architecture import Architecture, Node
from ..theory.constants import Constants, WeightConstants
from ..theory.scales import Powers
from ..theory.table import COLUMNS, ExponentTable, Row

COMMON_SCALE = "scale"
"""The axis of a table under a regime that ties the sizes to one common scale."""


@dataclass(frozen=True)
class WeightScaling:
    """The numbers with which one weight is built and trained.

    Args:
        init: ``gaussian``, ``zero`` or ``ones``.
        shared_init: all matrices along the index dimensions (not layers of a stack) start equal.
        trained: whether it has a learning rate.
    """

    init: str
    init_std: float
    multiplier: float
    learning_rate: float
    epsilon: float
    weight_decay: float
    damping: float
    shared_init: bool
    trained: bool


@dataclass(frozen=True)
class Scaling:
    """All numbers of a network of given sizes: per weight, per operation, and the sizes of its dimensions."""

    dims: Mapping[str, int]
    weights: Mapping[str, WeightScaling]
    operations: Mapping[str, float]


def scale(
    architecture: Architecture,
    table: ExponentTable,
    constants: Constants | None = None,
    *,
    sizes: Mapping[str, int],
    base: Mapping[str, int] | None = None,
) -> Scaling:
    """Evaluate a table: ``constant * prod_a (size_a / base_a) ** power_a`` in every column.

    Args:
        architecture: whose weights and operations are scaled.
        table: one row per weight.
        constants: values at the base sizes; the default is ``Constants.default``.
        sizes: sizes of the axes; those left out have their base size.
        base: base sizes, by default the architecture's; ``{axis: 1}`` is the absolute form.

    Raises:
        ValueError: if a row, a constant or an operation is missing, or a size is impossible; it is named.
    """
    if table.verdict in ("infeasible", "not decided"):
        raise ValueError(f"the table of `{table.target}` is {table.verdict} ({'; '.join(table.clash)}); there is nothing to build")
    sizes, base = architecture.sizes(sizes), architecture.sizes(base or {})
    constants = constants or Constants.default(architecture, base=base)
    ratios = _ratios(table, sizes, base)
    return Scaling(
        dims={name: dim.size(sizes, architecture.name) for name, dim in architecture.dims.items()},
        weights={name: _weight(architecture, name, table, constants, ratios) for name in architecture.weights},
        operations={n.name: _operation(n, table, constants, ratios, base) for n in architecture.operations},
    )


def _ratios(table: ExponentTable, sizes: Mapping[str, int], base: Mapping[str, int]) -> dict[str, float]:
    """Size over base per axis; the common scale of a regime as well, where the sizes follow the regime."""
    ratios = {axis: size / base[axis] for axis, size in sizes.items()}
    if table.regime is None:
        return ratios
    implied = [ratios[axis] ** (1 / float(table.regime[axis])) for axis in table.regime.grown if axis in ratios]
    if implied and all(isclose(value, implied[0], rel_tol=1e-9) for value in implied):
        ratios[COMMON_SCALE] = implied[0]
    return ratios


def _value(powers: Powers, ratios: Mapping[str, float], what: str) -> float:
    for axis in powers:
        if axis == COMMON_SCALE and axis not in ratios:
            raise ValueError(f"{what} scales with the common scale of a regime, which these sizes do not follow")
        if axis not in ratios:
            raise ValueError(f"{what} scales with the unknown axis `{axis}` (known: {', '.join(ratios)})")
    return powers(ratios)


def _weight(
    architecture: Architecture, name: str, table: ExponentTable, constants: Constants, ratios: Mapping[str, float]
) -> WeightScaling:
    weight, row = architecture.weights[name], _row(table, name)
    if name not in constants.weights:
        raise ValueError(f"the constants lack the weight `{name}` (they have {', '.join(constants.weights)})")
    own: WeightConstants = constants.weights[name]
    value = {c: getattr(own, c) * _value(getattr(row, c), ratios, f"`{c}` of `{name}`") for c in COLUMNS}
    value["learning_rate"] *= constants.learning_rate
    value["weight_decay"] *= row.decayed
    return WeightScaling(
        init="zero" if row.zero_init else weight.init,
        shared_init=row.shared_init,
        trained=row.trained and weight.trained,
        **value,
    )


def _row(table: ExponentTable, name: str) -> Row:
    try:
        row = table.row(name)
    except KeyError as error:
        raise ValueError(str(error.args[0])) from None
    for part in row.parts:
        if any(getattr(part, c) != getattr(row, c) for c in COLUMNS):
            raise ValueError(f"`{name}` has parts that scale differently (`{part.weight}`); build needs one weight for each")
    return row


def _operation(node: Node, table: ExponentTable, constants: Constants, ratios: Mapping[str, float], base: Mapping[str, int]) -> float:
    given = table.operation(node.name)
    powers = given.multiplier if given is not None else node.power
    if powers is None:
        raise ValueError(f"the table of `{table.target}` lacks the operation `{node.name}`, and the architecture gives no power")
    constant = constants.operations.get(node.name, node.at_base(base))
    return constant * _value(powers, ratios, f"the operation `{node.name}`")
