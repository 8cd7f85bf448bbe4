"""Layers whose weight is a structured matrix: sparse, Kronecker, Monarch (2204.00595), block tensor train (2406.06248)."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn


class Kronecker(nn.Module):
    """The Kronecker product of two matrices of side sqrt(n)."""

    def __init__(self, n: int):
        super().__init__()
        self.side = isqrt(n)
        self.left, self.right = (nn.Parameter(torch.randn(self.side, self.side) / self.side**0.5) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(-1, (self.side, self.side))
        return torch.einsum("ai,bj,tij->tab", self.left, self.right, x).flatten(1)


class Monarch(nn.Module):
    """Two block-diagonal matrices with a transposition of the blocks between them."""

    def __init__(self, n: int):
        super().__init__()
        self.side = isqrt(n)
        self.first, self.second = (nn.Parameter(torch.randn(self.side, self.side, self.side) / self.side**0.5) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.einsum("kij,tkj->tki", self.first, x.unflatten(-1, (self.side, self.side)))
        return torch.einsum("ilk,tki->til", self.second, x).flatten(1)


class BlockTensorTrain(nn.Module):
    """As Monarch, with a rank between the two factors."""

    def __init__(self, n: int, rank: int):
        super().__init__()
        self.side = isqrt(n)
        self.first = nn.Parameter(torch.randn(self.side, self.side, self.side, rank) / self.side**0.5)
        self.second = nn.Parameter(torch.randn(self.side, self.side, self.side, rank) / (self.side * rank) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.einsum("kijr,tkj->tkir", self.first, x.unflatten(-1, (self.side, self.side)))
        return torch.einsum("ilkr,tkir->til", self.second, x).flatten(1)


class BlockSparse(nn.Module):
    """A matrix with a share 1/s of its entries: s blocks on the diagonal."""

    def __init__(self, n: int, s: int):
        super().__init__()
        self.blocks, side = s, n // s
        self.weight = nn.Parameter(torch.randn(s, side, side) / side**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("kij,tkj->tki", self.weight, x.unflatten(-1, (self.blocks, -1))).flatten(1)


class Structured(nn.Module):
    """A perceptron with two structured hidden layers."""

    def __init__(self, n: int, one: nn.Module, two: nn.Module):
        super().__init__()
        self.embed, self.one, self.two, self.readout = nn.Linear(8, n), one, two, nn.Linear(n, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(torch.tanh(self.two(torch.tanh(self.one(torch.tanh(self.embed(x)))))))


def sparse(*, n: int, s: int) -> tuple[nn.Module, Tensor]:
    """A perceptron with a sparse hidden weight of density 1/s, then a dense one."""
    return Structured(n, BlockSparse(n, s), nn.Linear(n, n)), torch.randn(4, 8)


def kronecker(*, n: int) -> tuple[nn.Module, Tensor]:
    """A perceptron whose hidden weights are Kronecker products; n is a square."""
    return Structured(n, Kronecker(n), Kronecker(n)), torch.randn(4, 8)


def monarch(*, n: int) -> tuple[nn.Module, Tensor]:
    """A perceptron whose hidden weights are Monarch matrices; n is a square."""
    return Structured(n, Monarch(n), Monarch(n)), torch.randn(4, 8)


def btt(*, n: int, r: int = 2) -> tuple[nn.Module, Tensor]:
    """A perceptron whose hidden weights are block tensor trains of rank r; n is a square."""
    return Structured(n, BlockTensorTrain(n, r), BlockTensorTrain(n, r)), torch.randn(4, 8)
