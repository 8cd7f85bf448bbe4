"""Random-features ridge regression in the proportional limit, solved in closed form at every width.

Data ``x ~ N(0, I_d)``, ``y = target(<x, beta>) + noise``, ``|beta| = 1``; student ``f(x) = <a, act(W x)>`` with n features,
``W ~ N(0, 1/d)``, fitted to N samples with a ridge penalty. Let N/d -> psi1 and n/d -> psi2 = the *width*. The
hyperparameter is ``ridge = lambda``, the penalty **divided by n**: the kernel is ``act(XW) act(XW)^T / n`` (the
paper's text leaves the 1/n out; with it the optimum does not depend on the width).

Source: Ghosh, Wu and Bietti, arXiv 2512.22768, Theorem 3, which gives two self-consistent equations for (m1, m2). They need
no iteration: put ``m2 = m1/t``, ``eta = psi1/psi2``, ``a = mu1^2``, ``s = 1 - mu1^2``, ``q(t) = (t-1)(s + a/t)``. Then they read

    1/m1   = w(t)      = psi1 a/(t-1) - eta (s + a/t)
    lambda = lambda(t) = (1 - q(t)/(psi1 a)) w(t)
    risk   = ( v w' + u (t w' + w)/t^2 ) / lambda'(t),     v = 1 - mu1*^2 + noise^2,  u = mu1*^2

so risk and ridge are explicit in t > 1 at every width, and the optimum is one root in t (derived here; checked against the
equations themselves in the tests).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .transfer import Gaps

Array = NDArray[np.float64]


def _erf(x: ArrayLike) -> Array:
    from scipy.special import erf

    return erf(x)


ACTIVATIONS: dict[str, Callable[..., Array]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "erf": _erf,
    "sin": np.sin,
    "identity": lambda x: np.asarray(x, float),
}


@dataclass(frozen=True)
class Hermite:
    """An activation under the standard Gaussian: ``mean``, ``scale`` (std), and ``first`` of ``(act - mean)/scale``.

    ``first = E[g act(g)]/scale = mu1`` is the normalised activation's first Hermite coefficient.
    """

    mean: float
    scale: float
    first: float


def gaussian_rule(points: int = 160, reach: float = 10.0) -> tuple[Array, Array]:
    """Nodes and weights of ``E f(g)``, g standard normal, exact to 1e-14 also for f with a kink at zero.

    Gauss-Legendre on both half-lines; the mass beyond ``reach`` is below 1e-22.
    """
    x, w = np.polynomial.legendre.leggauss(points)
    half = (x + 1) * reach / 2
    density = np.exp(-(half**2) / 2) / math.sqrt(2 * math.pi) * w * reach / 2
    return np.concatenate([-half[::-1], half]), np.concatenate([density[::-1], density])


@lru_cache(maxsize=32)
def hermite(activation: str) -> Hermite:
    """The Hermite numbers of a named activation, by quadrature.

    Raises:
        ValueError: if the name is unknown.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation `{activation}`; choose from {', '.join(ACTIVATIONS)}")
    nodes, weights = gaussian_rule()
    values = ACTIVATIONS[activation](nodes)
    mean = float(weights @ values)
    scale = math.sqrt(float(weights @ (values - mean) ** 2))
    return Hermite(mean, scale, float(weights @ (nodes * values)) / scale)


@dataclass(frozen=True)
class RidgeProblem:
    """A random-features ridge regression; both activations are centred and normalised under the Gaussian.

    Args:
        data_ratio: psi1 = N/d, samples per input dimension.
        noise: standard deviation of the label noise (sigma_eps).
        activation: of the student, by name; odd and nonlinear.
        target: of the teacher, by name.
    """

    data_ratio: float = 4.0
    noise: float = 0.25
    activation: str = "tanh"
    target: str = "relu"

    def __post_init__(self) -> None:
        if not (self.data_ratio > 0 and math.isfinite(self.data_ratio)):
            raise ValueError(f"`data_ratio` (samples per dimension) is {self.data_ratio}; it must be positive and finite")
        if not self.noise >= 0:
            raise ValueError(f"`noise` is {self.noise}; a standard deviation is 0 or positive")
        if self.nonlinear < 1e-12 or self.linear < 1e-12:
            what = "linear" if self.nonlinear < 1e-12 else "even"
            raise ValueError(f"activation `{self.activation}` is {what}; the student must be nonlinear with a linear part")
        if self.signal < 1e-12:
            raise ValueError(f"target `{self.target}` has no linear part, so no width can learn anything of it")

    @property
    def linear(self) -> float:
        """``a = mu1^2``, the linear part of the student's variance."""
        return hermite(self.activation).first ** 2

    @property
    def nonlinear(self) -> float:
        """``s = mu2^2 = 1 - mu1^2``."""
        return 1 - self.linear

    @property
    def signal(self) -> float:
        """``u = mu1*^2``, the part of the target's variance that can be learnt in this limit."""
        return hermite(self.target).first ** 2

    @property
    def unlearnable(self) -> float:
        """``v = mu2*^2 + noise^2``, the part of the label's variance that cannot."""
        return 1 - self.signal + self.noise**2


