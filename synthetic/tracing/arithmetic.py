"""Rules for entrywise functions, sums and products, and the normalisations that are written with them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from .axes import Unfollowable
from .lowering import KIND_OF, SINGULAR, TINY, Lowering, rule
from .record import Call, Ref
from .steps import group, positions


@rule(*KIND_OF)
def _map(self: Lowering, call: Call) -> None:
    self.step("map", [self.of(call.args[0])], KIND_OF[call.op], out=call.outs[0])


@rule(*SINGULAR)
def _singular(self: Lowering, call: Call) -> None:
    x, out = self.of(call.args[0]), call.outs[0]
    kind, source, dims = self.facts.get(x, ("", 0, ()))
    after = {
        ("sqrt", "mean_square"): "rms", ("sqrt", "sum_square"): "l2", ("rsqrt", "mean_square"): "inv_rms",
        ("rsqrt", "sum_square"): "inv_l2", ("reciprocal", "rms"): "inv_rms", ("reciprocal", "l2"): "inv_l2",
    }.get((call.op, kind))  # fmt: skip
    self.step("unknown", [x], (call.op, f"{SINGULAR[call.op]} of an activation follows no power law"), out=out)
    if after:
        self.facts[out] = (after, source, dims)


@rule("_prelu_kernel")
def _prelu(self: Lowering, call: Call) -> None:
    """A rectifier of both signs, one of them times a slope that is learned."""
    kept = self.step("map", [self.of(call.args[0])], "relu")
    self.step("add", [kept, self.step("mul", [kept, self.of(call.args[1])])], out=call.outs[0])


@rule("clamp", "clamp_min", "clamp_max")
def _clamp(self: Lowering, call: Call) -> None:
    """A bound that keeps a statistic from zero changes nothing; others are rectifiers, or cut on both sides."""
    x, out = self.of(call.args[0]), call.outs[0]
    if self.facts.get(x, ("",))[0] in ("mean_square", "sum_square", "rms", "l2"):
        return self.same(out, x)
    both = call.op == "clamp" and self.arg(1, "min") is not None and self.arg(2, "max") is not None
    self.step("map", [x], "tanh" if both else "relu", out=out)
    return None


# -- sums and products of tensors
@rule("maximum", "minimum", "logaddexp")
def _larger(self: Lowering, call: Call) -> None:
    """The larger of two has a mean, as a rectifier has."""
    known = [self.of(v) for v in call.args[:2] if self.is_known(v)]
    both = self.step("add", known, shape=self.extents[call.outs[0]]) if len(known) > 1 else known[0]
    self.step("map", [both], "relu", out=call.outs[0])


@rule("add", "sub", "rsub")
def _add(self: Lowering, call: Call) -> None:
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
        self.keep_fact(known[0], out)
        if tiny and self.extents[known[0]] == self.extents[out]:
            return self.same(out, known[0]) if known[0] not in self.facts else _again(self, known[0], out)
    self.step("add", known, "constant", out=out)
    return None


def _again(self: Lowering, x: int, out: int) -> None:
    self.step("map", [x], "identity", out=out)


@rule("mul")
def _mul(self: Lowering, call: Call) -> None:
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


def _times_constant(self: Lowering, x: int, number: int, out: int) -> None:
    """Constants (angles, masks) have entries of order one; they can add dimensions."""
    if self.extents[x] == self.extents[out]:
        self.step("map", [x], "identity", out=out)
    else:
        self.step("mul", [x, number], out=out)


def _product(self: Lowering, a: int, b: int, out: int) -> None:
    for x, s in ((a, b), (b, a)):
        kind, source, dims = self.facts.get(s, ("", -1, ()))
        if source == x and kind in ("inv_rms", "inv_l2"):
            return _norm(self, x, dims, out, unit=kind == "inv_l2")
    self.step("mul", [a, b], out=out)
    if a == b:
        self.facts[out] = ("square", a, ())
    return None


def _norm(self: Lowering, x: int, dims: Sequence[int], out: int, *, unit: bool) -> None:
    if not unit:
        self.step("norm", [x], ("rms", tuple(dims)), out=out)
        return
    size = [prod(sizes) for sizes in zip(*(self.extents[x][d] for d in dims), strict=True)]
    middle = self.step("norm", [x], ("rms", tuple(dims)))
    self.step("scale", [middle], tuple(s**-0.5 for s in size), out=out)


@rule("div", "true_divide")
def _div(self: Lowering, call: Call) -> None:
    a, b, out = call.args[0], call.args[1], call.outs[0]
    if not self.is_known(b):
        if isinstance(b, Ref):
            return _times_constant(self, self.of(a), self.of(b), out)
        self.step("scale", [self.of(a)], tuple(1 / abs(v) for v in self.every(1)), out=out)
        return self.keep_fact(self.of(a), out)
    kind, source, dims = self.facts.get(self.of(b), ("", -1, ()))
    if self.is_known(a) and source == self.of(a) and kind == "sum" and self.made[source].kind == "softmax":
        self.step("map", [source], "identity", out=out)
        return None
    if self.is_known(a) and source == self.of(a) and kind in ("rms", "l2"):
        return _norm(self, source, dims, out, unit=kind == "l2")
    known = [self.of(v) for v in (a, b) if self.is_known(v)]
    reason = "a division by an activation follows no power law unless it is its own norm"
    self.step("unknown", known, (call.op, reason), out=out)
    return None


@rule("pow")
def _pow(self: Lowering, call: Call) -> None:
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
def _square(self: Lowering, call: Call) -> None:
    _pow(self, Call("pow", (call.args[0], 2), {}, call.outs, call.place))


@rule("where")
def _where(self: Lowering, call: Call) -> None:
    known = [self.of(v) for v in call.args[1:] if self.is_known(v)]
    self.step("add", known, out=call.outs[0])


@rule("masked_fill")
def _masked(self: Lowering, call: Call) -> None:
    self.step("map", [self.of(call.args[0])], "identity", out=call.outs[0])


@rule("addcmul", "lerp")
def _addcmul(self: Lowering, call: Call) -> None:
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


# -- statistics
@rule("mean", "sum", "var", "linalg_vector_norm", "norm", "std")
def _reduce(self: Lowering, call: Call) -> None:
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
