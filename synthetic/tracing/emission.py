"""Steps with named dimensions to the nodes of an `Architecture`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from .axes import Dimension, Unfollowable
from .lowering import Lowered
from .nodes import Emitted, Nodes
from .parameters import Chain, apply
from .steps import Step
from .values import NONE, Key, Value, agree, alternatives, choices, pick, pieces, plus


class Emitter:
    """Makes nodes step by step."""

    def __init__(self, lowered: Lowered, dims: Mapping[int, Sequence[Dimension]], inits: Mapping[str, str]):
        self.lowered, self.found, self.net = lowered, dims, Nodes(lowered.trials, inits)
        self._values: dict[int, Value] = {}

    def run(self, steps: Sequence[Step], output: int) -> Emitted:
        """All steps, to the output.

        Raises:
            ValueError: where a step cannot be followed; it is named with its place.
        """
        for step in steps:
            try:
                self._values[step.out] = self._emit(step)
            except ValueError as error:
                raise type(error)(f"`{step.place or 'the module'}`: {error}") from None
            except (IndexError, KeyError, StopIteration):
                raise ValueError(f"`{step.place or 'the module'}`: the dimensions of a {step.kind} cannot be followed") from None
        return self.net.finish(list(self.data(self._value(output)).nodes.values()))

    # -- values
    def _value(self, number: int) -> Value:
        if number not in self._values:
            self._values[number] = self._source(number)
        return self._values[number]

    def _source(self, number: int) -> Value:
        dims = self.found[number]
        kind = self.lowered.kinds[number]
        if kind == "param":
            return self.net.parameter(self.net.trials.base.parameters[number], dims)
        name = "input" if kind == "data" else "constant"
        nodes = {k: self.net.add_node("input", (), self.net.names(ls), name=name, kind="real") for k, ls in choices(dims)}
        return Value(dims, nodes, pure=kind != "data")

    def data(self, value: Value) -> Value:
        """A value as nodes; parameters act on the constant 1."""
        if value.nodes or not value.chains:
            return replace(value, chains={})
        nodes = value.nodes
        for key, chains in value.chains.items():
            terms = [self.net.scaled(apply(c, self.net.one(), set(), set(), self.net.dense), c.powers, c.factors[0].weight) for c in chains]
            nodes[key] = terms[0] if len(terms) == 1 else self.net.add_node("add", terms, self.net.union(terms))
        return Value(value.dims, nodes, pure=True)

    # -- steps
    def _emit(self, step: Step) -> Value:
        dims = self.found[step.out]
        args = [self._value(a) for a in step.args]
        return getattr(self, f"_emit_{step.kind}")(step, dims, args)

    def _each(self, dims: Sequence[Dimension], args: Sequence[Value]) -> Iterator[tuple[Key, list[str]]]:
        """For every choice of segments of the result, the nodes of the arguments."""
        made = [self.data(a) for a in args]
        for key, _ in choices(dims):
            yield key, [pick(a.nodes, key) for a in made]

    def _entrywise(self, dims: Sequence[Dimension], args: Sequence[Value], op: str, step: Step, **more: Any) -> Value:
        nodes = {}
        for key, names in self._each(dims, args):
            nodes[key] = self.net.add_node(op, names, self.net.union(names), place=step.place, **more)
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
        _, powers = self.net.trials.monomial(step.spec, "a multiplier")
        value = args[0]
        if not powers:
            return replace(value, dims=dims)
        if value.chains:
            return Value(dims, chains={k: [c.scaled(powers) for c in cs] for k, cs in value.chains.items()}, pure=True)
        nodes = {k: self.net.scaled(n, powers, step.place) for k, n in value.nodes.items()}
        return Value(dims, nodes, pure=value.pure)

    def _emit_add(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        if step.spec == "constant":
            args = [*args, Value((), {NONE: self.net.one()}, pure=True)]
        elif all(a.chains for a in args):
            return self._sum_of_parameters(dims, args)
        return self._entrywise(dims, args, "add", step) if len(args) > 1 else replace(args[0], dims=dims)

    def _sum_of_parameters(self, dims: Sequence[Dimension], args: Sequence[Value]) -> Value:
        chains: dict[Key, list[Chain]] = {}
        for key, _ in choices(dims):
            for a in args:
                lead = [[] for _ in range(len(dims) - len(a.dims))]
                groups = lead + [[i] for i in range(len(a.dims))]
                chains.setdefault(key, []).extend(c.rearranged(groups) for c in pick(a.chains, key))
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
        at, start, _ = step.spec
        old, new, value = args[0].dims[at], dims[at], args[0]
        if not (old.grows or any(f.segments for f in old.factors())):
            return replace(value, dims=dims)
        targets = {(plus(s, start), plus(e, start)): key for key, s, e in pieces(new)}
        inside = {key: targets[p, q] for key, p, q in pieces(old) if (p, q) in targets}

        def taken(found: Mapping[Key, Any]) -> dict[Key, Any]:
            return {k - old_key | new_key: v for k, v in found.items() for old_key, new_key in inside.items() if old_key <= k}

        return Value(dims, taken(value.nodes) if not value.chains else {}, taken(value.chains), value.pure)

    def _emit_cat(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        at, args = step.spec, [self.data(a) for a in args]
        pure = all(a.pure for a in args)
        if not dims[at].grows:
            return Value(dims, self._added({key: [pick(a.nodes, key) for a in args] for key, _ in choices(dims)}, step), pure=pure)
        nodes, offset = {}, tuple(0 for _ in dims[at].extent)
        targets = {(s, e): k for k, s, e in pieces(dims[at])}
        for a in args:
            for key, start, stop in pieces(a.dims[at]):
                new = targets[plus(offset, start), plus(offset, stop)]
                nodes |= {k - key | new: n for k, n in a.nodes.items() if key <= k}
            offset = plus(offset, a.dims[at].extent)
        return Value(dims, nodes, pure=pure)

    def _emit_lookup(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        table = args[0]
        nodes = {}
        for key, chains in table.chains.items():
            over = self.net.names(next(ls for k, ls in alternatives(table.dims[0]) if k <= key))
            chain = chains[0]
            if step.spec == "token":
                token = next((n.name for n in self.net.nodes.values() if n.kind == "token" and n.dims == over), None)
                token = token or self.net.add_node("input", (), over, name="tokens", kind="token")
                inn = chain.own([0], {0: over})
                nodes[key] = apply(chain, token, inn, set(), self.net.dense)
            elif over:
                raise Unfollowable("rows are looked up by constant numbers along a dimension that grows")
            else:
                nodes[key] = apply(chain, self.net.one(), set(), set(), self.net.dense)
            nodes[key] = self.net.scaled(nodes[key], chain.powers, step.place)
        return Value(dims, nodes)

    def _emit_norm(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        kind, over = step.spec
        nodes = {}
        for key, (x,) in self._each(dims, args):
            leaves = {n for i in over for k, ls in alternatives(dims[i]) if k <= key for n in self.net.names(ls)}
            over_here = tuple(d for d in self.net.of(x) if d in leaves)
            nodes[key] = self.net.add_node("norm", (x,), self.net.of(x), place=step.place, kind=kind, over=over_here)
        return Value(dims, nodes, pure=args[0].pure)

    def _emit_sum(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        value = self.data(args[0])
        gathered: dict[Key, list[str]] = {}
        for key, x in value.nodes.items():
            leaves, gone = [], NONE
            for i in step.spec:
                for k, ls in alternatives(value.dims[i]):
                    if k <= key:
                        leaves += self.net.names(ls)
                        gone |= k
            if absent := [n for n in leaves if n not in self.net.of(x)]:
                raise Unfollowable(f"a sum over `{absent[0]}`, along which the tensor is constant")
            rest = tuple(d for d in self.net.of(x) if d not in leaves)
            y = self.net.add_node("sum", (x,), rest, place=step.place, over=tuple(leaves)) if leaves else x
            gathered.setdefault(key - gone, []).append(y)
        return Value(dims, self._added(gathered, step), pure=value.pure)

    def _added(self, gathered: Mapping[Key, list[str]], step: Step) -> dict[Key, str]:
        return {
            k: ns[0] if len(ns) == 1 else self.net.add_node("add", ns, self.net.union(ns), place=step.place) for k, ns in gathered.items()
        }

    def _emit_move(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        return Value(dims, self.data(args[0]).nodes, pure=args[0].pure)

    # -- contractions
    def _emit_contract(self, step: Step, dims: Sequence[Dimension], args: list[Value]) -> Value:
        first, second, _ = step.spec
        if args[0].chains and args[1].chains:
            return self._chain(step, dims, args)
        gathered: dict[Key, list[str]] = {}
        for (key_x, x), (key_y, y) in product(*((a.chains or a.nodes).items() for a in args)):
            if not agree(key_x, key_y):
                continue
            key = key_x | key_y
            kept = frozenset(item for d in dims for k, _ in alternatives(d) if k <= key for item in k)
            leaves = [self._under(a, labels, key) for a, labels in zip(args, (first, second), strict=True)]
            gathered.setdefault(kept, []).extend(self._terms(step, (x, y), leaves, args))
        if not (args[0].chains or args[1].chains) and any(len(names) > 1 for names in gathered.values()):
            raise Unfollowable(
                "two activations are contracted over a dimension that is used in slices: their sums would need one multiplier"
            )
        return Value(dims, self._added(gathered, step), pure=all(a.pure for a in args))

    def _under(self, value: Value, labels: str, key: Key) -> dict[str, tuple[str, ...]]:
        """Leaves of every label of an operand."""
        return {
            label: next(self.net.names(ls) for k, ls in alternatives(d) if k <= key) for label, d in zip(labels, value.dims, strict=True)
        }

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
                extra = [n for n in summed[1 - at] if n not in {leaf for _, _, leaf in inn} and n in self.net.of(x)]
                y = (
                    self.net.add_node("sum", (x,), tuple(d for d in self.net.of(x) if d not in extra), place=step.place, over=tuple(extra))
                    if extra
                    else x
                )
                terms.append(self.net.scaled(apply(chain, y, inn, shared, self.net.dense), chain.powers, step.place))
            return terms
        over = summed[0] | summed[1]
        if over and "const" in (self.lowered.kinds[a] for a in step.args):
            raise Unfollowable("activations are contracted with constant numbers along a dimension that grows")
        for a, node in zip(args, operands, strict=True):
            if a.pure and len(self.net.of(node)) > len(over.intersection(self.net.of(node))) > 0:
                raise Unfollowable("a weight is computed from parameters by a function that is not linear, then contracted")
        return [self.net.inner(*operands, over, step.place)]

    def _chain(self, step: Step, dims: Sequence[Dimension], args: Sequence[Value]) -> Value:
        """A product of parameters: kept as a chain, to be applied to what it meets."""
        first, second, out = step.spec
        mine, its = ([i for i, label in enumerate(labels) if label not in out] for labels in (first, second))
        find = lambda labels, label: labels.index(label) if label in labels else None  # noqa: E731
        kept = [(find(first, label), find(second, label)) for label in out]
        if any(a is not None and b is not None for a, b in kept):
            raise Unfollowable("a batch of products of parameters is not known")
        chains: dict[Key, list[Chain]] = {}
        for key, _ in choices(dims):
            chains[key] = [a.times(b, mine, its, kept) for a in pick(args[0].chains, key) for b in pick(args[1].chains, key)]
        return Value(dims, chains=chains, pure=True)