@dataclass(frozen=True)
class Jet:
    """Values at t of ``w``, ``lambda`` and the numerator ``F`` of the risk with their t-derivatives; see the module."""

    ridge: Array
    ridge_1: Array
    ridge_2: Array
    above: Array
    above_1: Array

    @classmethod
    def at(cls, problem: RidgeProblem, t: ArrayLike, width: float) -> Jet:
        """Evaluate at t > 1, any shape."""
        t = np.asarray(t, float)
        a, s, eta = problem.linear, problem.nonlinear, problem.data_ratio / width
        u, v, pa = problem.signal, problem.unlearnable, problem.data_ratio * problem.linear
        w = pa / (t - 1) - eta * (s + a / t)
        w_1 = -pa / (t - 1) ** 2 + eta * a / t**2
        w_2 = 2 * pa / (t - 1) ** 3 - 2 * eta * a / t**3
        rest, rest_1, rest_2 = 1 - (t - 1) * (s + a / t) / pa, -(s + a / t**2) / pa, 2 * a / (pa * t**3)
        return cls(
            ridge=rest * w,
            ridge_1=rest_1 * w + rest * w_1,
            ridge_2=rest_2 * w + 2 * rest_1 * w_1 + rest * w_2,
            above=v * w_1 + u * (w_1 / t + w / t**2),
            above_1=v * w_2 + u * (w_2 / t - 2 * w / t**3),
        )

    @property
    def risk(self) -> Array:
        """Prediction risk, noise included."""
        return self.above / self.ridge_1

    @property
    def slope(self) -> Array:
        """A positive multiple of the risk's derivative in t: ``F' lambda' - F lambda''``."""
        return self.above_1 * self.ridge_1 - self.above * self.ridge_2


def last_parameter(problem: RidgeProblem, width: float) -> float:
    """The t at which the ridge has fallen to zero: the positive root of ``q(t) = psi1 a min(1, 1/eta)``."""
    a, s = problem.linear, problem.nonlinear
    middle = a - s - a * min(problem.data_ratio, width)
    root = math.sqrt(middle**2 + 4 * s * a)
    return 2 * a / (middle + root) if middle > 0 else (root - middle) / (2 * s)


def parameter(problem: RidgeProblem, ridge: ArrayLike, width: float = math.inf) -> Array:
    """The t at which ``lambda(t) = ridge``, by bisection of ``log(t - 1)`` (the ridge falls with t); any shape."""
    _check_width(width)
    ridge = np.asarray(ridge, float)
    if not ((ridge > 0) & np.isfinite(ridge)).all():
        raise ValueError(f"`ridge` must be positive and finite, not {ridge.tolist()}")
    high = np.full(ridge.shape, math.log(last_parameter(problem, width) - 1))
    low = np.minimum(high, np.log(problem.data_ratio * problem.linear / ridge)) - 20.0
    for _ in range(64):
        middle = (low + high) / 2
        above = Jet.at(problem, 1 + np.exp(middle), width).ridge > ridge
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return 1 + np.exp((low + high) / 2)


def risk(problem: RidgeProblem, ridge: ArrayLike, width: float = math.inf) -> Array:
    """Prediction risk ``E (y - f(x))^2``, label noise included.

    Args:
        problem: the regression.
        ridge: lambda, the penalty divided by the number of features; any shape.
        width: psi2 = n/d, features per input dimension; ``math.inf`` for the limit.

    Raises:
        ValueError: if a ridge or the width is not positive.
    """
    return Jet.at(problem, parameter(problem, ridge, width), width).risk


@dataclass(frozen=True)
class Optimum:
    """The best ridge at one width, its risk, and the t at which they are taken."""

    width: float
    ridge: float
    risk: float
    t: float


def optimum(problem: RidgeProblem, width: float = math.inf) -> Optimum:
    """The ridge of least risk, closed form at infinite width: ``v t^2 - (v + u (psi1 - 1)) t - u = 0``.

    Raises:
        ValueError: if no ridge at all is best (then the optimum sits on the boundary and the gaps mean nothing).
    """
    _check_width(width)
    p, u, v = problem.data_ratio, problem.signal, problem.unlearnable
    if math.isinf(width):
        half = (v + u * (p - 1)) / 2
        t = (half + math.sqrt(half**2 + u * v)) / v
        return _optimum_at(problem, t, width)
    from scipy.optimize import root_scalar

    slope = lambda z: float(Jet.at(problem, 1 + math.exp(z), width).slope)  # noqa: E731
    top = math.log(last_parameter(problem, width) - 1)
    grid = np.linspace(top - 12.0, top, 241)
    best = int(np.argmin(Jet.at(problem, 1 + np.exp(grid), width).risk))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    if slope(high) <= 0:
        return _optimum_at(problem, 1 + math.exp(high), width, edge=True)
    found = root_scalar(slope, bracket=(low, high), xtol=1e-15, rtol=4 * np.finfo(float).eps)
    return _optimum_at(problem, 1 + math.exp(found.root), width)


