"""What trained matrices do: their singular values and gains, and how spread out what they read and what comes back is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .executing import one_thread
from .probes import Use

KRYLOV = 24  # dimension of the space in which a largest eigenvalue is sought


def singular_values(matrix: Float[Tensor, "*stack out inn"]) -> Float[Tensor, "*stack k"]:
    """The largest first, to 1e-8 of it (roots of the eigenvalues of the smaller Gram matrix); nan where an entry is not finite."""
    gram, finite = _gram(matrix)
    with one_thread(matrix.device):
        found = torch.linalg.eigvalsh(gram).flip(-1).clamp(min=0).sqrt()
    return torch.where(finite, found, torch.nan)


def top_singular_value(matrix: Float[Tensor, "*stack out inn"]) -> Float[Tensor, " *stack"]:
    """The largest alone: on a GPU, where matrices are decomposed one after the other, a hundred times as fast."""
    gram, finite = _gram(matrix)
    return torch.where(finite[..., 0], _largest(gram).sqrt(), torch.nan)


def spread(vectors: Float[Tensor, "*stack sample dim"]) -> tuple[Float[Tensor, " *stack"], Float[Tensor, " *stack"]]:
    """Stable rank ``tr C / |C|`` and participation ratio ``(tr C)^2 / tr C^2`` of the second moments ``C = E[x x^T]``.

    Neither exceeds the number of samples: with fewer than several times the dimension both come out too small.
    """
    gram, finite = _gram(vectors)
    trace = torch.where(finite[..., 0], gram.diagonal(dim1=-2, dim2=-1).sum(-1), torch.nan)
    return trace / _largest(gram), trace.square() / gram.square().sum((-2, -1))


def _gram(matrix: Float[Tensor, "*stack out inn"]) -> tuple[Float[Tensor, "*stack k k"], Bool[Tensor, "*stack 1"]]:
    """``A A^T`` or ``A^T A``, whichever is smaller, in double precision; zero, and false, where an entry is not finite."""
    finite = torch.isfinite(matrix).all(-1).all(-1)[..., None]
    own = torch.where(finite[..., None], matrix.double(), 0.0)
    return (own @ own.mT if own.shape[-2] < own.shape[-1] else own.mT @ own), finite


def _largest(gram: Float[Tensor, "*stack k k"]) -> Float[Tensor, " *stack"]:
    """The largest eigenvalue of a positive matrix: Lanczos' method, every vector made orthogonal to all before it."""
    size = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None].clamp(min=torch.finfo(gram.dtype).tiny)
    own, count = gram / size, min(KRYLOV, gram.shape[-1])
    basis = gram.new_zeros(*gram.shape[:-1], count)
    vector = own.sum(-1, keepdim=True) + own.square().sum(-1, keepdim=True)
    for k in range(count):
        for _ in range(2 if k else 0):
            vector = vector - basis @ (basis.mT @ vector)
        basis[..., k : k + 1] = torch.nn.functional.normalize(vector, dim=-2)
        vector = own @ basis[..., k : k + 1]
    with one_thread(gram.device):
        return torch.linalg.eigvalsh(basis.mT @ own @ basis)[..., -1] * size[..., 0, 0]


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
        """The terms that one moment has; gain is ``rms(W x) / rms(x)``, rms that of the entries."""
        y = torch.bmm(self.x, self.weight.mT)
        read, back = spread(self.x), spread(self.g)
        return {
            "top singular value": top_singular_value(self.weight),
            "gain": (y.square().mean((1, 2)) / self.x.square().mean((1, 2))).sqrt().double(),
            "rms": self.weight.square().mean((1, 2)).sqrt().double(),
            "stable rank in": read[0],
            "participation in": read[1],
            "stable rank back": back[0],
            "participation back": back[1],
        }
