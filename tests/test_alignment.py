"""Alignment spectra against their definition; truncations on a constructed example whose kappa is known."""

import numpy as np
import pytest
import torch
from widelimit.synthetic.alignment import Averaging, alignment_eigenvalues, leading_eigenvalues
from widelimit.synthetic.orthonormal import orthonormal
from widelimit.theory.truncation import Truncated, choose, concave_share, lipschitz, lowest


@pytest.mark.parametrize("shape", [(6, 5), (3, 40), (2, 4, 4, 30)])
def test_the_spectrum_is_that_of_the_alignment_matrix(shape: tuple[int, ...]):
    g, dw = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    s = (g.mT @ dw + dw.mT @ g) / 2
    dense, found = torch.linalg.eigvalsh(s), alignment_eigenvalues(g, dw)
    torch.testing.assert_close(found.sum(-1), (g * dw).sum((-2, -1)))
    assert (found.abs().diff(dim=-1) <= 1e-12).all()
    largest = dense.abs().sort(-1, descending=True).values[..., : found.shape[-1]]
    torch.testing.assert_close(found.abs(), largest, atol=1e-10, rtol=0)


def test_a_step_along_the_gradient_has_its_squared_singular_values():
    g = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(alignment_eigenvalues(g, -0.1 * g), -0.1 * torch.linalg.svdvals(g) ** 2)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="have no alignment"):
        alignment_eigenvalues(torch.ones(3, 2), torch.ones(2, 3))


def test_windows_and_spacings_grow_as_published():
    average = Averaging()
    assert average.kept(0) == pytest.approx(0.98) and average.kept(2000) == average.kept(7000) == pytest.approx(0.9995)
    looks = average.looks(7185)
    assert looks[0] == 2 and looks[-1] == 7185 and 750 < len(looks) < 950
    assert np.diff(looks).max() == 10 and (np.diff(looks) > 0).all()


def constructed(width: int, points: np.ndarray) -> np.ndarray:
    """Parts of a curve: the first eight are the same at all widths, and only together do they have the minimiser 0.3 (the first four
    have -1); a flat tail falls with the width."""
    early, late = np.repeat((points[:, None] + 1) ** 2 / 8, 4, axis=1), np.repeat((points[:, None] - 1.6) ** 2 / 8, 4, axis=1)
    tail = -(1 - 8 / width) / (width - 8) * np.ones((points.size, width - 8))
    return np.cumsum(np.concatenate([early - 1, late - 1, tail], axis=1), axis=1)


def test_the_truncation_of_a_constructed_example_is_found():
    points = np.linspace(-2, 2, 9)
    pair = Truncated(points, constructed(32, points), constructed(256, points))
    kappa = choose(points, pair.finite, pair.limit)
    assert kappa is not None and (kappa >= 8).all() and (kappa <= 10).all(), kappa
    assert np.abs(np.subtract(*pair.top(kappa))).max() < 0.08 < 0.2 < np.abs(pair.finite[:, -1] - pair.limit[:, -1]).min()
    assert max(lipschitz(points, r) for r in pair.residuals(kappa)) < 0.2


def test_the_bound_holds_and_is_better_than_the_one_without_a_truncation():
    points = np.linspace(-2, 2, 9)
    limit = constructed(256, points)
    for tilt in (0.0, 0.02, 0.1):
        pair = Truncated(points, constructed(32, points) + np.where(np.arange(32) < 31, 0.0, tilt * points[:, None]), limit)
        apart = abs(lowest(points, pair.finite[:, -1]) - lowest(points, limit[:, -1]))
        assert apart == pytest.approx(tilt / 2, abs=2e-3)
        bounds = [pair.bound(np.full(9, k)) for k in range(8, 32)]
        assert apart - 2e-3 <= min(bounds) < pair.bound(np.full(9, 32))
    assert Truncated(points, -limit, limit).bound(np.full(9, 8)) == np.inf


def test_one_coordinate_at_a_time_is_the_proxy_itself():
    rng = np.random.default_rng(0)
    points = np.sort(rng.normal(size=6))
    pair = Truncated(points, rng.normal(size=(6, 10)), rng.normal(size=(6, 12)))
    kappa, weights = rng.integers(1, 11, size=6), (0.3, 0.7)
    for i in range(6):
        changed = [np.where(np.arange(6) == i, k, kappa) for k in range(1, 11)]
        along, whole = pair._along(i, kappa, weights), np.array([pair.proxy(c, weights) for c in changed])
        np.testing.assert_allclose(along - along[0], whole - whole[0], atol=1e-12)
    best = pair.minimise(weights)
    for i in range(6):
        along = pair._along(i, best, weights)
        assert along[best[i] - 1] == along.min()


def test_no_truncation_keeps_a_minimiser_that_the_tail_moves():
    points = np.linspace(-2, 2, 9)
    move = np.concatenate([np.zeros((9, 24)), np.repeat((points**2 - 3 * points)[:, None], 8, axis=1)], axis=1)
    finite = constructed(32, points) + np.cumsum(move, axis=1)
    limit = constructed(256, points)
    assert choose(points, finite, limit, weights=(0.0,)) is None
    assert concave_share(points, -(points**2)) == 1.0


def test_parts_need_a_row_for_each_point():
    with pytest.raises(ValueError, match="one row for each of at least three points"):
        Truncated(np.arange(3.0), np.ones((2, 4)), np.ones((3, 4)))


@pytest.mark.parametrize("shape", [(2, 90, 80), (2, 3, 400, 100), (5, 80), (40, 30)])
def test_leading_eigenvalues_are_the_first_of_all(shape: tuple[int, ...]):
    """Spectra that fall as j^-1/2, slower than any measured; wide and small matrices take the direct route."""
    g, dw = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, s, vh = torch.linalg.svd(g, full_matrices=False)
    g = (u * torch.arange(1, s.shape[-1] + 1) ** -0.5) @ vh
    found = leading_eigenvalues(g, -g + 0.01 * dw / max(shape), 10)
    torch.testing.assert_close(found, alignment_eigenvalues(g, -g + 0.01 * dw / max(shape))[..., :10], rtol=1e-6, atol=1e-9)


def test_orthonormal_columns_are_those_of_a_decomposition():
    columns = torch.randn(3, 50, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    columns = columns * torch.logspace(0, -5, 20, dtype=torch.float64)
    found, expected = orthonormal(columns), torch.linalg.qr(columns).Q
    torch.testing.assert_close(found.abs(), expected.abs(), atol=1e-9, rtol=0)
    torch.testing.assert_close(found @ found.mT, expected @ expected.mT, atol=1e-9, rtol=0)
    assert (orthonormal(torch.zeros(2, 9, 4, dtype=torch.float64)) == 0).all()


@pytest.mark.parametrize("eigenvalues", [alignment_eigenvalues, lambda g, dw: leading_eigenvalues(g, dw, 4)])
def test_a_matrix_that_is_not_finite_has_no_eigenvalues_and_disturbs_no_other(eigenvalues):
    g = torch.randn(3, 40, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = eigenvalues(g, -g)
    g[1, 2, 3] = torch.nan
    found = eigenvalues(g, -g)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]])
