"""Easy samples transfer, hard ones do not: digits ordered by the components that serve them, momentum SGD.

A sample's mean component index says how far down the spectrum its loss is served (Ghosh, Wu and Bietti, arXiv 2512.22768, Figures 14
to 16, on CIFAR-10). The index is that of one network; the sweeps are those of every width, evaluated on the samples with the
lowest and the highest indices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..claims import NOT_TESTED, Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .parts import Parts, drift_claim, tabulate_optima
from .samples_panels import draw
from .study import Study, measure

FIGURE, SOURCE = "fast-transfer/samples", "arXiv 2512.22768"
EASY, HARD = 0.25, 0.05
LAPTOP = Study("sgd", "digits", (-6, -2), (32, 64, 128, 256), seeds=(0, 1, 2))


@dataclass(frozen=True)
class Settings:
    """The sweep, the rate (log2) at which samples are taken apart, and the width whose indices order them."""

    study: Study
    rate: float = -4.0
    width: int = 64

    @property
    def indexed(self) -> Study:
        """One rate, taken apart by samples."""
        return replace(self.study, octaves=(self.rate, self.rate), samplewise=True)


PRESETS = {
    "smoke": Settings(replace(LAPTOP, widths=(16, 32, 64), seeds=(0, 1), steps=60, spacing=1.0, average=(5, 20, 1, 2, 30)), width=32),
    "laptop": Settings(LAPTOP),
    "gpu": Settings(replace(LAPTOP, widths=(64, 128, 256, 512, 1024, 2048), seeds=tuple(range(8)), spacing=0.25, device="cuda"), width=128),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Take samples apart at one rate, and evaluate the sweeps on the easy and on the hard ones."""
    settings = PRESETS[preset]
    frame = measure(settings.study, store_home=store_home, progress=progress)
    indexed = measure(settings.indexed, store_home=store_home, progress=progress)
    centres = indexed[indexed["term"] == "centre"].pivot(index=["size.n", "seed"], columns="sample", values="value")
    order = np.asarray(centres.loc[(settings.width, settings.study.seeds[0])], float).argsort()
    chosen = {"all": order, "easy": order[: round(EASY * order.size)], "hard": order[-round(HARD * order.size) :]}
    parts = {name: on_samples(frame, samples) for name, samples in chosen.items()}
    overlaps = overlap(centres)
    images = draw(centres, settings.width, parts, overlaps, out / "samples")
    tables = {"optima": tabulate_optima(parts, "samples"), "overlaps": overlaps}
    found = (samples_claim(parts, "easy"), samples_claim(parts, "hard"), overlap_claim(overlaps))
    return Result(FIGURE, untested(found) if preset == "smoke" else found, images, tables)


def on_samples(frame: pd.DataFrame, samples: np.ndarray) -> Parts:
    """The sweep with its losses evaluated on some of the validation samples."""
    whole = Parts.of(frame)
    rows = whole.rows(frame)
    rows = rows[(rows["term"] == "sample loss") & rows["sample"].isin(samples)]
    table = rows.groupby(["seed", "size.n", "hp.learning_rate"])["value"].mean().unstack(["size.n", "hp.learning_rate"]).sort_index(axis=1)
    return replace(whole, losses=table.to_numpy().reshape(whole.losses.shape))


def overlap(centres: pd.DataFrame) -> pd.DataFrame:
    """Shared part of the hardest and of the easiest twentieth between widths, a mean over pairs of different seeds."""
    rows = []
    order = {key: row.to_numpy().argsort() for key, row in centres.iterrows()}
    count = round(HARD * centres.shape[1])
    widths = sorted(set(centres.index.get_level_values("size.n")))
    for which, cut in (("easiest", slice(None, count)), ("hardest", slice(-count, None))):
        for a in widths:
            for b in widths:
                pairs = [
                    len(set(order[a, s][cut]) & set(order[b, t][cut])) / count
                    for s in set(centres.index.get_level_values("seed"))
                    for t in set(centres.index.get_level_values("seed"))
                    if s != t
                ]
                rows.append({"which": which, "width": a, "other width": b, "overlap": float(np.mean(pairs))})
    return pd.DataFrame(rows)


def samples_claim(parts: dict[str, Parts], name: str) -> Claim:
    """The published drift of the best rate on these samples."""
    published = {"easy": -0.05, "hard": -0.26}[name]
    part = {"easy": f"easiest {EASY:.0%}", "hard": f"hardest {HARD:.0%}"}[name]
    text = f"On the {part} of the samples the best rate drifts by {published} octaves per doubling (digits, momentum SGD)"
    other = Control("a fall of half an octave per doubling in its place", expected=-0.5)
    if name == "hard":
        other = Control("that of the easy samples", *parts["easy"].estimate(Parts.drift))
    reason = "one step of the grid, half an octave, over three doublings; published best rates at widths 128 to 4096 of CIFAR-10"
    found = parts[name].estimate(Parts.drift)
    return drift_claim(f"{FIGURE}/drift-{name}", text, f"{SOURCE}, Figure 16", (published, 0.17, reason), control=other, found=found)


def overlap_claim(overlaps: pd.DataFrame) -> Claim:
    """The hardest samples are largely the same at the smallest and the largest width."""
    apart = overlaps[(overlaps["width"] == overlaps["width"].min()) & (overlaps["other width"] == overlaps["width"].max())]
    value = float(apart.loc[apart["which"] == "hardest", "overlap"].iloc[0])
    text = f"The hardest {HARD:.0%} at the smallest and the largest width share at least a third"
    reason = "published for CIFAR-10: 0.34 between widths 128 and 4096; 45 samples of 899 spread a share by 0.07"
    chance = Control("samples chosen at random", HARD)
    return Claim(
        f"{FIGURE}/overlap",
        text,
        f"{SOURCE}, Figure 14",
        "published",
        0.34,
        0.07,
        reason,
        chance,
        value,
        relation=">=",
        on_record=NOT_TESTED,
    )
