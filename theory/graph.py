"""Building architectures line by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .architecture import ACTIVATIONS, NORMS, Architecture, Node, Weight
from .scales import Axis, Dim, Powers


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

    def dims(self, **sizes: int | str | Powers | tuple[int | Fraction, Powers | str]) -> None:
        """Declare dimensions: a number, an axis, a monomial, or (factor, monomial)."""
        for name, size in sizes.items():
            factor, powers = size if isinstance(size, tuple) else (1, size)
            if isinstance(powers, int):
                factor, powers = factor * powers, Powers()
            self._dims[name] = Dim(name, Powers({powers: 1}) if isinstance(powers, str) else powers, Fraction(factor))

    def _add(self, name: str, op: str, args: Sequence[str], dims: Sequence[str], **data: Any) -> str:
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
        self._nodes[name] = Node(name, op, tuple(args), tuple(dims), stack=self._stack, **data)
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
        shared: str | Sequence[str] = (),
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
            self._weights[weight] = Weight(weight, out, over, index, init, trained, shared=_names(shared))
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

    def softmax(self, x: str, over: str | Sequence[str], *, causal: tuple[str, str] | tuple[()] = (), name: str = "") -> str:
        """Softmax over dimensions, masked where ``causal`` names (query, key) positions."""
        return self._add(name, "softmax", (x,), self._of(x), over=_names(over), causal=causal)

    def top(self, x: str, over: str | Sequence[str], keep: str, *, name: str = "") -> str:
        """A mask with mean one: along ``over`` positive where ``x`` is one of the largest, else 0; ``keep`` is how many, a dimension."""
        if keep not in self._dims:
            raise ValueError(f"`{self.name}` has no dimension `{keep}`, of which the size says how many are kept; declare it with dims()")
        return self._add(name, "top", (x,), self._of(x), over=(*_names(over), keep))

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
