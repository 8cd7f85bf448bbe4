"""Training a target at several sizes for `diagnosis`: a user's module itself, or the networks that an architecture says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from ..synthetic.ensemble import Ensemble
from ..synthetic.following import MOMENTS, follow
from ..synthetic.module_following import Course, Study
from ..synthetic.module_matrices import Growing, growing
from ..synthetic.scaling import scale
from ..synthetic.sources import Given, given, leaves
from ..synthetic.tasks import Task, default_task
from ..theory.architecture import Architecture
from ..theory.constants import Constants
from ..theory.derivation import derive
from ..theory.table import ExponentTable
from .conditions import exists
from .diagnosis import BETAS, Diagnosis, Settings, flagged, initial_ratio, powers

SIZES = (32, 64, 128, 256, 512)
PER_INPUT = 16
Say = Callable[[str], object]


@dataclass(frozen=True)
class Target:
    """What is diagnosed.

    Args:
        architecture: of the zoo, or traced.
        factory: makes the module that it was traced from.
        data: makes the arrays (see `arrays`); None: random ones for a module, the default task for others.
        words: how the data are called.
    """

    architecture: Architecture
    factory: Callable[..., Any] | None = None
    data: Callable[..., Any] | None = None
    words: str = ""

    def axis(self, wanted: str) -> str:
        """The one that grows.

        Raises:
            ValueError: if there is none of that name.
        """
        names = [axis.name for axis in self.architecture.axes if axis.power]
        if wanted and wanted not in names:
            raise ValueError(f"`{self.architecture.name}` has no axis `{wanted}` that grows (it has {', '.join(names)})")
        return wanted or names[0]

    def sizes(self, axis: str, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Those asked for, or the first three powers of two at which all dimensions are whole.

        Raises:
            ValueError: if the network does not exist at one.
        """
        for size in wanted:
            if not exists(self.architecture, axis, size):
                raise ValueError(f"`{self.architecture.name}` does not exist at {axis}={size}: a dimension would not be a positive integer")
        return wanted or tuple(islice((size for size in SIZES if exists(self.architecture, axis, size)), 3))


def diagnose(target: Target, settings: Settings, say: Say = lambda text: None) -> Diagnosis:
    """Derive muP, train every size from every seed with decay at equal timescale, and find how matrices grow.

    Raises:
        ValueError: if there is no table or nothing to measure, a run diverges or is not stationary, or data do not fit.
    """
    axis = target.axis(settings.axis)
    settings = replace(settings, axis=axis, sizes=target.sizes(axis, settings.sizes))
    say(f"deriving the exponents of {target.architecture.name}")
    table = derive(target.architecture, "adamw")
    if table.verdict not in ("unique", "family"):
        raise ValueError(f"`{target.architecture.name}` has no muP table to be trained under ({table.verdict})")
    wanted, left = growing(target.architecture, axis)
    if not wanted:
        raise ValueError(f"`{target.architecture.name}` has no trained matrix of which both sides grow with `{axis}`, so no decay to scale")
    measure = _networks if target.factory is None else _module
    frame, steps, stationarity, words = measure(target, table, wanted, settings, say)
    seen = set(frame["weight"]) if len(frame) else set()
    left |= {
        own.name: "its product with anything is not seen (a product of parameters, or a kind of convolution)"
        for own in wanted
        if own.name not in seen
    }
    if not seen:
        raise ValueError(
            f"none of the matrices of `{target.architecture.name}` could be measured: " + "; ".join(f"{n}: {w}" for n, w in left.items())
        )
    rates = {own.name: powers(table, parameter(own), axis)[1] for own in wanted}
    shapes = {own.name: (own.inn, own.out) for own in wanted}
    return Diagnosis(flagged(frame, axis), axis, settings, steps, stationarity, rates, shapes, left, words)


def parameter(own: Growing) -> str:
    """The row of a table that speaks of a matrix."""
    return own.parts[0].name


def arrays(function: Callable[..., Any], words: str, sizes: Mapping[str, int], seed: int, samples: int) -> Any:
    """What a user's function returns, called with those of ``seed``, ``samples`` and the sizes of the axes that it takes.

    Raises:
        ValueError: if it wants something else, or fails; the message says how.
    """
    known = {"seed": seed, "samples": samples, **sizes}
    asked = inspect.signature(function).parameters.values()
    free = any(p.kind is p.VAR_KEYWORD for p in asked)
    if unknown := [
        p.name for p in asked if p.name not in known and p.default is p.empty and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]:
        raise ValueError(f"{words} asks for `{unknown[0]}`; it may take {', '.join(known)} (give others a default)")
    chosen = {name: value for name, value in known.items() if free or any(p.name == name for p in asked)}
    try:
        return function(**chosen)
    except (Exception, SystemExit) as error:
        called = ", ".join(f"{name}={value}" for name, value in chosen.items())
        raise ValueError(f"{words} failed when called with {called}: {type(error).__name__}: {error}") from error


