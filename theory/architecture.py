"""Architectures: a graph of weights and operations on tensors with named dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

from .scales import Axis, Dim, Powers, Rational

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
    """

    name: str
    out: tuple[str, ...]
    inn: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    init: str = "gaussian"
    trained: bool = True

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
    at_base: Powers = Powers()
    causal: tuple[str, ...] = ()
    stack: str = ""


@dataclass(frozen=True)
class Architecture:
    """A network as data: axes, dimensions, weights and operations; the last node is the output.

    Both rooms read it: ``theory`` derives how its weights must scale, ``synthetic`` builds and trains it.

    Raises:
        ValueError: if the graph has a cycle, names an unknown tensor, weight, dimension or axis, or uses a
            weight with two shapes; the message names the culprit.
    """

    name: str
    axes: tuple[Axis, ...]
    dims: Mapping[str, Dim]
    weights: Mapping[str, Weight]
    nodes: tuple[Node, ...]

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
            return {key: plain(item) for key, item in vars(value).items() if not key.startswith("_")}

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


@dataclass
class Graph:
    """Builds an `Architecture` line by line; every method adds one tensor and returns its name.

    >>> g = Graph("tiny", [Axis("n")])
    >>> g.dims(x=8, hidden="n", y=2)
    >>> h = g.map("relu", g.dense("read", g.input("x"), "hidden"))
    >>> net = g.build(g.dense("write", h, "y"))
    >>> [w.name for w in net.weights.values()]
    ['read', 'write']
    """

    name: str
    axes: Sequence[Axis]
    _dims: dict[str, Dim] = field(default_factory=dict)
    _weights: dict[str, Weight] = field(default_factory=dict)
    _nodes: dict[str, Node] = field(default_factory=dict)
    _stack: str = ""

    def dims(self, **sizes: int | str | Powers | tuple[int, Powers | str]) -> None:
        """Declare dimensions: a number, an axis, a monomial, or (factor, monomial)."""
        for name, size in sizes.items():
            factor, powers = size if isinstance(size, tuple) else (1, size)
            if isinstance(powers, int):
                factor, powers = factor * powers, Powers()
            self._dims[name] = Dim(name, Powers({powers: 1}) if isinstance(powers, str) else powers, Fraction(factor))

    def _add(self, name: str, op: str, args: Sequence[str], dims: Sequence[str], **data: object) -> str:
        if not name:
            name = f"{op}{sum(n.op == op for n in self._nodes.values()) + 1}"
        if name in self._nodes:
            raise ValueError(f"`{self.name}` has two tensors named `{name}`")
        for arg in args:
            if arg not in self._nodes:
                raise ValueError(f"`{name}` of `{self.name}` reads the unknown tensor `{arg}`")
        for dim in dims:
            if dim not in self._dims:
                raise ValueError(f"`{name}` of `{self.name}` has the unknown dimension `{dim}`; declare it with dims()")
        self._nodes[name] = Node(name, op, tuple(args), tuple(dims), stack=self._stack, **data)  # type: ignore[arg-type]
        return name

    def _of(self, x: str) -> tuple[str, ...]:
        if x not in self._nodes:
            raise ValueError(f"`{self.name}` has no tensor `{x}`")
        return self._nodes[x].dims

    def input(self, *dims: str, token: bool = False, name: str = "input") -> str:
        """Data with these dimensions after the batch; with ``token`` the last one is looked up (one-hot)."""
        return self._add(name, "input", (), dims, kind="token" if token else "real")

    def one(self) -> str:
        """The constant 1."""
        if "one" not in self._nodes:
            stack, self._stack = self._stack, ""
            self._add("one", "one", (), ())
            self._stack = stack
        return "one"

    def dense(
        self,
        weight: str,
        x: str,
        out: str | Sequence[str] = (),
        *,
        over: str | Sequence[str] | None = None,
        index: str | Sequence[str] = (),
        init: str = "gaussian",
        trained: bool = True,
        name: str = "",
    ) -> str:
        """Apply a weight: contract the dimensions ``over`` of ``x`` (default: its last one) and make ``out``.

        A weight that exists already is used again, transposed if the roles of its dimensions are exchanged.
        """
        out, index, dims = _names(out), _names(index), self._of(x)
        over = dims[-1:] if over is None else _names(over)
        known, transposed = self._weights.get(weight), False
        if known is None:
            self._weights[weight] = Weight(weight, out, over, index, init, trained)
        elif (known.out, known.inn) != (out, over):
            if (known.inn, known.out) != (out, over):
                raise ValueError(
                    f"weight `{weight}` is used with two shapes: ({', '.join(known.out)}) x ({', '.join(known.inn)}) "
                    f"and ({', '.join(out)}) x ({', '.join(over)})"
                )
            transposed = True
        kept = tuple(d for d in dims if d not in over)
        made = tuple(d for d in (*index, *out) if d not in kept)
        uses = sum(n.weight == weight for n in self._nodes.values())
        name = name or weight + "'" * uses
        return self._add(name, "dense", (x,), kept + made, weight=weight, transposed=transposed, over=over)

    def bias(self, weight: str, x: str, *, over: str | Sequence[str] | None = None, index: str | Sequence[str] = ()) -> str:
        """Add a bias (initially zero) over the dimensions ``over`` (default: the last one)."""
        over = self._of(x)[-1:] if over is None else _names(over)
        return self.add(x, self.dense(weight, self.one(), over, over=(), index=index, init="zero"))

    def gain(self, weight: str, x: str, *, index: str | Sequence[str] = ()) -> str:
        """Multiply the last dimension entrywise with a gain (initially one)."""
        return self.product(x, self.dense(weight, self.one(), self._of(x)[-1:], over=(), index=index, init="ones"))

    def map(self, function: str, x: str, *, name: str = "") -> str:
        """An entrywise function."""
        if function not in ACTIVATIONS:
            raise ValueError(f"unknown activation `{function}`; choose from {', '.join(ACTIVATIONS)}")
        return self._add(name, "map", (x,), self._of(x), kind=function)

    def product(self, a: str, b: str, *, over: str | Sequence[str] = (), name: str = "") -> str:
        """Entrywise product by names of dimensions, then a sum over ``over``."""
        over = _names(over)
        dims = tuple(d for d in dict.fromkeys(self._of(a) + self._of(b)) if d not in over)
        return self._add(name, "product", (a, b), dims, over=over)

    def scale(self, x: str, power: Powers | None = None, *, at_base: Powers = Powers(), kind: str = "", name: str = "") -> str:
        """A multiplier: a given power of the axes, or ``None`` to have it derived; ``at_base`` is its value at the base."""
        return self._add(name, "scale", (x,), self._of(x), power=power, at_base=at_base, kind=kind)

    def add(self, *xs: str, name: str = "") -> str:
        """Sum of tensors."""
        dims = tuple(dict.fromkeys(d for x in sorted(xs, key=lambda x: -len(self._of(x))) for d in self._of(x)))
        return self._add(name, "add", xs, dims)

    def norm(self, x: str, *, kind: str = "layer", name: str = "") -> str:
        """Normalisation over the last dimension, without gain or bias."""
        if kind not in NORMS:
            raise ValueError(f"unknown norm `{kind}`; choose from {', '.join(NORMS)}")
        return self._add(name, "norm", (x,), self._of(x), over=self._of(x)[-1:], kind=kind)

    def softmax(self, x: str, over: str, *, causal: tuple[str, str] | tuple[()] = (), name: str = "") -> str:
        """Softmax over one dimension, masked where ``causal`` names (query, key) positions."""
        return self._add(name, "softmax", (x,), self._of(x), over=(over,), causal=causal)

    def sum(self, x: str, over: str | Sequence[str], *, name: str = "") -> str:
        """Sum over dimensions."""
        over = _names(over)
        return self._add(name, "sum", (x,), tuple(d for d in self._of(x) if d not in over), over=over)

    def rename(self, x: str, old: str, new: str, *, name: str = "") -> str:
        """Give a dimension another name of the same size."""
        return self._add(name, "rename", (x,), tuple(new if d == old else d for d in self._of(x)), over=(old, new))

    def rotary(self, x: str, over: str, position: str, *, name: str = "") -> str:
        """Rotary position embedding of the dimension ``over``."""
        return self._add(name, "rotary", (x,), self._of(x), over=(over, position))

    def stack(self, layers: str, stream: str) -> Stack:
        """A stack of residual layers: ``with g.stack("layers", x) as s: s.add(branch of s.stream)``."""
        return Stack(self, layers, stream)

    def build(self, output: str) -> Architecture:
        """The finished architecture with ``output`` as its last tensor."""
        nodes = [n for n in self._nodes.values() if n.name != output] + [self._nodes[output]]
        return Architecture(self.name, tuple(self.axes), dict(self._dims), dict(self._weights), tuple(nodes))


