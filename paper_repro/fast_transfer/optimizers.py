"""Which optimizers transfer on digits: Adam, momentum SGD, Muon, and Dion with a bounded and a growing rank.

Ghosh, Wu and Bietti (arXiv 2512.22768, Figures 6, 11 to 13 and 24 to 26) find on language models that Adam, SGD and Dion of bounded rank
transfer, while the best rates of Muon and of Dion with a rank in proportion to the width fall. Two hidden ReLU layers learn digits here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...figures.style import letter, panels, save, styled
from ..claims import NOT_REPRODUCED, NOT_TESTED, Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .decomposition_panels import show_components, show_sweep
from .parts import Parts, difference, drift_claim, tabulate_optima
from .study import Study, measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FIGURE, SOURCE = "fast-transfer/optimizers", "arXiv 2512.22768"
TOP = 8
WIDTHS = (32, 64, 128, 256)
PUBLISHED = {  # octaves per doubling, from the best rates at widths 128 to 2048 (CIFAR: 128 to 8192), and where they are shown
    "adam": (0.0, "Figure 6"),
    "sgd": (-0.07, "Figure 13"),
    "muon": (-0.30, "Figure 11"),
    "dion bounded": (-0.03, "Figure 24"),
    "dion proportional": (-0.27, "Figure 25"),
}
NAMES = {"adam": "Adam", "sgd": "SGD", "muon": "Muon", "dion bounded": "Dion, rank min(8, n/4)", "dion proportional": "Dion, rank n/4"}
OCTAVES = {"adam": (-9.0, -5.0), "sgd": (-6.0, -2.0), "muon": (-5.0, -1.0), "dion bounded": (-5.0, 0.0), "dion proportional": (-5.0, -1.0)}
FEW = "twelve components are all that digits need at any width: nothing is left for wider networks to gain beyond the first eight"
ON_RECORD = {
    "top-adam": FEW,
    "top-sgd": FEW,
    "top-muon": "on digits the first eight components are the same at all widths under Muon, not under Adam",
    "drift-muon": "on digits Muon's best rate rises with the width",
}


@dataclass(frozen=True)
class Settings:
    """A study for each optimizer."""

    studies: dict[str, Study]


def _all(**settings) -> Settings:
    return Settings({name: Study(name, "digits", octaves, **settings) for name, octaves in OCTAVES.items()})


_LAPTOP = _all(widths=WIDTHS, seeds=(0, 1, 2))
PRESETS = {
    "smoke": _all(widths=(16, 32, 64), steps=60, spacing=1.0, average=(5, 20, 1, 2, 30)),
    "laptop": _LAPTOP,
    "gpu": Settings(
        {
            n: replace(s, widths=(64, 128, 256, 512, 1024), seeds=tuple(range(8)), spacing=0.25, device="cuda")
            for n, s in _LAPTOP.studies.items()
        }
    ),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Train every optimizer at every width, rate and seed."""
    frames = {name: measure(study, store_home=store_home, progress=progress) for name, study in PRESETS[preset].studies.items()}
    parts = {name: Parts.of(frame) for name, frame in frames.items()}
    images = draw(frames, parts, out / "optimizers")
    found = tuple(claims(parts))
    return Result(
        FIGURE,
        untested(found) if preset == "smoke" else found,
        images,
        {"optima": tabulate_optima({NAMES[name]: own for name, own in parts.items()}, "optimizer")},
    )


