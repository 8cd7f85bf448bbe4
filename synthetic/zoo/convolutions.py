"""Networks that mix positions without attention: convolutions (also depthwise), MLP-Mixer (2105.01601)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNet(nn.Module):
    """A residual network of depthwise and pointwise convolutions."""

    def __init__(self, n: int):
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, n, 3, padding=1), nn.Conv2d(n, n, 3, padding=1), nn.BatchNorm2d(n)
        self.depthwise, self.pointwise = nn.Conv2d(n, n, 3, padding=1, groups=n), nn.Conv2d(n, n, 1)
        self.readout = nn.Linear(n, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(self.conv(F.relu(self.stem(x)))))
        return self.readout((h + self.pointwise(F.gelu(self.depthwise(h)))).mean((2, 3)))


class Mixer(nn.Module):
    """A perceptron over the tokens of every channel, then one over the channels of every token."""

    def __init__(self, n: int, tokens: int):
        super().__init__()
        self.embed, self.readout = nn.Linear(12, n), nn.Linear(n, 10)
        self.norm1, self.norm2, self.norm = (nn.LayerNorm(n) for _ in range(3))
        self.tokens = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.channels = nn.Sequential(nn.Linear(n, 4 * n), nn.GELU(), nn.Linear(4 * n, n))

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h = h + self.tokens(self.norm1(h).mT).mT
        h = h + self.channels(self.norm2(h))
        return self.readout(self.norm(h).mean(1))


def convnet(*, n: int) -> tuple[nn.Module, Tensor]:
    """A convolutional network with n channels."""
    return ConvNet(n), torch.randn(2, 3, 8, 8)


def mixer(*, n: int, tokens: int = 4) -> tuple[nn.Module, Tensor]:
    """An MLP-Mixer; the number of tokens may grow too."""
    return Mixer(n, tokens), torch.randn(2, tokens, 12)
