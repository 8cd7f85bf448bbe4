"""Error of infinite-width losses against CPU seconds: this solver, the classical alternating Monte Carlo, wide networks.

    python tests/benchmarks/limits.py [--samples 4,10] [--steps 15,25,50] [--classical 60] [--draws 500,2000] [--largest] [--experts]

What is measured is said in `widelimit.paper_repro.limits.cost`, whose figure ``dmft/cost`` has the smaller sizes. Where samples x steps
exceed ``--classical`` the alternating method is left out: its cost grows as their cube.
"""

import argparse
import resource
import time

from widelimit.dmft import solve
from widelimit.paper_repro.limits.cost import measure, task
from widelimit.paper_repro.limits.problems import find_problem
from widelimit.paper_repro.moe.limits import MAIN


def compare(samples: int, steps: int, draws: tuple[int, ...]) -> None:
    """The table of one size."""
    print(f"\nP = {samples}, T = {steps}\n{'method':42} {'error':>9} {'own equations':>14} {'CPU s':>8} {'compile s':>10}")
    for row in measure(samples, steps, draws=draws, particles=(64, 256), errors=(1e-2, 1e-3, 3e-4), widths=(1024, 4096)):
        own = f"{row['own equations']:.1e}" if "own equations" in row else ""
        name = f"{row['method']}, {row['setting']}"
        print(f"{name:42} {row['error']:9.1e} {own:>14} {row['CPU seconds']:8.2f} {row['compile seconds']:10.1f}", flush=True)


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


def experts(wanted: float) -> None:
    """The six limits of mixtures of experts, four samples and twenty steps: a first call, until the bound on predictions is small."""
    print(f"\nmixtures of experts, P = 4, T = 20, to an error of {wanted} in the predictions")
    for name in MAIN:
        start, seconds = time.monotonic(), time.process_time()
        found = solve(find_problem(name).make(), error=wanted / 4)
        start, seconds = time.monotonic() - start, time.process_time() - seconds
        print(f"{name:14} {seconds:6.1f} CPU s {start:6.1f} s  error {found.predictions.bound:.4f}  ranks {found.ranks}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", default="4,10")
    parser.add_argument("--steps", default="15,25,50")
    parser.add_argument("--classical", type=int, default=100)
    parser.add_argument("--draws", default="500,2000")
    parser.add_argument("--largest", action="store_true")
    parser.add_argument("--experts", action="store_true")
    given = parser.parse_args()
    if given.experts:
        experts(0.02)
        raise SystemExit
    for count in map(int, given.samples.split(",")):
        for length in map(int, given.steps.split(",")):
            compare(count, length, tuple(map(int, given.draws.split(","))) if count * length <= given.classical else ())
    if given.largest:
        largest(60.0)
