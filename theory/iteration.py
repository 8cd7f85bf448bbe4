"""Policy iteration: evaluate the word calculus at a point, solve for the binding terms, repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import gcd

import numpy as np

from .desiderata import ORDER, Relations, relations
from .linear import Reduction, Row, extend, maximise, solve_equations
from .propagate import Growth, Net, Pruning, Report

ZERO = Fraction(0)
LATELY = 2  # evaluations kept: that of a point, and the one with ties that certifies it


@dataclass
class _Pool:
    """Relations met so far, unpacked; every one of them holds at any point, so they may be kept."""

    bounded: dict[Row, str] = field(default_factory=dict)
    attained: dict[str, dict[Row, None]] = field(default_factory=dict)


class Iteration:
    """Policy iteration over the unknowns of a `Net`; rows are forms in ``constant_unit * exponent``."""

    def __init__(self, net: Net, desiderata: Sequence[str], fixed: Mapping[str, Fraction], pruning: Pruning):
        self.net, self.names, self.fixed, self.pruning = net, tuple(desiderata), dict(fixed), pruning
        self.space = net.space
        self.size = len(self.space.unknowns)
        self.pool, self.pure = _Pool(), _Pool()  # all rows; and those that hold without what certificates substitute
        self.pinned: dict[str, Fraction] = {}
        self._unpacked: dict[int, Row] = {}
        self._growth: Growth = {}
        self._lately: dict[tuple, tuple[Report, Relations, dict[str, Fraction]]] = {}  # the last evaluations, by point and pruning

    # -- forms
    def row(self, form: int) -> Row:
        found = self._unpacked.get(form)
        if found is None:
            found = self._unpacked[form] = self.space.unpack(form)
        return found

    def value(self, row: Row, point: Mapping[str, Fraction]) -> Fraction:
        unit = self.space.constant_unit
        return Fraction(row[0], unit) + sum((a * point[n] for a, n in zip(row[1:], self.space.unknowns, strict=True) if a), ZERO)

    def fixed_rows(self) -> list[Row]:
        """The given exponents (and, for a while, the pinned ones) as equations."""
        unit, rows = self.space.constant_unit, []
        for name, value in {**self.fixed, **self.pinned}.items():
            row = [ZERO] * (self.size + 1)
            row[0], row[1 + self.space.index[name]] = -value * unit, Fraction(1)
            rows.append(tuple(row))
        return rows

    def climbing(self) -> Row:
        """The sum of what is taken maximal: initial standard deviations, and multipliers outside of an index sum."""
        row = [0] * (self.size + 1)
        for name in self.space.unknowns:
            kind, _, owner = name.partition(":")
            if kind == "std" or (kind == "mult" and not self._summed_later(owner)):
                row[1 + self.space.index[name]] = 1
        return tuple(row)

    def _summed_later(self, operation: str) -> bool:
        """Whether the multiplier stands inside a growing stack: how fast its branches shrink is a choice, not a maximum."""
        layers = self.net.architecture.node(operation).stack
        return bool(layers) and layers in self.net.bit

    # -- start
    def start(self, depth: int = 1) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
        """A point from below, and the part of it that is pinned at first: what desiderata only bound from above.

        Fan-in initialisation and vanishing updates; multipliers, and the weights whose output has no growing axis, as small
        as full coherence (``depth`` times over) asks.
        """
        point, pinned = {}, {}
        for name in self.space.unknowns:
            kind, _, owner = name.partition(":")
            if kind == "std":
                out, inn = self.net.fans(owner)
                point[name] = -inn / 2 if out else -depth * inn
                pinned[name] = point[name]
            elif kind == "mult":
                point[name] = pinned[name] = Fraction(-depth) * max(self.space.powers)
            else:
                point[name] = Fraction(-3 if kind == "amp" else 0)
        return {**point, **self.fixed}, {n: v for n, v in pinned.items() if n not in self.fixed}

    # -- one step
    def evaluate(self, point: Mapping[str, Fraction], pruning: Pruning) -> tuple[Report, Relations, dict[str, Fraction]]:
        """Propagate at a point and collect its relations; the point comes back with what its norms divide by."""
        key = tuple(sorted(point.items())), replace(pruning, follow=True), tuple(self.space.known)
        if key not in self._lately:
            report = self.net.propagate(point, pruning, backward=self.net.atomic)
            found = relations(self.net, report, self.names)
            if self.net.growth is None and report.growth != self._growth:  # relations hold for one growth only
                self.pool, self.pure, self._growth, self._lately = _Pool(), _Pool(), report.growth, {}
            self._collect(found)
            done = report, found, dict(self.space.point)
            if report.outgrown and not pruning.follow:
                return done
            self._lately = dict([*self._lately.items()][1 - LATELY :]) | {key: done}
        self.space.move(self._lately[key][2])
        return self._lately[key]

    def look(self, point: Mapping[str, Fraction], slack: Fraction = ZERO) -> Relations:
        """The relations at any point, without keeping their terms; with some slack also of smaller terms."""
        pruning = replace(self.pruning, slack=max(slack, self.pruning.slack), ties=self.pruning.order + 1 if slack else 0)
        return relations(self.net, self.net.propagate(point, pruning, backward=self.net.atomic), self.names)

    def _collect(self, found: Relations) -> None:
        """Keep terms that may bind: within one exponent of the bound."""
        floor = -self.space.unit
        pools = (self.pool,) if self.space.known else (self.pool, self.pure)
        for label, terms in found.bounded.items():
            for form in {f for s, f in terms if s >= floor}:
                for pool in pools:
                    pool.bounded.setdefault(self.row(form), label)
        for label, terms in found.attained.items():
            top = max((s for s, _ in terms), default=0)
            for pool in pools:
                group = pool.attained.setdefault(label, {})
                for form in {f for s, f in terms if s >= min(floor, top - self.space.unit)}:
                    group.setdefault(self.row(form))
                    pool.bounded.setdefault(self.row(form), label)

    def step(self, found: Relations, point: Mapping[str, Fraction]) -> tuple[dict[str, Fraction], list[str]]:
        """The largest term of every attained relation becomes an equation; what is left is taken maximal within the bounds.

        While something is pinned the bounds are left alone: what is left keeps its value.
        """
        policies = {label: self._largest(terms) for label, terms in found.attained.items() if terms}
        order = sorted(policies, key=lambda label: ORDER.index(label.split()[0]))
        unmet = []
        reduced = solve_equations(self.fixed_rows(), self.size)
        for label in order:
            rest = reduced.reduce(policies[label])
            if rest.keys() <= {0}:
                unmet += [label] if rest else []
                continue
            reduced = extend(reduced, rest)
        if self.pinned:
            unit = self.space.constant_unit
            return self.point_of(reduced, reduced.free, [point[self.space.unknowns[j - 1]] * unit for j in reduced.free]), unmet
        best = self._climb(reduced)
        if best is not None and not unmet:
            return best, []
        return self._compromise(policies)

    def _largest(self, terms: Sequence[tuple[int, int]]) -> Row:
        """The largest term; of equal ones the one with the fewest factors."""
        top = max(size for size, _ in terms)
        return min((self.row(f) for f in {form for size, form in terms if size == top}), key=lambda r: (sum(map(abs, r[1:])), r))

    def _bounds(self, reduced: Reduction) -> tuple[list[int], list[Row]]:
        """The bounds in the free variables: the tightest of parallel ones."""
        table, free = reduced.matrix()
        rows = np.unique(np.array(list(self.pool.bounded), np.int64) @ table, axis=0)
        tightest: dict[tuple[int, ...], Row] = {}
        for constant, *direction in rows.tolist():
            divisor = gcd(*direction) or 1
            key = tuple(a // divisor for a in direction)
            row = (Fraction(constant, divisor), *key)
            if key not in tightest or row[0] > tightest[key][0]:
                tightest[key] = row
        return free, list(tightest.values())

    def _climb(self, reduced: Reduction) -> dict[str, Fraction] | None:
        """The point with the largest sum of standard deviations and multipliers, or None if the bounds exclude all."""
        free, rows = self._bounds(reduced)
        if any(row[0] > 0 and not any(row[1:]) for row in rows):
            return None
        rows = [row for row in rows if any(row[1:])]
        goal = reduced.reduce(self.climbing())
        best = maximise(tuple(goal.get(j, ZERO) for j in (0, *free)), rows + self._box(len(free)), len(free))
        return None if best.status != "optimal" else self.point_of(reduced, free, best.point)

    def _box(self, count: int, width: int = 12) -> list[Row]:
        unit = self.space.constant_unit * width
        return [tuple([-unit, *(sign * int(i == j) for j in range(count))]) for i in range(count) for sign in (1, -1)]

    def point_of(self, reduced: Reduction, free: Sequence[int], values: Sequence[Fraction]) -> dict[str, Fraction]:
        """The point with these values of the free variables."""
        known = dict(zip(free, values, strict=True))
        point = {}
        for j, name in enumerate(self.space.unknowns, 1):
            form = reduced.pivots.get(j, {j: Fraction(1)})
            point[name] = sum((a * (known[k] if k else 1) for k, a in form.items()), ZERO) / self.space.constant_unit
        return point

    def _compromise(self, policies: Mapping[str, Row]) -> tuple[dict[str, Fraction], list[str]]:
        """Not all relations can hold with these terms: keep the bounds, raise the policies (initial ones first)."""
        equations = self.fixed_rows()
        for group in (("norm",), ("init",), ORDER[2:]):
            rows = [row for label, row in policies.items() if label.split()[0] in group]
            reduced = solve_equations(equations, self.size)
            free, bounds = self._bounds(reduced)
            bounds = [b for b in bounds if any(b[1:])] + self._box(len(free))
            goal = [reduced.reduce(row) for row in rows]
            total = tuple(sum((g.get(j, ZERO) for g in goal), ZERO) for j in (0, *free))
            best = maximise(total, bounds, len(free))
            if best.status != "optimal":
                raise ArithmeticError("the bounds leave no point at all")  # amplitudes can always be small
            point = self.point_of(reduced, free, best.point)
            for row in rows:
                value = self.value(row, point) * self.space.constant_unit
                equations.append((row[0] - value, *row[1:]))
        reduced = solve_equations(equations, self.size)
        point = self._climb(reduced) or point
        return point, [label for label, row in policies.items() if self.value(row, point) < 0]

    # -- the whole
    def settle(self, pruning: Pruning, point: dict[str, Fraction], limit: int = 30) -> tuple[dict[str, Fraction], list[str]]:
        """Iterate until the point stays; returns it with the relations that it leaves unmet."""
        self.net.growth = None
        try:
            return self._settle(pruning, point, limit)
        finally:
            self.net.growth = self._growth  # as at this point, whatever is asked next

    def _settle(self, pruning: Pruning, point: dict[str, Fraction], limit: int) -> tuple[dict[str, Fraction], list[str]]:
        seen = []
        for _ in range(limit):
            _, found, point = self.evaluate(point, pruning)
            new, unmet = self.step(found, point)
            keys = [n for n in self.space.unknowns if not n.startswith("norm:")]
            if all(new[n] == point[n] for n in keys):
                return new, unmet
            if new in seen:
                return new, unmet or ["oscillation"]
            seen.append(new)
            point = new
        return point, ["no convergence"]
