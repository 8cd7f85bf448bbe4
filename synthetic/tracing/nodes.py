"""The nodes, weights and dimensions of an `Architecture` while it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from ...theory.architecture import Node, Weight
from ...theory.scales import Dim, Powers
from .axes import Dimension, Unfollowable
from .parameters import Chain, Factor
from .trials import Trials
from .values import Value, alternatives, block

LOGITS, OUTPUT = "attention logits", "output"


@dataclass(frozen=True)
class Emitted:
    """What makes an `Architecture`, and the powers that multipliers to be derived have in the code."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, Weight]
    dims: Mapping[str, Dim]
    own: Mapping[str, Powers]


class Nodes:
    """Adds nodes, names what is new, and keeps the multipliers that are to be derived.

    Args:
        trials: the recordings.
        inits: how the module starts its parameters (see `trace.initialisers`).
    """

    def __init__(self, trials: Trials, inits: Mapping[str, str]):
        self.trials, self.inits = trials, inits
        self.nodes: dict[str, Node] = {}
        self.weights: dict[str, Weight] = {}
        self.dims: dict[str, Dim] = {}
        self.own: dict[str, Powers] = {}
        self._roles: dict[str, frozenset[int]] = {}
        self._owner: dict[str, str] = {}
        self._slices: dict[str, tuple[tuple[Fraction, Fraction], ...]] = {}
        self._leaves: dict[int, str] = {}
        self._freed: dict[str, str] = {}  # product or dense -> the multiplier before it that is to be derived

    def finish(self, outputs: Sequence[str]) -> Emitted:
        """What was made, the output last; nodes that it does not need are left out."""
        end = outputs[0] if len(outputs) == 1 else self.add_node("add", outputs, (), place="output")
        order = [*(n for n in self.nodes.values() if n.name != end), self.nodes[end]]
        return Emitted(tuple(self._needed(order)), self.weights, self.dims, self.own)

    def _needed(self, nodes: Sequence[Node]) -> list[Node]:
        wanted, kept = {nodes[-1].name}, []
        for node in reversed(nodes):
            if node.name in wanted:
                wanted.update(node.args)
                kept.append(node)
        return kept[::-1]

    # -- names
    def leaf(self, d: Dimension) -> str:
        """The name of a leaf that grows."""
        key = id(d.root())
        if key not in self._leaves:
            factor, powers = self.trials.monomial(d.extent, f"a dimension of size {d.extent[0]}")
            stem = "_".join(powers) or "c"
            name = next(n for i in range(len(self._leaves) + 1) if (n := f"{stem}{i or ''}") not in self.dims)
            self.dims[name] = Dim(name, powers, Fraction(factor).limit_denominator(10**6))
            self._leaves[key] = name
        return self._leaves[key]

    def names(self, leaves: Sequence[Dimension]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.leaf(d) for d in leaves if d.grows))

    def add_node(self, op: str, args: Sequence[str], dims: Sequence[str], *, name: str = "", place: str = "", **data: Any) -> str:
        stem = name or f"{place}.{op}".lstrip(".")
        unique = next(n for i in range(len(self.nodes) + 1) if (n := f"{stem}{chr(39) * i if name else i or ''}") not in self.nodes)
        self.nodes[unique] = Node(unique, op, tuple(args), tuple(dict.fromkeys(dims)), **data)
        return unique

    def one(self) -> str:
        return "one" if "one" in self.nodes else self.add_node("one", (), (), name="one")

    def of(self, node: str) -> tuple[str, ...]:
        return self.nodes[node].dims

    def union(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(d for n in sorted(nodes, key=lambda n: -len(self.of(n))) for d in self.of(n)))

    def dense(self, factor: Factor, x: str, over: Sequence[str], index: Sequence[str], dims: frozenset[int]) -> str:
        """The node that applies one weight; its second use may be transposed."""
        own = factor.weight
        parameter = self._owner[own]
        used = tuple(leaf for o in sorted(dims) for leaf in factor.leaves[o] if leaf in over)
        rest = [leaf for o, leaves in enumerate(factor.leaves) for leaf in leaves if not (o in dims and leaf in over)]
        batch = tuple(leaf for leaf in rest if leaf in index)
        made = tuple(leaf for leaf in rest if leaf not in index)
        transposed = False
        if used and self.inits.get(parameter) == "ones":
            raise Unfollowable(f"the parameter `{own}` starts as a constant and is contracted over a dimension that grows")
        if own not in self.weights:
            init, frozen = self.inits.get(parameter, "gaussian"), parameter in self.trials.base.frozen
            self.weights[own] = Weight(
                own, made, used, batch, init, not frozen, part_of=parameter if own != parameter else "", slices=self._slices.get(own, ())
            )
            self._roles[own] = dims
        elif ((known := self.weights[own]) and (known.out, known.inn) != (made, used)) or (dims != self._roles[own] and made == used != ()):
            if (known.inn, known.out) != (made, used):
                raise Unfollowable(
                    f"the parameter `{own}` is used with two shapes: ({', '.join(known.out)}) x ({', '.join(known.inn)}) "
                    f"and ({', '.join(made)}) x ({', '.join(used)})"
                )
            transposed = True
            x = self.free(x, OUTPUT, f"{own}.multiplier")
        missing = [d for d in used if d not in self.of(x) and self.nodes[x].kind != "token"]
        if missing:
            raise Unfollowable(f"the parameter `{own}` is contracted over a dimension along which its argument is constant")
        kept = tuple(d for d in self.of(x) if d not in used)
        node = self.add_node("dense", (x,), (*kept, *batch, *made), name=own, weight=own, transposed=transposed, over=used)
        if transposed:
            self._freed[node] = x
        return node

    # -- multipliers
    def scaled(self, node: str, powers: Powers, place: str) -> str:
        """A multiplier of the code; where one just before is to be derived, it is what the code has for that."""
        if not powers:
            return node
        if free := self._freed.get(node):
            self.own[free] = self.own[free] * powers
            return node
        return self.add_node("scale", (node,), self.of(node), place=place, power=powers)

    def free(self, node: str, kind: str, name: str, own: Powers = Powers()) -> str:
        """A multiplier that is to be derived, in place of those in the code just before it."""
        node, written = self._stripped(node)
        made = self.add_node("scale", (node,), self.of(node), name=name.lstrip("."), power=None, kind=kind)
        self.own[made] = own * written
        return made

    def _stripped(self, node: str) -> tuple[str, Powers]:
        """A tensor without the multipliers of the code just before it, and these."""
        written = Powers()
        while self.nodes[node].op == "scale" and (power := self.nodes[node].power) is not None:
            node, written = self.nodes[node].args[0], written * power
        return node, written

    def inner(self, x: str, y: str, over: set[str], place: str) -> str:
        """Two activations contracted; over a dimension that grows with a multiplier that is to be derived."""
        if any(n not in self.of(x) and n not in self.of(y) for n in over):
            raise Unfollowable("two activations are contracted over a dimension along which both are constant")
        free = any(n in self.of(x) and n in self.of(y) for n in over)
        if free:
            y, written = self._stripped(y)
            x = self.free(x, LOGITS, f"{place}.logits", written)
        dims = tuple(d for d in self.union([x, y]) if d not in over)
        made = self.add_node("product", (x, y), dims, place=place, over=tuple(sorted(over)))
        if free:
            self._freed[made] = x
        return made

    def parameter(self, name: str, dims: Sequence[Dimension]) -> Value:
        """A parameter as an expression; slices that are used apart are weights of their own."""
        chosen = [alternatives(d) for d in dims]
        combos = list(product(*chosen))
        found = {}
        for i, combo in enumerate(combos):
            weight = name if len(combos) == 1 else f"{name}[{i}]"
            self._owner[weight] = name
            factor = Factor(weight, tuple(self.names(leaves) for _, leaves in combo))
            key = frozenset().union(*(k for k, _ in combo))
            if len(combos) > 1:
                self._slices[weight] = block(dims, [k for k, _ in combo])
            found[key] = [Chain((factor,), tuple(frozenset({(0, o)}) for o in range(len(dims))))]
        return Value(dims, chains=found, pure=True)
