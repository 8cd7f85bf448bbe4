"""Recorded calls to steps: names of operations are known here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .axes import Extent, Unfollowable
from .record import Call, Ref
from .steps import Shape, Step
from .trials import Trials, Wrong

SAME = (
    "clone", "contiguous", "_to_copy", "detach", "alias", "lift_fresh", "lift_fresh_copy", "dropout", "native_dropout", "view_as",
    "to", "type_as", "_conj", "conj", "real", "positive", "neg",
    "nan_to_num",
)  # fmt: skip
MAPS = {
    "relu": "relu leaky_relu elu relu6 hardswish celu selu threshold rrelu rrelu_with_noise abs",
    "gelu": "gelu",
    "silu": "silu mish",
    "tanh": "tanh hardtanh sin atan asinh softsign tan sinh",
    "erf": "erf",
    "sigmoid": "sigmoid hardsigmoid",
    "softplus": "softplus exp cos log_sigmoid_forward cosh",
}
KIND_OF = {op: kind for kind, ops in MAPS.items() for op in ops.split()}
MOVES = (
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_bilinear2d", "upsample_bicubic2d", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d",
    "view_as_complex", "view_as_real", "amax", "amin", "max", "min",
    "im2col", "col2im", "pixel_shuffle", "pixel_unshuffle", "unfold", "tril", "triu", "logsumexp", "_adaptive_avg_pool1d",
    "replication_pad2d",
)  # fmt: skip
CREATES = (
    "empty_like",
    "zeros_like",
    "ones_like",
    "rand_like",
    "randn_like",
    "full_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
    "new_empty_strided",
)  # fmt: skip (these read the shape of a tensor, not its numbers)
ALONG = {"roll": 2, "flip": 1, "gather": 1, "index_select": 1, "cummax": 1, "cumsum": 1, "topk": 2, "sort": 1}  # where the dimension stands
DECLARED = {"same": "identity", "odd": "tanh", "rectified": "relu", "offset": "sigmoid"}
SINGULAR = {"log": "a logarithm", "reciprocal": "a reciprocal", "sqrt": "a square root", "rsqrt": "a reciprocal square root"}
TINY = 1e-2  # constants added below this keep a denominator from zero


@dataclass
class Lowered:
    """Steps of a module, and what is known of its tensors.

    Args:
        kinds: ``data``, ``param``, ``const`` or ``token`` for every tensor.
        extents: the shape of every tensor, a size per trial.
    """

    trials: Trials
    steps: list[Step] = field(default_factory=list)
    kinds: dict[int, str] = field(default_factory=dict)
    extents: dict[int, Shape] = field(default_factory=dict)
    output: int = -1


class Lowering:
    """Goes through the calls once. ``facts`` remembers statistics, from which normalisations by hand are recognised."""

    def __init__(self, trials: Trials, declared: Mapping[str, str]):
        self.trials, self.declared = trials, declared
        self.extents: dict[int, Shape] = dict(trials.extents())
        self.steps: list[Step] = []
        self.alias: dict[int, int] = {}
        self.facts: dict[int, tuple[str, int, tuple[int, ...]]] = {}
        self.made: dict[int, Step] = {}
        self.slices: dict[int, tuple[int, int, Extent, Extent]] = {}
        base = trials.base
        self.kinds = {n: "const" for n in base.shapes} | {n: "param" for n in base.parameters}
        self.kinds |= {n: "token" if n in base.whole else "data" for n in base.inputs}
        self.next = max(base.shapes, default=0) + 1

    def run(self) -> Lowered:
        for i, call in enumerate(self.trials.base.calls):
            self.calls = tuple(r.calls[i] for r in self.trials.recordings)
            self._call(call)
        output = self.of(Ref(self.trials.base.output))
        return Lowered(self.trials, self.steps, self.kinds, self.extents, output)

    # -- arguments
    def of(self, value: Any) -> int:
        number = value.ident
        while number in self.alias:
            number = self.alias[number]
        return number

    def is_known(self, value: Any) -> bool:
        """Whether it depends on the data or on parameters."""
        return isinstance(value, Ref) and self.kinds[self.of(value)] in ("data", "param")

    def arg(self, i: int, name: str = "", default: Any = None) -> Any:
        call = self.calls[0]
        return call.args[i] if i < len(call.args) else call.named.get(name, default)

    def every(self, i: int, name: str = "", default: Any = None) -> tuple[Any, ...]:
        """An argument in every trial."""
        return tuple(c.args[i] if i < len(c.args) else c.named.get(name, default) for c in self.calls)

    # -- results
    def new(self, shape: Shape) -> int:
        number, self.next = self.next, self.next + 1
        self.extents[number] = shape
        return number

    def step(self, kind: str, args: Sequence[int], spec: Any = None, *, out: int | None = None, shape: Shape | None = None) -> int:
        """Add a step; its result is a new tensor of ``shape`` (by default that of the first argument), or ``out``."""
        if out is None:
            out = self.new(shape if shape is not None else self.extents[args[0]])
        kinds = {self.kinds[a] for a in args}
        linear = kind not in ("map", "norm", "softmax", "unknown", "lookup") and not (kind == "contract" and "const" in kinds)
        self.kinds[out] = "param" if linear and "data" not in kinds else "data"
        made = self.made[out] = Step(kind, out, tuple(args), self.calls[0].place, spec)
        self.steps.append(made)
        return out

    def keep_fact(self, x: int, out: int) -> None:
        """What is known of a statistic stays known when its shape changes, or a tiny constant is added."""
        if x in self.facts:
            self.facts[out] = self.facts[x]

    def same(self, out: int, arg: int) -> None:
        """The same numbers under another name."""
        self.alias[out] = arg

    def _call(self, call: Call) -> None:
        refs = [r for a in (*call.args, *call.named.values()) for r in (a if isinstance(a, tuple) else (a,)) if isinstance(r, Ref)]
        kinds = {self.kinds[self.of(r)] for r in refs}
        for out in call.outs:
            self.kinds[out] = "token" if kinds == {"token"} or ("token" in kinds and not kinds & {"data", "param"}) else "const"
        if (
            call.op in CREATES
            or not kinds & {"data", "param"}
            or (call.outs and all(o in self.trials.base.whole for o in call.outs))
            or not call.outs
        ):
            return
        if call.op in self.declared:
            first = next(self.of(r) for r in refs if self.is_known(r))
            self.step("map", [first], DECLARED[self.declared[call.op]], out=call.outs[0])
            return
        rule = RULES.get(call.op)
        if rule is None:
            self._unknown(call, refs, f"the operation `{call.op}` is not known")
            return
        try:
            rule(self, call)
        except Unfollowable as error:
            self._unknown(call, refs, str(error))
        except (AttributeError, IndexError, KeyError, TypeError):
            self._unknown(call, refs, "this use of it is not known")

    def _unknown(self, call: Call, refs: Sequence[Ref], reason: str) -> None:
        known = [self.of(r) for r in refs if self.is_known(r)]
        for out in call.outs:
            self.step("unknown", known, (call.op, reason), out=out)

    def rank(self, number: int) -> int:
        return len(self.extents[number])


Rule = Callable[[Lowering, Call], None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operations by name."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


def lower(trials: Trials, declared: Mapping[str, str] | None = None) -> Lowered:
    """Reduce the calls to steps.

    Args:
        trials: recordings.
        declared: what operations that are not known do, ``{"erfinv": "odd"}``: ``same``, ``odd``, ``rectified`` (zero at
            zero, with a mean) or ``offset`` (not zero at zero).

    Raises:
        ValueError: for a declaration that is none of these.
    """
    from . import arithmetic, layers, shapes  # noqa: F401  (they register their rules)

    for op, kind in (declared or {}).items():
        if kind not in DECLARED:
            raise Wrong(f"`{op}` is declared as `{kind}`; choose from {', '.join(DECLARED)}")
    return Lowering(trials, declared or {}).run()
