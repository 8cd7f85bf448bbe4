"""Names of what can be measured; `synthetic` and `dmft` fill in the numbers."""

from __future__ import annotations

from dataclasses import dataclass

SUMMED = " (summed)"
KINDS = ("W0 x0", "dW x0", "W0 dx", "dW dx")
ROUTING = ("load spread", "routing entropy", "routes kept")
"""Of experts with a top-K mask: the standard deviation of loads over their mean; the entropy of the softmax of the logits over that of
even choices; the share of all routes that were there one step earlier."""


@dataclass(frozen=True, order=True)
class Observable:
    """The RMS of one atomic term of ``W x = W0 x0 + dW x0 + W0 dx + dW dx`` (backward: of ``W^T g``).

    Args:
        node: the tensor of the architecture at which the weight is applied.
        kind: ``"W0 x0"`` (at initialisation), ``"dW x0"``, ``"W0 dx"`` or ``"dW dx"``.
        backward: the product with the transposed weight in the backward pass.
        summed: behind the sum over the index of the weight (experts), where only that sum is read; backward: over the layers of a
            stack, whose gradients add up in the stream.
    """

    node: str
    kind: str
    backward: bool = False
    summed: bool = False

    def __str__(self) -> str:
        place = "^T" * self.backward + SUMMED * self.summed
        return f"{self.node}{place}: {self.kind.replace('x', 'g') if self.backward else self.kind}"

    @classmethod
    def parse(cls, text: str) -> Observable:
        """Read the form that ``str`` writes."""
        place, kind = text.rsplit(": ", 1)
        node = place.removesuffix(SUMMED)
        if node.endswith("^T"):
            return cls(node[:-2], kind.replace("g", "x"), True, node != place)
        return cls(node, kind, summed=node != place)
