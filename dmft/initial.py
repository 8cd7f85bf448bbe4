"""The network before anything was looked at: populations with their noise, matrices without a basis."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from .edge import Edge
from .network import Network
from .noise import random_key, sobol
from .population import Nodes, Particles, Population, Primitives
from .problem import Problem
from .settings import Settings


def empty_network(problem: Problem, settings: Settings, key: int, *, drawn: int, room: int) -> Network:
    """One replicate.

    Args:
        problem: whose layout it has.
        settings: which populations.
        key: of the noise.
        drawn: variables of a quadrature: coordinates of the inputs and outputs.
        room: rows of every basis.
    """
    wiring = replace(problem.layout.wiring, dense=problem.rule.entrywise)
    draws = room * (len(problem.layout.hidden) if wiring.residual else 1)
    populations = tuple(_population(settings, key, which, drawn, draws) for which in range(wiring.last + 1))
    size = [_size(population) for population in populations]
    passes = 1 if settings.noise == "quasi" else 2
    edges = []
    for edge in range(wiring.layers - 1):
        source, target = wiring.populations(edge)
        neurons = size[source], size[target]
        edges.append(Edge.empty((room, room), neurons, settings.dtype, responds=settings.responds, passes=passes))
    return Network(populations, tuple(edges), wiring)


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


def _size(population: Population) -> int:
    return population.size if isinstance(population, Primitives) else population.points.shape[1]


def _nodes(variables: int, each: int) -> Nodes:
    points, weights = np.polynomial.hermite_e.hermegauss(each)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[points] * variables, indexing="ij")])
    total = np.prod(np.stack([g.ravel() for g in np.meshgrid(*[weights / weights.sum()] * variables, indexing="ij")]), axis=0)
    return Nodes(jnp.asarray(grid), jnp.asarray(total), jnp.zeros((), int))
