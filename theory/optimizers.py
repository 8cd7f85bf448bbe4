"""Optimizers as data: what the calculus needs to know of an update rule."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Optimizer:
    """An update rule by its degrees in the two factors of the gradient.

    The entries of an update are ``rate * d^(degree_back) * x^(degree_forward) * fan_out^offset_out * fan_in^offset_in``
    where the gradient has entries ``d x`` (backward factor times forward factor).

    Args:
        name: as on the command line.
        degree_back: degree in the backward factor (1 for SGD, 0 for an entrywise normalised update).
        degree_forward: degree in the forward factor.
        offset_out: power of the fan-out.
        offset_in: power of the fan-in.
        relative: the update is multiplied by the size of the parameter.
        epsilon: whether a constant is added to the size of the gradient (Adam's epsilon).
        decay: whether weight decay acts as ``w <- w - rate * decay * w``.
    """

    name: str
    degree_back: Fraction = Fraction(0)
    degree_forward: Fraction = Fraction(0)
    offset_out: Fraction = Fraction(0)
    offset_in: Fraction = Fraction(0)
    relative: bool = False
    epsilon: bool = True
    decay: bool = True

    @property
    def degree(self) -> Fraction:
        """Degree k of the update in the stored gradient; it fixes the symmetry between multiplier and rate."""
        return self.degree_back / 2 + self.degree_forward / 2


SGD = Optimizer("sgd", Fraction(1), Fraction(1), epsilon=False)
ADAM = Optimizer("adam")
ADAMW = Optimizer("adamw")

OPTIMIZERS = {optimizer.name: optimizer for optimizer in (SGD, ADAM, ADAMW)}


def find_optimizer(name: str | Optimizer) -> Optimizer:
    """The optimizer of this name.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if isinstance(name, Optimizer):
        return name
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer `{name}`; choose from {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]
