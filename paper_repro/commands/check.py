"""``check``: every term's slope on finite networks against its exponent."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..progress import progress_bar, waiting
from ..targets import choose, derive_for, load_architecture, load_factory, load_table, need_regime, parse_regime, parse_sizes, started_as

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("weight", "term", "step", "predicted", "low", "measured", "se", "tolerance", "verdict")


def check(
    target: str,
    *,
    optimizer: str,
    parameterization: str | None,
    sizes: str | None,
    steps: int | None,
    desiderata: str,
    regime: str | None,
    form: str,
) -> int:
    """Measure the slopes of a derived or given table; the exit status is 1 if one misses."""
    choose("format", form, ("text", "json"))
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is {steps}; a slope needs at least one training step")
    chosen = {"sizes": None if sizes is None else parse_sizes(sizes), "steps": steps}
    architecture = load_architecture(target)
    need_regime(architecture, regime)
    factory = load_factory(target) if architecture.parameters else None
    if parameterization is not None:
        grown = parse_regime(regime, architecture) if regime is not None else None
        table = load_table(parameterization, architecture, optimizer, grown)
    else:
        with waiting(f"deriving the exponents of {architecture.name}"):
            table = derive_for(architecture, optimizer, desiderata, regime)
    architecture = started_as(architecture, table)
    from ...figures.compare import misses
    from ..check import check as measure

    with progress_bar(f"check {target}") as bar:
        frame = measure(architecture, table, **{k: v for k, v in chosen.items() if v is not None}, factory=factory, progress=bar.say)
    missed = len(misses(frame))
    if form == "json":
        print(json.dumps([{c: _plain(row[c]) for c in COLUMNS} for row in frame.to_dict("records")], indent=1, allow_nan=False))
    else:
        print(as_text(frame))
        print(f"\n{summary(frame)}")
    return 1 if missed else 0


def summary(frame: pd.DataFrame) -> str:
    """How many slopes got which verdict, in one line."""
    count = frame["verdict"].value_counts()
    words = {"agrees": "agree", "crossover": "lie between their two exponents", "too noisy": "are too noisy to tell"}
    words |= {"misses": "miss", "diverged": "diverged"}
    return f"{len(frame)} slopes: " + ", ".join(f"{count[verdict]} {text}" for verdict, text in words.items() if verdict in count)


def as_text(frame: pd.DataFrame) -> str:
    """The rows as aligned columns."""
    cells = [COLUMNS, *(tuple(_cell(row[c]) for c in COLUMNS) for row in frame.to_dict("records"))]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """What JSON can hold: rationals are text, and so is what is not finite."""
    value = value.item() if hasattr(value, "item") else value
    return str(value) if isinstance(value, Fraction) or (isinstance(value, float) and not math.isfinite(value)) else value