class Stack:
    """A residual stack over a dimension of layers; weights made inside should carry it as ``index``."""

    def __init__(self, graph: Graph, layers: str, stream: str):
        self.graph, self.layers, self.entry = graph, layers, stream
        self.stream = self.result = ""

    def __enter__(self) -> Stack:
        g = self.graph
        if g._stack:
            raise ValueError("a stack inside a stack is not supported; write the inner one out")
        g._stack = self.layers
        self.stream = g._add("", "carry", (self.entry,), g._of(self.entry), over=(self.layers,))
        return self

    def add(self, branch: str) -> str:
        """Close the stack: the stream plus the sum of the branch over the layers."""
        g = self.graph
        g._stack = ""
        self.result = g._add("", "collect", (self.stream, branch), g._of(self.stream), over=(self.layers,))
        return self.result

    def __exit__(self, *error: object) -> None:
        self.graph._stack = ""


def _names(dims: str | Sequence[str]) -> tuple[str, ...]:
    return (dims,) if isinstance(dims, str) else tuple(dims)


def with_init(architecture: Architecture, **inits: str) -> Architecture:
    """The same architecture with other initialisers, for example ``with_init(net, readout="zero")``."""
    weights = {n: replace(w, init=inits.get(n, w.init)) for n, w in architecture.weights.items()}
    for name in inits:
        if name not in weights:
            raise ValueError(f"`{architecture.name}` has no weight `{name}`")
    return replace(architecture, weights=weights)
