"""Where a piecewise affine answer changes: its polyhedral regions in a box of parameters, in exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from random import Random

from .linear import maximise

Affine = tuple[Fraction, ...]  # constant, then one coefficient per parameter
Place = tuple[Fraction, ...]
Look = Callable[[Place], "tuple[Hashable, Iterable[Affine]] | None"]

STEP = Fraction(1, 128)  # how far beyond a facet is looked for the next region
FINEST = 997  # largest denominator of a place at which is looked
SAMPLES = 200  # random places at which the cover is checked
DARK = 12  # places without an answer after which no more are looked at
LIMIT = 400


@dataclass(frozen=True)
class Region:
    """A polyhedron ``row(place) <= 0`` for all rows, none of them redundant, with one label and a place inside."""

    label: Hashable
    rows: tuple[Affine, ...]
    inside: Place

    def has(self, place: Place) -> bool:
        """Whether a place lies in it."""
        return within(self.rows, place)


def value(row: Affine, place: Place) -> Fraction:
    """An affine form at a place."""
    return row[0] + sum((a * x for a, x in zip(row[1:], place, strict=True) if a), Fraction(0))


def within(rows: Iterable[Affine], place: Place) -> bool:
    """Whether no row is positive at a place."""
    return all(value(row, place) <= 0 for row in rows)


def box(low: Sequence[Fraction], high: Sequence[Fraction]) -> list[Affine]:
    """The rows of ``low <= place <= high``."""
    rows = []
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        unit = [Fraction(int(i == j)) for j in range(len(low))]
        rows += [(-b, *unit), (a, *(-u for u in unit))]
    return rows


def explore(bounds: Sequence[Affine], look: Look) -> tuple[list[Region], bool]:
    """Every region within bounds, from some place outward across facets.

    Args:
        bounds: rows of a bounded polyhedron.
        look: label and rows (``<= 0``) of the region at a place, or None if there is no answer; rows that cannot be 0 within the
            bounds may be among them.

    Returns:
        Regions that cover the bounds but for places without an answer, and whether there are such; neighbours of the same label
        are one where their union is convex.
    """
    size, random = len(bounds[0]) - 1, Random(0)
    found: list[Region] = []
    dark = _spread([_random_place(bounds, size, random)], bounds, look, found, random)
    for _ in range(SAMPLES):  # thin regions that steps across facets have missed
        place = _random_place(bounds, size, random)
        if dark < DARK and not any(region.has(place) for region in found):
            dark += _spread([place], bounds, look, found, random)
    return _merged(found, size), dark > 0


def _spread(queue: list[Place], bounds: Sequence[Affine], look: Look, found: list[Region], random: Random) -> int:
    """Add the regions of some places, and of what lies beyond their facets; returns at how many places there was no answer."""
    size, dark = len(bounds[0]) - 1, 0
    while queue:
        place = queue.pop()
        if any(region.has(place) for region in found):
            continue
        region = _region_at(place, bounds, look, random)
        if region is None:
            dark += 1
            continue
        if len(found) == LIMIT:
            raise ValueError(f"more than {LIMIT} regions; take fewer parameters")
        found.append(region)
        queue += _beyond(region, bounds, size)
    return dark


def _region_at(place: Place, bounds: Sequence[Affine], look: Look, random: Random) -> Region | None:
    """The region of a place; on a boundary, that of a place nearby."""
    size = len(place)
    for _ in range(20):
        answer = look(place)
        if answer is None:
            return None
        label, rows = answer
        rows = needed([*bounds, *rows], size)
        width, inside = middle(rows, size)
        if width > 0:
            return Region(label, tuple(rows), inside)
        shifted = tuple(x + Fraction(random.randint(-9, 9), FINEST) for x in place)
        place = shifted if all(value(row, shifted) < 0 for row in bounds) else place
    raise ArithmeticError("no region with an inside was found near a boundary")


def _beyond(region: Region, bounds: Sequence[Affine], size: int) -> Iterator[Place]:
    """Places just across the middle of every facet."""
    edges = {primitive(row) for row in bounds}
    for row in region.rows:
        if row in edges:
            continue
        others = [r for r in region.rows if r is not row]
        _, between = middle(others, size, equal=row)
        norm = sum(map(abs, row[1:]))
        place = tuple((x + STEP * a / norm).limit_denominator(FINEST) for x, a in zip(between, row[1:], strict=True))
        if all(value(bound, place) < 0 for bound in bounds):
            yield place


def middle(rows: Sequence[Affine], size: int, equal: Affine | None = None) -> tuple[Fraction, Place]:
    """A place far from all facets (and on one, if given), with its distance in the largest norm."""
    lifted = [(*row, sum(map(abs, row[1:]))) for row in rows]
    if equal is not None:
        lifted += [(*equal, Fraction(0)), (*(-a for a in equal), Fraction(0))]
    best = maximise((*[Fraction(0)] * (1 + size), Fraction(1)), lifted, size + 1)
    if best.status != "optimal":
        return Fraction(-1), ()
    return best.value, tuple(best.point[:size])


def needed(rows: Iterable[Affine], size: int) -> list[Affine]:
    """The rows that are facets."""
    kept = list(dict.fromkeys(primitive(row) for row in rows if any(row[1:])))
    for row in kept[::-1]:
        rest = [r for r in kept if r is not row]
        if len(rest) > size and _holds(row, rest, size):
            kept = rest
    return kept


def _holds(row: Affine, rows: Sequence[Affine], size: int) -> bool:
    best = maximise(row, rows, size)
    return best.status == "infeasible" or (best.status == "optimal" and best.value <= 0)


def primitive(row: Sequence[Fraction]) -> Affine:
    """The multiple of a row by a positive factor that has whole entries without a common divisor."""
    scale = lcm(*(Fraction(a).denominator for a in row))
    whole = [int(a * scale) for a in row]
    divisor = gcd(*whole)
    return tuple(Fraction(a, divisor) for a in whole)


def _merged(found: list[Region], size: int) -> list[Region]:
    """Join neighbours of one label whose union is convex, until none are left."""
    regions = list(found)
    while True:
        joined = next(_unions(regions, size), None)
        if joined is None:
            return regions
        first, second, union = joined
        regions = [union, *(r for r in regions if r is not first and r is not second)]


def _unions(regions: Sequence[Region], size: int) -> Iterator[tuple[Region, Region, Region]]:
    for i, first in enumerate(regions):
        for second in regions[i + 1 :]:
            if first.label == second.label and (union := _union(first, second, size)) is not None:
                yield first, second, union


def _union(first: Region, second: Region, size: int) -> Region | None:
    """The union of two regions if one contains the other, or if they share a facet and it is convex."""
    for small, large in ((first, second), (second, first)):
        if all(_holds(row, small.rows, size) for row in large.rows):
            return large
    shared = next((row for row in first.rows if tuple(-a for a in row) in second.rows), None)
    if shared is None:
        return None
    opposite = tuple(-a for a in shared)
    rows = [r for r in first.rows if _holds(r, second.rows, size)] + [r for r in second.rows if _holds(r, first.rows, size)]
    whole = all(_holds(r, [*rows, shared], size) for r in first.rows) and all(_holds(r, [*rows, opposite], size) for r in second.rows)
    return replace(first, rows=tuple(needed(rows, size))) if whole else None


def _random_place(bounds: Sequence[Affine], size: int, random: Random) -> Place:
    """A place within a box of bounds."""
    ends: list[list[Fraction]] = [[] for _ in range(size)]
    for j in range(size):
        for sign in (1, -1):
            goal = tuple(Fraction(sign * int(i == j + 1)) for i in range(size + 1))
            ends[j].append(sign * maximise(goal, bounds, size).value)
    return tuple(low + (high - low) * Fraction(random.randint(1, FINEST - 1), FINEST) for high, low in ends)
