"""Every architecture by name: networks trained under the tables derived for SGD and Adam, and under the standard one.

Those of `theory.zoo` are built from their graphs; those of `synthetic.zoo` are modules in plain torch, which were traced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...synthetic.store import Store
from ...synthetic.zoo import MODULES, digest, find_factory
from ...theory.architecture import Architecture
from ...theory.derivation import derive
from ...theory.parameterizations import parameterization
from ...theory.zoo import gpt, llama, mlp, resmlp
from ..check import Settings, expect, run_check
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from ..slope_claims import largest_excess, slope_claim, summary
from ..targets import load_architecture
from .side_by_side import check_all
from .slope_panels import draw

FIGURE = "verification/architectures"
GRAPHS = {"mlp": mlp(activation="gelu"), "resmlp": resmlp(activation="gelu"), "gpt": gpt(vocab=16), "llama": llama(vocab=16)}
OPTIMIZERS = ("sgd", "adam")
SLOW = ("pixart", "uvit", "dit", "gpt", "llama")  # started first, so that none of them is left alone at the end


@dataclass(frozen=True)
class Preset:
    """How each architecture is checked, and how many at a time."""

    checks: dict[str, Settings]
    jobs: int = 1


SQUARES = ("kronecker", "monarch", "btt")  # n has a whole root
SEEDS = {"mlp": 16, "resmlp": 16, "lora": 16, "experts": 12, "sparse": 12, "uvit": 6, "pixart": 4} | dict.fromkeys(SQUARES, 12)  # else 8
# Constants bend slopes over the smallest sizes by more than a tenth: of a Transformer by both signs; changes of U-ViT's last biases
# fall with SGD as n^-0.2 up to 256 and agree from 128 to 512.
SIZES = {"gpt": (64, 128, 256, 512), "uvit": (128, 256, 512)} | dict.fromkeys(SQUARES, (64, 256, 1024))  # else (64, 128, 256)


def _laptop(name: str) -> Settings:
    return Settings(SIZES.get(name, (64, 128, 256)), SEEDS.get(name, 8), (1, 2, 3))


def _gpu(name: str) -> Settings:
    sizes = (64, 256, 1024, 4096) if name in SQUARES else (64, 128, 256, 512, 1024)
    return Settings(sizes, 16, (1, 2, 3, 10))


PRESETS = {
    "smoke": Preset({name: replace(_laptop(name), steps=(1,)) for name in ("mlp", "monarch")}),
    "laptop": Preset({name: _laptop(name) for name in (*GRAPHS, *MODULES)}, jobs=2),
    "gpu": Preset({name: _gpu(name) for name in (*GRAPHS, *MODULES)}),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Check every architecture under its derived tables; as a control, train it under the standard parameterisation."""
    checks, jobs = PRESETS[preset].checks, PRESETS[preset].jobs
    slow_first = sorted(checks, key=lambda name: SLOW.index(name) if name in SLOW else len(SLOW))
    tasks = [(name, optimizer, checks[name], store_home / "store") for name in slow_first for optimizer in OPTIMIZERS]
    rows, standard = check_all(_check, tasks, jobs=jobs, progress=progress)
    claims = tuple(_claim(name, rows, standard) for name in PRESETS[preset].checks)
    tables = {"slopes": summary(rows), "under-the-standard-table": standard, "terms": rows}
    return Result(FIGURE, claims, draw(rows, out / "architectures"), tables)


def _check(name: str, optimizer: str, settings: Settings, store_home: Path) -> tuple[pd.DataFrame, float]:
    """The rows of one optimizer, and by how much the standard table misses what is derived."""
    (architecture, factory), store = _architecture(name), Store(store_home)
    source = digest() if factory else ""
    table = derive(architecture, optimizer)
    promise = expect(architecture, table, settings.steps)
    found = run_check(architecture, table, settings, promise=promise, factory=factory, source=source, store=store)
    wrong, quick = parameterization("sp", architecture, optimizer), replace(settings, seeds=settings.seeds // 4 + 1)
    control = run_check(architecture, wrong, quick, promise=promise, factory=factory, source=source, store=store)
    return found.rows, largest_excess(control.rows, together=True)


def _architecture(name: str) -> tuple[Architecture, Callable[..., Any] | None]:
    return (GRAPHS[name], None) if name in GRAPHS else (load_architecture(name), find_factory(name))


def _claim(name: str, rows: pd.DataFrame, standard: pd.DataFrame) -> Claim:
    rows, standard = (frame[frame["architecture"] == name] for frame in (rows, standard))
    least = standard.sort_values("excess").iloc[0]
    control = Control(f"the standard parameterisation with {least['optimizer']}, the less far off of two", float(least["excess"]))
    return slope_claim(f"{FIGURE}/{name}", f"{name} trained with {' and '.join(OPTIMIZERS)}", rows, control, together=True)
