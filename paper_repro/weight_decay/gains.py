"""Trained networks: exponents of top singular values and gains of all matrices, beside those of noise with the same correlations.

All widths have the same product of rate and decay, so that all matrices are as stationary; ``sqrt(eta / lambda)`` is divided out.
A matrix that is noise has the cosine 1/e with itself after ``1 / (eta lambda)`` updates, and one of them turns it by
``sqrt(2 eta lambda (1 - beta1) / (1 + beta1))``; what persists, or is driven back by the loss and not by decay, does otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from ..claims import untested
from ..papers import Progress
from ..results import Result
from .gains_claims import FIGURE, PAIRS, make_claims, mean
from .gains_panels import draw
from .slopes import local_slopes, slope
from .study import Followed, Study

PRESETS = {
    "smoke": Study(("S1", "S2"), (8, 16, 32), 2, 100, 16, 0.05, base=16, batch=32, warmup=10),
    "laptop": Study(),
    "gpu": Study(widths=(32, 64, 128, 256, 512), seeds=8, steps=900, device="cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Train every setting at every width, follow its matrices, compare exponents."""
    study = PRESETS[preset]
    device = "cuda" if study.device == "cuda" and torch.cuda.is_available() else "cpu"
    followed = Followed(pd.concat(study.train(store_home=store_home, device=device, progress=progress), ignore_index=True), study)
    if followed.excluded:
        progress(f"gains: {followed.excluded} runs are not stationary enough or diverged, and are left out")
    table, claims = exponents(followed), make_claims(followed)
    images = draw(followed, table, out / "gains")
    columns = [c for c in followed.whole.columns if c != "timescale"]
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, images, {"exponents": table, "runs": followed.whole[columns]})


def exponents(followed: Followed) -> pd.DataFrame:
    """One row per setting, matrix and quantity: measured, expected of noise, and from stable ranks or participation ratios alone.

    ``rule`` is the power of the width with which decay has to grow, beside rates of 1/n, for the quantity to stay.
    """
    rows = []
    for kind in followed.kinds:
        for term, expected in PAIRS:
            found = mean(followed.slopes(*kind, term))
            widths, ratios = followed.logs(*kind, "participation in", scaled=False)
            simple = followed.bound(*kind) if term == PAIRS[0][0] else 1 - slope(widths, ratios) / 2
            rows.append({
                "setting": kind[0], "weight": kind[1], "term": term, "exponent": found.value, "low": found.interval[0],
                "high": found.interval[1], "rule": 2 * found.value - 1, "noise": mean(followed.slopes(*kind, expected)).value,
                "ranks": float(simple.mean()), "persists": float(followed.persistence(*kind).mean()),
                "rotation": float(followed.rotation(*kind).mean()),
                **dict(zip(("in rate", "in decay"), (float(p.mean()) for p in followed.powers(*kind, term)), strict=True)),
                "local": " ".join(f"{s:.2f}" for s in local_slopes(*followed.logs(*kind, term)).mean(0)),
                "is noise": kind in followed.noise,
            })  # fmt: skip
    return pd.DataFrame(rows)
