"""Loss against time at every size, at the rate tuned for the smallest (arXiv 2605.14200, training curves by width).

Both initialisations are shown with both readouts: a readout at zero delays what it multiplies, whatever else is initialised how, and
must not be taken for the remedy. At step 10 one batch throws back whoever learns at a large rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...figures.style import INK, colours, letter, panels, save, size_label, styled
from ...synthetic.engines import Engine
from ..claims import Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .networks import START
from .rates_panels import COLOURS, NAMES
from .study import PRESETS as STUDIES
from .study import Losses, Study, measure

FIGURE, PAPER = "moe/curves", "arXiv 2605.14200"
PRESETS = {name: replace(study, scans=tuple(s for s in study.scans if s.base == "slow")) for name, study in STUDIES.items()}
PART, BEHIND, GROWS = 0.75, 0.1, 0.05
Found = Mapping[tuple[str, str], Losses]


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Follow the loss, and see how far a larger network is behind a smaller one."""
    study = PRESETS[preset]
    frame = measure(FIGURE, study, store_home=store_home, progress=progress, engine=engine)
    found = {(scan.case, config): Losses.of(frame, scan.case, config) for scan in study.scans for config in scan.configs}
    claims = tuple(make_claims(study, found))
    table = tabulate(found)
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, draw(study, found, out / "curves"), {"times": table})


def behind(curves: np.ndarray) -> float:
    """By how much a network is behind a smaller one at most, in the logarithm of the loss averaged over recorded steps."""
    level = np.log(curves[:, 1:]).mean(axis=1)
    lowest = np.minimum.accumulate(level)
    return float(np.max(level[1:] - lowest[:-1]))


def fall_times(steps: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The step at which each curve first falls to `PART` of its start, between recorded ones along a power; nan where it does not."""
    times = np.full(len(curves), np.nan)
    for i, curve in enumerate(curves):
        below = np.flatnonzero(curve <= PART * curve[0])
        if below.size:
            k = below[0]
            part = np.log(curve[k - 1] / (PART * curve[0])) / np.log(curve[k - 1] / curve[k])
            times[i] = steps[k - 1] + (steps[k] - steps[k - 1]) * part
    return times


def growth(losses: Losses, curves: np.ndarray) -> float:
    """The power of the size with which the time to lose a quarter of the loss grows."""
    return float(np.polyfit(np.log(losses.widths), np.log(fall_times(losses.steps, curves)), 1)[0])


def tabulate(found: Found) -> pd.DataFrame:
    """Steps to lose a quarter of the loss, and last losses, by size."""
    rows = []
    for (case, config), own in found.items():
        mean = own.curves.mean(axis=0)
        for n, time, last in zip(own.widths, fall_times(own.steps, mean), mean[:, -1], strict=True):
            rows.append(
                {"case": case, "config": config, "rate": own.rates[own.tuned], "n": n, "steps to lose a quarter": time, "last loss": last}
            )
    return pd.DataFrame(rows)


def make_claims(study: Study, found: Found) -> Iterator[Claim]:
    """Larger is never behind under MSSP, with either readout; under muP, with many experts, it is behind and later."""
    for scan in study.scans:
        case, where = scan.case, f"regime {scan.regime}, {NAMES[scan.optimizer]}"
        lost = found[f"II {scan.optimizer} slow", "mup-zero"].estimate(behind)
        for config in ("mssp", "mssp-readout"):
            yield Claim(
                f"{FIGURE}/{scan.regime}-{scan.optimizer}-{config}",
                f"Under {START[config]} no network is behind a smaller one ({where}): largest excess in the mean logarithm of the loss",
                PAPER,
                "published",
                0.0,
                BEHIND,
                "two standard errors of a difference of means of four seeds: 0.04, and 0.08 with the two experts of the smallest III",
                Control("muP with a readout at zero in regime II", *lost),
                *found[case, config].estimate(behind),
                "<=",
            )
        if scan.regime != "I":
            for config in ("mup", "mup-zero"):
                own, best = found[case, config], found[case, "mssp"]
                yield Claim(
                    f"{FIGURE}/{scan.regime}-{scan.optimizer}-{config}",
                    f"Under {START[config]} larger networks learn later: power of n with which the time to lose a quarter grows ({where})",
                    PAPER,
                    "published",
                    GROWS,
                    0.0,
                    "two standard errors of a power from four seeds at every size are 0.02 to 0.1",
                    Control("MSSP", *best.estimate(lambda curves, best=best: growth(best, curves))),
                    *own.estimate(lambda curves, own=own: growth(own, curves)),
                    ">=",
                )


def draw(study: Study, found: Found, stem: Path) -> tuple[Path, Path]:
    """A row for each regime under SGD: curves of the four configurations, and times to lose a quarter of the loss."""
    scans = [scan for scan in study.scans if scan.optimizer == "sgd"]
    figure, axes = panels(len(scans), len(START) + 1, width=2.1, height=2.0)
    with styled():
        for row, scan in zip(axes, scans, strict=True):
            for ax, config in zip(row, START, strict=False):
                own = found[scan.case, config]
                shades = colours(own.widths)
                for n, curve in zip(own.widths, own.curves.mean(axis=0), strict=True):
                    ax.plot(own.steps[1:], curve[1:], color=shades[n], lw=1.2, label=size_label(float(n)))
                ax.set(title=f"{scan.regime}: {START[config]}", xlabel="step", xscale="log", yscale="log", ylim=(0.11, 0.6))
                ax.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
                ax.set_yticks([0.15, 0.3, 0.5], ["0.15", "0.3", "0.5"])
                ax.minorticks_off()
            row[0].set_ylabel("validation loss")
            row[0].legend(title="n", fontsize=6, title_fontsize=6, handlelength=1.0, labelspacing=0.2, loc="lower left")
            for config in START:
                own = found[scan.case, config]
                times = fall_times(own.steps, own.curves.mean(axis=0))
                row[-1].plot(own.widths, times, "o-", ms=3.5, mec="white", mew=0.4, lw=1.0, color=COLOURS[config], label=START[config])
            row[-1].set(title=f"{scan.regime}: losing a quarter", xlabel="n", ylabel="steps", xscale="log", yscale="log")
            row[-1].set_xticks(own.widths, [size_label(float(n)) for n in own.widths])
            row[-1].set_yticks([2, 5, 10, 20, 40], ["2", "5", "10", "20", "40"])
            row[-1].set_ylim(1.5, 60)
            row[-1].minorticks_off()
        axes[0, -1].legend(fontsize=6, labelcolor=INK, loc="upper left")
        letter(axes.flat)
    return save(figure, stem)