def _given(target: Target, settings: Settings, sizes: Mapping[str, int], seed: int, steps: int) -> Given:
    assert target.data is not None
    samples = steps * settings.batch + PER_INPUT * sizes[settings.axis]
    made = arrays(target.data, target.words, sizes, seed, samples)
    return given(made, loss=settings.loss, batch_size=settings.batch, steps=steps, seed=seed, what=target.words)


Measured = tuple[pd.DataFrame, int, float, str]


def _module(target: Target, table: ExponentTable, wanted: tuple[Growing, ...], settings: Settings, say: Say) -> Measured:
    import torch

    factory, axis, architecture = target.factory, settings.axis, target.architecture
    assert factory is not None
    torch.manual_seed(0)
    sources = None if target.data is None else lambda sizes, seed: _given(target, settings, sizes, seed, steps)
    study = Study(factory, architecture, table, axis, settings.sizes, wanted, Course(1.0, 1.0, 0, ()), sources)
    reference = study.make(study.base)[0]
    starts = {own: float(reference.get_parameter(parameter(own)).detach().double().std()) for own in wanted}
    steps, warmup = settings.planned(_largest_ratio(starts, table, settings))
    looks = settings.looks(steps)
    course = Course(settings.learning_rate, settings.decay, steps, looks, warmup, settings.batch, BETAS, PER_INPUT)
    say(f"{len(settings.sizes)} sizes x {settings.seeds} seeds, {steps} updates each")
    frame = replace(study, course=course).follow(range(settings.seeds), say)
    return frame, steps, course.stationarity(steps), target.words or "random, of which nothing can be learned"


def _largest_ratio(starts: Mapping[Growing, float], table: ExponentTable, settings: Settings) -> float:
    """Of initial to final squared norms, over matrices and sizes."""
    found = []
    for own, start in starts.items():
        init, rate, decay = powers(table, parameter(own), settings.axis)
        zero = table.row(parameter(own)).zero_init
        growth = [size / min(settings.sizes) for size in settings.sizes]
        found += [0.0 if zero else initial_ratio(start, init, settings, rate, decay, g) for g in growth]
    return max(found)


def _networks(target: Target, table: ExponentTable, wanted: tuple[Growing, ...], settings: Settings, say: Say) -> Measured:
    """The networks of an architecture."""
    net, axis = target.architecture, settings.axis
    base = net.sizes({axis: min(settings.sizes)})
    default, names = Constants.default(net, base=base), {own.name for own in wanted}
    weights = {n: replace(w, epsilon=1e-12, weight_decay=settings.decay if n in names else 0.0) for n, w in default.weights.items()}
    constants = replace(default, weights=weights)
    steps, warmup = settings.planned(_largest_ratio({own: weights[own.name].init_std for own in wanted}, table, settings))
    frames, stationarity, words = [], 0.0, target.words
    for size in settings.sizes:
        sizes = {**base, axis: size}
        task = default_task(net, sizes=sizes) if target.data is None else _task(target, settings, sizes, steps)
        words = words or f"the task {task.name}"
        ensemble = Ensemble(
            net, table, task, sizes, (settings.learning_rate,), tuple(range(settings.seeds)), steps, min(settings.batch, task.train),
            constants=constants, base=base, betas=BETAS, warmup=warmup, records=2,
        )  # fmt: skip
        say(f"{ensemble.label}: {settings.seeds} networks, {steps} updates")
        try:
            found = follow(ensemble, settings.looks(steps), moments=MOMENTS, probe=PER_INPUT * size)
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"`{net.name}` at {axis}={size} cannot be trained on {words}: {str(error).splitlines()[0]}") from error
        _refuse_diverged(found, axis, size)
        scaling = scale(net, table, constants, sizes=sizes, base=base).weights
        found = found[found["weight"].isin(names) & found["k"].isna()]
        rate = found["weight"].map({n: scaling[n].learning_rate * settings.learning_rate for n in names})
        frames.append(found.assign(rate=rate, decay=found["weight"].map({n: scaling[n].weight_decay for n in names})))
        stationarity = float(found.loc[(found["term"] == "stationarity") & (found["step"] == steps), "value"].min())
    return pd.concat(frames, ignore_index=True), steps, stationarity, words


def _task(target: Target, settings: Settings, sizes: Mapping[str, int], steps: int) -> Task:
    found = _given(target, settings, sizes, 0, steps)
    inputs = leaves(found.inputs)
    if len(inputs) != 1:
        raise ValueError(f"{target.words} returned {len(inputs)} inputs; a network of the zoo reads one array")
    return Task(
        target.architecture.name,
        inputs[0].numpy(),
        found.targets.double().numpy() if found.loss != "cross-entropy" else found.targets.numpy(),
        found.loss,
        found.train,
    )


def _refuse_diverged(frame: pd.DataFrame, axis: str, size: int) -> None:
    wild = frame["diverged_at"].dropna()
    if len(wild) or not np.isfinite(frame.loc[frame["term"] == "train loss", "value"]).all():
        at = f" at update {int(wild.min())}" if len(wild) else ""
        raise ValueError(f"a run at {axis}={size} diverged{at}: give a smaller --learning-rate, and --decay larger by as much")
