"""A refutation of relations that contradict each other, and its check in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .linear import Row

ZERO = Fraction(0)

Entry = tuple[str, Row, Fraction]  # (label, row, multiplier): row <= 0 in this leaf
Leaf = tuple[Entry, ...]


@dataclass(frozen=True)
class Branch:
    """One term of a relation is zero: a proof for each; a dominated term needs none, since a larger one is then zero too.

    ``dominated``: (term, larger term, rows with multipliers such that ``term - larger`` is at most their sum).
    """

    label: str
    cases: tuple[tuple[Row, Proof], ...]
    dominated: tuple[tuple[Row, Row, Leaf], ...] = ()


Proof = Leaf | Branch


@dataclass(frozen=True)
class Certificate:
    """A refutation: every way to make one term of each relation zero ends in a leaf that adds up to ``positive <= 0``.

    Args:
        terms: for every relation that is branched over, the rows of which one must be zero.
        proof: the tree; a leaf has rows (<= 0) with multipliers, among them minus the terms that were chosen to be zero.
        bounds: terms that are at most zero in any case (of ``init`` not those relative to a small input).
        given: equations that the user imposed.
    """

    terms: Mapping[str, tuple[Row, ...]]
    proof: Proof
    bounds: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    given: tuple[Row, ...] = ()

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Its leaves."""
        return tuple(_leaves(self.proof))

    def holds(self) -> bool:
        """Whether `recheck` confirms it."""
        return recheck(self)

    @property
    def labels(self) -> tuple[str, ...]:
        """The relations that it uses."""
        return tuple(used(self.proof))

    def as_json(self) -> dict[str, Any]:
        """Rows as rationals in strings: the constant, then the coefficient of every unknown."""
        relations = {key: {k: [_texts(r) for r in rows] for k, rows in getattr(self, key).items()} for key in ("terms", "bounds")}
        return {**relations, "given": [_texts(r) for r in self.given], "proof": _proof_json(self.proof)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Certificate:
        """Read what `as_json` wrote."""
        terms, bounds = ({k: tuple(map(_row, rows)) for k, rows in data[key].items()} for key in ("terms", "bounds"))
        return cls(terms, _proof(data["proof"]), bounds, tuple(map(_row, data["given"])))


def _texts(row: Row) -> list[str]:
    return [str(Fraction(a)) for a in row]


def _row(texts: Sequence[str]) -> Row:
    return tuple(map(Fraction, texts))


def _proof_json(proof: Proof) -> Any:
    if not isinstance(proof, Branch):
        return [[label, _texts(row), str(multiplier)] for label, row, multiplier in proof]
    cases = [[_texts(row), _proof_json(below)] for row, below in proof.cases]
    dominated = [[_texts(term), _texts(larger), _proof_json(leaf)] for term, larger, leaf in proof.dominated]
    return {"relation": proof.label, "cases": cases, "dominated": dominated}


def _proof(data: Any) -> Proof:
    if not isinstance(data, Mapping):
        return _leaf(data)
    cases = tuple((_row(row), _proof(below)) for row, below in data["cases"])
    return Branch(data["relation"], cases, tuple((_row(term), _row(larger), _leaf(leaf)) for term, larger, leaf in data["dominated"]))


def _leaf(data: Sequence[Any]) -> Leaf:
    return tuple((label, _row(row), Fraction(multiplier)) for label, row, multiplier in data)


def recheck(certificate: Certificate) -> bool:
    """Verify a refutation in exact arithmetic, from nothing but its rows.

    Every leaf must add up to a positive constant with multipliers >= 0 of equations given, bounds, and choices made on the
    way to it; every branch must treat each of its terms.
    """
    return _valid(certificate, certificate.proof, {})


def _valid(certificate: Certificate, proof: Proof, chosen: Mapping[str, Row]) -> bool:
    if not isinstance(proof, Branch):
        total = mix(proof)
        return _allowed(certificate, proof, chosen) and not any(total[1:]) and total[0] > 0
    cases, label = dict(proof.cases), proof.label
    for term, larger, leaf in proof.dominated:
        difference = [a - b for a, b in zip(term, larger, strict=True)]
        rest = [a - b for a, b in zip(difference, mix(leaf), strict=True)] if leaf else difference
        known = larger in cases and larger in certificate.bounds[label] and _allowed(certificate, leaf, chosen)
        if not known or any(rest[1:]) or rest[0] > 0:
            return False
    treated = cases.keys() | {term for term, _, _ in proof.dominated}
    if label in chosen or not treated >= set(certificate.terms[label]):
        return False
    return all(_valid(certificate, below, {**chosen, label: row}) for row, below in proof.cases)


def _allowed(certificate: Certificate, leaf: Leaf, chosen: Mapping[str, Row]) -> bool:
    """Whether the rows of a leaf are known to be at most zero, and their multipliers at least zero."""
    for label, row, multiplier in leaf:
        if label.startswith("given "):
            known = row in certificate.given or minus(row) in certificate.given
        else:
            known = row in certificate.bounds.get(label, ()) or chosen.get(label) in (row, minus(row))
        if multiplier < 0 or not known:
            return False
    return True


def _leaves(proof: Proof) -> Iterator[Leaf]:
    if not isinstance(proof, Branch):
        yield proof
        return
    for _, below in proof.cases:
        yield from _leaves(below)


def branches(proof: Proof) -> Iterator[Branch]:
    """All branches of a proof."""
    if isinstance(proof, Branch):
        yield proof
        for _, below in proof.cases:
            yield from branches(below)


def entries(proof: Proof) -> Iterator[Entry]:
    """All rows that a proof uses."""
    if not isinstance(proof, Branch):
        yield from proof
        return
    for _, below in proof.cases:
        yield from entries(below)
    for _, _, leaf in proof.dominated:
        yield from leaf


def used(proof: Proof) -> list[str]:
    """Labels of the relations that a proof uses, without definitions and what was given."""
    labels = dict.fromkeys(label for label, _, _ in entries(proof))
    return [label for label in labels if not label.startswith(("given ", "norm ", "back "))]


def minus(row: Row) -> Row:
    """The negative of a row."""
    return tuple(-a for a in row)


def mix(leaf: Leaf) -> list[Fraction]:
    """The combination of the rows of a leaf."""
    columns = zip(*(row for _, row, _ in leaf), strict=True)
    return [sum((m * a for (_, _, m), a in zip(leaf, column, strict=True) if a), ZERO) for column in columns]
