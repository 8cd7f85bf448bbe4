"""Rules for operations that move entries: shapes, slices, concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .axes import Unfollowable
from .lowering import ALONG, MOVES, SAME, Lowering, rule
from .record import Call
from .steps import Shape, group, positions


@rule(*SAME)
def _same(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    for out in call.outs[:1]:
        self.same(out, x)


@rule(*MOVES)
def _move(self: Lowering, call: Call) -> None:
    self.step("move", [self.of(call.args[0])], out=call.outs[0])


# -- shapes
@rule(*ALONG)
def _along(self: Lowering, call: Call) -> None:
    """What mixes or reorders entries of one dimension changes nothing that scales only where that is fixed."""
    x = self.of(call.args[0])
    dims = self.arg(ALONG[call.op], "dims" if call.op in ("roll", "flip") else "dim", -1)
    for d in positions(dims, self.rank(x)):
        if len(set(self.extents[x][d])) > 1:
            raise Unfollowable("entries are moved along a dimension that grows")
    self.step("move", [x], out=call.outs[0])


@rule("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias", "flatten", "unflatten", "_reshape_copy")
def _view(self: Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    if self.extents[x] == self.extents[out]:
        return self.same(out, x)
    self.step("regroup", [x], group(self.extents[x], self.extents[out]), out=out)
    self.keep_fact(x, out)
    return None


@rule("expand", "expand_as", "broadcast_to")
def _expand(self: Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    old, new = self.extents[x], self.extents[out]
    if old == new:
        return self.same(out, x)
    lead = len(new) - len(old)
    pairs = [([j - lead] if j >= lead and old[j - lead] == new[j] else [], [j]) for j in range(len(new))]
    self.step("regroup", [x], pairs, out=out)
    self.keep_fact(x, out)
    return None


@rule("repeat")
def _repeat(self: Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    old, new = self.extents[x], self.extents[out]
    lead, trials = len(new) - len(old), range(len(self.calls))
    wide: list[Any] = []
    pairs: list[tuple[list[int], list[int]]] = []
    for j, size in enumerate(new):
        inner = old[j - lead] if j >= lead else tuple(1 for _ in trials)
        times = tuple(a // b for a, b in zip(size, inner, strict=True))
        pairs += [([], [len(wide)]), ([j - lead] if j >= lead else [], [len(wide) + 1])]
        wide += [times, inner]
    middle = self.step("regroup", [x], pairs, shape=tuple(wide))
    self.step("regroup", [middle], group(tuple(wide), new), out=out)


@rule("permute", "transpose", "t", "movedim", "swapaxes", "numpy_T", "mT", "adjoint")
def _permute(self: Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    rank = self.rank(x)
    order = list(range(rank))
    if call.op == "permute":
        order = [d % rank for d in call.args[1]]
    elif rank > 1:
        a, b = (call.args[1] % rank, call.args[2] % rank) if call.op in ("transpose", "swapaxes") else (rank - 2, rank - 1)
        order[a], order[b] = b, a
    self.step("permute", [x], tuple(order), out=out)


# -- slices
def _take(self: Lowering, x: int, dim: int, start: tuple[int, ...], stop: tuple[int, ...], out: int | None = None) -> int:
    shape = self.extents[x]
    if not any(start) and stop == shape[dim]:
        if out is not None:
            self.same(out, x)
        return x
    size = tuple(b - a for a, b in zip(start, stop, strict=True))
    out = self.step("slice", [x], (dim, start, stop), out=out, shape=(*shape[:dim], size, *shape[dim + 1 :]))
    self.slices[out] = (x, dim, start, stop)
    return out


@rule("slice", "narrow")
def _slice(self: Lowering, call: Call) -> None:
    x, out, dim = self.of(call.args[0]), call.outs[0], self.arg(1, "dim", 0) % self.rank(self.of(call.args[0]))
    if any(step != 1 for step in self.every(4, "step", 1)):
        self.step("move", [x], out=out)
        return
    size = self.extents[x][dim]
    starts = [s or 0 for s in self.every(2, "start")]
    start = tuple(min(max(s + n if s < 0 else s, 0), n) for s, n in zip(starts, size, strict=True))
    kept = self.extents[out][dim]
    _take(self, x, dim, start, tuple(a + b for a, b in zip(start, kept, strict=True)), out)


@rule("select")
def _select(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = call.args[1] % self.rank(x)
    size = self.extents[x][dim]
    start = tuple(i % n for i, n in zip(self.every(2, "index"), size, strict=True))
    _pick(self, x, dim, start, call.outs[0])


def _pick(self: Lowering, x: int, dim: int, start: tuple[int, ...], out: int) -> None:
    one = _take(self, x, dim, start, tuple(s + 1 for s in start))
    self.step("regroup", [one], group(self.extents[one], self.extents[out]), out=out)


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_chunk", "chunk", "tensor_split", "unsafe_split_with_sizes")
def _split(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = self.arg(2, "dim", 0) % self.rank(x)
    start = tuple(0 for _ in self.calls)
    for out in call.outs:
        stop = tuple(a + b for a, b in zip(start, self.extents[out][dim], strict=True))
        _take(self, x, dim, start, stop, out)
        start = stop


@rule("unbind")
def _unbind(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = self.arg(1, "dim", 0) % self.rank(x)
    for i, out in enumerate(call.outs):
        _pick(self, x, dim, tuple(i for _ in self.calls), out)


@rule("glu")
def _glu(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = self.arg(1, "dim", -1) % self.rank(x)
    size = self.extents[x][dim]
    half = tuple(n // 2 for n in size)
    value, gate = _take(self, x, dim, tuple(0 for _ in size), half), _take(self, x, dim, half, size)
    self.step("mul", [value, self.step("map", [gate], "sigmoid")], out=call.outs[0])


@rule("cat", "stack")
def _cat(self: Lowering, call: Call) -> None:
    out, xs = call.outs[0], [self.of(r) for r in call.args[0]]
    dim = self.arg(1, "dim", 0) % len(self.extents[out])
    if call.op == "stack":
        one = tuple(1 for _ in self.calls)
        xs = [self.step("regroup", [x], _with_one(self.extents[x], dim), shape=_insert(self.extents[x], dim, one)) for x in xs]
    source = _permuted(self, xs, dim, self.extents[out])
    if source is not None:
        self.step("map", [source], "identity", out=out)
    else:
        self.step("cat", [x for x in xs if self.extents[x][dim:]], dim, out=out)


def _insert(shape: Shape, at: int, extent: tuple[int, ...]) -> Shape:
    return (*shape[:at], extent, *shape[at:])


def _with_one(shape: Shape, at: int) -> list[tuple[list[int], list[int]]]:
    return [([i], [i]) for i in range(at)] + [([], [at])] + [([i], [i + 1]) for i in range(at, len(shape))]


def _permuted(self: Lowering, xs: Sequence[int], dim: int, shape: Shape) -> int | None:
    """The tensor whose slices, mixed with each other linearly, are put together again: a rotation moves its entries."""
    sources: set[int | None] = set().union(*(_mixed_from(self, x) for x in xs))
    source = sources.pop() if len(sources) == 1 else None
    sliced = any(x not in self.slices or self.slices[x][0] != source for x in xs) or len({self.slices[x][2] for x in xs}) == len(xs)
    return source if source is not None and sliced and self.extents[source] == shape else None


def _mixed_from(self: Lowering, x: int) -> set[int | None]:
    """The tensors of whose slices a tensor is a linear mixture; None among them if there is anything else."""
    if x in self.slices:
        return {self.slices[x][0]}
    step = self.made.get(x)
    constant = step is not None and step.kind == "scale" and len(set(step.spec)) == 1
    linear = step is not None and (step.kind in ("cat", "regroup", "add") or (step.kind, step.spec) == ("map", "identity"))
    if step is None or not (linear or constant or (step.kind == "mul" and any(self.kinds[a] == "const" for a in step.args))):
        return {None}
    return set().union(*(_mixed_from(self, a) for a in step.args if self.kinds[a] != "const"))
