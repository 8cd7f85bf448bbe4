"""Architectures: a graph of weights and operations on tensors with named dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from .scales import Axis, Dim, Powers

INITIALISERS = ("gaussian", "zero", "ones")
ACTIVATIONS = ("identity", "relu", "gelu", "silu", "tanh", "erf", "softplus", "sigmoid")
NORMS = ("layer", "rms")


@dataclass(frozen=True)
class Weight:
    """A trained tensor with the dimensions ``index + out + inn``.

    Args:
        name: how tables and parameter groups call it; it carries no meaning.
        out: dimensions that it makes.
        inn: dimensions that it contracts (empty for a bias or a gain).
        index: dimensions along which it is a batch of matrices (layers, experts): neither fan-in nor fan-out.
        init: ``gaussian``, ``zero``, or ``ones`` (a gain).
        trained: a frozen weight has no learning rate.
        part_of: the parameter of which it is a slice (fused queries, keys and values); empty if it is one of its own.
        slices: which part of each dimension of that parameter it is, as fractions from start to stop; empty where it is no block.
        copies: names of all weights that it stands for, in repeated blocks; empty for itself alone.
        shared: dimensions of the index along which the initial values are equal.
    """

    name: str
    out: tuple[str, ...]
    inn: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    init: str = "gaussian"
    trained: bool = True
    part_of: str = ""
    slices: tuple[tuple[Fraction, Fraction], ...] = ()
    copies: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        return self.index + self.out + self.inn


@dataclass(frozen=True)
class Node:
    """One tensor of the graph and the operation that makes it.

    ``op`` is one of

    ========== =====================================================================================
    input      data; ``kind`` is ``real`` (a last dimension) or ``token`` (integers, looked up by a dense)
    one        the constant 1, on which biases and gains act
    dense      contraction of ``args[0]`` with ``weight`` over the dimensions ``over``
    map        the entrywise function ``kind``
    product    entrywise product of two tensors, then a sum over ``over`` (gates, attention, gains)
    scale      a multiplier with a name: ``power`` (``None``: to be derived) and its constant ``at_base``
    add        sum of tensors, broadcast by the names of their dimensions
    norm       ``layer`` or ``rms`` normalisation over ``over``
    softmax    over ``over``; ``causal`` names the (query, key) positions of a causal mask
    top        a mask with mean one of the largest entries over ``over[:-1]``, as many as ``over[-1]`` has; not differentiated
    sum        over ``over``
    rename     dimensions ``over[0]`` become ``over[1]``
    rotary     rotation of the pairs of ``over[0]`` by an angle that grows along the position ``over[1]``
    carry      the stream that enters every layer of a stack
    collect    the stream after the stack: ``args[0]`` plus the sum of the branch ``args[1]`` over the layers
    ========== =====================================================================================
    """

    name: str
    op: str
    args: tuple[str, ...]
    dims: tuple[str, ...]
    weight: str = ""
    transposed: bool = False
    over: tuple[str, ...] = ()
    kind: str = ""
    power: Powers | None = None
    written: Powers | None = None
    at_base: Powers = Powers()
    causal: tuple[str, ...] = ()
    stack: str = ""


@dataclass(frozen=True)
class Architecture:
    """A network as data: axes, dimensions, weights and operations; the last node is the output.

    Both rooms read it: ``theory`` derives how its weights must scale, ``synthetic`` builds and trains it. Where it was traced from
    a module, ``parameters`` are the names of the module's parameters in order, each with a row of its own in tables.

    Raises:
        ValueError: if the graph has a cycle, names an unknown tensor, weight, dimension or axis, or uses a
            weight with two shapes; the message names the culprit.
    """

    name: str
    axes: tuple[Axis, ...]
    dims: Mapping[str, Dim]
    weights: Mapping[str, Weight]
    nodes: tuple[Node, ...]
    parameters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_sizes()
        object.__setattr__(self, "nodes", _in_order(self.name, self.nodes))
        for node in self.nodes:
            self._check_node(node)

    def _check_sizes(self) -> None:
        known = {axis.name for axis in self.axes}
        for dim in self.dims.values():
            for axis in dim.powers:
                if axis not in known:
                    raise ValueError(f"dimension `{dim.name}` of `{self.name}` grows with the unknown axis `{axis}`")
        for weight in self.weights.values():
            for dim in weight.dims:
                if dim not in self.dims:
                    raise ValueError(f"weight `{weight.name}` has the unknown dimension `{dim}`")
            if weight.init not in INITIALISERS:
                raise ValueError(f"weight `{weight.name}`: unknown init `{weight.init}`; choose from {', '.join(INITIALISERS)}")
            if not set(weight.shared) <= set(weight.index):
                raise ValueError(
                    f"weight `{weight.name}` has no index `{', '.join(weight.shared)}` along which its initial values could be equal"
                )

    def _check_node(self, node: Node) -> None:
        if node.op != "dense":
            return
        if node.weight not in self.weights:
            raise ValueError(f"`{node.name}` uses the unknown weight `{node.weight}`")
        weight = self.weights[node.weight]
        made, eaten = (weight.inn, weight.out) if node.transposed else (weight.out, weight.inn)
        source = self.node(node.args[0])
        missing = [d for d in eaten if d not in source.dims and source.kind != "token"]
        if missing or not set(made) <= set(node.dims):
            raise ValueError(
                f"weight `{weight.name}` is used with two shapes: it is ({', '.join(weight.out)}) x ({', '.join(weight.inn)}), "
                f"and `{node.name}` applies it to ({', '.join(source.dims)}) to make ({', '.join(node.dims)})"
            )

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def node(self, name: str) -> Node:
        return self._by_name[name]

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.op == "input")

    @property
    def operations(self) -> tuple[Node, ...]:
        """Multipliers that sit on no weight: attention logits, residual branches."""
        return tuple(node for node in self.nodes if node.op == "scale")

    def summed_at(self, node: str) -> tuple[Node, ...]:
        """The nodes through which what a weight with an index makes goes linearly into the sum over it; none if it does not.

        Before that sum the tensor is not seen by anything: only the sum has a size that matters.
        """
        path: list[Node] = []
        at = self.node(node)
        index = set(self.index_of(at.weight)) & set(at.dims)
        while index & set(at.dims):
            readers = [n for n in self.nodes if at.name in n.args]
            if len(readers) != 1 or readers[0].op not in ("scale", "sum"):
                return ()
            at = readers[0]
            path.append(at)
        return tuple(path)

    def index_of(self, weight: str) -> tuple[str, ...]:
        """The index of a weight without the layers of a stack: what it makes in a layer is read by the next."""
        stacks = {node.stack for node in self.nodes}
        return tuple(d for d in self.weights[weight].index if d not in stacks)

    def uses(self, weight: str) -> tuple[Node, ...]:
        """The nodes that apply a weight (two for tied ones)."""
        return tuple(node for node in self.nodes if node.weight == weight)

    @property
    def base(self) -> dict[str, int]:
        """The sizes at which all parameterisations coincide."""
        return {axis.name: axis.base for axis in self.axes}

    def sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Complete ``sizes`` with the base sizes of the axes that it leaves out; raise on an unknown axis."""
        for axis, size in sizes.items():
            if axis not in self.base:
                raise ValueError(f"`{self.name}` has no axis `{axis}` (it has {', '.join(self.base)})")
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"size `{size}` of axis `{axis}` must be a positive integer")
        return {**self.base, **sizes}

    def monomial(self, dims: Sequence[str]) -> Powers:
        """The product of the dimensions as a monomial of the axes, without its constant."""
        total = Powers()
        for dim in dims:
            total = total * self.dims[dim].powers
        return total

    def as_data(self) -> dict[str, object]:
        """Everything that defines the network, as plain data (for keys of the store)."""

        def plain(value: object) -> object:
            if isinstance(value, (str, int, bool)) or value is None:
                return value
            if isinstance(value, Fraction):
                return str(value)
            if isinstance(value, Powers):
                return value.as_json()
            if isinstance(value, Mapping):
                return {key: plain(item) for key, item in value.items()}
            if isinstance(value, tuple):
                return [plain(item) for item in value]
            return {key: plain(item) for key, item in vars(value).items() if not key.startswith("_") and (item or key != "shared")}

        return {key: plain(getattr(self, key)) for key in ("name", "axes", "dims", "weights", "nodes")}


