"""Random finite models that are solved exactly: shallow and deep linear networks, sketched regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Polynomial

from ..theory.modes import Modes
from .streams import stream

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Samples:
    """A training set for linear networks.

    Args:
        inputs: (sample, feature).
        targets: (sample,).
    """

    inputs: Float[Array, "sample feature"]
    targets: Float[Array, " sample"]

    @classmethod
    def gaussian(cls, samples: int, features: int, *, seed: int = 0) -> Samples:
        """Standard normal inputs and targets: as many different eigenvalues as samples."""
        rng = stream(seed, "linear/samples")
        return cls(rng.standard_normal((samples, features)), rng.standard_normal(samples))

    @classmethod
    def orthogonal(cls, samples: int, features: int, *, seed: int = 0) -> Samples:
        """Inputs with ``X X^T = features I``: all modes have one rate."""
        rng = stream(seed, "linear/samples")
        basis = np.linalg.qr(rng.standard_normal((features, samples)))[0].T
        return cls(np.sqrt(features) * basis, rng.standard_normal(samples))

    @property
    def kernel(self) -> Float[Array, "sample sample"]:
        """``X X^T / d``."""
        return self.inputs @ self.inputs.T / self.inputs.shape[1]


def shallow_limit(samples: Samples, layers: int = 1) -> Modes:
    """Infinitely wide: the kernel once for every trained layer (exact after one step where there are several), residual ``-y``."""
    m = len(samples.targets)
    return Modes.of(layers * samples.kernel / m, samples.targets / np.sqrt(m))


def shallow(samples: Samples, width: int, seed: int) -> Modes:
    """``f = V^T W1 W0 x`` with W1 trained by full-batch gradient descent on ``1/(2m) |f(X) - y|^2``.

    ``W0 ~ N(0, 1/d)``, ``W1 ~ N(0, 1/n)``, ``V ~ N(0, 1/n^2)`` (muP). The residual obeys ``chi <- (I - eta A/m) chi`` with
    ``A = |V|^2 X W0^T W0 X^T`` (Sakai and Imaizumi 2026).
    """
    rng = stream(seed, f"linear/shallow/{width}")
    m, d = samples.inputs.shape
    first, last = rng.standard_normal((width, d)) / np.sqrt(d), rng.standard_normal(width) / width
    hidden = samples.inputs @ first.T
    # W1^T V given V is Gaussian with variance |V|^2 / n: the matrix itself is not needed
    output = hidden @ (rng.standard_normal(width) * np.linalg.norm(last) / np.sqrt(width))
    return Modes.of(last @ last * hidden @ hidden.T / m, (output - samples.targets) / np.sqrt(m))


def sketched(spectrum: Float[Array, " feature"], target: Float[Array, " feature"], width: int, seed: int) -> Modes:
    """Linear regression on ``width`` Gaussian features of inputs with this spectrum, by gradient descent on the population.

    Features ``G^T x / sqrt(n)`` with G standard normal and ``x ~ N(0, diag(spectrum))``, target ``<target, x>``; the residual in
    the space of the inputs obeys ``r <- (I - eta M) r`` with ``M = S^(1/2) G G^T S^(1/2) / n`` (model of Wen et al. 2026).
    """
    root = np.sqrt(spectrum)
    features = root[:, None] * stream(seed, f"linear/sketched/{width}").standard_normal((len(spectrum), width))
    return Modes.of(features @ features.T / width, root * target)


def sketched_limit(spectrum: Float[Array, " feature"], target: Float[Array, " feature"]) -> Modes:
    """Infinitely many features: every input feature is a mode."""
    return Modes(spectrum, spectrum * np.asarray(target) ** 2)


def deep_step(samples: Samples, width: int, layers: int, seed: int, *, parameterization: str = "mup") -> Polynomial:
    """The loss after one step of gradient descent on all hidden matrices, a polynomial in the learning rate.

    ``f = V^T W_L ... W_1 W_0 x``; W_0 and V stay. muP: ``V ~ N(0, 1/n^2)``; SP: ``V ~ N(0, 1/n)`` (Hayou, arXiv 2511.01734). The
    output is a polynomial of degree ``layers``, found from as many points and one.
    """
    rng = stream(seed, f"linear/deep/{width}/{layers}")
    m, d = samples.inputs.shape
    first = rng.standard_normal((width, d)) / np.sqrt(d)
    hidden = [rng.standard_normal((width, width)) / np.sqrt(width) for _ in range(layers)]
    last = rng.standard_normal(width) / (width if parameterization == "mup" else np.sqrt(width))
    forward = [first @ samples.inputs.T]
    for w in hidden:
        forward.append(w @ forward[-1])
    backward = [last]
    for w in hidden[:0:-1]:
        backward.insert(0, w.T @ backward[0])
    residual = last @ forward[-1] - samples.targets
    steps = [-(forward[layer] @ residual) / m for layer in range(layers)]  # dW_l = eta g_l steps_l^T
    scale = 1.0 if parameterization == "mup" else 1 / width
    points = scale * np.cos(np.pi * (np.arange(layers + 1) + 0.5) / (layers + 1))
    outputs = []
    for eta in points:
        x = forward[0]
        for w, g, s in zip(hidden, backward, steps, strict=True):
            x = w @ x + eta * np.outer(g, s @ x)
        outputs.append(last @ x - samples.targets)
    rows = np.linalg.solve(np.vander(points / scale, increasing=True), np.array(outputs))
    output = [Polynomial(row / scale ** np.arange(layers + 1)) for row in rows.T]
    return sum((p**2 for p in output), start=Polynomial([0.0])) / (2 * m)


def best_rate(loss: Polynomial) -> float:
    """The positive learning rate of least loss."""
    roots = loss.deriv().roots()
    real = np.real(roots[(np.abs(np.imag(roots)) < 1e-9 * np.abs(roots)) & (np.real(roots) > 0)])
    if not real.size:
        raise ValueError("the loss has no minimum at a positive learning rate")
    return float(real[np.argmin(loss(real))])
