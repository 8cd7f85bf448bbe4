"""What trained matrices do: their singular values and gains, and how spread out what they read and what comes back is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..theory.coloured_noise import noise_top
from .executing import one_thread
from .probes import Use


def singular_values(matrix: Float[Tensor, "*stack out inn"]) -> Float[Tensor, "*stack k"]:
    """The largest first, in double precision; nan where an entry is not finite."""
    finite = torch.isfinite(matrix).all(-1).all(-1)[..., None]
    with one_thread(matrix.device):
        found = torch.linalg.svdvals(torch.where(finite[..., None], matrix.double(), 0.0))
    return torch.where(finite, found, torch.nan)


@dataclass(frozen=True)
class Moments:
    """Second moments ``C = E[x x^T]`` of vectors, (stack, sample, dim), and what follows from them.

    With fewer samples than several times the dimension C looks less even than it is; take as many per dimension at all sizes that are
    compared.
    """

    covariance: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Moments:
        """In double precision."""
        x = vectors.double()
        return cls(x.mT @ x / x.shape[1])

    @property
    def trace(self) -> Tensor:
        return self.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)

    @property
    def stable_rank(self) -> Tensor:
        """``tr C / |C|``."""
        return self.trace / _eigenvalues(self.covariance)[..., -1]

    @property
    def participation(self) -> Tensor:
        """``(tr C)^2 / tr C^2``."""
        return self.trace.square() / self.covariance.square().sum((-2, -1))

    @property
    def correlation(self) -> Tensor:
        """``C_ij / sqrt(C_ii C_jj)``; zero for what is always zero."""
        sizes = self.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
        inverse = torch.where(sizes > 0, 1 / sizes, 0.0)
        return self.covariance * inverse[..., :, None] * inverse[..., None, :]

    @property
    def noise_gain(self) -> Tensor:
        """``rms(W x) / rms(x)`` for a W of the mean square 1 that AdamW accumulated from noise with these inputs: see `noise_tops`."""
        same = self.correlation
        found = (same * self.covariance).sum((-2, -1)) / self.trace / same.diagonal(dim1=-2, dim2=-1).sum(-1)
        return found.sqrt() * self.covariance.shape[-1]


def noise_tops(inn: Moments, out: Moments) -> Tensor:
    """Top singular values of noise of the mean square 1, replica by replica; nan where one side is zero or not finite.

    Gradients that are products of independent inputs and derivatives, divided by the sizes of their entries, have the correlations of
    both (`theory.coloured_noise.noise_top`).
    """
    values = [_eigenvalues(m.correlation).clamp(min=0).cpu().numpy() for m in (inn, out)]
    found = [noise_top(a, b) if np.isfinite(a.sum() * b.sum()) and a.any() and b.any() else np.nan for a, b in zip(*values, strict=True)]
    return torch.tensor(found, dtype=torch.float64)


def _eigenvalues(symmetric: Tensor) -> Tensor:
    """The smallest first; nan where an entry is not finite."""
    finite = torch.isfinite(symmetric).all(-1).all(-1)[..., None]
    with one_thread(symmetric.device):
        found = torch.linalg.eigvalsh(torch.where(finite[..., None], symmetric, 0.0))
    return torch.where(finite, found, torch.nan)


@dataclass(frozen=True)
class Matrix:
    """One application of a weight as a matrix, replica by replica (and along what it shares with its input: experts).

    Args:
        weight: W with its multiplier, (stack, out, inn).
        x: what it reads, (stack, sample, inn).
        g: the derivative of the loss with respect to what it makes, (stack, sample, out).
    """

    weight: Tensor
    x: Tensor
    g: Tensor

    @classmethod
    def of(cls, use: Use, weight: Tensor) -> Matrix | None:
        """None for what is no matrix product: a bias, a gain, a looked-up embedding."""
        act = use.application.contraction
        if act.lookup or not act.eaten or not act.new:
            return None
        w = use.application.cut(weight).detach()
        return cls(act.alpha * act.fold_weight(w), act.fold_input(use.x, w.shape[0]), act.fold_output(use.g))

    def measure(self) -> Mapping[str, Tensor]:
        """The terms that one moment has; gain is ``rms(W x) / rms(x)``, rms that of the entries.

        ``noise top`` and ``noise gain`` are what the top singular value and the gain would be if W were noise of its rms.
        """
        y = torch.bmm(self.x, self.weight.mT)
        read, back = Moments.of(self.x), Moments.of(self.g)
        rms = self.weight.square().mean((1, 2)).sqrt().double()
        return {
            "top singular value": singular_values(self.weight)[:, 0],
            "gain": (y.square().mean((1, 2)) / self.x.square().mean((1, 2))).sqrt().double(),
            "rms": rms,
            "stable rank in": read.stable_rank,
            "participation in": read.participation,
            "stable rank back": back.stable_rank,
            "participation back": back.participation,
            "noise top": rms * noise_tops(read, back).to(rms.device),
            "noise gain": rms * read.noise_gain,
        }
