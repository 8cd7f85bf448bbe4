"""Infinite depth: the limit of residual networks whose branches are multiplied by 1/sqrt(L), from those of several finite depths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from .problem import Problem
from .replicates import Progress
from .solution import Curve, Solution
from .solving import solve

DEPTHS = (4, 8, 16)


@dataclass(frozen=True, eq=False)
class Deep:
    """The loss at infinite width, then infinite depth.

    Args:
        steps: recorded ones.
        loss: extrapolated; its ``bias`` is what the smallest depth changes.
        finite: the solutions it comes from, by depth.
    """

    steps: Int[np.ndarray, " record"]
    loss: Curve
    finite: dict[int, Solution]


def solve_deep(
    problem: Problem,
    *,
    axis: str = "L",
    depths: Sequence[int] = DEPTHS,
    error: float = 1e-3,
    key: int = 0,
    progress: Progress | None = None,
) -> Deep:
    """Solve at several depths and extrapolate the loss as ``c + b / L``, the order of the discretisation in depth (arXiv 2309.16620).

    Args:
        problem: a residual network; its own depth is not used.
        axis: of the depth.
        depths: at least three, increasing.
        error: of every finite solution.
        key: of the noise.
        progress: as in `solve`.

    Raises:
        ValueError: if there are fewer depths, or the network has no such axis.
    """
    if len(depths) < 3 or list(depths) != sorted(set(depths)):
        raise ValueError(f"`depths` is {tuple(depths)}; give at least three, increasing")
    if axis not in problem.sizes:
        raise ValueError(
            f"`{problem.architecture.name}` is given no size of the axis `{axis}` (it has {', '.join(problem.sizes) or 'none'})"
        )
    finite = {d: solve(replace(problem, sizes={**problem.sizes, axis: d}), error=error, key=key, progress=progress) for d in depths}
    curves = [one.loss for one in finite.values()]
    weights, without = _weights(depths), _weights(depths[1:])
    value, error_of = _combine(weights, curves)
    bias = value - _combine(without, curves[1:])[0]
    return Deep(next(iter(finite.values())).steps, Curve(value, error_of, bias, min(c.replicates for c in curves)), finite)


def _weights(depths: Sequence[int]) -> Float[np.ndarray, " depth"]:
    """What a least-squares line in 1/L takes of every depth for its value at zero."""
    lines = np.stack([np.ones(len(depths)), 1 / np.array(depths, float)], axis=1)
    return np.linalg.pinv(lines)[0]


def _combine(weights: Float[np.ndarray, " depth"], curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """A weighted sum and its error; the depths' noise is taken as independent."""
    value = sum(w * c.value for w, c in zip(weights, curves, strict=True))
    square = sum((w * np.hypot(c.error, c.bias)) ** 2 for w, c in zip(weights, curves, strict=True))
    return np.asarray(value), np.sqrt(np.asarray(square))
