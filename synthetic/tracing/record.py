"""Recording what a module computes: every elementary operation, with its arguments and the module that asked for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Ref:
    """A tensor among the arguments of a call."""

    ident: int


@dataclass(frozen=True)
class Call:
    """One elementary operation.

    Args:
        op: its name without the overload, for example ``addmm``.
        args: positional arguments; tensors are `Ref`.
        named: keyword arguments.
        outs: the tensors that it makes.
        place: the module whose forward asked for it, as in ``named_modules()``.
    """

    op: str
    args: tuple[Any, ...]
    named: Mapping[str, Any]
    outs: tuple[int, ...]
    place: str


@dataclass
class Recording:
    """Calls in order, and what is known of every tensor.

    Args:
        shapes: of every tensor, by its number.
        parameters: number -> name in ``named_parameters()``.
        frozen: names of parameters without a gradient.
        inputs: numbers of the tensors that the module was called with.
        whole: numbers of integer or boolean tensors.
        output: the first real tensor that the module returns.
    """

    calls: list[Call] = field(default_factory=list)
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    parameters: dict[int, str] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    inputs: list[int] = field(default_factory=list)
    whole: set[int] = field(default_factory=set)
    output: int = -1


def record(module: nn.Module, example: Any) -> Recording:
    """Run ``module`` once on ``example`` (a tensor, a tuple of arguments, or a dict of keyword arguments).

    Raises:
        ValueError: if it fails on the example, or returns no real tensor.
    """
    args, named = call_arguments(example)
    with _Recorder(module, [*args, *named.values()]) as recorder, _places(module, recorder):
        returned = module(*args, **named)
    output = first_real(returned)
    if output is None:
        raise ValueError(f"the module returns {type(returned).__name__}, in which there is no tensor of real numbers")
    recorder.found.output = recorder.number(output)
    return recorder.found


def call_arguments(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of an example input."""
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example), {}) if isinstance(example, (tuple, list)) else ((example,), {})


def first_real(value: Any) -> Tensor | None:
    """The first tensor of real numbers in what a module returned; ``logits`` before others."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, Mapping):
        items = [value["logits"]] if "logits" in value else list(value.values())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [getattr(value, f.name) for f in dataclasses.fields(value)]
    else:
        items = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    return next((found for item in items if (found := first_real(item)) is not None), None)


class _Recorder(TorchDispatchMode):
    """Numbers tensors and notes calls; an operation in place makes a new number."""

    def __init__(self, module: nn.Module, inputs: Sequence[Any]):
        super().__init__()
        self.found, self.places = Recording(), [""]
        self._kept: list[Tensor] = []  # a tensor that is freed could give its id to another one
        self._numbers: dict[int, int] = {}
        self._root: dict[int, int] = {}
        self._stale: set[int] = set()
        for name, parameter in module.named_parameters():
            self.found.parameters[self.number(parameter)] = name
            if not parameter.requires_grad:
                self.found.frozen.add(name)
        for value in inputs:
            if isinstance(value, Tensor):
                self.found.inputs.append(self.number(value))

    def number(self, tensor: Tensor, *, fresh: bool = False) -> int:
        key = id(tensor)
        if key not in self._numbers or fresh:
            number = self._numbers[key] = len(self.found.shapes)
            self._kept.append(tensor)
            self.found.shapes[number] = tuple(tensor.shape)
            self._root[number] = number
            if not (tensor.is_floating_point() or tensor.is_complex()):
                self.found.whole.add(number)
        return self._numbers[key]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket.__name__
        taken = [self._plain(a) for a in args], {k: self._plain(v) for k, v in kwargs.items()}
        result = func(*args, **kwargs)
        results = [r for r in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(r, Tensor)]
        given = {id(a) for a in args if isinstance(a, Tensor)}
        outs = []
        for r in results:
            changed = id(r) in given and packet.endswith("_")
            if changed:
                self._outdate(self.number(r))
            number = self.number(r, fresh=changed)
            outs.append(number)
            if not changed and func.is_view:
                self._root[number] = self._root[self.number(args[0])]
        self.found.calls.append(Call(packet.removesuffix("_"), tuple(taken[0]), taken[1], tuple(outs), self.places[-1]))
        return result

    def _outdate(self, number: int) -> None:
        """After a change in place, other views of the same memory no longer hold what was recorded."""
        self._stale |= {n for n, root in self._root.items() if root == self._root[number]}

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            number = self.number(value)
            if number in self._stale:
                raise ValueError(f"`{self.places[-1]}` changes a tensor in place through a view of it; the trace cannot follow that")
            return Ref(number)
        if isinstance(value, (list, tuple)):
            return tuple(self._plain(v) for v in value)
        return value


@contextmanager
def _places(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Keep ``recorder.places`` a stack of the modules that are running."""
    names = {id(m): name for name, m in module.named_modules()}

    def enter(running: nn.Module, _: Any) -> None:
        recorder.places.append(names.get(id(running), recorder.places[-1]))

    def leave(*_: Any) -> None:
        recorder.places.pop()

    handles = [hooks.register_module_forward_pre_hook(enter), hooks.register_module_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def build_on(device: torch.device | str, factory: Callable[..., Any], sizes: Mapping[str, int]) -> Any:
    """What the factory makes at these sizes, on a device (``meta`` needs neither memory nor time)."""
    with torch.device(device):
        return factory(**sizes)
