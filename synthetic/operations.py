"""Operations without a weight, on activations laid out as (replica, batch, *dims)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from ..theory.architecture import Node
from .contraction import align

Dims = tuple[str, ...]
Operation = Callable[..., Tensor]

NORM_EPS = 1e-12
"""Added to the mean square that a normalisation divides by: 1e-12 of an order-one stream.

It only keeps the gradient finite at zero; streams down to an RMS of 1e-5 are normalised to 1 %, so that the
exponents of a vanishing stream can be measured.
"""

ROTARY_BASE = 10000.0

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "softplus": functional.softplus,
    "sigmoid": torch.sigmoid,
}


def plan_operation(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    """The function of a node that applies no weight.

    Args:
        node: the node.
        sources: dimensions of its arguments after (replica, batch), without the layers inside a stack.
        target: dimensions of its result.
        factor: the value of the multiplier of a ``scale`` node; of a ``top``, how many it keeps.

    Returns:
        A function of the arguments' tensors.

    Raises:
        ValueError: if the operation is not known.
    """
    if node.op not in _PLANS:
        raise ValueError(f"`{node.name}`: the operation `{node.op}` cannot be executed (known: {', '.join(_PLANS)})")
    return _PLANS[node.op](node, tuple(sources), target, factor)


def _map(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    if node.kind not in ACTIVATIONS:
        raise ValueError(f"`{node.name}`: unknown activation `{node.kind}`; choose from {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[node.kind]


def _scale(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    return lambda x: x * factor


def _add(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    def add(*xs: Tensor) -> Tensor:
        total = align(xs[0], sources[0], target)
        for x, dims in zip(xs[1:], sources[1:], strict=True):
            total = total + align(x, dims, target)
        return total

    return add


def _sum(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    axes = [2 + sources[0].index(d) for d in node.over]
    return lambda x: x.sum(axes)


def _rename(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    return lambda x: x


def _product(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    """Entrywise, or a batch of matrix products over the dimensions that both have and that are summed."""
    a_dims, b_dims = sources
    summed = tuple(d for d in node.over if d in a_dims and d in b_dims)
    both = tuple(d for d in a_dims if d in b_dims and d not in summed)
    a_only = tuple(d for d in a_dims if d not in b_dims and d not in node.over)
    b_only = tuple(d for d in b_dims if d not in a_dims and d not in node.over)

    def entrywise(a: Tensor, b: Tensor) -> Tensor:
        return align(a, a_dims, target) * align(b, b_dims, target)

    def contract(a: Tensor, b: Tensor) -> Tensor:
        a, b = _sum_alone(a, a_dims, b_dims, node.over), _sum_alone(b, b_dims, a_dims, node.over)
        a_kept = tuple(d for d in a_dims if d in b_dims or d not in node.over)
        b_kept = tuple(d for d in b_dims if d in a_dims or d not in node.over)
        left = align(a, a_kept, (*both, *a_only, *summed))
        right = align(b, b_kept, (*both, *summed, *b_only))
        lead, end = 2 + len(both), 2 + len(both) + len(a_only)
        y = torch.matmul(
            left.reshape(*left.shape[:lead], prod(left.shape[lead:end]), prod(left.shape[end:])),
            right.reshape(*right.shape[:lead], prod(left.shape[end:]), -1),
        )
        y = y.reshape(*y.shape[:lead], *left.shape[lead:end], *right.shape[lead + len(summed) :])
        return align(y, (*both, *a_only, *b_only), target)

    return contract if node.over else entrywise


def _sum_alone(x: Tensor, dims: Dims, other: Dims, over: Dims) -> Tensor:
    alone = [2 + i for i, d in enumerate(dims) if d in over and d not in other]
    return x.sum(alone) if alone else x


def _norm(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    """``x / sqrt(mean x^2 + eps)``, after subtracting the mean for ``layer``."""
    rest = tuple(d for d in target if d not in node.over)
    inner = (*rest, *node.over)

    def norm(x: Tensor) -> Tensor:
        x = align(x, target, inner)
        shape = x.shape[x.ndim - len(node.over) :]
        normal = functional.layer_norm if node.kind == "layer" else functional.rms_norm
        return align(normal(x, shape, eps=NORM_EPS), inner, target)

    return norm


def _softmax(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    first, *others = node.over
    if others:
        return _together(lambda x: torch.softmax(x, -1), node.over, target)
    axis = 2 + target.index(first)

    def softmax(x: Tensor) -> Tensor:
        if node.causal:
            x = x.masked_fill(_future(x, node.causal, target), -torch.inf)
        return torch.softmax(x, axis)

    return softmax


def _together(function: Operation, over: Dims, target: Dims) -> Operation:
    """A function of a last dimension, applied to several dimensions as one."""
    inner = (*(d for d in target if d not in over), *over)

    def apply(x: Tensor) -> Tensor:
        moved = align(x, target, inner)
        return align(function(moved.flatten(-len(over))).view(moved.shape), inner, target)

    return apply


def _top(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    """Size over K at the K largest entries, the first of equal ones, and 0 elsewhere; ``factor`` is K."""
    kept = int(factor)

    def mask(x: Tensor) -> Tensor:
        largest = x.detach().argsort(dim=-1, descending=True, stable=True)[..., :kept]
        return torch.zeros_like(x).scatter_(-1, largest, x.shape[-1] / kept)

    return _together(mask, node.over[:-1], target)


def _future(x: Tensor, causal: tuple[str, ...], dims: Dims) -> Tensor:
    """True where the key position lies after the query position."""
    query, key = (2 + dims.index(d) for d in causal)
    mask = torch.ones(x.shape[query], x.shape[key], dtype=torch.bool, device=x.device).triu_(1)
    return align(mask[None, None], causal, dims)


def _rotary(node: Node, sources: Sequence[Dims], target: Dims, factor: float) -> Operation:
    """Rotate the pairs (i, i + d/2) at position t by ``t base^(-2 i / d)`` (the half-split layout of LLaMA)."""
    over, position = node.over

    def rotate(x: Tensor) -> Tensor:
        size, length = (x.shape[2 + target.index(d)] for d in (over, position))
        if size % 2:
            raise ValueError(f"`{node.name}` rotates pairs of `{over}`, whose size {size} is odd")
        rates = ROTARY_BASE ** (-torch.arange(0, size, 2, dtype=torch.float64, device=x.device) / size)
        angles = torch.outer(torch.arange(length, dtype=torch.float64, device=x.device), rates)
        angles = align(torch.cat((angles, angles), -1)[None, None], (position, over), target)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x.chunk(2, 2 + target.index(over))
        return x * cos + torch.cat((-second, first), 2 + target.index(over)) * sin

    return rotate


_PLANS: dict[str, Callable[[Node, Sequence[Dims], Dims, float], Operation]] = {
    "map": _map,
    "product": _product,
    "scale": _scale,
    "add": _add,
    "norm": _norm,
    "softmax": _softmax,
    "top": _top,
    "sum": _sum,
    "rename": _rename,
    "rotary": _rotary,
}
