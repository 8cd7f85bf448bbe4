"""Kernels and responses between the steps at which fields were kept."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .network import Network
from .replicates import Run
from .solution import Fields, Pairs


@dataclass(frozen=True)
class Inside:
    """What `Solution` shows of a run's fields: means over replicates, and the fields of the first one."""

    kernels: Pairs
    gradients: Pairs
    responses: Pairs
    fields: dict[tuple[int, int], Fields]


def look_at(run: Run) -> Inside:
    """All pairs of the steps that were kept."""
    kernels, gradients, responses, fields = {}, {}, {}, {}
    edges = run.state.network.edges
    for t, one in run.looks.items():
        for layer, (before, features) in enumerate(zip(one.passed.before, one.passed.features, strict=True), start=1):
            fields[layer, t] = Fields(np.asarray(before[0]), np.asarray(features[0]))
    for (t, one), (s, other) in product(run.looks.items(), repeat=2):
        for layer, (a, b) in enumerate(zip(one.passed.features, other.passed.features, strict=True), start=1):
            kernels[layer, t, s] = run.inner(a, b, layer - 1).mean(0)
        for layer, (a, b) in enumerate(zip(one.gradients, other.gradients, strict=True), start=1):
            gradients[layer, t, s] = run.inner(a, b, layer - 1).mean(0)
        if not isinstance(run.state.network, Network):
            continue  # several matrices read one layer of a mixture
        for layer, (edge, back) in enumerate(zip(edges, other.coefficients, strict=bool(other.coefficients)), start=1):
            ahead, response = (np.asarray(array) for array in (one.passed.coefficients[layer - 1], edge.forward.response))
            ahead, back = _padded(ahead, response.shape[1]), _padded(np.asarray(back), response.shape[2])
            responses[layer, t, s] = np.einsum("rik,rkj,rmj->rim", ahead, response, back).mean(0)
    return Inside(kernels, gradients, responses, fields)


def _padded(coefficients: np.ndarray, basis: int) -> np.ndarray:
    """With zeros for the vectors that joined the basis later."""
    return np.pad(coefficients, ((0, 0), (0, 0), (0, basis - coefficients.shape[2])))
