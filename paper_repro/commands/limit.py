"""``limit``: the infinite-width limit of training, with finite networks beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..progress import progress_bar
from ..targets import choose

if TYPE_CHECKING:
    from ...dmft import Problem, Solution
    from ..limits.finite import Networks

SHOWN = 12


def limit(name: str, *, widths: str, seeds: int, error: float, key: int, form: str) -> int:
    """Solve a problem and print its loss with error bars; the exit status is 1 if there is no result."""
    from ...dmft import SolveError, solve
    from ..limits.finite import plan, widths_of
    from ..limits.telling import telling

    choose("format", form, ("text", "json"))
    if not error > 0 or seeds < 2:
        raise ValueError(f"`--error` is {error} (more than 0) and `--seeds` is {seeds} (2 or more)")
    title, problem = load_problem(name)
    if widths:
        plan(problem, dict.fromkeys(widths_of(widths), seeds), case=name)  # bad input is said before anything is solved
    with progress_bar(f"limit {name}") as bar:
        try:
            solution = solve(problem, error=error, key=key, progress=telling(bar.say))
        except SolveError as failed:
            print(f"{title}: {failed}")
            return 1
        beside = _networks(problem, name, widths, seeds, bar.say) if widths else None
    if form == "json":
        print(json.dumps(as_json(name, problem, solution, beside), indent=2))
    else:
        print(f"{title}\n\n{as_text(solution, beside)}")
    return 0


def load_problem(name: str) -> tuple[str, Problem]:
    """A problem by name, or what a file's factory returns.

    Raises:
        ValueError: if there is none, or the factory returns something else.
    """
    from ...dmft import Problem
    from ..limits.problems import find_problem
    from ..targets import load_factory

    if ":" not in name:
        found = find_problem(name)
        return found.title, found.make()
    made = load_factory(name)()
    if not isinstance(made, Problem):
        raise ValueError(f"`{name}` returns {type(made).__name__}; the command wants a widelimit.dmft.Problem")
    return name, made


def _networks(problem: Problem, name: str, widths: str, seeds: int, say: Any) -> Networks:
    from ...synthetic.store import Store
    from ..limits.finite import networks, widths_of

    return networks(problem, dict.fromkeys(widths_of(widths), seeds), Store.default(), case=Path(name).name, progress=say)


def as_text(solution: Solution, beside: Networks | None) -> str:
    """Losses at some of the steps, the error, and what was spent."""
    places = _places(len(solution.steps))
    head = ["step", "limit", "+-"]
    columns = [solution.steps, solution.loss.value, solution.loss.error]
    if beside is not None:
        places, here = beside.common(solution.steps)
        chosen = _places(len(places))
        places, here = places[chosen], here[chosen]
        for width, losses in beside.losses.items():
            head += [f"n = {width}", "+-"]
            columns += [_at(losses.mean(0), places, here, len(solution.steps)), _at(_error(losses), places, here, len(solution.steps))]
    cells = [head] + [[f"{int(columns[0][i])}", *(f"{column[i]:.4g}" for column in columns[1:])] for i in places]
    sizes = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(f"{cell:>{size}}" for cell, size in zip(row, sizes)) for row in cells]
    stats = solution.stats
    spent = f"{stats['CPU seconds']:.1f} CPU seconds"
    how = f"{stats['replicates']} replicates of {stats['particles']} particles, {spent}; |bias| + error <= {solution.loss.bound:.1g}"
    return "\n".join([*lines, "", how if stats["method"] == "particles" else f"{stats['method']}: no sampling error, {spent}"])


def _at(values: Any, places: Any, here: Any, size: int) -> Any:
    import numpy as np

    spread = np.full(size, np.nan)
    spread[places] = values[here]
    return spread


def _error(losses: Any) -> Any:
    return losses.std(0, ddof=1) / len(losses) ** 0.5


def _places(count: int) -> Any:
    import numpy as np

    return np.unique(np.linspace(0, count - 1, min(count, SHOWN)).round().astype(int))


def as_json(name: str, problem: Problem, solution: Solution, beside: Networks | None) -> dict[str, Any]:
    """Everything that the text shows, at all recorded steps."""
    low, high = solution.loss.interval()
    rows = [
        {"step": int(step), "loss": float(value), "se": float(se), "low": float(a), "high": float(b)}
        for step, value, se, a, b in zip(solution.steps, solution.loss.value, solution.loss.error, low, high)
    ]
    found: dict[str, Any] = {
        "schema": 1,
        "problem": name,
        "samples": len(problem.inputs),
        "steps": problem.steps,
        "rows": rows,
        "predictions": solution.predictions.value[-1].tolist(),
        "ranks": [list(pair) for pair in solution.ranks],
        "result": solution.result.name,
        "bound": solution.loss.bound,
        **{key: value for key, value in solution.stats.items() if key in ("method", "particles", "replicates")},
    }
    if beside is not None:
        found["networks"] = [
            {"width": width, "step": int(step), "loss": float(mean), "se": float(se)}
            for width, losses in beside.losses.items()
            for step, mean, se in zip(beside.steps, losses.mean(0), _error(losses))
        ]
    return found
