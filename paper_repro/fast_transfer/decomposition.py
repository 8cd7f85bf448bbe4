"""Why transfer is fast: a few components of the trajectory are the same at every width and fix the best rate.

Ghosh, Wu and Bietti (arXiv 2512.22768, Figures 1 and 6 to 10) train a language model; here a two-layer ReLU network learns 32 classes
of Gaussian inputs of falling variance, with momentum SGD, every batch fresh. `llama` has a language model, for a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..claims import NOT_REPRODUCED, Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .decomposition_panels import draw
from .parts import Parts
from .study import Study, measure

FIGURE, SOURCE = "fast-transfer/decomposition", "arXiv 2512.22768, Hypothesis 1"
TOP, BEYOND = 8, 16
LAPTOP = Study(
    "sgd", "graded", (-6, -2), (32, 64, 128, 256, 512), hidden=1, seeds=(0, 1, 2), steps=800, batch=128, average=(20, 200, 1, 3, 300)
)


@dataclass(frozen=True)
class Settings:
    """The study, and how its averages are switched off for the negative control (at one width)."""

    study: Study
    raw: Study


def _settings(study: Study) -> Settings:
    return Settings(study, replace(study, widths=study.widths[1:2], seeds=study.seeds[:1], average=(1, 1, 1, 1, 1)))


PRESETS = {
    "smoke": _settings(replace(LAPTOP, widths=(16, 32, 64), seeds=(0, 1), steps=80, spacing=1.0, average=(5, 20, 1, 3, 30))),
    "laptop": _settings(LAPTOP),
    "gpu": _settings(replace(LAPTOP, widths=(64, 128, 256, 512, 1024, 2048), seeds=(0, 1, 2, 3), spacing=0.25, device="cuda")),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Train and take apart every width, rate and seed."""
    settings = PRESETS[preset]
    frame = measure(settings.study, store_home=store_home, progress=progress)
    raw = measure(settings.raw, store_home=store_home, progress=progress)
    parts = Parts.of(frame)
    cuts = tabulate(parts)
    images = draw(frame, parts, cuts, out / "decomposition")
    found = claims(parts, Parts.of(raw), cuts)
    return Result(FIGURE, untested(found) if preset == "smoke" else found, images, {"truncations": cuts})


def tabulate(parts: Parts) -> pd.DataFrame:
    """For every width but the largest: where Algorithm 2 cuts, how much is left of the difference, and both bounds on the optimum."""
    rows = []
    for i, width in enumerate(parts.widths[:-1]):
        pair, kappa = parts.truncated(i)
        whole = np.full(parts.points.size, pair.finite.shape[1])
        row = {"width": width, "found": kappa is not None, "gap": abs(parts.best[i] - parts.best[-1]), "trivial": pair.bound(whole)}
        cut = whole if kappa is None else kappa
        row |= {"bound": pair.bound(cut) if kappa is not None else np.nan, "kappa": cut.tolist()}
        row["difference"] = float(np.abs(pair.finite[:, -1] - pair.limit[:, -1]).max())
        rows.append({**row, "top difference": float(np.abs(np.subtract(*pair.top(cut))).max())})
    return pd.DataFrame(rows)


def claims(parts: Parts, raw: Parts, cuts: pd.DataFrame) -> tuple[Claim, ...]:
    """The linearisation, the top, the tail, the truncation and the bound."""
    n, large = int(parts.widths[0]), int(parts.widths[-1])
    found = [
        Claim(
            f"{FIGURE}/linear",
            "Along the average the loss falls by its linearised part, up to the best rate: largest relative error",
            "arXiv 2512.22768, Figure 7",
            "published",
            0.0,
            0.05,
            "a left-point sum misses half of the curvature of every step: 1 to 3 % in the dossier's own runs of this size",
            Control("without an average, at one width", raw.error()),
            *parts.estimate(Parts.error),
            relation="<=",
        ),
        Claim(
            f"{FIGURE}/top",
            f"Of what width {large} gains over {n}, the first {TOP} components have no more than a third (0 as published)",
            SOURCE,
            "published",
            0.0,
            1 / 3,
            "published for a language model: 0.07 of 0.82 with 60 components; up to a third the tail has the larger part",
            Control(f"the first {BEYOND}", *parts.estimate(lambda p: p.share(BEYOND))),
            *parts.estimate(lambda p: p.share(TOP)),
            relation="<=",
        ),
    ]
    drift, interval = parts.estimate(Parts.drift)
    text = f"The best rate stands still from width {n} to {large} (momentum SGD)"
    reason = "a quarter of an octave over the four doublings, half the spacing of the grid"
    moved = Control("a fall of half an octave per doubling in its place", expected=-0.5)
    found.append(
        Claim(f"{FIGURE}/drift", text, SOURCE, "published", 0.0, 0.125, reason, moved, drift, interval, unit="octaves per doubling")
    )
    return (*found, *bound_claims(parts, cuts))


def bound_claims(parts: Parts, cuts: pd.DataFrame) -> list[Claim]:
    """The bound of Appendix B.5, and whether what Algorithm 2 leaves is the same at every width."""
    usable = cuts[cuts["found"]]
    least = float((usable["bound"] / usable["gap"]).min()) if len(usable) else None
    text = "The optimum is no farther from the largest width's than the bound t_n: least ratio"
    swap = Control("the bound in the other direction: gap over bound", None if least is None else 1 / least)
    first = Claim(
        f"{FIGURE}/bound",
        text,
        "widelimit.theory.truncation; arXiv 2512.22768, Appendix B.5",
        "prediction",
        1.0,
        0.0,
        "a theorem for convex curves; splines through the grid stand in for them",
        swap,
        least,
        relation=">=",
    )
    left = float((cuts["top difference"] / cuts["difference"]).median())
    second = Claim(
        f"{FIGURE}/invariant",
        "Cut by Algorithm 2, the top curves of two widths differ by less than half of what the whole curves do",
        SOURCE,
        "published",
        0.0,
        0.5,
        "median over widths of the largest differences; half is what would make the top the smaller part",
        Control(f"the first {TOP} at the best rate alone, of the smallest width and the largest", abs(parts.share(TOP))),
        left,
        relation="<=",
        on_record=NOT_REPRODUCED,
        record_reason="the smallest flatness at which the top is convex and keeps the minimiser asks for most components here",
    )
    return [first, second]
