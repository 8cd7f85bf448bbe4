"""Powers of each axis behind a table of one joint regime: they exist where the exponents are linear in the regime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product

from .scales import Powers, Regime
from .table import COLUMNS, ExponentTable

STEPS = (Fraction(1, 8), Fraction(-1, 8))


def find_closed_form(table: ExponentTable, regime: Regime, derive_at: Callable[[Regime], ExponentTable]) -> ExponentTable | None:
    """The table as powers of the axes, or None where there is no single one around this regime.

    Exponents are homogeneous and piecewise linear in the powers ``p_a`` of the axes. The slopes ``s_a`` towards faster
    (or slower) growing axes, each on one side, are the closed form if all cells obey Euler's identity ``sum_a p_a s_a = exponent``: then
    regime and neighbours lie in one linear piece.

    Args:
        table: derived under ``regime``, in powers of ``scale``.
        regime: it ties axes.
        derive_at: the same derivation under another regime.
    """
    if table.verdict != "unique":
        return None
    near: dict[tuple[str, Fraction], ExponentTable | None] = {}

    def beside(axis: str, step: Fraction) -> ExponentTable | None:
        if (axis, step) not in near:
            try:
                other = derive_at(Regime({**regime, axis: regime[axis] + step}))
            except ValueError:  # a dimension shrinks there: this regime is on the edge of what is possible
                other = None
            near[axis, step] = other if other is not None and other.verdict == "unique" else None
        return near[axis, step]

    for steps in product(STEPS, repeat=len(regime.grown)):
        sides = dict(zip(regime.grown, steps, strict=True))
        tables = {axis: one for axis, step in sides.items() if (one := beside(axis, step)) is not None}
        if len(tables) == len(sides) and (found := _assemble(table, regime, tables, sides)):
            if len(near) == len(sides) and None not in near.values():
                return found
            where = ", ".join(f"{axis}={regime[axis] + step}" for axis, step in sides.items())
            return replace(found, notes=(*found.notes, f"powers of each axis on one side of this regime only: towards {where}"))
    return None


def _assemble(
    table: ExponentTable, regime: Regime, near: Mapping[str, ExponentTable], steps: Mapping[str, Fraction]
) -> ExponentTable | None:
    rows, operations = [], []
    for i, row in enumerate(table.rows):
        columns = {c: _powers(getattr(row, c), {a: getattr(t.rows[i], c) for a, t in near.items()}, regime, steps) for c in COLUMNS}
        if None in columns.values():
            return None
        rows.append(replace(row, **columns))
    for i, operation in enumerate(table.operations):
        powers = _powers(operation.multiplier, {a: t.operations[i].multiplier for a, t in near.items()}, regime, steps)
        if powers is None:
            return None
        operations.append(replace(operation, multiplier=powers))
    return replace(table, rows=tuple(rows), operations=tuple(operations))


def _powers(cell: Powers, near: Mapping[str, Powers], regime: Regime, steps: Mapping[str, Fraction]) -> Powers | None:
    found = Powers({axis: (other["scale"] - cell["scale"]) / steps[axis] for axis, other in near.items()})
    return found if found.at(regime) == cell["scale"] else None
