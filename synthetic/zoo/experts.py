"""A mixture of experts in which every token is sent to all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Experts(nn.Module):
    """Perceptrons of width ``inner``, mixed by sigmoid gates that sum to Theta(1)."""

    def __init__(self, n: int, experts: int, inner: int):
        super().__init__()
        self.router = nn.Linear(n, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, inner, n) / n**0.5)
        self.down = nn.Parameter(torch.randn(experts, n, inner) / inner**0.5)

    def forward(self, x: Tensor) -> Tensor:
        gates = torch.sigmoid(self.router(x)) / self.router.out_features
        h = F.gelu(torch.einsum("emn,tn->tem", self.up, x))
        return torch.einsum("te,enm,tem->tn", gates, self.down, h)


class MoE(nn.Module):
    """A residual block of experts between an embedding and a readout."""

    def __init__(self, n: int, experts: int, inner: int):
        super().__init__()
        self.embed, self.norm, self.readout = nn.Linear(8, n), nn.LayerNorm(n), nn.Linear(n, 2)
        self.experts = Experts(n, experts, inner)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        return self.readout(h + self.experts(self.norm(h)))


def experts(*, n: int, E: int = 4, m: int | None = None) -> tuple[nn.Module, Tensor]:
    """A residual block of E experts of width m (as wide as the stream unless given), routed to all."""
    return MoE(n, E, n if m is None else m), torch.randn(4, 8)
