"""Coloured noise alone: the exponent of a matrix's top singular value is set by the spectrum of what it sees, anything from 1/2 to 1.

One matrix under AdamW, gradients that are noise with covariances ``i^-a``, and nothing to learn. Its entries have the size
``sqrt(eta / 2 lambda)`` whatever a is; how they add up depends on the stable ranks of the covariances.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...synthetic.coloured import SIDES, Coloured, accumulate
from ...synthetic.store import Store
from ..claims import Claim, Control, untested
from ..papers import Progress
from ..results import Result
from .coloured_panels import draw
from .slopes import by_seed, estimate, slope

FIGURE, SOURCE = "weight-decay/coloured", "widelimit.theory.gain"
FAN = "Fan et al. (arXiv 2510.15262, abstract: the top singular value grows as d^0.75)"
WINDOW = (0.65, 0.85)
TERMS = ("top singular value", "gain", "rms", "expected top", "expected gain", "ranks", "ratios")
"""Measured; expected of Gaussian noise with the measured correlations; from stable ranks, and from participation ratios."""


@dataclass(frozen=True)
class Size:
    """What is accumulated.

    Args:
        widths: d.
        exponents: a.
        seeds: of bases and noise.
        device: where.
    """

    widths: tuple[int, ...] = (48, 96, 192, 384)
    exponents: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    seeds: int = 8
    device: str = "cpu"


PRESETS = {
    "smoke": Size((16, 32, 64), (0.0, 0.5, 1.0), 2),
    "laptop": Size(),
    "gpu": Size((64, 128, 256, 512, 1024), (0.0, 0.25, 0.5, 0.75, 1.0, 1.5), 8, "cuda"),
}


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Accumulate noise at every width, fit exponents, compare them with what the covariances say."""
    size, store, frames = PRESETS[preset], Store(store_home), []
    device = "cuda" if size.device == "cuda" and torch.cuda.is_available() else "cpu"
    for width in size.widths:
        spec = Coloured(width, size.exponents, seeds=tuple(range(size.seeds)))
        progress(f"coloured: width {width}, stationarity {spec.stationarity:g}")
        frames.append(store.get_or_make(spec.key_data(), lambda spec=spec: accumulate(spec, device=device), device=device))
    frame = pd.concat(frames, ignore_index=True)
    table = exponents(frame)
    claims = tuple(c for c in _claims(frame))
    images = draw(frame, table, out / "coloured")
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, images, {"exponents": table})


def measured(frame: pd.DataFrame) -> dict[tuple[str, float, str], tuple[np.ndarray, np.ndarray]]:
    """By side, exponent and one of `TERMS`: widths, and log2 of the values by seed and width."""
    found, whole = {}, frame[frame["k"].isna()]
    for (side, a), rows in whole.groupby(["config", "hp.exponent"]):
        by = {str(term): own for term, own in rows.groupby("term")}
        for term in TERMS[:3]:
            found[side, a, term] = by_seed(by[term])
        for term, name in (("expected top", "top singular value"), ("expected gain", "gain")):
            found[side, a, term] = by_seed(by[name], "predicted")
        terms = ("rms", "stable rank in", "stable rank back", "participation in")
        (widths, rms), (_, inn), (_, back), (_, ratio) = (by_seed(by[t]) for t in terms)
        found[side, a, "ranks"] = widths, rms + np.log2(widths * (2 ** (-inn / 2) + 2 ** (-back / 2)))
        found[side, a, "ratios"] = widths, rms + np.log2(widths) - ratio / 2
    return found


def exponents(frame: pd.DataFrame) -> pd.DataFrame:
    """Exponents with their intervals, by side, exponent of the spectrum and term."""
    rows = []
    for (side, a, term), (widths, logs) in measured(frame).items():
        found = estimate({"": slope(widths, logs)}, lambda means: float(means[""]))
        rows.append({"side": side, "a": a, "term": term, "exponent": found.value, "low": found.interval[0], "high": found.interval[1]})
    for (side, a), found in spectra(frame).items():
        own = estimate({"": found}, lambda means: float(means[""]))
        rows.append({"side": side, "a": a, "term": "spectrum", "exponent": own.value, "low": own.interval[0], "high": own.interval[1]})
    return pd.DataFrame(rows)


def spectra(frame: pd.DataFrame) -> dict[tuple[str, float], np.ndarray]:
    """By side and exponent: how the first fifth of the singular values falls with its place at the largest width, by seed."""
    largest = frame["size.n"].max()
    rows = frame[(frame["size.n"] == largest) & (frame["k"] <= largest / 5)]
    tables = {kind: own.pivot(index="seed", columns="k", values="value") for kind, own in rows.groupby(["config", "hp.exponent"])}
    return {kind: -slope(table.columns.to_numpy(float), np.log2(table.to_numpy())) for kind, table in tables.items()}


