"""What a given table misses of desiderata: relations that it does not meet, with the exponent by which."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from .amplitudes import starting_point
from .architecture import Architecture
from .desiderata import find_desiderata, relations
from .optimizers import find_optimizer
from .propagate import Net, Pruning
from .scales import Regime
from .table import ExponentTable

ORDER = Pruning(order=3)


def shortfalls(
    architecture: Architecture, table: ExponentTable, desiderata: str = "mup", *, regime: Regime, pruning: Pruning = ORDER
) -> dict[str, Fraction]:
    """The relations of the desiderata that do not hold at a table, by label.

    Positive exponents are terms that grow and should not, negative ones terms that vanish where they should be Theta(1); ``first`` are
    those that vanish only until more updates are multiplied. Epsilon does not count: it is compared cell by cell (`table.differences`).

    Args:
        architecture: with the initial values that the table demands.
        table: a row per weight.
        desiderata: a set of them (see `theory.desiderata`).
        regime: how fast the axes grow.
        pruning: of the propagation.

    Returns:
        Labels of relations, as in `ExponentTable.clash`, with the exponents that should be zero.
    """
    names, optimizer = find_desiderata(desiderata), find_optimizer(table.optimizer)
    _, start = starting_point(architecture, table, regime, optimizer)
    degrees = optimizer.degree_back, optimizer.degree_forward
    net = Net(architecture, regime, degrees=degrees, atomic="scale-stable" in names)
    point = _with_gradients(net, {name: start.get(name, Fraction(0)) for name in net.space.unknowns}, pruning)
    found = relations(net, net.propagate(point, pruning), names)
    largest = {label: max(s for s, _ in terms) for group in (found.bounded, found.attained) for label, terms in group.items() if terms}
    must = {label for label, terms in found.attained.items() if terms}
    missed = {label: Fraction(size, net.space.unit) for label, size in largest.items() if size > 0 or (size and label in must)}
    return {label: size for label, size in missed.items() if _for_ever(label) == label or _for_ever(label) not in missed}


def _for_ever(label: str) -> str:
    """The relation on all of a term, of one on what it is at first."""
    return label.replace("first", "atom", 1)


def _with_gradients(net: Net, point: Mapping[str, Fraction], pruning: Pruning) -> dict[str, Fraction]:
    """The point with the sizes of the gradients of what weights act on, which single terms are compared with."""
    report, found = net.propagate(point, pruning), dict(point)
    for name in (n for n in net.space.unknowns if n.startswith("back:")):
        pieces = report.grads[net.position[name.removeprefix("back:")]]
        found[name] = Fraction(max((p.size for p in pieces), default=0), net.space.unit)
    return found
