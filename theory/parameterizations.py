"""Named parameterisations for any architecture: sp, ntp and mean-field by rule, mup derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from .architecture import Architecture, Node
from .derivation import alone, derive
from .optimizers import Optimizer, find_optimizer
from .presentation import present
from .presets.experts import JIANG, published_mixture
from .remedies import derive_with_remedy
from .scales import Powers, Regime
from .table import ExponentTable, Operation, Row, Shape


def _table(architecture: Architecture, optimizer: Optimizer, rows: Callable[[Shape, bool], dict[str, Any]]) -> ExponentTable:
    """One row per weight from a rule in its fans; multipliers that are not given are 1/sqrt of what they normalise."""
    found = []
    for weight in architecture.weights.values():
        shape = Shape(*(architecture.monomial(dims) for dims in (weight.out, weight.inn, weight.index)))
        columns = rows(shape, weight.init == "ones")
        found.append(Row(weight.name, shape, **columns, zero_init=weight.init == "zero", trained=weight.trained))
    operations = tuple(Operation(n.name, n.kind, _multiplier(n)) for n in architecture.operations)
    return present(ExponentTable(architecture.name, optimizer.name, tuple(found), operations), architecture)


def _multiplier(node: Node) -> Powers:
    """A multiplier as given, as a module's code has it, or as it normalises at the base."""
    return next(p for p in (node.power, node.written, node.at_base) if p is not None)


def standard(architecture: Architecture, optimizer: str | Optimizer) -> ExponentTable:
    """Standard parameterisation: std 1/sqrt(fan-in), one learning rate for all, nothing scaled."""
    rule = lambda shape, ones: {"init_std": Powers() if ones else shape.inn ** "-1/2"}  # noqa: E731
    return _table(architecture, find_optimizer(optimizer), rule)


def _published(optimizer: str | Optimizer, name: str) -> Optimizer:
    """The optimizer, if the parameterisation is published for it: SGD, or one with entrywise updates of order one."""
    how = find_optimizer(optimizer)
    if how.relative or how.offset(Fraction(1), Fraction(2)) or how.degree not in (0, 1):
        raise ValueError(
            f"`{name}` is published for SGD and entrywise optimizers, not for `{how.name}`; `--desiderata ntk` derives a table"
        )
    return how


def neural_tangent(architecture: Architecture, optimizer: str | Optimizer) -> ExponentTable:
    """Neural tangent parameterisation: multiplier 1/sqrt(fan-in), std 1; Adam's rates keep the kernel finite (TP IVb, Def. 2.9.11)."""
    how = _published(optimizer, "ntp")

    def rule(shape: Shape, ones: bool) -> dict[str, Powers]:
        del ones
        columns = {"multiplier": shape.inn ** "-1/2"}
        if how.degree == 0:
            # entrywise updates of 1/fan-in reach the output coherently; every layer before the readout shares 1/sqrt(n)
            grows = shape.out ** "-1/2"
            columns |= {"learning_rate": grows / shape.inn ** "1/2", "epsilon": grows / shape.inn ** "1/2"}
        return columns

    return _table(architecture, how, rule)


def mean_field(architecture: Architecture, optimizer: str | Optimizer) -> ExponentTable:
    """Mean-field parameterisation: as NTP with the readout's multiplier 1/fan-in; SGD's rate grows with the width."""
    how = _published(optimizer, "mean-field")

    def rule(shape: Shape, ones: bool) -> dict[str, Powers]:
        del ones
        readout = bool(shape.inn) and not shape.out
        columns = {"multiplier": shape.inn**-1 if readout else shape.inn ** "-1/2"}
        if how.degree == 1:
            columns["learning_rate"] = shape.inn if readout else shape.out
        else:
            columns["learning_rate"] = Powers() if readout else shape.inn ** "-1/2"
            columns["epsilon"] = shape.inn**-1 if readout else shape.out**-1 / shape.inn ** "1/2"
        return columns

    return _table(architecture, how, rule)


def maximal_update(architecture: Architecture, optimizer: str | Optimizer, regime: Regime | None = None) -> ExponentTable:
    """Maximal update parameterisation, derived for this architecture and optimizer."""
    return derive(architecture, optimizer, regime=regime)


def scale_stable(architecture: Architecture, optimizer: str | Optimizer, regime: Regime | None = None) -> ExponentTable:
    """Maximally scale-stable parameterisation, derived; where no Gaussian start will do, with a remedy."""
    growing = [axis for axis in architecture.axes if axis.power]
    if regime is None and len(growing) > 1:
        raise ValueError(f"`mssp` of `{architecture.name}` needs a regime: several axes grow ({', '.join(a.name for a in growing)})")
    return derive_with_remedy(architecture, optimizer, regime=regime or alone(architecture, growing[0]))


def three_level(architecture: Architecture, optimizer: str | Optimizer) -> ExponentTable:
    """Mixtures of experts under Adam with depth, as published (2601.20205): neurons of the stream, experts, neurons of experts."""
    how = find_optimizer(optimizer)
    if how.degree or how.relative or how.offset(Fraction(1), Fraction(2)):
        raise ValueError(f"`jiang` is published for Adam, not for `{how.name}`; `--desiderata mup` derives a table")
    return replace(published_mixture(JIANG, architecture), optimizer=how.name)


PARAMETERIZATIONS: dict[str, Callable[..., ExponentTable]] = {
    "sp": standard,
    "ntp": neural_tangent,
    "mean-field": mean_field,
    "mup": maximal_update,
    "mssp": scale_stable,
    "jiang": three_level,
}
DERIVED = (maximal_update, scale_stable)


def parameterization(name: str, architecture: Architecture, optimizer: str | Optimizer, regime: Regime | None = None) -> ExponentTable:
    """The named parameterisation of an architecture; with a regime, its powers of the common scale.

    Raises:
        ValueError: if there is none of this name; the message lists those there are.
    """
    if name not in PARAMETERIZATIONS:
        raise ValueError(f"unknown parameterization `{name}`; choose from {', '.join(PARAMETERIZATIONS)}")
    rule = PARAMETERIZATIONS[name]
    if rule in DERIVED:
        return rule(architecture, optimizer, regime)
    table = rule(architecture, optimizer)
    return table if regime is None else table.in_regime(regime)
