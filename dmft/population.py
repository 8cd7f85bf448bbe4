"""Populations: what an infinite layer of neurons is represented by, and the mean over it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Fields = Float[Array, "_ _"]  # (row, neuron)
Leaf = Any
"""An array inside a tree; its shape stands in the docstring, since JAX rebuilds trees with batches and placeholders."""


@partial(jax.tree_util.register_dataclass, data_fields=["points", "key", "used"], meta_fields=[])
@dataclass(frozen=True)
class Particles:
    """M sampled neurons; means over them have an error of ``1/sqrt(M)``, less with quasi-random noise.

    Args:
        points: standard normal numbers for the first draws (quasi-random), shape (draw, neuron); what is drawn beyond is pseudo-random.
        key: of the pseudo-random numbers.
        used: rows drawn so far.
    """

    points: Leaf
    key: Leaf
    used: Leaf

    @property
    def size(self) -> int:
        """M."""
        return self.points.shape[1]

    def inner(self, a: Float[Array, "i neuron"], b: Float[Array, "j neuron"]) -> Float[Array, "i j"]:
        """``<a_i b_j>``: the mean over neurons."""
        return a @ b.T / a.shape[-1]

    def draw(self, rows: int) -> Fields:
        """The next standard normal fields; they count as used only after `skip`."""
        size = self.points.shape[1]
        random = jax.random.normal(jax.random.fold_in(self.key, self.used), (rows, size), self.points.dtype)
        if rows > len(self.points):
            return random
        ready = jax.lax.dynamic_slice_in_dim(self.points, self.used, rows)
        return jnp.where(self.used + rows <= len(self.points), ready, random)

    def skip(self, rows: int | Int[Array, ""]) -> Particles:
        """After this many more rows are used."""
        return replace(self, used=self.used + rows)


@partial(jax.tree_util.register_dataclass, data_fields=["used"], meta_fields=["size", "dtype"])
@dataclass(frozen=True)
class Primitives:
    """Coefficient vectors over independent standard normal variables: exact for linear networks.

    Args:
        used: variables introduced so far.
        size: how many there may be.
        dtype: of the coefficients.
    """

    used: Leaf
    size: int
    dtype: str = "float64"

    def inner(self, a: Float[Array, "i neuron"], b: Float[Array, "j neuron"]) -> Float[Array, "i j"]:
        """The covariance of two linear combinations."""
        return a @ b.T

    def draw(self, rows: int) -> Fields:
        """New variables: unit vectors."""
        return (jnp.arange(self.size) == (self.used + jnp.arange(rows))[:, None]).astype(self.dtype)

    def skip(self, rows: int | Int[Array, ""]) -> Primitives:
        """After this many more variables are used."""
        return replace(self, used=self.used + rows)


@partial(jax.tree_util.register_dataclass, data_fields=["points", "weights", "used"], meta_fields=[])
@dataclass(frozen=True)
class Nodes:
    """Nodes of a Gauss-Hermite rule: exact to rounding for smooth functions of a few normal variables, without a response.

    Args:
        points: the variables at the nodes, shape (variable, node).
        weights: of the nodes; they sum to one.
        used: variables in use.
    """

    points: Leaf
    weights: Leaf
    used: Leaf

    @property
    def size(self) -> int:
        """Nodes."""
        return self.points.shape[1]

    def inner(self, a: Float[Array, "i neuron"], b: Float[Array, "j neuron"]) -> Float[Array, "i j"]:
        """The expectation of a product."""
        return (a * self.weights) @ b.T

    def draw(self, rows: int) -> Fields:
        """The next variables."""
        return jax.lax.dynamic_slice_in_dim(self.points, self.used, rows)

    def skip(self, rows: int | Int[Array, ""]) -> Nodes:
        """After this many more variables are used."""
        return replace(self, used=self.used + rows)


Population = Particles | Primitives | Nodes


def overdrawn(population: Population) -> bool:
    """Whether more variables were drawn than there are (in any replicate); particles never run out."""
    if isinstance(population, Particles):
        return False
    most = population.size if isinstance(population, Primitives) else population.points.shape[-2]
    return bool((population.used > most).any())