def _in_order(owner: str, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Nodes after their arguments, in the given order where that is possible."""
    names = [node.name for node in nodes]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"`{owner}` has two tensors named `{name}`")
    placed: dict[str, Node] = {}
    waiting = list(nodes)
    while waiting:
        ready = next((n for n in waiting if all(a in placed for a in n.args)), None)
        if ready is None:
            for node in waiting:
                for arg in node.args:
                    if arg not in names:
                        raise ValueError(f"`{node.name}` of `{owner}` reads the unknown tensor `{arg}`")
            cycle = _find_cycle({n.name: n.args for n in waiting})
            raise ValueError(f"the graph of `{owner}` has a cycle: {' -> '.join(cycle)}")
        placed[ready.name] = ready
        waiting.remove(ready)
    return tuple(placed.values())


def _find_cycle(args: Mapping[str, Sequence[str]]) -> list[str]:
    """Names along one cycle in the direction of the data; every node waits for at least one other."""
    path = [next(iter(args))]
    while True:
        before = next(a for a in args[path[-1]] if a in args)
        if before in path:
            return [before, *reversed(path[path.index(before) :])]
        path.append(before)


def with_init(architecture: Architecture, **inits: str) -> Architecture:
    """The same architecture with other initialisers, for example ``with_init(net, readout="zero")``.

    ``shared`` is Gaussian and equal along the whole index of the weight, except the layers of a stack.
    """
    weights = dict(architecture.weights)
    for name, init in inits.items():
        if name not in weights:
            raise ValueError(f"`{architecture.name}` has no weight `{name}`")
        if init == "shared" and not architecture.index_of(name):
            raise ValueError(f"weight `{name}` has no index along which its initial values could be shared")
        shared = {"shared": architecture.index_of(name), "init": "gaussian"} if init == "shared" else {"init": init}
        weights[name] = replace(weights[name], **shared)
    return replace(architecture, weights=weights)
