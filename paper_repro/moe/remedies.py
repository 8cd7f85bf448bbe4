"""Remedies do not interchange, and epsilon is one: what happens with that of another regime (arXiv 2605.14200).

The experts' sum, the gradient of the stream through ``up`` and that of the experts through ``down`` are measured at initialisation with
a readout of 1/n, and compared with what is derived of the same start. Their excess is the slope beyond that under the regime's own
remedy: sharing initial weights in regime II makes the stream's gradient n^1/2 too large, wider initial values in III the experts'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...figures.fit import fit_slope
from ...synthetic.coordinates import coordinate_check
from ...synthetic.engines import Engine, Local
from ...synthetic.store import Store
from ...synthetic.sweep import Plan
from ...synthetic.tasks import interaction
from ...theory.architecture import with_init
from ...theory.experts import moe
from ...theory.observables import Observable
from ...theory.prediction import predict_linear
from ...theory.scales import Powers
from ...theory.table import ExponentTable
from ..claims import Claim, Control, untested
from ..core.transfer_claims import Sweep
from ..papers import Progress
from ..results import Result
from ..sweeping import run_sweep
from .networks import BASE, INPUTS, constants, network, sizes, tables
from .remedies_panels import draw

FIGURE, PAPER = "moe/remedies", "arXiv 2605.14200"
TERMS = {
    "down (summed): W0 x0": "sum over experts",
    "up^T: W0 g0": "gradient of the stream",
    "down^T: W0 g0": "gradient of the experts",
}
STARTS = ("independent", "wider", "shared")
OWN = {"II": "wider", "III": "shared"}
EPSILON, STEPS, BATCH = 0.3, 64, 32


@dataclass(frozen=True)
class Size:
    """Widths of each regime, and seeds, at initialisation and in scans of Adam's rate with log2 from `octaves`."""

    first: dict[str, tuple[int, ...]]
    scanned: dict[str, tuple[int, ...]]
    octaves: tuple[int, int] = (-3, 6)
    seeds: int = 16
    steps: int = STEPS
    device: str = "cpu"


PRESETS = {
    "smoke": Size({"II": (32, 64), "III": (16, 32)}, {"II": (32, 64), "III": (16, 32)}, (-1, 3), 2, 16),
    "laptop": Size({"II": (32, 64, 128, 256), "III": (32, 64, 128)}, {"II": (32, 64, 128, 256), "III": (16, 32, 64, 128)}),
    "gpu": Size(
        {"II": (64, 128, 256, 512, 1024), "III": (32, 64, 128, 256, 512)},
        {"II": (32, 64, 128, 256, 512, 1024), "III": (16, 32, 64, 128, 256, 512)},
        (-3, 8), 32, device="cuda",
    ),
}  # fmt: skip


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Measure every start in both regimes, and scan Adam's rate with an epsilon that scales and with one that does not."""
    import torch

    size = PRESETS[preset]
    device = "cpu" if size.device == "cuda" and not torch.cuda.is_available() else size.device
    slopes = pd.DataFrame([row for regime in OWN for start in STARTS for row in measure_start(regime, start, size, progress)])
    frame = run_sweep(FIGURE, make_plan(size), Store(store_home), device=device, engine=engine or Local(), progress=progress)
    last = frame[(frame["step"] == size.steps) & (frame["term"] == "validation loss")].reset_index(drop=True)
    sweeps = {(str(r), str(c)): Sweep.of(rows) for (r, c), rows in last.groupby(["case", "config"], sort=False)}
    claims = (*start_claims(slopes), *epsilon_claims(sweeps))
    tables_ = {"slopes": slopes, "losses": last}
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, draw(slopes, last, sweeps, out / "remedies"), tables_)


def started(regime: str, start: str) -> ExponentTable:
    """muP's table with that start: independent experts, with n^1/2 times larger ``down``, or sharing ``up`` and ``down``."""
    own = tables(regime, "sgd")["mup"]
    if start == "wider":
        return own.changed("down", init_std=own.row("down").init_std * Powers(scale="1/2"))
    if start == "shared" and regime == "II":  # on top of what the regime needs
        own = own.changed("down", init_std=own.row("down").init_std * Powers(scale="1/2"))
    return own.changed("up", shared_init=True).changed("down", shared_init=True) if start == "shared" else own


def measure_start(regime: str, start: str, size: Size, progress: Progress) -> Iterator[dict[str, object]]:
    """Slopes of the three terms at initialisation, beside what is derived and what the regime's own remedy has."""
    progress(f"remedies: {start} experts in regime {regime}")
    table, net = started(regime, start), moe(activation="tanh", inputs=INPUTS, outputs=1, base=BASE[regime])
    net = with_init(net, up="shared", down="shared") if start == "shared" else net
    frame = coordinate_check(
        net, table, task=interaction(inputs=INPUTS, samples=64), axis="n", sizes=size.first[regime], seeds=range(size.seeds), steps=(),
        constants=constants(regime, "sgd"),
    )  # fmt: skip
    derived = predict_linear(net, table)
    for term, name in TERMS.items():
        values = frame[frame["term"] == term].pivot_table(index="seed", columns="size.n", values="value")
        slope, exponent = fit_slope(values.columns, values.to_numpy()), derived[Observable.parse(term)].exponent
        yield {"regime": regime, "start": start, "term": name, "derived": float(exponent), "measured": slope.value, "se": slope.se}


