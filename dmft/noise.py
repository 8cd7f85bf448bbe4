"""Initial randomness of a population: quasi-random for accuracy, pseudo-random for the law of a finite network."""

from __future__ import annotations

import zlib

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc

DRAWS = 128  # fields from Sobol's sequence at least; those of a basis come in order of their variance, so that later ones matter little
_EDGE = 2.0**-54  # scrambled points are multiples of 2^-53 at best


def stream(key: int, name: str) -> np.random.Generator:
    """The generator of one purpose."""
    return np.random.default_rng([key, zlib.crc32(name.encode())])


def sobol(key: int, population: int, shape: tuple[int, int]) -> Float[np.ndarray, "draw neuron"]:
    """Standard normal fields (at least so many) from a scrambled Sobol sequence, each with mean square one."""
    draws, particles = max(DRAWS, shape[0]), shape[1]
    generator = qmc.Sobol(draws, scramble=True, rng=stream(key, f"sobol/{population}"))
    normal = ndtri(np.clip(generator.random(particles), _EDGE, 1 - _EDGE)).T
    normal /= np.sqrt((normal**2).mean(1, keepdims=True))
    return np.ascontiguousarray(normal)


def random_key(key: int, population: int) -> jax.Array:
    """The key of what is drawn beyond, or of everything."""
    return jax.random.key(int(stream(key, f"random/{population}").integers(2**31)))
