"""The refined coordinate check: networks trained under a table, every atomic term's slope against its derived exponent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.architecture import Architecture
from ..theory.classification import classify
from ..theory.derivation import derive
from ..theory.observables import Observable
from ..theory.optimizers import find_optimizer
from ..theory.prediction import Prediction, predict, predict_linear
from ..theory.scales import Powers
from ..theory.table import ExponentTable, differences

if TYPE_CHECKING:
    import pandas as pd

    from ..synthetic.store import Store
    from ..synthetic.tasks import Task

TOKENS = 16  # far fewer samples than the smallest width: the rank of an update stays fixed while the width grows
ROUNDS = (1, 2, 3, 10)
FEATURES = "feature learning"
LIMIT = 0.01  # largest relative change where a table is not stable


@dataclass(frozen=True)
class Settings:
    """How a table is checked.

    Args:
        sizes: of the axis.
        seeds: networks of each size.
        steps: updates after which terms are measured.
        learning_rate: base rate; None: of order one for a stable table, else so small that nothing changes by 1 %.
        axis: the size that grows; by default the first that grows.
    """

    sizes: tuple[int, ...]
    seeds: int = 4
    steps: tuple[int, ...] = ROUNDS
    learning_rate: float | None = None
    axis: str = ""


@dataclass(frozen=True)
class Expectation:
    """The class of a table and the exponents of its terms after each step."""

    kind: str
    predictions: dict[int, dict[Observable, Prediction]]


@dataclass(frozen=True)
class Check:
    """The measured frame and its comparison: one row per weight, term and step."""

    frame: pd.DataFrame
    rows: pd.DataFrame
    kind: str
    learning_rate: float

    @property
    def missed(self) -> pd.DataFrame:
        """Rows in which a prediction failed."""
        return self.rows[self.rows["verdict"].isin(("misses", "diverged"))]


def check(
    architecture: Architecture,
    table: ExponentTable,
    *,
    sizes: Sequence[int] = (),
    steps: int = max(ROUNDS),
    seeds: int = 0,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Rows ``weight, term, step, predicted, low, measured, se, tolerance, verdict`` for the command line.

    Args:
        architecture: the network.
        table: how it scales; it is classified first, and what is expected of it follows from the calculus.
        sizes: of the first growing axis; by default powers of two that suit the architecture.
        steps: the last update after which terms are measured.
        seeds: networks of each size; by default 8, or 4 for token inputs.
        progress: called with a line of text.
    """
    tokens = _reads_tokens(architecture)
    chosen = tuple(sizes) or ((64, 128, 256, 512) if tokens else (64, 128, 256, 512, 1024))
    rounds = tuple(dict.fromkeys([step for step in ROUNDS if step < steps] + [steps]))
    settings = Settings(chosen, seeds or (4 if tokens else 8), rounds)
    return run_check(architecture, table, settings, default_sizes=not sizes, progress=progress).rows


def run_check(
    architecture: Architecture,
    table: ExponentTable,
    settings: Settings,
    *,
    default_sizes: bool = False,
    promise: Expectation | None = None,
    store: Store | None = None,
    progress: Callable[[str], None] | None = None,
) -> Check:
    """Measure and compare under the conditions that the table's class demands.

    Feature-learning tables are trained at a rate of order one. Others (unstable, kernel, trivial) are measured after the
    first update with a vanishing rate, at sizes from 256, where power laws are clean.

    Args:
        architecture: the network.
        table: what it is trained with.
        settings: sizes, seeds, steps.
        default_sizes: the sizes were not asked for, so small ones may be left out.
        promise: what is expected; by default of ``table``, or, where that was given together with the desiderata that it
            claims to satisfy, of the table derived from them.
        store: where measured frames are kept.
        progress: called with a line of text.
    """
    say = progress or (lambda text: None)
    axis = settings.axis or next(a.name for a in architecture.axes if a.power)
    if len(set(settings.sizes)) < 2:
        raise ValueError(f"sizes `{', '.join(map(str, settings.sizes))}` of axis `{axis}`: a slope needs at least two different ones")
    task, sizes, rate = check_task(architecture), settings.sizes, settings.learning_rate
    say(f"deriving the exponents of {architecture.name}")
    promise = promise or expect(architecture, _promise(architecture, table), settings.steps)
    if promise.kind == FEATURES:
        gradient = 0.2 if _reads_tokens(architecture) else 0.5  # the loss falls steadily at every size
        rate = rate or (gradient if find_optimizer(table.optimizer).degree else 0.02)
    else:
        sizes = tuple(s for s in sizes if s >= 256) if default_sizes else sizes
        rate = rate or _vanishing_rate(architecture, table, task, axis, max(sizes))
    predictions = promise.predictions

    def measure() -> pd.DataFrame:
        return _measure(architecture, table, task, axis, sizes, range(settings.seeds), tuple(predictions), rate, say)

    if store is None:
        frame = measure()
    else:
        settled = replace(settings, sizes=sizes, learning_rate=rate, steps=tuple(predictions), axis=axis)
        key = {"kind": "coordinate check", "schema": 1, "task": task.digest, "architecture": architecture.as_data()}
        columns = {r["weight"]: r for r in table.as_json()["rows"]}
        frame = store.get_or_make({**key, "table": columns, "optimizer": table.optimizer, "settings": asdict(settled)}, measure)
    return Check(frame, compare(architecture, frame, axis, predictions), promise.kind, rate)


