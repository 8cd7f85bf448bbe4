"""From a table to a point of the calculus: the amplitudes that its learning rates give to updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from .architecture import Architecture
from .linear import Row, solve_equations
from .optimizers import Optimizer
from .propagate import GradientPieces, Net, Pruning
from .scales import Powers, Regime
from .solve import CAP, LAST
from .table import ExponentTable

HUGE = 64  # nodes of a network in which only the largest pieces are followed at any order


def starting_point(
    architecture: Architecture, table: ExponentTable, regime: Regime, optimizer: Optimizer
) -> tuple[Net, Mapping[str, Fraction]]:
    """The point of a table, with the amplitudes that its rates give to updates by the first gradient of each weight."""
    net = Net(architecture, regime, degrees=(optimizer.degree_back, optimizer.degree_forward))
    trained = [name for name in net.names if f"amp:{name}" in net.space.index]
    updates = {name: _exponent(table.row(name).invariants(optimizer)["update"], table, regime) for name in trained}
    point = _point_of(architecture, table, regime) | {f"amp:{name}": Fraction(-12) for name in updates}
    pruning = _order(net, point, updates)
    for _ in range(20):
        report = net.propagate(point, pruning)
        reached = dict(net.space.point)
        new = _solve_amplitudes(net, reached, updates, report.firsts, optimizer)
        if new == reached:
            break
        point = new
    return net, reached


def _order(net: Net, point: Mapping[str, Fraction], updates: Mapping[str, Fraction]) -> Pruning:
    """As many updates as have to be multiplied until every weight has a gradient (behind weights that start at zero)."""
    pruning = Pruning(order=0, follow=False, cap=None if len(net.sites) < HUGE else CAP)
    while pruning.order < LAST and not net.propagate(point, pruning).firsts.keys() >= updates.keys():
        pruning = replace(pruning, order=pruning.order + 1)
    return pruning


def _point_of(architecture: Architecture, table: ExponentTable, regime: Regime) -> dict[str, Fraction]:
    """Effective initial weights and multipliers of a table as unknowns of the calculus (amplitudes come later)."""
    at = lambda powers: _exponent(powers, table, regime)  # noqa: E731
    point = {}
    for name, weight in architecture.weights.items():
        row = table.row(name)
        if weight.init == "gaussian" and not row.zero_init:
            point[f"std:{name}"] = at(row.multiplier * row.init_std)
    for node in architecture.operations:
        operation = table.operation(node.name)
        if node.power is None:
            if operation is None:
                raise ValueError(f"the table of `{table.target}` gives no multiplier for `{node.name}`")
            point[f"mult:{node.name}"] = at(operation.multiplier)
    return point


def _exponent(powers: Powers, table: ExponentTable, regime: Regime) -> Fraction:
    """The exponent of a cell in the common scale; tables of a joint regime write it as a power of ``scale``."""
    return powers["scale"] + Powers({a: p for a, p in powers.items() if a != "scale"}).at(regime)


def _solve_amplitudes(
    net: Net, point: Mapping[str, Fraction], updates: Mapping[str, Fraction], pieces: GradientPieces, optimizer: Optimizer
) -> dict[str, Fraction]:
    """Amplitudes with ``amp + (1 - k_d) |g| + (1 - k_x) |x| = rate + offsets``, the pieces as forms in all amplitudes."""
    size, unit, rows = len(net.space.unknowns), net.space.constant_unit, []
    for name, value in point.items():
        if not name.startswith("amp:"):
            rows.append(_pin(net, name, value))
    for name, rate in updates.items():
        out, inn = net.fans(name)
        given = rate + optimizer.offset(out, inn)
        row = list(_pin(net, f"amp:{name}", given))
        if name in pieces:
            for share, piece in zip((1 - optimizer.degree_back, 1 - optimizer.degree_forward), pieces[name], strict=True):
                row = [a + share * b for a, b in zip(row, net.space.unpack(piece.form), strict=True)]
                row[0] += share * (Fraction(piece.size, net.space.unit) - net.space.value(piece.form)) * unit  # normalised before
        rows.append(tuple(row))
    solved = solve_equations(rows, size)
    return {name: solved.pivots.get(j, {}).get(0, Fraction(0)) / unit for j, name in enumerate(net.space.unknowns, 1)}


def _pin(net: Net, name: str, value: Fraction) -> Row:
    row = [Fraction(0)] * (1 + len(net.space.unknowns))
    row[0], row[1 + net.space.index[name]] = -value * net.space.constant_unit, Fraction(1)
    return tuple(row)
