"""Orders the relations that bind at a solved point into a chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from .certify import vector
from .chain import CONSTANT, Chain, Link, Term, add_to
from .desiderata import ORDER

if TYPE_CHECKING:
    from .linear import Row
    from .solve import Solver

ONE = Fraction(1)
CHOICE = 40  # terms of one relation among which is chosen, those with the fewest factors


def find_chain(solver: Solver, point: Mapping[str, Fraction], size: str, scale: Fraction) -> Chain:
    """Order the relations that bind at a point so that each fixes one more unknown.

    Of a group of which one term must be Theta(1) any that binds may stand; where no relation has a single new unknown, the one
    with the fewest is taken as it is, and later ones tell them apart.

    Args:
        solver: that solved.
        point: what it found.
        size: what the chain's exponents are powers of.
        scale: times what the solver's exponents are those.
    """
    finder = _Finder()
    waiting = [_Candidate(f"given {name}", [term]) for name, term in _given(solver)] + _attained(solver, point)
    bounds = _bounds(solver, point)
    while waiting or bounds:
        if not (finder.take(waiting, 1) or finder.take(bounds, 1) or finder.take(waiting) or finder.take(bounds)):
            break
    return finder.chain(point, size, scale)


@dataclass
class _Candidate:
    """A relation with those of its terms that bind, shortest first; ``ties`` counts all but one."""

    label: str
    terms: list[Term]
    ties: int = 0


def _given(solver: Solver) -> Iterator[tuple[str, Term]]:
    for row in solver.fixed_rows():
        term = _term(solver, row)
        yield next(name for name in term if name), term


def _attained(solver: Solver, point: Mapping[str, Fraction]) -> list[_Candidate]:
    """Relations of which one term is Theta(1), with those that are."""
    found = []
    for label, rows in sorted(solver.pure.attained.items(), key=lambda pair: ORDER.index(pair[0].split()[0])):
        tight = sorted(_tight(solver, list(rows), point), key=_factors)
        if tight:
            found.append(_Candidate(label, [_term(solver, row) for row in tight[:CHOICE]], len(tight) - 1))
    return found


def _bounds(solver: Solver, point: Mapping[str, Fraction]) -> list[_Candidate]:
    """Terms at their bound that contain something that is taken as large as possible."""
    rows, up = [row for row, label in solver.pure.bounded.items() if label.startswith("stable")], solver.climbing()
    tight = (row for row in _tight(solver, rows, point) if any(a > 0 and b for a, b in zip(row, up, strict=True)))
    return [_Candidate(solver.pure.bounded[row], [_term(solver, row)]) for row in sorted(tight, key=_factors)]


def _tight(solver: Solver, rows: list[Row], point: Mapping[str, Fraction]) -> list[Row]:
    return [rows[i] for i in np.flatnonzero(np.array(rows, np.int64) @ vector(solver, point) == 0)] if rows else []


def _factors(row: Row) -> tuple[Fraction | int, Row]:
    return sum(map(abs, row[1:])), row


def _term(solver: Solver, row: Row) -> Term:
    unit, names = solver.space.constant_unit, solver.space.unknowns
    term = {name: Fraction(a) for name, a in zip(names, row[1:], strict=True) if a}
    return term | ({CONSTANT: Fraction(row[0]) / unit} if row[0] else {})


@dataclass
class _Finder:
    """Elimination that remembers of which relations every solved form is a combination."""

    chosen: list[tuple[str, Term, int]] = field(default_factory=list)
    solved: dict[str, tuple[Term, dict[int, Fraction]]] = field(default_factory=dict)  # unknown: (rest of its form, multipliers)
    order: list[str] = field(default_factory=list)

    def take(self, waiting: list[_Candidate], most: int | None = None) -> bool:
        """Use the first relation that has a term with new unknowns, at most so many; drop those that have none."""
        done: list[_Candidate] = []
        best: tuple[int, _Candidate, Term] | None = None
        for candidate in waiting:
            count, term = min(((self._unknown(term), term) for term in candidate.terms), key=lambda pair: pair[0])
            if not count:
                done.append(candidate)
            elif best is None or count < best[0]:
                best = count, candidate, term
            if count == 1:
                break
        waiting[:] = [c for c in waiting if all(c is not other for other in done)]
        if best is None or (most is not None and best[0] > most):
            return False
        self._solve(best[1].label, best[2], best[1].ties)
        waiting[:] = [c for c in waiting if c is not best[1]]
        return True

    def _unknown(self, term: Term) -> int:
        """In how many unsolved unknowns it is, given what is solved."""
        if all(not self.solved[n][0].keys() - {CONSTANT} for n in term if n in self.solved):
            return sum(bool(n) and n not in self.solved for n in term)
        return len(self._reduced(term)[0].keys() - {CONSTANT})

    def _reduced(self, term: Term) -> tuple[Term, dict[int, Fraction]]:
        """The term in what is not solved yet, and the multipliers of the relations that were added to it."""
        rest: Term = dict(term)
        used: dict[int, Fraction] = {}
        for name in [n for n in term if n in self.solved]:
            factor = rest[name]
            form, multipliers = self.solved[name]
            del rest[name]
            add_to(rest, form, factor)
            add_to(used, multipliers, -factor)
        return rest, used

    def _solve(self, label: str, term: Term, ties: int) -> None:
        rest, used = self._reduced(term)
        self.chosen.append((label, term, ties))
        used[len(self.chosen) - 1] = ONE
        name = max((n for n in rest if n), key=lambda n: (n not in self.solved, n))
        factor = rest.pop(name)
        form = {key: -value / factor for key, value in rest.items()}
        multipliers = {i: value / factor for i, value in used.items()}
        for old, combined in self.solved.values():
            if name in old:
                share = old.pop(name)
                add_to(old, form, share)
                add_to(combined, multipliers, share)
        self.solved[name] = form, multipliers
        self.order.append(name)

    def chain(self, point: Mapping[str, Fraction], size: str, scale: Fraction) -> Chain:
        """A link for every relation used; an unknown that depends on free ones has no multipliers."""
        links = []
        for name, (label, term, ties) in zip(self.order, self.chosen, strict=True):
            form, multipliers = self.solved[name]
            scaled = term | ({CONSTANT: term[CONSTANT] * scale} if CONSTANT in term else {})
            own = multipliers if form.keys() <= {CONSTANT} else {}
            links.append(Link(label, scaled, name, point[name] * scale, own, ties, size))
        return Chain(tuple(links))