def _optimum_at(problem: RidgeProblem, t: float, width: float, edge: bool = False) -> Optimum:
    jet = Jet.at(problem, t, width)
    if edge or not jet.ridge > 0:
        raise ValueError(
            f"no positive ridge is best at width {width:g}: the activation `{problem.activation}` regularises enough by itself; "
            f"take more noise than {problem.noise:g}, or a target that is harder to learn than `{problem.target}`"
        )
    return Optimum(width, float(jet.ridge), float(jet.risk), t)


def gaps(problem: RidgeProblem, width: float) -> Gaps:
    """The gaps (a, b, c) at a finite width, without subtracting nearly equal risks for c.

    At infinite width ``risk = psi1 (v t^2 + u)/S(t)``, ``S = psi1 t^2 - (t-1)^2``, is stationary at t*, so its excess is *exactly*
    ``psi1 (v S(t*) - (psi1-1)(v t*^2 + u)) (t - t*)^2 / (S(t) S(t*))``; and ``t - t*`` follows from the gap in the ridge
    through ``lambda(t) - lambda(t*) = (t* - t)(psi1 a/((t-1)(t*-1)) - a/(t t*))``.
    """
    finite, limit = optimum(problem, width), optimum(problem)
    a, p, u, v = problem.linear, problem.data_ratio, problem.signal, problem.unlearnable
    off, star = finite.ridge - limit.ridge, limit.t
    top = finite.ridge + problem.nonlinear
    half = (top + a * (p - 1)) / 2
    t = (half + math.sqrt(half**2 + top * a)) / top
    shift = off / (p * a / ((t - 1) * (star - 1)) - a / (t * star))
    s_t, s_star = (p * x**2 - (x - 1) ** 2 for x in (t, star))
    excess = p * (v * s_star - (p - 1) * (v * star**2 + u)) * shift**2 / (s_t * s_star)
    return Gaps(abs(finite.risk - limit.risk), abs(off), excess)


def _check_width(width: float) -> None:
    if not width > 0:
        raise ValueError(f"`width` (features per input dimension) is {width}; it must be positive, or math.inf for the limit")


@dataclass(frozen=True)
class GapConstants:
    """Leading coefficients ``a_n = loss eta``, ``b_n = |ridge| eta``, ``c_n = suboptimality eta^2``, ``eta = psi1/psi2``."""

    loss: float
    ridge: float
    suboptimality: float


def gap_constants(problem: RidgeProblem) -> GapConstants:
    """The constants C_eta and C_lambda, and ``c_n``'s ``R''(lambda*) C_lambda^2 / 2``, in closed form.

    The paper (arXiv 2512.22768, proof of Theorem 3) linearises its system without the term ``eta (lambda m1 - 1)(mu2^2 m1 + mu1^2
    m2)``; these are the constants with it. ``ridge`` is signed: positive when the optimum falls towards its limit.
    """
    best = optimum(problem)
    a, s, p, v, t = problem.linear, problem.nonlinear, problem.data_ratio, problem.unlearnable, best.t
    size = p * t**2 - (t - 1) ** 2
    loss = v * (a + s * t) * (a + s * t**2) * (t - 1) ** 2 / (a**2 * (p * t - t + 1) * size)
    square = a**2 * (-2 * p * t**3 + 3 * p * t**2 + 2 * t**3 - 5 * t**2 + 4 * t - 1)
    mixed = 2 * a * s * t**2 * (p * t + (t - 1) ** 2)
    cubic = s**2 * t**3 * (p * t**3 - t**3 + 4 * t**2 - 5 * t + 2)
    ridge = (square + mixed + cubic) / (a * p * t**3 * (t - 1))
    return GapConstants(loss, ridge, curvature(problem) * ridge**2 / 2)


def curvature(problem: RidgeProblem) -> float:
    """Second derivative of the limiting risk in the ridge, at its optimum: ``2 v psi1/(S lambda'^2 (psi1 t - t + 1))``."""
    t, p = optimum(problem).t, problem.data_ratio
    size = p * t**2 - (t - 1) ** 2
    rate = -problem.linear * size / (t**2 * (t - 1) ** 2)
    return 2 * problem.unlearnable * p / (size * rate**2 * (p * t - t + 1))


def self_consistent(problem: RidgeProblem, ridge: float, width: float) -> tuple[float, float]:
    """The pair (m1, m2) of arXiv 2512.22768, Theorem 3."""
    t = float(parameter(problem, ridge, width))
    a, s, eta = problem.linear, problem.nonlinear, problem.data_ratio / width
    first = 1 / (problem.data_ratio * a / (t - 1) - eta * (s + a / t))
    return first, first / t
