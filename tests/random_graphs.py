"""Random architectures: renamed weights, extra branches, finite waists, gates, norms and biases in random places."""

from __future__ import annotations

import numpy as np
from widelimit.theory.architecture import Architecture
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis

MOVES = ("layer", "branch", "gate", "norm", "bias", "parallel")


class Maker:
    """Draws one graph; every weight gets a name that says nothing."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng([seed, 7])
        self.g = Graph(f"random{seed}", [Axis("n", base=64)])
        self.g.dims(x=64, y=10, waist=8)
        self.count = 0

    def name(self) -> str:
        self.count += 1
        letters = "".join(self.random.choice(list("abcdefghijklmnop"), 4))
        return f"{letters}{self.count}"

    def activation(self) -> str:
        return str(self.random.choice(["relu", "gelu", "silu", "tanh"]))

    def wide(self) -> str:
        """A new dimension of size n."""
        self.count += 1
        dim = f"d{self.count}"
        self.g.dims(**{dim: "n"})
        return dim

    def layer(self, h: str) -> str:
        return self.g.map(self.activation(), self.g.dense(self.name(), h, self.wide()))

    def branch(self, h: str) -> str:
        out = self.g._of(h)[-1]
        return self.g.add(h, self.g.dense(self.name(), self.layer(h), out))

    def gate(self, h: str) -> str:
        dim = self.wide()
        a, b = (self.g.dense(self.name(), h, dim) for _ in range(2))
        return self.g.product(self.g.map("silu", a), b)

    def waist(self, x: str) -> str:
        """A bottleneck of eight dimensions behind the input (behind growing features it has no stable maximal table)."""
        return self.g.map(self.activation(), self.g.dense(self.name(), x, "waist"))

    def norm(self, h: str) -> str:
        return self.g.norm(h, kind=str(self.random.choice(["rms", "layer"])))

    def bias(self, h: str) -> str:
        return self.g.bias(self.name(), h)

    def parallel(self, h: str) -> str:
        dim = self.wide()
        return self.g.add(*(self.g.dense(self.name(), h, dim) for _ in range(2)))

    def build(self) -> Architecture:
        x = self.g.input("x")
        h = self.layer(self.waist(x) if self.random.random() < 0.3 else x)
        for move in self.random.choice(MOVES, int(self.random.integers(1, 4))):
            h = getattr(self, str(move))(h)
        return self.g.build(self.g.dense(self.name(), h, "y"))


def random_graph(seed: int) -> Architecture:
    """The random architecture of this seed: 64 inputs, 10 outputs, one axis n."""
    return Maker(seed).build()
