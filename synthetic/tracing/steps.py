"""What recorded calls are reduced to: a dozen kinds of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from .axes import Extent, Unfollowable

Shape = tuple[Extent, ...]
ONE: Extent = ()  # the empty product


@dataclass(frozen=True)
class Step:
    """One tensor and how it is made from others.

    ``kind`` is one of

    ========= ==========================================================================================
    map       an entrywise function; ``spec`` its name in `theory.architecture.ACTIVATIONS`
    add       a sum, broadcast; ``spec`` is ``constant`` where a constant of order one is added as well
    mul       an entrywise product, broadcast
    scale     times ``spec``, a number per trial
    regroup   another shape; ``spec`` pairs groups of old dimensions with groups of new ones
    permute   ``spec`` is the order of the dimensions
    slice     ``spec`` is (dimension, start, stop)
    cat       ``spec`` is the dimension
    contract  ``spec`` is a triple of labels as in einsum
    lookup    rows of a parameter, chosen by whole numbers
    norm      ``spec`` is (kind, dimensions)
    softmax   ``spec`` is the dimension
    sum       over the dimensions ``spec``
    move      the same entries elsewhere; dimensions that change their size must not grow
    constant  numbers that depend neither on the data nor on parameters
    unknown   ``spec`` is the reason
    ========= ==========================================================================================
    """

    kind: str
    out: int
    args: tuple[int, ...]
    place: str
    spec: Any = None


def group(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Which neighbouring dimensions of a shape make which of another one, outermost first.

    Raises:
        Unfollowable: if the groups differ between the trials.
    """
    found: list[tuple[list[int], list[int]]] = []
    left: list[int] = []
    right: list[int] = []
    i = j = 0
    while i < len(old) or j < len(new):
        ahead = _product(old, left), _product(new, right)
        if i < len(old) and (j == len(new) or not _smaller(ahead[1], ahead[0])) and (not left or ahead[0] != ahead[1] or j == len(new)):
            left.append(i)
            i += 1
        elif j < len(new):
            right.append(j)
            j += 1
        else:
            left.append(i)
            i += 1
        if left and right and _product(old, left) == _product(new, right):
            found.append((left, right))
            left, right = [], []
    if left or right:
        if any(e != 1 for k in left for e in old[k]) or any(e != 1 for k in right for e in new[k]):
            raise Unfollowable("a change of shape groups dimensions differently at different sizes")
        found.append((left, right))
    return found


def _product(shape: Shape, at: Sequence[int]) -> Extent:
    return tuple(prod(column) for column in zip(*(shape[i] for i in at), strict=True)) if at else ONE


def _smaller(a: Extent, b: Extent) -> bool:
    if ONE in (a, b):
        return a == ONE and b != ONE and any(y != 1 for y in b)
    return any(x < y for x, y in zip(a, b, strict=True))


def alive(steps: Sequence[Step], output: int) -> list[Step]:
    """The steps on which the output depends, in order."""
    wanted, kept = {output}, []
    for step in reversed(steps):
        if step.out in wanted:
            wanted.update(step.args)
            kept.append(step)
    return kept[::-1]


def positions(dims: int | Sequence[int] | None, rank: int) -> list[int]:
    """Dimensions as non-negative positions; None means all."""
    if dims is None:
        return list(range(rank))
    return [d % rank for d in ((dims,) if isinstance(dims, int) else dims)] or list(range(rank))
