"""Steps with named dimensions to the nodes of an `Architecture`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

from ...theory.architecture import Node, Weight
from ...theory.scales import Dim, Powers
from .axes import Dimension, Unfollowable
from .lowering import Lowered
from .parameters import Chain, Factor, apply
from .steps import Step

Key = frozenset[tuple[int, int]]  # which segment of which concatenation
NONE: Key = frozenset()
LOGITS, OUTPUT = "attention logits", "output"


@dataclass
class Value:
    """A tensor as nodes, one per choice of segments of its concatenations; a parameter as sums of chains.

    ``pure``: it depends on parameters alone.
    """

    dims: Sequence[Dimension]
    nodes: dict[Key, str] = field(default_factory=dict)
    chains: dict[Key, list[Chain]] = field(default_factory=dict)
    pure: bool = False


@dataclass(frozen=True)
class Emitted:
    """What makes an `Architecture`, and the powers that multipliers to be derived have in the code."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, Weight]
    dims: Mapping[str, Dim]
    parts: Mapping[str, tuple[str, ...]]
    own: Mapping[str, Powers]


def alternatives(d: Dimension) -> list[tuple[Key, tuple[Dimension, ...]]]:
    """Every choice of segments of a dimension, with the leaves that it then has."""
    found: list[tuple[Key, tuple[Dimension, ...]]] = [(NONE, ())]
    for factor in d.factors():
        if factor.segments:
            options = [(key | {(id(factor), i)}, leaves) for i, s in enumerate(factor.segments) for key, leaves in alternatives(s)]
        else:
            options = [(NONE, (factor,))]
        found = [(k | key, ls + leaves) for k, ls in found for key, leaves in options]
    return found


def pieces(d: Dimension) -> list[tuple[Key, tuple[int, ...], tuple[int, ...]]]:
    """(choice, start, stop) of every segment of a dimension whose outermost factor is a concatenation."""
    own = d.root()
    zero = tuple(0 for _ in own.extent)
    if own.product:
        inner = tuple(prod(sizes) for sizes in zip(*(p.extent for p in own.product[1:]), strict=True))
        times = lambda at: tuple(a * b for a, b in zip(at, inner, strict=True))  # noqa: E731
        return [(key, times(start), times(stop)) for key, start, stop in pieces(own.product[0])]
    if not own.segments:
        return [(NONE, zero, own.extent)]
    found, at = [], zero
    for i, segment in enumerate(own.segments):
        for key, start, stop in pieces(segment):
            found.append((key | {(id(own), i)}, _plus(at, start), _plus(at, stop)))
        at = _plus(at, segment.extent)
    return found


def _block(dims: Sequence[Dimension], keys: Sequence[Key]) -> tuple[tuple[Fraction, Fraction], ...]:
    """Which part of every dimension a choice of segments is, as fractions; empty where it is no contiguous part at all sizes."""
    found = []
    for d, key in zip(dims, keys, strict=True):
        ranges = {
            (Fraction(start[t], d.extent[t]), Fraction(stop[t], d.extent[t]))
            for k, start, stop in pieces(d) if k == key for t in range(len(d.extent))
        }  # fmt: skip
        if len(ranges) != 1:
            return ()
        found.append(ranges.pop())
    return tuple(found)


