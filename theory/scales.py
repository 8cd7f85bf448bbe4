"""Sizes that grow, monomials of them, and the regimes that tie them to one common scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Rational = Fraction | int | str


def as_fraction(value: Rational | float, what: str = "exponent") -> Fraction:
    """Read an exact rational; floats are accepted only where they are a small fraction (0.5, -1.25)."""
    try:
        if isinstance(value, float):
            exact = Fraction(value)
            if exact.denominator > 64:
                raise ValueError
            return exact
        return Fraction(value)
    except (ValueError, TypeError, ZeroDivisionError):
        raise ValueError(f"{what} `{value}` is not a rational number; write it as -1, 1/2 or 0.5") from None


@dataclass(frozen=True)
class Axis:
    """A size that grows (width, depth, heads, experts).

    Args:
        name: how the size is called, for example ``"n"``.
        base: the size at which all parameterisations coincide.
        power: its exponent when no regime is given; 0 keeps it fixed.
        meaning: one or two words for tables and errors.
    """

    name: str
    base: int = 64
    power: Fraction = Fraction(1)
    meaning: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"axis name `{self.name}` is not an identifier")
        if not isinstance(self.base, int) or self.base < 1:
            raise ValueError(f"base size `{self.base}` of axis `{self.name}` must be a positive integer")


def affine_text(terms: Iterable[tuple[Fraction, str]]) -> str:
    """A sum of multiples of symbols (of the empty one: a number), as ``-1/2 - alpha``."""
    text = ""
    for factor, symbol in terms:
        size = abs(factor)
        body = str(size) if not symbol else symbol if size == 1 else f"{size} {symbol}"
        sign = "-" if factor < 0 else "+"
        text += f" {sign} {body}" if text else (f"-{body}" if factor < 0 else body)
    return text or "0"


class Powers(Mapping[str, Fraction]):
    """A monomial in the axes, ``prod_a size_a ** power_a``; multiplying monomials adds their exponents.

    The name ``n^alpha`` stands for an axis to the power of a symbol, so that ``{"n": -1/2, "n^alpha": -1}`` is n^(-1/2 - alpha).
    Zero powers are dropped, so equal monomials compare and hash equal.
    """

    __slots__ = ("_powers",)

    def __init__(self, powers: Mapping[str, Rational] | Iterable[tuple[str, Rational]] = (), **more: Rational):
        given = {**dict(powers), **more}
        exact = ((axis, as_fraction(power, f"power of axis `{axis}`")) for axis, power in given.items())
        self._powers = dict(sorted((axis, power) for axis, power in exact if power))

    def __getitem__(self, axis: str) -> Fraction:
        return self._powers.get(axis, Fraction(0))

    def __iter__(self) -> Iterator[str]:
        return iter(self._powers)

    def __len__(self) -> int:
        return len(self._powers)

    def __contains__(self, axis: object) -> bool:
        return axis in self._powers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Powers) and self._powers == other._powers

    def __hash__(self) -> int:
        return hash(tuple(self._powers.items()))

    def __mul__(self, other: Powers) -> Powers:
        return Powers({axis: self[axis] + other[axis] for axis in {*self, *other}})

    def __truediv__(self, other: Powers) -> Powers:
        return self * other**-1

    def __pow__(self, exponent: Rational) -> Powers:
        return Powers({axis: power * Fraction(exponent) for axis, power in self._powers.items()})

    def __call__(self, sizes: Mapping[str, float]) -> float:
        """The value of the monomial at concrete sizes."""
        self._need_numbers()
        value = 1.0
        for axis, power in self._powers.items():
            value *= float(sizes[axis]) ** float(power)
        return value

    def at(self, regime: Mapping[str, Fraction]) -> Fraction:
        """The exponent of the monomial in the regime's common scale."""
        self._need_numbers()
        return sum((power * regime[axis] for axis, power in self._powers.items()), Fraction(0))

    def __str__(self) -> str:
        return " ".join(axis if p == "1" else f"{axis}^{p}" for axis, p in self._exponents().items()) or "1"

    def _exponents(self) -> dict[str, str]:
        """The exponent of every axis as text; in brackets if it is a sum with symbols."""
        terms: dict[str, list[tuple[Fraction, str]]] = {}
        for name, power in self._powers.items():
            axis, _, symbol = name.partition("^")
            terms.setdefault(axis, []).append((power, symbol))
        texts = {axis: affine_text(found) for axis, found in terms.items()}
        return {axis: f"({text})" if len(terms[axis]) > 1 else text for axis, text in texts.items()}

    def _need_numbers(self) -> None:
        if any("^" in axis for axis in self._powers):
            raise ValueError(f"the power {self} has a symbol in its exponent; give it a number (`Case.at`)")

    def with_symbols(self, values: Mapping[str, Rational]) -> Powers:
        """Numbers in place of symbols."""
        found = Powers()
        for name, power in self._powers.items():
            axis, _, symbol = name.partition("^")
            found *= Powers({axis: power * (as_fraction(values[symbol], f"symbol `{symbol}`") if symbol else 1)})
        return found

    def __repr__(self) -> str:
        return f"Powers({', '.join(f'{a}={str(p)!r}' for a, p in self._powers.items())})"

    def _sympy_(self) -> Any:
        """The monomial as a SymPy expression in positive symbols (``sympy.sympify`` calls this)."""
        import sympy

        factors = []
        for name, power in self._powers.items():
            axis, _, symbol = name.partition("^")
            exponent = sympy.Rational(str(power)) * (sympy.Symbol(symbol) if symbol else 1)
            factors.append(sympy.Symbol(axis, positive=True) ** exponent)
        return sympy.Mul(*factors)

    def as_json(self) -> dict[str, str]:
        """Exact rationals in strings, keyed by axis."""
        return {axis: str(power) for axis, power in self._powers.items()}


