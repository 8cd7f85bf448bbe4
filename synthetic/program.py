"""The order of execution of an architecture: plain nodes, and loops over the layers of stacks."""

from __future__ import annotations

from dataclasses import dataclass

from ..theory.architecture import Architecture, Node


@dataclass(frozen=True)
class Loop:
    """A stack of residual layers: ``body`` runs once per layer, its branch is added to the stream."""

    carry: Node
    body: tuple[Node, ...]
    collect: Node

    @property
    def layers(self) -> str:
        """The dimension that is looped over."""
        return self.carry.stack


Program = tuple[Node | Loop, ...]


def make_program(architecture: Architecture) -> Program:
    """Nodes in order; every ``collect`` stands for the whole stack that ends there.

    Raises:
        ValueError: if a tensor inside a stack is read from outside it.
    """
    _check_stacks_closed(architecture)
    outside = (node for node in architecture.nodes if not node.stack)
    return tuple(_loop(architecture, node) if node.op == "collect" else node for node in outside)


def _loop(architecture: Architecture, collect: Node) -> Loop:
    """The nodes between the stream and the branch, in the order of the architecture."""
    stream, branch = collect.args
    wanted, seen = [branch], set()
    while wanted:
        node = architecture.node(wanted.pop())
        if node.stack and node.op != "carry" and node.name not in seen:
            seen.add(node.name)
            wanted += node.args
    body = tuple(node for node in architecture.nodes if node.name in seen)
    return Loop(architecture.node(stream), body, collect)


def _check_stacks_closed(architecture: Architecture) -> None:
    outside = (node for node in architecture.nodes if not node.stack and node.op != "collect")
    for node in outside:
        for arg in map(architecture.node, node.args):
            if arg.stack:
                raise ValueError(f"`{node.name}` reads `{arg.name}`, which exists only inside the stack over `{arg.stack}`")


def find_positions(architecture: Architecture) -> dict[str, str]:
    """Dimensions whose size is taken from the data, each with the dimension of an input that it equals.

    These are all dimensions of an input but its last one (features, or the vocabulary), and what they are renamed to.
    """
    positions = {d: d for node in architecture.inputs for d in node.dims[:-1]}
    for node in architecture.nodes:
        if node.op == "rename" and node.over[0] in positions:
            positions.setdefault(node.over[1], positions[node.over[0]])
    return positions