def excess(slopes: pd.DataFrame, regime: str, start: str, term: str) -> tuple[float, tuple[float, float]]:
    """A slope beyond that under the regime's own remedy as derived, with two standard errors to either side."""
    rows = slopes[(slopes["regime"] == regime) & (slopes["term"] == term)].set_index("start")
    value, error = float(rows["measured"][start] - rows["derived"][OWN[regime]]), float(rows["se"][start])
    return value, (value - 2 * error, value + 2 * error)


def start_claims(slopes: pd.DataFrame) -> Iterator[Claim]:
    """What blows up with the other regime's remedy, and that all slopes are the derived ones."""
    for regime, start, term, what in (
        ("II", "shared", "gradient of the stream", "Sharing initial weights in regime II"),
        ("III", "wider", "gradient of the experts", "Initial values of `down` that are n^1/2 larger, in regime III,"),
    ):
        yield Claim(
            f"{FIGURE}/{regime}-{start}",
            f"{what} make the {term} grow by n^1/2",
            f"{PAPER}; widelimit.theory.predict_linear",
            "prediction",
            0.5,
            0.2,
            "exponents are multiples of 1/2; few experts at the smallest size bend a slope by 0.1",
            Control("the remedy of the regime", *excess(slopes, regime, OWN[regime], term)),
            *excess(slopes, regime, start, term),
        )
    off = (slopes["measured"] - slopes["derived"]).abs() - 2 * slopes["se"]
    wrong = (slopes["measured"] - slopes["derived"].sample(frac=1.0, random_state=0).to_numpy()).abs() - 2 * slopes["se"]
    yield Claim(
        f"{FIGURE}/derived",
        f"Slopes at initialisation are the derived exponents with every start: largest distance of {len(slopes)}, beyond two errors",
        "widelimit.theory.predict_linear",
        "prediction",
        0.0,
        0.1,
        "fluctuations of a few experts, of relative size E^-1/2 at the smallest size, bend a slope by 0.1",
        Control("exponents of other terms", float(wrong.max())),
        float(off.max()),
        relation="<=",
    )


def make_plan(size: Size) -> Plan:
    """Adam under maximal scale stability, with the derived epsilon and with one that is the same at every size."""
    low, high = size.octaves
    ensembles = []
    for regime, widths in size.scanned.items():
        own = tables(regime, "adam")["mssp"]
        fixed = own
        for row in own.rows:
            fixed = fixed.changed(row.weight, epsilon=Powers())
        ensembles += Plan.grid(
            {"scaled": own, "global": fixed}, [sizes(regime, n) for n in widths], architecture=network(regime),
            task=interaction(samples=size.steps * BATCH), learning_rates=tuple(2.0 ** np.arange(low, high + 1)), seeds=(0, 1, 2, 3),
            steps=size.steps, batch=BATCH, constants=constants(regime, "adam", epsilon=EPSILON), schedule="linear", records=2, case=regime,
        ).ensembles  # fmt: skip
    return Plan(tuple(ensembles))


def epsilon_claims(sweeps: dict[tuple[str, str], Sweep]) -> Iterator[Claim]:
    """With the epsilon of the table the best rate stands still, with a global one it runs away."""
    for regime in dict.fromkeys(regime for regime, _ in sweeps):
        scaled, fixed = (sweeps[regime, config].drift for config in ("scaled", "global"))
        of = lambda drift: (drift.value, (drift.low, drift.high)) if drift.found else (None, None)  # noqa: E731
        yield Claim(
            f"{FIGURE}/{regime}-epsilon",
            f"With an epsilon of a third of the gradients, scaled as derived, Adam's best rate stands still (regime {regime})",
            "widelimit.theory.derive (mssp)",
            "prediction",
            0.0,
            0.25,
            "one octave over four doublings: two neighbours of the grid",
            Control("one epsilon at all sizes", *of(fixed)),
            *of(scaled),
            unit="octaves per doubling",
        )
        yield Claim(
            f"{FIGURE}/{regime}-global",
            f"With that epsilon at all sizes it grows with the size (regime {regime})",
            PAPER,
            "published",
            0.25,
            0.0,
            "what the grid does not tell from standing still",
            Control("epsilon scaled as derived", *of(scaled)),
            *of(fixed),
            relation=">=",
            unit="octaves per doubling",
        )
