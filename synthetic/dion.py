"""Dion: orthonormal updates of a low rank, by one step of power iteration on the momentum (Ahn et al., arXiv 2504.05295)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from .executing import one_thread
from .orthonormal import orthonormal
from .stacked import Factor, Group, PerReplica, Stacked, Tensors


class Dion:
    """``B = M + g, P = orth(B Q), R = B^T P, M <- B - (1 - momentum) P R^T, Q <- R`` with unit columns, ``w <- w - lr P Q^T``.

    Every matrix is moved by an orthonormal update of rank ``rank``; what it leaves out stays in the momentum. At full rank it is
    the polar factor that a converged power iteration gives. The shape factor sqrt(out / in) of the paper is left to the table.

    Args:
        groups: as `build` returns them.
        rates: one factor per replica on every ``lr``.
        momentum: what of the part that was applied stays.
        rank: of the updates; 0 or more than a matrix has stands for its own.
    """

    capturable = False

    def __init__(self, groups: Sequence[Group], rates: PerReplica = None, *, momentum: float = 0.95, rank: int = 0):
        self._stacked, self.momentum = Stacked(groups, rates), momentum
        self._splits = [group.get("split", (1, 1)) for group in groups for _ in group["params"]]
        self._memory = [matrices(torch.zeros_like(p), split) for p, split in zip(self._stacked.parameters, self._splits, strict=True)]
        self._right = [_start(m, rank) for m in self._memory]

    @torch.no_grad()
    def step(self, gradients: Tensors, factor: Factor = 1.0) -> None:
        """Update all parameters in place; ``factor`` is the value of the schedule."""
        updates = [
            self._update(i, matrices(g.contiguous(), split)) for i, (g, split) in enumerate(zip(gradients, self._splits, strict=True))
        ]
        self._stacked.decay(factor)
        shaped = [u.reshape(p.shape) for u, p in zip(updates, self._stacked.parameters, strict=True)]
        self._stacked.subtract(shaped, factor)

    def freeze(self, replicas: Bool[Tensor, " replica"]) -> None:
        """Set parameters, state and rates of these replicas to zero: they have diverged, the others go on."""
        self._stacked.freeze(replicas, self._memory)

    def _update(self, i: int, gradient: Tensor) -> Tensor:
        whole = self._memory[i] + gradient
        finite = torch.isfinite(whole).all(-1, keepdim=True).all(-2, keepdim=True)
        whole = torch.where(finite, whole, torch.zeros_like(whole))  # a diverged replica must not break the decomposition
        left = _basis(whole @ self._right[i])
        right = whole.mT @ left
        self._memory[i] = whole - (1 - self.momentum) * left @ right.mT
        size = right.norm(dim=-2, keepdim=True)
        self._right[i] = torch.where(size > 0, right / torch.where(size > 0, size, torch.ones_like(size)), self._right[i])
        update = left @ torch.where(size > 0, self._right[i], torch.zeros_like(right)).mT
        return torch.where(finite, update, torch.full_like(update, torch.nan))


def _basis(columns: Tensor) -> Tensor:
    """Orthonormal columns of the same span. A GPU decomposes a stack by QR one matrix after the other, several milliseconds each."""
    if columns.device.type == "cuda":
        return orthonormal(columns.double()).to(columns)
    with one_thread(columns.device):
        return torch.linalg.qr(columns).Q


def matrices(tensor: Tensor, split: tuple[int, int]) -> Tensor:
    """A view (*batch, out, inn) of (*batch, *out, *inn)."""
    batch, out = split
    shape = tensor.shape
    return tensor.view(*shape[:batch], shape[batch : batch + out].numel(), shape[batch + out :].numel())


def _start(memory: Tensor, rank: int) -> Tensor:
    """Orthonormal columns, the same for every replica."""
    out, inn = memory.shape[-2:]
    count = min(out, inn, rank or inn)
    drawn = torch.randn(inn, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.linalg.qr(drawn).Q.to(memory).expand(*memory.shape[:-2], inn, count).clone()
