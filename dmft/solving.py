"""`solve`: from a problem to curves with the accuracy that is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax.numpy as jnp
import numpy as np

from .kernels import look_at
from .layout import Layout
from .lazy import run_lazy
from .losses import sample_losses
from .mixing import ExpertLayout
from .problem import Problem
from .replicates import Progress, Run, run
from .settings import Settings
from .solution import Curve, Result, Solution, SolveError

REPLICATES = 8
PILOT = 256  # particles of the first look, twice as many replicates
MOST = 2**16  # particles
DECAY = 0.85  # quasi-random errors were measured to fall as M^-0.8 to M^-1
EXACT_CUT = 1e-24
SINGLE = 1e-4  # fields in float32 change losses by less than 1e-5
_MEMORY = 2**33  # bytes of all replicates' bases

METHODS = ("auto", "particles", "exact", "quadrature", "lazy")


def solve(
    problem: Problem,
    *,
    error: float = 1e-3,
    key: int = 0,
    method: str = "auto",
    particles: int | None = None,
    replicates: int = REPLICATES,
    most: int = MOST,
    at: Sequence[int] = (),
    settings: Settings | None = None,
    throw: bool = True,
    progress: Progress | None = None,
) -> Solution:
    """The infinite-width limit of training.

    Replicates of the causal particle solver are run with more and more particles until ``max_t |bias| + standard error`` of the
    training loss is at most ``error``. The bias estimate is that of a 1/M law through the last two numbers of particles.

    Args:
        problem: what is learned.
        error: of the training loss, absolute.
        key: of all randomness; the same key gives the same numbers.
        method: ``particles``; ``exact`` for linear networks, without sampling error; ``quadrature`` for one hidden layer and few samples;
            ``lazy``, the network linearised at initialisation, for comparison; ``auto`` is ``exact`` where it can be.
        particles: use so many and stop, whatever the error.
        replicates: independent solves, from which standard errors come.
        most: particles that are allowed.
        at: steps at which kernels and fields are kept.
        settings: of every replicate; by default fields are in float32 for errors of 1e-4 or more, and in float64 for less.
        throw: raise `SolveError` if the solve did not succeed; else look at ``solution.result``.
        progress: called with a label, the work done and the work in all.

    Raises:
        SolveError: if training diverges or the accuracy is out of reach.
        ValueError: if the method does not fit the problem, or the samples do not fit into memory.
    """
    begun = time.process_time()
    method = _method(problem, method)
    said = progress or (lambda label, done, total: None)
    settings = settings or Settings(dtype="float32" if error >= SINGLE and method == "particles" else "float64")
    if method in ("exact", "quadrature"):
        chosen = replace(settings, noise="exact" if method == "exact" else "nodes", cut=EXACT_CUT)
        if method == "exact":
            chosen = replace(chosen, particles=_primitives(problem))
        runs = [_run(problem, chosen, [key], at=at, said=said)]
    else:
        one = partial(_run_lazy if method == "lazy" else _run, problem, at=at, said=said)
        runs = _refine(problem, one, settings, error, _Size(key, particles, replicates, most))
    solution = _solution(problem, runs, error, method, time.process_time() - begun)
    if throw and solution.result is not Result.successful and particles is None:
        raise SolveError(solution, _detail(solution, error))
    if throw and solution.result in (Result.diverged, Result.basis_exhausted):
        raise SolveError(solution, _detail(solution, error))
    return solution


def _method(problem: Problem, method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"unknown method `{method}`; choose from {', '.join(METHODS)}")
    layout = problem.layout
    if isinstance(layout, ExpertLayout):
        if method not in ("auto", "particles"):
            raise ValueError(f"the method `{method}` is for dense networks; `particles` solves `{problem.architecture.name}`")
        return "particles"
    linear = set(layout.wiring.activations) == {"identity"}
    if method == "auto":
        return "exact" if linear else "particles"
    if method == "exact" and not linear:
        raise ValueError(f"the method `exact` is for linear networks; `{problem.architecture.name}` has other activations")
    if method == "quadrature":
        variables = min(problem.inputs.shape) + problem.layout.outputs
        if layout.wiring.layers != 1 or variables > 4:
            raise ValueError(
                f"the method `quadrature` is for one hidden layer and at most 4 Gaussian variables; "
                f"here are {layout.wiring.layers} layers and {variables} variables"
            )
    return method


def _primitives(problem: Problem) -> int:
    """Gaussian variables of a linear network: those of the inputs, and one per basis vector, which a batch can add every step."""
    batch = len(problem.inputs) if problem.index is None else problem.index.shape[1]
    layout = problem.layout
    assert isinstance(layout, Layout)
    matrices = len(layout.hidden) if layout.wiring.residual else 1  # of a stream, all draw from one population
    wanted = sum(problem.inputs.shape) + matrices * (4 * batch + 3 * problem.steps + 64)
    return 1 << (wanted - 1).bit_length()


@dataclass(frozen=True)
class _Size:
    """How many replicates of how many particles."""

    key: int
    particles: int | None
    replicates: int
    most: int

    def keys(self, level: int, count: int) -> list[int]:
        """Seeds of the replicates of one run."""
        return [self.key * 2**20 + level * 2**12 + i for i in range(count)]


def _refine(problem: Problem, one: Callable[[Settings, Sequence[int]], Run], settings: Settings, error: float, size: _Size) -> list[Run]:
    """Runs with growing numbers of particles, until the error is met or cannot be."""
    if size.particles is not None:
        return [one(replace(settings, particles=size.particles), size.keys(0, size.replicates))]
    batch = len(problem.inputs) if problem.index is None else problem.index.shape[1]
    most = size.most
    while most > 1 and size.replicates * _bytes(problem, most, max(64, 8 * batch)) > _MEMORY:
        most //= 2
    count = max(PILOT, 1 << (4 * batch - 1).bit_length())
    if count > most:
        raise ValueError(
            f"{batch} samples per step need {count} particles or more, whose bases do not fit into {_MEMORY >> 30} GiB or `most`; "
            "take fewer samples, or batches (`index`)"
        )
    least = 1 if isinstance(problem.layout, ExpertLayout) else 2  # doublings: where two populations grow, pairs quadruple
    runs = [one(replace(settings, particles=count), size.keys(0, 2 * size.replicates))]
    while runs[-1].diverged_at is None and not runs[-1].exhausted:
        curve = _loss(problem, runs)
        missing = curve.bound / error if len(runs) > 1 else max(2.0, 1.5 * float(curve.error.max()) * 2**0.5 / error)
        if missing <= 1 or count >= most:
            break
        count = min(most, count << max(least, int(np.ceil(np.log2(missing) / DECAY))))
        runs.append(one(replace(settings, particles=count), size.keys(len(runs), size.replicates)))
    return runs


def _bytes(problem: Problem, particles: int, rows: int) -> int:
    """What the bases of one replicate need, and what it keeps of pairs of particles."""
    layout = problem.layout
    if isinstance(layout, ExpertLayout):
        experts, neurons = layout.grid(particles)
        return 4 * 4 * rows * layout.blocks * experts * (neurons + 1)
    matrices = max(1, layout.wiring.layers - 1)
    pairs = 8 * 3 * particles**2 if problem.rule.entrywise else 0
    return matrices * (8 * 4 * 4 * particles * rows + pairs)


def _run_lazy(problem: Problem, settings: Settings, keys: Sequence[int], *, at: Sequence[int], said: Progress) -> Run:
    """Replicates of the tangent kernel, each trained on."""
    said(f"{len(keys)} tangent kernels of {settings.particles} particles", 0.0, 1.0)
    return run_lazy(problem, settings, keys)


def _run(problem: Problem, settings: Settings, keys: Sequence[int], *, at: Sequence[int], said: Progress) -> Run:
    label = f"{len(keys)} replicates of {settings.particles} particles"
    return run(problem, settings, keys, at=at, progress=lambda part: said(label, part, 1.0))


def _loss(problem: Problem, runs: Sequence[Run]) -> Curve:
    outputs = [jnp.asarray(r.train) for r in runs]
    values = [np.asarray(sample_losses(f, jnp.broadcast_to(problem.values, f.shape), problem.loss)).mean(-1) for f in outputs]
    return _curve(values, [r.particles for r in runs])


def _curve(values: Sequence[np.ndarray], particles: Sequence[int]) -> Curve:
    """Mean of the last of runs (replicate, record, ...); its bias from the last two, if it goes as one over the particles."""
    last = values[-1]
    count = len(last)
    mean = last.mean(0)
    error = last.std(0, ddof=1) / count**0.5 if count > 1 else np.zeros_like(mean)
    bias = np.zeros_like(mean)
    if len(values) > 1:
        bias = (mean - values[-2].mean(0)) / (1 - particles[-1] / particles[-2])
    return Curve(mean, error, bias, count)


def _solution(problem: Problem, runs: Sequence[Run], error: float, method: str, seconds: float) -> Solution:
    last = runs[-1]
    used = runs if last.diverged_at is None and not last.exhausted else [last]  # an unfinished run has fewer records
    particles = [r.particles for r in used]
    loss = _loss(problem, used)
    result = Result.successful
    if last.diverged_at is not None:
        result = Result.diverged
    elif last.exhausted:
        result = Result.basis_exhausted
    elif method in ("particles", "lazy") and (len(used) < 2 or not loss.bound <= error):
        result = Result.not_converged
    inside = look_at(last)
    return Solution(
        steps=last.steps,
        loss=loss,
        predictions=_curve([r.train for r in used], particles),
        test=None if last.test is None else _curve([r.test for r in used if r.test is not None], particles),
        kernels=inside.kernels,
        gradients=inside.gradients,
        responses=inside.responses,
        fields=inside.fields,
        ranks=last.ranks,
        result=result,
        stats={
            "method": method,
            "particles": last.particles,
            "replicates": loss.replicates,
            "CPU seconds": seconds,
            "diverged at": last.diverged_at,
        },
    )


def _detail(solution: Solution, error: float) -> str:
    if solution.result is Result.diverged:
        return f"at step {solution.stats['diverged at']}; a smaller learning rate is stable"
    if solution.result is Result.not_converged:
        return f"{solution.loss.bound:.2g} instead of {error:.2g} with {solution.stats['particles']} particles; allow a larger `error`"
    return f"{solution.stats['particles']} particles"
