"""Random numbers by purpose."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of one purpose: ``default_rng([seed, crc32(name)])``."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
