"""Replicates of the causal sweep: independent noise, one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..theory.constants import Constants
from .coordinates import coordinates
from .edge import Edge
from .initial import empty_network
from .losses import sample_losses
from .march import SEGMENT, Look, State, advance_all, look, look_inside, start
from .population import overdrawn
from .problem import Problem
from .scales import scales_of
from .settings import Settings
from .values import Data, Scales
from .web import Web

Progress = Callable[[str, float, float], None]
"""Called with a label, the work done and the work in all."""

DIVERGED = 1e3
"""A replicate has diverged when its loss is not finite or exceeds this multiple of that at initialisation, as in finite networks."""
RECORDS = 60


@dataclass(frozen=True, eq=False)
class Run:
    """What replicates say.

    Args:
        steps: recorded ones.
        train: predictions of the training samples, (replicate, record, sample, output).
        test: of the test samples, or None.
        looks: fields at the steps asked for, by step.
        ranks: of every hidden matrix, forward and backward, the largest of the replicates.
        diverged_at: the step at which the first replicate diverged, or None.
        exhausted: a basis reached the number of particles.
    """

    steps: np.ndarray
    train: Float[np.ndarray, "replicate record sample out"]
    test: Float[np.ndarray, "replicate record test out"] | None
    looks: dict[int, Look]
    state: State
    ranks: tuple[tuple[int, int], ...]
    particles: int
    diverged_at: int | None = None
    exhausted: bool = False

    def inner(self, a: Array | np.ndarray, b: Array | np.ndarray, layer: int) -> Float[np.ndarray, "replicate row1 row2"]:
        """``<a_i b_j>`` in every replicate, of fields (replicate, row, neuron) of a layer of a pass."""
        network = self.state.network
        one = jax.vmap(lambda population, x, y: population.inner(x, y))
        return np.asarray(one(network.populations[network.sites[layer]], jnp.asarray(a), jnp.asarray(b)))


def run(
    problem: Problem,
    settings: Settings,
    keys: Sequence[int],
    *,
    at: Sequence[int] = (),
    constants: Sequence[Constants] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Run:
    """Solve with independent noise for every key.

    Args:
        problem: what is learned.
        settings: how.
        keys: of the replicates' noise.
        at: steps at which fields are kept.
        constants: of every replicate, in place of the problem's: several learning rates or richnesses as one program.
        progress: called with the part that is done.

    Raises:
        ValueError: if there are not as many constants as keys.
    """
    if constants is not None and len(constants) != len(keys):
        raise ValueError(f"there are {len(constants)} `constants` for {len(keys)} `keys`; every replicate needs its own")
    variants = [problem.with_constants(own) for own in constants or ()]
    return _March(problem, settings, keys, tuple(at), variants).run(progress or (lambda part: None))


def begin(problem: Problem, settings: Settings, keys: Sequence[int]) -> State:
    """The replicates at initialisation."""
    return _March(problem, settings, keys, ()).state


class _Kept(NamedTuple):
    """Predictions and fields by step."""

    train: dict[int, np.ndarray]
    test: dict[int, np.ndarray]
    looks: dict[int, Look]


class _March:
    """The sweep with its bookkeeping: rooms that grow, records, divergence."""

    def __init__(self, problem: Problem, settings: Settings, keys: Sequence[int], at: tuple[int, ...], variants: Sequence[Problem] = ()):
        self.problem, self.settings, self.at = problem, settings, at
        each = [scales_of(one, settings.cut) for one in variants] if variants else [scales_of(problem, settings.cut)] * len(keys)
        self.scales = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        train, test = coordinates(problem.inputs, problem.test, entrywise=problem.rule.entrywise)
        index = problem.index if problem.index is not None else np.arange(len(train))[None]
        schedule = np.ones(1) if problem.schedule is None else np.asarray(problem.schedule, float)
        # one step more than there are updates: predictions after the last one are those before another
        steps = [np.minimum(np.arange(problem.steps + 1), min(len(a), problem.steps) - 1) for a in (index, schedule)]
        self.data = Data(*(jnp.asarray(a) for a in (train, problem.values, index[steps[0]], schedule[steps[1]])))
        self.test = None if test is None else jnp.asarray(test)
        self.exhausted, self.limit = False, np.inf
        self.state = self._start(keys)

    def _start(self, keys: Sequence[int]) -> State:
        drawn = self.data.inputs.shape[1] + self.data.targets.shape[1]
        networks = [empty_network(self.problem, self.settings, key, drawn=drawn, room=self._room) for key in keys]
        network = jax.tree.map(lambda *leaves: (np if isinstance(leaves[0], np.ndarray) else jnp).stack(leaves), *networks)
        orthogonal = self.settings.noise == "quasi" and self.data.inputs.shape[0] < self.settings.particles // 4
        return start_all(network, self.data, self.scales, orthogonal=orthogonal, memories=self.problem.rule.memories)

    @property
    def _rows(self) -> int:
        """Fields that are looked at together, at most."""
        looked = len(self.data.inputs) if self.problem.full_batch or self.at or self.settings.noise == "exact" else 0
        return max(self.data.index.shape[1], looked, 0 if self.test is None or self.settings.noise != "exact" else len(self.test))

    @property
    def _room(self) -> int:
        """Rows of a basis at first, a power of two."""
        wanted = max(64, 4 * self._rows)
        return min(1 << (wanted - 1).bit_length(), self._most)

    @property
    def _most(self) -> int:
        """No basis has more vectors than there are particles; there must be room for those that are not needed."""
        return self.settings.particles + self._rows

    def run(self, report: Callable[[float], None]) -> Run:
        """March from mark to mark, until training diverges or a basis has no room."""
        problem, kept = self.problem, _Kept({}, {}, {})
        records = recorded(problem)
        diverged = None
        marks = sorted({*records, *self.at, problem.steps})
        for begin, end in _pieces(marks, problem.steps):
            if begin in marks:
                self._note(begin, records, kept)
            if begin == problem.steps:
                break
            outputs = self._advance(begin, end)
            if problem.full_batch:
                kept.train.update({begin + i: outputs[:, i] for i in range(end - begin)})
            diverged = self._first_too_large(outputs[:, : end - begin], begin)
            report(end / problem.steps)
            if diverged is not None or self.exhausted:
                break
        return self._collect(kept, diverged)

    def _first_too_large(self, outputs: Float[np.ndarray, "replicate step batch out"], begin: int) -> int | None:
        """The first step at which the loss of a replicate's batch is no number, or `DIVERGED` times that of the first batch."""
        targets = self.data.targets[self.data.index[begin : begin + outputs.shape[1]]]
        losses = sample_losses(jnp.asarray(outputs), jnp.broadcast_to(targets, outputs.shape), self.problem.loss)
        largest = np.asarray(losses).mean(-1).max(0)
        if begin == 0:
            self.limit = DIVERGED * largest[0]
        bad = ~(largest <= self.limit)
        return begin + int(bad.argmax()) if bad.any() else None

    def _note(self, step: int, records: Sequence[int], kept: _Kept) -> None:
        """Predictions and fields that the sweep itself does not give."""
        if step in self.at:
            kept.looks[step] = self._look_inside()
        if step in records and not self.problem.full_batch:
            kept.train[step] = np.asarray(look_all(self.state, self.data.inputs, self.scales))
        elif step == self.problem.steps:
            kept.train[step] = self._attempt(step, step + 1)[1][:, 0]
        if step in records and self.test is not None:
            kept.test[step] = np.asarray(look_all(self.state, self.test, self.scales))

    def _attempt(self, begin: int, end: int) -> tuple[State, np.ndarray]:
        """The state and the outputs of some steps, unless a basis had no room."""
        state, outputs = advance_all(
            self.state,
            self.data,
            self.scales,
            jnp.array(begin),
            jnp.array(end),
            rule=self.problem.rule,
            loss=self.problem.loss,
            parallel=jax.default_backend() != "cpu" if self.settings.parallel is None else self.settings.parallel,
        )
        return state, np.asarray(outputs)

    def _advance(self, begin: int, end: int) -> np.ndarray:
        """Some steps; again from their beginning with more room where a basis was full."""
        while True:
            state, outputs = self._attempt(begin, end)
            if self._settled(state):
                return outputs

    def _look_inside(self) -> Look:
        """Fields of the training samples, which the bases then know."""
        while True:
            network, found = look_inside_all(self.state, self.data.inputs, self.scales)
            if self._settled(self.state._replace(network=network)):
                return jax.tree.map(np.asarray, found)

    def _settled(self, after: State) -> bool:
        """Go on from a state, with more room where another look could lack it; False if a basis was full and the state is void."""
        edges = after.network.edges
        rooms = [self._room_for(edge) for edge in edges]
        enough, full = rooms == [_room_of(edge) for edge in edges], any(bool(edge.full.any()) for edge in edges)
        self.exhausted = (full and enough) or any(overdrawn(p) for p in after.network.populations)
        if not self.exhausted:
            base = self.state if full else after
            self.state = base if enough else grown(base, rooms)
        return self.exhausted or not full

    def _room_for(self, edge: Edge) -> tuple[int, int]:
        """Room for the vectors there are and those of another look: as it is, or twice that, but no more than can be needed."""
        rooms = []
        for span, room in zip((edge.forward, edge.backward), _room_of(edge), strict=True):
            lacks = int(span.count.max()) + self._rows > room or bool(edge.full.any())
            rooms.append(min(2 * room, self._most) if lacks else room)
        return rooms[0], rooms[1]

    def _collect(self, kept: _Kept, diverged: int | None) -> Run:
        steps = sorted(kept.train)
        train = np.stack([kept.train[s] for s in steps], axis=1)
        test = np.stack([kept.test[s] for s in sorted(kept.test)], axis=1) if kept.test else None
        spans = [(edge.forward.count, edge.backward.count) for edge in self.state.network.edges]
        ranks = tuple((int(ahead.max()), int(back.max())) for ahead, back in spans)
        return Run(np.array(steps), train, test, kept.looks, self.state, ranks, self.settings.particles, diverged, self.exhausted)


