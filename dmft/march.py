"""The causal sweep: one pass over the steps of training, each from the past alone."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .losses import errors
from .population import Fields
from .rules import Memory, Rule, descend
from .values import Data, Parameters, Pass, Scales
from .web import Web

SEGMENT = 16  # steps between looks at the room that is left, at divergence and at the user's patience


class Look(NamedTuple):
    """Fields of some samples at one moment.

    Args:
        passed: the forward pass.
        gradients: ``n df/dh`` of every hidden layer, for one output; else none.
        coefficients: of those gradients, as `Web.backward` returns them.
    """

    passed: Pass
    gradients: tuple[Fields, ...]
    coefficients: tuple[Float[Array, "sample basis"], ...]


class State(NamedTuple):
    """Where training stands."""

    network: Web
    parameters: Parameters
    memory: Memory

    @property
    def full(self) -> Bool[Array, ""]:
        """Whether a basis had no room left."""
        return jnp.array([edge.full for edge in self.network.edges]).any() if self.network.edges else jnp.zeros((), bool)


def start(network: Web, data: Data, scales: Scales, *, orthogonal: bool, memories: int) -> State:
    """The state at initialisation: see `Web.start`; an optimizer remembers so many values per parameter."""
    begun, parameters = network.start(data, scales, orthogonal=orthogonal)
    return State(begun, parameters, (jax.tree.map(jnp.zeros_like, parameters),) * memories)


def look(state: State, inputs: Float[Array, "sample coordinate"], scales: Scales) -> Float[Array, "sample out"]:
    """The outputs of samples now; what had to be drawn for them is forgotten."""
    return state.network.forward(state.parameters, inputs, scales)[1].outputs


def look_inside(state: State, inputs: Float[Array, "sample coordinate"], scales: Scales) -> tuple[Web, Look]:
    """The fields of samples now; what had to be drawn for them is kept, since fields of several steps are compared."""
    network, passed = state.network.forward(state.parameters, inputs, scales)
    if passed.outputs.shape[1] != 1:
        return network, Look(passed, (), ())
    unit = jnp.ones_like(passed.outputs)
    network, back = network.backward(state.parameters, passed, unit, scales)
    return network, Look(passed, back.deltas, back.coefficients)


def advance(
    state: State, data: Data, scales: Scales, begin: Int[Array, ""], end: Int[Array, ""], rule: Rule, loss: str
) -> tuple[State, Float[Array, "step batch out"]]:
    """Train from one step to another, at most `SEGMENT` further.

    Returns:
        The state, and the outputs of every batch before its update.
    """

    def slope(now: State, step: Int[Array, ""]) -> tuple[State, Parameters, Float[Array, "batch out"]]:
        samples = data.index[step]
        inputs, targets = data.inputs[samples], data.targets[samples]
        network, passed = now.network.forward(now.parameters, inputs, scales)
        wrong = errors(passed.outputs, targets, loss)
        network, back = network.backward(now.parameters, passed, wrong, scales)
        up = network.ascent(now.parameters, inputs, passed, back, scales)
        return now._replace(network=network), up, passed.outputs

    def discrete(now: State, step: Int[Array, ""]) -> tuple[State, Float[Array, "batch out"]]:
        now, up, outputs = slope(now, step)
        parameters, memory = descend(now.parameters, now.memory, up, scales.rates, data.factors[step], rule, step)
        return now._replace(parameters=parameters, memory=memory), outputs

    def flow(now: State, step: Int[Array, ""]) -> tuple[State, Float[Array, "batch out"]]:
        time = data.factors[step] / rule.substeps

        def heun(_: Array, before: State) -> State:
            here, up = slope(before, step)[:2]
            euler = descend(here.parameters, (), up, scales.rates, time, rule, step)[0]
            there, again = slope(here._replace(parameters=euler), step)[:2]
            twice = descend(euler, (), again, scales.rates, time, rule, step)[0]
            return there._replace(parameters=jax.tree.map(lambda p, q: (p + q) / 2, here.parameters, twice))

        outputs = look(now, data.inputs[data.index[step]], scales)
        return jax.lax.fori_loop(0, rule.substeps, heun, now), outputs

    one = flow if rule.kind == "flow" else discrete

    def body(step: Int[Array, ""], carry: tuple[State, Array]) -> tuple[State, Array]:
        now, outputs = one(carry[0], step)
        return now, jax.lax.dynamic_update_index_in_dim(carry[1], outputs, step - begin, 0)

    room = jnp.zeros((SEGMENT, data.index.shape[1], data.targets.shape[1]))
    return jax.lax.fori_loop(begin, end, body, (state, room))


@partial(jax.jit, static_argnames=("rule", "loss", "parallel"))
def advance_all(
    state: State, data: Data, scales: Scales, begin: Array, end: Array, *, rule: Rule, loss: str, parallel: bool
) -> tuple[State, Float[Array, "replicate step batch out"]]:
    """`advance` for all replicates, each with its own scales.

    Args:
        parallel: all at once, as a GPU wants it; else one after the other, which takes a CPU a third of the time, since each stays
            in its cache and a basis that needs no more vectors costs nothing.
    """

    def one(now: State, own: Scales) -> tuple[State, Array]:
        return advance(now, data, own, begin, end, rule, loss)

    if parallel:
        return jax.vmap(one)(state, scales)
    return jax.lax.map(lambda pair: one(*pair), (state, scales))
