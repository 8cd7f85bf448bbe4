"""Tensors while nodes are made: one node per choice of segments of their concatenations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import TypeVar

from .axes import Dimension
from .parameters import Chain

Key = frozenset[tuple[int, int]]  # which segment of which concatenation
NONE: Key = frozenset()
Entry = TypeVar("Entry")


@dataclass
class Value:
    """A tensor as nodes, one per choice of segments of its concatenations; a parameter as sums of chains.

    ``pure``: it depends on parameters alone.
    """

    dims: Sequence[Dimension]
    nodes: dict[Key, str] = field(default_factory=dict)
    chains: dict[Key, list[Chain]] = field(default_factory=dict)
    pure: bool = False


def alternatives(d: Dimension) -> list[tuple[Key, tuple[Dimension, ...]]]:
    """Every choice of segments of a dimension, with the leaves that it then has."""
    found: list[tuple[Key, tuple[Dimension, ...]]] = [(NONE, ())]
    for factor in d.factors():
        if factor.segments:
            options = [(key | {(id(factor), i)}, leaves) for i, s in enumerate(factor.segments) for key, leaves in alternatives(s)]
        else:
            options = [(NONE, (factor,))]
        found = [(k | key, ls + leaves) for k, ls in found for key, leaves in options]
    return found


def pieces(d: Dimension) -> list[tuple[Key, tuple[int, ...], tuple[int, ...]]]:
    """(choice, start, stop) of every segment of a dimension whose outermost factor is a concatenation."""
    own = d.root()
    zero = tuple(0 for _ in own.extent)
    if own.product:
        inner = tuple(prod(sizes) for sizes in zip(*(p.extent for p in own.product[1:]), strict=True))
        times = lambda at: tuple(a * b for a, b in zip(at, inner, strict=True))  # noqa: E731
        return [(key, times(start), times(stop)) for key, start, stop in pieces(own.product[0])]
    if not own.segments:
        return [(NONE, zero, own.extent)]
    found, at = [], zero
    for i, segment in enumerate(own.segments):
        for key, start, stop in pieces(segment):
            found.append((key | {(id(own), i)}, plus(at, start), plus(at, stop)))
        at = plus(at, segment.extent)
    return found


def block(dims: Sequence[Dimension], keys: Sequence[Key]) -> tuple[tuple[Fraction, Fraction], ...]:
    """Which part of every dimension a choice of segments is, as fractions; empty where it is no contiguous part at all sizes."""
    found = []
    for d, key in zip(dims, keys, strict=True):
        ranges = {
            (Fraction(start[t], d.extent[t]), Fraction(stop[t], d.extent[t]))
            for k, start, stop in pieces(d) if k == key for t in range(len(d.extent))
        }  # fmt: skip
        if len(ranges) != 1:
            return ()
        found.append(ranges.pop())
    return tuple(found)


def plus(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The sum of two places, trial by trial."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def choices(dims: Sequence[Dimension]) -> list[tuple[Key, tuple[Dimension, ...]]]:
    """Every consistent choice of segments for a whole tensor."""
    found: list[tuple[Key, tuple[Dimension, ...]]] = [(NONE, ())]
    for d in dims:
        found = [(k | key, ls + leaves) for k, ls in found for key, leaves in alternatives(d) if agree(k, key)]
    return list({k: (k, ls) for k, ls in found}.values())


def pick(found: Mapping[Key, Entry], key: Key) -> Entry:
    """The entry whose own choices agree with ``key``."""
    return next(v for k, v in found.items() if k <= key)


def agree(a: Key, b: Key) -> bool:
    """Whether two choices take the same segment wherever both choose."""
    chosen = dict(a)
    return all(chosen.get(which, i) == i for which, i in b)
