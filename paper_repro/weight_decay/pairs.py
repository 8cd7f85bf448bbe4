"""Six pairs of rate and decay of one model, and what their gains and spectra say (arXiv 2510.15262, Figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .llama import FEED_FORWARD, KINDS
from .settled import Array, Followed, finite_rate, fit_powers, over_seeds, relaxation, turned

PAIRS = {
    "base": (1.0, 1.0),
    "both x 1/2": (0.5, 0.5),
    "both x 2": (2.0, 2.0),
    "both x 4": (4.0, 4.0),
    "decay x 1/2": (1.0, 0.5),
    "decay x 2": (1.0, 2.0),
}
"""Factors on rate and decay."""
MILD = ("base", "both x 1/2", "both x 2", "decay x 1/2", "decay x 2")  # whose products are about as small as the published (6e-3 at most)
LEVEL = ("both x 1/2", "base", "both x 2")  # of one quotient, and mild
SLOW = ("base", "both x 1/2", "decay x 1/2", "decay x 2")  # that relax later than the warmup ends
PUBLISHED = {  # read off the figure, to two per cent: the last gain, and the largest singular value
    "base": (2.55, 8.2),
    "both x 1/2": (2.72, 8.75),
    "both x 2": (2.38, 7.6),
    "both x 4": (2.4, 7.7),
    "decay x 1/2": (3.74, 12.19),
    "decay x 2": (1.79, 5.61),
}
TERMS = ("gain", "top singular value")


@dataclass(frozen=True)
class Runs:
    """The runs of all pairs; what is returned has one entry for each seed, or (pair, seed).

    Args:
        rate: of the base pair.
        decay: of the base pair.
        warmup: updates.
        followed: rows, by pair.
    """

    rate: float
    decay: float
    warmup: int
    followed: Followed

    @cached_property
    def products(self) -> Array:
        """Rate times decay of every pair: what decay removes per update."""
        return np.array([self.rate * rate * self.decay * decay for rate, decay in PAIRS.values()])

    @cached_property
    def scales(self) -> Array:
        """The root of rate over decay of every pair."""
        return np.array([np.sqrt(self.rate * rate / (self.decay * decay)) for rate, decay in PAIRS.values()])

    def ratio(self, term: str, first: str, second: str) -> Array:
        """Of the late values under two pairs."""
        late = self.followed.late(term)
        return late[place(first)] / late[place(second)]

    def range(self, term: str, pairs: Sequence[str], *, finite: bool = False) -> Array:
        """The largest over the smallest late value; ``finite`` divides by `finite_rate` before."""
        unit = finite_rate(self.products)[:, None] if finite else 1.0
        late = (self.followed.late(term) / unit)[places(pairs)]
        return late.max(axis=0) / late.min(axis=0)

    def exponents(self, term: str, kinds: Sequence[str] = FEED_FORWARD) -> Array:
        """Of the rate and of the decay in the late values of mild pairs, corrected for `finite_rate`, (2, seed)."""
        late = self.followed.late(term, kinds) / finite_rate(self.products)[:, None]
        return fit_powers(np.log(late[places(MILD)]), *np.array([PAIRS[name] for name in MILD]).T)

    @cached_property
    def forgotten(self) -> Array:
        """``2 lambda`` times the sum of all rates so far, (pair, look)."""
        return self.followed.curves("stationarity")[:, 0]

    @cached_property
    def warm(self) -> NDArray[np.bool_]:
        """Which looks are after the warmup."""
        return self.followed.looks >= self.warmup

    def paces(self, term: str) -> Array:
        """Of the relaxation of a term's square after the warmup, in units of ``2 rate decay``."""
        curves, forgotten = self.followed.curves(term)[..., self.warm], self.forgotten[:, self.warm]
        passed = forgotten - forgotten[:, :1]
        return np.array([[relaxation(x, one)[1] for one in own] for own, x in zip(curves, passed, strict=True)])

    @cached_property
    def turns(self) -> Array:
        """The late angles of one update in units of `turned`."""
        return self.followed.late("rotation") / turned(self.products)[:, None]

    def apart(self, pairs: Sequence[str], *, scaled: bool = True) -> Array:
        """The distance of spectra from the base's (root mean square of the logarithm), mean over pairs.

        Args:
            pairs: which.
            scaled: divide each by the root of rate over decay, and by `finite_rate`.
        """
        unit = self.scales * finite_rate(self.products) if scaled else np.ones(len(PAIRS))
        logarithms = np.log(self.followed.spectra() / unit[:, None, None])
        distances = np.sqrt(((logarithms - logarithms[place("base")]) ** 2).mean(axis=-1))
        return distances[places(pairs)].mean(axis=0)

    def tabulate(self) -> pd.DataFrame:
        """A row for every pair, with the published numbers beside ours."""
        gains, tops = (self.followed.late(term) for term in TERMS)
        paces, squares, base, rows = self.paces("rms"), self.followed.spectra() ** 2, place("base"), []
        for i, (name, (rate, decay)) in enumerate(PAIRS.items()):
            (old_gain, old_top), (gain, (low, high)) = PUBLISHED[name], over_seeds(gains[i])
            row = {"pair": name, "rate": self.rate * rate, "decay": self.decay * decay, "gain": gain, "gain low": low, "gain high": high}
            row |= {"published gain": old_gain, "gain over base": float((gains[i] / gains[base]).mean())}
            row |= {"published gain over base": old_gain / PUBLISHED["base"][0], "top": float(tops[i].mean()), "published top": old_top}
            row |= {"top over base": float((tops[i] / tops[base]).mean()), "published top over base": old_top / PUBLISHED["base"][1]}
            row |= {"stable rank": float((squares[i].sum(axis=1) / squares[i, :, 0]).mean()), "pace": float(paces[i].mean())}
            row |= {"rotation over predicted": float(self.turns[i].mean()), "finite rate": float(finite_rate(self.products)[i])}
            rows.append(row | {"forgotten": self.forgotten[i, -1], "validation loss": self._loss(name)})
        return pd.DataFrame(rows)

    def _loss(self, pair: str) -> float:
        frame = self.followed.frame
        rows = frame[(frame["pair"] == pair) & (frame["term"] == "validation loss")]
        return float(rows.loc[rows["step"] == rows["step"].max(), "value"].mean())

    def tabulate_kinds(self) -> pd.DataFrame:
        """Exponents of rate and decay for every kind of matrix."""
        rows = []
        for kind in KINDS:
            for term in TERMS:
                for letter, values in zip(("rate", "decay"), self.exponents(term, (kind,)), strict=True):
                    value, (low, high) = over_seeds(values)
                    rows.append({"kind": kind, "term": term, "of": letter, "exponent": value, "low": low, "high": high})
        return pd.DataFrame(rows)


def place(pair: str) -> int:
    """Its number in `PAIRS`."""
    return tuple(PAIRS).index(pair)


def places(pairs: Sequence[str]) -> list[int]:
    """Their numbers."""
    return [place(name) for name in pairs]
