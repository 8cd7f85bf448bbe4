"""Low-rank adapters of frozen layers (LoRA, 2106.09685)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Adapted(nn.Module):
    """A frozen layer and a product of two thin ones, of which one starts at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int, starts: str):
        super().__init__()
        self.frozen = nn.Linear(inputs, outputs, bias=False).requires_grad_(False)
        self.A, self.B = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
        nn.init.zeros_((self.A if starts == "B" else self.B).weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + self.B(self.A(x))


class Adapters(nn.Module):
    """A perceptron of adapted layers."""

    def __init__(self, n: int, rank: int, starts: str):
        super().__init__()
        self.embed = nn.Linear(8, n, bias=False).requires_grad_(False)
        self.one, self.two = Adapted(n, n, rank, starts), Adapted(n, n, rank, starts)
        self.readout = nn.Linear(n, 2, bias=False).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(F.gelu(self.two(F.gelu(self.one(F.gelu(self.embed(x)))))))


def lora(*, n: int, r: int = 4, starts: str = "A") -> tuple[nn.Module, Tensor]:
    """Adapters of rank r; ``starts``: the factor that is random at first (the other is zero)."""
    return Adapters(n, r, starts), torch.randn(4, 8)
