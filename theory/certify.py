"""Certificates: that a point is right and unique, or that relations contradict each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING

import numpy as np

from .linear import Reduction, Row, maximise, solve_equations

if TYPE_CHECKING:
    from .solve import Solution, Solver

ZERO = Fraction(0)


def certify(solver: Solver, point: Mapping[str, Fraction]) -> tuple[Solution, dict[str, Fraction] | None]:
    """Check a point in exact arithmetic and decide whether it can move.

    Every kept term is at most 0 and every desideratum's largest is 0; then the directions in which the point can move
    while that stays true are found exactly. Also returns a direction in which an initial standard deviation can grow.
    """
    from .solve import Solution

    pruning = replace(solver.pruning, ties=True)
    report, _, exact = solver.evaluate(point, pruning)
    broken = [label for row, label in solver.pool.bounded.items() if solver.value(row, exact) > 0]
    groups = {
        label: [row for row in rows if solver.value(row, exact) == 0] for label, rows in solver.pool.attained.items()
    }  # fmt: skip
    unmet = [label for label, rows in groups.items() if not rows]
    stats = {"pieces": sum(map(len, report.acts)) + sum(map(len, report.grads)), "merged": report.dropped, "capped": report.capped}
    if broken or unmet:
        return Solution(dict(exact), "infeasible", clash=tuple(dict.fromkeys(broken + unmet)), stats=stats), None
    tight = {row: label for row, label in solver.pool.bounded.items() if solver.value(row, exact) == 0}
    cone = _Cone(solver, groups, tight)
    cone.explore(solver.fixed_rows())
    if cone.climb is not None:
        return Solution(dict(exact), "family", stats=stats), cone.climb
    verdict = "family" if cone.loose else "unique"
    return Solution(dict(exact), verdict, free=tuple(sorted(cone.loose)), stats=stats), None


class _Cone:
    """Directions in which the point can move: the union over the ways to keep every desideratum attained."""

    def __init__(self, solver: Solver, groups: Mapping[str, Sequence[Row]], tight: Mapping[Row, str]):
        self.solver, self.size = solver, solver.size
        self.rows = np.array([(0, *row[1:]) for row in tight], np.int64).reshape(-1, self.size + 1)
        where = {row: i for i, row in enumerate(tight)}
        self.groups = {label: np.array([where[row] for row in rows]) for label, rows in groups.items()}
        self.up = solver.climbing()
        self.loose: set[str] = set()
        self.climb: dict[str, Fraction] | None = None
        self.budget = 200

    def explore(self, equations: Sequence[Row]) -> None:
        """Add the equations that hold in every direction, then branch over what is left."""
        equations = [(0, *row[1:]) for row in equations]
        self.budget -= 1
        while True:
            face = _Face(self, solve_equations(equations, self.size))
            if not face.free:
                return
            forced = face.forced()
            if not forced:
                break
            equations += forced
        if face.left and self.budget > 0:
            members = min(face.left.values(), key=len)
            for i in members.values():
                self.explore([*equations, tuple(self.rows[i].tolist())])
            return
        if face.left:
            self.loose.add("(branching stopped)")
        self._leaf(face.reduced, face.free, face.bounds)

    def _leaf(self, reduced, free, bounds) -> None:
        """What can still move here: towards larger standard deviations (then the point is not maximal), or sideways."""
        goal = reduced.reduce(self.up)
        goal_row = tuple(goal.get(j, ZERO) for j in (0, *free))
        box = [tuple([-1, *(sign * int(i == j) for j in range(len(free)))]) for i in range(len(free)) for sign in (1, -1)]
        best = maximise((0, *goal_row[1:]), bounds + box, len(free))
        if best.value > 0:
            values = dict(zip(free, best.point, strict=True))
            self.climb = {}
            for j, name in enumerate(self.solver.space.unknowns, 1):
                form = reduced.pivots.get(j, {j: Fraction(1)})
                self.climb[name] = sum((a * values[k] for k, a in form.items() if k), ZERO)
            return
        level = [tuple(-a for a in goal_row)] if any(goal_row[1:]) else []
        for j, name in enumerate(self.solver.space.unknowns, 1):
            if name.startswith("norm:"):
                continue
            form = reduced.pivots.get(j, {j: Fraction(1)})
            row = tuple(form.get(k, ZERO) if k else ZERO for k in (0, *free))
            if any(row) and any(
                maximise(tuple(sign * a for a in row), bounds + level, len(free)).status == "unbounded" for sign in (1, -1)
            ):
                self.loose.add(name)


class _Face:
    """The cone within the equations known so far, in its free directions."""

    def __init__(self, cone: _Cone, reduced: Reduction):
        self.cone, self.reduced = cone, reduced
        table, self.free = reduced.matrix()
        forms = cone.rows @ table
        divisor = np.gcd.reduce(forms, axis=1)
        forms //= np.maximum(divisor, 1)[:, None]
        unique, self.ident = np.unique(forms, axis=0, return_inverse=True)
        self.forms = [tuple(row) for row in unique.tolist()]
        self.bounds = [row for row in self.forms if any(row)]
        self.left = {}
        for label, members in cone.groups.items():
            found = {int(self.ident[i]): int(i) for i in members}
            if all(any(self.forms[k]) for k in found):  # else attained for certain
                self.left[label] = found

    def forced(self) -> list[Row]:
        """Forms that vanish in every direction: the only one of a group; the maximal ones; what another's vanishing implies."""
        single = {next(iter(found.values())) for found in self.left.values() if len(found) == 1}
        if single:
            return [tuple(self.cone.rows[i].tolist()) for i in single]
        climbing = self._climbing()
        if climbing:
            return climbing
        for found in self.left.values():
            for k, i in found.items():
                if all(k == q or self._implies(q, k) for q in found):
                    return [tuple(self.cone.rows[i].tolist())]
        return []

    def _climbing(self) -> list[Row]:
        """Equations that hold because nothing that is taken maximal can grow; none if something can, or all is fixed."""
        unit, rows, bounded = Fraction(1), [], True
        total: list[Fraction] = [ZERO] * (1 + len(self.free))
        for j in (j for j, a in enumerate(self.cone.up) if a):
            form = self.reduced.pivots.get(j, {j: unit})
            row = [form.get(k, ZERO) if k else ZERO for k in (0, *self.free)]
            if any(row):
                rows.append(tuple(int(i == j) for i in range(self.cone.size + 1)))
                bounded = bounded and self._primitive(row) in self.forms
                total = [a + b for a, b in zip(total, row, strict=True)]
        if not any(total):
            return []
        if bounded:  # one bound for each, so each is at its maximum
            return rows
        best = maximise(tuple(total), self.bounds, len(self.free))
        return [(0, *self.cone.up[1:])] if best.status == "optimal" else []

    @staticmethod
    def _primitive(row: Sequence[Fraction]) -> tuple[int, ...]:
        scale = lcm(1, *(a.denominator for a in row))
        whole = [int(a * scale) for a in row]
        return tuple(a // gcd(*whole) for a in whole)

    def _implies(self, q: int, k: int) -> bool:
        """Whether form k vanishes wherever form q does (both are bounded by 0)."""
        negative = tuple(-a for a in self.forms[k])
        also = tuple(-a for a in self.forms[q])
        return maximise(negative, [*self.bounds, also], len(self.free)).status == "optimal"


def find_clash(solver: Solver, limit: int = 400) -> tuple[str, ...]:
    """A smallest set of relations, of those collected, that cannot hold together (deletion filter with exact programs)."""
    labels = list(solver.pool.attained)
    keep = [label for label in labels if not label.startswith("norm ")]
    budget = [limit]
    if _possible(solver, labels, budget):
        return tuple(keep)
    norms = [label for label in labels if label.startswith("norm ")]
    for label in list(keep):
        rest = [k for k in keep if k != label]
        if not _possible(solver, norms + rest, budget):
            keep = rest
    return tuple(keep)


def _possible(solver: Solver, labels: Sequence[str], budget: list[int]) -> bool:
    return True
