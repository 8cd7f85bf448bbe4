"""`trace`: what a factory's module computes, as an `Architecture` that can be derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch

from ...theory.architecture import Architecture
from ...theory.scales import Axis
from .blocks import fold
from .emission import Emitter
from .inference import infer
from .lowering import lower
from .record import build_on
from .steps import alive
from .trials import RATIOS, Trials, Wrong, run_trials


def trace(
    factory: Callable[..., Any], base: Mapping[str, int], *, name: str = "", declared: Mapping[str, str] | None = None
) -> Architecture:
    """Build the factory's module at several sizes, recognise every dimension as a monomial of the axes, and name the graph.

    Args:
        factory: called with the axes as keyword arguments; returns ``(module, example_input)``, or these and a
            declaration of operations that are not known, ``{"erfinv": "odd"}``.
        base: the base size of every axis.
        name: of the architecture.
        declared: more declarations.

    Returns:
        The architecture; its weights are named as in ``named_parameters()``, slices of one that are used apart as ``name[0]``.
        Multipliers of inner products of two activations (attention logits) and of the transposed use of
        a tied weight are to be derived, whatever the code says.

    Raises:
        ValueError: where the module cannot be followed: a size that is no monomial, an operation that is not known; it is
            named with its place.
    """
    name = name or getattr(factory, "__name__", "module")
    refusal: ValueError | None = None
    for ratio in RATIOS:  # a refusal may be a matter of the sizes tried
        try:
            return _trace(run_trials(factory, base, f"the factory `{name}`", ratio), name, factory, declared or {})
        except Wrong:
            raise
        except ValueError as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _trace(trials: Trials, name: str, factory: Callable[..., Any], declared: Mapping[str, str]) -> Architecture:
    lowered = lower(trials, {**(trials.extras or {}), **declared})
    steps = alive(lowered.steps, lowered.output)
    dims = infer(lowered, steps)
    base = trials.sizes[0]
    emitted = fold(Emitter(lowered, dims, initialisers(factory, base)).run(steps, lowered.output), trials.layers)
    shrinking = {axis for d in emitted.dims.values() for axis, power in d.powers.items() if power < 0}
    axes = tuple(Axis(a, base=size, power=Fraction(a not in shrinking)) for a, size in base.items())
    weights = {w: weight for w, weight in emitted.weights.items() if any(n.weight == w for n in emitted.nodes)}
    nodes = tuple(replace(n, written=emitted.own.get(n.name)) if n.op == "scale" else n for n in emitted.nodes)
    return Architecture(name, axes, emitted.dims, weights, nodes, tuple(trials.base.parameters.values()))


def initialisers(factory: Callable[..., Any], base: Mapping[str, int]) -> dict[str, str]:
    """How the module starts every parameter: ``zero``, ``ones`` (any constant) or ``gaussian`` (anything random)."""
    torch.manual_seed(0)
    module = build_on("cpu", factory, base)[0]
    found = {}
    for name, parameter in module.named_parameters():
        value = parameter.detach().flatten()
        constant = bool((value == value[0]).all()) if value.numel() else True
        found[name] = "gaussian" if not constant else "zero" if not value[:1].any() else "ones"
    return found
