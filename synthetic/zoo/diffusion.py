"""Diffusion transformers: DiT (2212.09748), U-ViT (2209.12152), PixArt-alpha (2310.00426), MMDiT (2403.03206)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import Attention, CrossAttention, attend, join_heads, modulate, perceptron, split_heads, waves, zero

CHANNELS, SIZE, PATCH, CLASSES, WORDS = 4, 4, 2, 10, 12


class Patches(nn.Module):
    """Patches of an image as tokens, with fixed positions."""

    def __init__(self, n: int):
        super().__init__()
        self.proj = nn.Conv2d(CHANNELS, n, PATCH, PATCH)
        self.register_buffer("positions", torch.randn((SIZE // PATCH) ** 2, n))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2) + self.positions


class Time(nn.Module):
    """The diffusion time through a perceptron."""

    def __init__(self, n: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(16, n), nn.SiLU(), nn.Linear(n, n))

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(waves(t))


class Final(nn.Module):
    """Modulated normalisation and the output, both starting at zero."""

    def __init__(self, n: int):
        super().__init__()
        self.norm = nn.LayerNorm(n, elementwise_affine=False)
        self.modulation, self.linear = zero(nn.Linear(n, 2 * n)), zero(nn.Linear(n, PATCH**2 * CHANNELS))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.linear(modulate(self.norm(x), *self.modulation(F.silu(c)).chunk(2, -1)))


class DiTBlock(nn.Module):
    """Attention and perceptron, each shifted, scaled and gated by the condition (adaLN-Zero)."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(n, elementwise_affine=False) for _ in range(2))
        self.attn, self.mlp, self.modulation = Attention(n, heads), perceptron(n), zero(nn.Linear(n, 6 * n))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(c)).chunk(6, -1)
        x = x + gate1.unsqueeze(1) * self.attn(modulate(self.norm1(x), shift1, scale1))
        return x + gate2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift2, scale2))


class DiT(nn.Module):
    """A diffusion transformer conditioned on a class."""

    def __init__(self, n: int, blocks: int, heads: int):
        super().__init__()
        self.patches, self.time, self.labels = Patches(n), Time(n), nn.Embedding(CLASSES, n)
        self.blocks, self.final = nn.ModuleList(DiTBlock(n, heads) for _ in range(blocks)), Final(n)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        h, c = self.patches(x), self.time(t) + self.labels(y)
        for block in self.blocks:
            h = block(h, c)
        return self.final(h, c)


class SkipBlock(nn.Module):
    """A pre-norm Transformer block whose input is joined with an earlier output."""

    def __init__(self, n: int, heads: int, skip: bool):
        super().__init__()
        self.skip = nn.Linear(2 * n, n) if skip else None
        self.norm1, self.norm2, self.attn, self.mlp = nn.LayerNorm(n), nn.LayerNorm(n), Attention(n, heads), perceptron(n)

    def forward(self, x: Tensor, earlier: Tensor | None = None) -> Tensor:
        if self.skip is not None and earlier is not None:
            x = self.skip(torch.cat([x, earlier], -1))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class UViT(nn.Module):
    """Time, class and patches as tokens; every block of the second half sees one of the first."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.patches, self.time, self.labels = Patches(n), Time(n), nn.Embedding(CLASSES, n)
        self.down, self.mid, self.up = SkipBlock(n, heads, False), SkipBlock(n, heads, False), SkipBlock(n, heads, True)
        self.norm, self.output = nn.LayerNorm(n), nn.Linear(n, PATCH**2 * CHANNELS)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        h = torch.cat([self.time(t)[:, None], self.labels(y)[:, None], self.patches(x)], 1)
        first = self.down(h)
        return self.output(self.norm(self.up(self.mid(first), first)))


class PixArtBlock(nn.Module):
    """One modulation for all blocks, shifted by a table of its own; attention to the text starts at zero."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(n, elementwise_affine=False) for _ in range(2))
        self.table = nn.Parameter(torch.randn(6, n) / n**0.5)
        self.attn, self.cross, self.mlp = Attention(n, heads), CrossAttention(n, heads), perceptron(n)
        zero(self.cross.proj)

    def forward(self, x: Tensor, c: Tensor, text: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.table + c.unflatten(-1, (6, -1))).unbind(1)
        x = x + gate1.unsqueeze(1) * self.attn(modulate(self.norm1(x), shift1, scale1))
        x = x + self.cross(x, text)
        return x + gate2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift2, scale2))


