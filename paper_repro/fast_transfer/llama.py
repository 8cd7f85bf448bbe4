"""Which optimizers transfer on a language model, and which components of their trajectories are the same at every width.

Ghosh, Wu and Bietti (arXiv 2512.22768, Figures 6, 11, 12, 24 and 25) train LLaMA-like models of widths 128 to 2048 on WikiText-103. Here
such models (RMSNorm, gated SiLU, rotary positions, four heads) read the characters of a committed text. Muon and Dion train the matrices
inside the blocks, Adam embedding, readout and gains at one rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..claims import NOT_TESTED, Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .llama_panels import NAMES, draw
from .parts import Found, Parts, difference
from .study import Study, measure

FIGURE, SOURCE = "fast-transfer/llama", "arXiv 2512.22768"
PUBLISHED = {  # of those that transfer, octaves per doubling: least squares through the best rates at widths 128 to 2048
    "adam": (0.0, "Figure 6"),
    "sgd": (0.0, "Hypothesis 1 (shown for CIFAR-10 alone)"),
    "dion bounded": (-0.03, "Figure 24"),
}
FALLING = {  # of those whose best rate falls: against what, the difference of the two drifts, and where it is shown
    "muon": ("adam", -0.31, "Figures 6 and 11"),
    "dion proportional": ("dion bounded", -0.24, "Figures 24 and 25"),
}
WIDE = 256  # published, the best rates that fall begin to fall beyond this width
OCTAVES = {"adam": (-8.5, -5.5), "sgd": (-3.5, -0.5), "muon": (-6.5, -3.5), "dion bounded": (-6.5, -3.5), "dion proportional": (-6.5, -3.5)}
UNIT = "octaves per doubling"


@dataclass(frozen=True)
class Settings:
    """A study for each optimizer, and how many components are the first: a little less than half of the smallest width's."""

    studies: dict[str, Study]
    top: int


def _all(top: int, **settings) -> Settings:
    common = {"network": "llama", "hidden": 1, "auxiliary": 2.0**-8, **settings}
    return Settings({name: Study(name, "corpus", octaves, **common) for name, octaves in OCTAVES.items()}, top)


