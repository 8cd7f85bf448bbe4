"""Points that are learned."""

from __future__ import annotations

import numpy as np


def sphere(*, samples: int = 4, inputs: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points on a sphere of radius sqrt(inputs), with targets near +1 and -1 in turn."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, inputs))
    x *= inputs**0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    return x, np.where(np.arange(samples) % 2 == 0, 1.0, -1.0) * (1 + 0.3 * rng.standard_normal(samples))
