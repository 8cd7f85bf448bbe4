"""Phase diagrams: where in a family of tables the limit is unstable, trivial, kernel or feature learning, with exact facets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from random import Random

from .architecture import Architecture
from .classification import Classification, classify
from .linear import solve_equations
from .regions import Affine, Place, Region, box, explore, middle, needed, primitive, value, within
from .scales import Powers, Rational, as_fraction
from .table import ExponentTable

NEAR = Fraction(1, 2**14)  # how far apart two places are of which slopes are taken
BETWEEN = Fraction(1, 2**8)  # how near two places of different kinds are brought
PULL = Fraction(1, 64)  # how far corners are drawn inside to be looked at
LOOKS = 20
UNSTABLE = "unstable"
FINE = 9973
Cell = tuple[str, str]  # weight, column


@dataclass(frozen=True)
class Family:
    """Tables with cells that depend on parameters: each multiplies some cells by powers of the growing axis.

    Args:
        architecture: the network.
        table: where all parameters are zero.
        moves: for every parameter the powers by which one unit of it multiplies cells, ``{"hidden": {("W1", "learning_rate"): -1}}``.
    """

    architecture: Architecture
    table: ExponentTable
    moves: Mapping[str, Mapping[Cell, Rational]]

    def at(self, place: Sequence[Rational]) -> ExponentTable:
        """The table at values of the parameters, in their order."""
        axis = next(axis.name for axis in self.architecture.axes if axis.power)
        table = self.table
        for amount, cells in zip(place, self.moves.values(), strict=True):
            for (weight, column), power in cells.items():
                moved = Powers({axis: as_fraction(power, f"move of `{weight}`") * Fraction(amount)})
                table = table.changed(weight, **{column: getattr(table.row(weight), column) * moved})
        return table

    def classify(self, place: Sequence[Rational]) -> Classification:
        """The kind of limit that the table at a place has."""
        return classify(self.architecture, self.at(place))


@dataclass(frozen=True)
class Facet:
    """One side of a phase: its row, its corners, and the kind of limit on it."""

    row: Affine
    corners: tuple[Place, ...]
    kind: str


@dataclass(frozen=True)
class Phase:
    """A polyhedron of places with one kind of limit, its corners, and (unless unstable) its sides other than those of the frame."""

    kind: str
    rows: tuple[Affine, ...]
    corners: tuple[Place, ...]
    facets: tuple[Facet, ...]

    def has(self, place: Place) -> bool:
        """Whether a place lies in it."""
        return within(self.rows, place)


def phase_diagram(family: Family, low: Sequence[Rational], high: Sequence[Rational]) -> tuple[Phase, ...]:
    """The phases of a family within a box of its parameters.

    Growth of a tensor, the change of the output and r are piecewise affine in the exponents of a table, so from its slopes at one
    place follow the lines on which their signs change. Corners and places inside of what these cut out are classified; where one
    differs, the lines of that place are added, until none does. On the facets themselves the limit may be of a third kind:
    feature learning is the boundary of kernel regimes.

    Args:
        family: tables by two parameters or more.
        low: the smallest value of every parameter.
        high: the largest.
    """
    bounds = box([Fraction(a) for a in low], [Fraction(a) for a in high])
    regions, _ = explore(bounds, _Search(family, bounds).look)
    frame = {primitive(row) for row in bounds}
    return tuple(_phase(family, region, frame) for region in regions)


@dataclass
class _Search:
    """Classifies places and cuts out what is of one kind; remembers what was looked at."""

    family: Family
    bounds: Sequence[Affine]
    seen: dict[Place, Classification] = field(default_factory=dict)

    def at(self, place: Place) -> Classification:
        if place not in self.seen:
            self.seen[place] = self.family.classify(place)
        return self.seen[place]

    def look(self, place: Place) -> tuple[str, list[Affine]]:
        """The kind at a place, and rows of a polyhedron around it in which every place looked at is of that kind."""
        kind, rows = self.at(place).kind, []
        for _ in range(LOOKS):
            inside = needed([*self.bounds, *rows], len(place))
            other = next((p for p in _probes(inside) if self.at(p).kind != kind), None)
            if other is None:
                return kind, rows
            rows.append(self._cut(place, other))
        raise ArithmeticError(f"the phase at {', '.join(map(str, place))} has more than {LOOKS} sides")

    def _cut(self, place: Place, other: Place) -> Affine:
        """The line between a place and one of another kind, negative at the first."""
        near, far, kind = place, other, self.at(place).kind
        while max(abs(a - b) for a, b in zip(near, far, strict=True)) > BETWEEN:
            half = tuple((a + b) / 2 for a, b in zip(near, far, strict=True))
            near, far = (half, far) if self.at(half).kind == kind else (near, half)
        for side, back in ((far, place), (near, place), (far, other), (near, other)):
            away = tuple(a + (b - a) * BETWEEN for a, b in zip(side, back, strict=True))
            for line in (line for spot in (side, away) for line in self._lines(spot)):
                row = line if value(line, near) < value(line, far) else tuple(-a for a in line)
                if value(row, near) <= 0 <= value(row, far) and self._parts(row, near, far):
                    return primitive(row)
        raise ArithmeticError(f"no line was found between {near} and {far}, which are of different kinds")

    def _parts(self, row: Affine, near: Place, far: Place) -> bool:
        """Whether the kind changes exactly where a row is zero."""
        below, above = value(row, near), value(row, far)
        share = below / (below - above) if below != above else Fraction(0)
        sides = (tuple(a + (b - a) * t for a, b in zip(near, far, strict=True)) for t in (share - NEAR, share + NEAR))
        first, second = (self.at(side).kind for side in sides)
        return first == self.at(near).kind and second != first

    def _lines(self, place: Place) -> list[Affine]:
        """The functions whose signs make the kind, as affine forms around a place."""
        size, here = len(place), _functions(self.at(place))
        slopes: dict[str, list[Fraction]] = {name: [] for name in here}
        for j in range(size):
            beside = _functions(self.at(tuple(a + NEAR * (i == j) for i, a in enumerate(place))))
            for name in here:
                slopes[name].append((beside.get(name, here[name]) - here[name]) / NEAR)
        lines = []
        for name, slope in slopes.items():
            if any(slope):
                lines.append((here[name] - sum((a * x for a, x in zip(slope, place, strict=True)), Fraction(0)), *slope))
        return lines


def _functions(found: Classification) -> dict[str, Fraction]:
    """Growth of tensors, change of the output, and r."""
    growth = {f"growth {name}": size for name, size in found.offenders}
    return growth | {"r": found.r} | ({} if found.change is None else {"change": found.change})


def _probes(rows: Sequence[Affine]) -> list[Place]:
    """Places near the corners, the middle, and at random between; none in a special position."""
    size, random = len(rows[0]) - 1, Random(1)
    width, centre = middle(rows, size)
    if width <= 0:
        return []
    corners = _corners(rows)
    pulled = [tuple(a + (c - a) * PULL for a, c in zip(corner, centre, strict=True)) for corner in corners]
    mixed = []
    for _ in range(LOOKS):
        weights = [random.randint(1, 50) for _ in corners]
        mixed.append(tuple(sum((w * c[i] for w, c in zip(weights, corners, strict=True)), Fraction(0)) / sum(weights) for i in range(size)))
    shifted = [tuple(x + width * Fraction(random.randint(-9, 9), FINE) for x in place) for place in (centre, *pulled, *mixed)]
    return [place for place in shifted if all(value(row, place) < 0 for row in rows)]


def _corners(rows: Sequence[Affine]) -> list[Place]:
    """The corners of a bounded polyhedron."""
    size, found = len(rows[0]) - 1, {}
    for chosen in combinations(rows, size):
        solved = solve_equations(chosen, size)
        if not solved.free and solved.consistent:
            place = tuple(solved.pivots[j].get(0, Fraction(0)) for j in range(1, size + 1))
            if within(rows, place):
                found[place] = None
    return list(found)


def _phase(family: Family, region: Region, frame: set[Affine]) -> Phase:
    corners, facets = _corners(region.rows), []
    for row in region.rows:
        if row not in frame and region.label != UNSTABLE:  # unstable polyhedra overlap: their sides may lie inside of others
            ends = [corner for corner in corners if value(row, corner) == 0]
            mean = tuple(sum(axis, Fraction(0)) / len(ends) for axis in zip(*ends, strict=True))
            facets.append(Facet(row, tuple(ends), family.classify(mean).kind))
    return Phase(str(region.label), region.rows, tuple(corners), tuple(facets))
