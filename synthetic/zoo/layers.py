"""Layers that several modules share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Fused projections (batch, time, parts * n) as that many (batch, heads, time, n / heads)."""
    return x.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def join_heads(x: Tensor) -> Tensor:
    """(batch, heads, time, n / heads) as (batch, time, n)."""
    return x.transpose(1, 2).flatten(2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of every head."""
    return F.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Multi-head attention with a fused projection of queries, keys and values."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(n, 3 * n), nn.Linear(n, n)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = split_heads(self.qkv(x), 3, self.heads)
        return self.proj(join_heads(attend(q, k, v)))


class CrossAttention(nn.Module):
    """Attention of tokens to a text."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.heads, self.q, self.kv, self.proj = heads, nn.Linear(n, n), nn.Linear(n, 2 * n), nn.Linear(n, n)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        q, (k, v) = split_heads(self.q(x), 1, self.heads)[0], split_heads(self.kv(text), 2, self.heads)
        return self.proj(join_heads(attend(q, k, v)))


def perceptron(n: int) -> nn.Sequential:
    """The MLP of a Transformer block."""
    return nn.Sequential(nn.Linear(n, 4 * n), nn.GELU(), nn.Linear(4 * n, n))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Adaptive normalisation: one shift and scale per example, for all its tokens."""
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


def waves(t: Tensor, count: int = 8) -> Tensor:
    """Sines and cosines of times at ``count`` frequencies each."""
    angles = t[:, None] * torch.exp(-torch.arange(count, device=t.device) * (9.2 / count))
    return torch.cat([angles.cos(), angles.sin()], -1)


def zero(layer: nn.Linear) -> nn.Linear:
    """A layer that starts at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
