"""Alignment exponents that are given, for all weights or for single ones, in place of those that the calculus derives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from .scales import Rational, as_fraction

Triple = tuple[Fraction, Fraction, Fraction]
WORDS = "words"
EVERETT = Fraction(1), Fraction(1, 2), Fraction(1)
ALIGNMENTS: dict[str, Triple] = {"full": EVERETT, "everett": EVERETT, "none": (Fraction(1, 2), Fraction(1, 2), Fraction(1, 2))}
Given = str | Mapping[str, str | Sequence[Rational]]


def read_alignment(given: Given, weights: Iterable[str]) -> dict[str, Triple] | None:
    """The exponents (alpha, omega, u) of ``dW x0``, ``W0 dx`` and ``dW dx`` in the fan-in (Everett et al., arXiv 2407.05872).

    Args:
        given: ``words`` (they follow from the architecture), ``full`` or ``everett`` (1, 1/2, 1), ``none`` (all 1/2), three
            rationals as ``3/4:1/2:3/4``; with exceptions for single weights, as ``full,W3=none``. Or the same as a
            mapping, with the empty name for all others (``full`` if it is absent).
        weights: the names of the weights.

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
    alpha, omega, u = (as_fraction(v, "alignment exponent") for v in value)
    for exponent in (alpha, omega, u):
        if not Fraction(1, 2) <= exponent <= 1:
            raise ValueError(f"the alignment exponent {exponent} is not between 1/2 (random signs) and 1 (aligned)")
    return alpha, omega, u
