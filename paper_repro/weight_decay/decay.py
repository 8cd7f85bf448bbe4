"""The decay that gives the lowest loss, rate and decay tuned jointly at every width: the rule for decay as one number.

Zipf's tokens, embeddings frozen so that matrices do the learning. Beside it the power that equal gain would ask for, from exponents of
gains measured in the same networks at equal stationarity, and how the best decay goes with the number of updates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ...figures.fit import DRAWS
from ...figures.style import BLUE, GREEN, INK, ORANGE, QUIET, colours, letter, panels, save, size_label, styled
from ...synthetic.engines import Engine
from ..claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .losses import Grid, octaves
from .study import Followed, Study
from .surface import FINE, Array, Estimate, Surface, Surfaces, summary

FIGURE, FAN, WANG = "weight-decay/decay", "arXiv 2510.15262", "arXiv 2405.13698"
CASE = "S2 frozen"
HALF = 0.25  # half of the distance between the powers that are in use
RIVALS = {  # power, words, source, the verdict on record
    "constant": (0.0, "one decay for all widths", "arXiv 2203.03466", NOT_REPRODUCED),
    "root": (0.5, "decay ~ sqrt(n)", FAN, REPRODUCED),
    "linear": (1.0, "decay ~ n, which keeps rate times decay", WANG, NOT_REPRODUCED),
}
SETTLED = 3.0  # e-folds, behind which 5 % of the initial squared norm is left


@dataclass(frozen=True)
class Settings:
    """Losses on a grid, and the networks of which gains are measured."""

    grid: Grid = field(default_factory=Grid)
    proxy: Study = field(default_factory=lambda: Study((CASE,), (32, 64, 128), varied=0))


PRESETS = {
    "smoke": Settings(
        Grid((16, 32), octaves(-8, -5), tuple(0.1 * f for f in octaves(0, 3)), (20,), seeds=2, steps=40, warmup=5, batch=32),
        Study((CASE,), (16, 32), seeds=2, steps=60, varied=0, rate=0.05, batch=32, warmup=5),
    ),
    "laptop": Settings(),
    "gpu": Settings(
        Grid((32, 64, 128, 256, 512, 1024), octaves(-10, -4), tuple(0.05 * f for f in octaves(-1, 7)), seeds=8, device="cuda"),
        Study((CASE,), (64, 128, 256, 512), seeds=8, varied=0, device="cuda"),
    ),
}


@dataclass(frozen=True)
class Found:
    """What was measured: losses by width, those of other lengths, exponents of gains by seed."""

    grid: Grid
    by_width: Surfaces
    by_length: Mapping[int, Surface]
    gains: Mapping[str, Array]

    @property
    def power(self) -> Array:
        """Of the width, with which the best decay grows, of every draw."""
        return self.by_width.power(self.by_width.best_decays)

    @property
    def asked(self) -> Array:
        """The power that keeps gains, ``2 alpha - 1`` with the mean exponent of all matrices, of every draw."""
        alphas = np.mean(list(self.gains.values()), axis=0)
        picks = np.random.default_rng(1).integers(alphas.size, size=(DRAWS, alphas.size))
        picks[0] = np.arange(alphas.size)
        return 2 * alphas[picks].mean(1) - 1

    @property
    def lengths(self) -> Array:
        """Updates."""
        return np.array(sorted(self.by_length))

    @property
    def length_power(self) -> Array:
        """Of the number of updates, with which the best decay goes at the smallest width."""
        x = np.log2(self.lengths) - np.log2(self.lengths).mean()
        return np.stack([self.by_length[t].best[1] for t in self.lengths], 1) @ x / (x @ x)

    def forgotten(self, width: int) -> Array:
        """e-folds of the initial squared norm at the best rate and decay of a width, of every draw."""
        rate, decay = self.by_width.own[width].best
        unit = self.grid.forgotten(self.grid.steps, width)[0, 0] / (self.grid.rates[0] * self.grid.decays[0])
        return unit * 2 ** (rate + decay)


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Train at all rates and decays, find the best, and measure gains."""
    settings = PRESETS[preset]
    found = measure(settings, store_home=store_home, progress=progress, engine=engine)
    claims = tuple(make_claims(found))
    images = draw(found, out / "decay")
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, images, {"best": tabulate(found), "gains": gains(found)})


