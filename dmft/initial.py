"""The network before anything was looked at: populations with their noise, matrices without a basis."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from .edge import Edge
from .experts import ENDS, EXPERTS, NEURONS, PAIRS, SHARED_ENDS, ExpertNetwork
from .mixing import ExpertLayout
from .network import Network
from .noise import random_key, sobol
from .population import Nodes, Particles, Population, Primitives
from .problem import Problem
from .settings import Settings


def empty_network(problem: Problem, settings: Settings, key: int, *, drawn: int, room: int) -> Network | ExpertNetwork:
    """One replicate.

    Args:
        problem: whose layout it has.
        settings: which populations.
        key: of the noise.
        drawn: variables of a quadrature: coordinates of the inputs and outputs.
        room: rows of every basis.
    """
    if isinstance(problem.layout, ExpertLayout):
        return _empty_mixture(problem, problem.layout, settings, key, room)
    wiring = replace(problem.layout.wiring, dense=problem.rule.entrywise)
    draws = room * (len(problem.layout.hidden) if wiring.residual else 1)
    populations = tuple(_population(settings, key, which, drawn, draws) for which in range(wiring.last + 1))
    passes = 1 if settings.noise == "quasi" else 2
    edges = []
    for edge in range(wiring.layers - 1):
        source, target = wiring.populations(edge)
        neurons = populations[source].size, populations[target].size
        edges.append(Edge.empty((room, room), neurons, settings.dtype, responds=settings.responds, passes=passes))
    return Network(populations, tuple(edges), wiring)


def _empty_mixture(problem: Problem, layout: ExpertLayout, settings: Settings, key: int, room: int) -> ExpertNetwork:
    """The stream is followed exactly, as combinations of Gaussian variables; experts and neurons are particles."""
    mixing, (experts, neurons) = layout.wiring, layout.grid(settings.particles)
    batch = len(problem.inputs) if problem.index is None else problem.index.shape[1]
    looks = batch * (problem.steps + 2) + len(problem.inputs)
    variables = sum(problem.inputs.shape) + layout.outputs + 3 * mixing.blocks * min(looks, 4 * room)
    sizes = {EXPERTS: experts, PAIRS: experts * neurons, **({NEURONS: neurons} if mixing.shared else {})}
    exact = Primitives(np.zeros((), int), 1 << (variables - 1).bit_length(), settings.dtype)
    sampled = (_population(replace(settings, particles=size), key, which, 0, room * mixing.blocks) for which, size in sizes.items())
    populations, edges = (exact, *sampled), []
    for place, (_, role) in enumerate(mixing.edges):
        main = place < 3 * mixing.blocks
        source, target = (ENDS if main else SHARED_ENDS)[role]
        draws = (False, False) if main and role in mixing.shared else layout.draws()[role]
        ends = populations[source].size, populations[target].size
        edges.append(Edge.empty((room, room), ends, settings.dtype, responds=settings.responds, passes=1, draws=draws))
    return ExpertNetwork(populations, tuple(edges), mixing, experts)


def _population(settings: Settings, key: int, which: int, variables: int, draws: int) -> Population:
    zero = np.zeros((), int)
    if settings.noise == "nodes":
        return _nodes(variables, settings.nodes)
    if settings.noise == "exact":
        return Primitives(zero, settings.particles, settings.dtype)
    points = np.zeros((0, settings.particles))
    if settings.noise == "quasi":
        points = sobol(key, which, (draws, settings.particles))
    return Particles(jnp.asarray(points.astype(settings.dtype)), random_key(key, which), zero)


def _nodes(variables: int, each: int) -> Nodes:
    points, weights = np.polynomial.hermite_e.hermegauss(each)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[points] * variables, indexing="ij")])
    total = np.prod(np.stack([g.ravel() for g in np.meshgrid(*[weights / weights.sum()] * variables, indexing="ij")]), axis=0)
    return Nodes(jnp.asarray(grid), jnp.asarray(total), jnp.zeros((), int))