class Regime(Powers):
    """How fast each axis grows: the power of one common scale that it follows, ``size_a = scale ** power_a``.

    ``Regime(n=1, experts=1, hidden=0)`` is a joint limit; every axis must be named (0 keeps it fixed).
    """

    def __init__(self, powers: Mapping[str, Rational] | Iterable[tuple[str, Rational]] = (), **more: Rational):
        given = {**dict(powers), **more}
        super().__init__(given)
        self._powers = {a: as_fraction(p, f"power of axis `{a}`") for a, p in given.items()}
        for axis, power in self._powers.items():
            if power < 0:
                raise ValueError(f"axis `{axis}` has the power {power}; sizes grow, so powers are 0 or positive")

    __slots__ = ()

    @property
    def grown(self) -> tuple[str, ...]:
        """Axes that grow."""
        return tuple(axis for axis, power in self._powers.items() if power)

    @property
    def key(self) -> str:
        """What powers in this regime are powers of: the axis that grows alone, or the common scale."""
        return self.grown[0] if len(self.grown) == 1 and self[self.grown[0]] == 1 else "scale"

    def sizes(self, axis: str, size: int, base: Mapping[str, int]) -> dict[str, int]:
        """Sizes of all axes that grow with this one: ``base (size / base)^(power / power of the axis)``, rounded."""
        if axis not in self.grown:
            raise ValueError(f"`{axis}` does not grow in the regime {self}; choose from {', '.join(self.grown)}")
        ratio = size / base[axis]
        return {a: max(1, round(base[a] * ratio ** float(self[a] / self[axis]))) for a in self.grown}

    def check(self, axes: Iterable[str], owner: str) -> None:
        """Raise unless exactly the axes of ``owner`` are named and one of them grows."""
        axes = tuple(axes)
        for axis in self._powers:
            if axis not in axes:
                raise ValueError(f"regime names the axis `{axis}`, which `{owner}` does not have (it has {', '.join(axes)})")
        for axis in axes:
            if axis not in self._powers:
                raise ValueError(f"regime leaves out the axis `{axis}` of `{owner}`; write {axis}=0 to keep it fixed")
        if not self.grown:
            raise ValueError(f"regime of `{owner}` lets no axis grow")

    def __str__(self) -> str:
        return ", ".join(f"{axis} ~ scale^{power}" for axis, power in self._powers.items())


@dataclass(frozen=True)
class Dim:
    """One named index of a tensor; its size is ``factor`` times a monomial of the axes."""

    name: str
    powers: Powers = Powers()
    factor: Fraction = Fraction(1)

    def size(self, sizes: Mapping[str, int], owner: str = "") -> int:
        """The concrete size, an integer.

        Raises:
            ValueError: if the size is not a positive integer at these sizes of the axes.
        """
        value = Fraction(self.factor)
        exact = all(p.denominator == 1 for p in self.powers.values())
        if exact:
            for axis, power in self.powers.items():
                value *= Fraction(sizes[axis]) ** int(power)
        else:
            value = Fraction(float(self.factor) * self.powers(sizes)).limit_denominator(10**6)
        if value.denominator != 1 or value < 1:
            given = ", ".join(f"{a}={sizes[a]}" for a in self.powers)
            of = f" of {owner}" if owner else ""
            raise ValueError(f"dimension `{self.name}`{of} has the size {value} at {given}; it must be a positive integer")
        return int(value)

    def __str__(self) -> str:
        if not self.powers:
            return str(self.factor)
        return f"{self.powers}" if self.factor == 1 else f"{self.factor} {self.powers}"
