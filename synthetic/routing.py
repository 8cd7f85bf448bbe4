"""Which samples reach which experts: what a top-K mask did in one pass, its statistics, and the loss that evens loads out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from ..theory.architecture import Architecture, Node
from ..theory.observables import ROUTING
from .contraction import align


@dataclass(frozen=True)
class Routes:
    """One mask in one pass; positions count as samples.

    Args:
        weight: the weight that makes the logits.
        logits: of all experts.
        mask: mean one; positive where a sample reaches an expert.
    """

    weight: str
    logits: Float[Tensor, "replica sample expert"]
    mask: Float[Tensor, "replica sample expert"]

    @property
    def loads(self) -> Float[Tensor, "replica expert"]:
        """The samples that reach each expert, over those that one reaches on average."""
        return self.mask.mean(1)

    @property
    def probabilities(self) -> Float[Tensor, "replica sample expert"]:
        """The softmax of the logits."""
        return self.logits.softmax(-1)


def routes_of(architecture: Architecture, node: Node, logits: Tensor, mask: Tensor) -> Routes:
    """What a ``top`` node did to tensors (replica, batch, *dims), without the layers inside a stack."""
    dims, experts = tuple(d for d in node.dims if d != node.stack), node.over[:-1]
    inner = (*(d for d in dims if d not in experts), *experts)
    flat = [align(x, dims, inner).flatten(-len(experts)).flatten(1, -2) for x in (logits, mask)]
    return Routes(architecture.node(node.args[0]).weight or node.args[0], *flat)


def balance_loss(seen: Sequence[Routes]) -> Float[Tensor, " replica"]:
    """``E sum_i f_i P_i``, the mean over routers and layers: 1 for even loads (Fedus et al., 2101.03961, equation 4).

    f_i is the share of all routes that lead to expert i, which has no gradient, P_i the mean over samples of the softmax.
    Its gradient by a logit is of the order 1/E, as the task's is, so that its coefficient does not scale.
    """
    return torch.stack([(routes.loads * routes.probabilities.mean(1)).sum(-1) for routes in seen]).mean(0)


def routing_statistics(now: Sequence[Routes], before: Sequence[Routes]) -> Iterator[tuple[str, str, Float[Tensor, " replica"]]]:
    """(weight, name, value) of the statistics `ROUTING`, means over the layers of a stack.

    Args:
        now: the routes of a pass.
        before: those of the pass one step earlier, on the same samples.
    """
    found: dict[str, list[Tensor]] = {}
    for after, earlier in zip(now, before, strict=True):
        p, active = after.probabilities, after.mask > 0
        values = (
            after.loads.std(-1, correction=0),
            -(p * p.clamp_min(torch.finfo(p.dtype).tiny).log()).sum(-1).mean(-1) / max(log(p.shape[-1]), 1e-12),
            (active & (earlier.mask > 0)).sum((1, 2)) / active.sum((1, 2)),
        )
        found.setdefault(after.weight, []).append(torch.stack([v.to(p) for v in values]))
    for weight, layers in found.items():
        yield from ((weight, name, value) for name, value in zip(ROUTING, torch.stack(layers).mean(0), strict=True))
