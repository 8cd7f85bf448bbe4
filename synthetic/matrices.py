"""What trained matrices do: their singular values and gains, and how spread out what they read and what comes back is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .executing import one_thread
from .probes import Use


def singular_values(matrix: Float[Tensor, "*stack out inn"]) -> Float[Tensor, "*stack k"]:
    """The largest first, in double precision; nan where an entry is not finite."""
    finite = torch.isfinite(matrix).all(-1).all(-1)[..., None]
    with one_thread(matrix.device):
        found = torch.linalg.svdvals(torch.where(finite[..., None], matrix.double(), 0.0))
    return torch.where(finite, found, torch.nan)


def spread(vectors: Float[Tensor, "*stack sample dim"]) -> tuple[Float[Tensor, " *stack"], Float[Tensor, " *stack"]]:
    """Stable rank ``tr C / |C|`` and participation ratio ``(tr C)^2 / tr C^2`` of the second moments ``C = E[x x^T]``.

    Neither exceeds the number of samples: with fewer than several times the dimension both come out too small.
    """
    squares = singular_values(vectors).square()
    trace = squares.sum(-1)
    return trace / squares[..., 0], trace.square() / squares.square().sum(-1)


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
            "top singular value": singular_values(self.weight)[:, 0],
            "gain": (y.square().mean((1, 2)) / self.x.square().mean((1, 2))).sqrt().double(),
            "rms": self.weight.square().mean((1, 2)).sqrt().double(),
            "stable rank in": read[0],
            "participation in": read[1],
            "stable rank back": back[0],
            "participation back": back[1],
        }
