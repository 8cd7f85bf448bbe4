"""How singular values and gains grow with the width of a LLaMA-like model, and which rule for the decay keeps the best rate in place.

arXiv 2510.15262 observes that the largest singular value over the root of rate / decay grows as ``d^0.75``, and scales the decay of
matrices by ``sqrt(d)`` beside rates of ``1/d``. Here the powers are measured for every kind of matrix, where rate times decay is the same
at all widths (all are equally stationary), beside what stable ranks of the same runs predict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...figures.fit import Drift
from ...synthetic.engines import Engine, Local
from ...synthetic.store import Store
from ..claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Claim, Control, untested
from ..papers import Progress
from ..results import Result
from ..sweeping import run_sweep
from .language_panels import draw
from .llama import KINDS, RULES, Study, followed
from .settled import LATE, Estimate, over_seeds
from .tuning import Tuned, Tuning
from .widths import MEASURED, WAYS, Widths, flag

FIGURE, SOURCE = "weight-decay/language", "arXiv 2510.15262"
CHEVET = "Chevet's inequality for independent gradients (widelimit.paper_repro.weight_decay.widths)"
LOOKS = 4  # late ones, evenly spaced, besides the first
NEAR = 0.05  # of the published power


@dataclass(frozen=True)
class Settings:
    """Matrices of several widths at one rate and decay of the smallest; losses at others; the width from which powers are claimed."""

    study: Study
    rate: float
    decay: float
    tuning: Tuning
    wide: int = 512


_SMALL = Study((16, 32), blocks=1, positions=16, steps=60, warmup=4, seeds=(0, 1), validation=4)
_GPU = {"positions": 256, "batch": 16, "warmup": 200, "precision": "bf16", "device": "cuda"}
PRESETS = {  # gpu: about five minutes by operations (15 PFLOP); not measured
    "smoke": Settings(_SMALL, 2.0**-5, 2.0, Tuning(_SMALL, 2.0**-5, 1.0, (-1.0, 1.0), (-1.0, 1.0))),
    "laptop": Settings(
        Study((32, 64, 128), positions=16, batch=8, steps=1000),
        0.025,
        0.075,
        Tuning(
            Study((16, 32, 64), blocks=1, positions=16, batch=8, steps=800, schedule="stable-decay", validation=64),
            rate=2.0**-5,
            decay=0.25,
            rates=(-3.0, 1.0),
            decays=(-6.0, 0.0),
        ),
    ),
    "gpu": Settings(
        Study((128, 256, 512, 1024), steps=2000, validation=8, **_GPU),
        2.0**-8,
        0.3,
        Tuning(
            Study((128, 256, 512), steps=1000, schedule="stable-decay", validation=32, seeds=(0, 1), **_GPU),
            rate=2.0**-8,
            decay=0.5,
            rates=(-3.0, 2.0),
            decays=(-5.0, 1.0),
        ),
    ),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Follow matrices at all widths, then sweep rates and decays."""
    settings = PRESETS[preset]
    study, tuning = settings.study, settings.tuning
    ensembles = [study.ensemble(n, (settings.rate,), (settings.decay,)) for n in study.widths]
    looks = (0, *np.linspace(LATE * study.steps, study.steps, LOOKS).astype(int).tolist())
    frame = followed(ensembles, looks, MEASURED, store_home=store_home, device=study.usable_device, progress=progress)
    widths = Widths(flag(frame), settings.rate, settings.decay)
    device = tuning.study.usable_device
    tuned = Tuned(tuning, run_sweep(FIGURE, tuning.plan, Store(store_home), device=device, engine=engine or Local(), progress=progress))
    claims = tuple(make_claims(settings, widths, tuned))
    tables = {"powers": widths.tabulate(), "predictions": compare(widths), "losses": tabulate(tuned), "stationary": count(widths, tuned)}
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, draw(widths, tuned, out / "language"), tables)


def compare(widths: Widths) -> pd.DataFrame:
    """How far the powers of all kinds are from each prediction, in the mean; also from laws that hold for every kind."""
    laws = {"noise without directions": 0.5, "published": 0.75, "one direction": 1.0}
    rows = []
    for way, models in (("top", WAYS[1:3]), ("gain", WAYS[4:])):
        for name, model in {**{m: m for m in models}, **laws}.items():
            value, (low, high) = _distance(widths, way, model)
            rows.append({"power of": way, "prediction": name, "mean distance": value, "low": low, "high": high})
    return pd.DataFrame(rows)


def tabulate(tuned: Tuned) -> pd.DataFrame:
    """Of every rule the best rates, how they drift, and the loss at the largest width with the smallest one's best rate."""
    shots, rows = tuned.zero_shot(), []
    for rule, power in RULES.items():
        drift, (loss, (low, high)) = tuned.drift(rule), over_seeds(shots[rule])
        rows.append(
            {"rule": f"decay ~ n^{power}", **_drift_row(drift), "zero-shot loss over the best": loss, "loss low": low, "loss high": high}
        )
    return pd.DataFrame([*rows, {"rule": "best decay at one rate: its power", **_drift_row(tuned.power)}])


def _drift_row(drift: Drift) -> dict[str, object]:
    optima = " ".join(f"{o:.2f}" for o in drift.optima)
    return {"drift": drift.value, "low": drift.low, "high": drift.high, "log2 of the optima": optima, "problem": drift.problem}


