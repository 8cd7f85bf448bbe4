"""What the parts of a study's trajectories say: arrays, statistics with intervals, truncations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...theory.curves import find_optima
from ...theory.truncation import Kappa, Truncated, choose
from ..claims import Interval

DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a study after its last step; rates at which any run diverged are left out.

    Args:
        widths: increasing.
        points: log2 of the rates, increasing.
        losses: at the average, shape (seed, width, point).
        linear: the linearised ones.
        tops: ``phi^k`` for every width, shape (seed, point, k).
    """

    widths: np.ndarray
    points: np.ndarray
    losses: np.ndarray
    linear: np.ndarray
    tops: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Parts:
        """From what `study.measure` returns."""
        last = frame[frame["step"] == frame["step"].max()]
        widths, rates = (np.unique(last[column]) for column in ("size.n", "hp.learning_rate"))
        losses, linear = (_table(last[last["term"] == term]) for term in ("averaged loss", "linearised loss"))
        usable = np.isfinite(losses).all(axis=(0, 1))
        tops = tuple(
            rows.pivot(index=["seed", "hp.learning_rate"], columns="k", values="value").to_numpy().reshape(len(losses), rates.size, -1)
            for _, rows in last[last["term"] == "top"].groupby("size.n")
        )
        parts = tuple(top[:, usable] for top in tops)
        return cls(widths, np.log2(rates[usable]), losses[..., usable], linear[..., usable], parts)

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Of the frame, those after the last step at the points that are not left out."""
        near = np.isclose(np.log2(frame["hp.learning_rate"].to_numpy())[:, None], self.points).any(axis=1)
        return frame[near & (frame["step"] == frame["step"].max()).to_numpy()]

    def drawn(self, seeds: np.ndarray) -> Parts:
        """With these seeds."""
        return Parts(self.widths, self.points, self.losses[seeds], self.linear[seeds], tuple(top[seeds] for top in self.tops))

    def estimate(self, statistic: Callable[[Parts], float]) -> tuple[float, Interval]:
        """A statistic and its 95 % interval, bootstrap over seeds, which are the same draws at all widths."""
        picks = np.random.default_rng(0).integers(len(self.losses), size=(DRAWS, len(self.losses)))
        values = [statistic(self.drawn(pick)) for pick in np.unique(np.sort(picks, axis=1), axis=0)]
        return statistic(self), (float(min(values)), float(max(values)))

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

    def excess(self) -> float:
        """What the largest width loses with the best point of the smallest, in parts of what it gains over the next smaller one."""
        from scipy.interpolate import CubicSpline

        fine = np.linspace(self.points[0], self.points[-1], 2001)
        before, last = (CubicSpline(self.points, curve) for curve in self.curves[-2:])
        lowest = last(fine).min()
        return float((last(self.best[0]) - lowest) / (before(fine).min() - lowest))

    def drift(self) -> float:
        """Octaves of the best rate per doubling of the width, least squares."""
        return float(np.polyfit(np.log2(self.widths), self.best, 1)[0])


def _table(rows: pd.DataFrame) -> np.ndarray:
    """Values as (seed, width, rate)."""
    table = rows.pivot(index="seed", columns=["size.n", "hp.learning_rate"], values="value").sort_index(axis=1)
    return table.to_numpy().reshape(len(table), -1, rows["hp.learning_rate"].nunique())
