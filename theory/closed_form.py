"""Powers of each axis behind a table of one joint regime: they exist where the exponents are linear in the regime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

from .scales import Powers, Regime
from .table import COLUMNS, ExponentTable

STEPS = (Fraction(1, 8), Fraction(-1, 8))


def find_closed_form(table: ExponentTable, regime: Regime, derive_at: Callable[[Regime], ExponentTable]) -> ExponentTable | None:
    """The table as powers of the axes, or None where there is no single one around this regime.

    Exponents are homogeneous and piecewise linear in the powers ``p_a`` of the axes. The slopes ``s_a`` towards faster
    (or slower) growing axes are the closed form if all cells obey Euler's identity ``sum_a p_a s_a = exponent``: then
    regime and neighbours lie in one linear piece.

    Args:
        table: derived under ``regime``, in powers of ``scale``.
        regime: it ties axes.
        derive_at: the same derivation under another regime.
    """
    if table.verdict != "unique":
        return None
    for step in STEPS:
        try:
            near = {axis: derive_at(Regime({**regime, axis: regime[axis] + step})) for axis in regime.grown}
        except ValueError:  # a dimension shrinks there: this regime is on the edge of what is possible
            continue
        if all(other.verdict == "unique" for other in near.values()) and (found := _assemble(table, regime, near, step)):
            return found
    return None


def _assemble(table: ExponentTable, regime: Regime, near: Mapping[str, ExponentTable], step: Fraction) -> ExponentTable | None:
    rows, operations = [], []
    for i, row in enumerate(table.rows):
        columns = {c: _powers(getattr(row, c), {a: getattr(t.rows[i], c) for a, t in near.items()}, regime, step) for c in COLUMNS}
        if None in columns.values():
            return None
        rows.append(replace(row, **columns))
    for i, operation in enumerate(table.operations):
        powers = _powers(operation.multiplier, {a: t.operations[i].multiplier for a, t in near.items()}, regime, step)
        if powers is None:
            return None
        operations.append(replace(operation, multiplier=powers))
    return replace(table, rows=tuple(rows), operations=tuple(operations))


def _powers(cell: Powers, near: Mapping[str, Powers], regime: Regime, step: Fraction) -> Powers | None:
    found = Powers({axis: (other["scale"] - cell["scale"]) / step for axis, other in near.items()})
    return found if found.at(regime) == cell["scale"] else None