def _claims(frame: pd.DataFrame) -> list[Claim]:
    logs = measured(frame)
    slopes = {key: slope(*value) for key, value in logs.items() if key[1] <= 1}
    sizes = {key: value.mean(1) for key, (_, value) in logs.items() if key[1] <= 1}
    kinds = [(side, a) for side, a, term in slopes if term == "rms" and (a or side == SIDES[0])]

    def worst(term: str, expected: str | float, of: dict = slopes) -> tuple[float, tuple[float, float]]:
        """The largest distance of one from the other over all spectra."""
        values = {f"{k}{t}": of[*k, t] for k in kinds for t in (term, expected) if isinstance(t, str)}
        miss = lambda m, k: abs(m[f"{k}{term}"] - (m[f"{k}{expected}"] if isinstance(expected, str) else expected))  # noqa: E731
        found = estimate(values, lambda m: max(miss(m, k) for k in kinds))
        return found.value, found.interval

    def outside(chosen: list[float]) -> tuple[float, tuple[float, float]]:
        """How far exponents reach out of the window at both of its ends."""
        values = {str(k): slopes[*k, "top singular value"] for k in kinds if k[1] in chosen}
        found = estimate(values, lambda m: min(WINDOW[0] - min(m.values()), max(m.values()) - WINDOW[1]))
        return found.value, found.interval

    every = sorted({a for _, a in kinds})
    inside = [a for a in every if a in (0.5, 0.75)]
    top, gain, rms = (worst(*pair) for pair in (("top singular value", "ranks"), ("gain", "ratios"), ("rms", 0.0)))
    size, wide = worst("top singular value", "expected top", sizes), outside(every)
    falls = {kind: found for kind, found in spectra(frame).items() if kind in kinds}
    half = estimate(falls, lambda m: max(abs(fall - a / 2) for (_, a), fall in m.items()))
    flat = estimate(falls, lambda m: max(m.values()))
    return [
        Claim(
            f"{FIGURE}/top", "Largest distance, over all spectra, of the top singular value's exponent from that of "
            "d (r_in^-1/2 + r_back^-1/2) with stable ranks r", SOURCE, "prediction", 0.08, 0.0,
            "Chevet's bound is reached where one eigenvalue is most of a covariance: its own exponent is up to 0.06 too large",
            Control("the exponent 1/2 of white noise", *worst("top singular value", 0.5)), *top, relation="<=",
        ),
        Claim(
            f"{FIGURE}/gain", "Largest distance of the gain's exponent from 1 - gamma/2, participation ratios growing as d^gamma",
            SOURCE, "prediction", 0.03, 0.0, "what the division by entries' sizes takes off at small widths",
            Control("the exponent of the top singular value in its place", *worst("gain", "top singular value")), *gain, relation="<=",
        ),
        Claim(
            f"{FIGURE}/size", "Largest distance, in octaves, of the top singular value from that of Gaussian noise with the correlations "
            "of inputs and derivatives, no constant fitted", SOURCE, "prediction", 0.15, 0.0,
            "four draws of noise, some per cent; the size of a batch, which AdamW's second moment follows",
            Control("Chevet's bound with covariances", *worst("top singular value", "ranks", sizes)), *size, relation="<=",
        ),
        Claim(
            f"{FIGURE}/rms", "The mean square entry says nothing of it: largest exponent of its root over all spectra", SOURCE,
            "prediction", 0.02, 0.0, "transients of e^-6; seed spread below 0.01",
            Control("the gain's exponent in its place", *worst("gain", 0.0)), *rms, relation="<=",
        ),
        Claim(
            f"{FIGURE}/spectrum", "The first fifth of the singular values falls as k^(-a/2): largest distance of the exponent, all spectra",
            SOURCE, "prediction", 0.12, 0.0, "the bulk bends the line from a tenth of the places on",
            Control("a flat spectrum", flat.value, flat.interval), half.value, half.interval, relation="<=",
        ),
        Claim(
            f"{FIGURE}/universal", f"Exponents leave {WINDOW[0]} to {WINDOW[1]} at both ends as the spectrum changes: by", SOURCE,
            "prediction", 0.0, 0.0, "the smaller of the two distances; intervals of exponents are narrower",
            Control("spectra of a = 1/2 and 3/4 alone", *outside(inside)), *wide, relation=">=",
        ),
    ]  # fmt: skip
