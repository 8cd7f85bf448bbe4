"""What each elementary operation of torch is in steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .axes import Unfollowable
from .lowering import KIND_OF, MOVES, SAME, SINGULAR, TINY, _Lowering, rule
from .record import Call, Ref
from .steps import Shape, group, positions

KEPT = ("mean_square", "sum_square", "rms", "l2", "inv_rms", "inv_l2", "mean", "sum", "square")


# -- the same numbers
@rule(*SAME)
def _same(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    for out in call.outs[:1]:
        self.same(out, x)


@rule(*KIND_OF)
def _map(self: _Lowering, call: Call) -> None:
    self.step("map", [self.of(call.args[0])], KIND_OF[call.op], out=call.outs[0])


@rule(*SINGULAR)
def _singular(self: _Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    kind, source, dims = self.facts.get(x, ("", 0, ()))
    after = {
        ("sqrt", "mean_square"): "rms", ("sqrt", "sum_square"): "l2", ("rsqrt", "mean_square"): "inv_rms",
        ("rsqrt", "sum_square"): "inv_l2", ("reciprocal", "rms"): "inv_rms", ("reciprocal", "l2"): "inv_l2",
    }.get((call.op, kind))  # fmt: skip
    self.step("unknown", [x], (call.op, f"{SINGULAR[call.op]} of an activation follows no power law"), out=out)
    if after:
        self.facts[out] = (after, source, dims)


@rule(*MOVES)
def _move(self: _Lowering, call: Call) -> None:
    self.step("move", [self.of(call.args[0])], out=call.outs[0])


# -- shapes
@rule("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias", "flatten", "unflatten", "_reshape_copy")
def _view(self: _Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    if self.extents[x] == self.extents[out]:
        return self.same(out, x)
    self.step("regroup", [x], group(self.extents[x], self.extents[out]), out=out)
    _keep_fact(self, x, out)
    return None


@rule("expand", "expand_as", "broadcast_to")
def _expand(self: _Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    old, new = self.extents[x], self.extents[out]
    if old == new:
        return self.same(out, x)
    lead = len(new) - len(old)
    pairs = [([j - lead] if j >= lead and old[j - lead] == new[j] else [], [j]) for j in range(len(new))]
    self.step("regroup", [x], pairs, out=out)
    _keep_fact(self, x, out)
    return None


@rule("repeat")
def _repeat(self: _Lowering, call: Call) -> None:
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


def _keep_fact(self: _Lowering, x: int, out: int) -> None:
    if x in self.facts and self.facts[x][0] in KEPT:
        self.facts[out] = self.facts[x]


@rule("permute", "transpose", "t", "movedim", "swapaxes", "numpy_T", "mT", "adjoint")
def _permute(self: _Lowering, call: Call) -> None:
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
def _take(self: _Lowering, x: int, dim: int, start: tuple[int, ...], stop: tuple[int, ...], out: int | None = None) -> int:
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
def _slice(self: _Lowering, call: Call) -> None:
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
def _select(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = call.args[1] % self.rank(x)
    size = self.extents[x][dim]
    start = tuple(i % n for i, n in zip(self.every(2, "index"), size, strict=True))
    _pick(self, x, dim, start, call.outs[0])


def _pick(self: _Lowering, x: int, dim: int, start: tuple[int, ...], out: int) -> None:
    one = _take(self, x, dim, start, tuple(s + 1 for s in start))
    self.step("regroup", [one], group(self.extents[one], self.extents[out]), out=out)


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_chunk", "chunk", "tensor_split", "unsafe_split_with_sizes")
def _split(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = self.arg(2, "dim", 0) % self.rank(x)
    start = tuple(0 for _ in self.calls)
    for out in call.outs:
        stop = tuple(a + b for a, b in zip(start, self.extents[out][dim], strict=True))
        _take(self, x, dim, start, stop, out)
        start = stop


@rule("unbind")
def _unbind(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = self.arg(1, "dim", 0) % self.rank(x)
    for i, out in enumerate(call.outs):
        _pick(self, x, dim, tuple(i for _ in self.calls), out)


@rule("glu")
def _glu(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dim = self.arg(1, "dim", -1) % self.rank(x)
    size = self.extents[x][dim]
    half = tuple(n // 2 for n in size)
    value, gate = _take(self, x, dim, tuple(0 for _ in size), half), _take(self, x, dim, half, size)
    self.step("mul", [value, self.step("map", [gate], "sigmoid")], out=call.outs[0])


@rule("cat", "stack")
def _cat(self: _Lowering, call: Call) -> None:
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


def _permuted(self: _Lowering, xs: Sequence[int], dim: int, shape: Shape) -> int | None:
    """The tensor whose slices, mixed with each other linearly, are put together again: a rotation moves its entries."""
    sources: set[int | None] = set().union(*(_mixed_from(self, x) for x in xs))
    source = sources.pop() if len(sources) == 1 else None
    sliced = any(x not in self.slices or self.slices[x][0] != source for x in xs) or len({self.slices[x][2] for x in xs}) == len(xs)
    return source if source is not None and sliced and self.extents[source] == shape else None


def _mixed_from(self: _Lowering, x: int) -> set[int | None]:
    """The tensors of whose slices a tensor is a linear mixture; None among them if there is anything else."""
    if x in self.slices:
        return {self.slices[x][0]}
    step = self.made.get(x)
    constant = step is not None and step.kind == "scale" and len(set(step.spec)) == 1
    linear = step is not None and (step.kind in ("cat", "regroup", "add", "permuted") or (step.kind, step.spec) == ("map", "identity"))
    if step is None or not (linear or constant or (step.kind == "mul" and any(self.kinds[a] == "const" for a in step.args))):
        return {None}
    return set().union(*(_mixed_from(self, a) for a in step.args if self.kinds[a] != "const"))


# -- sums and products of tensors
@rule("add", "sub", "rsub", "add_free", "maximum", "minimum", "logaddexp")
def _add(self: _Lowering, call: Call) -> None:
    a, b, out = call.args[0], call.args[1], call.outs[0]
    known = [self.of(v) for v in (a, b) if self.is_known(v)]
    alphas = self.every(2, "alpha", 1)
    if len(known) == 2:
        if call.op == "sub" and self.facts.get(known[1], ("", -1))[:2] == ("mean", known[0]):
            return self.same(out, known[0])
        if any(x not in (1, -1) for x in alphas):
            known[1] = self.step("scale", [known[1]], tuple(abs(x) for x in alphas))
        self.step("add", known, out=out)
        return None
    number = b if self.is_known(a) else a
    tiny = not isinstance(number, Ref) and abs(number or 0) < TINY
    if known[0] in self.facts or tiny:
        _keep_fact(self, known[0], out)
        if tiny and self.extents[known[0]] == self.extents[out]:
            return self.same(out, known[0]) if known[0] not in self.facts else _again(self, known[0], out)
    other = self.of(number) if isinstance(number, Ref) else None
    self.step("add", known, ("constant", other), out=out)
    return None


def _again(self: _Lowering, x: int, out: int) -> None:
    self.step("map", [x], "identity", out=out)


@rule("mul")
def _mul(self: _Lowering, call: Call) -> None:
    a, b, out = call.args[0], call.args[1], call.outs[0]
    if self.is_known(a) and self.is_known(b):
        return _product(self, self.of(a), self.of(b), out)
    swap = not self.is_known(a)
    x, number = self.of(b if swap else a), a if swap else b
    if isinstance(number, Ref):
        _times_constant(self, x, self.of(number), out)
    else:
        self.step("scale", [x], tuple(abs(v) for v in self.every(0 if swap else 1)), out=out)
        if x in self.facts and self.facts[x][0] == "mean":
            self.facts[out] = self.facts[x]
    return None


def _times_constant(self: _Lowering, x: int, number: int, out: int) -> None:
    """Constants (angles, masks) have entries of order one; they can add dimensions."""
    if self.extents[x] == self.extents[out]:
        self.step("map", [x], "identity", out=out)
    else:
        self.step("mul", [x, number], out=out)


def _product(self: _Lowering, a: int, b: int, out: int) -> None:
    for x, s in ((a, b), (b, a)):
        kind, source, dims = self.facts.get(s, ("", -1, ()))
        if source == x and kind in ("inv_rms", "inv_l2"):
            return _norm(self, x, dims, out, unit=kind == "inv_l2")
    self.step("mul", [a, b], out=out)
    if a == b:
        self.facts[out] = ("square", a, ())
    return None


def _norm(self: _Lowering, x: int, dims: Sequence[int], out: int, *, unit: bool) -> None:
    if not unit:
        self.step("norm", [x], ("rms", tuple(dims)), out=out)
        return
    size = [prod(sizes) for sizes in zip(*(self.extents[x][d] for d in dims), strict=True)]
    middle = self.step("norm", [x], ("rms", tuple(dims)))
    self.step("scale", [middle], tuple(s**-0.5 for s in size), out=out)


@rule("div", "true_divide")
def _div(self: _Lowering, call: Call) -> None:
    a, b, out = call.args[0], call.args[1], call.outs[0]
    if not self.is_known(b):
        if isinstance(b, Ref):
            return _times_constant(self, self.of(a), self.of(b), out)
        self.step("scale", [self.of(a)], tuple(1 / abs(v) for v in self.every(1)), out=out)
        return _keep_fact(self, self.of(a), out)
    kind, source, dims = self.facts.get(self.of(b), ("", -1, ()))
    if self.is_known(a) and source == self.of(a) and kind == "sum" and self.made[source].kind == "softmax":
        return self.step("map", [source], "identity", out=out) and None
    if self.is_known(a) and source == self.of(a) and kind in ("rms", "l2"):
        return _norm(self, source, dims, out, unit=kind == "l2")
    known = [self.of(v) for v in (a, b) if self.is_known(v)]
    reason = "a division by an activation follows no power law unless it is its own norm"
    self.step("unknown", known, (call.op, reason), out=out)
    return None


@rule("pow")
def _pow(self: _Lowering, call: Call) -> None:
    x, power, out = self.of(call.args[0]), call.args[1], call.outs[0]
    if isinstance(power, Ref):
        raise Unfollowable("a power that is itself computed is not known")
    if power in (0.5, -0.5):
        return _singular(self, Call("sqrt" if power > 0 else "rsqrt", call.args, {}, call.outs, call.place))
    if power not in (1, 2, 3, 4):
        raise Unfollowable(f"the power {power} of an activation follows no power law")
    y = x
    for _ in range(int(power) - 1):
        y = self.step("mul", [y, x], shape=self.extents[x])
    self.same(out, y)
    if power == 2:
        self.facts[y] = ("square", x, ())
    return None


@rule("square")
def _square(self: _Lowering, call: Call) -> None:
    _pow(self, Call("pow", (call.args[0], 2), {}, call.outs, call.place))


@rule("where")
def _where(self: _Lowering, call: Call) -> None:
    known = [self.of(v) for v in call.args[1:] if self.is_known(v)]
    self.step("add", known, out=call.outs[0])


@rule("masked_fill")
def _masked(self: _Lowering, call: Call) -> None:
    self.step("map", [self.of(call.args[0])], "identity", out=call.outs[0])


@rule("addcmul", "lerp")
def _addcmul(self: _Lowering, call: Call) -> None:
    x, y, z = call.args[:3]
    if not all(self.is_known(v) for v in (x, y)):
        raise Unfollowable("only activations can be mixed")
    terms = [self.of(x)]
    if self.is_known(z):
        shape = self.extents[call.outs[0]]
        terms.append(self.step("mul", [self.of(y), self.of(z)], shape=shape))
        if call.op == "lerp":
            terms.append(self.step("mul", [self.of(x), self.of(z)], shape=shape))
    else:
        terms.append(self.of(y))
    self.step("add", terms, out=call.outs[0])


# -- contractions
@rule("mm", "bmm", "mv", "dot", "matmul", "vdot", "outer", "ger")
def _matmul(self: _Lowering, call: Call) -> None:
    _contract(self, call.args[0], call.args[1], call.op, call.outs[0])


LABELS = {
    "mm": ("ab", "bc", "ac"), "bmm": ("xab", "xbc", "xac"), "mv": ("ab", "b", "a"), "dot": ("b", "b", ""), "vdot": ("b", "b", ""),
    "outer": ("a", "b", "ab"), "ger": ("a", "b", "ab"), "addmm": ("ab", "bc", "ac"), "baddbmm": ("xab", "xbc", "xac"),
    "addmv": ("ab", "b", "a"), "addbmm": ("xab", "xbc", "ac"),
}  # fmt: skip


def _contract(self: _Lowering, a: Any, b: Any, op: str, out: int | None, shape: Shape | None = None) -> int:
    labels = LABELS[op]
    known = [v for v in (a, b) if self.is_known(v)]
    if len(known) == 2:
        return self.step("contract", [self.of(a), self.of(b)], labels, out=out, shape=shape)
    raise Unfollowable("a contraction with constant numbers is not known")


@rule("addmm", "baddbmm", "addmv", "addbmm")
def _addmm(self: _Lowering, call: Call) -> None:
    shape, bias = self.extents[call.outs[0]], call.args[0]
    product = _contract(self, call.args[1], call.args[2], call.op, None, shape)
    if self.is_known(bias):
        self.step("add", [product, self.of(bias)], out=call.outs[0])
    else:
        self.same(call.outs[0], product)


@rule("convolution", "_convolution")
def _convolution(self: _Lowering, call: Call) -> None:
    if not self.is_known(call.args[0]):
        raise Unfollowable("a convolution of constant numbers is not known")
    x, w, transposed = self.of(call.args[0]), self.of(call.args[1]), bool(self.arg(6))
    out, groups, n = self.extents[call.outs[0]], self.every(8), self.rank(self.of(call.args[0])) - 2
    xs, ws = self.extents[x], self.extents[w]
    divide = lambda e: tuple(a // g for a, g in zip(e, groups, strict=True))  # noqa: E731
    outs, inns = (ws[1], divide(ws[0])) if transposed else (divide(ws[0]), ws[1])
    x = self.step("regroup", [x], group(xs, s := (xs[0], groups, inns, *xs[2:])), shape=s)
    shape = (groups, inns, outs, *ws[2:]) if transposed else (groups, outs, inns, *ws[2:])
    w = self.step("regroup", [w], group(ws, shape), shape=shape)
    places, kernel, made = "pqr"[:n], "ijk"[:n], "uvw"[:n]
    labels = (f"bgc{places}", f"g{'co' if transposed else 'oc'}{kernel}", f"bgo{made}")
    y = self.step("contract", [x, w], labels, shape=(xs[0], groups, outs, *out[2:]))
    bias = call.args[2]
    merged = self.step("regroup", [y], group(self.extents[y], out), shape=out)
    if isinstance(bias, Ref) and self.is_known(bias):
        self.step("add", [merged, _per_channel(self, self.of(bias), n)], out=call.outs[0])
    else:
        self.same(call.outs[0], merged)


def _per_channel(self: _Lowering, v: int, n: int) -> int:
    """A vector over channels, ready to be broadcast over positions."""
    if not n:
        return v
    one = tuple(1 for _ in self.calls)
    return self.step("regroup", [v], [([0], [0]), *(([], [i + 1]) for i in range(n))], shape=(self.extents[v][0], *[one] * n))


@rule("embedding")
def _embedding(self: _Lowering, call: Call) -> None:
    if self.kinds[self.of(call.args[0])] != "param":
        raise Unfollowable("only rows of a parameter can be looked up")
    self.step("lookup", [self.of(call.args[0])], self.kinds[self.of(call.args[1])], out=call.outs[0])


@rule("index")
def _index(self: _Lowering, call: Call) -> None:
    x, chosen = self.of(call.args[0]), call.args[1]
    if self.kinds[x] == "param" and len(chosen) == 1:
        self.step("lookup", [x], self.kinds[self.of(chosen[0])], out=call.outs[0])
    elif all(len(set(self.extents[x][i])) == 1 for i, c in enumerate(chosen) if c is not None):
        self.step("move", [x], out=call.outs[0])
    else:
        raise Unfollowable("rows of an activation are chosen along a dimension that grows")


ATTENTION = (
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math", "scaled_dot_product_attention",
    "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math_for_mps",
)  # fmt: skip


@rule(*ATTENTION)
def _attention(self: _Lowering, call: Call) -> None:
    q, k, v = (self.of(a) for a in call.args[:3])
    b, heads, t, d = self.extents[q]
    kv, s = self.extents[k][1:3]
    given, e = [c.named.get("scale") for c in self.calls], self.extents[v][3]
    each = tuple(h // g for h, g in zip(heads, kv, strict=True))  # heads of queries for one of keys and values
    q = self.step("regroup", [q], group(self.extents[q], (b, kv, each, t, d)), shape=(b, kv, each, t, d))
    scores = self.step("contract", [q, k], ("bgrtd", "bgsd", "bgrts"), shape=(b, kv, each, t, s))
    scores = self.step("scale", [scores], tuple(g if g is not None else n**-0.5 for g, n in zip(given, d, strict=True)))
    mixed = self.step("contract", [self.step("softmax", [scores], 4), v], ("bgrts", "bgse", "bgrte"), shape=(b, kv, each, t, e))
    self.step("regroup", [mixed], group(self.extents[mixed], (b, heads, t, e)), out=call.outs[0])


# -- statistics
@rule("mean", "sum", "var", "linalg_vector_norm", "norm", "std")
def _reduce(self: _Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    at = 2 if call.op in ("linalg_vector_norm", "norm") else 1
    dims = tuple(positions(self.arg(at, "dim"), self.rank(x)))
    kind, source, _ = self.facts.get(x, ("", -1, ()))
    if call.op in ("var", "std", "linalg_vector_norm", "norm"):
        if at == 2 and self.arg(1, "ord", 2) not in (2, 2.0, None):
            raise Unfollowable("only the Euclidean norm is known")
        self.step("unknown", [x], (call.op, "a statistic of an activation is known only where it normalises that activation"), out=out)
        self.facts[out] = ({"var": "mean_square", "std": "rms"}.get(call.op, "l2"), x, dims)
        return
    kept = tuple(tuple(1 for _ in e) if i in dims else e for i, e in enumerate(self.extents[x]))
    total = self.step("sum", [x], dims, shape=kept)
    if call.op == "mean":
        size = [prod(sizes) for sizes in zip(*(self.extents[x][d] for d in dims), strict=True)]
        total = self.step("scale", [total], tuple(1 / s for s in size), shape=kept)
    self.step("regroup", [total], group(kept, self.extents[out]), out=out)
    if kind == "square":
        self.facts[out] = ("mean_square" if call.op == "mean" else "sum_square", source, dims)
    else:
        self.facts[out] = (call.op, x, dims)


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm", "layer_norm")
def _layer_norm(self: _Lowering, call: Call) -> None:
    x, over = self.of(call.args[0]), len(call.args[1])
    rank = self.rank(x)
    kind = "rms" if "rms" in call.op else "layer"
    y = self.step("norm", [x], (kind, tuple(range(rank - over, rank))))
    bias = call.args[3] if kind == "layer" else None
    _affine(self, y, call.args[2], bias, call.outs[0], channels=False)


@rule("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "_batch_norm_with_update", "batch_norm")
def _batch_norm(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dims = tuple(i for i in range(self.rank(x)) if i != 1)
    _affine(self, self.step("norm", [x], ("layer", dims)), call.args[1], call.args[2], call.outs[0], channels=True)


@rule("native_group_norm")
def _group_norm(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    shape, groups = self.extents[x], self.every(6)
    inner = tuple(c // g for c, g in zip(shape[1], groups, strict=True))
    split = (shape[0], groups, inner, *shape[2:])
    y = self.step("regroup", [x], group(shape, split), shape=split)
    y = self.step("norm", [y], ("layer", tuple(range(2, len(split)))))
    y = self.step("regroup", [y], group(split, shape), shape=shape)
    _affine(self, y, call.args[1], call.args[2], call.outs[0], channels=True)


def _affine(self: _Lowering, y: int, gain: Any, bias: Any, out: int, *, channels: bool) -> None:
    """Gain and bias after a normalisation, over the last dimensions or over channels."""
    n = self.rank(y) - 2 if channels else 0
    for op, value in (("mul", gain), ("add", bias)):
        if isinstance(value, Ref) and self.is_known(value):
            y = self.step(op, [y, _per_channel(self, self.of(value), n)], shape=self.extents[y])
    self.same(out, y)


@rule("_softmax", "_safe_softmax", "softmax")
def _softmax(self: _Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    self.step("softmax", [x], call.args[1] % self.rank(x), out=call.outs[0])
