"""A hidden matrix that sees noise of known covariances, eigenvalues ``i^-a`` in random bases on both sides; and data that are none."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

LOUD = 1e4  # targets over what the matrix makes: its gradients are noise, and the loss does not pull


class Sandwich(nn.Module):
    """Reads ``x``, says ``W x``; targets are noise, so that what comes back to W is white or coloured as they are."""

    def __init__(self, n: int):
        super().__init__()
        self.hidden = nn.Linear(n, n, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.hidden(x)


def build(*, n):
    return Sandwich(n), torch.randn(4, n)


def _root(n: int, exponent: float, seed: int) -> np.ndarray:
    basis, _ = np.linalg.qr(np.random.default_rng([seed, n]).standard_normal((n, n)))
    values = np.arange(1, n + 1.0) ** -exponent
    return basis * np.sqrt(values / values.mean())


def coloured(exponent: float) -> Callable:
    """Inputs and targets with this exponent."""

    def data(*, n, seed, samples):
        rng = np.random.default_rng(seed)
        x, y = (rng.standard_normal((samples, n), np.float32) @ _root(n, exponent, 2 * seed + side).T for side in (0, 1))
        return x, LOUD * y

    return data


white, half, one = (coloured(a) for a in (0.0, 0.5, 1.0))


def broken(*, n, samples):
    x, y = white(n=n, seed=0, samples=samples)
    x[3, 2] = np.nan
    return x, y


def narrow(*, n, samples):
    return np.ones((samples, n - 1)), np.ones((samples, n))


def mute(*, n, samples):
    return np.ones((samples, n))


def uneven(*, n, samples):
    return np.ones((samples, n)), np.ones((samples - 1, n))


def short(*, n):
    return np.ones((5, n)), np.ones((5, n))


def demanding(*, n, colour):
    return white(n=n, seed=0, samples=500)


def failing(*, n):
    raise RuntimeError("no disk")


def words(*, samples):
    return ["a"] * samples, np.ones(samples)


def persistent(*, n, samples):
    """What every update asks for again, so that weights go to ``1 / decay`` and not to where noise has them."""
    return np.ones((samples, n)), np.full((samples, n), LOUD)


def strangers(*, n, samples):
    """A class that there is not, late."""
    y = np.zeros(samples, int)
    y[-1] = n
    y[samples // 3] = n
    return np.ones((samples, n)), y


def negative(*, n, samples):
    return np.ones((samples, n)), np.full(samples, -1)


def many(*, samples):
    return np.ones((samples, 64)), np.full(samples, 10)


def labels(*, seed, samples):
    """White inputs of a digit's size, and classes that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, 64), np.float32), rng.integers(10, size=samples)


def perceptron(*, n):
    """Without a matrix of which both sides grow."""
    return nn.Sequential(nn.Linear(8, n), nn.ReLU(), nn.Linear(n, 4)), torch.randn(4, 8)