PRESETS = {  # gpu: about eight minutes by operations (20 PFLOP, a quarter of them in full precision) and 3200 decompositions; not measured
    "smoke": _all(7, widths=(16, 32, 64), ranks=(4, 2), positions=16, steps=40, batch=8, spacing=1.0, average=(3.0, 12.0, 1.0, 4.0, 15)),
    "laptop": _all(7, widths=(16, 32, 64), ranks=(8, 2), positions=32, steps=100, batch=8, average=(5.0, 30.0, 1.0, 3.0, 30)),
    "gpu": _all(60, widths=(128, 256, 512, 1024), hidden=2, ranks=(128, 2), steps=400, batch=32, average=(8.0, 100.0, 2.0, 25.0, 200),
                leading=64, precision="tf32", device="cuda"),
}  # fmt: skip


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Train every optimizer at every width, rate and seed."""
    settings = PRESETS[preset]
    frames = {name: measure(study, store_home=store_home, progress=progress) for name, study in settings.studies.items()}
    parts = {name: Parts.of(frame) for name, frame in frames.items()}
    images = draw(parts, settings.top, out / "llama")
    found = tuple(claims(parts, settings))
    return Result(FIGURE, untested(found) if preset == "smoke" else found, images, {"optima": tabulate(parts, settings)})


def tabulate(parts: Mapping[str, Parts], settings: Settings) -> pd.DataFrame:
    """Of every optimizer and width the best rate and loss, what the first components and all gain, and how far off the linearisation is."""
    rows = []
    for name, own in parts.items():
        for i, (width, best, curve, top) in enumerate(zip(own.widths, own.best, own.curves, own.tops, strict=True)):
            gained = top.mean(axis=0)[own.chosen]
            row = {"optimizer": NAMES[name], "width": int(width), "rank": settings.studies[name].rank(int(width)) or None}
            row |= {"log2 of the best rate": best, "loss": curve.min()}
            row |= {f"first {settings.top}": gained[settings.top - 1], "all": gained[-1]}
            off = own.linear[:, i, own.chosen] - own.losses[:, i, own.chosen]
            rows.append(row | {"linearised minus true": float(off.mean())})
    return pd.DataFrame(rows)


def claims(parts: Mapping[str, Parts], settings: Settings) -> Iterator[Claim]:
    """Which best rates stand still and which fall; the first components under Adam, and under Muon against Adam."""
    for name in PUBLISHED:
        yield _drift_claim(name, parts[name])
    for name in FALLING:
        yield _fall_claim(name, parts)
    small, large = (int(parts["adam"].widths[i]) for i in (0, -1))
    where = f"from width {small} to {large}"
    text = f"Of what all components gain {where} the first {settings.top} have less than half under Adam (0 as published)"
    reason = "published: 0.07 of 0.82 with 60 components; below a half the tail has the larger part"
    share, tail = (parts["adam"].estimate(part) for part in (lambda p: p.share(settings.top), lambda p: 1 - p.share(settings.top)))
    yield _claim("top-adam", text, "Figure 1", (0.0, 0.5, reason), Control("the part of all the others", *tail), share, relation="<=")
    yield _contrast_claim(parts, settings.top, where)


def _claim(name: str, text: str, where: str, expected: tuple[float, float, str], control: Control, found: Found, **more) -> Claim:
    """A published statement about which nothing is on record."""
    return Claim(f"{FIGURE}/{name}", text, f"{SOURCE}, {where}", "published", *expected, control, *found, on_record=NOT_TESTED, **more)


def _drift_claim(name: str, parts: Parts) -> Claim:
    """That the best rate stands still."""
    published, where = PUBLISHED[name]
    found = _drift(parts)
    widths = f"widths {parts.widths[0]:g} to {parts.widths[-1]:g}"
    text = f"Under {NAMES[name]} the best rate drifts by {published} octaves per doubling ({widths})"
    reason = "half an octave over three doublings, one step of the grid; the grid's resolution is in the interval"
    away = 0.5 if found[0] is not None and found[0] > published else -0.5
    control = Control("half an octave per doubling farther, in the direction that was found", expected=published + away)
    return _claim(f"drift-{name.replace(' ', '-')}", text, where, (published, 0.17, reason), control, found, unit=UNIT)


def _drift(parts: Parts) -> Found:
    """Octaves per doubling, where every width has its best rate inside the grid; the interval has the grid's resolution in it."""
    value, ends = parts.estimate(Parts.drift)
    if ends is None:
        return None, None
    fine = float(np.diff(parts.points).min() / 4 / np.log2(parts.widths[-1] / parts.widths[0]))
    return value, (ends[0] - fine, ends[1] + fine)


def _fall_claim(name: str, parts: Mapping[str, Parts]) -> Claim:
    """The drift against that of an optimizer which transfers: the same networks, batches and seeds."""
    other, published, where = FALLING[name]
    seen = parts[name].widths[-1] > WIDE
    falling, still = (_drift(parts[n]) if seen else (None, None) for n in (name, other))
    control = Control("the two optimizers exchanged", *difference(still, falling))
    text = f"The best rate under {NAMES[name]} falls against that under {NAMES[other]} (published: by {-published} octaves per doubling)"
    reason = f"only the sign is claimed, and only where widths exceed {WIDE}: the published rates stand still up to there"
    found = difference(falling, still)
    return _claim(f"fall-{name.replace(' ', '-')}", text, where, (0.0, 0.0, reason), control, found, relation="<=", unit=UNIT)


def _contrast_claim(parts: Mapping[str, Parts], top: int, where: str) -> Claim:
    """How much the first components change, in parts of what all do."""
    muon, adam = (parts[name].estimate(lambda p: abs(p.share(top))) for name in ("muon", "adam"))
    control = Control("the two optimizers exchanged", *difference(adam, muon))
    text = f"The first {top} components change more under Muon than under Adam {where}, in parts of all (published: 1.05 against 0.09)"
    found = difference(muon, adam)
    return _claim("top-muon", text, "Figures 1 and 12", (0.0, 0.0, "only the sign is claimed"), control, found, relation=">=")