def _plus(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


class Emitter:
    """Makes nodes step by step."""

    def __init__(self, lowered: Lowered, dims: Mapping[int, Sequence[Dimension]], inits: Mapping[str, str]):
        self.lowered, self.trials, self.found, self.inits = lowered, lowered.trials, dims, inits
        self.nodes: dict[str, Node] = {}
        self.weights: dict[str, Weight] = {}
        self.roles: dict[str, frozenset[int]] = {}
        self.dims: dict[str, Dim] = {}
        self.parts: dict[str, tuple[str, ...]] = {}
        self.own: dict[str, Powers] = {}
        self.slices: dict[str, tuple[tuple[Fraction, Fraction], ...]] = {}
        self._leaves: dict[int, str] = {}
        self._values: dict[int, Value] = {}
        self._produced: dict[str, str] = {}  # product or dense -> the multiplier before it that is to be derived

    def run(self, steps: Sequence[Step], output: int) -> Emitted:
        for step in steps:
            try:
                self._values[step.out] = self._emit(step)
            except (Unfollowable, ValueError) as error:
                raise ValueError(f"`{step.place or 'the module'}`: {error}") from None
        last = self.data(self._value(output))
        names = list(last.nodes.values())
        end = names[0] if len(names) == 1 else self.add_node("add", names, (), place="output")
        order = [*(n for n in self.nodes.values() if n.name != end), self.nodes[end]]
        return Emitted(tuple(self._needed(order)), self.weights, self.dims, self.parts, self.own)

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

    # -- values
    def _value(self, number: int) -> Value:
        if number not in self._values:
            self._values[number] = self._source(number)
        return self._values[number]

    def _source(self, number: int) -> Value:
        dims = self.found[number]
        kind = self.lowered.kinds[number]
        if kind == "param":
            return self._parameter(self.trials.base.parameters[number], dims)
        choices = [(k, self.names(ls)) for k, ls in _choices(dims)]
        name = "input" if kind == "data" else "constant"
        return Value(dims, {k: self.add_node("input", (), ls, name=name, kind="real") for k, ls in choices}, pure=kind != "data")

    def _parameter(self, name: str, dims: Sequence[Dimension]) -> Value:
        chosen = [alternatives(d) for d in dims]
        combos = list(product(*chosen))
        found, names = {}, []
        for i, combo in enumerate(combos):
            weight = name if len(combos) == 1 else f"{name}[{i}]"
            names.append(weight)
            factor = Factor(weight, tuple(self.names(leaves) for _, leaves in combo))
            key = frozenset().union(*(k for k, _ in combo))
            if len(combos) > 1:
                self.slices[weight] = _block(dims, [k for k, _ in combo])
            found[key] = [Chain((factor,), tuple(frozenset({(0, o)}) for o in range(len(dims))))]
        self.parts[name] = tuple(names)
        return Value(dims, chains=found, pure=True)

    def data(self, value: Value) -> Value:
        """A value as nodes; parameters act on the constant 1."""
        if value.nodes or not value.chains:
            return replace(value, chains={})
        nodes = value.nodes
        for key, chains in value.chains.items():
            terms = [self._scaled(apply(c, self.one(), set(), set(), self._dense), c.powers, c.factors[0].weight) for c in chains]
            nodes[key] = terms[0] if len(terms) == 1 else self.add_node("add", terms, self._union(terms))
        return Value(value.dims, nodes, pure=True)

    def _union(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(d for n in sorted(nodes, key=lambda n: -len(self.of(n))) for d in self.of(n)))

    def _dense(self, factor: Factor, x: str, over: Sequence[str], index: Sequence[str], dims: frozenset[int]) -> str:
        """The node that applies one weight; its second use may be transposed."""
        own = factor.weight
        parameter = next(p for p, names in self.parts.items() if own in names)
        used = tuple(leaf for o in sorted(dims) for leaf in factor.leaves[o] if leaf in over)
        rest = [leaf for o, leaves in enumerate(factor.leaves) for leaf in leaves if not (o in dims and leaf in over)]
        batch = tuple(leaf for leaf in rest if leaf in index)
        made = tuple(leaf for leaf in rest if leaf not in index)
        transposed = False
        if own not in self.weights:
            init, frozen = self.inits.get(parameter, "gaussian"), parameter in self.trials.base.frozen
            self.weights[own] = Weight(
                own, made, used, batch, init, not frozen, part_of=parameter if own != parameter else "", slices=self.slices.get(own, ())
            )
            self.roles[own] = dims
        elif ((known := self.weights[own]) and (known.out, known.inn) != (made, used)) or (dims != self.roles[own] and made == used):
            if (known.inn, known.out) != (made, used):
                raise Unfollowable(
                    f"the parameter `{own}` is used with two shapes: ({', '.join(known.out)}) x ({', '.join(known.inn)}) "
                    f"and ({', '.join(made)}) x ({', '.join(used)})"
                )
            transposed = True
            x = self._free(x, OUTPUT, own)
        missing = [d for d in used if d not in self.of(x) and self.nodes[x].kind != "token"]
        if missing:
            raise Unfollowable(f"the parameter `{own}` is contracted over a dimension along which its argument is constant")
        kept = tuple(d for d in self.of(x) if d not in used)
        node = self.add_node("dense", (x,), (*kept, *batch, *made), name=own, weight=own, transposed=transposed, over=used)
        if transposed:
            self._produced[node] = x
        return node

    # -- multipliers
    def _scaled(self, node: str, powers: Powers, place: str) -> str:
        if not powers:
            return node
        free = self._produced.get(node)
        if free is not None:
            self.own[free] = self.own.get(free, Powers()) * powers
            return node
        made = self.add_node("scale", (node,), self.of(node), place=place, power=powers, at_base=Powers())
        return made

    def _free(self, node: str, kind: str, place: str) -> str:
        """A multiplier that is to be derived, in place of those in the code just before it."""
        own = Powers()
        while self.nodes[node].op == "scale" and self.nodes[node].power is not None:
            own = own * (self.nodes[node].power or Powers())
            node = self.nodes[node].args[0]
        name = f"{place}.logits" if kind == LOGITS else f"{place}.multiplier"
        made = self.add_node("scale", (node,), self.of(node), name=name.lstrip("."), power=None, kind=kind)
        self.own[made] = own
        return made

    # -- steps
    def _emit(self, step: Step) -> Value:
        dims = self.found[step.out]
        args = [self._value(a) for a in step.args]
        return getattr(self, f"_emit_{step.kind}")(step, dims, args)

    def _each(self, dims: Sequence[Dimension], args: Sequence[Value]) -> Iterator[tuple[Key, list[str]]]:
        """For every choice of segments of the result, the nodes of the arguments."""
        made = [self.data(a) for a in args]
        for key, _ in _choices(dims):
            yield key, [_pick(a.nodes, key) for a in made]

    def _entrywise(self, dims: Sequence[Dimension], args: Sequence[Value], op: str, step: Step, **more: Any) -> Value:
        nodes = {}
        for key, names in self._each(dims, args):
            nodes[key] = self.add_node(op, names, self._union(names), place=step.place, **more)
        return Value(dims, nodes, pure=all(a.pure for a in args))

    def _emit_map(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        if step.spec == "identity":
            return replace(args[0], dims=dims)
        return self._entrywise(dims, args, "map", step, kind=step.spec)

    def _emit_softmax(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        if dims[step.spec].grows:
            raise Unfollowable(f"a softmax over a dimension that grows ({dims[step.spec].extent[0]}): its entries follow no power law")
        return self._entrywise(dims, args, "softmax", step)

    def _emit_scale(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        _, powers = self.trials.monomial(step.spec, "a multiplier")
        value = args[0]
        if not powers:
            return replace(value, dims=dims)
        if value.chains:
            return Value(dims, chains={k: [c.scaled(powers) for c in cs] for k, cs in value.chains.items()}, pure=True)
        nodes = {k: self._scaled(n, powers, step.place) for k, n in value.nodes.items()}
        return Value(dims, nodes, pure=value.pure)

    def _emit_add(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        if step.spec is not None:
            args = [*args, self._constant(step.spec[1])]
        elif all(a.chains for a in args):
            return self._sum_of_parameters(dims, args)
        return self._entrywise(dims, args, "add", step) if len(args) > 1 else replace(args[0], dims=dims)

    def _constant(self, number: int | None) -> Value:
        """Constant numbers of order one: one number, or an array that may have growing dimensions."""
        return Value((), {NONE: self.one()}, pure=True)

    def _sum_of_parameters(self, dims: Sequence[Dimension], args: Sequence[Value]) -> Value:
        chains: dict[Key, list[Chain]] = {}
        for key, _ in _choices(dims):
            for a in args:
                lead = [[] for _ in range(len(dims) - len(a.dims))]
                groups = lead + [[i] for i in range(len(a.dims))]
                chains.setdefault(key, []).extend(c.rearranged(groups) for c in _pick(a.chains, key))
        return Value(dims, chains=chains, pure=True)

    def _emit_mul(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        constants = [self.lowered.kinds[a] == "const" for a in step.args]
        if any(constants):
            x = args[constants.index(False)]
            have = {id(leaf.root()) for d in x.dims for _, ls in alternatives(d) for leaf in ls if leaf.grows}
            need = {id(leaf.root()) for d in dims for _, ls in alternatives(d) for leaf in ls if leaf.grows}
            if need <= have and not x.chains:
                return replace(x, dims=dims)
        return self._entrywise(dims, args, "product", step)

    def _emit_regroup(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        groups: list[list[int]] = [[] for _ in dims]
        for left, right in step.spec:
            for j in right:
                groups[j] = list(left)
        return self._rearrange(dims, args[0], groups)

    def _emit_permute(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        return self._rearrange(dims, args[0], [[i] for i in step.spec])

    def _rearrange(self, dims: Sequence[Dimension], value: Value, groups: Sequence[Sequence[int]]) -> Value:
        chains = {k: [c.rearranged(groups) for c in cs] for k, cs in value.chains.items()}
        return Value(dims, {} if chains else value.nodes, chains, value.pure)

    def _emit_slice(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        at, start, stop = step.spec
        old, new = args[0].dims[at], dims[at]
        if not (old.grows or old.root().segments or any(f.segments for f in old.factors())):
            return replace(args[0], dims=dims)
        inside = {
            key: next((k for k, s, e in pieces(new) if _plus(s, start) == p and _plus(e, start) == q), None)
            for key, p, q in pieces(old)
            if all(a <= x for a, x in zip(start, p, strict=True)) and all(y <= b for b, y in zip(stop, q, strict=True))
        }
        take = lambda found: {
            k - old_key | new_key: v
            for k, v in found.items()
            for old_key, new_key in inside.items()
            if old_key <= k and new_key is not None
        }  # noqa: E501, E731
        return Value(dims, take(args[0].nodes) if not args[0].chains else {}, take(args[0].chains), args[0].pure)

    def _emit_cat(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        at, args = step.spec, [self.data(a) for a in args]
        if not dims[at].grows:
            names = [[_pick(a.nodes, key) for a in args] for key, _ in _choices(dims)]
            keys = [key for key, _ in _choices(dims)]
            joined = {
                k: self.add_node("add", n, self._union(n), place=step.place) if len(n) > 1 else n[0]
                for k, n in zip(keys, names, strict=True)
            }
            return Value(dims, joined, pure=all(a.pure for a in args))
        nodes, offset = {}, tuple(0 for _ in dims[at].extent)
        targets = {(s, e): k for k, s, e in pieces(dims[at])}
        for a in args:
            for key, start, stop in pieces(a.dims[at]):
                new = targets[_plus(offset, start), _plus(offset, stop)]
                nodes |= {k - key | new: n for k, n in a.nodes.items() if key <= k}
            offset = _plus(offset, a.dims[at].extent)
        return Value(dims, nodes, pure=all(a.pure for a in args))

    def _emit_lookup(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        table = args[0]
        nodes = {}
        for key, chains in table.chains.items():
            vocab = [ls for k, ls in alternatives(table.dims[0]) if k <= key][0]
            over = self.names(vocab)
            chain = chains[0]
            if step.spec == "token":
                token = next((n.name for n in self.nodes.values() if n.kind == "token" and n.dims == over), None)
                token = token or self.add_node("input", (), over, name="tokens", kind="token")
                inn = chain.own([0], {0: over})
                nodes[key] = apply(chain, token, inn, set(), self._dense)
            elif over:
                raise Unfollowable("rows are looked up by constant numbers along a dimension that grows")
            else:
                nodes[key] = apply(chain, self.one(), set(), set(), self._dense)
            nodes[key] = self._scaled(nodes[key], chain.powers, step.place)
        return Value(dims, nodes)

    def _emit_norm(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        kind, over = step.spec
        nodes = {}
        for key, (x,) in self._each(dims, args):
            leaves = {n for i in over for k, ls in alternatives(dims[i]) if k <= key for n in self.names(ls)}
            nodes[key] = self.add_node(
                "norm", (x,), self.of(x), place=step.place, kind=kind, over=tuple(d for d in self.of(x) if d in leaves)
            )
        return Value(dims, nodes, pure=args[0].pure)

    def _emit_sum(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        value = self.data(args[0])
        gathered: dict[Key, list[str]] = {}
        for key, x in value.nodes.items():
            leaves, gone = [], NONE
            for i in step.spec:
                for k, ls in alternatives(value.dims[i]):
                    if k <= key:
                        leaves += self.names(ls)
                        gone |= k
            if absent := [n for n in leaves if n not in self.of(x)]:
                raise Unfollowable(f"a sum over `{absent[0]}`, along which the tensor is constant")
            rest = tuple(d for d in self.of(x) if d not in leaves)
            y = self.add_node("sum", (x,), rest, place=step.place, over=tuple(leaves)) if leaves else x
            gathered.setdefault(key - gone, []).append(y)
        return Value(dims, self._added(gathered, step), pure=value.pure)

    def _added(self, gathered: Mapping[Key, list[str]], step: Step) -> dict[Key, str]:
        return {k: ns[0] if len(ns) == 1 else self.add_node("add", ns, self._union(ns), place=step.place) for k, ns in gathered.items()}

    def _emit_move(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        return Value(dims, self.data(args[0]).nodes, pure=args[0].pure)

    # -- contractions
    def _emit_contract(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        first, second, out = step.spec
        if args[0].chains and args[1].chains:
            return self._chain(step, dims, args)
        gathered: dict[Key, list[str]] = {}
        for combo in product(*(_labelled(a, labels) for a, labels in zip(args, (first, second), strict=True))):
            (key_x, x), (key_y, y) = combo
            if any(dict(key_x).get(c, i) != i for c, i in key_y):
                continue
            key = key_x | key_y
            kept = frozenset(item for d in dims for k, _ in alternatives(d) if k <= key for item in k)
            leaves = [self._under(a, labels, key) for a, labels in zip(args, (first, second), strict=True)]
            gathered.setdefault(kept, []).extend(self._terms(step, (x, y), leaves, args))
        return Value(dims, self._added(gathered, step), pure=all(a.pure for a in args))

    def _under(self, value: Value, labels: str, key: Key) -> dict[str, tuple[str, ...]]:
        """Leaves of every label of an operand."""
        return {label: next(self.names(ls) for k, ls in alternatives(d) if k <= key) for label, d in zip(labels, value.dims, strict=True)}

    def _terms(self, step: Step, operands: tuple[Any, Any], leaves: list[dict[str, tuple[str, ...]]], args: Sequence[Value]) -> list[str]:
        first, second, out = step.spec
        summed = [{n for label, ls in leaves[i].items() if label not in out for n in ls} for i in (0, 1)]
        if args[0].chains or args[1].chains:
            at = 0 if args[0].chains else 1
            x = operands[1 - at]
            labels = (first, second)[at]
            terms = []
            for chain in operands[at]:
                dims = [i for i, label in enumerate(labels) if label not in out]
                inn = chain.own(dims, {i: leaves[at][labels[i]] for i in dims})
                shared = {n for label in labels if label in out and label in (first, second)[1 - at] for n in leaves[at][label]}
                extra = [n for n in summed[1 - at] if n not in {leaf for _, _, leaf in inn} and n in self.of(x)]
                y = (
                    self.add_node("sum", (x,), tuple(d for d in self.of(x) if d not in extra), place=step.place, over=tuple(extra))
                    if extra
                    else x
                )
                terms.append(self._scaled(apply(chain, y, inn, shared, self._dense), chain.powers, step.place))
            return terms
        return [self._inner(step, operands, summed[0] | summed[1], args)]

    def _inner(self, step: Step, operands: tuple[str, str], over: set[str], args: Sequence[Value]) -> str:
        """Two activations contracted; over a dimension that grows with a multiplier that is to be derived."""
        x, y = operands
        both = [n for n in over if n in self.of(x) and n in self.of(y)]
        for a, node in zip(args, operands, strict=True):
            if a.pure and both and len(self.of(node)) > len(both):
                raise Unfollowable("a weight is computed from parameters by a function that is not linear, then contracted")
        if any(n not in self.of(x) and n not in self.of(y) for n in over):
            raise Unfollowable("two activations are contracted over a dimension along which both are constant")
        if both:
            x, y = self._free(x, LOGITS, step.place), self._stripped(y)
            self.own[x] = self.own[x] * self._taken
        dims = tuple(d for d in self._union([x, y]) if d not in over)
        made = self.add_node("product", (x, y), dims, place=step.place, over=tuple(sorted(over)))
        if both:
            self._produced[made] = x
        return made

    def _stripped(self, node: str) -> str:
        self._taken = Powers()
        while self.nodes[node].op == "scale" and (power := self.nodes[node].power) is not None:
            self._taken = self._taken * power
            node = self.nodes[node].args[0]
        return node

    def _chain(self, step: Step, dims: Sequence[Dimension], args: Sequence[Value]) -> Value:
        """A product of parameters: kept as a chain, to be applied to what it meets."""
        first, second, out = step.spec
        mine, its = ([i for i, label in enumerate(labels) if label not in out] for labels in (first, second))
        find = lambda labels, label: labels.index(label) if label in labels else None  # noqa: E731
        kept = [(find(first, label), find(second, label)) for label in out]
        if any(a is not None and b is not None for a, b in kept):
            raise Unfollowable("a batch of products of parameters is not known")
        chains: dict[Key, list[Chain]] = {}
        for key, _ in _choices(dims):
            chains[key] = [a.times(b, mine, its, kept) for a in _pick(args[0].chains, key) for b in _pick(args[1].chains, key)]
        return Value(dims, chains=chains, pure=True)


def _choices(dims: Sequence[Dimension]) -> list[tuple[Key, tuple[Dimension, ...]]]:
    """Every consistent choice of segments for a whole tensor."""
    found: list[tuple[Key, tuple[Dimension, ...]]] = [(NONE, ())]
    for d in dims:
        found = [
            (k | key, ls + leaves) for k, ls in found for key, leaves in alternatives(d) if all(dict(k).get(c, i) == i for c, i in key)
        ]
    return list({k: (k, ls) for k, ls in found}.values())


def _pick(found: Mapping[Key, Any], key: Key) -> Any:
    """The entry whose own choices agree with ``key``."""
    return next(v for k, v in found.items() if k <= key)


def _labelled(value: Value, labels: str) -> list[tuple[Key, Any]]:
    return list((value.chains or value.nodes).items())
