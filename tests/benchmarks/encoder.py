"""A 12-layer encoder of torch's own, as a target: ``widelimit derive tests/benchmarks/encoder.py:build``."""

import torch
from torch import nn


def build(*, n: int):
    layer = nn.TransformerEncoderLayer(n, 4, 4 * n, batch_first=True)
    return nn.TransformerEncoder(layer, 12), torch.randn(2, 8, n)
