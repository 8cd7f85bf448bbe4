"""Coordinate check: every atomic term of MLP and Transformer against its derived exponent, under SP, NTP and muP.

``W x = W0 x0 + dW x0 + W0 dx + dW dx``, and the same in the backward pass. Feature-learning tables are trained at a rate of order
one and checked after 1, 2, 3 and 10 updates, the others after one vanishing update. The negative control trains another table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from ...synthetic.store import Store
from ...theory.architecture import Architecture
from ...theory.parameterizations import parameterization
from ...theory.zoo import gpt, mlp
from ..check import Check, Settings, expect, mutants, run_check
from ..claims import Claim, Control
from ..papers import Progress
from ..results import Result
from ..slope_claims import distances, largest_excess, slope_claim
from .coordinate_panels import draw
from .mutation import mutation_claim

FIGURE = "core/coordinate-check"
TABLES, OPTIMIZERS = ("sp", "ntp", "mup"), ("sgd", "adam")
MUTATION_SCORES = {"mlp": 1.0, "gpt": 0.95}


@dataclass(frozen=True)
class Preset:
    """Sizes and seeds for the tables that learn features (``order_one``) and for the others (``vanishing``); whose tables are altered."""

    architectures: tuple[str, ...]
    order_one: dict[str, Settings]
    vanishing: dict[str, Settings]
    mutants: tuple[str, ...]


Widths = tuple[int, ...]


def _preset(sizes: dict[str, tuple[Widths, Widths, int]], steps: tuple[int, ...], mutants: tuple[str, ...] = ("mlp",)) -> Preset:
    """Per architecture: widths at a rate of order one, widths at a vanishing rate, seeds; and whose tables are altered."""
    order_one = {name: Settings(trained, seeds, steps) for name, (trained, _, seeds) in sizes.items()}
    return Preset(tuple(sizes), order_one, {name: Settings(wide, seeds, (1,)) for name, (_, wide, seeds) in sizes.items()}, mutants)


PRESETS = {
    "smoke": _preset({"mlp": ((64, 128, 256), (512, 1024, 2048), 8)}, (1, 3)),
    "laptop": _preset(
        {"mlp": ((64, 128, 256, 512, 1024), (512, 1024, 2048), 16), "gpt": ((64, 128, 256, 512), (256, 512, 1024), 16)}, (1, 2, 3, 10)
    ),
    "gpu": _preset(
        {"mlp": ((128, 256, 512, 1024, 2048), (1024, 2048, 4096), 32), "gpt": ((128, 256, 512, 1024), (1024, 2048, 4096), 16)},
        (1, 2, 3, 10),
        mutants=("mlp", "gpt"),
    ),
}


def architecture(name: str) -> Architecture:
    """The two networks: smooth, since the rare flips of a rectifier outweigh every vanishing change of a gradient."""
    return mlp(activation="gelu") if name == "mlp" else gpt(vocab=16)


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Check every table with every optimizer, and one altered table of each architecture as a control."""
    settings, store = PRESETS[preset], Store(store_home / "store")
    checks = {key: check for key, check in run_all(settings, store, progress)}
    rows = pd.concat(c.rows.assign(architecture=a, table=t, optimizer=o, kind=c.kind) for (a, t, o), c in checks.items())
    text = "the readout's learning-rate exponent of the trained table moved by +1/2"
    controls = {name: Control(text, largest_excess(altered(name, settings, store).rows)) for name in settings.architectures}
    claims = [slope_claim(f"{FIGURE}/{name}", name, rows[rows["architecture"] == name], control) for name, control in controls.items()]
    claims.append(share_claim(rows))
    claims += [mutation_claim(FIGURE, architecture(name), MUTATION_SCORES[name], store, progress) for name in settings.mutants]
    images = draw(rows, checks["mlp", "mup", "adam"], checks["mlp", "sp", "adam"], out / "coordinate-check")
    return Result(FIGURE, tuple(claims), images, {"slopes": summary(rows), "terms": rows.reset_index(drop=True)})


def run_all(settings: Preset, store: Store, progress: Progress) -> Iterator[tuple[tuple[str, str, str], Check]]:
    """All checks, small ones first."""
    for name in settings.architectures:
        net = architecture(name)
        for table in TABLES:
            for optimizer in OPTIMIZERS:
                chosen = (settings.order_one if table == "mup" else settings.vanishing)[name]
                say = partial(_say, progress, f"{name} {table} {optimizer}")
                yield (name, table, optimizer), run_check(net, parameterization(table, net, optimizer), chosen, store=store, progress=say)


def _say(progress: Progress, label: str, text: str) -> None:
    progress(f"{label}: {text}")


def altered(name: str, settings: Preset, store: Store) -> Check:
    """The negative control: muP expected, but the readout's learning-rate exponent of the table that trains is off by 1/2."""
    net, chosen = architecture(name), settings.order_one[name]
    table = parameterization("mup", net, "adam")
    mutant = next(mutant for label, mutant in mutants(table) if label == f"{table.rows[-1].weight} learning_rate +1/2")
    return run_check(net, mutant, Settings(chosen.sizes, 4, (1,)), promise=expect(net, table, (1,)), store=store)


def share_claim(rows: pd.DataFrame) -> Claim:
    """The check is not one of zeros."""
    asserted = rows[rows["verdict"].isin(("agrees", "misses"))]
    share = float((asserted["predicted"] != 0).mean())
    features = asserted[(asserted["table"] == "mup") & asserted["term"].str.contains("dW x0")]
    turned = Control("only the forward updates under muP, all of them flat", float((features["predicted"] != 0).mean()))
    text, reason = "At least a third of the asserted slopes are not zero", "a count"
    return Claim(f"{FIGURE}/non-zero", text, FIGURE, "prediction", 1 / 3, 0.0, reason, turned, share, relation=">=")


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts per architecture, table and optimizer, with the largest distance of a slope from its exponent."""
    grouped = rows.assign(distance=distances(rows)).groupby(["architecture", "table", "optimizer", "kind"], sort=False)
    counts = grouped["verdict"].value_counts().unstack(fill_value=0)
    return counts.join(grouped["distance"].max()).reset_index()
