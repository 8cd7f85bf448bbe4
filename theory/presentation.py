"""Rows as the user's parameters: repeated blocks have one row each again, and slices of one parameter are put together."""

from __future__ import annotations

from dataclasses import replace

from .architecture import Architecture, Weight
from .table import COLUMNS, ExponentTable, Row


def whole(name: str) -> str:
    """The parameter of which a weight is a slice (``qkv.weight[1]`` is one of ``qkv.weight``), or its own name."""
    return name.partition("[")[0]


def present(table: ExponentTable, architecture: Architecture) -> ExponentTable:
    """One row per parameter; where its slices scale differently they are the row's ``parts``."""
    if not architecture.parameters:
        return table
    found: dict[str, list[Row]] = {}
    for row in table.rows:
        weight = architecture.weights[row.weight]
        for name in weight.copies or (row.weight,):
            found.setdefault(whole(name) if weight.part_of else name, []).append(replace(row, weight=name))
    order = {name: i for i, name in enumerate(architecture.parameters)}
    rows = tuple(_joined(name, found[name]) for name in sorted(found, key=lambda name: order.get(name, len(order))))
    nearest = None if table.nearest is None else present(table.nearest, architecture)
    cases = tuple(replace(case, table=case.table and present(case.table, architecture)) for case in table.cases)
    return replace(table, rows=rows, nearest=nearest, cases=cases)


def _joined(name: str, parts: list[Row]) -> Row:
    equal = all(getattr(p, c) == getattr(parts[0], c) for p in parts for c in (*COLUMNS, "decayed"))
    return replace(parts[0], weight=name, parts=() if equal else tuple(parts))


def stands_for(architecture: Architecture, name: str) -> list[str]:
    """The weights of the architecture of which the row of a parameter speaks: itself, its slices, or the block it copies."""

    def speaks_of(weight: Weight) -> bool:
        return any(name in (copy, whole(copy) if weight.part_of else copy) for copy in weight.copies or (weight.name,))

    return [weight.name for weight in architecture.weights.values() if speaks_of(weight)]
