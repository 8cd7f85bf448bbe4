"""Alignment exponents that are given, for all weights or for single ones, in place of those that the calculus derives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from .scales import Rational, as_fraction

Exponent = Fraction | str  # a number, or the name of a symbol
Triple = tuple[Exponent, Exponent, Exponent]
SYMBOLIC = "symbolic"
SYMBOLS = ("alpha", "omega", "u")
WORDS = "words"
EVERETT = Fraction(1), Fraction(1, 2), Fraction(1)
NAME = re.compile(r"[A-Za-z]\w*")
ALIGNMENTS: dict[str, Triple] = {
    "full": EVERETT, "everett": EVERETT, "none": (Fraction(1, 2), Fraction(1, 2), Fraction(1, 2)), SYMBOLIC: SYMBOLS,
}  # fmt: skip
Given = str | Mapping[str, str | Sequence[Rational]]


def read_alignment(given: Given, weights: Iterable[str], readouts: Iterable[str] = ()) -> dict[str, Triple] | None:
    """The exponents (alpha, omega, u) of ``dW x0``, ``W0 dx`` and ``dW dx`` in the fan-in (Everett et al., arXiv 2407.05872).

    Args:
        given: ``words`` (they follow from the architecture), ``full`` or ``everett`` (1, 1/2, 1), ``none`` (all 1/2), ``symbolic``
            (left open: alpha and u, and omega of readouts; elsewhere omega is 1/2, as more contradicts maximal updates), or three
            rationals or names of symbols as ``3/4:1/2:3/4`` or ``alpha:1/2:alpha``; with exceptions for single weights, as
            ``full,W3=none``. Or the same as a mapping, with the empty name for all others (``full`` if it is absent).
        weights: the names of the weights.
        readouts: of those whose output has no growing axis.

    Returns:
        Triples by weight, under the empty name those of all others; None for ``words``.

    Raises:
        ValueError: for an unknown name, or exponents outside 1/2 to 1.
    """
    if isinstance(given, str):
        if given == WORDS:
            return None
        parts = [part.rpartition("=") for part in given.split(",")]
        given = {name.strip(): value.strip() for name, _, value in parts}
    if WORDS in given.values():
        raise ValueError(f"alignment `{WORDS}` is derived for all weights or for none; give the others exponents")
    known = list(weights)
    for name in given:
        if name and name not in known:
            raise ValueError(f"alignment is given for `{name}`, which is no weight (there are {', '.join(known)})")
    if given.get("") == SYMBOLIC:
        given = {**dict.fromkeys(readouts, SYMBOLIC), **given, "": f"{SYMBOLS[0]}:1/2:{SYMBOLS[2]}"}
    return {name: _triple(value) for name, value in {"": "full", **given}.items()}


def _triple(value: str | Sequence[Rational]) -> Triple:
    if isinstance(value, str):
        if value in ALIGNMENTS:
            return ALIGNMENTS[value]
        if value.count(":") != 2:
            raise ValueError(
                f"unknown alignment `{value}`; choose from {WORDS}, {', '.join(ALIGNMENTS)}, or give three exponents as 1:1/2:1"
            )
        value = value.split(":")
    alpha, omega, u = map(_exponent, value)
    return alpha, omega, u


def _exponent(given: Rational) -> Exponent:
    if isinstance(given, str) and NAME.fullmatch(given):
        return given
    exponent = as_fraction(given, "alignment exponent")
    if not Fraction(1, 2) <= exponent <= 1:
        raise ValueError(f"the alignment exponent {exponent} is not between 1/2 (random signs) and 1 (aligned)")
    return exponent


def numbers(aligned: Mapping[str, Triple] | None) -> dict[str, Triple] | None:
    """The same with the exponents of full alignment in place of symbols."""
    if aligned is None:
        return None
    alpha, omega, u = EVERETT
    filled = lambda exponent, full: full if isinstance(exponent, str) else exponent  # noqa: E731
    return {name: (filled(a, alpha), filled(o, omega), filled(b, u)) for name, (a, o, b) in aligned.items()}


def symbols(aligned: Mapping[str, Triple] | None) -> tuple[str, ...]:
    """The symbols that were left open."""
    every = (exponent for triple in (aligned or {}).values() for exponent in triple)
    return tuple(dict.fromkeys(exponent for exponent in every if isinstance(exponent, str)))
