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

import numpy as np
import pandas as pd

from ...synthetic.engines import Engine
from ..claims import NOT_REPRODUCED, Claim, Control, untested
from ..core.transfer_claims import Sweep, transfer_penalty
from ..papers import Progress
from ..results import Result
from .networks import START, tables
from .rates_panels import draw
from .study import PRESETS as STUDIES
from .study import Scan, Study, measure

FIGURE, PAPER = "moe/rates", "arXiv 2605.14200"
PRESETS = STUDIES
NAMES = {"sgd": "SGD", "adam": "Adam"}
COLUMNS = ["case", "config", "seed", "size.n", "hp.learning_rate", "value", "diverged_at"]
Sweeps = Mapping[tuple[str, str], Sweep]
COST = 0.1
"""Relative excess of the loss: two standard errors of a mean of four seeds are 0.04, a factor of 2^(1/2) in the rate costs up to 0.04."""
RECORDS: dict[str, tuple[str, str]] = {}


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
    lost = {scan.optimizer: sweeps[scan.case, "mup-zero"] for scan in study.scans if (scan.regime, scan.base) == ("II", "slow")}
    for scan in study.scans:
        for claim in (*_kept(scan, sweeps, lost[scan.optimizer]), *_lost(scan, sweeps, lost[scan.optimizer])):
            name = f"{scan.regime}-{scan.optimizer}-{scan.base}-{claim.id}"
            verdict, reason = RECORDS.get(name, (claim.on_record, claim.record_reason))
            yield replace(claim, id=f"{FIGURE}/{name}", on_record=verdict, record_reason=reason)


def _kept(scan: Scan, sweeps: Sweeps, lost: Sweep) -> Iterator[Claim]:
    """Under maximal scale stability the rate of the smallest network is that of the largest."""
    sweep = sweeps[scan.case, "mssp"]
    where = f"in regime {scan.regime} with {NAMES[scan.optimizer]}, {scan.base}"
    weight, power = _largest_power(scan)
    raw = replace_rates(sweep, power)
    yield Claim(
        "drift",
        f"The best rate stands still under MSSP ({where})",
        f"widelimit.theory.derive (mssp); {PAPER}",
        "prediction",
        0.0,
        0.25,
        "one octave over four doublings: two neighbours of the grid; exponents are multiples of 1/2",
        Control(f"the same optima as rates of `{weight}` itself, which the table scales as n^{power:g}", raw[0], raw[1:]),
        sweep.drift.value if sweep.drift.found else None,
        (sweep.drift.low, sweep.drift.high) if sweep.drift.found else None,
        unit="octaves per doubling",
    )
    yield _cost(scan, sweeps, "mssp", "cost", Control("muP with a readout at zero in regime II, slow", *lost.estimate(transfer_penalty)))


def _lost(scan: Scan, sweeps: Sweeps, lost: Sweep) -> Iterator[Claim]:
    """Under muP it is not, with many experts; where weights are balanced, it is."""
    slow, many = scan.base == "slow", scan.regime != "I"
    for config in ("mup", "mup-zero"):
        own = sweeps[scan.case, config].estimate(transfer_penalty)
        if not (slow and many):
            yield _cost(scan, sweeps, config, f"cost-{config}", Control("the same in regime II, slow", *lost.estimate(transfer_penalty)))
        if many:
            yield Claim(
                f"fails-{config}",
                f"Under {START[config]} the rate tuned for the smallest network costs the largest more than {2 * COST:.0%} of its loss "
                f"(regime {scan.regime}, {NAMES[scan.optimizer]}, {scan.base})",
                f"{PAPER}, learning-rate figures",
                "published",
                2 * COST,
                0.0,
                "twice what errors and the grid explain",
                Control("MSSP", *sweeps[scan.case, "mssp"].estimate(transfer_penalty)),
                *own,
                ">=",
            )


def _cost(scan: Scan, sweeps: Sweeps, config: str, name: str, control: Control) -> Claim:
    sweep = sweeps[scan.case, config]
    value, interval = sweep.estimate(transfer_penalty)
    return Claim(
        name,
        f"The rate tuned at n = {sweep.widths[0]:g} costs n = {sweep.widths[-1]:g} no more than {COST:.0%} of its loss under {START[config]} "
        f"(regime {scan.regime}, {NAMES[scan.optimizer]}, {scan.base})",
        f"widelimit.theory.derive; {PAPER}",
        "prediction",
        0.0,
        COST,
        "two standard errors of the loss are 0.04 of it, half an octave in the rate costs 0.04",
        control,
        value,
        interval,
        "<=",
    )


def _largest_power(scan: Scan) -> tuple[str, float]:
    """The weight whose rate the table of the scan scales most, and its power."""
    powers = {row.weight: float(row.learning_rate["scale"]) for row in tables(scan.regime, scan.optimizer)["mssp"].rows}
    return max(powers.items(), key=lambda item: abs(item[1]))


def replace_rates(sweep: Sweep, power: float) -> tuple[float, float, float]:
    """The drift and its interval in units of a rate that grows as this power of the size."""
    drift = sweep.drift
    return drift.value + power, drift.low + power, drift.high + power
