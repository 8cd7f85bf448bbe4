"""What an ensemble costs: multiplications, memory."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ..theory.architecture import Architecture, Node
from .summing import left_out


def _size(architecture: Architecture, node: Node, dims: tuple[str, ...], sizes: Mapping[str, int]) -> int:
    """Product of dimensions over all layers, also where a tensor inside a stack does not carry the layer."""
    repeated = (node.stack,) if node.stack and node.stack not in dims else ()
    return prod(architecture.dims[d].size(sizes, architecture.name) for d in dims + repeated)


def macs(architecture: Architecture, sizes: Mapping[str, int]) -> int:
    """Multiply-accumulate operations of one forward pass of one sample, at the declared number of positions."""
    total = 0
    for node in architecture.nodes:
        lookup = node.op == "dense" and architecture.node(node.args[0]).kind == "token"
        if node.op in ("dense", "product") and node.over and not lookup:
            total += _size(architecture, node, node.dims + node.over, sizes)
    return total


def parameters(architecture: Architecture, sizes: Mapping[str, int]) -> int:
    """Number of parameters of one network."""
    dims = architecture.dims
    return sum(prod(dims[d].size(sizes, architecture.name) for d in w.dims) for w in architecture.weights.values())


def activations(architecture: Architecture, sizes: Mapping[str, int]) -> int:
    """Entries of all tensors of one forward pass of one sample."""
    never = left_out(architecture)
    return sum(_size(architecture, n, n.dims, sizes) for n in architecture.nodes if n.kind != "token" and n.name not in never)
