"""Exact linear algebra and linear programs over the rationals, with certificates that can be checked again.

A row ``(c, a_1 ... a_n)`` stands for the affine form ``c + a . y``. Linear programs are solved by a small exact simplex method
because SymPy's ``linprog`` mistreats free variables and floating-point solvers prove nothing. Equations come one at a time and
are sparse, so that adding each to the solved ones costs less than SymPy's `DomainMatrix` costs to import (tests compare both).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

Row = tuple[int | Fraction, ...]
ZERO = Fraction(0)
LIMIT = 1 << 62  # of machine integers
PATIENCE = 120  # pivots beyond one per variable after which a hint is worth its price


@dataclass(frozen=True)
class Reduction:
    """Solved equations: pivot variables as affine forms of the free ones, ``y_p = rows[p]``."""

    size: int
    pivots: dict[int, dict[int, Fraction]]
    consistent: bool = True

    @property
    def free(self) -> list[int]:
        return [j for j in range(1, self.size + 1) if j not in self.pivots]

    def matrix(self) -> tuple[np.ndarray, list[int]]:
        """Integers T and the free variables such that ``rows @ T`` are the reduced rows, up to one positive factor."""
        free = self.free
        scale = lcm(1, *(a.denominator for form in self.pivots.values() for a in form.values()))
        table = np.zeros((self.size + 1, len(free) + 1), np.int64)
        column = {0: 0, **{j: i for i, j in enumerate(free, 1)}}
        table[0, 0] = scale
        for j in range(1, self.size + 1):
            for k, a in self.pivots.get(j, {j: Fraction(1)}).items():
                table[j, column[k]] = int(a * scale)
        return table, free

    def reduce(self, row: Row) -> dict[int, Fraction]:
        """The form in the free variables only, as {position: coefficient} (position 0: the constant)."""
        out: dict[int, Fraction] = {}
        for j, a in enumerate(row):
            if not a:
                continue
            for k, b in self.pivots[j].items() if j in self.pivots else ((j, Fraction(1)),):
                out[k] = out.get(k, ZERO) + a * b
        return {k: v for k, v in out.items() if v}


def solve_equations(rows: Sequence[Row], size: int) -> Reduction:
    """Solve the equations ``row = 0`` exactly, one after the other."""
    reduced = Reduction(size, {})
    for row in rows:
        rest = reduced.reduce(row)
        if rest.keys() == {0}:
            return Reduction(size, {}, consistent=False)
        if rest:
            reduced = extend(reduced, rest)
    return reduced


def extend(reduced: Reduction, rest: dict[int, Fraction]) -> Reduction:
    """Add one equation, already reduced, to solved ones."""
    pivot = max(j for j in rest if j)
    scale = -1 / rest[pivot]
    solved = {j: a * scale for j, a in rest.items() if j != pivot}
    pivots = {}
    for p, form in reduced.pivots.items():
        if pivot in form:
            form = dict(form)
            factor = form.pop(pivot)
            for j, a in solved.items():
                form[j] = form.get(j, ZERO) + factor * a
        pivots[p] = {j: a for j, a in form.items() if a}
    return Reduction(reduced.size, {**pivots, pivot: solved})


@dataclass(frozen=True)
class Optimum:
    """Result of a linear program ``maximise objective subject to rows <= 0``.

    ``status`` is ``optimal``, ``unbounded`` or ``infeasible``. ``multipliers[i] >= 0`` certify it: for an optimum
    ``objective = value + sum_i multipliers[i] * rows[i]`` as forms; for an infeasible program the combination
    ``sum_i multipliers[i] * rows[i]`` is a positive constant (Farkas).
    """

    status: str
    point: tuple[Fraction, ...] = ()
    value: Fraction = ZERO
    multipliers: dict[int, Fraction] | None = None


def maximise(objective: Row, rows: Sequence[Row], size: int) -> Optimum:
    """Maximise an affine form over ``{y : row(y) <= 0 for all rows}`` by the exact simplex method (Bland's rule).

    A program that takes many pivots is started again at the vertex that a floating-point solver finds; where to start
    changes nothing of what is proved.
    """
    try:
        return _Dictionary(objective, rows, size).solve(range(len(rows)), size + PATIENCE)
    except _Patience:
        return _Dictionary(objective, rows, size).solve(_binding(objective, rows))


def _binding(objective: Row, rows: Sequence[Row]) -> list[int]:
    """All rows, those first that bind at the optimum, or that contradict each other (floats: a hint)."""
    from scipy.optimize import linprog

    table, goal = np.array(rows, float), -np.array(objective, float)
    table /= np.maximum(np.abs(table).max(axis=1, keepdims=True), 1)
    found = linprog(goal[1:], A_ub=table[:, 1:], b_ub=-table[:, 0], bounds=(None, None), method="highs")
    if found.status != 0:  # the least violation, equal for all rows
        elastic = np.column_stack([table[:, 1:], -np.ones(len(table))])
        bounds = [(None, None)] * (len(goal) - 1) + [(0, None)]
        found = linprog([0] * (len(goal) - 1) + [1], A_ub=elastic, b_ub=-table[:, 0], bounds=bounds, method="highs")
    if found.status != 0:
        return list(range(len(rows)))
    return np.lexsort((found.ineqlin.marginals, np.round(found.ineqlin.residual, 7))).tolist()


class _Patience(Exception):
    """Too many pivots."""


class _Dictionary:
    """Basic variables as affine forms of nonbasic ones: ``basic[i] = table[i] . (1, nonbasic) / scale``, in integers.

    Variables 1..n are free, n+1+i is the slack ``-rows[i] >= 0``; the last row is the objective. Pivots are fraction-free
    (entries stay minors of the rows given), in machine integers as long as they are sure to fit.
    """

    def __init__(self, objective: Row, rows: Sequence[Row], size: int):
        self.size = size
        self.table = np.array([*rows, objective])
        self.factors = [1] * len(self.table)
        if self.table.dtype != np.int64:
            self.factors = [lcm(*(a.denominator for a in row)) for row in (*rows, objective)]
            whole = [[int(a * f) for a in row] for row, f in zip((*rows, objective), self.factors, strict=True)]
            self.table = np.array(whole, dtype=object if any(abs(a) > LIMIT for row in whole for a in row) else np.int64)
        self.table[:-1] *= -1
        self.scale = 1
        self.basic = np.arange(size + 1, size + 2 + len(rows))
        self.basic[-1] = 0
        self.nonbasic = np.arange(size + 1)  # the constant stands at 0 and stays
        self.loose = set(range(1, size + 1))

    def pivot(self, r: int, c: int) -> None:
        """Exchange the basic variable of row ``r`` with the nonbasic one of column ``c``."""
        self.left -= 1
        if self.left < 0:
            raise _Patience
        t = self.table
        column, row, p = t[:, c].copy(), t[r].copy(), t[r, c]
        if t.dtype != object:
            a, b = int(np.abs(t).max()), int(max(np.abs(column).max(), np.abs(row).max()))
            if a * abs(int(p)) + b * b > LIMIT:
                self.table = t = t.astype(object)
                column, row, p = t[:, c].copy(), t[r].copy(), t[r, c]
        t *= p
        t -= np.multiply.outer(column, row)
        if self.scale != 1:
            t //= self.scale
        t[:, c], t[r] = column, -row
        t[r, c] = self.scale
        if p < 0:
            t *= -1
        self.scale = abs(int(p))
        self.basic[r], self.nonbasic[c] = self.nonbasic[c], self.basic[r]

    def solve(self, order: Iterable[int], patience: float = math.inf) -> Optimum:
        """Start at the vertex of the first independent rows in this order."""
        self.left = patience
        for r in order:  # a free variable becomes basic and stays so
            if not self.loose:
                break
            if column := next((j for j in sorted(self.loose) if self.table[r, j]), None):
                self.pivot(r, column)
                self.loose.discard(column)
        bad = self._feasible()
        if bad is not None:
            return Optimum("infeasible", multipliers=self._multipliers(bad))
        if any(self.table[-1, j] for j in self.loose) or not self._climb():
            return Optimum("unbounded")
        point = [ZERO] * (self.size + 1)
        for i in np.flatnonzero(self.basic[:-1] <= self.size):
            point[self.basic[i]] = Fraction(int(self.table[i, 0]), self.scale)
        return Optimum("optimal", tuple(point[1:]), Fraction(int(self.table[-1, 0]), self.scale) / self.factors[-1], self._multipliers(-1))

    def _multipliers(self, i: int) -> dict[int, Fraction]:
        """Of the rows as given: minus the coefficients of their slacks in row ``i``, and 1 for the slack that it is of."""
        found = {int(j): -Fraction(int(a), self.scale) for j, a in zip(self.nonbasic, self.table[i], strict=True) if j > self.size and a}
        if i != -1:
            found[int(self.basic[i])] = Fraction(1)
        factor = self.factors[-1] if i == -1 else 1
        return {j - self.size - 1: a * self.factors[j - self.size - 1] / factor for j, a in found.items()}

    def _feasible(self) -> int | None:
        """Repair negative slacks one at a time, each by a linear program of its own (least index first)."""
        while True:
            negative = np.flatnonzero((self.table[:-1, 0] < 0) & (self.basic[:-1] > self.size))
            if not len(negative):
                return None
            slopes = self.table[np.ix_(negative, self.nonbasic > self.size)]
            hopeless = negative[(slopes <= 0).all(axis=1)]
            if len(hopeless):
                return int(hopeless[0])
            bad = int(negative[np.argmin(self.basic[negative])])
            if not self._raise(bad):
                return bad

    def _entering(self, i: int) -> int | None:
        """The least variable that raises row ``i`` (Bland)."""
        found = np.flatnonzero((self.table[i] > 0) & (self.nonbasic > self.size))
        return int(found[np.argmin(self.nonbasic[found])]) if len(found) else None

    def _leaving(self, rows: np.ndarray, c: int) -> int | None:
        """The row that bounds the variable of column ``c``; of equal ones that of the least variable."""
        slopes = self.table[rows, c]
        rows, slopes = rows[slopes < 0], -slopes[slopes < 0]
        if len(rows) > 1:  # floats only sort out what is far from the smallest ratio
            ratio = self.table[rows, 0].astype(float) / slopes.astype(float)
            near = ratio <= ratio.min() * (1 + 1e-6) + 1e-12
            rows, slopes = rows[near], slopes[near]
        best, leaving = None, None
        for i, b in zip(rows.tolist(), slopes.tolist(), strict=True):
            a = int(self.table[i, 0])
            if best is None or a * best[1] < best[0] * b or (a * best[1] == best[0] * b and self.basic[i] < self.basic[leaving]):
                best, leaving = (a, b), i
        return leaving

    def _raise(self, bad: int) -> bool:
        """Raise one basic slack to zero while those that are feasible stay so."""
        name = self.basic[bad]
        while self.basic[bad] == name and self.table[bad, 0] < 0:
            c = self._entering(bad)
            if c is None:
                return False
            rows = np.flatnonzero((self.basic[:-1] > self.size) & (self.table[:-1, 0] >= 0))
            r = self._leaving(rows, c)
            # the raised row reaches zero at -value / slope
            if r is None or -int(self.table[bad, 0]) * -int(self.table[r, c]) <= int(self.table[r, 0]) * int(self.table[bad, c]):
                r = bad
            self.pivot(r, c)
        return True

    def _climb(self) -> bool:
        """Primal simplex steps; False if the objective is unbounded."""
        while (c := self._entering(-1)) is not None:
            r = self._leaving(np.flatnonzero(self.basic[:-1] > self.size), c)
            if r is None:
                return False
            self.pivot(r, c)
        return True
