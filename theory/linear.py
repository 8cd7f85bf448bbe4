"""Exact linear algebra and linear programs over the rationals, with certificates that can be checked again.

A row ``(c, a_1 ... a_n)`` stands for the affine form ``c + a . y``. SymPy's `DomainMatrix` reduces equations; the linear
programs are solved by a small exact simplex method because SymPy's ``linprog`` mistreats free variables and floating-point
solvers prove nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

Row = tuple[int | Fraction, ...]
ZERO = Fraction(0)


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
    """Row-reduce the equations ``row = 0`` exactly (SymPy's sparse `DomainMatrix` over QQ)."""
    if not rows:
        return Reduction(size, {})
    from sympy import QQ
    from sympy.polys.matrices import DomainMatrix

    # the constant stands last, so that it is a pivot only if the equations contradict each other
    entries = {
        i: {(j - 1) % (size + 1): QQ(Fraction(a).numerator, Fraction(a).denominator) for j, a in enumerate(row) if a}
        for i, row in enumerate(rows)
        if any(row)
    }
    matrix, pivots = DomainMatrix(entries, (len(rows), size + 1), QQ).rref()
    if size in pivots:
        return Reduction(size, {}, consistent=False)
    reduced = matrix.rep.to_sdm() if hasattr(matrix.rep, "to_sdm") else matrix.rep
    solved = {}
    for i, p in enumerate(pivots):
        solved[p + 1] = {(j + 1) % (size + 1): -Fraction(int(a.numerator), int(a.denominator)) for j, a in reduced[i].items() if j != p}
    return Reduction(size, solved)


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
    """Maximise an affine form over ``{y : row(y) <= 0 for all rows}`` by the exact simplex method (Bland's rule)."""
    return _Dictionary(objective, rows, size).solve()


class _Dictionary:
    """Basic variables as affine forms of nonbasic ones. Variables 1..n are free, n+1+i is the slack ``-rows[i] >= 0``."""

    def __init__(self, objective: Row, rows: Sequence[Row], size: int):
        self.size, self.count = size, len(rows)
        self.rows = {size + 1 + i: {j: Fraction(-a) for j, a in enumerate(row) if a} for i, row in enumerate(rows)}
        self.objective = {j: Fraction(a) for j, a in enumerate(objective) if a}
        self.loose = set(range(1, size + 1))
        self._violated: dict[int, Fraction] = {}

    def pivot(self, leaving: int, entering: int) -> None:
        row = self.rows.pop(leaving)
        factor = -1 / row.pop(entering)
        solved = {j: a * factor for j, a in row.items()}
        solved[leaving] = -factor
        self.rows[entering] = solved
        for name, other in [*self.rows.items(), (-1, self.objective)]:
            if name != entering and entering in other:
                scale = other.pop(entering)
                for j, a in solved.items():
                    total = other.get(j, ZERO) + scale * a
                    if total:
                        other[j] = total
                    else:
                        other.pop(j, None)

    def solve(self) -> Optimum:
        for j in sorted(self.loose):  # a free variable becomes basic and stays so
            leaving = next((i for i, row in self.rows.items() if i > self.size and j in row), None)
            if leaving is not None:
                self.pivot(leaving, j)
                self.loose.discard(j)
        if not self._feasible():
            return Optimum("infeasible", multipliers=self._multipliers(self._violated))
        if any(j in self.objective for j in self.loose):
            return Optimum("unbounded")
        if not self._climb():
            return Optimum("unbounded")
        point = tuple(self.rows.get(j, {}).get(0, ZERO) for j in range(1, self.size + 1))
        return Optimum("optimal", point, self.objective.get(0, ZERO), self._multipliers(self.objective))

    def _multipliers(self, form: dict[int, Fraction]) -> dict[int, Fraction]:
        return {j - self.size - 1: -a for j, a in form.items() if j > self.size}

    def _feasible(self) -> bool:
        """Repair negative slacks one at a time, each by a linear program of its own (least index first)."""
        while True:
            bad = next((i for i in sorted(self.rows) if i > self.size and self.rows[i].get(0, ZERO) < 0), None)
            if bad is None:
                return True
            if not self._raise(bad):
                self._violated = {**self.rows[bad], bad: Fraction(-1)}
                return False

    def _raise(self, bad: int) -> bool:
        """Raise one basic slack to zero while those that are feasible stay so."""
        while bad in self.rows and self.rows[bad].get(0, ZERO) < 0:
            row = self.rows[bad]
            entering = min((j for j, a in row.items() if j and a > 0 and j not in self.loose), default=None)
            if entering is None:
                return False
            limit = [
                (self.rows[i].get(0, ZERO) / -self.rows[i][entering], i)
                for i in self.rows
                if i > self.size and i != bad and self.rows[i].get(entering, ZERO) < 0 and self.rows[i].get(0, ZERO) >= 0
            ]
            limit.append((-row.get(0, ZERO) / row[entering], bad))
            self.pivot(min(limit)[1], entering)
        return True

    def _climb(self) -> bool:
        """Primal simplex steps; False if the objective is unbounded."""
        while True:
            entering = min((j for j, a in self.objective.items() if j and a > 0), default=None)
            if entering is None:
                return True
            limit = [
                (row.get(0, ZERO) / -row[entering], i)
                for i, row in self.rows.items()
                if i > self.size and row.get(entering, ZERO) < 0
            ]
            if not limit:
                return False
            self.pivot(min(limit)[1], entering)
