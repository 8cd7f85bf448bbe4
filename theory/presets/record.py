"""One published table as a frozen record, and the readers of the sign conventions in which papers print them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..scales import Rational

ROLES = ("in", "hid", "out", "scalar")


@dataclass(frozen=True)
class Exponents:
    """Plain powers of the width for one kind of weight (positive grows); ``epsilon`` is None where none is given."""

    multiplier: Fraction
    init_std: Fraction
    learning_rate: Fraction
    epsilon: Fraction | None = None


@dataclass(frozen=True)
class Published:
    """A published width-only parameterisation.

    Args:
        name: key of `PUBLISHED`.
        source: paper, and table, definition or equation.
        optimizer: its name in `theory.optimizers`.
        entries: exponents by kind of weight: ``in`` (only the fan-out grows: first layers, biases, gains), ``hid`` (both
            fans grow), ``out`` (only the fan-in grows), ``scalar`` (neither). A kind that the source leaves out is absent.
        status: ``read`` at the source, ``second-hand``, or ``derived`` (by us, from the constraints of the source).
        attention: power of the head dimension in the multiplier of attention logits, where the source gives one.
        layers: number of hidden layers for which the table holds, where the source restricts it.
        alignment: alignment under which the rates are maximal (Everett et al.); ``words`` where it follows.
        note: where the source is wrong or ambiguous, and what was read.
    """

    name: str
    source: str
    optimizer: str
    entries: tuple[tuple[str, Exponents], ...]
    status: str = "read"
    attention: Fraction | None = None
    layers: int | None = None
    alignment: str = "words"
    note: str = ""

    def entry(self, role: str) -> Exponents:
        """The exponents of one kind of weight.

        Raises:
            ValueError: if the source says nothing of it.
        """
        found = dict(self.entries)
        if role not in found:
            raise ValueError(f"`{self.name}` ({self.source}) says nothing of `{role}` weights (it has {', '.join(found)})")
        return found[role]


Column = Sequence[Rational]
Entries = tuple[tuple[str, Exponents], ...]


def read_abc(a: Column, b: Column, c: Column, g: Column | None = None, *, roles: Sequence[str] = ROLES[:3]) -> Entries:
    """Tensor Programs IV signs: multiplier ``n^-a``, std ``n^-b``, rate ``n^-c``, epsilon ``n^-g`` (TP IVb's d).

    A weight with no growing fan is added: nothing of it scales (TP IVb, Def. 2.9.12; TP V, B.2).
    """
    given = zip(a, b, c, g or (None,) * len(roles), strict=True)
    entries = [Exponents(-Fraction(x), -Fraction(y), -Fraction(z), None if d is None else -Fraction(d)) for x, y, z, d in given]
    nothing = Exponents(Fraction(0), Fraction(0), Fraction(0), None if g is None else Fraction(0))
    return (*zip(roles, entries, strict=True), *((("scalar", nothing),) if "scalar" not in roles else ()))


def read_powers(variance: Column, multiplier: Column, rate: Column, epsilon: Column | None = None) -> Entries:
    """Tensor Programs V, tables 3, 8, 9: plain powers of the width, the *variance* of the initialisation; in, hid, out."""
    halves = [-Fraction(v) / 2 for v in variance]
    signs = [[-Fraction(x) for x in column] for column in (multiplier, rate)]
    return read_abc(signs[0], halves, signs[1], None if epsilon is None else [-Fraction(e) for e in epsilon])
