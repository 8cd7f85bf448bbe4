"""Error of infinite-width losses against CPU seconds: this solver, the classical alternating Monte Carlo, wide networks.

    python tests/benchmarks/limits.py [--samples 4,10] [--steps 15,25,50] [--classical 60] [--largest]

Two hidden tanh layers, full-batch gradient descent at the rate 0.5, points on a sphere. An error is the largest over all steps of the
training loss. The reference has eight replicates of 16384 particles (its own error stands beside it). The classical method is
judged twice: against exact gradient descent, which is what users simulate, and against the solution of its own equations, which
follow the tangent kernel by Euler steps (its mean over the last third of the iterations). CPU seconds are those of a second call in the
same process; seconds to compile are those that the first one took more. Where samples x steps exceed ``--classical`` it is left out: its
cost grows as their cube.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from widelimit.dmft import Problem, Settings, solve
from widelimit.dmft.alternating import alternate
from widelimit.paper_repro.limits.finite import plan
from widelimit.paper_repro.limits.problems import rich, sphere
from widelimit.synthetic import train
from widelimit.theory.zoo import mlp

ITERATIONS, DRAWS = 12, (500, 2000)


def task(samples: int, steps: int, rate: float = 0.5) -> Problem:
    """The benchmark's problem."""
    net = mlp(hidden=2, inputs=10, outputs=1, activation="tanh", base=1)
    return Problem(net, *sphere(samples=samples), steps, rich(net, learning_rate=rate))


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returns, CPU seconds of the second call, and how many more the first took."""
    seconds = []
    for _ in range(2):
        start = time.process_time()
        found = call()
        seconds.append(time.process_time() - start)
    return found, seconds[1], max(0.0, seconds[0] - seconds[1])


def network(problem: Problem, width: int) -> np.ndarray:
    """The loss of one wide network."""
    (ensemble,) = plan(problem, {width: 1}, case="benchmark").ensembles
    frame = train(ensemble)
    rows = frame[frame["term"] == "train loss"]
    found = np.full(problem.steps + 1, np.nan)
    found[rows["step"].to_numpy()] = rows["value"]
    return found


def compare(samples: int, steps: int, classical: int) -> None:
    """The table of one size."""
    problem = task(samples, steps)
    reference = solve(problem, particles=16384, settings=Settings(dtype="float32"))
    exact = reference.loss.value
    print(f"\nP = {samples}, T = {steps}; reference +- {reference.loss.error.max():.1e}")
    print(f"{'method':34} {'error':>9} {'own equations':>14} {'CPU s':>8} {'compile s':>10}")
    for error in (1e-2, 1e-3, 3e-4):
        found, seconds, first = timed(lambda error=error: solve(problem, error=error, key=1, throw=False))
        name = f"ours, error={error:g} ({found.stats['particles']} x {found.stats['replicates']})"
        print(f"{name:34} {np.abs(found.loss.value - exact).max():9.1e} {'':14} {seconds:8.2f} {first:10.1f}", flush=True)
    for draws in DRAWS if samples * steps <= classical else ():
        found, seconds, first = timed(lambda draws=draws: alternate(problem, samples=draws, iterations=ITERATIONS))
        own = found.loss[-ITERATIONS // 3 :].mean(0)
        errors = np.abs(found.loss[-1] - exact).max(), np.abs(found.loss[-1] - own).max()
        print(f"{f'alternating, {draws} draws':34} {errors[0]:9.1e} {errors[1]:14.1e} {seconds:8.2f} {first:10.1f}", flush=True)
    for width in (1024, 4096):
        found, seconds, first = timed(lambda width=width: network(problem, width))
        print(
            f"{f'one network of width {width}':34} {np.nanmax(np.abs(found - exact)):9.1e} {'':14} {seconds:8.2f} {first:10.1f}", flush=True
        )


def largest(limit: float) -> None:
    """How large a problem is solved to 1e-2 in the time, and how the time grows with the steps at eight samples."""
    print(f"\nto an error of 0.01 at the rate 0.2, CPU s of a first call (limit {limit:.0f} s), memory of the process")
    for samples, steps in ((8, 50), (8, 100), (8, 200), (8, 400), (16, 100), (32, 100), (64, 100), (64, 200)):
        start = time.process_time()
        found = solve(task(samples, steps, 0.2), error=1e-2, throw=False)
        seconds = time.process_time() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"P = {samples:3} T = {steps:4} {seconds:8.1f} s  ranks {found.ranks}  {memory:.1f} GiB  {found.result.name}", flush=True)
        if seconds > limit:
            break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", default="4,10")
    parser.add_argument("--steps", default="15,25,50")
    parser.add_argument("--classical", type=int, default=100)
    parser.add_argument("--largest", action="store_true")
    given = parser.parse_args()
    for count in map(int, given.samples.split(",")):
        for length in map(int, given.steps.split(",")):
            compare(count, length, given.classical)
    if given.largest:
        largest(60.0)
