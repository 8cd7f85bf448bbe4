"""Speed of ensembles: replicas x steps per second against a plain PyTorch loop and one vmapped JAX program.

    python tests/benchmarks/ensembles.py [--widths 32,128,...] [--replicas 96] [--batch 64] [--device cpu|cuda]

All three train the same networks (64 inputs, two hidden ReLU layers, 10 classes) with Adam on the same batches, in float32 with the
same number of threads; each is timed in turn, several rounds, and the median ratio is printed. The loop uses PyTorch's fused Adam. Making
the networks is not counted. At large widths fewer steps and replicas are timed: a ratio is what counts.
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
import torch
from torch import nn
from widelimit.synthetic import Ensemble, digits, train
from widelimit.theory.parameterizations import parameterization
from widelimit.theory.zoo import mlp

Run = Callable[[int], object]  # trains for so many steps
LIMIT = 3e11  # FLOPs of one timing


def ours(width: int, replicas: int, batch: int, device: str) -> Run:
    """The ensemble trainer, without validation; as many networks at a time as it chooses."""
    task = digits()
    task = type(task)(task.name, task.inputs[: task.train], task.targets[: task.train], task.loss, task.train)
    table = parameterization("mup", mlp(), "adam")
    rates = tuple(np.geomspace(1e-4, 1e-2, replicas))

    def run(steps: int) -> None:
        spec = Ensemble(mlp(), table, task, {"n": width}, rates, (0,), steps, batch, records=2)
        train(spec, device=device)

    return run


def loop(width: int, replicas: int, batch: int, device: str) -> Run:
    """One network after the other."""
    task = digits()
    x = torch.as_tensor(task.inputs[: task.train], dtype=torch.float32, device=device)
    y = torch.as_tensor(task.targets[: task.train], device=device)

    def run(steps: int) -> None:
        for seed in range(replicas):
            torch.manual_seed(seed)
            net = nn.Sequential(
                nn.Linear(64, width, bias=False),
                nn.ReLU(),
                nn.Linear(width, width, bias=False),
                nn.ReLU(),
                nn.Linear(width, 10, bias=False),
            ).to(device)
            optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)
            for step in range(steps):
                at = (step * batch) % (len(x) - batch)
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x[at : at + batch]), y[at : at + batch]).backward()
                optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def vmapped(width: int, replicas: int, batch: int, device: str) -> Run:
    """All networks as one jitted JAX program, stepped from Python; compiled before the first timing."""
    import jax
    import jax.numpy as jnp

    task = digits()
    x, y = jnp.asarray(task.inputs[: task.train], jnp.float32), jnp.asarray(task.targets[: task.train])
    rates = jnp.geomspace(1e-4, 1e-2, replicas)

    def make(key: jax.Array) -> list[jax.Array]:
        shapes = (64, width), (width, width), (width, 10)
        return [jax.random.normal(k, s) / s[0] ** 0.5 for k, s in zip(jax.random.split(key, 3), shapes)]

    def loss(weights: list[jax.Array], a: jax.Array, b: jax.Array) -> jax.Array:
        for w in weights[:-1]:
            a = jax.nn.relu(a @ w)
        return -jnp.take_along_axis(jax.nn.log_softmax(a @ weights[-1]), b[:, None], 1).mean()

    def one(weights, mean, square, rate, count, a, b):
        gradients = jax.grad(loss)(weights, a, b)
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradients)]
        square = [0.999 * s + 0.001 * g * g for s, g in zip(square, gradients)]
        c1, c2 = 1 - 0.9**count, 1 - 0.999**count
        weights = [w - rate * (m / c1) / (jnp.sqrt(s / c2) + 1e-8) for w, m, s in zip(weights, mean, square)]
        return weights, mean, square

    update = jax.jit(jax.vmap(one, in_axes=(0, 0, 0, 0, None, None, None)), donate_argnums=(0, 1, 2))
    start = jax.jit(jax.vmap(make))

    def run(steps: int) -> None:
        weights = start(jax.random.split(jax.random.key(0), replicas))
        mean, square = ([jnp.zeros_like(w) for w in weights] for _ in range(2))
        for step in range(steps):
            at = (step * batch) % (len(x) - batch)
            weights, mean, square = update(weights, mean, square, rates, step + 1.0, x[at : at + batch], y[at : at + batch])
        jax.block_until_ready(weights)

    run(2)
    return run


def compare(width: int, replicas: int, batch: int, device: str, rounds: int) -> str:
    """One line: replicas x steps per second of ours, and how many times the others'."""
    cost = 6 * batch * (74 * width + width**2) + 20 * width**2  # of a step of one network
    replicas = max(2, min(replicas, int(LIMIT / cost / 6)))
    steps = int(np.clip(LIMIT / (cost * replicas), 4, 60))
    runs = [make(width, replicas, batch, device) for make in (ours, loop, vmapped)]
    runs[0](2)
    seconds = [[_time(run, steps) for run in runs] for _ in range(rounds)]
    speed = replicas * steps / median(s[0] for s in seconds)
    against = [median(s[i] / s[0] for s in seconds) for i in (1, 2)]
    return f"{width:6} {replicas:9} {steps:6} {speed:16.0f} {against[0]:11.2f}x {against[1]:11.2f}x"


def _time(run: Run, steps: int) -> float:
    """Seconds of the steps, without those of making the networks."""
    ends = []
    for count in (1, steps + 1):
        start = time.perf_counter()
        run(count)
        ends.append(time.perf_counter() - start)
    return ends[1] - ends[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="32,64,128,256,512,1024,2048,4096")
    parser.add_argument("--replicas", type=int, default=96)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, batch {given.batch}, {given.device}")
    print(" width  replicas  steps  replicas*steps/s  than a loop  than vmapped JAX")
    for size in map(int, given.widths.split(",")):
        print(compare(size, given.replicas, given.batch, given.device, given.rounds), flush=True)
