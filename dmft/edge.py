"""An infinitely wide weight matrix, known by what it does to the fields it was applied to.

``W(t) = q(t) W(0) + C^T D(t) B``: the rows of B are an orthonormal basis b_k of the fields that W was applied to, those of C of the
gradients that W^T was applied to, both grown step by step; D is a small matrix, and so is every update. With fresh standard normal
fields eps_k, eps'_j,

    W(0) b_k = eps_k + sum_j <eps'_j b_k> c_j,    W(0)^T c_j = eps'_j + sum_k <c_j eps_k> b_k,

each sum over the vectors that were there before. The first terms are the Gaussian fields u and r of dynamical mean-field theory, the
second ones its response functions A and B (Bordelon and Pehlevan, arXiv 2205.09653), here by Stein's lemma, without an inverse. If
eps_k is made orthogonal to what is in C, this is Gaussian conditioning at finite width too: M particles have the law of M neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .population import Fields, Leaf, Population

_ROUNDING = 1e-300  # keeps the root of an eigenvalue that is not used finite
_RESOLVED = 1e-13  # part of the largest eigenvalue of a covariance below which there is only rounding


@partial(jax.tree_util.register_dataclass, data_fields=["vectors", "noise", "response", "count", "scale"], meta_fields=[])
@dataclass(frozen=True)
class Span:
    """One direction of a matrix: a basis of the fields it was applied to, and their images at initialisation.

    Args:
        vectors: the basis, orthonormal in the source population, (basis, source); rows from ``count`` on are zero.
        noise: the fresh part of the images, fields of the target population, (basis, target).
        response: the coefficients of the rest in the basis of the other direction, (basis, other).
        count: of basis vectors.
        scale: the largest mean square of the fields so far; what is left of a field is measured against it.
    """

    vectors: Leaf
    noise: Leaf
    response: Leaf
    count: Leaf
    scale: Leaf

    @classmethod
    def empty(cls, basis: int, other: int, source: int, target: int, dtype: str) -> Span:
        """No vectors yet; room for ``basis`` of them."""
        fields = np.zeros((basis, source), dtype), np.zeros((basis, target), dtype)
        return cls(*fields, np.zeros((basis, other)), np.zeros((), int), np.zeros(()))

    def grown(self, basis: int, other: int) -> Span:
        """With room for more."""
        rows = basis - len(self.vectors)
        more = lambda array, columns=0: jnp.pad(array, ((0, rows), (0, columns)))  # noqa: E731
        response = more(self.response, other - self.response.shape[1])
        return replace(self, vectors=more(self.vectors), noise=more(self.noise), response=response)


@partial(jax.tree_util.register_dataclass, data_fields=["vectors", "noise", "response", "coefficients", "count", "scale"], meta_fields=[])
@dataclass(frozen=True)
class Addition:
    """What fields add to a span: as many vectors as fields, those that are not needed zero.

    The first three are as in `Span`; ``coefficients`` are those of the fields in these vectors, (row, row).
    """

    vectors: Leaf
    noise: Leaf
    response: Leaf
    coefficients: Leaf
    count: Leaf
    scale: Leaf


@partial(
    jax.tree_util.register_dataclass, data_fields=["forward", "backward", "full", "gains"], meta_fields=["draws", "responds", "passes"]
)
@dataclass(frozen=True)
class Edge:
    """A matrix between two populations.

    Args:
        forward: for W.
        backward: for W^T.
        full: whether a span had no room left for as many vectors as fields; everything since is wrong.
        gains: standard deviations of the noise, forward and backward. Where the target has N' neurons and the source N, the second is
            the root of N/N' times the first; in a limit one of them may be zero while the other is not.
        draws: whether there is noise at all, forward and backward.
        responds: whether W is used again in the backward pass; without, the backward pass has a matrix of its own.
        passes: how often fields are looked at; one pass resolves variances down to `_RESOLVED`, the next what it left.
    """

    forward: Span
    backward: Span
    full: Leaf
    gains: tuple[Leaf, Leaf] = (1.0, 1.0)
    draws: tuple[bool, bool] = (True, True)
    responds: bool = True
    passes: int = 1

    @classmethod
    def empty(
        cls,
        rows: tuple[int, int],
        neurons: tuple[int, int],
        dtype: str,
        *,
        responds: bool,
        passes: int,
        draws: tuple[bool, bool] = (True, True),
    ) -> Edge:
        """Room for ``rows`` vectors forward and backward, between populations of ``neurons`` (source, target)."""
        (ahead, back), (source, target) = rows, neurons
        spans = Span.empty(ahead, back, source, target, dtype), Span.empty(back, ahead, target, source, dtype)
        return cls(*spans, np.zeros((), bool), (np.ones(()), np.ones(())), draws, responds, passes)

    def grown(self, rows: tuple[int, int]) -> Edge:
        """With room for so many vectors forward and backward."""
        return replace(self, forward=self.forward.grown(*rows), backward=self.backward.grown(*rows[::-1]))

    def apply(
        self,
        fields: Fields,
        update: Float[Array, "basis other"],
        part: Float[Array, ""],
        populations: tuple[Population, Population],
        tolerance: Float[Array, ""],
        *,
        transposed: bool = False,
    ) -> tuple[Fields, Float[Array, "row basis"], Addition]:
        """``W fields``, or ``W^T fields``.

        Args:
            fields: of the source population (of the target population where transposed).
            update: D^T; D where transposed.
            part: q, the part of the initial matrix that decay has left.
            populations: source and target of this product.
            tolerance: directions whose variance is less than this part of the fields' are left out.
            transposed: apply W^T.

        Returns:
            The images, the coefficients of the fields in the basis there was, and what they add to it (see `store`).
        """
        own, other = (self.backward, self.forward) if transposed else (self.forward, self.backward)
        source = populations[0]
        coefficients = source.inner(fields, own.vectors)
        rest = fields - coefficients @ own.vectors
        new = self._look(own, other, fields, rest, populations, tolerance, self._noise(transposed))
        noise = coefficients @ own.noise + new.coefficients @ new.noise
        onto = coefficients @ (part * own.response + update) + part * new.coefficients @ new.response
        images = part * noise + onto.astype(fields.dtype) @ other.vectors
        return images.astype(fields.dtype), coefficients, new

    def _noise(self, transposed: bool) -> Callable[[Population, int], Fields]:
        """Fresh noise of a population, with the standard deviation of this direction."""
        if self.draws[transposed]:
            return lambda target, rows: self.gains[transposed] * target.draw(rows)
        size = (self.backward if transposed else self.forward).noise.shape[1]
        return lambda target, rows: jnp.zeros((rows, size))

    def _look(
        self,
        own: Span,
        other: Span,
        fields: Fields,
        rest: Fields,
        populations: tuple[Population, Population],
        tolerance: Float[Array, ""],
        noise_of: Callable[[Population, int], Fields],
    ) -> Addition:
        """Orthonormalise what the basis lacks, by the eigenvectors of its covariance, and draw its image."""
        source, target = populations
        rows = len(fields)
        size = jnp.trace(source.inner(fields, fields)) / rows
        scale = jnp.maximum(own.scale, size.astype(own.scale.dtype))
        values, axes = jnp.linalg.eigh(source.inner(rest, rest).astype(own.scale.dtype))
        values, axes = values[::-1], axes[:, ::-1]
        kept = values > jnp.maximum(tolerance * scale, _RESOLVED * values[0])

        def grow() -> tuple[Array, ...]:
            turned = jnp.where(kept, axes / jnp.sqrt(jnp.maximum(values, _ROUNDING)), 0.0).T
            vectors = turned.astype(fields.dtype) @ rest
            vectors = vectors - source.inner(vectors, own.vectors) @ own.vectors
            gram = source.inner(vectors, vectors).astype(values.dtype) + jnp.diag(jnp.where(kept, 0.0, 1.0))
            root = jnp.linalg.cholesky(gram)
            vectors = jax.scipy.linalg.solve_triangular(root.astype(fields.dtype), vectors, lower=True)
            noise = jnp.where(kept[:, None], noise_of(target, rows), 0.0).astype(fields.dtype)
            response = jnp.zeros((rows, len(other.vectors)))
            if self.responds:
                noise = noise - target.inner(noise, other.vectors) @ other.vectors
                response = source.inner(vectors, other.noise).astype(response.dtype)
            return vectors, noise, response, source.inner(fields, vectors)

        def stay() -> tuple[Array, ...]:
            shapes = jax.eval_shape(grow)
            return tuple(jnp.zeros(s.shape, s.dtype) for s in shapes)

        vectors, noise, response, coefficients = jax.lax.cond(kept.any(), grow, stay)
        return Addition(vectors, noise, response, coefficients, kept.sum(), scale)

    def store(self, new: Addition, *, transposed: bool = False) -> Edge:
        """With these vectors in the basis."""
        own = self.backward if transposed else self.forward
        put = lambda array, rows: jax.lax.dynamic_update_slice_in_dim(array, rows.astype(array.dtype), own.count, 0)  # noqa: E731
        full = self.full | (own.count + len(new.vectors) > len(own.vectors))  # a write there would be moved over other rows
        span = Span(
            put(own.vectors, new.vectors),
            put(own.noise, new.noise),
            put(own.response, new.response),
            own.count + new.count,
            new.scale,
        )
        return replace(self, full=full, **{"backward" if transposed else "forward": span})


def in_basis(own: Span, coefficients: Float[Array, "row basis"], new: Addition) -> Float[Array, "row basis"]:
    """Coefficients in the basis once the new vectors are in it."""
    zero = jnp.zeros((), own.count.dtype)
    return jax.lax.dynamic_update_slice(coefficients, new.coefficients.astype(coefficients.dtype), (zero, own.count))
