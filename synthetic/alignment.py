"""The spectrum of a step's alignment with the gradient, and the averaged trajectory on which it is taken.

Ghosh, Wu and Bietti, arXiv 2512.22768, section on trajectories: for a matrix W with gradient G and step dW the alignment matrix is
``S = (G^T dW + dW^T G) / 2``; its trace is the linear change of the loss, ``<G, dW>``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .executing import one_thread
from .orthonormal import orthonormal

ROUNDS = 12  # of subspace iteration


def alignment_eigenvalues(gradient: Float[Tensor, "*stack out inn"], step: Float[Tensor, ...]) -> Float[Tensor, "*stack k"]:
    """Eigenvalues of S on the side of the columns, the largest in magnitude first, with their signs.

    S has rank 2 out at most: where that is less than inn they are found from a QR of ``[G^T dW^T]``, and only ``2 out`` are returned
    (the others are zero). For the side of the rows give both matrices transposed.

    Args:
        gradient: G.
        step: dW.

    Raises:
        ValueError: if the shapes differ.
    """
    if gradient.shape != step.shape:
        raise ValueError(f"a gradient of the shape {tuple(gradient.shape)} and a step of {tuple(step.shape)} have no alignment")
    out, inn = gradient.shape[-2:]
    with one_thread(gradient.device):
        if 2 * out < inn:
            r = torch.linalg.qr(torch.cat([gradient.mT, step.mT], dim=-1)).R
            left, right = r[..., :out], r[..., out:]
            product = left @ right.mT
        else:
            product = gradient.mT @ step
        return _eigenvalues((product + product.mT) / 2)


def leading_eigenvalues(gradient: Float[Tensor, "*stack out inn"], step: Float[Tensor, ...], count: int) -> Float[Tensor, "*stack k"]:
    """The first ``count`` of `alignment_eigenvalues`, by subspace iteration where that is cheaper: products of matrices alone.

    A GPU takes the eigenvalues of a thousand matrices of side 1024 one after the other, in half a minute. Here twice as many vectors
    as are wanted are multiplied by S `ROUNDS` times, in double precision; the j-th eigenvalue is off by about
    ``|lambda_(2 count + 1) / lambda_j| ^ (2 ROUNDS)`` of itself. What small matrices are left, the CPU takes.

    Args:
        gradient: G.
        step: dW.
        count: how many.
    """
    out, inn = gradient.shape[-2:]
    if 2 * out < inn or 4 * count > inn:
        return alignment_eigenvalues(gradient.cpu(), step.cpu())[..., :count].to(gradient)
    product = gradient.mT.double() @ step.double()
    s = (product + product.mT) / 2
    drawn = torch.randn(inn, 2 * count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = drawn.to(s.device).expand(*s.shape[:-2], inn, 2 * count)
    for _ in range(ROUNDS):
        basis = orthonormal(s @ basis)
    inner = (basis.mT @ s @ basis).cpu()
    with one_thread(inner.device):
        return _eigenvalues(inner)[..., :count].to(gradient)


def _eigenvalues(symmetric: Float[Tensor, "*stack k k"]) -> Float[Tensor, "*stack k"]:
    """The largest in magnitude first; nan for a matrix that is not finite (its replica has diverged), which LAPACK refuses."""
    finite = torch.isfinite(symmetric).all(-1).all(-1)[..., None]
    values = torch.linalg.eigvalsh(torch.where(finite[..., None], symmetric, torch.zeros_like(symmetric)))
    values = torch.where(finite, values, torch.full_like(values, torch.nan))
    return values.gather(-1, values.abs().argsort(dim=-1, descending=True))


@dataclass(frozen=True)
class Averaging:
    """The exponential moving average of the iterates, and when it is looked at.

    Windows and spacings grow linearly over the first ``over`` steps (the paper's: windows 50 to 2000, spacings 2 to 10, over 2000).

    Args:
        window: ``1 / (1 - alpha)`` at the start and from ``over`` on.
        spacing: steps between looks, likewise.
        over: how many steps the growth takes.
    """

    window: tuple[float, float] = (50.0, 2000.0)
    spacing: tuple[float, float] = (2.0, 10.0)
    over: int = 2000

    def kept(self, step: int) -> float:
        """``alpha`` of ``average <- alpha average + (1 - alpha) w`` after an update (counted from 1)."""
        return 1 - 1 / self._between(self.window, step)

    def looks(self, steps: int) -> tuple[int, ...]:
        """Updates after which the average is looked at; the last always."""
        found, step = [], 0.0
        while (step := step + self._between(self.spacing, int(step))) <= steps:
            found.append(int(step))
        return tuple(dict.fromkeys([*found, steps]))

    def _between(self, ends: tuple[float, float], step: int) -> float:
        part = min(1.0, step / self.over)
        return ends[0] + part * (ends[1] - ends[0])
