"""Sums over experts inside the matrix product that makes their summands."""

from __future__ import annotations

from collections.abc import Mapping

from ..theory.architecture import Architecture, Node


def find_sums(architecture: Architecture) -> Mapping[str, tuple[Node, ...]]:
    """Dense nodes of whose output only the sum over the weight's index is read, each with the nodes on the way to that sum.

    ``sum_i V_i z_i = [V_1 V_2 ...] [z_1; z_2; ...]`` is one matrix product; the summands, as many times the sum's size as there are
    experts, are never made.
    """
    found = {}
    for node in architecture.nodes:
        if node.op != "dense" or node.stack:
            continue
        path, index = architecture.summed_at(node.name), set(architecture.weights[node.weight].index)
        summed = [dim for step in path for dim in step.over]
        if path and set(summed) == index and index <= set(architecture.node(node.args[0]).dims):
            found[node.name] = path
    return found


def left_out(architecture: Architecture) -> frozenset[str]:
    """Names of the tensors that are never made where `find_sums` applies: all but the sums."""
    return frozenset(name for node, path in find_sums(architecture).items() for name in (node, *(step.name for step in path[:-1])))
