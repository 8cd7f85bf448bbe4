"""Every optimizer that can be run: networks trained with it under its own derived table, and under Adam's.

The tables follow from the degrees of an update rule in the two factors of a gradient (arXiv 2512.05620 gives those of Muon and
Shampoo); here networks say whether they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...synthetic.optimizers import EXECUTED
from ...synthetic.store import Store
from ...theory.derivation import derive
from ...theory.table import ExponentTable
from ...theory.zoo import gpt, mlp
from ..check import QUICK, Settings, expect, run_check
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from ..slope_claims import largest_excess, slope_claim, summary
from .side_by_side import check_all
from .slope_panels import draw

FIGURE = "verification/optimizers"
NETWORKS = {"mlp": mlp(activation="gelu"), "gpt": gpt(vocab=16)}


@dataclass(frozen=True)
class Preset:
    """Optimizers by architecture, how each is checked, and how many at a time."""

    optimizers: dict[str, tuple[str, ...]]
    checks: dict[str, Settings]
    jobs: int = 1


WIDTHS, STEPS = (64, 128, 256, 512), (1, 2, 3)
PRESETS = {
    "smoke": Preset({"mlp": ("muon", "lamb", "shampoo")}, {"mlp": Settings((64, 128, 256), 6, (1,))}),
    "laptop": Preset(
        {"gpt": EXECUTED, "mlp": EXECUTED},
        {"mlp": Settings(WIDTHS, 8, STEPS), "gpt": Settings(WIDTHS, 6, STEPS)},
        jobs=2,
    ),
    "gpu": Preset(
        {"mlp": EXECUTED, "gpt": EXECUTED},
        {"mlp": Settings((*WIDTHS, 1024, 2048), 16, STEPS), "gpt": Settings((128, 256, 512, 1024), 16, STEPS)},
    ),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Check every optimizer under its own table; as a control, under Adam's rates."""
    settings = PRESETS[preset]
    tasks = [
        (name, optimizer, settings.checks[name], store_home / "store") for name, all_ in settings.optimizers.items() for optimizer in all_
    ]
    rows, foreign = check_all(_check, tasks, jobs=settings.jobs, progress=progress)
    claims = [_claim(name, rows, foreign) for name in settings.optimizers]
    return Result(
        FIGURE, tuple(claims), draw(rows, out / "optimizers"), {"slopes": summary(rows), "under-adams-rates": foreign, "terms": rows}
    )


def _check(name: str, optimizer: str, settings: Settings, store_home: Path) -> tuple[pd.DataFrame, float | None]:
    """The rows of one optimizer, and by how much it misses what is derived when trained with Adam's rates, where these are others."""
    net, store = NETWORKS[name], Store(store_home)
    own = derive(net, optimizer)
    found = run_check(net, own, settings, store=store)
    wrong = _with_rates(own, derive(net, "adam"))
    if wrong.rows == own.rows:
        return found.rows, None
    control = run_check(net, wrong, QUICK, promise=expect(net, own, (1,)), store=store)
    return found.rows, largest_excess(control.rows, together=True)


def _with_rates(table: ExponentTable, other: ExponentTable) -> ExponentTable:
    for row in other.rows:
        table = table.changed(row.weight, learning_rate=row.learning_rate)
    return table


def _claim(name: str, rows: pd.DataFrame, foreign: pd.DataFrame) -> Claim:
    rows, foreign = (frame[frame["architecture"] == name] for frame in (rows, foreign))
    least = foreign.sort_values("excess").iloc[0]
    control = Control(
        f"Adam's rates for {least['optimizer']}, of {len(foreign)} with other rates the one least off", float(least["excess"])
    )
    count = rows["optimizer"].nunique()
    return slope_claim(f"{FIGURE}/{name}", f"{name} trained with {count} optimizer{'s' * (count > 1)}", rows, control, together=True)
