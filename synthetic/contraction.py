"""Dense nodes as batched matrix products over stacked replicas."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..theory.architecture import Architecture, Node


class _BatchedLinear(torch.autograd.Function):
    """``y = alpha x W^T`` for batches of matrices, with a weight gradient in the layout of the weight.

    Autograd's own rule for ``bmm(x, W.mT)`` returns the gradient transposed, which makes every optimizer
    kernel that reads it slow.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, alpha: float) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):  # the backward pass runs outside of it
            low = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(low), weight.to(low)
        ctx.save_for_backward(x, weight)
        ctx.alpha = alpha
        return _scaled_bmm(x, weight.mT, alpha)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        g = gradients[0].to(x.dtype)
        needs_x, needs_weight, _ = ctx.needs_input_grad
        to_x = _scaled_bmm(g, weight, ctx.alpha) if needs_x else None
        to_weight = _scaled_bmm(g.mT, x, ctx.alpha) if needs_weight else None
        return to_x, to_weight, None


def _scaled_bmm(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    if alpha == 1.0:
        return torch.bmm(a, b)
    return torch.baddbmm(a.new_zeros(()), a, b, beta=0, alpha=alpha)


def align(x: Tensor, dims: tuple[str, ...], target: tuple[str, ...]) -> Tensor:
    """View ``(replica, batch, *dims)`` as ``(replica, batch, *target)`` with size 1 where ``x`` lacks a dimension."""
    if dims == target:
        return x
    order = [2 + dims.index(d) for d in target if d in dims]
    x = x.permute(0, 1, *order)
    for place, dim in enumerate(target):
        if dim not in dims:
            x = x.unsqueeze(2 + place)
    return x


@dataclass(frozen=True)
class Contraction:
    """How a dense node folds its input and its weight into a batch of matrices; made once by `plan_contraction`.

    Dimensions of the input ``x`` are ``shared`` with the weight (a batch of matrices), ``eaten`` (contracted)
    or ``free``; dimensions of the weight that ``x`` lacks are ``new``.

    Args:
        source: dimensions of the input after (replica, batch).
        target: dimensions of the output after (replica, batch).
        shared_axes: axes of the weight (replica first) for ``shared``; likewise ``new_axes``, ``eaten_axes``.
        lookup: the input holds integers that select the contracted index.
        alpha: multiplier of the weight.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    shared: tuple[str, ...]
    free: tuple[str, ...]
    eaten: tuple[str, ...]
    new: tuple[str, ...]
    shared_axes: tuple[int, ...]
    eaten_axes: tuple[int, ...]
    new_axes: tuple[int, ...]
    lookup: bool
    alpha: float

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """``alpha W x``.

        Args:
            x: the input, (replica or 1, batch, *source), or integers (batch, *source) for a lookup.
            weight: (replica, *index, *out, *inn), without the axis of the layers inside a stack.

        Returns:
            The output, (replica, batch, *target).
        """
        if self.lookup:
            return self._look_up(x, weight)
        if not self.eaten:
            return self._multiply(x, weight)
        replicas, batch = weight.shape[0], x.shape[1]
        sizes = dict(zip(self.source, x.shape[2:], strict=True))
        sizes |= {d: weight.shape[a] for d, a in zip(self.new, self.new_axes, strict=True)}
        y = _BatchedLinear.apply(self.fold_input(x, replicas), self.fold_weight(weight), self.alpha)
        return self._unfold(y, (self.shared, self.free, self.new), self.target, (replicas, batch), sizes)

    def backward(self, g: Tensor, weight: Tensor, batch: int) -> Tensor:
        """``alpha W^T g``: the gradient (replica, batch, *source) for the gradient ``g`` of the output."""
        x = g.new_zeros(weight.shape[0], batch, *self._source_sizes(g, weight), requires_grad=True)
        with torch.enable_grad():
            y = self.forward(x, weight)
        return torch.autograd.grad(y, x, g)[0]

    def _source_sizes(self, g: Tensor, weight: Tensor) -> list[int]:
        made = dict(zip(self.target, g.shape[2:], strict=True))
        made |= {d: weight.shape[a] for d, a in zip(self.eaten, self.eaten_axes, strict=True)}
        return [made[d] for d in self.source]

    def fold_input(self, x: Tensor, replicas: int) -> Tensor:
        """``(replica * shared, sample, eaten)``: what the matrices read."""
        place = {d: 2 + i for i, d in enumerate(self.source)}
        x = x.expand(replicas, *x.shape[1:])
        order = [0, *(place[d] for d in self.shared), 1, *(place[d] for d in (*self.free, *self.eaten))]
        x = x.permute(order)
        lead, last = 1 + len(self.shared), len(self.eaten)
        return x.reshape(prod(x.shape[:lead]), -1, prod(x.shape[len(order) - last :]))

    def fold_weight(self, weight: Tensor) -> Tensor:
        """``(replica * shared, new, eaten)``: the matrices, without the multiplier."""
        w = weight.permute(0, *self.shared_axes, *self.new_axes, *self.eaten_axes)
        lead, last = 1 + len(self.shared), len(self.eaten)
        return w.reshape(prod(w.shape[:lead]), -1, prod(w.shape[w.ndim - last :]))

    def fold_output(self, y: Tensor) -> Tensor:
        """``(replica * shared, sample, new)``: what the matrices make, or its derivative."""
        place = {d: 2 + i for i, d in enumerate(self.target)}
        order = [0, *(place[d] for d in self.shared), 1, *(place[d] for d in (*self.free, *self.new))]
        y = y.permute(order)
        lead, last = 1 + len(self.shared), len(self.new)
        return y.reshape(prod(y.shape[:lead]), -1, prod(y.shape[len(order) - last :]))

    @staticmethod
    def _unfold(
        y: Tensor,
        groups: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
        target: tuple[str, ...],
        lead: tuple[int, int],
        sizes: dict[str, int],
    ) -> Tensor:
        """Split (replica shared, batch free, new) into its dimensions, in the order of ``target``."""
        shared, free, new = groups
        replicas, batch = lead
        y = y.reshape(replicas, *(sizes[d] for d in shared), batch, *(sizes[d] for d in (*free, *new)))
        place = {d: 1 + i for i, d in enumerate(shared)}
        place |= {d: 2 + len(shared) + i for i, d in enumerate((*free, *new))}
        return y.permute(0, 1 + len(shared), *(place[d] for d in target))

    def _multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Without a contraction (biases, gains, positions): an entrywise product by names of dimensions."""
        w = weight.permute(0, *self.shared_axes, *self.new_axes).unsqueeze(1)
        y = align(x, self.source, self.target) * align(w, (*self.shared, *self.new), self.target)
        return y if self.alpha == 1.0 else y * self.alpha

    def _look_up(self, tokens: Int[Tensor, "batch ..."], weight: Tensor) -> Float[Tensor, "replica batch ..."]:
        """Rows of the stacked tables; one table of all replicas makes the gradient one scatter."""
        replicas = weight.shape[0]
        sizes = {d: weight.shape[a] for d, a in zip(self.new, self.new_axes, strict=True)}
        table = weight.permute(0, *self.eaten_axes, *self.new_axes)
        vocabulary = prod(table.shape[1 : 1 + len(self.eaten)])
        table = table.reshape(replicas * vocabulary, -1)
        offset = torch.arange(replicas, device=tokens.device).mul_(vocabulary)
        rows = tokens.unsqueeze(0) + offset.view(-1, *(1 for _ in tokens.shape))
        y = torch.nn.functional.embedding(rows, table).reshape(*rows.shape, *sizes.values())
        y = align(y, (*self.free, *self.new), self.target)
        return y if self.alpha == 1.0 else y * self.alpha


def plan_contraction(architecture: Architecture, node: Node, alpha: float, *, into: Node | None = None) -> Contraction:
    """Sort the dimensions of a dense node; inside a stack the dimension of the layers is left out.

    Args:
        architecture: the graph.
        node: the dense node.
        alpha: the multiplier.
        into: the sum over the weight's index that is taken at once (see `find_sums`), which is the output then.
    """
    weight, source = architecture.weights[node.weight], architecture.node(node.args[0])
    without = {node.stack} if node.stack else set()
    index = tuple(d for d in weight.index if d not in without)
    made, eaten = (weight.inn, weight.out) if node.transposed else (weight.out, weight.inn)
    first_out = 1 + len(index)
    first_inn = first_out + len(weight.out)
    first_made, first_eaten = (first_inn, first_out) if node.transposed else (first_out, first_inn)
    axes = dict(zip(made, range(first_made, first_made + len(made)), strict=True))
    axes |= dict(zip(eaten, range(first_eaten, first_eaten + len(eaten)), strict=True))
    axes |= dict(zip(index, range(1, first_out), strict=True))
    if into is not None:
        index, eaten = (), (*index, *eaten)
    lookup = source.kind == "token"
    dims = tuple(d for d in source.dims if d not in without and not (lookup and d in eaten))
    kept = tuple(d for d in dims if d not in eaten)
    shared = tuple(d for d in (*index, *made) if d in kept)
    new = tuple(d for d in (*index, *made) if d not in kept)
    return Contraction(
        source=dims,
        target=tuple(d for d in (into or node).dims if d not in without),
        shared=shared,
        free=tuple(d for d in kept if d not in shared),
        eaten=eaten,
        new=new,
        shared_axes=tuple(axes[d] for d in shared),
        eaten_axes=tuple(axes[d] for d in eaten),
        new_axes=tuple(axes[d] for d in new),
        lookup=lookup,
        alpha=alpha,
    )
