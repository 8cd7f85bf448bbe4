"""What a given table does: the exponent of every atomic term, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from .architecture import Architecture
from .derive import gradient_sizes
from .observables import Observable
from .optimizers import find_optimizer
from .propagate import Net, Pruning, Report
from .scales import Powers, Regime
from .table import ExponentTable


@dataclass(frozen=True)
class Prediction:
    """The exponent of one term; ``rivals`` are exponents of other mechanisms that add to the same term."""

    exponent: Fraction
    rivals: tuple[Fraction, ...] = ()


@dataclass(frozen=True)
class Behaviour:
    """A table evaluated after some steps: the propagation, and the sizes of every weight's gradient factors."""

    net: Net
    report: Report
    point: Mapping[str, Fraction]

    def exponents(self) -> dict[Observable, Prediction]:
        """The exponent of every atomic term that is not identically zero."""
        unit = self.net.space.unit
        found = {}
        for observable, terms in self.report.terms.items():
            sizes = sorted({size for size, _ in terms}, reverse=True)
            if sizes:
                found[observable] = Prediction(Fraction(sizes[0], unit), tuple(Fraction(s, unit) for s in sizes[1:]))
        return found


def default_regime(architecture: Architecture) -> Regime:
    """The first growing axis alone."""
    first = next(axis for axis in architecture.axes if axis.power)
    return Regime({axis.name: axis.power if axis is first else 0 for axis in architecture.axes})


def point_of(architecture: Architecture, table: ExponentTable, regime: Regime) -> dict[str, Fraction]:
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


def behave(
    architecture: Architecture,
    table: ExponentTable,
    *,
    regime: Regime | None = None,
    steps: int | None = None,
    pruning: Pruning = Pruning(),
) -> Behaviour:
    """Propagate a table: ``steps`` gradients (None: as many as change anything).

    The amplitude of an update follows from the rate and the size of the gradient at the same step, which is found by
    repeating the propagation until it stays.
    """
    regime = table.regime or regime or default_regime(architecture)
    optimizer, net = find_optimizer(table.optimizer), Net(architecture, regime)
    point = point_of(architecture, table, regime)
    for name in net.names:
        if f"amp:{name}" in net.space.index:
            point[f"amp:{name}"] = Fraction(-12)
    pruning = replace(pruning, steps=steps)
    for _ in range(12):
        report = net.propagate(point, pruning if steps != 1 else replace(pruning, steps=1))
        sizes = gradient_sizes(net, report if steps is None or steps > 1 else net.propagate(point, replace(pruning, order=0, steps=0)))
        new = dict(point)
        for name in net.names:
            if f"amp:{name}" in net.space.index:
                row = table.row(name)
                update = row.invariants(replace(optimizer, decay=False))["update"]
                back, forward = sizes.back.get(name, Fraction(0)), sizes.forward.get(name, Fraction(0))
                out, inn = net.fans(name)
                amp = _exponent(update, table, regime) - (1 - optimizer.degree_back) * back
                amp -= (1 - optimizer.degree_forward) * forward - optimizer.offset_out * out - optimizer.offset_in * inn
                new[f"amp:{name}"] = amp
        if new == point:
            break
        point = new
    return Behaviour(net, report, dict(net.space.point))


def predict(
    architecture: Architecture, table: ExponentTable, *, steps: Sequence[int] = (1, 2), regime: Regime | None = None
) -> dict[int, dict[Observable, Prediction]]:
    """The exponent of every atomic term after each of the given steps; beyond the second nothing changes."""
    found: dict[int | None, dict[Observable, Prediction]] = {}
    out = {}
    for step in steps:
        key = step if step < 2 else None
        if key not in found:
            found[key] = behave(architecture, table, regime=regime, steps=key).exponents()
        out[step] = found[key]
    return out
