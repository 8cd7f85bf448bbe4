"""What a given table does: the exponent of every atomic term, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from .amplitudes import HUGE, starting_point
from .architecture import Architecture
from .derivation import alone
from .observables import Observable
from .optimizers import find_optimizer
from .propagate import Net, Pruning, Report
from .scales import Regime
from .solve import CAP, LAST
from .table import ExponentTable

PREDICTION = Pruning(order=3, response=True, factors=0)
SETTLED = 4  # the step from which on exponents stay
ORDERS = (1, 2, 3, 4)  # at order two ``dW dx`` still lacks the change along the initial features; beyond four nothing was seen to change


@dataclass(frozen=True)
class Prediction:
    """The exponent of one term.

    ``low`` is smaller where a term is a sum of two mechanisms, the larger of which grows during training: it multiplies
    more updates, or it is the part of a change that aligns with the weight, or the change outgrows what was there before,
    or it passes through an attention pattern or the loss derivative.
    At rates of order one their constants decide at which size the larger exponent wins, so the slope lies in between (a
    *crossover*).
    """

    exponent: Fraction
    low: Fraction

    @property
    def crossover(self) -> bool:
        return self.low < self.exponent


@dataclass(frozen=True)
class Behaviour:
    """A table evaluated after some steps: the propagation, and the sizes of every weight's gradient factors."""

    net: Net
    report: Report
    point: Mapping[str, Fraction]
    unit: int

    def exponents(self) -> dict[Observable, Fraction]:
        """The exponent of every atomic term that is not identically zero."""
        return {observable: Fraction(max(terms)[0], self.unit) for observable, terms in self.report.terms.items() if terms}


def default_regime(architecture: Architecture) -> Regime:
    """The first growing axis alone."""
    return alone(architecture, next(axis for axis in architecture.axes if axis.power))


def behave(
    architecture: Architecture,
    table: ExponentTable,
    *,
    regime: Regime | None = None,
    steps: int | None = None,
    pruning: Pruning = PREDICTION,
) -> Behaviour:
    """Propagate a table: ``steps`` gradients (None: as many as change anything).

    An update's amplitude follows from its rate and from the size of its weight's first gradient, to which earlier updates may
    contribute; these equations are solved by taking the largest piece of every gradient as an equation until it stays. Where
    the optimizer normalises gradients, amplitudes fall as these grow.
    """
    return _run(*_start(architecture, table, regime), steps, pruning)


def _run(net: Net, point: Mapping[str, Fraction], steps: int | None, pruning: Pruning) -> Behaviour:
    report = net.propagate(point, replace(_capped(net, pruning), steps=steps))
    return Behaviour(net, report, dict(net.space.point), net.space.unit)


def _start(architecture: Architecture, table: ExponentTable, regime: Regime | None) -> tuple[Net, Mapping[str, Fraction]]:
    regime = table.regime or regime or default_regime(architecture)
    return starting_point(architecture, table, regime, find_optimizer(table.optimizer))


def _capped(net: Net, pruning: Pruning) -> Pruning:
    """Keep 128 pieces per tensor (with 256, `gpt` and `llama` have the same exponents and low ends); in large networks, half of them."""
    return pruning if pruning.cap is not None else replace(pruning, cap=2 * CAP if len(net.sites) < HUGE else CAP)


def predict(
    architecture: Architecture,
    table: ExponentTable,
    *,
    steps: Sequence[int] = (1, 2),
    regime: Regime | None = None,
    orders: Sequence[int] = ORDERS,
) -> dict[int, dict[Observable, Prediction]]:
    """The exponent of every atomic term after each of the given steps, at rates of order one; from the fourth on it stays.

    What was there after an earlier step stays: exponents never fall, and what the first update alone does bounds ``low``.
    """
    found: list[dict[Observable, Prediction]] = []
    start = _start(architecture, table, regime)
    for phase in range(1, max(_phase(step) for step in steps) + 1):
        key = phase if phase < SETTLED else None
        ends = [_run(*start, key, replace(PREDICTION, order=o)) for o in orders]
        runs = [end.exponents() for end in ends]
        unit, incoherent = ends[-1].unit, ends[-1].report.incoherent
        direct = _direct(start, key, runs[-1])
        now: dict[Observable, Prediction] = {}
        for term in runs[-1]:
            lows = [run[term] for run in runs if term in run]
            size = max(lows)  # a mechanism of low order stays; a run of high order may have cut it
            lows += [Fraction(incoherent[term], unit)] if term in incoherent else []
            before = replace(term, kind=term.kind.replace("dx", "x0"))
            lows += [run[t] for run, t in ((runs[-1], before), (direct, term)) if t in run]
            earlier = [past[term] for past in found if term in past]
            size = max([size, *(p.exponent for p in earlier)])
            now[term] = Prediction(size, min([size, *lows, *(p.low for p in earlier[:1])]))
        _inherit(architecture, now)
        found.append(now)
    return {step: found[_phase(step) - 1] for step in steps}


def _direct(start: tuple[Net, Mapping[str, Fraction]], key: int | None, terms: Iterable[Observable]) -> dict[Observable, Fraction]:
    """Exponents at the first order that has a term, with attention patterns that do not align and a loss derivative that stays.

    Some terms need an aligned pattern to be there at all, so an order that adds none is the last (as all orders, in every network tried).
    """
    found: dict[Observable, Fraction] = {}
    for order in range(2, LAST + 1):
        new = _run(*start, key, replace(PREDICTION, order=order, pattern=False, loss=False)).exponents()
        if found and new.keys() <= found.keys():
            break
        found = new | found
        if found.keys() >= set(terms):
            break
    return found


def _phase(step: int) -> int:
    """Steps that are told apart: the first three; after that every mechanism of the orders followed has had its turn."""
    return min(step, SETTLED)


def predict_linear(architecture: Architecture, table: ExponentTable, *, regime: Regime | None = None) -> dict[Observable, Prediction]:
    """The exponent of every atomic term after one update with a vanishing rate: mechanisms of the lowest order alone."""
    found: dict[Observable, Prediction] = {}
    start = _start(architecture, table, regime)
    for order in (1, 2):
        run = replace(PREDICTION, order=order, follow=False)
        end = _run(*start, 1, run)
        direct = _run(*start, 1, replace(run, pattern=False, loss=False))
        unit = end.unit
        for term, noted in end.report.terms.items():
            if noted and term not in found:
                size = _first(noted)
                lows = [size, end.report.incoherent.get(term, size)]
                lows += [_first(direct.report.terms[term])] if direct.report.terms.get(term) else []
                found[term] = Prediction(Fraction(size, unit), Fraction(min(lows), unit))
    _inherit(architecture, found)
    return found


def _inherit(architecture: Architecture, found: dict[Observable, Prediction]) -> None:
    """The loss derivative changes as the output does: where one of the output's changes is a crossover, those of the gradient are."""
    last = [node.name for node in architecture.nodes if node.weight][-1]
    changes = [p for o, p in found.items() if o.node == last and not o.backward and o.kind != "W0 x0"]
    top = max((p.exponent for p in changes), default=Fraction(0))
    gap = max((p.exponent - p.low for p in changes if p.exponent == top), default=Fraction(0))
    for term, p in found.items():
        if gap and term.backward and term.kind.endswith("dx"):
            found[term] = replace(p, low=min(p.low, p.exponent - gap))


def _first(noted: Sequence[tuple[int, int, int]]) -> int:
    """The largest size among the mechanisms that multiply the fewest updates."""
    order = min(order for _, _, order in noted)
    return max(size for size, _, o in noted if o == order)
