"""Expressions that are linear in parameters: what a contraction with them applies, one weight after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...theory.scales import Powers

Origin = tuple[int, int]  # (factor, its dimension)


@dataclass(frozen=True)
class Factor:
    """A weight, and the growing leaves of each of its own dimensions."""

    weight: str
    leaves: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chain:
    """A product of weights, each contracted with the next; ``origins``: from where each dimension of the value comes."""

    factors: tuple[Factor, ...]
    origins: tuple[frozenset[Origin], ...]
    links: tuple[tuple[frozenset[int], frozenset[int]], ...] = ()
    powers: Powers = Powers()

    def rearranged(self, groups: Sequence[Sequence[int]]) -> Chain:
        """The chain with other dimensions, each made of old ones."""
        return replace(self, origins=tuple(frozenset().union(*(self.origins[i] for i in old)) for old in groups))

    def scaled(self, powers: Powers) -> Chain:
        return replace(self, powers=self.powers * powers)

    def own(self, dims: Sequence[int], leaves: Mapping[int, Sequence[str]]) -> set[tuple[int, int, str]]:
        """(factor, dimension, leaf) of what lies in some dimensions of the value."""
        return {(f, o, leaf) for i in dims for f, o in self.origins[i] for leaf in self.factors[f].leaves[o] if leaf in leaves[i]}

    def times(self, other: Chain, mine: Sequence[int], its: Sequence[int], kept: Sequence[tuple[int | None, int | None]]) -> Chain:
        """The product with another chain over dimensions ``mine`` of this and ``its`` of the other."""
        shift = len(self.factors)
        moved = tuple(frozenset((f + shift, o) for f, o in origin) for origin in other.origins)
        link = frozenset(o for i in mine for _, o in self.origins[i]), frozenset(o for i in its for _, o in other.origins[i])
        origins = tuple((self.origins[a] if a is not None else frozenset()) | (moved[b] if b is not None else frozenset()) for a, b in kept)
        return Chain(self.factors + other.factors, origins, (*self.links, link, *other.links), self.powers * other.powers)


Apply = Callable[[Factor, str, Sequence[str], Sequence[str], frozenset[int]], str]


def apply(chain: Chain, x: str, inn: set[tuple[int, int, str]], index: set[str], dense: Apply) -> str:
    """Apply a chain to a tensor, beginning with the factor that is contracted with it.

    Args:
        chain: the expression.
        x: a tensor.
        inn: (factor, dimension, leaf) that are contracted with ``x``.
        index: leaves that ``x`` shares without contraction.
        dense: makes the node of one weight: (factor, tensor, contracted leaves, index leaves, contracted dimensions).
    """
    first = {f for f, _, _ in inn}
    order = list(range(len(chain.factors)))
    if first == {len(order) - 1} and len(order) > 1:
        order.reverse()
    elif first and first != {0}:
        raise ValueError("a product of parameters is contracted in its middle")
    over, dims = [leaf for _, _, leaf in sorted(inn)], frozenset(o for _, o, _ in inn)
    for step, f in enumerate(order):
        factor = chain.factors[f]
        mine = {leaf for own in factor.leaves for leaf in own}
        x = dense(factor, x, over, [leaf for leaf in index if leaf in mine], dims)
        if step + 1 < len(order):
            link = chain.links[min(f, order[step + 1])]
            after = link[1] if order[step + 1] > f else link[0]
            dims = after
            over = [leaf for o in sorted(after) for leaf in chain.factors[order[step + 1]].leaves[o]]
    return x
