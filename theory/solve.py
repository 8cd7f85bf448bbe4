"""Exact solution of the desiderata: settle at one order of the calculus after the other, certify, say how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from .desiderata import Relations, relations
from .iteration import Iteration
from .propagate import Report

if TYPE_CHECKING:
    from .chain import Chain
    from .refutation import Certificate

ZERO = Fraction(0)
LAST = 4  # the highest order at which is solved
UNSETTLED = "the table changes with every order: changes need ever more updates (log n steps, behind a finite bottleneck) to be felt"
CAP, LARGE = 64, 30  # pieces per tensor, when the next order is looked at in a network with so many nodes
SMALL = 20  # nodes of a network in which the order after that is looked at as well


@dataclass(frozen=True)
class Solution:
    """A point of the unknown exponents with its verdict.

    Args:
        point: exact value of every unknown.
        verdict: ``unique``, ``family``, ``infeasible`` or ``not decided``.
        free: unknowns that can move (``family``).
        clash: labels of a smallest set of relations that contradict each other (``infeasible``).
        notes: what is not certain about it.
        stats: what the verdict rests on.
        certificate: the relations that bind (`theory.chain`), or why there is no point (`theory.refutation`).
    """

    point: dict[str, Fraction]
    verdict: str
    free: tuple[str, ...] = ()
    clash: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stats: dict[str, int] = field(default_factory=dict)
    certificate: Chain | Certificate | None = None


class Solver(Iteration):
    """The point of a `Net` at which desiderata hold, with its verdict."""

    quick = False  # give up where iteration alone finds no point, instead of searching for one or for a proof that there is none

    def solve(self) -> Solution:
        """Settle from below, release what was pinned, certify; follow a standard deviation that can still grow."""
        from .certify import certify
        from .clash import find_clash

        for depth in (1, 2):
            point, unmet = self._from_below(depth)
            if not unmet:
                break
        raised: dict[str, int] = {}
        for _ in range(8):
            empty = tuple(k for k, rows in self.pool.attained.items() if not rows)
            if empty and self.pruning.order >= LAST:
                reasons = tuple(f"{k}: no term of {LAST} updates or fewer" for k in empty)
                return Solution(point, "not decided", clash=reasons, stats=raised)
            if empty or (unmet and self._may_need_more()):  # the order may have cut terms
                point, unmet = self._at_next_order(point)
                continue
            if unmet and self.quick:
                return Solution(point, "not decided", clash=tuple(unmet), stats=raised)
            if unmet:
                found = find_clash(self)
                if found.point is None:
                    verdict = "infeasible" if found.certificate else "not decided"
                    stats = found.stats | raised
                    why = found.labels or tuple(unmet)
                    return Solution(point, verdict, clash=why, notes=found.notes, certificate=found.certificate, stats=stats)
                point, unmet = self.settle(self.pruning, found.point)
                continue
            solution, climb = certify(self, point)
            if climb is not None:
                point = {n: v + Fraction(1, 2) * climb.get(n, ZERO) for n, v in point.items()}
            elif solution.verdict == "infeasible":
                unmet = list(solution.clash)
                continue
            elif self._stays(solution.point, raised) and not (solution.verdict == "family" and self._may_need_more()):
                return replace(solution, stats=solution.stats | raised)
            elif self.pruning.order >= LAST:
                return replace(solution, verdict="not decided", clash=(UNSETTLED,), stats=solution.stats | raised)
            else:
                point, unmet = self._at_next_order(point)
                continue
            point, unmet = self.settle(self.pruning, point)
        return Solution(point, "not decided", clash=tuple(unmet) or (UNSETTLED,), stats=raised)

    def _may_need_more(self) -> bool:
        """Whether terms that bind may be of a higher order: where normalised gradients grow, what makes them grow counts too."""
        return self.net.normalises and self.pruning.order < LAST - 1

    def lasts(self, point: Mapping[str, Fraction], more: int = 1) -> bool:
        """Whether the relations hold at a point with products of so many updates more than are followed."""
        return self._held(*self._evaluated(point, more))

    def _evaluated(self, point: Mapping[str, Fraction], more: int, finer: int = 0) -> tuple[Report, Relations]:
        """The relations alone, with gradients that grow as they do there; of more updates only the largest pieces in a large network.

        ``finer``: more letters in which pieces must agree for one to cover the other.
        """
        merge = self.pruning.merge
        pruning = replace(self.pruning, order=self.pruning.order + more, merge=None if merge is None else merge + finer)
        if more and len(self.net.sites) >= LARGE and pruning.cap is None:
            pruning = replace(pruning, cap=CAP)
        growth, self.net.growth = self.net.growth, None
        try:
            report = self.net.propagate(point, pruning, backward=self.net.atomic)
        finally:
            self.net.growth = growth
        return report, relations(self.net, report, self.names)

    @staticmethod
    def _bounded(found: Relations) -> bool:
        return all(s <= 0 for group in (found.bounded, found.attained) for terms in group.values() for s, _ in terms)

    @staticmethod
    def _held(report: Report, found: Relations) -> bool:
        held = all(s <= 0 for terms in found.bounded.values() for s, _ in terms)
        if report.capped:  # what attains a relation may be what was cut
            return held
        return held and all(max(s for s, _ in terms) == 0 for terms in found.attained.values() if terms)

    def _stays(self, point: Mapping[str, Fraction], raised: dict[str, int]) -> bool:
        """Whether products of more updates change nothing; how much of them was looked at is written to ``raised``.

        Two more where that is cheap: what starts small (a readout) may take a step to grow and another one to be felt.
        """
        more = 2 if len(self.net.sites) < SMALL else 1
        report, found = self._evaluated(point, more)
        for finer in (1, 2):
            if self._held(report, found) or not self._bounded(found):
                break
            report, found = self._evaluated(point, more, finer)  # what attains a relation may have been covered
        raised.update({"checked order": self.pruning.order + more, "capped at that order": report.capped})
        held = self._held(report, found)
        if not held:
            self._collect(found)
        return held

    def _at_next_order(self, point: dict[str, Fraction]) -> tuple[dict[str, Fraction], list[str]]:
        """Settle with products of one more update, from below where that may change what gradients grow to."""
        self.pruning = replace(self.pruning, order=self.pruning.order + 1)
        empty = not all(self.pool.attained.values())
        return self._from_below(1) if empty or self.net.normalises else self.settle(self.pruning, point)

    def _from_below(self, depth: int) -> tuple[dict[str, Fraction], list[str]]:
        """Amplitudes first, with the multipliers and outputs pinned low; then everything."""
        point, self.pinned = self.start(depth)
        point, _ = self.settle(replace(self.pruning, order=1, follow=False), point)
        point, _ = self.settle(replace(self.pruning, follow=False), point)
        self.pinned = {}
        point, unmet = self.settle(self.pruning, point)
        if unmet and self.net.normalises:  # what amplitudes answer to has moved with the rest: let them settle once more
            self.pinned = {name: value for name, value in point.items() if name.startswith(("std:", "mult:")) and name not in self.fixed}
            point, _ = self.settle(self.pruning, point)
            self.pinned = {}
            point, unmet = self.settle(self.pruning, point)
        return point, unmet
