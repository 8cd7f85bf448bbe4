"""Compute-optimal grid search: tuning the model itself, or a smaller one whose best hyperparameters are transferred.

A run at size n costs ``n^r``; a grid of resolution rho over h hyperparameters has ``rho^-h`` points and misses the optimum by about
rho, which costs ``rho^2``. With the loss gap ``n^-alpha`` and an optimum that is off by ``n^-beta``, a budget F gives

    direct     F = n^r rho^-h            excess  (n^r / F)^(2/h) + n^-alpha
    transfer   F = n^r rho^-h + M^r      excess  (n^r / F)^(2/h) + n^-2beta + M^-alpha

(Ghosh, Wu and Bietti, arXiv 2512.22768, Theorem 2). Excess losses fall as powers of F, and transfer falls faster iff beta > alpha/2.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Method = Literal["direct", "transfer"]


@dataclass(frozen=True)
class Search:
    """Exponents of a search.

    Args:
        alpha: of the loss gap, ``a_n ~ n^-alpha``.
        beta: of the optimum, ``b_n ~ n^-beta``.
        cost: r, of a run at size n.
        hyperparameters: h, how many are searched.
    """

    alpha: float
    beta: float
    cost: float = 2.0
    hyperparameters: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"`{field.name}` is {getattr(self, field.name)}; it must be positive")

    @property
    def direct(self) -> float:
        """Power of F with which the excess loss of a direct search falls: ``2 alpha / (h alpha + 2 r)``."""
        return 2 * self.alpha / (self.hyperparameters * self.alpha + 2 * self.cost)

    @property
    def transfer(self) -> float:
        """The same for transfer: the final run alone allows ``alpha / r``, the search ``2 beta / (h beta + r)``."""
        return min(self.alpha / self.cost, 2 * self.beta / (self.hyperparameters * self.beta + self.cost))

    @property
    def useful(self) -> bool:
        """Whether transfer falls faster than a direct search."""
        return self.beta > self.alpha / 2

    @property
    def saturating(self) -> float:
        """The smallest beta from which only the final run counts: ``alpha r / (2 r - h alpha)``; inf where there is none."""
        room = 2 * self.cost - self.hyperparameters * self.alpha
        return self.alpha * self.cost / room if room > 0 else float("inf")

    def size(self, budget: ArrayLike, method: Method) -> Array:
        """Size at which the grid is run, up to a constant: ``F^(2/(h alpha + 2r))`` or ``F^(1/(h beta + r))``."""
        h, r, f = self.hyperparameters, self.cost, np.asarray(budget, float)
        return f ** (2 / (h * self.alpha + 2 * r)) if method == "direct" else f ** (1 / (h * self.beta + r))

    def excess(self, budget: ArrayLike, method: Method, *, final: float = 0.5) -> Array:
        """The least excess loss at each budget, over all sizes at which at least one grid point can be paid.

        Args:
            budget: F, in runs of size 1.
            method: ``direct`` or ``transfer``.
            final: part of the budget that transfer keeps for the final run.
        """
        found = []
        for f in np.atleast_1d(np.asarray(budget, float)):
            search = f if method == "direct" else (1 - final) * f
            n = np.geomspace(1, search ** (1 / self.cost), 4000)
            missed = (n**self.cost / search) ** (2 / self.hyperparameters)
            if method == "direct":
                found.append((missed + n**-self.alpha).min())
            else:
                found.append((missed + n ** (-2 * self.beta)).min() + (final * f) ** (-self.alpha / self.cost))
        return np.array(found).reshape(np.shape(budget))

    def simulate(self, budget: ArrayLike, method: Method, *, draws: int = 200, seed: int = 0, final: float = 0.5) -> Array:
        """Mean excess loss of searches that are really made, on ``(nu - n^-beta)^2 / 2 + n^-alpha`` in every hyperparameter.

        The grid is regular with whole numbers of points on [-1, 1] shifted at random; each method uses the size that is optimal
        for it among powers of sqrt 2.
        """
        rng = np.random.default_rng(seed)
        shifts = rng.random((draws, self.hyperparameters))
        return np.array([self._searched(f, method, shifts, final) for f in np.atleast_1d(np.asarray(budget, float))]).reshape(
            np.shape(budget)
        )

    def _searched(self, budget: float, method: Method, shifts: Array, final: float) -> float:
        h, search = self.hyperparameters, budget if method == "direct" else (1 - final) * budget
        means = []
        for n in 2.0 ** np.arange(0, np.log2(search) / self.cost, 0.5):
            points = int((search / n**self.cost) ** (1 / h))
            if points < 1:
                break
            spacing = 2 / points
            chosen = spacing * np.round(n**-self.beta / spacing - shifts) + spacing * shifts  # the nearest point to the optimum at size n
            if method == "direct":
                means.append(((chosen - n**-self.beta) ** 2 / 2).sum(axis=1).mean() + n**-self.alpha)
            else:
                m = (final * budget) ** (1 / self.cost)
                means.append(((chosen - m**-self.beta) ** 2 / 2).sum(axis=1).mean() + m**-self.alpha)
        return float(min(means))
