"""What the parts of a study's trajectories say: arrays, statistics with intervals, truncations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...theory.curves import find_optima
from ...theory.truncation import Kappa, Truncated, choose
from ..claims import NOT_TESTED, Claim, Control, Interval

DRAWS = 1000
Found = tuple[float | None, Interval | None]


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a study after its last step; rates at which any run diverged are left out.

    Args:
        widths: increasing.
        points: log2 of the rates (or of the windows 1 / (1 - beta)), increasing.
        losses: at the average, shape (seed, width, point).
        linear: the linearised ones.
        tops: ``phi^k`` for every width, shape (seed, point, k).
    """

    widths: np.ndarray
    points: np.ndarray
    losses: np.ndarray
    linear: np.ndarray
    tops: tuple[np.ndarray, ...]
    column: str = "hp.learning_rate"

    @classmethod
    def of(cls, frame: pd.DataFrame, column: str = "hp.learning_rate") -> Parts:
        """From what `study.measure` returns, over one hyperparameter."""
        last = frame[frame["step"] == frame["step"].max()]
        widths, rates = (np.unique(last[name]) for name in ("size.n", column))
        losses, linear = (_table(last[last["term"] == term], column) for term in ("averaged loss", "linearised loss"))
        usable = np.isfinite(losses).all(axis=(0, 1))
        tops = tuple(
            rows.pivot(index=["seed", column], columns="k", values="value").to_numpy().reshape(len(losses), rates.size, -1)
            for _, rows in last[last["term"] == "top"].groupby("size.n")
        )
        parts = tuple(top[:, usable] for top in tops)
        return cls(widths, in_octaves(rates[usable], column), losses[..., usable], linear[..., usable], parts, column)

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Of the frame, those after the last step at the points that are not left out."""
        near = np.isclose(in_octaves(frame[self.column].to_numpy(), self.column)[:, None], self.points).any(axis=1)
        return frame[near & (frame["step"] == frame["step"].max()).to_numpy()]

    def drawn(self, seeds: np.ndarray) -> Parts:
        """With these seeds."""
        return Parts(self.widths, self.points, self.losses[seeds], self.linear[seeds], tuple(top[seeds] for top in self.tops), self.column)

    def estimate(self, statistic: Callable[[Parts], float]) -> Found:
        """A statistic and its interval, that of all resamples of the seeds, which are the same draws at all widths.

        Neither is there if the statistic is not a number: an optimum on the edge of the grid is no result.
        With the few seeds of a study that is wider than 95 %; beyond eight, `DRAWS` resamples stand for all.
        """
        picks = np.random.default_rng(0).integers(len(self.losses), size=(DRAWS, len(self.losses)))
        values = [statistic(self.drawn(pick)) for pick in np.unique(np.sort(picks, axis=1), axis=0)]
        value = statistic(self)
        return (value, (float(np.min(values)), float(np.max(values)))) if np.isfinite(value) else (None, None)

    @property
    def curves(self) -> np.ndarray:
        """Mean losses (width, point)."""
        return self.losses.mean(axis=0)

    @property
    def best(self) -> np.ndarray:
        """The best point of every width; nan on an edge. Logarithms are fitted: beyond the best rate losses rise steeply."""
        return find_optima(self.points, self.curves, steep=True).place

    @property
    def chosen(self) -> int:
        """The point of the grid that is best for the smallest width."""
        return int(self.curves[0].argmin())

    def error(self) -> float:
        """Largest ``|phi - (L_T - L_0)| / |L_T - L_0|`` up to the best point."""
        gained = [top[:, : self.chosen + 1, -1] for top in self.tops]
        off = [np.abs((self.linear - self.losses)[:, i, : self.chosen + 1] / g) for i, g in enumerate(gained)]
        return float(np.max(off))

    def share(self, k: int) -> float:
        """Of what the largest width gains over the smallest at the latter's best point, the part of the first k."""
        small, large = (self.tops[i].mean(axis=0)[self.chosen] for i in (0, -1))
        return float((large[k - 1] - small[k - 1]) / (large[-1] - small[-1]))

    def truncated(self, i: int) -> tuple[Truncated, Kappa | None]:
        """The i-th width beside the largest, and where Algorithm 2 cuts them."""
        pair = Truncated(self.points, self.tops[i].mean(axis=0), self.tops[-1].mean(axis=0))
        return pair, choose(pair.points, pair.finite, pair.limit)

    def drift(self) -> float:
        """Octaves of the best rate per doubling of the width, least squares."""
        return float(np.polyfit(np.log2(self.widths), self.best, 1)[0])


def in_octaves(values: np.ndarray, column: str) -> np.ndarray:
    """log2 of a rate, or of the window ``1 / (1 - beta)`` of a beta."""
    return -np.log2(1 - values) if "beta" in column else np.log2(values)


def _table(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Values as (seed, width, point)."""
    table = rows.pivot(index="seed", columns=["size.n", column], values="value").sort_index(axis=1)
    return table.to_numpy().reshape(len(table), -1, rows[column].nunique())


def difference(a: Found, b: Found) -> Found:
    """Of two statistics; the interval is as if each were at its worst, since they share seeds."""
    (first, own), (second, other) = a, b
    if first is None or second is None or own is None or other is None:
        return None, None
    return first - second, (own[0] - other[1], own[1] - other[0])


def drift_claim(name: str, text: str, source: str, expected: tuple[float, float, str], *, control: Control, found: Found) -> Claim:
    """A published drift of the best rate, of which nothing is on record; expected are its value, its tolerance and the reason."""
    unit = "octaves per doubling"
    return Claim(name, text, source, "published", *expected, control, *found, unit=unit, on_record=NOT_TESTED)


def tabulate_optima(parts: Mapping[str, Parts], column: str) -> pd.DataFrame:
    """The best rate and loss at every width, of studies by name."""
    rows = [
        {column: name, "width": int(width), "log2 of the best rate": best, "loss": loss}
        for name, own in parts.items()
        for width, best, loss in zip(own.widths, own.best, own.curves.min(axis=1), strict=True)
    ]
    return pd.DataFrame(rows)
