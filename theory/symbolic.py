"""Tables with symbols for alignment exponents: piecewise, with the conditions of each piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from .chaining import find_chain
from .refutation import Certificate, Leaf, branches, mix
from .regions import Affine, Place, Region, box, explore, primitive
from .scales import Powers, Rational, affine_text
from .table import COLUMNS, ExponentTable
from .table import Row as TableRow

if TYPE_CHECKING:
    from .linear import Row
    from .propagate import Net, Report
    from .solve import Solution, Solver
    from .words import Piece

LOW, HIGH = Fraction(1, 2), Fraction(1)
SLACK = Fraction(2)  # terms that far below the largest may be the largest elsewhere
ELSEWHERE = ("elsewhere",)
Solved = tuple["Solver", "Solution"]
Sizes = dict[str, tuple[Fraction, Fraction]]
Write = Callable[[Mapping[str, Fraction], Sizes], ExponentTable]


@dataclass(frozen=True)
class Case:
    """One piece of a piecewise table: where it holds, and its powers, in which ``n^alpha`` is n to the power of a symbol.

    Where the verdict is ``infeasible`` or ``not decided`` there is no table.
    """

    conditions: tuple[str, ...]
    verdict: str
    table: ExponentTable | None = None

    def at(self, **values: Rational) -> ExponentTable:
        """The table with numbers for the symbols.

        Raises:
            ValueError: if there is none in this piece.
        """
        if self.table is None:
            raise ValueError(f"there is no table where {' and '.join(self.conditions)}: {self.verdict}")
        rows = tuple(_numbers(row, values) for row in self.table.rows)
        operations = tuple(replace(o, multiplier=o.multiplier.with_symbols(values)) for o in self.table.operations)
        return replace(self.table, rows=rows, operations=operations)

    @property
    def where(self) -> str:
        """Where it holds, and its verdict if there is no table, for people."""
        where = self.conditions[0] if self.conditions == ELSEWHERE else f"where {' and '.join(self.conditions) or 'all is open'}"
        return f"{where}:" if self.table else f"{where}: {self.verdict}"

    def as_json(self) -> dict[str, Any]:
        """Conditions as text; rows as in a table, keyed by axis, and by ``n^alpha`` for symbols."""
        data = self.table.as_json() if self.table else {"rows": [], "operations": []}
        parts = {key: data[key] for key in ("rows", "operations")}
        return {"conditions": list(self.conditions), "verdict": self.verdict, **parts}


def _numbers(row: TableRow, values: Mapping[str, Rational]) -> TableRow:
    columns: dict[str, Any] = {c: getattr(row, c).with_symbols(values) for c in COLUMNS}
    return replace(row, **columns, parts=tuple(_numbers(part, values) for part in row.parts))


def find_cases(symbols: Sequence[str], solve: Callable[[Mapping[str, Fraction]], Solved], write: Write) -> tuple[Case, ...]:
    """The pieces of a table whose alignment exponents are symbols between 1/2 and 1.

    At numbers the calculus is solved as ever. The relations that bind there give every unknown as an affine form of the symbols;
    it holds as long as no other term outgrows its bound, which is a polyhedron. From there its neighbours are explored.

    Args:
        symbols: the names.
        solve: a solver with its solution at numbers for ``align:symbol``.
        write: makes the table of a point of all unknowns, with the sizes of both factors of every weight's gradient.
    """

    def look(place: Place) -> tuple[ExponentTable | None, list[Affine]] | None:
        point = {f"align:{name}": value for name, value in zip(symbols, place, strict=True)}
        solver, solution = solve(point)
        if isinstance(solution.certificate, Certificate):
            return None, _refuted(solver, solution.certificate, symbols)
        if solution.verdict != "unique":
            return None
        forms = _forms(solver, solution, symbols)
        sizes, rows = _gradients(solver, solution, forms)
        return _table(forms, sizes, symbols, write), [*rows, *_affine_rows(solver, list(solver.pool.bounded), forms)]

    count = len(symbols)
    bounds = box([LOW] * count, [HIGH] * count)
    found, dark = explore(bounds, look)
    cases = []
    for region in sorted(found, key=lambda region: region.label is None):
        table = region.label if isinstance(region.label, ExponentTable) else None
        cases.append(Case(_conditions(region, bounds, symbols), table.verdict if table else "infeasible", table))
    return (*cases, Case(ELSEWHERE, "not decided")) if dark else tuple(cases)


def _refuted(solver: Solver, certificate: Certificate, symbols: Sequence[str]) -> list[Affine]:
    """Where a refutation holds as well, among the terms that it knows.

    Without the numbers of the symbols every leaf still has to add up to something positive.
    """
    at = [1 + solver.space.index[f"align:{name}"] for name in symbols]

    def opened(leaf: Leaf) -> Affine:
        free = tuple(entry for entry in leaf if not any(entry[1][j] for j in at) or sum(map(bool, entry[1][1:])) > 1)
        total = mix(free) if free else [Fraction(0)] * (1 + solver.size)
        return (-Fraction(total[0]) / solver.space.constant_unit, *(-Fraction(total[j]) for j in at))

    rows = [opened(leaf) for leaf in certificate.leaves]
    for branch in branches(certificate.proof):  # terms left out because larger ones take their place have to stay smaller
        for term, larger, leaf in branch.dominated:
            rest, bound = (opened((("", row, Fraction(-1)),)) for row in (term, larger))
            rows.append(tuple(a - b + c for a, b, c in zip(rest, bound, opened(leaf), strict=True)))
    return rows


def _table(forms: Mapping[str, Affine], sizes: Mapping[str, tuple[Affine, Affine]], symbols: Sequence[str], write: Write) -> ExponentTable:
    """Cells are affine: they follow from the table where all symbols are 0, and those where one of them is 1."""
    tables = []
    for at in range(len(symbols) + 1):
        part = lambda form: form[0] + (form[at] if at else 0)  # noqa: B023, E731
        point = {name: part(form) for name, form in forms.items()}
        tables.append(write(point, {name: (part(back), part(forward)) for name, (back, forward) in sizes.items()}))
    first, *others = tables

    def joined(cells: Sequence[Powers]) -> Powers:
        base, *rest = cells
        slopes = {f"{axis}^{s}": p for s, cell in zip(symbols, rest, strict=True) for axis, p in (cell / base).items()}
        return Powers({**base, **slopes})

    rows = []
    for row, *same in zip(first.rows, *(t.rows for t in others), strict=True):
        columns: dict[str, Any] = {c: joined([getattr(r, c) for r in (row, *same)]) for c in COLUMNS}
        rows.append(replace(row, **columns, reason=""))
    operations = []
    for operation, *same in zip(first.operations, *(t.operations for t in others), strict=True):
        operations.append(replace(operation, multiplier=joined([o.multiplier for o in (operation, *same)])))
    return replace(first, rows=tuple(rows), operations=tuple(operations))


def _forms(solver: Solver, solution: Solution, symbols: Sequence[str]) -> dict[str, Affine]:
    """Every unknown as an affine form of the symbols, from the multipliers of the given ones in its chain."""
    links = find_chain(solver, solution.point, "", Fraction(1)).links
    place = {link.gives: (i, link.value) for i, link in enumerate(links) if link.label.startswith("given align:")}
    forms = {}
    for link in links:
        slopes = [link.multipliers.get(place[f"align:{name}"][0], Fraction(0)) for name in symbols]
        shift = sum((s * place[f"align:{name}"][1] for s, name in zip(slopes, symbols, strict=True)), Fraction(0))
        forms[link.gives] = (link.value - shift, *slopes)
    return forms


def _affine_rows(solver: Solver, rows: Sequence[Row], forms: Mapping[str, Affine]) -> list[Affine]:
    """Rows of the unknowns as affine forms of the symbols, up to a positive factor."""
    width = len(next(iter(forms.values())))
    unit = lcm(1, *(a.denominator for form in forms.values() for a in form))
    scale = solver.space.constant_unit * unit
    substituted = [[unit, *[0] * (width - 1)], *([int(a * scale) for a in forms[name]] for name in solver.space.unknowns)]
    made = np.array(rows, np.int64).reshape(-1, len(substituted)) @ np.array(substituted, np.int64)
    return [tuple(Fraction(int(a)) for a in row) for row in np.unique(made, axis=0)]


def _gradients(solver: Solver, solution: Solution, forms: Mapping[str, Affine]) -> tuple[dict[str, tuple[Affine, Affine]], list[Affine]]:
    """Both factors of every weight's gradient, and rows: no other piece is larger. Terms are collected on the way."""
    net, pruning = solver.net, replace(solver.pruning, slack=SLACK, order=solver.pruning.order + 1, ties=solver.pruning.order + 2)
    solver.evaluate(solution.point, pruning)
    report = net.propagate(solution.point, pruning)
    sizes, rows = {}, []
    for name, pieces in net.gradients(report.acts, report.grads).items():
        sizes[name] = tuple(_affine(solver, piece.form, forms) for piece in pieces)
        for chosen, others in zip(pieces, _factors(net, report, name), strict=True):
            top = solver.row(chosen.form)
            rows += [tuple(a - b for a, b in zip(solver.row(form), top, strict=True)) for form in {p.form for p in others}]
    return sizes, _affine_rows(solver, rows, forms)


