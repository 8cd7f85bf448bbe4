"""Beyond the papers: does the first-order response to width, seen at two or three small widths, say where the optimum of larger ones is?

The rule is the general local rule of Sakai and Imaizumi (2026), `theory.forecast`; the cases are those of ``widelimit transfer``. It is
scored against two baselines: the optimum of the largest width seen (`no drift`), and the line through the last two (in log2 of the
width). Where networks are random, curves are averaged over them first: the response is then of order 1/n, since what fluctuates as
n^-1/2 averages out. Without stored runs the trained cases of `laptop` take five minutes of one core; the rest takes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...theory.curves import Curves
from ...theory.verdict import FAST
from ..cases import exact, trained
from ..papers import Progress
from ..results import Result
from .forecast_claims import FIGURE, MANY, planted_claims, score_claims, verdict_claims
from .forecast_panels import draw
from .forecast_score import FORECAST, Problem, judge, score, summarise

EXACT, TRAINED = tuple(exact.PRESETS), tuple(trained.PRESETS)
EXPONENTS = dict.fromkeys(EXACT, 1.0) | {"slow": 0.25, "deep-linear-sp": None}  # of the mean curve; SP has none
RECORDED = "laptop"
EARLY = "ridge from 8"  # the same problem at widths where the optimum still gathers speed


@dataclass(frozen=True)
class Settings:
    """Presets of the cases, which of them, and draws of the bootstrap over seeds."""

    preset: str
    cases: tuple[str, ...]
    draws: int


PRESETS = {
    "smoke": Settings("smoke", ("ridge", "slow", "shallow-linear", "single-eigenvalue", "deep-linear-sp"), 10),
    "laptop": Settings("laptop", (*EXACT, *TRAINED), 100),
    "gpu": Settings("gpu", (*EXACT, *TRAINED), 100),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Forecast every case from its two and its three smallest widths, and score it on the larger ones."""
    settings = PRESETS[preset]
    problems = list(pose(settings, store_home=store_home, progress=progress))
    runs = [(problem, seen) for problem in problems for seen in (2, 3) if problem.curves.sizes.size > seen]
    progress(f"{len(runs)} forecasts, {settings.draws} resamples each")
    scores = pd.concat([score(*run, draws=settings.draws) for run in runs], ignore_index=True)
    turned = turn(scores, [score(replace(p, curves=reverse(p.curves, seen)), seen, draws=0) for p, seen in runs])
    verdicts, summary = pd.DataFrame([judge(*run) for run in runs]), summarise(scores)
    claims = (*planted_claims(), *score_claims(scores, turned, on_record=preset == RECORDED), *verdict_claims(verdicts))
    images = draw(problems, summary, out / "forecast")
    return Result(FIGURE, claims, images, {"scores": summary, "verdicts": verdicts})


def pose(settings: Settings, *, store_home: Path, progress: Progress) -> Iterator[Problem]:
    """Every case's curves at all sizes, with the verdict from all of them."""
    for name in settings.cases:
        module = exact if name in EXACT else trained
        measured = module.measure(name, settings.preset, store_home=store_home, progress=progress)
        if name in EXACT:
            sizes = exact.PRESETS[name][settings.preset]
            curves = exact.sample(name, sizes.sizes, sizes.draws)
        else:
            curves = trained.as_curves(measured.frame, steep=True)
        yield Problem(name, curves, EXPONENTS.get(name), measured.verdict.kind, measured.expected)
    yield Problem(EARLY, exact.sample("ridge", tuple(2.0 ** np.arange(3, 11)), 1), 1.0, "", FAST)
    yield Problem(MANY, exact.sample("shallow-linear", tuple(2.0 ** np.arange(8, 13)), 600), 1.0, "", FAST)


def turn(scores: pd.DataFrame, reversed_scores: list[pd.DataFrame]) -> pd.DataFrame:
    """Forecasts that saw the small widths in reverse order, beside the baselines that saw them in order."""
    measured, wrong = scores[scores["draw"] == 0], pd.concat(reversed_scores, ignore_index=True)
    return pd.concat([wrong[wrong["method"] == FORECAST], measured[measured["method"] != FORECAST]], ignore_index=True)


def reverse(curves: Curves, seen: int) -> Curves:
    """The smallest sizes' losses in reverse order: the negative control."""
    return replace(curves, losses=np.concatenate([curves.losses[:, :seen][:, ::-1], curves.losses[:, seen:]], axis=1))
