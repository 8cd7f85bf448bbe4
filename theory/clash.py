"""Why there is no table: relations that contradict each other, with a proof that exact arithmetic can check again.

A named relation says ``all its terms <= 0`` (stable) or ``all its terms <= 0 and one of them = 0`` (init, update, kernel). To
refute a set of them, branch over which term is zero; in every leaf Farkas' lemma gives multipliers with which inequalities
add up to ``positive constant <= 0``. Terms are found lazily: where the relations met so far leave a point, the word calculus is
evaluated there, until the point satisfies everything or none is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from .certify import vector
from .desiderata import ORDER
from .linear import Reduction, Row, extend, maximise, solve_equations
from .refutation import Branch, Certificate, Entry, Leaf, Proof, entries, minus, mix, used

if TYPE_CHECKING:
    from .desiderata import Relations
    from .solve import Solver

ZERO, RICH = Fraction(0), Fraction(1)
SMALL = 16  # nodes of a network whose smaller terms are looked at as well
Point = dict[str, Fraction]


@dataclass(frozen=True)
class Clash:
    """What the search for a contradiction found.

    Args:
        point: one that satisfies everything (then nothing clashes).
        labels: relations that contradict each other; one with a witness cannot be spared.
        certificate: the proof; None if the search was stopped before it could decide.
        witnesses: for every label a point at which all the others hold in the calculus itself.
        stats: linear programs solved, evaluations of the calculus, terms compared.
    """

    point: Point | None = None
    labels: tuple[str, ...] = ()
    certificate: Certificate | None = None
    witnesses: dict[str, Point] = field(default_factory=dict)
    stats: dict[str, int] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """Whether a smaller set may contradict itself too."""
        open_ = len(self.labels) - len(self.witnesses)
        return (f"{open_} of these {len(self.labels)} relations could not be shown to be needed",) if open_ else ()


def find_clash(solver: Solver, *, programs: int = 600, evaluations: int = 60) -> Clash:
    """Decide whether all relations can hold together: a point at which they do, or a smallest set that cannot.

    Args:
        solver: it has met terms on its way; they are where the search starts.
        programs: exact linear programs at most.
        evaluations: of the word calculus at most.
    """
    return _Decision(solver, programs, evaluations).run()


class _OutOfBudget(Exception):
    """The search was stopped."""


class _Decision:
    """Relations met so far by label, and the cutting-plane loop that adds to them."""

    def __init__(self, solver: Solver, programs: int, evaluations: int):
        self.solver, self.programs, self.evaluations = solver, programs, evaluations
        self.bounded: dict[str, dict[Row, None]] = {}
        self.attained: dict[str, dict[Row, None]] = {label: dict(rows) for label, rows in solver.pure.attained.items()}
        for row, label in solver.pure.bounded.items():
            if label not in self.attained:
                self.bounded.setdefault(label, {})[row] = None
        self.given = {f"given {name}": row for name, row in zip(solver.fixed, solver.fixed_rows(), strict=True)}
        self.norms = [label for label in self.attained if label.startswith(("norm ", "back "))]
        self.budget = [programs, evaluations]
        self.start: Point = dict(solver.space.point)
        self.small = len(solver.net.sites) <= SMALL

    def run(self) -> Clash:
        try:
            self._enrich(self.start)
            while True:
                found = self.decide([k for k in (*self.bounded, *self.attained) if not k.startswith("first ")])
                if isinstance(found, dict):  # only then do terms that are small at first take part: others say more
                    found = self.decide([*self.bounded, *self.attained])
                if isinstance(found, dict):
                    return Clash(found, stats=self.stats())
                needed, witnesses = self._filter(used(found))
                self.budget = [max(left, enough) for left, enough in zip(self.budget, (200, 10), strict=True)]  # to decide once more
                for point in witnesses.values():  # terms that could be zero there: a choice that is missing proves nothing
                    self._enrich(point)
                found = self.decide(needed)
                if not isinstance(found, dict):
                    return Clash(None, tuple(needed), self._certificate(found), witnesses, self.stats())
        except _OutOfBudget:
            return Clash(stats=self.stats())

    def _enrich(self, point: Point) -> None:
        """Keep smaller terms too that the calculus has at a point."""
        self._learn(self.solver.look(point, slack=RICH if self.small else ZERO))

    def _learn(self, found: Relations) -> None:
        for name, terms in found.bounded.items():
            self._keep(self.bounded.setdefault(name, {}), terms)
        for name, terms in found.attained.items():
            self._keep(self.attained.setdefault(name, {}), terms)

    def stats(self) -> dict[str, int]:
        terms = sum(map(len, self.bounded.values())) + sum(map(len, self.attained.values()))
        return {"programs": self.programs - self.budget[0], "evaluations": self.evaluations - self.budget[1], "terms": terms}

    def _filter(self, needed: list[str]) -> tuple[list[str], dict[str, Point]]:
        """Drop every relation without which the rest still contradict each other; points that show that it cannot be dropped."""
        witnesses: dict[str, Point] = {}
        for label in sorted(needed, key=lambda k: ("first", *ORDER[2:-1], "init", "stable").index(k.split()[0])):
            if label in needed:
                try:
                    found = self.decide([k for k in needed if k != label])
                except _OutOfBudget:  # keep it, without a witness
                    continue
                if isinstance(found, dict):
                    witnesses[label] = found
                else:
                    needed = used(found)
        return needed, {label: point for label, point in witnesses.items() if label in needed}

    def _certificate(self, proof: Proof) -> Certificate:
        labels = dict.fromkeys(label for label, _, _ in entries(proof)) | dict.fromkeys(_branched(proof))
        terms = {k: tuple(self.attained[k]) for k in labels if k in self.attained}
        bounds = {k: tuple(self.bounds(k)) for k in labels if not k.startswith("given ")}
        return Certificate(terms, proof, bounds, tuple(self.given.values()))

    def bounds(self, label: str) -> list[Row]:
        """Terms that the relation keeps at most zero: all, but of ``init`` only those that are pieces of the tensor."""
        if not label.startswith("init "):
            return [*self.bounded.get(label, ()), *self.attained.get(label, ())]
        pieces = self.bounded.get(label.replace("init", "stable", 1), {})
        return [row for row in self.attained[label] if row in pieces]

    def decide(self, labels: Sequence[str]) -> Proof | Point:
        """Refute the relations with these labels, or find a point at which they hold in the calculus itself."""
        everything = len(labels) == len(self.bounded) + len(self.attained)
        while True:
            if everything:
                labels = [*self.bounded, *self.attained]
            found = _Search(self, labels).explore({})
            if not isinstance(found, dict) or self._holds(found, labels):
                return found

    def _holds(self, point: Point, labels: Sequence[str]) -> bool:
        """Evaluate the calculus at a point, keep the terms that it has there; whether the relations hold."""
        self.budget[1] -= 1
        if self.budget[1] < 0:
            raise _OutOfBudget
        solver, before = self.solver, self.stats()["terms"]
        found = solver.look(point)
        self._learn(found)
        active = {*labels, *self.norms}
        held = all(s <= 0 for name, terms in found.bounded.items() if name in active for s, _ in terms)
        held = held and all(self._attains(name, terms, point) for name, terms in found.attained.items() if name in active)
        if not held and self.stats()["terms"] == before:
            raise _OutOfBudget  # what is wrong there was pruned
        return held

    def _attains(self, label: str, terms: Sequence[tuple[int, int]], point: Point) -> bool:
        """Whether a relation is attained; of ``init`` also in its weaker sense, not relative to a small input."""
        if max((s for s, _ in terms), default=0) == 0:
            return True
        rows = self.bounds(label) if label.startswith("init ") else []
        return bool(rows) and (np.array(rows, np.int64) @ vector(self.solver, point)).max() == 0

    def _keep(self, rows: dict[Row, None], terms: Sequence[tuple[int, int]]) -> None:
        floor = min(0, max((s for s, _ in terms), default=0)) - self.solver.space.unit
        for form in {f for s, f in terms if s >= floor}:
            rows.setdefault(self.solver.row(form))


def _branched(proof: Proof) -> Iterator[str]:
    if isinstance(proof, Branch):
        yield proof.label
        for _, below in proof.cases:
            yield from _branched(below)


class _Search:
    """Branch over which term of a relation is zero; every relaxation is an exact linear program."""

    def __init__(self, decision: _Decision, labels: Sequence[str]):
        self.decision, self.solver = decision, decision.solver
        labels = [*labels, *(k for k in decision.norms if k not in labels)]
        self.groups = {k: decision.attained[k] for k in labels if decision.attained.get(k)}  # one without terms says nothing
        self.facts = [(k, row) for k in labels for row in decision.bounds(k)]
        self.size = decision.solver.size
        self.matrix = np.array([row for _, row in self.facts], np.int64).reshape(-1, self.size + 1)
        self.listed = {k: list(rows) for k, rows in self.groups.items()}
        self.arrays = {k: np.array(rows, np.int64) for k, rows in self.listed.items()}
        self.bounds = {k: set(decision.bounds(k)) & rows.keys() for k, rows in self.groups.items()}
        self.favoured = {k: next(row for row in rows if row in self.bounds[k]) for k, rows in self.groups.items() if self.bounds[k]}

    def explore(self, chosen: dict[str, Row]) -> Proof | Point:
        """A proof that nothing is left with these terms zero, or a point at which all relations met so far hold."""
        found = self._relax(chosen)
        if not isinstance(found, dict):
            return found
        values = {k: self._values(k, found) for k in self.groups}
        for k in self.favoured:  # the largest that is bounded
            self.favoured[k] = max((int(a), row) for a, row in zip(values[k], self.listed[k], strict=True) if row in self.bounds[k])[1]
        unmet = {k for k, v in values.items() if not (v == 0).any()}
        if not unmet:
            return found
        classes = {k: self._classes(k, values[k]) for k in self.groups if k not in chosen}
        label = min(classes, key=lambda k: (len(classes[k]) > 1, k not in unmet, len(classes[k])))
        proofs: dict[Row, Proof] = {}
        for row in classes[label]:
            below = self.explore({**chosen, label: row})
            if isinstance(below, dict):
                return below
            choice = minus(row)
            if not any(k == label and r == choice for k, r, _ in entries(below)):
                return below  # the choice plays no part in the contradiction
            proofs[row] = below
        equations = [*self.decision.given.items(), *chosen.items()]
        dominated = tuple(
            (row, larger, self._difference(row, larger, fact, equations))
            for larger, rows in classes[label].items()
            for row, fact in rows
        )  # fmt: skip
        return Branch(label, tuple(proofs.items()), dominated)

    def _classes(self, label: str, values: np.ndarray) -> dict[Row, list[tuple[Row, tuple[int, Fraction] | None]]]:
        """Terms that no other dominates, each with those that it does: equal, smaller by a constant or by one bound.

        For the latter the bound and the factor: ``term - larger <= factor * bound``, modulo the equations.
        """
        forms = self.arrays[label] @ self.table
        kept: dict[Row, list] = {}
        at: dict[Row, np.ndarray] = {}
        for i in np.argsort(-values, kind="stable"):
            row = self.listed[label][i]
            for larger, form in at.items():
                if larger not in self.bounds[label]:
                    continue
                constant, *direction = (forms[i] - form).tolist()
                divisor = gcd(*direction)
                if not divisor:
                    if constant <= 0:
                        kept[larger].append((row, None))
                        break
                    continue
                bound = self.tightest.get(tuple(a // divisor for a in direction))
                if bound is not None and Fraction(constant, divisor) <= Fraction(bound[0], bound[1]):
                    kept[larger].append((row, (bound[2], Fraction(divisor, bound[1]))))
                    break
            else:
                kept[row], at[row] = [], forms[i]
        return kept

    def _difference(self, row: Row, larger: Row, fact: tuple[int, Fraction] | None, equations: Sequence[tuple[str, Row]]) -> Leaf:
        entries = [] if fact is None else [(*self.facts[fact[0]], fact[1])]
        difference = [a - b for a, b in zip(row, larger, strict=True)]
        rest = [a - b for a, b in zip(difference, mix(tuple(entries)), strict=True)] if entries else difference
        shares = _shares(rest, equations)
        signed = ((label, r if a > 0 else minus(r), abs(a)) for (label, r), a in zip(equations, shares, strict=True) if a)
        return tuple([*entries, *signed])

    def _values(self, label: str, point: Point) -> np.ndarray:
        """The terms of a relation at a point, up to one positive factor."""
        return self.arrays[label] @ vector(self.solver, point)

    def _relax(self, chosen: Mapping[str, Row]) -> Leaf | Point:
        """All bounds, with the chosen terms zero: a contradiction, or the point where the favoured terms are largest."""
        self.decision.budget[0] -= 1
        if self.decision.budget[0] < 0:
            raise _OutOfBudget
        equations = [*self.decision.given.items(), *chosen.items()]
        reduced = Reduction(self.size, {})
        for i, (_, row) in enumerate(equations):
            rest = reduced.reduce(row)
            if rest.keys() == {0}:
                sign = 1 if rest[0] > 0 else -1
                return self._leaf([(*equations[i], Fraction(1))], equations[:i], sign)
            if rest:
                reduced = extend(reduced, rest)
        free, rows, origin = self._bounds(reduced)
        total = [sum(column) for column in zip(*(row for k, row in self.favoured.items() if k not in chosen), strict=True)]
        goal = reduced.reduce(tuple(total))
        best = maximise(tuple(goal.get(j, ZERO) for j in (0, *free)), rows, len(free))
        if best.status == "infeasible":
            assert best.multipliers is not None
            return self._leaf([(*self.facts[origin[i]], m) for i, m in best.multipliers.items() if m], equations, 1)
        if best.status != "optimal":
            raise _OutOfBudget
        return self.solver.point_of(reduced, free, best.point)

    def _bounds(self, reduced: Reduction) -> tuple[list[int], list[Row], np.ndarray]:
        """The bounds in the free variables, the tightest of parallel ones, with where they come from."""
        table, free = reduced.matrix()
        forms = self.matrix @ table
        divisor = np.gcd.reduce(forms[:, 1:], axis=1) if free else np.zeros(len(forms), np.int64)
        where = np.flatnonzero((divisor > 0) | (forms[:, 0] > 0))
        forms, divisor = forms[where], np.maximum(divisor[where], 1)
        directions = forms[:, 1:] // divisor[:, None]
        order = np.lexsort((forms[:, 0] / divisor, *directions.T))  # ratios of small integers: floats tell them apart
        last = np.ones(len(order), bool)
        last[:-1] = (directions[order[1:]] != directions[order[:-1]]).any(axis=1)
        kept = order[last]
        listed = zip(directions[kept].tolist(), forms[kept, 0].tolist(), divisor[kept].tolist(), where[kept].tolist(), strict=True)
        self.table, self.tightest = table, {tuple(key): (constant, d, i) for key, constant, d, i in listed}
        return free, [tuple(row) for row in forms[kept].tolist()], where[kept]

    def _leaf(self, entries: list[Entry], equations: Sequence[tuple[str, Row]], sign: int) -> Leaf:
        """The contradiction in rows as they were met: what the bounds leave over is a combination of the equations."""
        shares = _shares(mix(tuple(entries)), equations)
        entries = entries + [(label, row, -a) for (label, row), a in zip(equations, shares, strict=True)]
        signed = [(label, row if sign * m > 0 else minus(row), abs(m)) for label, row, m in entries if m]
        return tuple(signed)


def _shares(form: Sequence[Fraction | int], equations: Sequence[tuple[str, Row]]) -> list[Fraction]:
    """Factors of the equations that add up to a form, but for its constant."""
    count = len(equations)
    system = [(-Fraction(form[j]), *(Fraction(row[j]) for _, row in equations)) for j in range(1, len(form))]
    solved = solve_equations([row for row in system if any(row)], count)
    return [solved.pivots.get(i, {}).get(0, ZERO) for i in range(1, count + 1)]
