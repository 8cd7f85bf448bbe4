"""What kind of limit a given table has: unstable, trivial, kernel or feature learning."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .architecture import Architecture
from .observables import Observable
from .optimizers import find_optimizer
from .prediction import Behaviour, behave
from .propagate import Pruning
from .scales import Regime
from .table import ExponentTable

ZERO = Fraction(0)


@dataclass(frozen=True)
class Classification:
    """The dynamical dichotomy for one table (Tensor Programs IV, sections 3 and 5).

    Args:
        kind: ``unstable``, ``trivial``, ``kernel`` or ``feature learning``.
        r: minus the exponent by which features change (``dW x0`` at the widest outputs before the readout, with the
            gradient through the readout's initial value and through its first update); 0 is feature learning.
        initial: exponent of the network's output at initialisation.
        change: exponent of its change during training (None: it does not change).
        offenders: tensors that grow, with their exponents (after the first update, if that makes them grow).
        maximal: weights whose update changes their own output by Theta(1).
    """

    target: str
    optimizer: str
    kind: str
    r: Fraction
    initial: Fraction
    change: Fraction | None
    offenders: tuple[tuple[str, Fraction], ...]
    maximal: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data; exponents are exact rationals in strings."""
        return {
            "target": self.target,
            "optimizer": self.optimizer,
            "class": self.kind,
            "r": str(self.r),
            "output_initial": str(self.initial),
            "output_change": None if self.change is None else str(self.change),
            "unstable": {name: str(size) for name, size in self.offenders},
            "maximally_updated": list(self.maximal),
        }

    def __str__(self) -> str:
        lines = [f"{self.target}, {self.optimizer}: {self.kind}"]
        lines.append(f"  features change as scale^{-self.r}  (r = {self.r}; 0: feature learning, positive: kernel, negative: unstable)")
        lines.append(f"  output at initialisation scale^{self.initial}, its change scale^{self.change}")
        lines += [f"  {name} grows as scale^{size}" for name, size in self.offenders]
        if self.maximal:
            lines.append(f"  maximally updated: {', '.join(self.maximal)}")
        return "\n".join(lines)


def classify(architecture: Architecture, table: ExponentTable, *, regime: Regime | None = None) -> Classification:
    """Classify a table in the limit of the regime (default: the table's, else the first growing axis alone)."""
    end = behave(architecture, table, regime=regime, pruning=Pruning())
    if _grown(end):  # growth feeds back: the first update shows the powers, if it grows already
        first = behave(architecture, table, regime=regime, steps=1, pruning=Pruning())
        end = first if _grown(first) else end
    unit, offenders = end.net.space.unit, _grown(end)
    output = end.report.acts[-1]
    initial = max((p.size for p in output if not p.via), default=-unit * 99)
    moved = [p.size for p in output if p.via]
    r = _feature_exponent(architecture, table, regime)
    if offenders:
        kind = "unstable"
    elif not moved or max(moved) < 0:
        kind = "trivial"
    else:
        kind = "kernel" if r > 0 else "feature learning"
    return Classification(
        architecture.name, table.optimizer, kind, r, Fraction(initial, unit), Fraction(max(moved), unit) if moved else None,
        offenders, _maximal(architecture, end),
    )  # fmt: skip


def _grown(end: Behaviour) -> tuple[tuple[str, Fraction], ...]:
    """Tensors that grow with the scale."""
    unit, unseen = end.net.space.unit, end.net.unseen
    judged = ((s, a) for s, a in zip(end.net.sites, end.report.acts, strict=True) if s.judged and s.node.name not in unseen)
    sizes = ((s.node.name, max((p.size for p in a), default=0)) for s, a in judged)
    return tuple((name, Fraction(size, unit)) for name, size in sizes if size > 0)


def _feature_exponent(architecture: Architecture, table: ExponentTable, regime: Regime | None) -> Fraction:
    """Minus the largest exponent of ``dW x0`` at outputs with a growing axis.

    An update that does not depend on the gradient's size (degree 0) is what it is from the first step on; else the gradient
    through the readout's first update counts too (Tensor Programs IV, Definition of r).
    """
    steps = 1 if find_optimizer(table.optimizer).degree == 0 else None
    end = behave(architecture, table, regime=regime, steps=steps, pruning=Pruning(order=2, follow=False))
    sizes = [
        Fraction(max(terms)[0], end.net.space.unit)
        for site in end.net.sites
        if site.weight >= 0 and site.dims and (terms := end.report.terms.get(Observable(site.node.name, "dW x0")))
    ]  # fmt: skip
    return -max(sizes, default=ZERO)


def _maximal(architecture: Architecture, end: Behaviour) -> tuple[str, ...]:
    """Weights whose update changes their own output by Theta(1)."""
    exponents = end.exponents()
    found = []
    for name in architecture.weights:
        observables = (Observable(n.name, kind) for n in architecture.uses(name) for kind in ("dW x0", "dW dx"))
        if any(o in exponents and exponents[o] == 0 for o in observables):
            found.append(name)
    return tuple(found)
