"""Random-features ridge regression at a finite size, with its test risk integrated exactly over the Gaussian inputs.

The model, its two ratios and the ridge's normalisation are those of `theory.ridge`; nothing else is taken from there but the
definition of the activations. The kernel is ``K = Z Z^T / n`` with ``Z = act(X W)``, and ``a = Z^T (K + ridge)^-1 y / n``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..theory.ridge import ACTIVATIONS, RidgeProblem, gaussian_rule, hermite
from .streams import stream

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

CASE = "random-features ridge"
ORDERS = 14


@dataclass(frozen=True)
class Draw:
    """One draw of data and features, reduced to what the risk of every ridge needs.

    With ``K = Z Z^T / n = V diag(spectrum) V^T`` and ``g = V^T y / (spectrum + ridge)`` the risk of one teacher is
    ``g^T quadratic g - 2 g^T linear + constant``. Several teachers (orthogonal directions beta, each with its own noise) share
    inputs and features, and their mean risk is taken: it has the same expectation and a much smaller spread.

    Args:
        spectrum: eigenvalues of the kernel, shape ``(sample,)``.
        labels: ``V^T y``, shape ``(sample, teacher)``.
        quadratic: second moments of the predictor, in the eigenbasis, shape ``(sample, sample)``.
        linear: its covariance with the target, shape ``(sample, teacher)``.
        constant: label variance: the target's second moment (1) and the noise.
    """

    spectrum: Array
    labels: Array
    quadratic: Array
    linear: Array
    constant: float

    def risk(self, ridge: float) -> float:
        """``E (y - f(x))^2`` over a fresh input and fresh noise, mean over teachers."""
        g = self.labels / (self.spectrum + ridge)[:, None]
        return float(np.sum(g * (self.quadratic @ g - 2 * self.linear)) / g.shape[1] + self.constant)

    def best(self, low: float = 1e-3, high: float = 1e2) -> tuple[float, float]:
        """The ridge of least risk in ``[low, high]``, and that risk."""
        from scipy.optimize import minimize_scalar

        found = minimize_scalar(lambda z: self.risk(np.exp(z)), bounds=np.log([low, high]), method="bounded", options={"xatol": 1e-8})
        return float(np.exp(found.x)), float(found.fun)


def normalised(name: str) -> Callable[[Array], Array]:
    """The named activation, centred and scaled to unit variance under the standard Gaussian."""
    numbers = hermite(name)
    return lambda x: (ACTIVATIONS[name](x) - numbers.mean) / numbers.scale


def simulate(problem: RidgeProblem, dimension: int, width: float, seed: int, teachers: int = 32) -> Draw:
    """Draw inputs, labels and features at one size.

    Args:
        problem: the regression; N = data_ratio * dimension samples.
        dimension: d.
        width: psi2; n = width * dimension features.
        seed: of inputs, noise and features, which have separate streams.
        teachers: how many orthogonal directions beta to average over; d of them where d is smaller.

    Raises:
        ValueError: if a size is not at least one.
    """
    samples, features = round(problem.data_ratio * dimension), round(width * dimension)
    if min(samples, features, dimension) < 1:
        raise ValueError(
            f"`dimension` {dimension} and `width` {width} give {samples} samples and {features} features; all must be at least 1"
        )
    teachers = min(teachers, dimension)
    x = stream(seed, "inputs").standard_normal((samples, dimension))
    noise = problem.noise * stream(seed, "noise").standard_normal((samples, teachers))
    weights = stream(seed, "features").standard_normal((features, dimension)) / sqrt(dimension)
    y = normalised(problem.target)(x[:, :teachers]) + noise
    z = normalised(problem.activation)(x @ weights.T)
    spectrum, basis = np.linalg.eigh(z @ z.T / features)
    predictor = z.T @ basis / features
    second, cross = gaussian_moments(problem, weights, teachers)
    quadratic = predictor.T @ second @ predictor
    return Draw(np.maximum(spectrum, 0.0), basis.T @ y, quadratic, predictor.T @ cross, 1 + problem.noise**2)


def gaussian_moments(problem: RidgeProblem, weights: Array, teachers: int) -> tuple[Array, Array]:
    """``E act(w_i x) act(w_j x)`` and ``E act(w_i x) target(x_b)`` over ``x ~ N(0, I)``.

    Hermite series in the correlation rho of two features (Mehler): ``sum_k h_k(r_i) h_k(r_j) rho^k / k!`` with ``r_i = |w_i|``
    and ``h_k(r) = E act(r g) He_k(g)``; the diagonal, where the series converges slowly, is integrated directly.

    Args:
        problem: names the activations.
        weights: shape ``(feature, dimension)``.
        teachers: b runs over the first so many coordinates.

    Returns:
        Shapes ``(feature, feature)`` and ``(feature, teacher)``.
    """
    act, target = normalised(problem.activation), normalised(problem.target)
    nodes, mass = gaussian_rule()
    polynomials = np.polynomial.hermite_e.hermevander(nodes, ORDERS) * mass[:, None]
    length = np.linalg.norm(weights, axis=1)
    values = act(length[:, None] * nodes)
    student, teacher = values @ polynomials, target(nodes) @ polynomials
    direction = weights / length[:, None]
    overlap, along = direction @ direction.T, direction[:, :teachers]
    second, cross = np.zeros_like(overlap), np.zeros_like(along)
    for k in reversed(range(ORDERS + 1)):
        second = second * overlap + np.outer(student[:, k], student[:, k]) / factorial(k)
        cross = cross * along + student[:, k, None] * teacher[k] / factorial(k)
    np.fill_diagonal(second, values**2 @ mass)
    return second, cross


COLUMNS = (
    *("source", "case", "config", "seed", "step", "weight", "term", "value", "predicted"),
    *("size.d", "size.width", "hp.ridge", "diverged_at"),
)


def measure(
    problem: RidgeProblem,
    *,
    dimension: int,
    widths: Sequence[float],
    ridges: Sequence[float],
    seeds: Sequence[int],
    progress: Callable[[str], object] = lambda _: None,
) -> pd.DataFrame:
    """The risk of every width, ridge and seed, and the optimum of every width and seed, as a long-form frame.

    Args:
        problem: the regression.
        dimension: d.
        widths: psi2 values.
        ridges: where to evaluate the risk (penalty divided by n).
        seeds: one draw each.
        progress: called with a line before each width.

    Returns:
        The columns of a long-form frame, with ``size.d``, ``size.width`` and ``hp.ridge``; terms ``risk``, ``best risk`` and
        ``best ridge``, with the value in the proportional limit as ``predicted``.
    """
    import pandas as pd

    from ..theory.ridge import optimum, risk

    rows = []
    for width in widths:
        limit, best = risk(problem, np.asarray(ridges, float), width), optimum(problem, width)
        progress(f"random features: d = {dimension}, width {width:g}, {len(seeds)} draws")
        for seed in seeds:
            draw = simulate(problem, dimension, width, seed)
            ridge, least = draw.best()
            points = [("risk", lam, draw.risk(lam), float(r)) for lam, r in zip(ridges, limit, strict=True)]
            points += [("best risk", ridge, least, best.risk), ("best ridge", ridge, ridge, best.ridge)]
            rows += [(seed, width, *point) for point in points]
    frame = pd.DataFrame(rows, columns=["seed", "size.width", "term", "hp.ridge", "value", "predicted"])
    settings = f"psi1={problem.data_ratio:g} noise={problem.noise:g} {problem.activation}/{problem.target}"
    constant = dict(source="simulation", case=CASE, config=settings, step=0, weight="", diverged_at=np.nan) | {"size.d": dimension}
    return frame.assign(**constant)[list(COLUMNS)].astype({"size.width": float, "size.d": int})
