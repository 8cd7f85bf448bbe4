"""Powers of the width in what matrices do in their steady state, measured and predicted from what they read and what comes back.

A matrix whose gradients are independent in time and have the second moments A of what it reads and B of what comes back is
``sqrt(rate / (2 decay)) B^(1/2) Z A^(1/2)`` with Z Gaussian (Adam sets the size of entries). Chevet's inequality bounds its largest
singular value by that root times ``n (r_A^(-1/2) + r_B^(-1/2))``, r the stable ranks, and its gain is ``n / sqrt(participation of A)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from .llama import KINDS, RULES
from .settled import Array, Followed, fit_powers, over_seeds

FORGOTTEN = 3.0  # e-folds by which the initial squared norm is below the last one where a matrix counts as stationary
HEAD = 0.2  # part of the places over which the slope of a spectrum is taken
AXIS = "size.n"
MEASURED = ("top singular value", "gain", "rms", "stable rank in", "stable rank back", "participation in")
WAYS = ("top", "top from stable ranks", "top from the spectrum", "gain", "gain from participation")


def flag(frame: pd.DataFrame) -> pd.DataFrame:
    """With a column ``stationary``: whether the initial squared norm has been forgotten at the end.

    ``2 sum lr lambda`` has to exceed by `FORGOTTEN` the logarithm of the initial squared norm over the last one (where that is larger).
    """
    keys = [AXIS, "seed", "weight", "hp.learning_rate", "hp.weight_decay", "config"]
    rows = frame[(frame["kind"] != "") & frame["k"].isna()]
    sizes = rows[rows["term"] == "rms"].sort_values("step").groupby(keys)["value"].agg(["first", "last"])
    passed = rows[rows["term"] == "stationarity"].groupby(keys)["value"].max()
    needed = (2 * np.log(sizes["first"] / sizes["last"])).clip(0.0) + FORGOTTEN
    stationary = (passed >= needed).rename("stationary").reset_index()
    return frame.merge(stationary, how="left", on=keys)


@dataclass(frozen=True)
class Widths:
    """Runs of all widths under one rule.

    Args:
        frame: as from `followed`, after `flag`.
        rate: of matrices at the smallest width.
        decay: of matrices at the smallest width.
        rule: one of `RULES`.
    """

    frame: pd.DataFrame
    rate: float
    decay: float
    rule: str = "linear"

    @cached_property
    def followed(self) -> Followed:
        """The stationary rows, by width.

        Raises:
            ValueError: if there are none.
        """
        rows = self.frame[self.frame["stationary"].eq(True)]
        if rows.empty:
            raise ValueError("no matrix has forgotten its initial values; train for more updates, or with a larger rate times decay")
        return Followed(rows, AXIS, tuple(np.unique(rows[AXIS])))

    @cached_property
    def counts(self) -> tuple[int, int]:
        """How many matrices were followed, and how many of them are not stationary."""
        rows = self.frame[(self.frame["term"] == "stationarity") & (self.frame["kind"] != "")]
        found = rows.groupby([AXIS, "seed", "weight"])["stationary"].first().astype(bool)
        return len(found), int((~found).sum())

    @property
    def sizes(self) -> Array:
        """Widths at which there are stationary matrices."""
        return np.array(self.followed.runs, float)

    def values(self, way: str, kind: str) -> Array:
        """What `WAYS` says grows as a power, in units of the root of rate over decay, (width, seed)."""
        sizes = self.sizes[:, None]
        late = lambda term: self.followed.late(term, (kind,))  # noqa: E731
        if way == "top from stable ranks":
            return sizes * (late("stable rank in") ** -0.5 + late("stable rank back") ** -0.5)
        if way == "gain from participation":
            return sizes / late("participation in") ** 0.5
        over = sizes / self.frame[AXIS].min()
        unit = np.sqrt(self.rate / self.decay * over ** (-1 - float(RULES[self.rule])))
        return late("top singular value" if way == "top" else "gain") / unit

    def powers(self, way: str, kind: str) -> Array:
        """The power of the width, seed by seed; nan where one width is all there is."""
        if way == "top from the spectrum":
            return 0.5 + self.slopes(kind)
        if self.sizes.size < 2:
            return np.full(self.followed.seeds.size, np.nan)
        return fit_powers(np.log(self.values(way, kind)), self.sizes)[0]

    def slopes(self, kind: str) -> Array:
        """By which power of the place the first singular values fall at the largest width, seed by seed."""
        spectra = self.followed.spectra((kind,))[-1]
        count = max(3, int(HEAD * spectra.shape[1]))
        return -fit_powers(np.log(spectra[:, :count]).T, np.arange(1.0, count + 1))[0]

    def local(self, way: str, kind: str) -> Array:
        """The power between each width and the next."""
        values = np.log(self.values(way, kind)).mean(axis=1)
        return np.diff(values) / np.diff(np.log(self.sizes))

    def tabulate(self) -> pd.DataFrame:
        """A row for every kind of matrix."""
        rows = []
        for kind in KINDS:
            row: dict[str, object] = {"kind": kind}
            for way in WAYS:
                value, (low, high) = over_seeds(self.powers(way, kind))
                row |= {way: value, f"{way} low": low, f"{way} high": high}
            row |= {"local powers of top": " ".join(f"{p:.2f}" for p in self.local("top", kind))}
            rows.append(row | {"local powers of gain": " ".join(f"{p:.2f}" for p in self.local("gain", kind))})
        return pd.DataFrame(rows)
