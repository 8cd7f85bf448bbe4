"""One module at several sizes: the same calls, with dimensions and constants that are monomials of the axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from ...theory.scales import Powers
from .record import Call, Recording, build_on, record

RATIOS = (4, 2, 64, 9)  # by which sizes grow; 64 shows cube roots, 9 fits where powers of two do not
LARGEST_DENOMINATOR = 6
Extent = tuple[int, ...]


class NotMonomial(ValueError):
    """A size or a constant is no monomial of the axes at the sizes tried."""


@dataclass(frozen=True)
class Trials:
    """The recordings of one module at several sizes, call by call the same.

    Args:
        sizes: one mapping per trial; the first is the base, then one per axis (grown alone), then all grown.
        recordings: aligned, one per trial.
        layers: the axis that is a number of repeated blocks, and the calls of one block; empty without.
        extras: what else the factory returned.
    """

    sizes: tuple[Mapping[str, int], ...]
    recordings: tuple[Recording, ...]
    layers: str = ""
    extras: Mapping[str, str] | None = None

    @property
    def base(self) -> Recording:
        return self.recordings[0]

    def extents(self) -> dict[int, tuple[Extent, ...]]:
        """The shape of every tensor of the base recording: per dimension its size in every trial."""
        others = [self._numbers(r) for r in self.recordings]
        return {
            number: tuple(zip(*(r.shapes[o[number]] for r, o in zip(self.recordings, others, strict=True)), strict=True))
            for number in self.base.shapes
            if all(number in o for o in others)
        }

    def _numbers(self, other: Recording) -> dict[int, int]:
        """Tensors of the base recording as numbered in another one."""
        named = {name: number for number, name in other.parameters.items()}
        found = {number: named[name] for number, name in self.base.parameters.items() if name in named}
        found |= dict(zip(self.base.inputs, other.inputs, strict=True))
        for a, b in zip(self.base.calls, other.calls, strict=True):
            found |= dict(zip(a.outs, b.outs, strict=True))
            for x, y in zip(_refs(a), _refs(b), strict=True):
                found.setdefault(x, y)
        return found

    def monomial(self, values: Sequence[float | int], what: str) -> tuple[float, Powers]:
        """``values`` (one per trial) as ``factor * product of powers of the axes``.

        Raises:
            NotMonomial: if they are none; the message gives values and sizes.
        """
        axes = list(self.sizes[0])
        powers: dict[str, Fraction] = {}
        for i, axis in enumerate(axes, start=1):
            growth = self.sizes[i][axis] / self.sizes[0][axis]
            ratio = values[i] / values[0] if values[0] else math.nan
            if not ratio > 0:
                raise self._refuse(values, what)
            powers[axis] = Fraction(math.log(ratio) / math.log(growth)).limit_denominator(LARGEST_DENOMINATOR)
        found = Powers(powers)
        for size, value in zip(self.sizes, values, strict=True):
            expected = values[0] * found({a: size[a] / self.sizes[0][a] for a in axes})
            if not math.isclose(value, expected, rel_tol=1e-5):
                raise self._refuse(values, what)
        return values[0] / found(self.sizes[0]), found

    def _refuse(self, values: Sequence[float | int], what: str) -> NotMonomial:
        shown = [0, *(i for i in range(1, len(values)) if values[i] != values[0])][:3]
        seen = ", ".join(f"{values[i]:.6g} at {', '.join(f'{a}={s}' for a, s in self.sizes[i].items())}" for i in shown)
        return NotMonomial(f"{what} is {seen}: that is no product of powers of the axes")


def run_trials(factory: Callable[..., Any], base: Mapping[str, int], name: str, ratio: int) -> Trials:
    """Build and record the factory's module at the base, with each axis ``ratio`` times as large, and all by its square.

    Raises:
        ValueError: if it fails at these sizes, returns something else, or computes differently at other sizes.
    """
    sizes = [dict(base), *({**base, a: base[a] * ratio} for a in base), {a: s * ratio**2 for a, s in base.items()}]
    made = [_make(factory, size, name) for size in sizes]
    trials = _align([r for r, _ in made], sizes, made[0][1], name)
    changed = {i for shape in trials.extents().values() for e in shape for i in range(len(e)) if e[i] != e[0]}
    for i, axis in enumerate(base, start=1):
        if i not in changed and axis != trials.layers:
            raise Wrong(f"{name} takes `{axis}`, but no dimension grows with it; give it a default if it is not a size that grows")
    return trials


class Wrong(ValueError):
    """No other sizes would help."""


def _make(factory: Callable[..., Any], sizes: Mapping[str, int], name: str) -> tuple[Recording, Mapping[str, str]]:
    given = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    try:
        return _record(build_on("meta", factory, sizes), name)
    except Wrong:
        raise
    except Exception:  # some modules compute with numbers when they are built or called
        try:
            torch.manual_seed(0)
            return _record(build_on("cpu", factory, sizes), name)
        except Wrong:
            raise
        except Exception as error:
            raise ValueError(f"{name} failed when called with {given}: {type(error).__name__}: {error}") from error


def _record(made: Any, name: str) -> tuple[Recording, Mapping[str, str]]:
    if not (isinstance(made, tuple) and len(made) in (2, 3) and isinstance(made[0], nn.Module)):
        raise Wrong(f"{name} returned {type(made).__name__}; a factory returns (nn.Module, example_input), or an Architecture")
    module, example, *more = made
    return record(module.train(), example), more[0] if more else {}


# -- the same calls
def _align(recordings: list[Recording], sizes: Sequence[Mapping[str, int]], extras: Mapping[str, str], name: str) -> Trials:
    """Recordings of equal length; where an axis counts blocks, surplus blocks are cut out."""
    lengths = [len(r.calls) for r in recordings]
    longer = [axis for axis, length in zip(sizes[0], lengths[1:], strict=False) if length != lengths[0]]
    if len(longer) > 1:
        raise Wrong(f"{name}: the number of operations depends on several axes ({', '.join(longer)}); only one may count blocks")
    layers = longer[0] if longer else ""
    if layers:
        recordings = [_cut(recordings, sizes, i, layers, name) for i in range(len(recordings))]
    for one in recordings[1:]:
        for a, b in zip(recordings[0].calls, one.calls, strict=True):
            if _signature(a) != _signature(b):
                raise Wrong(f"{name}: at other sizes `{a.place}` computes `{b.op}` where it computed `{a.op}`; the graph must not change")
    return Trials(tuple(sizes), tuple(recordings), layers, extras)


def _signature(call: Call) -> tuple[Any, ...]:
    """A call without sizes: operation, kinds of arguments, number of results."""
    shape = lambda v: tuple(map(shape, v)) if isinstance(v, tuple) else type(v).__name__  # noqa: E731
    return call.op, tuple(shape(a) for a in call.args if not isinstance(a, tuple)), len(call.outs)


def _cut(recordings: Sequence[Recording], sizes: Sequence[Mapping[str, int]], at: int, axis: str, name: str) -> Recording:
    """Leave out the blocks that recording ``at`` has more than the base."""
    base, own = recordings[0], recordings[at]
    index = 1 + list(sizes[0]).index(axis)
    surplus, more = len(own.calls) - len(base.calls), sizes[at][axis] - sizes[0][axis]
    if not surplus:
        return own
    period, rest = divmod(len(recordings[index].calls) - len(base.calls), sizes[index][axis] - sizes[0][axis])
    signs = [_signature(c) for c in own.calls]
    start = next((i for i in range(len(signs)) if signs[i : i + surplus] == signs[i + period : i + period + surplus]), None)
    if rest or surplus != period * more or start is None:
        raise Wrong(f"{name}: the operations do not grow by one and the same block with `{axis}`")
    stop = start + sizes[0][axis] * period
    return replace(own, calls=own.calls[:stop] + own.calls[stop + surplus :])


def _refs(call: Call) -> list[int]:
    from .record import Ref

    found: list[int] = []

    def visit(value: Any) -> None:
        if isinstance(value, Ref):
            found.append(value.ident)
        elif isinstance(value, tuple):
            for v in value:
                visit(v)

    visit(call.args)
    visit(tuple(call.named.values()))
    return found