@partial(jax.jit, static_argnames=("orthogonal", "memories"))
def start_all(network: Web, data: Data, scales: Scales, *, orthogonal: bool, memories: int) -> State:
    """`start` for all replicates."""
    return jax.vmap(lambda n, own: start(n, data, own, orthogonal=orthogonal, memories=memories))(network, scales)


@jax.jit
def look_all(state: State, inputs: Array, scales: Scales) -> Float[Array, "replicate sample out"]:
    """`look` for all replicates."""
    return jax.vmap(lambda s, own: look(s, inputs, own))(state, scales)


@jax.jit
def look_inside_all(state: State, inputs: Array, scales: Scales) -> tuple[Web, Look]:
    """`look_inside` for all replicates."""
    return jax.vmap(lambda s, own: look_inside(s, inputs, own))(state, scales)


def grown(state: State, rooms: Sequence[tuple[int, int]]) -> State:
    """With more room in every edge, and in what is kept in their bases."""
    one = lambda edge, room: jax.vmap(lambda e: e.grown(room))(edge)  # noqa: E731
    edges = tuple(one(edge, room) for edge, room in zip(state.network.edges, rooms, strict=True))

    pad = lambda parameters: state.network.padded(parameters, rooms)  # noqa: E731
    return State(replace(state.network, edges=edges), pad(state.parameters), tuple(pad(kept) for kept in state.memory))


def recorded(problem: Problem) -> tuple[int, ...]:
    """Every step of a short full-batch run; else 0 and log-spaced ones, the last among them."""
    if problem.full_batch and problem.test is None:
        return tuple(range(problem.steps + 1))
    spaced = np.unique(np.round(np.geomspace(1, problem.steps, RECORDS - 1)).astype(int))
    return (0, *(int(s) for s in spaced))


def _pieces(marks: Sequence[int], steps: int) -> Iterator[tuple[int, int]]:
    """From mark to mark in pieces of at most `SEGMENT` steps; the last is empty."""
    stops = sorted({*marks, *range(0, steps, SEGMENT), 0})
    yield from pairwise(stops)
    yield steps, steps


def _room_of(edge: Edge) -> tuple[int, int]:
    return edge.forward.vectors.shape[1], edge.backward.vectors.shape[1]
