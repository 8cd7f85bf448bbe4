"""An infinite matrix on its bases: adjointness, the law of what it makes, room."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from widelimit.dmft import Problem  # noqa: F401  switches JAX to double precision
from widelimit.dmft.edge import Edge, in_basis
from widelimit.dmft.population import Particles

ZERO, ONE, CUT = jnp.zeros((), int), jnp.ones(()), jnp.asarray(1e-12)


def particles(count: int, key: int) -> Particles:
    return Particles(jnp.zeros((0, count)), jax.random.key(key), ZERO)


def step(edge: Edge, populations: list[Particles], fields: jax.Array, *, back: bool = False, update: jax.Array | None = None):
    """Apply the matrix (its transpose), and keep what was learned of it."""
    edge, (source, target) = jax.tree.map(jnp.asarray, edge), (1, 0) if back else (0, 1)
    own, other = (edge.backward, edge.forward) if back else (edge.forward, edge.backward)
    update = jnp.zeros((len(own.vectors), len(other.vectors))) if update is None else update
    images, known, new = edge.apply(fields, update, ONE, (populations[source], populations[target]), CUT, transposed=back)
    populations[target] = populations[target].skip(new.count)
    return edge.store(new, transposed=back), images, in_basis(own, known, new)


@pytest.mark.parametrize("responds", [True, False])
def test_a_matrix_and_its_transpose_are_adjoint(responds: bool):
    """<g W phi> = <phi W^T g> for all fields it was applied to, with updates; not so without response terms."""
    rng = np.random.default_rng(0)
    edge = Edge.empty((24, 24), (200, 200), "float64", responds=responds, passes=1)
    populations, update = [particles(200, 1), particles(200, 2)], jnp.zeros((24, 24))
    for _ in range(3):
        phi, g = (jnp.asarray(rng.standard_normal((3, 200))) for _ in range(2))
        edge, images, forward = step(edge, populations, phi, update=update.T)
        edge, back, backward = step(edge, populations, g, back=True, update=update)
        gap = np.abs(np.asarray(images @ g.T / 200 - (back @ phi.T / 200).T)).max()
        update = update + backward.T @ forward
    edge, images, _ = step(edge, populations, phi, update=update.T)
    edge, back, _ = step(edge, populations, g, back=True, update=update)
    gap = max(gap, np.abs(np.asarray(images @ g.T / 200 - (back @ phi.T / 200).T)).max())
    assert gap < 1e-10 if responds else gap > 1e-2


def test_images_of_fresh_fields_are_normal_with_the_fields_covariance():
    rng = np.random.default_rng(1)
    fields = rng.standard_normal((2, 4000))
    fields[1] += 0.7 * fields[0]
    edge = Edge.empty((8, 8), (4000, 4000), "float64", responds=True, passes=1)
    _, images, _ = step(edge, [particles(4000, 1), particles(4000, 2)], jnp.asarray(fields))
    np.testing.assert_allclose(np.cov(np.asarray(images)), fields @ fields.T / 4000, atol=0.1)


def test_what_is_in_the_basis_is_not_drawn_again():
    fields = jnp.asarray(np.random.default_rng(2).standard_normal((3, 100)))
    edge = Edge.empty((16, 16), (100, 100), "float64", responds=True, passes=1)
    populations = [particles(100, 1), particles(100, 2)]
    edge, first, _ = step(edge, populations, fields)
    edge, second, _ = step(edge, populations, 2.0 * fields[::-1])
    assert int(edge.forward.count) == 3 and not bool(edge.full)
    np.testing.assert_allclose(np.asarray(second), 2.0 * np.asarray(first)[::-1], atol=1e-10)


def test_a_span_without_room_says_so():
    rng = np.random.default_rng(3)
    edge = Edge.empty((4, 4), (50, 50), "float64", responds=True, passes=1)
    populations = [particles(50, 1), particles(50, 2)]
    for _ in range(2):
        edge, _, _ = step(edge, populations, jnp.asarray(rng.standard_normal((3, 50))))
    assert bool(edge.full)
