"""Whether rate and decay, tuned jointly at the smallest width, serve the largest: every rule in the same networks.

Zipf's tokens with frozen embeddings, pre-norm blocks; the same with a norm behind every branch, where no gain has an effect; and matrices
on a sphere. All rules are read off the same runs: each is a line through the losses over rates and decays. Where gains have no effect the
loss hardly depends on rate and decay but through their product, and has no best pair: the decay is tuned at the best rate of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from ...figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, QUIET, RED, colours, letter, panels, save, size_label, styled
from ...synthetic.engines import Engine
from ...theory.decay_rules import rules
from ..claims import NOT_TESTED, Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .decay import PRESETS as DECAYS
from .decay import Found, Settings
from .decay import measure as measure_gains
from .losses import Grid
from .surface import Array, Estimate, Scaled, Surfaces, summary

FIGURE, FAN, KOSSON = "weight-decay/rates", "arXiv 2510.15262", "arXiv 2510.19093"
SIGN = "only the sign is claimed"
PRESETS = DECAYS
KINDS = {"pre": "pre-norm", "post": "norm behind each branch"}
RULES = ("R0", "R1", "R2", "R3", "R4")
COLOURS = dict(zip(RULES, (BLUE, ORANGE, GREEN, PURPLE, RED), strict=True))
TITLES = {"R0": "one decay", "R1": "decay ~ n", "R2": "decay ~ √n"}
STILL = 0.25
UNIT = "octaves per doubling"
ON_RECORD: Mapping[str, str] = {}


@dataclass(frozen=True)
class Transfer:
    """Surfaces by kind of network, and the rules in them.

    Args:
        grid: what was trained.
        kinds: ``pre`` and ``post``.
        sphere: matrices of fixed norm, without decay.
        alpha: exponent of gains, measured in the same networks.
    """

    grid: Grid
    kinds: Mapping[str, Surfaces]
    sphere: Surfaces
    alpha: Fraction

    @property
    def scaled(self) -> Mapping[str, Scaled]:
        """Powers of rate and decay of every rule."""
        found = {}
        for rule in (rule for rule in rules(measured=self.alpha) if rule.name in RULES):
            settled = rule.solve()
            assert settled.rate is not None and settled.decay is not None
            found[rule.name] = Scaled(float(settled.rate["d"]), float(settled.decay["d"]))
        return found

    def drift(self, kind: str, rule: str) -> Array:
        """Of the best rate, in the rule's units, of every draw."""
        own = self.kinds[kind]
        return own.power(own.best_rates(self.scaled[rule]))

    def penalty(self, kind: str, rule: str) -> Array:
        """What the largest width loses, of every draw."""
        return self.kinds[kind].penalty(self.scaled[rule])

    def advantage(self, kind: str) -> Array:
        """By how much less decay ~ sqrt(n) loses than the better of one decay and ~ n."""
        return np.fmin(self.penalty(kind, "R0"), self.penalty(kind, "R1")) - self.penalty(kind, "R2")

    @property
    def sphere_drift(self) -> Array:
        """Of the best angle per step."""
        return self.sphere.power(np.stack([own.best[0] for own in self.sphere.own.values()], 1))


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Train all networks, and follow every rule."""
    settings = PRESETS[preset]
    pre = measure_gains(settings, store_home=store_home, progress=progress, engine=engine)
    found = join(pre, settings, store_home=store_home, progress=progress, engine=engine)
    claims = tuple(make_claims(found))
    images = draw(found, out / "rates")
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, images, {"rules": tabulate(found)})


def join(pre: Found, settings: Settings, *, store_home: Path, progress: Progress, engine: Engine | None) -> Transfer:
    """With the other kinds of networks."""
    grid = settings.grid
    losses = grid.measure(FIGURE, ("post", "sphere"), store_home=store_home, progress=progress, engine=engine)
    surfaces = {kind: Surfaces({n: losses[kind, n, grid.steps] for n in grid.widths}) for kind in ("post", "sphere")}
    alpha = Fraction(float(np.mean(list(pre.gains.values())))).limit_denominator(20)
    rate = summary(pre.by_width.first.best[0])[0]
    post = replace(surfaces["post"], rate=float(np.log2(np.median(grid.rates))) if rate is None else rate)
    return Transfer(grid, {"pre": pre.by_width, "post": post}, surfaces["sphere"], alpha)


def tabulate(found: Transfer) -> pd.DataFrame:
    """Powers, drifts and penalties of all rules."""
    rows = []
    for kind, title in KINDS.items():
        for rule, own in found.scaled.items():
            (drift, ends), (loss, other) = summary(found.drift(kind, rule)), summary(found.penalty(kind, rule))
            (low, high), (bottom, top) = ends or (None, None), other or (None, None)
            rows.append({"network": title, "rule": rule, "rate": own.rate, "decay": own.decay, "drift": drift, "low": low, "high": high,
                         "penalty": loss, "penalty low": bottom, "penalty high": top})  # fmt: skip
    drift, ends = summary(found.sphere_drift)
    low, high = ends or (None, None)
    return pd.DataFrame([*rows, {"network": "on a sphere", "rule": "R8", "rate": 0.0, "drift": drift, "low": low, "high": high}])


def make_claims(found: Transfer) -> Iterator[Claim]:
    """Drifts under every rule, zero-shot losses, and both where gains have no effect."""
    titles = {rule.name: (rule.title, rule.source) for rule in rules(measured=found.alpha)}
    for rule in RULES:
        title, source = titles[rule]
        drift = summary(found.drift("pre", rule))
        text = f"{rule} ({title}): the best rate stays where it is at the smallest width (pre-norm)"
        yield _claim(
            f"{rule}-drift", text, source, 0.0, STILL, "a quarter of a step of the grid per doubling", _moved(drift, 0.0), drift, unit=UNIT
        )
    drift, (title, source) = summary(found.sphere_drift), titles["R8"]
    text = f"R8 ({title}): the best angle of a step stays where it is"
    yield _claim("R8-drift", text, source, 0.0, STILL, "a quarter of a step of the grid per doubling", _moved(drift, 0.0), drift, unit=UNIT)
    gain, other = (summary(sign * found.advantage("pre")) for sign in (1, -1))
    text = "Zero-shot (pre-norm): by how much less decay ~ sqrt(n) loses than the better of one decay and decay ~ n"
    yield _claim("zero-shot", text, FAN, 0.0, 0.0, SIGN, Control("the two sides exchanged", *other), gain, relation=">=", unit="nats")
    power = summary(found.kinds["post"].power(found.kinds["post"].best_decays))
    text = "Where gains have no effect the decay with the lowest loss keeps rate times decay: its power of the width at one rate"
    yield _claim("normalised-power", text, KOSSON, 1.0, STILL, "half of the distance to sqrt(n)", _moved(power, 1.0), power)
    gain, other = (summary(sign * (found.penalty("post", "R2") - found.penalty("post", "R1"))) for sign in (1, -1))
    text = "Zero-shot (norm behind each branch): by how much less decay ~ n loses than decay ~ sqrt(n)"
    control = Control("the two sides exchanged", *other)
    yield _claim("zero-shot-normalised", text, KOSSON, 0.0, 0.0, SIGN, control, gain, relation=">=", unit="nats")
    gain, other = (summary(sign * (found.advantage("pre") - found.advantage("post"))) for sign in (1, -1))
    text = "Where gains have no effect decay ~ sqrt(n) loses its advantage: the difference of the two networks"
    control = Control("the two networks exchanged", *other)
    yield _claim("normalised", text, FAN, 0.0, 0.0, SIGN, control, gain, relation=">=", unit="nats")


def _moved(found: Estimate, expected: float) -> Control:
    """A drift that must come out otherwise."""
    value, _ = found
    if value is None or abs(value - expected) <= STILL:
        away = 1.0 if value is None or value <= expected else -1.0
        return Control("a drift of one octave per doubling, in the direction away from what was found", expected=expected + away)
    return Control("planted: no drift", expected, (expected - 0.01, expected + 0.01))


def _claim(
    name: str, text: str, source: str, expected: float, tolerance: float, reason: str, control: Control, found: Estimate, **more
) -> Claim:
    """A published statement."""
    more = {"on_record": ON_RECORD.get(name, NOT_TESTED), **more}
    return Claim(f"{FIGURE}/{name}", text, source, "published", expected, tolerance, reason, control, found[0], found[1], **more)


def draw(found: Transfer, stem: Path) -> tuple[Path, Path]:
    """A row for each network: losses against the rate under three rules, drifts, and what the largest width loses."""
    figure, axes = panels(2, 5, width=2.15, height=2.2)
    with styled():
        for row, (kind, title) in zip(axes, KINDS.items(), strict=True):
            for ax, rule in zip(row, ("R0", "R1", "R2"), strict=False):
                _draw_rule(ax, found, kind, rule)
                ax.set_title(f"{rule}: {TITLES[rule]}")
            row[0].set_ylabel(f"{title}\nloss over the best")
            if row[0].get_legend_handles_labels()[0]:
                row[0].legend(title="n", fontsize=6, title_fontsize=6)
            _draw_numbers(row[3], [found.drift(kind, rule) for rule in RULES])
            row[3].set(title="Drift of the rate", ylabel=UNIT)
            row[3].axhline(0, color=QUIET, lw=0.8, ls="--")
            _draw_numbers(row[4], [found.penalty(kind, rule) for rule in RULES])
            row[4].set(title="Zero-shot loss", ylabel="nats over the best")
            row[4].axhline(0, color=QUIET, lw=0.8, ls="--")
        letter(axes.flat)
    return save(figure, stem)


def _draw_rule(ax, found: Transfer, kind: str, rule: str) -> None:
    own, scaled = found.kinds[kind], found.scaled[rule]
    shades = colours(own.widths)
    for n, x, surface in zip(own.widths, own.octaves, own.own.values(), strict=True):
        curves, known = surface.along(own.tuned[1] + scaled.decay * x)
        if known[0]:
            rates = 2 ** (surface.fine_rates - (scaled.rate + 1) * x)
            ax.plot(rates, curves[0] / surface.draws[0].min(), color=shades[n], label=size_label(n))
            ax.plot(rates[curves[0].argmin()], curves[0].min() / surface.draws[0].min(), "o", ms=4, color=shades[n], mec="white")
    if np.isfinite(own.tuned[0][0]):
        ax.axvline(2 ** own.tuned[0][0], color=QUIET, lw=0.8, ls="--")
    ax.set(xlabel="rate", xscale="log", ylim=(0.995, 1.12))
    ax.set_xscale("log", base=2)


def _draw_numbers(ax, values: list[Array]) -> None:
    """One number with its interval for every rule; none where an optimum is on the grid's edge."""
    for i, (rule, draws) in enumerate(zip(RULES, values, strict=True)):
        value, ends = summary(draws)
        if value is None:
            ax.text(i, 0, "no result", rotation=90, ha="center", va="bottom", fontsize=6, color=QUIET)
        else:
            low, high = ends or (value, value)
            ax.errorbar(i, value, yerr=([value - low], [high - value]), fmt="o", ms=4.5, capsize=2, color=COLOURS[rule], ecolor=INK, lw=0.9)
    ax.set_xticks(range(len(RULES)), RULES)
    ax.set_xlim(-0.5, len(RULES) - 0.5)
