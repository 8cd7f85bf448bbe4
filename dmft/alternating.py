"""The classical alternating Monte Carlo for dynamical mean-field theory: a reference for tests and benchmarks, not a way to solve.

Bordelon and Pehlevan, arXiv 2205.09653, Appendix: kernels of all layers over all pairs of times are guessed; every layer's single-site
process is sampled with them; averages give new kernels and response functions; and so on. Predictions follow the tangent kernel,
``f(t+1) = f(t) + eta K(t, t) Delta(t)``, which is a gradient-flow formula: discrete gradient descent differs by O(eta).

Written to be fast: the site process is solved causally in one pass (the published code iterates it), responses are exact path
derivatives by forward differentiation, and all of one iteration is one compiled program. It needs smooth activations (a derivative of
relu's step is lost), and its cost grows as the cube of samples times steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .activations import ACTIVATIONS
from .mixing import ExpertLayout
from .problem import Problem

JITTER = 1e-8


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kernels:
    """Per layer, over pairs of (time, sample): features, gradients, responses; all (layer, point, point), point = time x sample.

    ``features[l]`` belongs to hidden layer l, with the inputs' at 0; ``gradients[l]`` to hidden layer l, with ones above the last.
    """

    features: Array
    gradients: Array
    ahead: Array
    back: Array


@dataclass(frozen=True, eq=False)
class Alternated:
    """Losses after every iteration.

    Args:
        loss: (iteration, step), by the tangent kernel's recursion.
        kernels: the last ones.
        change: the largest change of a kernel's entry in an iteration, relative to the largest entry.
    """

    loss: Float[np.ndarray, "iteration step"]
    change: Float[np.ndarray, " iteration"]
    kernels: Kernels


def alternate(problem: Problem, *, samples: int = 500, iterations: int = 10, damping: float = 0.7, key: int = 0) -> Alternated:
    """Iterate.

    Args:
        problem: a perceptron with one output and the squared loss, trained on all samples by gradient descent.
        samples: of every layer's process, drawn anew in each iteration.
        iterations: how many.
        damping: weight of what is new.
        key: of the samples.

    Raises:
        ValueError: if the problem is another one.
    """
    layout = problem.layout
    constants = problem.constants
    assert constants is not None
    plain = problem.full_batch and problem.rule.kind == "sgd" and not problem.rule.momentum and problem.schedule is None
    if (
        isinstance(layout, ExpertLayout)
        or layout.wiring.residual
        or layout.wiring.biases
        or layout.outputs != 1
        or problem.loss != "squared"
        or not plain
    ):
        raise ValueError("the alternating method is for perceptrons with one output, the squared loss and plain gradient descent")
    names = (layout.first, *layout.hidden, layout.readout)
    rates = jnp.array([constants.weights[n].learning_rate for n in names]) * constants.learning_rate / len(problem.inputs)
    stds = [constants.weights[n].init_std for n in names]
    inputs = jnp.asarray(problem.inputs @ problem.inputs.T)
    step = partial(_iterate, activation=layout.wiring.activations[0], samples=samples, steps=problem.steps)
    kernels = _start(inputs, stds, layout.wiring.layers, problem.steps)
    losses, changes = [], []
    for i in range(iterations):
        new, f = step(kernels, jax.random.fold_in(jax.random.key(key), i), jnp.asarray(problem.values[:, 0]), rates, jnp.array(stds))
        changes.append(float(jnp.abs(new.features - kernels.features).max() / jnp.abs(new.features).max()))
        kernels = jax.tree.map(lambda old, fresh: (1 - damping) * old + damping * fresh, kernels, new) if i else new
        losses.append(((problem.values[:, 0] - f) ** 2).mean(1) / 2)
    return Alternated(np.array(losses), np.array(changes), kernels)


def _start(inputs: Float[Array, "s s"], stds: list[float], layers: int, steps: int) -> Kernels:
    """Of the network at initialisation, at all times: those of a linear one, which is close enough to begin with."""
    tile = lambda kernel: jnp.tile(kernel, (steps + 1, steps + 1))  # noqa: E731
    features = [tile(inputs)]
    for layer in range(layers):
        features.append(features[-1] * stds[layer] ** 2)
    ones = jnp.ones_like(features[0])
    gradients = [ones * stds[-1] ** 2] * layers + [ones]
    zero = jnp.zeros((layers + 1, *ones.shape))
    return Kernels(jnp.stack(features), jnp.stack([ones, *gradients]), zero, zero)


@partial(jax.jit, static_argnames=("activation", "samples", "steps"))
def _iterate(
    kernels: Kernels,
    key: Array,
    targets: Float[Array, " sample"],
    rates: Float[Array, " weight"],
    stds: Float[Array, " weight"],
    *,
    activation: str,
    samples: int,
    steps: int,
) -> tuple[Kernels, Float[Array, "time sample"]]:
    """Predictions of these kernels, and the kernels that their processes have."""
    layers, count = kernels.features.shape[0] - 1, targets.size
    f = _predict(kernels, targets, rates, steps)
    wrong = (targets - f).reshape(-1)
    times = jnp.repeat(jnp.arange(steps + 1), count)
    before, upto = times[:, None] > times[None, :], times[:, None] >= times[None, :]
    features, gradients, ahead, back = ([kernels.features[0]], [jnp.ones_like(kernels.features[0])], [], [])
    ahead.append(jnp.zeros_like(features[0]))
    back.append(jnp.zeros_like(features[0]))
    for layer in range(1, layers + 1):
        below, above = kernels.features[layer - 1], kernels.gradients[layer + 1]
        last = layer == layers
        push = before * (rates[layer - 1] * below * wrong[None, :] + kernels.ahead[layer - 1])
        pull = before * rates[layer] * above * wrong[None, :] + upto * (0.0 if last else kernels.back[layer])
        keys = jax.random.split(jax.random.fold_in(key, layer))
        u = _draw(keys[0], stds[layer - 1] ** 2 * below, samples)
        r = _draw(keys[1], stds[layer] ** 2 * above, samples)
        site = partial(_site, push=push, pull=pull, activation=activation, steps=steps, count=count)
        phi, g = jax.vmap(site)(u, r)
        features.append(phi.T @ phi / samples)
        gradients.append(g.T @ g / samples)
        to_r = jax.vmap(lambda a, b, site=site: jax.jacfwd(lambda x: site(a, x)[0])(b))(u, r).mean(0)
        to_u = jax.vmap(lambda a, b, site=site: jax.jacfwd(lambda x: site(x, b)[1])(a))(u, r).mean(0)
        ahead.append(before * stds[layer] ** 2 * to_r)
        back.append(upto * stds[layer - 1] ** 2 * to_u)
    shifted = jnp.stack([*back[1:], jnp.zeros_like(back[0])])  # B of layer l is the response of layer l + 1
    ones = jnp.ones_like(features[0])
    return Kernels(jnp.stack(features), jnp.stack([*gradients, ones]), jnp.stack(ahead), shifted), f


def _predict(kernels: Kernels, targets: Float[Array, " sample"], rates: Float[Array, " weight"], steps: int) -> Float[Array, "time sample"]:
    """``f(t+1) = f(t) + K(t, t) Delta(t)`` from zero."""
    count, layers = targets.size, kernels.features.shape[0] - 1
    total = sum(rates[layer] * kernels.features[layer] * kernels.gradients[layer + 1] for layer in range(layers + 1))
    blocks = jnp.asarray(total).reshape(steps + 1, count, steps + 1, count)
    equal = blocks[jnp.arange(steps + 1), :, jnp.arange(steps + 1)]

    def move(f: Array, tangent: Array) -> tuple[Array, Array]:
        return f + tangent @ (targets - f), f

    return jax.lax.scan(move, jnp.zeros(count), equal)[1]


def _draw(key: Array, covariance: Float[Array, "point point"], samples: int) -> Float[Array, "draw point"]:
    values, axes = jnp.linalg.eigh(covariance + JITTER * jnp.trace(covariance) / len(covariance) * jnp.eye(len(covariance)))
    normal = jax.random.normal(key, (samples, len(covariance)))
    return normal @ (axes * jnp.sqrt(jnp.maximum(values, 0))).T


def _site(
    u: Float[Array, " point"],
    r: Float[Array, " point"],
    *,
    push: Float[Array, "point point"],
    pull: Float[Array, "point point"],
    activation: str,
    steps: int,
    count: int,
) -> tuple[Float[Array, " point"], Float[Array, " point"]]:
    """One neuron's process in one causal pass: ``h = u + push g``, ``z = r + pull phi(h)``, ``g = phi'(h) z``."""
    function, slope = ACTIVATIONS[activation]

    def march(carry: tuple[Array, Array], t: Array) -> tuple[tuple[Array, Array], None]:
        phi, g = carry
        rows = t * count + jnp.arange(count)
        h = u[rows] + push[rows] @ g
        phi = phi.at[rows].set(function(h))
        z = r[rows] + pull[rows] @ phi
        return (phi, g.at[rows].set(slope(h) * z)), None

    zero = jnp.zeros_like(u)
    return jax.lax.scan(march, (zero, zero), jnp.arange(steps + 1))[0]
