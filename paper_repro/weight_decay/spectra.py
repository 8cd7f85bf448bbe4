"""Gains over time and spectra for six pairs of rate and decay of a LLaMA-like model (arXiv 2510.15262, Figure 1).

In the steady state of AdamW every singular value is ``sqrt(rate / decay)`` times a shape, if gradients are mostly noise; a signal that
persists would be as large as ``1 / decay``. Pairs with the same quotient, and both changed apart, tell the two laws apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..claims import Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .llama import BETAS, Study, followed, spaced_looks
from .pairs import LEVEL, PAIRS, PUBLISHED, SLOW, TERMS, Runs, place
from .spectra_panels import draw
from .steady import Array, Followed, fit_powers, over_seeds

FIGURE, SOURCE = "weight-decay/spectra", "arXiv 2510.15262, Figure 1"
HALVED = (("half", "decay x 1/2", "base"), ("double", "base", "decay x 2"))
WORDS = {"gain": "gain", "top singular value": "top"}


@dataclass(frozen=True)
class Settings:
    """A model, the base pair, and at how many updates it is looked at: spaced logarithmically, and evenly."""

    study: Study
    rate: float = 2.0**-6
    decay: float = 0.25
    looks: tuple[int, int] = field(default=(10, 12))


PRESETS = {
    "smoke": Settings(Study((16,), blocks=1, positions=16, steps=60, warmup=4, seeds=(0, 1), validation=4), looks=(4, 4)),
    "laptop": Settings(Study((64,))),
    "gpu": Settings(
        Study((512,), blocks=4, positions=256, batch=16, steps=4000, warmup=400, validation=8, precision="bf16", device="cuda"),
        2.0**-8, 0.5, (10, 16),
    ),
}  # fmt: skip


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Follow the matrices under all pairs."""
    settings = PRESETS[preset]
    frame = measure(settings, store_home=store_home, progress=progress)
    runs = Runs(settings.rate, settings.decay, Followed(frame, "pair", tuple(PAIRS)))
    claims = tuple(make_claims(runs))
    images = draw(runs, out / "spectra")
    tables = {"pairs": runs.tabulate(), "matrices": runs.tabulate_kinds()}
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, images, tables)


def measure(settings: Settings, *, store_home: Path, progress: Progress) -> pd.DataFrame:
    """An ensemble for every rate; the column ``pair`` is one of `PAIRS`."""
    study, looks = settings.study, spaced_looks(settings.study.steps, *settings.looks)
    decays: dict[float, list[float]] = {}
    for rate, decay in PAIRS.values():
        decays.setdefault(settings.rate * rate, []).append(settings.decay * decay)
    ensembles = [study.ensemble(study.widths[0], (rate,), own, case=f"llama, rate {rate:g}") for rate, own in decays.items()]
    frame = followed(ensembles, looks, store_home=store_home, device=study.usable_device, progress=progress)
    names = {(settings.rate * rate, settings.decay * decay): name for name, (rate, decay) in PAIRS.items()}
    return frame.assign(pair=[names[own] for own in zip(frame["hp.learning_rate"], frame["hp.weight_decay"], strict=True)])


