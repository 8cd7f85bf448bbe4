"""What trained matrices do: their singular values and gains, and how spread out what they read and what comes back is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..theory.gain import noise_top
from .executing import one_thread
from .probes import Use

MOMENTS = (
    "top singular value", "gain", "rms", "stable rank in", "participation in", "stable rank back", "participation back",
    "noise top", "noise gain",
)  # fmt: skip
KRYLOV = 24  # dimension of the space in which a largest eigenvalue is sought


def singular_values(matrix: Float[Tensor, "*stack out inn"]) -> Float[Tensor, "*stack k"]:
    """The largest first, to 1e-8 of it (roots of the eigenvalues of the smaller Gram matrix); nan where an entry is not finite."""
    return _eigenvalues(_gram(matrix)).flip(-1).clamp(min=0).sqrt()


def top_singular_value(matrix: Float[Tensor, "*stack out inn"]) -> Float[Tensor, " *stack"]:
    """The largest alone, to 1e-4: on a GPU, which decomposes one matrix after the other, without a decomposition."""
    return _largest(_gram(matrix)).sqrt()


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
        return self.trace / _largest(self.covariance)

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
    both (`theory.gain.noise_top`).
    """
    values = [_eigenvalues(m.correlation).clamp(min=0).cpu().numpy() for m in (inn, out)]
    found = [noise_top(a, b) if np.isfinite(a.sum() * b.sum()) and a.any() and b.any() else np.nan for a, b in zip(*values, strict=True)]
    return torch.tensor(found, dtype=torch.float64)


def _gram(matrix: Float[Tensor, "*stack out inn"]) -> Float[Tensor, "*stack k k"]:
    """``A A^T`` or ``A^T A``, whichever is smaller, in double precision."""
    own = matrix.double()
    return own @ own.mT if own.shape[-2] < own.shape[-1] else own.mT @ own


def _eigenvalues(symmetric: Tensor) -> Tensor:
    """The smallest first; nan where an entry is not finite."""
    finite = torch.isfinite(symmetric).all(-1).all(-1)[..., None]
    with one_thread(symmetric.device):
        found = torch.linalg.eigvalsh(torch.where(finite[..., None], symmetric, 0.0))
    return torch.where(finite, found, torch.nan)


def _largest(positive: Float[Tensor, "*stack k k"]) -> Float[Tensor, " *stack"]:
    """The largest eigenvalue: Lanczos' method, every vector made orthogonal to all before it; nan where an entry is not finite."""
    size = positive.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None].clamp(min=torch.finfo(positive.dtype).tiny)
    own, count = positive / size, min(KRYLOV, positive.shape[-1])
    basis = positive.new_zeros(*positive.shape[:-1], count)
    vector = own.sum(-1, keepdim=True) + own.square().sum(-1, keepdim=True)
    for k in range(count):
        for _ in range(2 if k else 0):
            vector = vector - basis @ (basis.mT @ vector)
        basis[..., k : k + 1] = torch.nn.functional.normalize(vector, dim=-2)
        vector = own @ basis[..., k : k + 1]
    return _eigenvalues(basis.mT @ own @ basis)[..., -1] * size[..., 0, 0]


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

    @cached_property
    def read(self) -> Moments:
        """Of what it reads."""
        return Moments.of(self.x)

    @cached_property
    def back(self) -> Moments:
        """Of what comes back."""
        return Moments.of(self.g)

    @cached_property
    def rms(self) -> Tensor:
        """Of the entries."""
        return self.weight.square().mean((1, 2)).sqrt().double()

    @property
    def gain(self) -> Tensor:
        """``rms(W x) / rms(x)``."""
        y = torch.bmm(self.x, self.weight.mT)
        return (y.square().mean((1, 2)) / self.x.square().mean((1, 2))).sqrt().double()

    def measure(self, terms: Sequence[str] = MOMENTS) -> Mapping[str, Tensor]:
        """The terms that one moment has.

        ``noise top`` and ``noise gain`` are what the top singular value and the gain would be if W were noise of its rms. Moments of
        vectors, and above all ``noise top``, take longer than the rest.
        """
        ways: dict[str, Callable[[], Tensor]] = {
            "top singular value": lambda: top_singular_value(self.weight),
            "gain": lambda: self.gain,
            "rms": lambda: self.rms,
            "stable rank in": lambda: self.read.stable_rank,
            "participation in": lambda: self.read.participation,
            "stable rank back": lambda: self.back.stable_rank,
            "participation back": lambda: self.back.participation,
            "noise top": lambda: self.rms * noise_tops(self.read, self.back).to(self.rms.device),
            "noise gain": lambda: self.rms * self.read.noise_gain,
        }
        return {term: ways[term]() for term in terms}
