"""Certificates: that a point is right and unique, or the directions in which it can move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING

import numpy as np

from .desiderata import relations
from .linear import Reduction, Row, extend, maximise, solve_equations

if TYPE_CHECKING:
    from .solve import Solution, Solver

ZERO = Fraction(0)
STEP = Fraction(1, 32)


def certify(solver: Solver, point: Mapping[str, Fraction]) -> tuple[Solution, dict[str, Fraction] | None]:
    """Check a point in exact arithmetic and decide whether it can move.

    Every kept term is at most 0 and every desideratum's largest is 0; then the directions in which the point can move
    while that stays true are found exactly. Also returns a direction in which an initial standard deviation can grow.

    Products of as many updates as are followed grow fastest in number. Of those that are equally large here one stands for all,
    unless a desideratum judges a sum over an index, where they count; if the point could move then, all of them are looked at.
    """
    _, _, exact = solver.evaluate(point, solver.pruning)
    equations = _initial_equations(solver, exact)
    order, summed = solver.pruning.order, any(site.node.op == "collect" and site.over for site in solver.net.sites)
    found = _certify(solver, exact, equations, order + summed)
    return found if summed or found[0].verdict != "family" else _certify(solver, exact, equations, order + 1)


def _certify(solver: Solver, exact: dict[str, Fraction], equations: list[Row], ties: int) -> tuple[Solution, dict[str, Fraction] | None]:
    """`certify` with the ties of products of fewer updates than ``ties``."""
    from .solve import Solution

    solver.space.substitute(_solved(solver, equations))
    report, _, _ = solver.evaluate(exact, replace(solver.pruning, ties=ties, factors=0))
    solver.space.substitute({})
    stats = {"pieces": sum(map(len, report.acts)) + sum(map(len, report.grads)), "dropped": report.dropped, "capped": report.capped}
    at = vector(solver, exact)
    values = np.array(list(solver.pool.bounded), np.int64) @ at
    broken = [label for value, label in zip(values, solver.pool.bounded.values(), strict=True) if value > 0]
    for label, rows in solver.pool.attained.items():
        if not rows or (np.array(list(rows), np.int64) @ at).max() != 0:
            broken.append(label)
    if broken:
        return Solution(dict(exact), "infeasible", clash=tuple(dict.fromkeys(broken)), stats=stats), None
    cone = _Cone(solver, exact)
    cone.explore(equations)
    if cone.climb is not None:
        return Solution(dict(exact), "family", stats=stats), cone.climb
    verdict = "family" if cone.loose else "unique"
    return Solution(dict(exact), verdict, free=tuple(sorted(cone.loose)), stats=stats), None


def vector(solver: Solver, point: Mapping[str, Fraction]) -> np.ndarray:
    """A point as whole numbers: rows times it are their values, up to one positive factor."""
    unit = lcm(1, *(v.denominator for v in point.values()))
    return np.array([unit, *(int(point[n] * unit) * solver.space.constant_unit for n in solver.space.unknowns)], np.int64)


def _solved(solver: Solver, equations: Sequence[Row]) -> dict[str, list[Fraction]]:
    """The unknowns that equations fix, as rows of the others."""
    pivots = solve_equations(equations, solver.size).pivots
    return {solver.space.unknowns[p - 1]: [form.get(j, ZERO) for j in range(solver.size + 1)] for p, form in pivots.items()}


def _initial_equations(solver: Solver, exact: Mapping[str, Fraction]) -> list[Row]:
    """What the state at initialisation alone fixes: given exponents, then outputs of size one, then norms of such inputs.

    One of the largest terms of each is taken for an equation of the newest unknown in it. Then those stay in whose other terms
    of that size say the same, given the equations before them; forms with these substituted are few.
    """
    net, given = solver.net, solver.fixed_rows()
    pruning = replace(solver.pruning, order=0, steps=0, factors=0)
    first = relations(net, net.propagate(exact, pruning, backward=net.atomic), solver.names)
    chosen = {k: solver.row(max(terms)[1]) for k, terms in first.attained.items() if k.startswith(("init", "norm")) and terms}
    order = sorted(chosen, key=lambda k: net.position[k.split()[1]])
    while True:
        equations, kept, reduced = list(given), [], solve_equations(given, solver.size)
        for label in order:
            kind, owner = label.split()
            # updates may count in a norm too, but they are bounded by its input where that is exactly of size one
            name = f"norm:{owner}" if kind == "norm" else f"std:{net.architecture.node(owner).weight}"
            rest = reduced.reduce(chosen[label])
            if rest.keys() - {0} <= {1 + net.space.index[name]}:
                kept.append(label)
            if label in kept and rest:
                equations.append(chosen[label])
                reduced = extend(reduced, rest)
        solver.space.substitute(_solved(solver, equations))
        found = relations(net, net.propagate(exact, replace(pruning, ties=1), backward=False), solver.names)
        solver.space.substitute({})
        agree = [k for k in kept if not any(reduced.reduce(solver.row(form)) for form in _largest(found.attained[k]))]
        if agree == order:
            return equations
        order = agree


def _largest(terms: Sequence[tuple[int, int]]) -> set[int]:
    """The forms of the largest terms."""
    top = max(terms)[0]
    return {form for size, form in terms if size == top}


class _Cone:
    """Directions in which the point can move: the union over the ways to keep every desideratum attained."""

    def __init__(self, solver: Solver, exact: Mapping[str, Fraction]):
        self.solver, self.size, self.exact = solver, solver.size, exact
        every = np.array(list(solver.pool.bounded), np.int64).reshape(-1, self.size + 1)
        tight = every[every @ vector(solver, exact) == 0]
        where = {tuple(row): i for i, row in enumerate(tight.tolist())}
        self.groups = {
            label: np.array([where[row] for row in rows if row in where]) for label, rows in solver.pool.attained.items()
        }  # fmt: skip
        self.rows = tight.copy()
        self.rows[:, 0] = 0
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
                if self.climb is not None:
                    return
                self.explore([*equations, tuple(self.rows[i].tolist())])
            return
        if face.left:
            self.loose.add("(branching stopped)")
        self._leaf(face.reduced, face.free, face.bounds)

    def _leaf(self, reduced: Reduction, free: Sequence[int], bounds: list[Row]) -> None:
        """What can still move here: towards larger standard deviations (then the point is not maximal), or sideways."""
        goal = reduced.reduce(self.up)
        goal_row = tuple(goal.get(j, ZERO) for j in (0, *free))
        box = [tuple([-1, *(sign * int(i == j) for j in range(len(free)))]) for i in range(len(free)) for sign in (1, -1)]
        best = maximise((0, *goal_row[1:]), bounds + box, len(free))
        if best.value > 0:
            direction = self._direction(reduced, free, best.point)
            if self._holds(direction):
                self.climb = direction
                return
        level = [tuple(-a for a in goal_row)] if any(goal_row[1:]) else []
        for j, name in enumerate(self.solver.space.unknowns, 1):
            if name.startswith("norm:") or name in self.loose:
                continue
            form = reduced.pivots.get(j, {j: Fraction(1)})
            row = tuple(form.get(k, ZERO) if k else ZERO for k in (0, *free))
            for sign in (1, -1) if any(row) else ():
                end = maximise(tuple(sign * a for a in row), bounds + level + box, len(free))
                if end.value > 0 and self._holds(self._direction(reduced, free, end.point)):
                    self.loose.add(name)
                    break

    def _direction(self, reduced: Reduction, free: Sequence[int], values: Sequence[Fraction]) -> dict[str, Fraction]:
        """How every unknown moves where the free ones move like this."""
        known, moved = dict(zip(free, values, strict=True)), {}
        for j, name in enumerate(self.solver.space.unknowns, 1):
            form = reduced.pivots.get(j, {j: Fraction(1)})
            moved[name] = sum((a * known[k] for k, a in form.items() if k), ZERO)
        return moved

    def _holds(self, direction: Mapping[str, Fraction]) -> bool:
        """Whether the relations hold a little further: rows are those of one growth of the gradients, which may change with the point."""
        if not self.solver.net.normalises:
            return True
        return self.solver.lasts({name: value + STEP * direction[name] for name, value in self.exact.items()}, more=0)


class _Face:
    """The cone within the equations known so far, in its free directions."""

    def __init__(self, cone: _Cone, reduced: Reduction):
        self.cone, self.reduced = cone, reduced
        table, self.free = reduced.matrix()
        forms = cone.rows @ table
        divisor = np.maximum(np.gcd.reduce(forms, axis=1), 1)[:, None]
        unique, first, self.ident = np.unique(forms // divisor, axis=0, return_index=True, return_inverse=True)
        self.exact = forms[first]
        self.forms = {tuple(row): i for i, row in enumerate(unique.tolist())}
        self.bounds = [row for row in self.forms if any(row)]
        self.listed = list(self.forms)
        self.left = {}
        for label, members in cone.groups.items():
            found = {int(self.ident[i]): int(i) for i in members}
            if all(any(self.listed[k]) for k in found):  # else attained for certain
                self.left[label] = found

    def forced(self) -> list[Row]:
        """Forms that vanish in every direction: the only one of a group; the maximal ones; what another's vanishing implies."""
        single = {next(iter(found.values())) for found in self.left.values() if len(found) == 1}
        if single:
            return [tuple(self.cone.rows[i].tolist()) for i in single]
        climbing = self._climbing()
        if climbing:
            return climbing
        for implies in (self._covers, self._implies):
            for found in self.left.values():
                for k, i in found.items():
                    if all(k == q or implies(q, k) for q in found):
                        return [tuple(self.cone.rows[i].tolist())]
        return []

    def _covers(self, q: int, k: int) -> bool:
        """Whether form q is at most form k because one bound says so."""
        difference = self.exact[q] - self.exact[k]
        return tuple((difference // np.gcd.reduce(difference)).tolist()) in self.forms

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
        negative = tuple(-a for a in self.listed[k])
        also = tuple(-a for a in self.listed[q])
        return maximise(negative, [*self.bounds, also], len(self.free)).status == "optimal"
