"""Powers of the width in means that are known with an error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 400


@dataclass(frozen=True)
class PowerLaw:
    """``factor * n^power``, with the 95 % interval of the power; without one if the values are noise."""

    factor: float
    power: float
    interval: tuple[float, float]


def fit_bias(widths: np.ndarray, values: np.ndarray, errors: np.ndarray, *, seed: int = 0) -> PowerLaw:
    """Least squares of ``factor * n^power`` in the values themselves, weighted by their errors; the interval by drawing them anew.

    A logarithm would be biased where a value is as small as its error.
    """
    draws = values + errors * np.random.default_rng([seed, 5]).standard_normal((DRAWS, len(values)))
    factor, power = _fit(widths, values, errors)
    powers = [_fit(widths, own, errors)[1] for own in draws]
    low, high = np.quantile(powers, [0.025, 0.975])
    return PowerLaw(factor, power, (float(low), float(high)))


def _fit(widths: np.ndarray, values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """The best power on a fine grid; the factor is linear."""
    powers = np.linspace(-4.0, 2.0, 1201)
    shapes = (widths / widths[0]) ** powers[:, None]
    weights = errors**-2.0
    factors = (shapes * values * weights).sum(1) / (shapes**2 * weights).sum(1)
    misses = (((factors[:, None] * shapes - values) ** 2) * weights).sum(1)
    best = int(misses.argmin())
    return float(factors[best] * widths[0] ** -powers[best]), float(powers[best])