def _factors(net: Net, report: Report, weight: str) -> tuple[list[Piece], list[Piece]]:
    """All pieces of both factors of a weight's gradient."""
    at = [i for i, site in enumerate(net.sites) if site.weight >= 0 and net.names[site.weight] == weight]
    return list(chain(*(report.grads[i] for i in at))), list(chain(*(report.acts[net.sites[i].args[0]] for i in at)))


def _affine(solver: Solver, form: int, forms: Mapping[str, Affine]) -> Affine:
    constant, *coefficients = solver.row(form)
    total = [Fraction(0)] * len(next(iter(forms.values())))
    total[0] = Fraction(constant, solver.space.constant_unit)
    for factor, name in zip(coefficients, solver.space.unknowns, strict=True):
        if factor:
            total = [a + factor * b for a, b in zip(total, forms[name], strict=True)]
    return tuple(total)


def _conditions(region: Region, bounds: Sequence[Affine], symbols: Sequence[str]) -> tuple[str, ...]:
    """Its facets as inequalities between sums of symbols, without those of the bounds."""
    texts, frame = [], {primitive(row) for row in bounds}
    for constant, *slopes in (row for row in region.rows if row not in frame):
        terms = [*((a, name) for a, name in zip(slopes, symbols, strict=True) if a), *([(constant, "")] if constant else [])]
        left, right = [(a, s) for a, s in terms if a > 0], [(-a, s) for a, s in terms if a < 0]
        texts.append(f"{affine_text(left)} <= {affine_text(right)}")
    return tuple(texts)
