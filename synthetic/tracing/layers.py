"""Rules for contractions, attention and normalisation layers."""

from __future__ import annotations

from typing import Any

from .axes import Unfollowable
from .lowering import Lowering, rule
from .record import Call, Ref
from .steps import Shape, group


@rule("mm", "bmm", "mv", "dot", "matmul", "vdot", "outer", "ger")
def _matmul(self: Lowering, call: Call) -> None:
    _contract(self, call.args[0], call.args[1], call.op, call.outs[0])


LABELS = {
    "mm": ("ab", "bc", "ac"), "bmm": ("xab", "xbc", "xac"), "mv": ("ab", "b", "a"), "dot": ("b", "b", ""), "vdot": ("b", "b", ""),
    "outer": ("a", "b", "ab"), "ger": ("a", "b", "ab"), "addmm": ("ab", "bc", "ac"), "baddbmm": ("xab", "xbc", "xac"),
    "addmv": ("ab", "b", "a"), "addbmm": ("xab", "xbc", "ac"),
}  # fmt: skip


def _contract(self: Lowering, a: Any, b: Any, op: str, out: int | None, shape: Shape | None = None) -> int:
    return self.step("contract", [self.of(a), self.of(b)], LABELS[op], out=out, shape=shape)


@rule("addmm", "baddbmm", "addmv", "addbmm")
def _addmm(self: Lowering, call: Call) -> None:
    shape, bias = self.extents[call.outs[0]], call.args[0]
    product = _contract(self, call.args[1], call.args[2], call.op, None, shape)
    if self.is_known(bias):
        self.step("add", [product, self.of(bias)], out=call.outs[0])
    else:
        self.same(call.outs[0], product)


@rule("convolution", "_convolution")
def _convolution(self: Lowering, call: Call) -> None:
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


def _per_channel(self: Lowering, v: int, n: int) -> int:
    """A vector over channels, ready to be broadcast over positions."""
    if not n:
        return v
    one = tuple(1 for _ in self.calls)
    return self.step("regroup", [v], [([0], [0]), *(([], [i + 1]) for i in range(n))], shape=(self.extents[v][0], *[one] * n))


@rule("embedding")
def _embedding(self: Lowering, call: Call) -> None:
    if self.kinds[self.of(call.args[0])] != "param":
        raise Unfollowable("only rows of a parameter can be looked up")
    self.step("lookup", [self.of(call.args[0])], self.kinds[self.of(call.args[1])], out=call.outs[0])


@rule("index")
def _index(self: Lowering, call: Call) -> None:
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
def _attention(self: Lowering, call: Call) -> None:
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


# -- normalisation
@rule("native_layer_norm", "_fused_rms_norm", "rms_norm", "layer_norm")
def _layer_norm(self: Lowering, call: Call) -> None:
    x, over = self.of(call.args[0]), len(call.args[1])
    rank = self.rank(x)
    kind = "rms" if "rms" in call.op else "layer"
    y = self.step("norm", [x], (kind, tuple(range(rank - over, rank))))
    bias = call.args[3] if kind == "layer" else None
    _affine(self, y, call.args[2], bias, call.outs[0], channels=False)


@rule("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "_batch_norm_with_update", "batch_norm")
def _batch_norm(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    dims = tuple(i for i in range(self.rank(x)) if i != 1)
    _affine(self, self.step("norm", [x], ("layer", dims)), call.args[1], call.args[2], call.outs[0], channels=True)


@rule("native_group_norm")
def _group_norm(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    shape, groups = self.extents[x], self.every(6)
    inner = tuple(c // g for c, g in zip(shape[1], groups, strict=True))
    split = (shape[0], groups, inner, *shape[2:])
    y = self.step("regroup", [x], group(shape, split), shape=split)
    y = self.step("norm", [y], ("layer", tuple(range(2, len(split)))))
    y = self.step("regroup", [y], group(split, shape), shape=shape)
    _affine(self, y, call.args[1], call.args[2], call.outs[0], channels=True)


def _affine(self: Lowering, y: int, gain: Any, bias: Any, out: int, *, channels: bool) -> None:
    """Gain and bias after a normalisation, over the last dimensions or over channels."""
    n = self.rank(y) - 2 if channels else 0
    for op, value in (("mul", gain), ("add", bias)):
        if isinstance(value, Ref) and self.is_known(value):
            y = self.step(op, [y, _per_channel(self, self.of(value), n)], shape=self.extents[y])
    self.same(out, y)


@rule("_softmax", "_safe_softmax", "softmax", "_log_softmax", "log_softmax")
def _softmax(self: Lowering, call: Call) -> None:
    x = self.of(call.args[0])
    self.step("softmax", [x], call.args[1] % self.rank(x), out=call.outs[0])