def measure(settings: Settings, *, store_home: Path, progress: Progress, engine: Engine | None) -> Found:
    """All that the claims need."""
    import torch

    grid, proxy = settings.grid, settings.proxy
    losses = grid.measure(FIGURE, ("pre",), store_home=store_home, progress=progress, engine=engine)
    device = "cpu" if proxy.device == "cuda" and not torch.cuda.is_available() else proxy.device
    rows = pd.concat(proxy.train(store_home=store_home, device=device, progress=progress), ignore_index=True)
    followed = Followed(rows, proxy)
    exponents = {weight: followed.slopes(case, weight, "gain") for case, weight in followed.kinds}
    widths = Surfaces({n: losses["pre", n, grid.steps] for n in grid.widths})
    return Found(grid, widths, {t: losses["pre", grid.widths[0], t] for t in {*grid.lengths, grid.steps}}, exponents)


def tabulate(found: Found) -> pd.DataFrame:
    """Of every width the best rate and decay, in units of the smallest, with intervals, and how stationary the runs are."""
    rows = []
    for n, own in found.by_width.own.items():
        (rate, _), (decay, ends) = (summary(x) for x in own.best)
        low, high = ends or (None, None)
        all_runs = found.grid.forgotten(found.grid.steps, n)
        rows.append(
            {
                "n": n, "log2 best rate * n": rate, "log2 best decay": decay, "low": low, "high": high,
                "loss": float(own.draws[0].min()), "e-folds there": summary(found.forgotten(n))[0],
                "runs": own.losses.size, "not stationary": int((all_runs < SETTLED).sum()) * len(own.losses), "diverged": own.diverged,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def gains(found: Found) -> pd.DataFrame:
    """Exponents of the gain over sqrt(rate / decay), matrix by matrix."""
    return pd.DataFrame([{"matrix": w, "exponent": float(v.mean()), "seeds": v.size} for w, v in found.gains.items()])


def make_claims(found: Found) -> Iterator[Claim]:
    """The power of the best decay against every rule, against gains, against the number of updates; and whether runs are stationary."""
    power = summary(found.power)
    for name, (expected, text, source, known) in RIVALS.items():
        yield _claim(
            name, f"The decay with the lowest loss follows {text}: power of the width", source, expected, HALF,
            "half of the distance to the next rule", _shifted(power, expected), power, on_record=known,
            record_reason="" if known == REPRODUCED else "gains of these networks ask for about n^0.5, and the loss for n^0.66",
        )  # fmt: skip
    asked = summary(found.asked)
    distance = summary(found.power - found.asked)
    yield _claim(
        "gains", "The decay with the lowest loss is the one that keeps gains: its power less 2 alpha - 1 of measured gains", FAN, 0.0, HALF,
        f"half of the distance between rules; gains ask for the power {asked[0]:.2f}", _shifted(distance, 0.0), distance,
    )  # fmt: skip
    length = summary(found.length_power)
    yield _claim(
        "length", "At one width the decay with the lowest loss falls as one over the number of updates: its power", WANG, -1.0, HALF,
        "a quarter over two octaves of lengths is half a step of the grid", _shifted(length, -1.0), length,
    )  # fmt: skip
    folds = summary(np.min([found.forgotten(n) for n in found.by_width.own], axis=0))
    yield _claim(
        "stationary", "Where the loss is lowest, training is in a steady state: e-folds by which initial squared norms decay", FAN,
        SETTLED, 0.0, "5 % of the initial squared norm is left behind three e-folds",
        Control("five times as many updates at the same rate and decay", *_times(folds, 5.0)), folds, relation=">=",
        on_record=NOT_REPRODUCED, record_reason="the best decay forgets little within a run: longer runs want less of it",
    )  # fmt: skip


def _shifted(found: Estimate, expected: float) -> Control:
    """What must come out otherwise: a rule further off if this one holds, else the number that was found."""
    value, ends = found
    if value is None or abs(value - expected) <= HALF:
        away = 1.0 if value is None or value <= expected else -1.0
        return Control("a rule one power of the width away", expected=expected + away)
    return Control("planted: the rule itself", expected, None if ends is None else (expected - 0.01, expected + 0.01))


def _times(found: Estimate, factor: float) -> Estimate:
    value, ends = found
    return None if value is None else factor * value, None if ends is None else (factor * ends[0], factor * ends[1])


def _claim(
    name: str, text: str, source: str, expected: float, tolerance: float, reason: str, control: Control, found: Estimate, **more
) -> Claim:
    """A published statement."""
    settings = {"on_record": NOT_TESTED, **more}
    return Claim(f"{FIGURE}/{name}", text, source, "published", expected, tolerance, reason, control, found[0], found[1], **settings)


def draw(found: Found, stem: Path) -> tuple[Path, Path]:
    """Losses against decay at the best rate of each; the best decay against width and length; how stationary that is."""
    figure, axes = panels(1, 4, width=2.6, height=2.5)
    shades = colours(found.by_width.widths)
    with styled():
        _draw_losses(axes[0, 0], found, shades)
        _draw_best(axes[0, 1], found)
        ax = axes[0, 2]
        best = np.stack([found.by_length[t].best[1] for t in found.lengths], 1)
        _points(ax, found.lengths, best, INK)
        if np.isfinite(best[0, 0]):
            ax.plot(found.lengths, 2 ** best[0, 0] * found.lengths[0] / found.lengths, color=QUIET, lw=0.9, ls="--", label="1 / updates")
        ax.set(title=f"Other lengths, n = {found.grid.widths[0]}", xlabel="updates", ylabel="best decay")
        ax.set_xticks(found.lengths, [str(t) for t in found.lengths])
        if ax.has_data():
            ax.set(xscale="log", yscale="log", ylim=(0.05, 1.2))
            ax.set_xticks(found.lengths, [str(t) for t in found.lengths])
            ax.legend()
            _plain(ax)
        ax = axes[0, 3]
        _points(ax, found.by_width.widths, np.log2(np.stack([found.forgotten(n) for n in found.by_width.own], 1)), INK)
        ax.axhline(SETTLED, color=QUIET, lw=0.9, ls="--")
        ax.text(found.by_width.widths[0], SETTLED * 1.04, "steady state", color=QUIET, fontsize=6.5)
        ax.set(title="Forgotten there", xlabel="n", ylabel="e-folds of squared norms", xscale="log", ylim=(0, None))
        ax.set_xticks(found.by_width.widths, [size_label(n) for n in found.by_width.widths])
        ax.minorticks_off()
        letter(axes.flat)
    return save(figure, stem)


def _draw_losses(ax, found: Found, shades: Mapping[float, object]) -> None:
    for n, own in found.by_width.own.items():
        profile = own.draws[0].min(0)
        ax.plot(2**own.fine_decays, profile / profile.min(), color=shades[float(n)], label=size_label(float(n)))
        ax.plot(2**own.decays, profile[::FINE] / profile.min(), "o", ms=3, color=shades[float(n)], mec="white", mew=0.4)
    ax.set(title="Rate tuned at each", xlabel="decay", ylabel="loss over its minimum", xscale="log", ylim=(0.997, 1.06))
    ax.legend(title="n")


def _draw_best(ax, found: Found) -> None:
    widths, best = found.by_width.widths, found.by_width.best_decays
    _points(ax, widths, best, INK)
    over, start = widths / widths[0], 2 ** best[0, 0]
    if not np.isfinite(start):
        ax.set(title="Lowest loss: no result", xlabel="n")
        return
    lines = {"constant": (0.0, BLUE), "sqrt(n)": (0.5, GREEN), "n": (1.0, ORANGE)}
    for label, (power, colour) in lines.items():
        ax.plot(widths, start * over**power, color=colour, lw=0.9, ls="--", label=label)
    asked = summary(found.asked)[0]
    ax.plot(widths, start * over**asked, color=QUIET, lw=1.2, ls=":", label=f"equal gain, n^{asked:.2f}")
    ax.set(title="Lowest loss", xlabel="n", ylabel="best decay", xscale="log", yscale="log", ylim=(0.05, 1.2))
    ax.set_xticks(widths, [size_label(n) for n in widths])
    _plain(ax)
    ax.legend(fontsize=6.5, loc="lower right")


def _plain(ax) -> None:
    """Decays as numbers."""
    ticks = [0.05, 0.1, 0.2, 0.5, 1.0]
    ax.set_yticks(ticks, [f"{y:g}" for y in ticks])
    ax.minorticks_off()


def _points(ax, x: Array, logs: Array, colour: str) -> None:
    """Numbers with intervals, (draw, place); nothing where an optimum is on the grid's edge."""
    for at, draws in zip(x, logs.T, strict=True):
        value, ends = summary(draws)
        if value is not None:
            low, high = ends or (value, value)
            errors = ([2**value - 2**low], [2**high - 2**value])
            ax.errorbar(at, 2**value, yerr=errors, fmt="o", ms=4, color=colour, capsize=2, lw=1.0)
