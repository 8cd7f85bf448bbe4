"""Repeated blocks: copies of one block are derived once; a number of blocks that grows becomes a stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...theory.architecture import Node, Weight
from ...theory.scales import Dim, Powers
from .emission import Emitted

RESIDUAL = "residual"


@dataclass(frozen=True)
class Repeat:
    """``copies`` isomorphic runs of ``period`` nodes from ``start``; ``entries``: what the first reads for what in the last run."""

    start: int
    period: int
    copies: int
    entries: Mapping[int, str]  # position in the block whose copy in the previous block is read -> what the first block reads


def fold(found: Emitted, layers: str = "") -> Emitted:
    """Keep one of every run of repeated blocks; where ``layers`` is the axis that counts them, as a stack over it.

    Raises:
        ValueError: if the blocks that ``layers`` counts are not residual.
    """
    found = replace(found, nodes=_sources_first(found.nodes))
    stacked = not layers
    while repeat := _find(found, wanted=layers if not stacked else ""):
        if not stacked:
            found, stacked = _stack(found, repeat, layers), True
        else:
            found = _collapse(found, repeat)
    if not stacked:
        raise ValueError(f"the axis `{layers}` counts blocks, but no run of equal blocks was found in the graph")
    return found


def _sources_first(nodes: Sequence[Node]) -> tuple[Node, ...]:
    sources = [n for n in nodes if not n.args]
    return (*sources, *(n for n in nodes if n.args))


def _signatures(found: Emitted) -> list[Any]:
    """Nodes without names: what they do, to shapes that grow how."""
    powers = lambda dims: tuple(found.dims[d].powers for d in dims)  # noqa: E731
    signs = []
    for n in found.nodes:
        w = found.weights.get(n.weight)
        own = (powers(w.out), powers(w.inn), powers(w.index), w.init, w.trained, n.transposed) if w else ()
        signs.append((n.op, n.kind, len(n.args), powers(n.dims), powers(n.over), n.power, own))
    return signs


def _find(found: Emitted, wanted: str = "") -> Repeat | None:
    """The run of repeated blocks that covers most nodes."""
    table: dict[Any, int] = {}
    signs = np.array([table.setdefault(s, len(table)) for s in _signatures(found)])
    candidates = []
    for period in range(1, len(signs) // 2 + 1):
        equal = signs[period:] == signs[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate(([0], equal.astype(int), [0]))))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            if (copies := 1 + (stop - start) // period) > 1:
                candidates.append((-int(copies) * period, period, int(start), int(stop)))
    for _, period, start, stop in sorted(candidates):
        for shift in range(min(period, stop - start)):
            copies = 1 + (stop - start - shift) // period
            repeat = _verified(found, start + shift, period, int(copies))
            if repeat is not None and (not wanted or _is_residual(found, repeat)):
                return repeat
    return None


def _verified(found: Emitted, start: int, period: int, copies: int) -> Repeat | None:
    """The run, if its blocks are copies of each other with weights of their own."""
    nodes, at = found.nodes, {n.name: i for i, n in enumerate(found.nodes)}
    entries: dict[int, str] = {}
    used: set[str] = set()
    own = [n.weight for n in nodes[start : start + period] if n.weight]
    if copies < 2 or not own:
        return None
    stop = start + copies * period
    for i in range(start, stop - period):
        a, b = nodes[i], nodes[i + period]
        if b.weight and (b.weight in used or b.weight in own) and nodes[i].weight == b.weight:
            return None
        used.add(a.weight)
        for x, y in zip(a.args, b.args, strict=True):
            p, q = at[x], at[y]
            if q < start:
                if x != y:
                    return None
            elif q < start + period and i < start + period and p < start:
                if entries.setdefault(q - start, x) != x:
                    return None
            elif q != p + period:
                return None
    if not entries or any(start <= at[x] < stop - period for n in nodes[stop:] for x in n.args):
        return None
    repeat = Repeat(start, period, copies, entries)
    if _renaming(found, start, period, copies) is None or (
        _shares(found, nodes[start : start + period]) and not _is_residual(found, repeat)
    ):
        return None
    return repeat


def _shares(found: Emitted, block: Sequence[Node]) -> bool:
    """Whether a weight is applied along a growing dimension that it has not: what its sum over that adds differs from block to block."""
    at = {n.name: n for n in found.nodes}
    for n in block:
        if n.weight and at[n.args[0]].op != "one":
            kept = set(n.dims) & set(at[n.args[0]].dims) - set(found.weights[n.weight].dims)
            if any(found.dims[d].powers for d in kept):
                return True
    return False


def _renaming(found: Emitted, start: int, period: int, copies: int) -> dict[str, str] | None:
    """Nodes, dimensions and weights of the last block as called in the first; None if that is no bijection."""
    last = start + (copies - 1) * period
    names: dict[str, str] = {}
    for a, b in zip(found.nodes[start : start + period], found.nodes[last : last + period], strict=True):
        pairs = [(b.name, a.name), *zip(b.dims, a.dims, strict=True)]
        if b.weight:
            v, w = found.weights[b.weight], found.weights[a.weight]
            pairs += [(b.weight, a.weight), *zip(v.dims, w.dims, strict=True)]
        for old, new in pairs:
            if names.setdefault(old, new) != new:
                return None
    return names


def _rename(node: Node, names: Mapping[str, str]) -> Node:
    change = lambda values: tuple(names.get(v, v) for v in values)  # noqa: E731
    return replace(node, args=change(node.args), dims=change(node.dims), over=change(node.over))


def _collapse(found: Emitted, repeat: Repeat) -> Emitted:
    """One block in place of all: what follows reads the first block as it read the last."""
    first, stop = repeat.start + repeat.period, repeat.start + repeat.copies * repeat.period
    names = _renaming(found, repeat.start, repeat.period, repeat.copies) or {}
    after = tuple(_rename(n, names) for n in found.nodes[stop:])
    weights = _with_copies(found, repeat)
    changed = {w: _renamed_weight(weights[w], names) for n in after if (w := n.weight) in weights}
    gone = {n.weight for n in found.nodes[first:stop] if n.weight}
    return replace(found, nodes=found.nodes[:first] + after, weights={k: v for k, v in {**weights, **changed}.items() if k not in gone})


def _renamed_weight(weight: Weight, names: Mapping[str, str]) -> Weight:
    change = lambda values: tuple(names.get(v, v) for v in values)  # noqa: E731
    return replace(weight, out=change(weight.out), inn=change(weight.inn), index=change(weight.index))


def _with_copies(found: Emitted, repeat: Repeat) -> dict[str, Weight]:
    """All weights, those of the first block with the names of their copies."""
    weights = dict(found.weights)
    for i in range(repeat.start, repeat.start + repeat.period):
        if name := found.nodes[i].weight:
            same = [found.nodes[i + j * repeat.period].weight for j in range(repeat.copies)]
            every = [c for w in same for c in (weights[w].copies or (w,))]
            weights[name] = replace(weights[name], copies=tuple(dict.fromkeys(every)))
    return weights


# -- a growing number of blocks
def _is_residual(found: Emitted, repeat: Repeat) -> bool:
    """Whether a block adds to the one tensor that it reads."""
    if len(repeat.entries) != 1:
        return False
    (out, entry), block = *repeat.entries.items(), found.nodes[repeat.start : repeat.start + repeat.period]
    return _stream(block, entry, block[out].name) is not None


def _stream(block: Sequence[Node], entry: str, out: str) -> list[str] | None:
    """The sums along which the stream goes through a block, to its end."""
    stream = [entry]
    for node in block:
        if node.op == "add" and stream[-1] in node.args:
            stream.append(node.name)
    return stream if stream[-1] == out and len(stream) > 1 else None


def _stack(found: Emitted, repeat: Repeat, layers: str) -> Emitted:
    """The block as a stack over ``layers``; every branch gets a multiplier that is to be derived, unless the code has one."""
    (out, entry), begin, end = *repeat.entries.items(), repeat.start, repeat.start + repeat.period
    block, stop = found.nodes[begin:end], repeat.start + repeat.copies * repeat.period
    stream = _stream(block, entry, block[out].name) or []
    given = any(n.power is not None and layers in n.power for n in block)
    dim, dims = f"{layers}_layer", dict(found.dims)
    dims[dim] = Dim(dim, Powers({layers: 1}))
    carried = next(n for n in found.nodes if n.name == entry)
    carry = Node("stream", "carry", (entry,), carried.dims, over=(dim,), stack=dim)
    weights = _with_copies(found, repeat)
    nodes, layered, branches = [carry], set(), []
    for node in block:
        node = replace(node, args=tuple("stream" if a == entry else a for a in node.args), stack=dim)
        if node.weight:
            weights[node.weight] = replace(weights[node.weight], index=(*weights[node.weight].index, dim))
        if node.weight or any(a in layered for a in node.args):
            layered.add(node.name)
            node = replace(node, dims=(*node.dims, dim))
        if node.name in stream:
            node = _on_branches(node, stream, given, nodes, layered, branches)
        nodes.append(node)
    total = Node("branches", "add", tuple(branches), (*carried.dims, dim), stack=dim)
    collect = Node("collected", "collect", ("stream", "branches"), carried.dims, over=(dim,))
    names = {**(_renaming(found, begin, repeat.period, repeat.copies) or {})}
    last = found.nodes[stop - repeat.period + out].name
    names = {**names, last: collect.name}
    after = tuple(_rename(n, names) for n in found.nodes[stop:])
    gone = {n.weight for n in found.nodes[end:stop] if n.weight}
    kept = (*found.nodes[:begin], *(n for n in nodes if n.name != block[out].name), total, collect, *after)
    return replace(found, nodes=kept, weights={k: v for k, v in weights.items() if k not in gone}, dims=dims)


def _on_branches(node: Node, stream: Sequence[str], given: bool, nodes: list[Node], layered: set[str], branches: list[str]) -> Node:
    """A sum along the stream, with a multiplier on what is added."""
    args = []
    for arg in node.args:
        if arg in ("stream", *stream):
            args.append(arg)
            continue
        if not given:
            source = next(n for n in nodes if n.name == arg)
            name = f"{arg}.{RESIDUAL}"
            nodes.append(Node(name, "scale", (arg,), source.dims, power=None, kind=RESIDUAL, at_base=Powers(), stack=source.stack))
            layered.add(name)
            arg = name
        args.append(arg)
        branches.append(arg)
    return replace(node, args=tuple(args))
