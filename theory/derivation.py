"""From an architecture and an optimizer to its table: solve the desiderata, read off the rates, say how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from .alignment import Given as Alignment
from .alignment import numbers, read_alignment, symbols
from .architecture import Architecture
from .case import Case
from .closed_form import find_closed_form
from .decay_desiderata import need_steady, without_decay
from .desiderata import find_desiderata
from .optimizers import Optimizer, find_optimizer
from .presentation import present, stands_for
from .propagate import Pruning
from .scales import Axis, Powers, Regime
from .table import COLUMNS, ExponentTable

Fixed = Mapping[str, Mapping[str, Powers]]


def derive(
    architecture: Architecture,
    optimizer: str | Optimizer = "adamw",
    *,
    desiderata: str = "mup",
    regime: Regime | None = None,
    gauge: str = "multiplier-free",
    alignment: Alignment = "words",
    fixed: ExponentTable | Fixed | None = None,
    closed_form: bool = False,
    prove: bool = True,
    pruning: Pruning = Pruning(),
) -> ExponentTable:
    """Derive how every weight must scale.

    Args:
        architecture: the network.
        optimizer: a name or an `Optimizer`.
        desiderata: a set of them (see `theory.desiderata`).
        regime: how fast the axes grow; by default every axis that grows does so alone, the others fixed, and the powers
            of all of them are put together in one table.
        gauge: how the freedom between multiplier and weight is used.
        alignment: ``words`` (derived), or exponents in place of it, for all weights or single ones (see `read_alignment`); with
            symbols the table has the rows of full alignment, and `ExponentTable.cases` has the pieces.
        fixed: initialisations and multipliers that are given: a table, or ``{weight: {column: Powers}}``.
        prove: where no table is found, search for a proof that there is none; without, the verdict is ``not decided``, and what was not
            met is its clash.
        closed_form: under a regime that ties axes, look for powers of each axis as well (see `theory.closed_form`).
        pruning: the order and the cuts of the calculus.

    Returns:
        The table with its verdict; it has no rows where that is ``infeasible`` or ``not decided``. Under a regime that ties
        axes its powers are those of ``scale``.

    Raises:
        ValueError: for an unknown name, or a regime that does not fit the architecture.
    """
    how, names = find_optimizer(optimizer), find_desiderata(desiderata)
    fixed_out = (w.name for w in architecture.weights.values() if not architecture.monomial(w.out))
    aligned = read_alignment(alignment, architecture.weights, fixed_out)
    given = _given(architecture, fixed, how)
    need_steady(how, names)
    grown = regime.grown if regime is not None else tuple(axis.name for axis in architecture.axes if axis.power)

    def solve(one: Regime, key: str, *, beside: bool = False) -> ExponentTable:
        case = Case(architecture, how, names, one, key, numbers(aligned), grown, quick=beside or not prove)
        solved = case.solve(given, pruning)
        for small in () if beside else case.waists(solved):
            other = replace(case, small=small)
            again = other.solve(given, pruning)
            if again.found:
                case, solved = other, again
                break
        table = case.table(solved, desiderata, given)
        return table if not symbols(aligned) else replace(case, alignment=aligned).with_cases(table, given, pruning)

    if regime is not None:
        regime.check([axis.name for axis in architecture.axes], architecture.name)
        regimes = {regime.key: regime}
    else:
        regimes = {axis.name: alone(architecture, axis) for axis in architecture.axes if axis.name in grown}
    if symbols(aligned) and len(regimes) > 1:
        axes = ", ".join(regimes)
        raise ValueError(f"alignment with symbols needs one growing axis; give a regime that fixes the others of {axes}")
    table, *others = (solve(one, key) for key, one in regimes.items())
    for other in others:
        table = _join(table, other)
    if closed_form and regime is not None and "scale" in regimes:
        found = find_closed_form(table, regime, lambda near: solve(near, "scale", beside=True))
        table = replace(table, per_axis=found, notes=found.notes if found else table.notes)
    table = replace(table, regime=regime, notes=(*table.notes, *without_decay(how, names)))
    return present(table, architecture).in_gauge(gauge)


def alone(architecture: Architecture, axis: Axis) -> Regime:
    """One axis grows, the others are fixed."""
    return Regime({a.name: axis.power if a is axis else Fraction(0) for a in architecture.axes})


def _given(architecture: Architecture, fixed: ExponentTable | Fixed | None, optimizer: Optimizer) -> dict[str, Powers]:
    """What is given, in the multiplier-free gauge: initial weights ``std:W``, multipliers ``mult:O``, updates ``rate:W``.

    Of a whole table the multipliers and initialisations are taken; rates only where they are named.
    """
    if fixed is None:
        return {}
    given: dict[str, Powers] = {}
    if isinstance(fixed, ExponentTable):
        operations = {o.name: {"multiplier": o.multiplier} for o in fixed.operations}
        rows = {name: fixed.row(name) for name in architecture.weights}
        fixed = {n: {"multiplier": r.multiplier, "init_std": r.init_std} for n, r in rows.items() if not r.zero_init} | operations
    else:
        fixed = {own: columns for name, columns in fixed.items() for own in stands_for(architecture, name) or (name,)}
    for name, columns in fixed.items():
        for column in columns:
            if column not in ("multiplier", "init_std", "learning_rate"):
                raise ValueError(f"`{column}` of `{name}` cannot be fixed; give multiplier, init_std or learning_rate (the rest follows)")
        multiplier = columns.get("multiplier", Powers())
        if name in architecture.weights:
            if "init_std" in columns and architecture.weights[name].init == "gaussian":
                given[f"std:{name}"] = columns["init_std"] * multiplier
            if "learning_rate" in columns:
                given[f"rate:{name}"] = columns["learning_rate"] * multiplier ** (1 + optimizer.degree)
        elif any(o.name == name for o in architecture.operations):
            given[f"mult:{name}"] = multiplier
        else:
            raise ValueError(f"`{architecture.name}` has no weight or multiplier `{name}` to fix")
    return given


def _join(first: ExponentTable, second: ExponentTable) -> ExponentTable:
    """Two tables, each of one axis alone, as one; it has rows only if both have."""
    rows, operations = [], []
    if first.rows and second.rows:
        for a, b in zip(first.rows, second.rows, strict=True):
            columns = {c: getattr(a, c) * getattr(b, c) for c in COLUMNS}
            rows.append(replace(a, **columns, reason=a.reason + " | " + b.reason))
        for a, b in zip(first.operations, second.operations, strict=True):
            operations.append(replace(a, multiplier=a.multiplier * b.multiplier))
    verdicts = ("infeasible", "not decided", "family", "unique")
    return replace(
        first, rows=tuple(rows), operations=tuple(operations), verdict=min(first.verdict, second.verdict, key=verdicts.index),
        free=first.free + second.free, clash=first.clash + second.clash,
        notes=first.notes + second.notes, nearest=None, certificates=first.certificates + second.certificates,
    )  # fmt: skip