def expect(architecture: Architecture, table: ExponentTable, steps: Sequence[int]) -> Expectation:
    """Classify a table and predict its exponents: after these steps, or after one vanishing update if it learns no features."""
    kind = classify(architecture, table).kind
    if kind == FEATURES:
        return Expectation(kind, predict(architecture, table, steps=steps))
    return Expectation(kind, {1: predict_linear(architecture, table)})


def _promise(architecture: Architecture, table: ExponentTable) -> ExponentTable:
    """A table that names desiderata promises what they demand: if it is not the one derived, that one is expected."""
    if table.verdict != "given" or not table.desiderata:
        return table
    derived = derive(architecture, table.optimizer, desiderata=table.desiderata, regime=table.regime)
    return derived if differences(table, derived) else table


def mutants(table: ExponentTable) -> Iterator[tuple[str, ExponentTable]]:
    """The table with one weight's learning-rate or init exponent moved by 1/2 either way, for every weight."""
    axis = "scale" if table.regime and len(table.regime.grown) > 1 else next(iter(table.rows[-1].shape.inn))
    for row in table.rows:
        columns = ["learning_rate"] if row.zero_init or not row.shape.inn else ["learning_rate", "init_std"]
        for column in columns if row.trained else ():
            for half in (Fraction(1, 2), Fraction(-1, 2)):
                moved = getattr(row, column) * Powers({axis: half})
                yield f"{row.weight} {column} {'+' if half > 0 else ''}{half}", table.changed(row.weight, **{column: moved})


def _measure(
    architecture: Architecture, table: ExponentTable, task: Task, axis: str, sizes: Sequence[int], seeds: Sequence[int],
    steps: tuple[int, ...], rate: float, say: Callable[[str], None],
) -> pd.DataFrame:  # fmt: skip
    from ..synthetic.coordinates import coordinate_check

    batch = max(1, TOKENS // (task.targets.shape[1] if task.loss == "cross-entropy" and task.targets.ndim > 1 else 1))
    return coordinate_check(
        architecture, table, task=task, axis=axis, sizes=sizes, seeds=tuple(seeds), steps=steps, learning_rate=rate, batch=batch,
        progress=lambda label, done, total: say(f"{label} ({done}/{total})"),
    )  # fmt: skip


def _vanishing_rate(architecture: Architecture, table: ExponentTable, task: Task, axis: str, size: int) -> float:
    """A rate at which the largest relative change of any weight's output after one update is a tenth of the limit."""
    rate = 1e-6
    frame = _measure(architecture, table, task, axis, [size], [0], (1,), rate, lambda text: None)
    found = {(w, t): v for w, t, s, v in frame[["weight", "term", "step", "value"]].itertuples(index=False) if s == 1}
    ratios = [0.0]
    for (weight, term), value in found.items():
        if term in ("gradient", "loss"):
            continue
        observable = Observable.parse(term)
        before = found.get((weight, str(Observable(observable.node, "W0 x0", observable.backward))), 0.0)
        if observable.kind != "W0 x0" and before:
            ratios.append(value / before)
    return rate * 0.1 * LIMIT / max(max(ratios), 1e-300)


def compare(
    architecture: Architecture, frame: pd.DataFrame, axis: str, predictions: dict[int, dict[Observable, Prediction]]
) -> pd.DataFrame:
    """Measured slopes against predictions, step by step; crossovers must lie between their two exponents."""
    import pandas as pd

    from ..figures.compare import compare_slopes

    parts = []
    for step, terms in predictions.items():
        exponents = {
            (architecture.node(o.node).weight, str(o)): (float(p.low), float(p.exponent)) if p.crossover else p.exponent
            for o, p in terms.items()
        }
        rows = compare_slopes(frame[frame["step"] == step], axis=axis, predicted=exponents)
        pair = rows["predicted"].map(lambda p: isinstance(p, tuple)).astype(bool)
        rows.insert(4, "low", [float(p[0] if isinstance(p, tuple) else p) for p in rows["predicted"]])
        rows["predicted"] = [float(p[1] if isinstance(p, tuple) else p) for p in rows["predicted"]]
        rows.loc[pair & (rows["verdict"] == "agrees"), "verdict"] = "crossover"
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def _reads_tokens(architecture: Architecture) -> bool:
    return any(node.kind == "token" for node in architecture.inputs)


def check_task(architecture: Architecture) -> Task:
    """Few samples of few tokens, so that the number of samples stays far below the width."""
    from ..synthetic import tasks

    if not _reads_tokens(architecture):
        return tasks.default_task(architecture)
    node = architecture.inputs[0]
    vocab = architecture.dims[node.dims[-1]].size(architecture.base)
    return tasks.markov(vocab=vocab, positions=4, samples=64, seed=0)
