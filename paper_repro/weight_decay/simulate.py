"""Optimizers on pure noise in NumPy, written as their recursions are: what the formulas of steady states are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Noise = Callable[[np.random.Generator, int], np.ndarray]


def gaussian(random: np.random.Generator, count: int) -> np.ndarray:
    """Gradients N(0, 1)."""
    return random.standard_normal(count, np.float32)


@dataclass(frozen=True)
class Adam:
    """AdamW on many weights at once.

    Args:
        rates: of every step.
        decay: lambda.
        beta1: of the momentum.
        beta2: of the mean square.
        independent: whether the rate does not multiply the decay.
        signal: mean of the gradients, which have the standard deviation one.
        start: standard deviation of the weights at first.
        weights: how many.
        noise: law of the gradients.
    """

    rates: Sequence[float]
    decay: float
    beta1: float = 0.9
    beta2: float = 0.999
    independent: bool = False
    signal: float = 0.0
    start: float = 0.0
    weights: int = 4000
    noise: Noise = gaussian

    def run(self, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The weights after every step, and the step's update before it is multiplied by the rate; arrays are written again."""
        random = np.random.default_rng(seed)
        m, v = np.zeros((2, self.weights), np.float32)
        w = np.float32(self.start) * gaussian(random, self.weights)
        for step, rate in enumerate(self.rates, 1):
            g = self.noise(random, self.weights).astype(np.float32, copy=False) + np.float32(self.signal)
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g * g - v)
            u = m / np.sqrt(v) * np.float32((1 - self.beta2**step) ** 0.5 / (1 - self.beta1**step))
            w *= 1 - (self.decay if self.independent else rate * self.decay)
            w -= rate * u
            yield w, u


@dataclass(frozen=True)
class Normalising:
    """Optimizers that normalise a momentum, on blocks of weights.

    Args:
        normalise: (block, ...) to updates of the same shape.
        shape: of the weights, the block first.
        rate: eta.
        decay: lambda.
        beta: of the momentum ``m <- beta m + (1 - beta) g``.
        mix: share of a momentum in what is normalised, the rest is the gradient.
        newest: whether that is the newest momentum (Nesterov), or the one before (Lion).
        sphere: norms are put back to one after every step.
    """

    normalise: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, ...]
    rate: float
    decay: float = 0.0
    beta: float = 0.0
    mix: float = 1.0
    newest: bool = True
    sphere: bool = False

    def run(self, seed: int, steps: int) -> Iterator[np.ndarray]:
        """The weights after every step."""
        random = np.random.default_rng(seed)
        draw = lambda: random.standard_normal(self.shape, np.float32)  # noqa: E731
        m = np.zeros(self.shape, np.float32)
        w = unit(draw()) if self.sphere else np.zeros(self.shape, np.float32)
        for _ in range(steps):
            g = draw()
            old, m = m, self.beta * m + (1 - self.beta) * g
            mixed = self.mix * (m if self.newest else old) + (1 - self.mix) * g
            w = (1 - self.rate * self.decay) * w - self.rate * self.normalise(mixed)
            w = unit(w) if self.sphere else w
            yield w


def unit(blocks: np.ndarray) -> np.ndarray:
    """Every block divided by its norm."""
    return blocks / np.linalg.norm(blocks, axis=tuple(range(1, blocks.ndim)), keepdims=True)


def orthogonal(blocks: np.ndarray) -> np.ndarray:
    """The polar factor of every block, with all singular values one."""
    left, _, right = np.linalg.svd(blocks, full_matrices=False)
    return left @ right


def made_by_noise(inputs: np.ndarray, outputs: np.ndarray, *, rate: float, decay: float, seed: int, memories: float = 3.0) -> np.ndarray:
    """What AdamW makes of gradients ``sum_b delta_b x_b^T``, over ``sqrt(rate / decay)``; as many samples a step as inputs.

    Args:
        inputs: eigenvalues of the covariance of x.
        outputs: of delta.
        rate: eta.
        decay: lambda.
        seed: of directions and samples.
        memories: how long it runs.

    Returns:
        The matrix (output, input), its columns in the eigenbasis of the inputs.
    """
    random, shape = np.random.default_rng(seed), (len(outputs), len(inputs))
    turns = [np.linalg.qr(random.standard_normal((d, d)))[0] for d in shape]
    left, right = (turn * np.sqrt(own) for turn, own in zip(turns, (outputs, inputs)))
    w, m, v = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for step in range(1, round(memories / (rate * decay)) + 1):
        delta, x = (side @ random.standard_normal((len(side), len(inputs))) for side in (left, right))
        g = delta @ x.T
        m += 0.1 * (g - m)
        v += 0.05 * (g * g - v)
        w *= 1 - rate * decay
        w -= rate * m / np.sqrt(v) * (np.sqrt(1 - 0.95**step) / (1 - 0.9**step))
    return w @ turns[1] / np.sqrt(rate / decay)


def late(values: Iterator[float], steps: int, share: float = 0.5) -> float:
    """The mean over the last share of the steps."""
    kept = list(values)[int(steps * (1 - share)) :]
    return float(np.mean(kept))