def make_claims(runs: Runs) -> Iterator[Claim]:
    """Ratios at different quotients, agreement at the same one, shapes, relaxation and rotation."""
    rival = Control("the law of a signal that persists, 1 / decay", expected=2.0)
    for term, name, first, second in [(t, *p) for t in TERMS for p in HALVED]:
        published = PUBLISHED[first][TERMS.index(term)] / PUBLISHED[second][TERMS.index(term)]
        text = f"Half the decay multiplies the {term} of feed-forward matrices by 1.41: {first} over {second} (published: {published:.2f})"
        reason = "1.3 to 1.55: the published ratios are 1.42 to 1.49, read off to three per cent"
        yield _claim(f"{WORDS[term]}-{name}", text, (1.425, 0.125, reason), rival, runs.ratio(term, first, second))
    for term in TERMS:
        away = Control("two pairs whose quotients differ fourfold", *over_seeds(runs.range(term, ("decay x 1/2", "decay x 2"))))
        text = f"One quotient, one {term}: the largest over the smallest of four pairs, corrected for rates that are not small"
        reason = "published: 1.14 for gains (2.38 to 2.72) and 1.15 for singular values, read off to three per cent each"
        yield _claim(f"{WORDS[term]}-level", text, (1.14, 0.06, reason), away, runs.range(term, LEVEL, finite=True), relation="<=")
    away = Control("spectra that are not divided", *over_seeds(runs.apart(("decay x 1/2", "decay x 2"), scaled=False)))
    reason = "ratios of the published spectra differ by 4 to 8 per cent from the root of 2 at places 1, 10, 100 and 300"
    yield _claim("collapse", "Spectra over the root of rate / decay are one curve: largest distance from the base's, root mean square of "
                 "the logarithm", (0.0, 0.12, reason), away, runs.apart(tuple(PAIRS)), relation="<=")  # fmt: skip
    yield from _exponent_claims(runs)
    yield from _motion_claims(runs)


def _exponent_claims(runs: Runs) -> Iterator[Claim]:
    """Both exponents of the law, from all six pairs at once."""
    for term in TERMS:
        for i, (name, half, other) in enumerate((("rate", 0.5, 0.0), ("decay", -0.5, -1.0))):
            text = f"The {term} of feed-forward matrices goes with the {name} to the power {half:+g}, the other one fixed"
            reason = "the published pairs give +0.53 and -0.53 (gain), +0.53 and -0.55 (singular value); half the way to the rival is 0.25"
            control = Control("a signal that persists, 1 / decay", expected=other)
            yield _claim(f"{WORDS[term]}-{name}", text, (half, 0.12, reason), control, runs.exponents(term)[i])


def _motion_claims(runs: Runs) -> Iterator[Claim]:
    """How fast the initial values are forgotten, and how fast a matrix turns."""
    slow = [place(name) for name in SLOW]
    paces, products = np.log(runs.paces[slow]), runs.products[slow]
    text = "The squared gain relaxes at 2 rate decay per update: that pace, fitted, over the law's (geometric mean of four pairs)"
    reason = "published: 3.4e-4 to 4.2e-4 fitted for one product, 11 per cent either way, and 7 per cent errors of points"
    four = Control("the law with rate decay, as of the gain itself", expected=0.5)
    yield _claim("pace", text, (1.0, 0.25, reason), four, np.exp(paces.mean(axis=0)))
    text = "and in proportion to their product: power of rate times decay in the fitted pace"
    none = Control("a time that does not depend on the decay", expected=0.5)
    yield _claim(
        "pace-power", text, (1.0, 0.2, "four pairs over a factor of 8; 11 per cent of each pace are 0.15 in the power"), none,
        fit_powers(paces + np.log(products)[:, None], products)[0]
    )
    text = "A matrix turns by sqrt(2 rate decay (1 - b1) / (1 + b1)) per update: measured over that (geometric mean of all pairs)"
    plain = Control("without momentum: sqrt(2 rate decay)", expected=float(np.sqrt((1 + BETAS[0]) / (1 - BETAS[0]))))
    source = "arXiv 2305.17212 (rotational equilibrium), with Adam's average"
    turns = np.exp(np.log(runs.turns).mean(axis=0))
    yield _claim(
        "rotation", text, (1.0, 0.15, "gradients that are not independent: five per cent in noise alone"), plain, turns, source=source
    )


def _claim(
    name: str, text: str, expected: tuple[float, float, str], control: Control, values: Array, *, source: str = SOURCE, **more
) -> Claim:
    """A published statement about one number of every seed."""
    return Claim(f"{FIGURE}/{name}", text, source, "published", *expected, control, *over_seeds(values), **more)