def claims(parts: Mapping[str, Parts]) -> Iterator[Claim]:
    """For every optimizer the published drift, and the contrast between the components of Muon and of Adam."""
    first, last = (int(parts["adam"].widths[i]) for i in (0, -1))
    for name, (published, where) in PUBLISHED.items():
        text = f"Under {NAMES[name]} the best rate drifts by {published} octaves per doubling (digits, widths {first} to {last})"
        reason = "one step of the grid, half an octave, over three doublings"
        other = Control("a fall of half an octave per doubling in its place", expected=-0.5)
        if name == "muon":
            other = Control("no drift in its place", expected=0.0)
        elif name == "dion proportional":
            other = Control("that of the bounded rank", *parts["dion bounded"].estimate(Parts.drift))
        slug, drift = f"{FIGURE}/drift-{name.replace(' ', '-')}", parts[name].estimate(Parts.drift)
        found = drift_claim(slug, text, f"{SOURCE}, {where}", (published, 0.17, reason), control=other, found=drift)
        yield replace(found, **_recorded(found.id))
    yield rank_claim(parts)
    for name in ("adam", "sgd"):
        share, tail = (parts[name].estimate(part) for part in (lambda p: p.share(TOP), lambda p: 1 - p.share(TOP)))
        text = f"Of what width {last} gains over {first} the first {TOP} components have no more than a third under {NAMES[name]}"
        reason = "published for a language model: 0.07 of 0.82 with 60 components; up to a third the tail has the larger part"
        control, where = Control("the part of all the others", *tail), f"{SOURCE}, Hypothesis 1"
        found = Claim(f"{FIGURE}/top-{name}", text, where, "published", 0.0, 1 / 3, reason, control, *share, relation="<=")
        yield replace(found, **_recorded(found.id))
    muon, adam = (parts[name].estimate(lambda p: abs(p.share(TOP))) for name in ("muon", "adam"))
    text = f"The first {TOP} components change more under Muon than under Adam from width {first} to {last}, in parts of all"
    control, reason = (
        Control("the two optimizers exchanged", *difference(adam, muon)),
        "only the sign is claimed (published: 1.05 against 0.09)",
    )
    where = f"{SOURCE}, Figures 1 and 12"
    found = Claim(f"{FIGURE}/top-muon", text, where, "published", 0.0, 0.0, reason, control, *difference(muon, adam), relation=">=")
    yield replace(found, **_recorded(found.id))


def rank_claim(parts: Mapping[str, Parts]) -> Claim:
    """The contrast between Dion's ranks: the same networks, tasks and seeds."""
    growing, bounded = (parts[f"dion {rank}"].estimate(Parts.drift) for rank in ("proportional", "bounded"))
    text = "With a rank that grows Dion's best rate falls against that of a bounded rank, by 0.24 octaves per doubling"
    reason, control = "one step of the grid, half an octave, over three doublings", Control("no difference in its place", expected=0.0)
    where, found = f"{SOURCE}, Figures 24 and 25", difference(growing, bounded)
    return drift_claim(f"{FIGURE}/rank", text, where, (-0.24, 0.17, reason), control=control, found=found)


def _recorded(name: str) -> dict[str, str]:
    reason = ON_RECORD.get(name.rpartition("/")[2], "")
    return {"on_record": NOT_REPRODUCED, "record_reason": reason} if reason else {"on_record": NOT_TESTED}


def draw(frames: Mapping[str, pd.DataFrame], parts: Mapping[str, Parts], stem: Path) -> tuple[Path, Path]:
    """A column for each optimizer: losses against the rate, and components at the smallest width's best rate."""
    figure, axes = panels(2, len(frames), width=2.7, height=2.5)
    with styled():
        for column, (name, frame) in zip(axes.T, frames.items(), strict=True):
            show_sweep(frame, parts[name], column[0])
            show_components(parts[name], column[1])
            column[0].set(title=NAMES[name], ylabel="loss at the average" if name == "adam" else "")
            column[0].set_yscale("log", base=2)
            column[0].set_yticks([0.1, 0.15, 0.2, 0.3], ["0.1", "0.15", "0.2", "0.3"])
            column[0].set_ylim(0.07, 0.42)
            if name != "adam":
                column[0].get_legend().remove()
                column[1].set_ylabel("")
        letter(axes.flat)
    return save(figure, stem)
