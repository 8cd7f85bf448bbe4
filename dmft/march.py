"""The causal sweep: one pass over the steps of training, each from the past alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .edge import Edge
from .losses import errors
from .network import Network, Parameters, Pass, Wiring, ascent, backward, forward
from .population import Fields
from .rules import Memory, Rates, Rule, descend

SEGMENT = 16  # steps between looks at the room that is left, at divergence and at the user's patience


class Data(NamedTuple):
    """What is learned.

    Args:
        inputs: coordinates of the samples.
        targets: values, or one-hot classes.
        index: the samples of every step.
        factors: the schedule.
    """

    inputs: Float[Array, "sample coordinate"]
    targets: Float[Array, "sample out"]
    index: Int[Array, "step batch"]
    factors: Float[Array, " step"]


class Scales(NamedTuple):
    """The numbers of a problem that a compiled program may be given anew.

    Args:
        rates: learning rates and decays.
        stds: initial standard deviations of the input matrix, the hidden matrices and the readout, at width 1.
        branch: the multiplier of residual branches.
        tolerance: variance of what is left out of a basis, relative to the fields.
    """

    rates: Rates
    stds: tuple[Float[Array, ""], tuple[Float[Array, ""], ...], Float[Array, ""]]
    branch: Float[Array, ""]
    tolerance: Float[Array, ""]


class Look(NamedTuple):
    """Fields of some samples at one moment.

    Args:
        passed: the forward pass.
        gradients: ``n df/dh`` of every hidden layer, for one output; else none.
        coefficients: of those gradients, as `network.backward` returns them.
    """

    passed: Pass
    gradients: tuple[Fields, ...]
    coefficients: tuple[Float[Array, "sample basis"], ...]


class State(NamedTuple):
    """Where training stands."""

    network: Network
    parameters: Parameters
    memory: Memory

    @property
    def full(self) -> Bool[Array, ""]:
        """Whether a basis had no room left."""
        return jnp.array([edge.full for edge in self.network.edges]).any() if self.network.edges else jnp.zeros((), bool)


def start(network: Network, data: Data, scales: Scales, *, orthogonal: bool, memories: int) -> State:
    """Draw input matrix and readout.

    Args:
        network: empty.
        data: samples.
        scales: standard deviations.
        memories: values per parameter that the optimizer remembers.
        orthogonal: make the readout orthogonal to the features, as it is in the limit: predictions start at exactly zero.
    """
    wiring = network.wiring
    first, hidden, readout = scales.stds
    pool = list(network.populations)

    def draw(which: int, rows: int) -> Fields:
        fields = pool[which].draw(rows)
        pool[which] = pool[which].skip(rows)
        return fields

    w0 = draw(0, data.inputs.shape[1])
    w1 = draw(wiring.last, data.targets.shape[1])
    dtype = w0.dtype
    neurons = [w0.shape[1]] * wiring.layers
    parameters = Parameters(
        (first * w0).astype(dtype),
        tuple(_unchanged(edge, wiring) for edge in network.edges),
        tuple(jnp.asarray(std, float) for std in hidden),
        tuple(jnp.zeros(size, dtype) for size in neurons) if wiring.biases else (),
        (readout * w1).astype(dtype),
        (jnp.zeros(data.targets.shape[1]),) if wiring.shift else (),
    )
    network = replace(network, populations=tuple(pool))
    if orthogonal:
        _, passed = forward(network, parameters, data.inputs, scales.branch, scales.tolerance)
        parameters = parameters._replace(readout=_orthogonal(parameters.readout, passed.features[-1], network))
    return State(network, parameters, (jax.tree.map(jnp.zeros_like, parameters),) * memories)


def _unchanged(edge: Edge, wiring: Wiring) -> Float[Array, "back ahead"]:
    """No change of a hidden matrix."""
    back, ahead = edge.backward.vectors, edge.forward.vectors
    if wiring.dense:
        return jnp.zeros((back.shape[1], ahead.shape[1]), back.dtype)
    return jnp.zeros((len(back), len(ahead)))


def _orthogonal(readout: Fields, features: Fields, network: Network) -> Fields:
    """Without the part in the span of the features."""
    inner = network.populations[network.wiring.last].inner
    values, axes = jnp.linalg.eigh(inner(features, features))
    kept = values > 1e-10 * values[-1]
    basis = jnp.where(kept, axes / jnp.sqrt(jnp.where(kept, values, 1.0)), 0.0).T.astype(features.dtype) @ features
    return readout - inner(readout, basis) @ basis


def look(state: State, inputs: Float[Array, "sample coordinate"], scales: Scales) -> Float[Array, "sample out"]:
    """The outputs of samples now; what had to be drawn for them is forgotten."""
    return forward(state.network, state.parameters, inputs, scales.branch, scales.tolerance)[1].outputs


def look_inside(state: State, inputs: Float[Array, "sample coordinate"], scales: Scales) -> tuple[Network, Look]:
    """The fields of samples now; what had to be drawn for them is kept, since fields of several steps are compared."""
    network, passed = forward(state.network, state.parameters, inputs, scales.branch, scales.tolerance)
    if passed.outputs.shape[1] != 1:
        return network, Look(passed, (), ())
    unit = jnp.ones_like(passed.outputs)
    network, gradients, coefficients = backward(network, state.parameters, passed, unit, scales.branch, scales.tolerance)
    return network, Look(passed, gradients, coefficients)


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
        network, passed = forward(now.network, now.parameters, inputs, scales.branch, scales.tolerance)
        wrong = errors(passed.outputs, targets, loss)
        network, deltas, back = backward(network, now.parameters, passed, wrong, scales.branch, scales.tolerance)
        up = ascent(now.parameters, inputs, passed, deltas, back, wrong, now.network.wiring, scales.branch)
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
