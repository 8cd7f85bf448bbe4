"""Samples in as few coordinates as their inner products need."""

from __future__ import annotations

import numpy as np


def coordinates(train: np.ndarray, test: np.ndarray | None, *, entrywise: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples in an orthonormal basis, where that has fewer coordinates; the training samples' do not depend on the test samples.

    Entrywise updates depend on the basis: they keep the samples' own.
    """
    every = train if test is None else np.concatenate([train, test])
    if entrywise or train.shape[1] <= len(every):
        return train.astype(float), None if test is None else test.astype(float)
    axes = _orthonormal(train)
    if test is not None:
        axes = np.concatenate([axes, _orthonormal(test - test @ axes.T @ axes)])
    return train @ axes.T, None if test is None else test @ axes.T


def _orthonormal(rows: np.ndarray) -> np.ndarray:
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    return axes[sizes > 1e-12 * max(sizes[0], 1e-300)]
