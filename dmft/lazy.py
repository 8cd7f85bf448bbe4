"""The lazy limit: the network linearised at its initialisation, whose tangent kernel never moves. For comparison only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .coordinates import coordinates
from .losses import errors
from .march import State
from .network import Network
from .problem import Problem
from .replicates import Run, begin, recorded
from .scales import scales_of
from .settings import Settings
from .values import Scales

Kernel = Float[Array, "sample out sample out"]


def tangent_kernel(state: State, inputs: Float[Array, "sample coordinate"], scales: Scales) -> Kernel:
    """``K = sum over weights of rate <df/dW df/dW>``: the gradients of every output, through the layers' kernels.

    For a perceptron ``K = sum_l G^(l+1) * Phi^l`` (Bordelon and Pehlevan, arXiv 2205.09653), each term with its rate.
    """
    network, parameters = state.network, state.parameters
    assert isinstance(network, Network)
    rates, wiring = scales.rates.learning, network.wiring
    network, passed = network.forward(parameters, inputs, scales)
    outputs, samples = parameters.readout.shape[0], inputs.shape[0]
    unit = jnp.repeat(jnp.eye(outputs), samples, axis=0)  # output-major: (out sample), out
    wide = lambda field: jnp.tile(field, (outputs, 1))  # noqa: E731
    many = passed._replace(before=tuple(wide(b) for b in passed.before))
    network, back = network.backward(parameters, many, unit, scales)
    inner = network.populations[wiring.last].inner
    gram = lambda a: jnp.tile(inner(a, a), (outputs, outputs))  # noqa: E731
    slopes = [inner(d, d) for d in back.deltas]
    total = rates.first * slopes[0] * jnp.tile(inputs @ inputs.T, (outputs, outputs))
    for layer, rate in enumerate(rates.hidden):
        share = scales.branch**2 if wiring.residual else 1.0
        total += rate * share * slopes[layer + 1] * gram(passed.features[layer])
    for rate, slope in zip(rates.biases, slopes, strict=bool(rates.biases)):
        total += rate * slope
    own = jnp.kron(jnp.eye(outputs), jnp.ones((samples, samples)))
    total += rates.readout * own * gram(passed.features[-1])
    for rate in rates.shift:
        total += rate * own
    return total.reshape(outputs, samples, outputs, samples).transpose(1, 0, 3, 2)


@jax.jit
def tangent_kernels(state: State, inputs: Float[Array, "sample coordinate"], scales: Scales) -> Float[Array, "replicate sample out s2 o2"]:
    """`tangent_kernel` of every replicate."""
    return jax.vmap(partial(tangent_kernel, inputs=inputs, scales=scales))(state)


def train_kernel(problem: Problem, kernel: Float[np.ndarray, "sample out sample out"], records: Sequence[int]) -> np.ndarray:
    """Discrete training of the linearised network, from zero outputs, on all samples (training ones first).

    Returns:
        Outputs at the recorded steps, (record, sample, output).
    """
    samples, outputs = kernel.shape[:2]
    train = len(problem.inputs)
    f = np.zeros((samples, outputs))
    velocity, kept = np.zeros_like(f), []
    rule = problem.rule
    for step in range(problem.steps + 1):
        if step in records:
            kept.append(f.copy())
        if step == problem.steps:
            break
        batch = np.arange(train) if problem.index is None else problem.index[step]
        factor = 1.0 if problem.schedule is None else problem.schedule[step]
        wrong = np.asarray(errors(jnp.asarray(f[batch]), jnp.asarray(problem.values[batch]), problem.loss)) / len(batch)
        push = np.tensordot(kernel[:, :, batch], wrong, axes=([2, 3], [0, 1]))
        velocity = rule.momentum * velocity + push
        f = f + factor * (push + rule.momentum * velocity if rule.nesterov else velocity)
    return np.stack(kept)


def run_lazy(problem: Problem, settings: Settings, keys: Sequence[int]) -> Run:
    """Replicates of the lazy limit; their spread is that of the tangent kernel.

    Raises:
        ValueError: for weight decay, which pulls a linearised network towards zero weights, where it is not linear.
    """
    scales = scales_of(problem, settings.cut)
    if any(float(rate) for rate in jax.tree.leaves(scales.rates.decay)) or problem.rule.kind != "sgd":
        raise ValueError("the method `lazy` is for gradient descent without weight decay; set the constants' `weight_decay` to 0")
    train, test = coordinates(problem.inputs, problem.test)
    samples = jnp.asarray(train if test is None else np.concatenate([train, test]))
    state = begin(problem, settings, keys)
    kernels = np.asarray(tangent_kernels(state, samples, scales))  # of one problem: all replicates have its scales
    records = recorded(problem)
    found = np.stack([train_kernel(problem, kernel, records) for kernel in kernels])
    count = len(train)
    return Run(np.array(records), found[:, :, :count], None if test is None else found[:, :, count:], {}, state, (), settings.particles)