def count(widths: Widths, tuned: Tuned) -> pd.DataFrame:
    """How many matrices and runs have not forgotten their initial values; the former are left out of the powers."""
    total, excluded = widths.counts
    last = tuned.last
    rows = [{"what": "matrices followed, for powers", "all": total, "not stationary": excluded}]
    rows += [{"what": f"{case} (losses, none left out)", "all": len(own), "not stationary": int((~own["stationary"]).sum())}
             for case, own in last.groupby("case")]  # fmt: skip
    return pd.DataFrame(rows)


def make_claims(settings: Settings, widths: Widths, tuned: Tuned) -> Iterator[Claim]:
    """Powers of the width, measured and predicted; drifts of the best rate; the power of the best decay."""
    yield from _prediction_claims(widths)
    large = settings.study.widths[-1] >= settings.wide
    published = tuple(_published_claims(widths, tuned))
    yield from published if large else untested(published)


def _prediction_claims(widths: Widths) -> Iterator[Claim]:
    """What stable ranks, participation ratios and slopes of spectra of the same runs say."""
    for way, model, name in (("top", WAYS[1], "largest singular values"), ("gain", WAYS[4], "gains")):
        text = f"Powers of the width of {name} are those that {model.removeprefix(way + ' from ')} of the same runs predict"
        miss, flat = _distance(widths, way, model), _distance(widths, way, 0.5)
        control = Control("the power 1/2 of noise without directions", *flat)
        reason = "mean distance over kinds of matrices; the bound misses powers of pure noise by 0.02 to 0.06 (widths 64 to 512)"
        yield _claim(f"mechanism-{way}", text, (0.0, 0.1, reason), control, miss, relation="<=", source=CHEVET, on_record=REPRODUCED)
    text = "Powers of the width of largest singular values are 1/2 plus the slope of the spectrum at the largest width"
    why = "spectra are no powers of the place: one or two values stand out, and the rest falls too steeply from place 20 on"
    control = Control("the stable ranks of the same runs", *_distance(widths, "top", WAYS[1]))
    reason = "mean distance over kinds of matrices, as for stable ranks"
    miss = _distance(widths, "top", WAYS[2])
    record: dict[str, Any] = {"on_record": NOT_REPRODUCED, "record_reason": why}
    yield _claim(
        "slope", text, (0.0, 0.1, reason), control, miss, relation="<=", source="covariances that are powers of the place", **record
    )


def _distance(widths: Widths, way: str, model: str | float) -> Estimate:
    """Mean over kinds of the distance between powers, from every seed."""
    predicted = lambda kind: widths.powers(model, kind) if isinstance(model, str) else model  # noqa: E731
    return over_seeds(np.mean([np.abs(widths.powers(way, kind) - predicted(kind)) for kind in KINDS], axis=0))


def _published_claims(widths: Widths, tuned: Tuned) -> Iterator[Claim]:
    """Of the paper, and of its rivals."""
    powers = np.array([widths.powers("top", kind) for kind in KINDS])
    found = over_seeds(np.median(powers, axis=0))
    text = "The largest singular value over the root of rate / decay grows as d^0.75: median over kinds of matrices"
    reason = "0.70 to 0.80: beyond, sqrt(d) leaves a drift of more than 0.1 octaves per doubling in the largest singular value"
    planted = abs(found[0] - 0.75) > NEAR
    control = Control("planted: d^0.75", 0.75, (0.75, 0.75)) if planted else Control("noise without directions: d^0.5", expected=0.5)
    yield _claim("top", text, (0.75, NEAR, reason), control, found)
    text = "All kinds of matrices grow alike: largest minus smallest power (one rule for the decay cannot keep them all otherwise)"
    spread = over_seeds(np.ptp(powers, axis=0))
    control = Control("planted: all alike", 0.0, (0.0, 0.0)) if spread[0] > 0.2 else Control("noise beside one direction", 0.5, (0.5, 0.5))
    yield _claim("alike", text, (0.0, 0.2, "0.2 are 0.4 in the power of the decay, nearly the whole rule"), control, spread, relation="<=")
    yield _drift_claim("drift", "With decay ~ sqrt(d) and rate ~ 1/d the best rate stays: octaves per doubling", tuned.drift("root"), 0.0)
    yield _drift_claim("power", "The best decay grows as sqrt(d): power of the width", tuned.power, 0.5)
    shots = tuned.zero_shot()
    worse = shots["root"] - np.min([shots["constant"], shots["linear"]], axis=0)
    text = "Zero-shot loss at the largest width: decay ~ sqrt(d) less the better of constant and ~ d, nats a character"
    control = Control("the two sides exchanged", *over_seeds(-worse))
    yield _claim("zero-shot", text, (0.0, 0.0, "only the sign is claimed"), control, over_seeds(worse), relation="<=")


def _drift_claim(name: str, text: str, drift: Drift, expected: float) -> Claim:
    """The slope of an optimum; none where one lies on its grid's edge."""
    found = (None, None) if drift.problem else (drift.value, (drift.low, drift.high))
    away = 0.5 if found[0] is not None and found[0] > expected else -0.5
    control = Control("half an octave per doubling farther, in the direction that was found", expected=expected + away)
    return _claim(name, text, (expected, 0.25, "a quarter octave per doubling; a step of the grid over four doublings"), control, found)


def _claim(name: str, text: str, expected: tuple[float, float, str], control: Control, found: Any, **more: Any) -> Claim:
    """A published statement; about most of them nothing is on record."""
    found = found if found[0] is not None and np.isfinite(found[0]) else (None, None)
    fields = {"source": SOURCE, "kind": "published", "on_record": NOT_TESTED, **more}
    value, tolerance, reason = expected
    return Claim(
        f"{FIGURE}/{name}", text, expected=value, tolerance=tolerance, reason=reason, control=control, measured=found[0], interval=found[1],
        **fields,
    )  # fmt: skip
