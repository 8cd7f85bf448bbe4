"""Modules that were not written for this package's tracer, by axis sizes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def perceptron(*, n: int):
    return nn.Sequential(nn.Linear(20, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 10)), torch.randn(4, 20)


class Renamed(nn.Module):
    """The same perceptron with other names in another order, in einsum."""

    def __init__(self, n: int):
        super().__init__()
        self.zulu = nn.Parameter(torch.randn(n, 10))
        self.alpha = nn.Parameter(torch.zeros(n))
        self.middle = nn.Parameter(torch.randn(n, n))
        self.first = nn.Parameter(torch.randn(20, n))
        self.shift, self.end = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(10))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(torch.einsum("bi,ij->bj", x, self.first) + self.shift)
        h = torch.relu(torch.einsum("bi,ij->bj", h, self.middle) + self.alpha)
        return torch.einsum("bi,ij->bj", h, self.zulu) + self.end


def renamed(*, n: int):
    return Renamed(n), torch.randn(4, 20)


class Block(nn.Module):
    """A block in nanoGPT's manner: fused queries, keys and values."""

    def __init__(self, n: int, heads: int, style: str):
        super().__init__()
        self.ln1, self.ln2, self.heads, self.style = nn.LayerNorm(n), nn.LayerNorm(n), heads, style
        self.qkv, self.proj = nn.Linear(n, 3 * n), nn.Linear(n, n)
        self.fc, self.out = nn.Linear(n, 4 * n), nn.Linear(4 * n, n)

    def attention(self, x: Tensor) -> Tensor:
        b, t, n = x.shape
        if self.style == "split":
            q, k, v = (y.view(b, t, self.heads, n // self.heads).transpose(1, 2) for y in self.qkv(x).split(n, dim=2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.style == "view":
            q, k, v = self.qkv(x).view(b, t, 3, self.heads, n // self.heads).permute(2, 0, 3, 1, 4)
            y = torch.softmax(q @ k.transpose(-2, -1) / (n // self.heads) ** 0.5, -1) @ v
        else:
            q, k, v = torch.einsum("btn,chdn->cbhtd", x, self.qkv.weight.view(3, self.heads, n // self.heads, n)).unbind()
            y = torch.einsum("bhts,bhsd->bhtd", torch.softmax(torch.einsum("bhtd,bhsd->bhts", q, k) * (n // self.heads) ** -0.5, -1), v)
        return self.proj(y.transpose(1, 2).reshape(b, t, n))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.ln1(x))
        return x + self.out(F.gelu(self.fc(self.ln2(x))))


class LanguageModel(nn.Module):
    def __init__(self, n: int, blocks: int, *, style: str = "split", tied: bool = False):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(32, n), nn.Embedding(8, n)
        self.h = nn.ModuleList([Block(n, 4, style) for _ in range(blocks)])
        self.ln_f, self.head = nn.LayerNorm(n), nn.Linear(n, 32, bias=False)
        if tied:
            self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))


def language_model(*, n: int, blocks: int = 1, style: str = "split", tied: bool = False):
    return LanguageModel(n, blocks, style=style, tied=tied), torch.zeros(2, 4, dtype=torch.long)


def encoder(*, n: int, layers: int = 12):
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(n, 4, 4 * n, batch_first=True), layers), torch.randn(2, 4, n)


class Residual(nn.Module):
    def __init__(self, n: int, power: float | None = None, blocks: int = 1):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(n), nn.Linear(n, n), nn.Linear(n, n)
        self.factor = 1.0 if power is None else blocks**power

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor * self.down(torch.relu(self.up(self.norm(x))))


def deep(*, n: int, L: int, power: float | None = None):
    return nn.Sequential(nn.Linear(20, n), *(Residual(n, power, L) for _ in range(L)), nn.Linear(n, 10)), torch.randn(4, 20)


class Convolutional(nn.Module):
    def __init__(self, n: int):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, n, 3, padding=1), nn.BatchNorm2d(n)
        self.depthwise, self.pointwise = nn.Conv2d(n, n, 3, padding=1, groups=n), nn.Conv2d(n, 2 * n, 1)
        self.gn, self.fc = nn.GroupNorm(4, 2 * n), nn.Linear(2 * n, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.bn(self.stem(x))), 2)
        return self.fc(torch.relu(self.gn(self.pointwise(self.depthwise(x)))).mean((2, 3)))


def convolutional(*, n: int):
    return Convolutional(n), torch.randn(2, 3, 8, 8)


class Grouped(nn.Module):
    """Grouped queries, rotations of part of each head, gains on queries and keys shared over heads, gated units by hand."""

    def __init__(self, n: int, heads: int, keys: int):
        super().__init__()
        self.d, self.heads, self.keys = n // heads, heads, keys
        self.inp, self.q, self.o = nn.Linear(20, n), nn.Linear(n, n, bias=False), nn.Linear(n, n, bias=False)
        self.kv = nn.Linear(n, 2 * keys * self.d, bias=False)
        self.q_gain, self.k_gain = nn.Parameter(torch.ones(self.d)), nn.Parameter(torch.ones(self.d))
        self.gain = nn.Parameter(torch.ones(n))
        self.gate_up, self.down, self.head = nn.Linear(n, 4 * n, bias=False), nn.Linear(2 * n, n, bias=False), nn.Linear(n, 10)

    def normed(self, x: Tensor, gain: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * gain

    def rotated(self, x: Tensor) -> Tensor:
        turned, rest = x[..., : self.d // 2], x[..., self.d // 2 :]
        angles = torch.arange(x.shape[2], device=x.device)[:, None] * torch.ones(self.d // 2, device=x.device)
        a, b = turned.chunk(2, -1)
        return torch.cat((turned * angles.cos() + torch.cat((-b, a), -1) * angles.sin(), rest), -1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inp(x)
        b, t, n = x.shape
        y = self.normed(x, self.gain)
        q = self.q(y).view(b, t, self.heads, self.d).transpose(1, 2)
        k, v = (z.view(b, t, self.keys, self.d).transpose(1, 2) for z in self.kv(y).chunk(2, -1))
        q, k = self.rotated(self.normed(q, self.q_gain)), self.rotated(self.normed(k, self.k_gain))
        k, v = (z.repeat_interleave(self.heads // self.keys, dim=1) for z in (k, v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, n))
        gate, up = self.gate_up(F.rms_norm(x, (n,))).chunk(2, -1)
        return self.head(x + self.down(F.silu(gate) * up))


def grouped(*, n: int):
    return Grouped(n, 4, 2), torch.randn(2, 6, 20)


class Adapted(nn.Module):
    """LoRA: a frozen network with a product of two factors of rank r beside one of its matrices."""

    def __init__(self, n: int, rank: int, *, merged: bool):
        super().__init__()
        self.first, self.base, self.last = (nn.Linear(a, b, bias=False) for a, b in ((20, n), (n, n), (n, 10)))
        self.requires_grad_(False)
        self.a, self.b, self.merged = nn.Parameter(torch.randn(rank, n)), nn.Parameter(torch.zeros(n, rank)), merged

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        h = F.linear(h, self.base.weight + self.b @ self.a) if self.merged else self.base(h) + h @ self.a.T @ self.b.T
        return self.last(torch.relu(h))


def adapted(*, n: int, rank: int = 4, merged: bool = False):
    return Adapted(n, rank, merged=merged), torch.randn(4, 20)


class Modulated(nn.Module):
    """A DiT block: adaLN with six modulations of one vector; patches by a convolution."""

    def __init__(self, n: int, *, zero: bool):
        super().__init__()
        self.patch, self.time1, self.time2 = nn.Conv2d(3, n, 2, stride=2), nn.Linear(16, n), nn.Linear(n, n)
        self.label, self.ada = nn.Embedding(10, n), nn.Linear(n, 6 * n)
        self.attn, self.fc1, self.fc2 = nn.MultiheadAttention(n, 4, batch_first=True), nn.Linear(n, 4 * n), nn.Linear(4 * n, n)
        self.last_ada, self.last = nn.Linear(n, 2 * n), nn.Linear(n, 12)
        for layer in (self.ada, self.last_ada, self.last) if zero else ():
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        n = x.shape[-1]
        c = F.silu(self.time2(F.silu(self.time1(time))) + self.label(label))
        shift, scale, gate, shift2, scale2, gate2 = self.ada(c)[:, None].chunk(6, -1)
        h = F.layer_norm(x, (n,)) * (1 + scale) + shift
        x = x + gate * self.attn(h, h, h, need_weights=False)[0]
        h = F.layer_norm(x, (n,)) * (1 + scale2) + shift2
        x = x + gate2 * self.fc2(F.gelu(self.fc1(h)))
        shift, scale = self.last_ada(c)[:, None].chunk(2, -1)
        return self.last(F.layer_norm(x, (n,)) * (1 + scale) + shift)


def modulated(*, n: int, zero: bool = False):
    return Modulated(n, zero=zero), (torch.randn(2, 3, 8, 8), torch.randn(2, 16), torch.zeros(2, dtype=torch.long))


class GatedDelta(nn.Module):
    """A gated delta rule over two tokens, unrolled; queries and keys have length one, heads are fixed (Gated DeltaNet, 2412.06464)."""

    def __init__(self, n: int, heads: int = 2):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.g, self.o = (nn.Linear(n, n, bias=False) for _ in range(5))
        self.a, self.b = (nn.Linear(n, heads, bias=False) for _ in range(2))
        self.a_log, self.dt_bias = (nn.Parameter(torch.zeros(heads)) for _ in range(2))
        self.norm = nn.RMSNorm(n // heads)

    def forward(self, x: Tensor) -> Tensor:
        split = lambda y: F.silu(y).unflatten(-1, (self.heads, -1))  # noqa: E731
        q, k = (F.normalize(split(f(x)), dim=-1) for f in (self.q, self.k))
        v, beta = split(self.v(x)), torch.sigmoid(self.b(x))[..., None]
        kept = torch.exp(-torch.exp(self.a_log) * F.softplus(self.a(x) + self.dt_bias))[..., None, None]
        state = torch.einsum("bhk,bhv->bhkv", k[:, 0] * beta[:, 0], v[:, 0])
        out = [torch.einsum("bhkv,bhk->bhv", state, q[:, 0])]
        for t in range(1, x.shape[1]):
            state = state * kept[:, t]
            error = v[:, t] - torch.einsum("bhkv,bhk->bhv", state, k[:, t])
            state = state + torch.einsum("bhk,bhv->bhkv", k[:, t] * beta[:, t], error)
            out.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]))
        return self.o((self.norm(torch.stack(out, 1)) * split(self.g(x))).flatten(-2))


def gated_delta_net(*, n: int):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.first, self.last = nn.Embedding(16, n), nn.RMSNorm(n), nn.RMSNorm(n)
            self.mix, self.head = GatedDelta(n), nn.Linear(n, 16, bias=False)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embedding(tokens)
            return self.head(self.last(x + self.mix(self.first(x))))

    return Model(), torch.randint(0, 16, (2, 2))


class TokenMixer(nn.Module):
    """A fixed number of tokens is mixed by a hidden layer that grows with the channels, which share it (timm's MLP-Mixer)."""

    def __init__(self, n: int):
        super().__init__()
        self.stem, self.head, self.norm = (
            nn.Linear(8, n, bias=False),
            nn.Linear(n, 10, bias=False),
            nn.LayerNorm(n, elementwise_affine=False),
        )
        self.fc1, self.fc2 = nn.Linear(6, n, bias=False), nn.Linear(n, 6, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        h = h + self.fc2(torch.tanh(self.fc1(self.norm(h).transpose(1, 2)))).transpose(1, 2)
        return self.head(self.norm(h).mean(1))


def token_mixer(*, n: int):
    return TokenMixer(n), torch.randn(2, 6, 8)
