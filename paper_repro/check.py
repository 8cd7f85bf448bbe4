"""The refined coordinate check: networks trained under a table, every atomic term's slope against its derived exponent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..synthetic.cost import parameters
from ..theory.architecture import Architecture
from ..theory.classification import classify
from ..theory.derivation import derive
from ..theory.observables import Observable
from ..theory.prediction import Prediction, predict, predict_linear
from ..theory.scales import Powers
from ..theory.table import ExponentTable, differences
from .conditions import Conditions, exists, grown_with, reads_tokens

if TYPE_CHECKING:
    import pandas as pd

    from ..synthetic.store import Store

ROUNDS = (1, 2, 3, 10)
FEATURES = "feature learning"
PARAMETERS = 8_000_000  # of the largest module that is trained when no sizes are asked for


@dataclass(frozen=True)
class Settings:
    """How a table is checked.

    Args:
        sizes: of the axis.
        seeds: networks of each size.
        steps: updates after which terms are measured.
        learning_rate: base rate; None: of order one for a stable table, else so small that nothing changes by 1 % (see `conditions`).
        axis: the size that grows; by default the first that grows.
    """

    sizes: tuple[int, ...]
    seeds: int = 4
    steps: tuple[int, ...] = ROUNDS
    learning_rate: float | None = None
    axis: str = ""


QUICK = Settings((64, 128, 256), 4, (1,))  # enough to find an exponent that is off by 1/2


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
        from ..figures.compare import misses

        return misses(self.rows)


def check(
    architecture: Architecture,
    table: ExponentTable,
    *,
    sizes: Sequence[int] = (),
    steps: int = max(ROUNDS),
    seeds: int = 0,
    factory: Callable[..., Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Rows ``weight, term, step, predicted, low, measured, se, tolerance, verdict`` for the command line.

    Args:
        architecture: the network.
        table: how it scales; it is classified first, and what is expected of it follows from the calculus.
        sizes: of the first growing axis; by default powers of two that suit the architecture.
        steps: the last update after which terms are measured.
        seeds: networks of each size; by default 8, or 4 for token inputs and for modules.
        factory: makes the module that the architecture was traced from, which is then trained itself.
        progress: called with a line of text.
    """
    tokens = reads_tokens(architecture) or factory is not None
    chosen = tuple(sizes) or _default_sizes(architecture, 512 if tokens else 1024, factory, table)
    rounds = tuple(dict.fromkeys([step for step in ROUNDS if step < steps] + [steps]))
    settings = Settings(chosen, seeds or (4 if tokens else 8), rounds)
    return run_check(architecture, table, settings, default_sizes=not sizes, factory=factory, progress=progress).rows


def _default_sizes(
    architecture: Architecture, largest: int, factory: Callable[..., Any] | None = None, table: ExponentTable | None = None
) -> tuple[int, ...]:
    """Powers of two from 64; where a dimension is a root of the axis, those at which it is whole, up to 1024.

    A module that is too large at some of them is checked at the four largest powers of two at which it is not; a network whose
    axes grow together, at four sizes up to the largest that is not.
    """
    if table is not None and table.regime and len(table.regime.grown) > 1:
        axis = table.regime.grown[0]
        powers = [size for size in (1024, 512, 256, 128, 64, 32, 16) if exists(architecture, axis, size, table)]
        small = [
            size
            for size in powers
            if parameters(architecture, architecture.sizes(grown_with(architecture, table, axis, size))) <= PARAMETERS
        ]
        return tuple(sorted(small[:4]))
    axis = next(a.name for a in architecture.axes if a.power)
    powers = (64, 128, 256, 512, 1024)
    whole = tuple(size for size in powers if exists(architecture, axis, size))
    usual = tuple(size for size in powers if size <= largest) if whole == powers else whole
    if factory is None or _fits(architecture, factory, axis, max(usual)):
        return usual
    smaller = (size for size in (256, 128, 64, 32, 16, 8, 4, 2) if size < max(usual) and exists(architecture, axis, size))
    return tuple(sorted(islice((size for size in smaller if _fits(architecture, factory, axis, size)), 4)))


def _fits(architecture: Architecture, factory: Callable[..., Any], axis: str, size: int) -> bool:
    """Whether the module has no more than `PARAMETERS` at this size; one whose weights cannot be left unmade is taken to fit."""
    from ..synthetic.tracing.record import build_on

    try:
        module, _ = build_on("meta", factory, architecture.sizes({axis: size}))
    except (RuntimeError, NotImplementedError):
        return True
    return sum(p.numel() for p in module.parameters()) <= PARAMETERS


def run_check(
    architecture: Architecture,
    table: ExponentTable,
    settings: Settings,
    *,
    default_sizes: bool = False,
    promise: Expectation | None = None,
    factory: Callable[..., Any] | None = None,
    source: str = "",
    store: Store | None = None,
    progress: Callable[[str], object] | None = None,
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
        factory: of the module that is trained in place of the architecture.
        source: a digest of the code of the module; frames of modules without are not kept.
        store: where measured frames are kept.
        progress: called with a line of text.
    """
    say = progress or (lambda text: None)
    grown = table.regime.grown if table.regime else [a.name for a in architecture.axes if a.power]
    axis = settings.axis or grown[0]
    if len(set(settings.sizes)) < 2:
        raise ValueError(f"sizes `{', '.join(map(str, settings.sizes))}` of axis `{axis}`: a slope needs at least two different ones")
    sizes, rate = settings.sizes, settings.learning_rate
    say(f"deriving the exponents of {architecture.name}")
    promise = promise or expect(architecture, _promise(architecture, table), settings.steps)
    if promise.kind != FEATURES and default_sizes:
        sizes = tuple(s for s in sizes if s >= 256)
    conditions = Conditions.of(architecture, table, axis, sizes, factory)
    if rate is None and promise.kind == FEATURES:
        conditions = conditions.balanced(min(sizes))
        rate = conditions.steady_rate(sizes, max(promise.predictions))
    rate = rate or conditions.vanishing_rate(max(sizes))
    predictions = promise.predictions

    def measured() -> pd.DataFrame:
        return conditions.measure(sizes, range(settings.seeds), tuple(predictions), rate, say)

    settled = replace(settings, sizes=sizes, learning_rate=rate, steps=tuple(predictions), axis=axis)
    key = {"kind": "coordinate check", "schema": 2, **conditions.as_data(), "settings": asdict(settled)}
    key |= {"source": source} if factory is not None else {}
    frame = measured() if store is None or (factory is not None and not source) else store.get_or_make(key, measured)
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
        columns = ["learning_rate"] if row.zero_init else ["learning_rate", "init_std"]
        for column in columns if row.trained else ():
            for half in (Fraction(1, 2), Fraction(-1, 2)):
                moved = getattr(row, column) * Powers({axis: half})
                yield f"{row.weight} {column} {'+' if half > 0 else ''}{half}", table.changed(row.weight, **{column: moved})


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
