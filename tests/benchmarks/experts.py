"""Speed of a mixture of experts: forward and backward pass against a PyTorch loop over the experts, and against dense work.

    python tests/benchmarks/experts.py [--experts 64] [--width 256] [--hidden 16,256] [--batch 64] [--threads 2] [--device cpu|cuda]

All are the same function (64 inputs, sigmoid gates, gelu, one output) in float32. The loop applies one expert after the other, as a
list of modules does; the dense network has one hidden layer as wide as all experts together, hence as many multiplications. Each is
timed in turn, several rounds, and the median ratio is printed. Aims on two cores: 5 with 16 hidden units, at least 1 with 256.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional
from widelimit.synthetic import build
from widelimit.synthetic.executing import keep_memory
from widelimit.theory.derivation import derive
from widelimit.theory.experts import REGIMES, moe

INPUTS = 64
Loss = Callable[[Tensor], Tensor]


class Loop(nn.Module):
    """Experts as a list of modules."""

    def __init__(self, width: int, hidden: int, experts: int):
        super().__init__()
        linear = lambda a, b: nn.Linear(a, b, bias=False)  # noqa: E731
        self.embed, self.router, self.readout = linear(INPUTS, width), linear(width, experts), linear(width, 1)
        self.experts = nn.ModuleList(nn.Sequential(linear(width, hidden), nn.GELU(), linear(hidden, width)) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        u = self.embed(x)
        gates = torch.sigmoid(self.router(u))
        mixed = torch.zeros_like(u)
        for i, expert in enumerate(self.experts):
            mixed = mixed + gates[:, i : i + 1] * expert(u)
        return self.readout(u + mixed / len(self.experts))


class Dense(nn.Module):
    """One hidden layer with the multiplications of all experts."""

    def __init__(self, width: int, hidden: int, experts: int):
        super().__init__()
        self.embed, self.readout = nn.Linear(INPUTS, width, bias=False), nn.Linear(width, 1, bias=False)
        self.up, self.down = nn.Linear(width, hidden * experts, bias=False), nn.Linear(hidden * experts, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u = self.embed(x)
        return self.readout(u + self.down(functional.gelu(self.up(u))))


def ours(width: int, hidden: int, experts: int, device: str) -> nn.Module:
    """The network that ensembles train, one replica."""
    net, sizes = moe(inputs=INPUTS, outputs=1), {"n": width, "m": hidden, "E": experts}
    return build(net, derive(net, "sgd", regime=REGIMES["III"]), sizes=sizes, base=sizes, device=device).network


def compare(width: int, hidden: int, experts: int, batch: int, device: str, rounds: int) -> str:
    """One line: milliseconds of ours, and how many times as long the others take."""
    x = torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(0)).to(device)
    networks = [ours(width, hidden, experts, device), *(kind(width, hidden, experts).to(device) for kind in (Loop, Dense))]
    seconds = [[_time(network, x) for network in networks] for _ in range(rounds + 1)][1:]
    against = [median(s[i] / s[0] for s in seconds) for i in (1, 2)]
    return f"{hidden:6} {1e3 * median(s[0] for s in seconds):10.2f} {against[0]:12.2f}x {against[1]:12.2f}x"


def _time(network: nn.Module, x: Tensor, *, least: float = 0.5) -> float:
    """Seconds of a forward and a backward pass."""
    weights, count, start = list(network.parameters()), 0, time.perf_counter()
    while count < 3 or time.perf_counter() - start < least:
        torch.autograd.grad(network(x).square().mean(), weights)
        if x.is_cuda:
            torch.cuda.synchronize()
        count += 1
    return (time.perf_counter() - start) / count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experts", type=int, default=64)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--hidden", default="16,256")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_memory()  # as training does; all three profit
    print(f"{given.experts} experts, width {given.width}, batch {given.batch}, {given.threads} threads, {given.device}")
    print("hidden  ms a pass    than a loop   than dense")
    for size in map(int, given.hidden.split(",")):
        print(compare(given.width, size, given.experts, given.batch, given.device, given.rounds), flush=True)
