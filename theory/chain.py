"""Why a table is as it is: the relations that bind at its point, and how each exponent follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

CONSTANT = ""  # the key of a term's constant
Term = dict[str, Fraction]  # exponents of a product: unknown (or constant) -> power
GLOSSARY = (
    "The products that bind, each Theta(1) in the size that grows, and what follows from them (std: an initial weight times its "
    "multiplier; amp: an entry of an update divided by both factors of the gradient; norm: what a normalisation divides by; "
    "mult: a multiplier):"
)

MEANING = {
    "given": "is given",
    "norm": "is the size of what is normalised",
    "init": "is Theta(1) at initialisation",
    "diverse": "is Theta(1): the branches together at initialisation",
    "update": "is Theta(1): the change that the weight's update makes",
    "layerwise": "is Theta(1): the change that the update makes in each layer",
    "kernel": "is Theta(1): the change of the network's output",
    "stable": "is O(1) during training, and what it bounds as large as that allows",
}


@dataclass(frozen=True)
class Link:
    """A product of unknowns that is Theta(1), and what follows from it.

    Args:
        label: of the relation, as in `Solution.clash`; its first word says why it holds (see `MEANING`).
        term: powers of the unknowns in it, and under the empty name the power of the growing size.
        gives: the unknown that it fixes, given the links before it.
        value: exponent of that unknown.
        multipliers: numbers m with ``sum_i m_i term_i = gives - value`` over the links i, by their position; none
            where the unknown is free.
        ties: how many other terms of the same relation are as large; where it is not zero one of them could take its place.
        size: what grows.
    """

    label: str
    term: Mapping[str, Fraction]
    gives: str
    value: Fraction
    multipliers: Mapping[int, Fraction]
    ties: int = 0
    size: str = "scale"

    def __str__(self) -> str:
        kind, _, owner = self.label.partition(" ")
        what = f"{owner} {MEANING[kind]}" if kind != "given" else MEANING[kind]
        tied = f" (with {self.ties} more of that size)" if self.ties else ""
        follows = f"; so {_name(self.gives)} = {_power(self.size, self.value)}" if self.multipliers else ""
        return f"{self.product} = 1: {what}{tied}{follows}"

    @property
    def product(self) -> str:
        """The term as a product, the size last."""
        factors = [_power(_name(name), power) for name, power in self.term.items() if name]
        return " ".join(factors + [_power(self.size, power) for name, power in self.term.items() if not name])


@dataclass(frozen=True)
class Chain:
    """Active relations with their multipliers: each exponent as a combination of them. `holds` checks it from these alone."""

    links: tuple[Link, ...]

    def holds(self) -> bool:
        """Whether the multipliers are right, in exact arithmetic."""
        for link in self.links:
            if not link.multipliers:
                continue
            total: Term = {}
            add_to(total, {link.gives: Fraction(1), CONSTANT: -link.value}, Fraction(-1))
            for i, m in link.multipliers.items():
                add_to(total, self.links[i].term, m)
            if total:
                return False
        return True

    def as_json(self) -> list[dict[str, Any]]:
        """Rationals as strings, multipliers by the position of the link."""
        return [
            {
                "relation": link.label,
                "term": {name or "size": str(power) for name, power in link.term.items()},
                "gives": link.gives,
                "exponent": str(link.value),
                "multipliers": {str(i): str(m) for i, m in link.multipliers.items()},
                "ties": link.ties,
                "size": link.size,
            }
            for link in self.links
        ]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> Chain:
        """Read what `as_json` wrote."""
        names: dict[str, str] = {"size": CONSTANT}
        return cls(
            tuple(
                Link(
                    link["relation"],
                    {str(names.get(name, name)): Fraction(power) for name, power in link["term"].items()},
                    link["gives"],
                    Fraction(link["exponent"]),
                    {int(i): Fraction(m) for i, m in link["multipliers"].items()},
                    link["ties"],
                    link["size"],
                )
                for link in data
            )
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self.links))


def _power(base: str, power: Fraction) -> str:
    return "1" if not power else base if power == 1 else f"{base}^{power}"


def _name(unknown: str) -> str:
    kind, _, owner = unknown.partition(":")
    return f"{kind}({owner})"


def add_to(to: dict[Any, Fraction], other: Mapping[Any, Fraction], factor: Fraction) -> None:
    """Add a multiple of a sparse vector to another."""
    for key, value in other.items():
        total = to.get(key, Fraction(0)) + factor * value
        if total:
            to[key] = total
        else:
            to.pop(key, None)
