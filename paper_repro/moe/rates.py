"""Learning rates from the smallest size to the largest, under muP and under maximal scale stability (arXiv 2605.14200, learning-rate
figures of its multilayer mixtures).

Slow scans start from a point at which the initial values of the experts' last weights carry what is learned, as the paper's tuned
multipliers do; muP loses them where there are many experts. Balanced scans start where these weights learn at once, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...synthetic.engines import Engine
from ..claims import NOT_REPRODUCED, NOT_TESTED, Claim, Control, untested
from ..core.transfer_claims import Sweep, transfer_penalty
from ..papers import Progress
from ..results import Result
from .networks import START
from .rates_panels import draw
from .study import PRESETS as STUDIES
from .study import Scan, Study, measure

FIGURE, PAPER = "moe/rates", "arXiv 2605.14200"
PRESETS = STUDIES
NAMES = {"sgd": "SGD", "adam": "Adam"}
COLUMNS = ["case", "config", "seed", "size.n", "hp.learning_rate", "value", "diverged_at"]
Sweeps = Mapping[tuple[str, str], Sweep]
STILL, DRIFTS, COST = 0.25, 0.2, 0.15
RECORDED = {"I": 512, "II": 512, "III": 128}
_FLAT = "within 64 steps the loss is flat above the optimum, so that the drift of the best rate costs little"
_BALANCED = "where the experts' last weights learn as fast as the others, their initial values are not needed"
RECORDS = {
    **{f"{case}-slow-costs-mup-zero": (NOT_REPRODUCED, _FLAT) for case in ("II-adam", "III-sgd", "III-adam")},
    **{f"{r}-{o}-balanced-drifts-mup": (NOT_REPRODUCED, _BALANCED) for r in ("II", "III") for o in NAMES},
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Scan the rates at every size, and see what a rate costs that was tuned at the smallest."""
    study = PRESETS[preset]
    frame = measure(FIGURE, study, store_home=store_home, progress=progress, engine=engine)
    last = frame[(frame["step"] == study.scans[0].steps) & (frame["term"] == "validation loss")][COLUMNS].reset_index(drop=True)
    keys = [(scan.case, config) for scan in study.scans for config in scan.configs]
    sweeps = {key: Sweep.of(last[(last["case"] == key[0]) & (last["config"] == key[1])]) for key in keys}
    claims = tuple(make_claims(study, sweeps))
    images = draw(study, last, sweeps, out / "rates")
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, images, {"losses": last, "optima": tabulate(sweeps)})


def tabulate(sweeps: Sweeps) -> pd.DataFrame:
    """One row per scan and configuration: the drift with its interval, the best rates, and what the first of them costs the largest."""
    rows = []
    for (case, config), sweep in sweeps.items():
        drift, (cost, interval) = sweep.drift, sweep.estimate(transfer_penalty)
        optima = {f"n={n:g}": place for n, place in zip(sweep.widths, drift.optima, strict=True)}
        rows.append({"case": case, "config": config, "drift": drift.value, "low": drift.low, "high": drift.high, "problem": drift.problem,
                     "cost": cost, "cost, low": interval[0], "cost, high": interval[1], **optima})  # fmt: skip
    return pd.DataFrame(rows)


def make_claims(study: Study, sweeps: Sweeps) -> Iterator[Claim]:
    """Where the best rate stays and what carrying it costs, scan by scan."""
    for scan in study.scans:
        known = max(scan.widths) <= RECORDED[scan.regime]
        for claim in (*_kept(scan, sweeps), *_lost(scan, sweeps)):
            name = f"{scan.regime}-{scan.optimizer}-{scan.base}-{claim.id}"
            verdict, reason = RECORDS.get(name, (claim.on_record, "")) if known else (NOT_TESTED, "")
            yield replace(claim, id=f"{FIGURE}/{name}", on_record=verdict, record_reason=reason)


def _kept(scan: Scan, sweeps: Sweeps) -> Iterator[Claim]:
    """Under maximal scale stability, and with few experts under muP, the rate of the smallest network is that of the largest."""
    regime = scan.regime if scan.regime != "I" else "II"
    drifting = Control(f"muP in regime {regime}, slow", **_drift(sweeps[f"{regime} {scan.optimizer} slow", "mup"]))
    for config in ("mssp",) if scan.regime != "I" else ("mssp", "mup"):
        yield Claim(
            f"drift-{config}",
            f"The best rate stands still under {START[config]} ({_where(scan)})",
            f"widelimit.theory.derive; {PAPER}",
            "prediction",
            0.0,
            STILL,
            "one octave over four doublings: two neighbours of the grid",
            drifting,
            **_drift(sweeps[scan.case, config]),
            unit="octaves per doubling",
        )
    value, interval = sweeps[scan.case, "mssp"].estimate(transfer_penalty)
    yield Claim(
        "cost-mssp",
        f"The rate tuned for the smallest network costs the largest at most {COST:.0%} of its loss under MSSP ({_where(scan)})",
        f"widelimit.theory.derive; {PAPER}",
        "prediction",
        0.0,
        COST,
        "two standard errors of a loss are up to 0.06 of it, an octave in the rate costs up to 0.1",
        _worst(sweeps),
        value,
        interval,
        "<=",
    )


def _lost(scan: Scan, sweeps: Sweeps) -> Iterator[Claim]:
    """Under muP it is not, where experts are many; unless all weights learn alike."""
    if scan.regime == "I":
        return
    still = Control("muP in regime I", **_drift(sweeps[f"I {scan.optimizer} slow", "mup"]))
    moving = Control("the same, slow", **_drift(sweeps[f"{scan.regime} {scan.optimizer} slow", "mup"]))
    for config in ("mup", "mup-zero") if scan.base == "slow" else ("mup",):
        yield Claim(
            f"drifts-{config}",
            f"The best rate grows with the size under {START[config]} ({_where(scan)})",
            f"{PAPER}, learning-rate figures",
            "published",
            DRIFTS,
            0.0,
            "four fifths of an octave over four doublings, nearly a step of the grid",
            still if scan.base == "slow" else moving,
            **_drift(sweeps[scan.case, config]),
            relation=">=",
            unit="octaves per doubling",
        )
    if scan.base == "slow":
        value, interval = sweeps[scan.case, "mup-zero"].estimate(transfer_penalty)
        worst = (scan.regime, scan.optimizer) == ("II", "sgd")
        yield Claim(
            "costs-mup-zero",
            f"The rate tuned for the smallest network costs the largest at least {2 * COST:.0%} of its loss under {START['mup-zero']} "
            f"({_where(scan)})",
            f"{PAPER}, learning-rate figures",
            "published",
            2 * COST,
            0.0,
            "twice what errors and the grid explain",
            Control("MSSP", *sweeps[scan.case, "mssp"].estimate(transfer_penalty)) if worst else _worst(sweeps),
            value,
            interval,
            ">=",
        )


def _worst(sweeps: Sweeps) -> Control:
    return Control("muP with a readout at zero, regime II, SGD, slow", *sweeps["II sgd slow", "mup-zero"].estimate(transfer_penalty))


def _where(scan: Scan) -> str:
    return f"regime {scan.regime}, {NAMES[scan.optimizer]}, {scan.base}"


def _drift(sweep: Sweep) -> dict[str, Any]:
    """Of the best rate with its interval; nothing where an optimum lies on the edge of the grid."""
    drift = sweep.drift
    return {"measured": drift.value, "interval": (drift.low, drift.high)} if drift.found else {"measured": None}