class PixArt(nn.Module):
    """A diffusion transformer conditioned on a text by cross-attention."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.patches, self.time, self.modulation = Patches(n), Time(n), nn.Linear(n, 6 * n)
        self.caption = nn.Sequential(nn.Linear(WORDS, n), nn.GELU(), nn.Linear(n, n))
        self.block, self.norm = PixArtBlock(n, heads), nn.LayerNorm(n, elementwise_affine=False)
        self.table, self.output = nn.Parameter(torch.randn(2, n) / n**0.5), zero(nn.Linear(n, PATCH**2 * CHANNELS))

    def forward(self, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        c = self.time(t)
        h = self.block(self.patches(x), self.modulation(F.silu(c)), self.caption(text))
        shift, scale = (self.table + c.unsqueeze(1)).unbind(1)
        return self.output(modulate(self.norm(h), shift, scale))


class Stream(nn.Module):
    """What one of the two streams of an MMDiT block has for itself."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(n, elementwise_affine=False) for _ in range(2))
        self.qkv, self.heads, self.modulation = nn.Linear(n, 3 * n), heads, zero(nn.Linear(n, 6 * n))
        self.proj, self.mlp = nn.Linear(n, n), perceptron(n)

    def before(self, x: Tensor, c: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Queries, keys and values, and what modulates the rest."""
        shift, scale, *rest = self.modulation(F.silu(c)).chunk(6, -1)
        return split_heads(self.qkv(modulate(self.norm1(x), shift, scale)), 3, self.heads), tuple(rest)

    def after(self, x: Tensor, mixed: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        gate1, shift, scale, gate2 = rest
        x = x + gate1.unsqueeze(1) * self.proj(mixed)
        return x + gate2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift, scale))


class Keys(nn.Module):
    """The text in the last block, where it is only attended to."""

    def __init__(self, n: int, heads: int):
        super().__init__()
        self.norm, self.modulation = nn.LayerNorm(n, elementwise_affine=False), zero(nn.Linear(n, 2 * n))
        self.kv, self.heads = nn.Linear(n, 2 * n), heads

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        return split_heads(self.kv(modulate(self.norm(x), *self.modulation(F.silu(c)).chunk(2, -1))), 2, self.heads)


class MMDiT(nn.Module):
    """Image and text each with weights of their own, joined in attention."""

    def __init__(self, n: int, blocks: int, heads: int):
        super().__init__()
        self.patches, self.time, self.context, self.final = Patches(n), Time(n), nn.Linear(WORDS, n), Final(n)
        self.image = nn.ModuleList(Stream(n, heads) for _ in range(blocks))
        self.text, self.keys = nn.ModuleList(Stream(n, heads) for _ in range(blocks - 1)), Keys(n, heads)

    def forward(self, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        h, y, c = self.patches(x), self.context(text), self.time(t)
        *image, last = cast("list[Stream]", list(self.image))
        for own, other in zip(image, cast("list[Stream]", list(self.text)), strict=True):
            (parts, rest), (more, others) = own.before(h, c), other.before(y, c)
            mixed = join_heads(attend(*(torch.cat(pair, 2) for pair in zip(parts, more, strict=True))))
            h, y = own.after(h, mixed[:, : h.shape[1]], rest), other.after(y, mixed[:, h.shape[1] :], others)
        (q, k, v), rest = last.before(h, c)
        keys, values = self.keys(y, c)
        return self.final(last.after(h, join_heads(attend(q, torch.cat([k, keys], 2), torch.cat([v, values], 2))), rest), c)


def _image(*conditions: Tensor) -> tuple[Tensor, ...]:
    return torch.randn(2, CHANNELS, SIZE, SIZE), torch.rand(2), *conditions


def dit(*, n: int, blocks: int = 2, heads: int = 4) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A class-conditional diffusion transformer with adaptive, zero-initialised modulation."""
    return DiT(n, blocks, heads), _image(torch.zeros(2, dtype=torch.long))


def uvit(*, n: int, heads: int = 4) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A diffusion transformer with long skip connections."""
    return UViT(n, heads), _image(torch.zeros(2, dtype=torch.long))


def pixart(*, n: int, heads: int = 4) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A text-to-image diffusion transformer with cross-attention and one modulation for all blocks."""
    return PixArt(n, heads), _image(torch.randn(2, 3, WORDS))


def mmdit(*, n: int, blocks: int = 1, heads: int = 4) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A text-to-image diffusion transformer of two streams that attend jointly."""
    return MMDiT(n, blocks, heads), _image(torch.randn(2, 3, WORDS))
