"""Exponents as numbers: the unknown ones, a point at which they have values, and linear forms in them.

Sizes are exact integers in units of ``1 / Space.unit`` at a point (a value for every unknown exponent); beside its size a
quantity carries the same exponent as a linear form in the unknowns, packed into one integer so that adding is cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm

Term = tuple[int, int]  # (size, form)
FIELD = 24  # bits of one packed coefficient; coefficients stay far below 2^22


class Space:
    """The unknown exponents, the axes with their powers, and a point at which sizes are evaluated."""

    def __init__(self, powers: Sequence[Fraction], unknowns: Sequence[str], denominator: int = 1):
        self.unknowns = tuple(unknowns)
        self.index = {name: i for i, name in enumerate(unknowns)}
        self.constant_unit = 2 * lcm(denominator, *(p.denominator for p in powers))
        self.powers = tuple(powers)
        self._halves: dict[int, Term] = {}
        self.known: dict[str, int] = {}  # unknowns written as forms in the others
        self.move({})

    def move(self, point: Mapping[str, Fraction]) -> None:
        """Evaluate sizes at another point; unknowns that it leaves out are 0."""
        self.point = {name: Fraction(point.get(name, 0)) for name in self.unknowns}
        self.unit = lcm(self.constant_unit, *(v.denominator for v in self.point.values()))
        self._factor = self.unit // self.constant_unit
        self._halves.clear()

    def letter(self, name: str) -> Term:
        """(size, form) of one unknown."""
        form = self.known.get(name)
        return int(self.point[name] * self.unit), 1 << (FIELD * (1 + self.index[name])) if form is None else form

    def substitute(self, forms: Mapping[str, Sequence[Fraction]]) -> None:
        """Write some unknowns as forms in the others (rows as `unpack` gives them), so that equal forms are recognised."""
        self.known = {}
        for name, row in forms.items():
            if all(Fraction(a).denominator == 1 for a in row):
                self.known[name] = sum(int(a) << (FIELD * j) for j, a in enumerate(row))

    def constant(self, value: Fraction) -> Term:
        """(size, form) of a known exponent."""
        units = value * self.constant_unit
        if units.denominator != 1:
            raise ValueError(f"the exponent {value} needs a finer unit than 1/{self.constant_unit}")
        return int(units) * self._factor, int(units)

    def half(self, axes: int) -> Term:
        """(size, form) of half the exponents of a set of axes, given as a bit mask."""
        found = self._halves.get(axes)
        if found is None:
            total = sum((p for i, p in enumerate(self.powers) if axes >> i & 1), Fraction(0))
            found = self._halves[axes] = self.constant(total / 2)
        return found

    def unpack(self, form: int) -> tuple[int, ...]:
        """The constant (in units of 1/constant_unit) and the coefficient of every unknown."""
        digits, half, mask = [], 1 << (FIELD - 1), (1 << FIELD) - 1
        for _ in range(1 + len(self.unknowns)):
            digit = form & mask
            if digit >= half:
                digit -= 1 << FIELD
            digits.append(digit)
            form = (form - digit) >> FIELD
        return tuple(digits)

    def value(self, form: int) -> Fraction:
        """The exponent that a form has at the point."""
        constant, *coefficients = self.unpack(form)
        terms = (c * self.point[name] for c, name in zip(coefficients, self.unknowns, strict=True) if c)
        return Fraction(constant, self.constant_unit) + sum(terms, Fraction(0))
