"""One matrix under AdamW, whose gradients are coloured noise: what the optimizer makes of spectra, with nothing to learn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..theory.gain import PowerLaw
from .matrices import Moments, noise_tops, singular_values
from .optimizers import make_update
from .streams import stream

SIDES = ("both", "in")
EPSILON = 1e-30


@dataclass(frozen=True)
class Coloured:
    """Matrices of one width: seeds x sides x exponents.

    The gradient of a step is ``sum_b d_b x_b^T`` with ``x ~ N(0, A)``, ``d ~ N(0, B)``; eigenvalues of A (and on ``both`` sides of B) are
    ``i^-a`` in random bases. Rate and decay are the same at all widths, and so is how stationary matrices are after ``memories``.

    Args:
        width: d, of both sides.
        exponents: values of a.
        sides: of `SIDES`: where noise is coloured.
        seeds: of bases and noise; exponents and sides share both.
        learning_rate: eta.
        weight_decay: lambda.
        memories: number of steps in units of ``1 / (eta lambda)``, from W = 0.
        betas: of Adam.
    """

    width: int
    exponents: tuple[float, ...]
    sides: tuple[str, ...] = SIDES
    seeds: tuple[int, ...] = (0,)
    learning_rate: float = 0.02
    weight_decay: float = 1.0
    memories: float = 3.0
    betas: tuple[float, float] = (0.9, 0.95)

    def __post_init__(self) -> None:
        if unknown := set(self.sides) - set(SIDES):
            raise ValueError(f"unknown `sides` {', '.join(sorted(unknown))}; choose from {', '.join(SIDES)}")

    @property
    def steps(self) -> int:
        return round(self.memories / (self.learning_rate * self.weight_decay))

    @property
    def stationarity(self) -> float:
        """``2 sum_t eta lambda``."""
        return 2 * self.steps * self.learning_rate * self.weight_decay

    def key_data(self) -> dict[str, Any]:
        """Everything that determines the numbers."""
        return {"kind": "coloured", **{name: getattr(self, name) for name in self.__dataclass_fields__}}


def accumulate(coloured: Coloured, *, device: torch.device | str = "cpu") -> pd.DataFrame:
    """Train the matrices and measure them.

    Terms, with ``sqrt(eta / lambda)`` divided out: ``top singular value``, ``gain`` (``rms(W x) / rms(x)`` for x as in training),
    ``rms``, and ``singular value`` by its place in the column ``k``. Their column ``predicted`` has what noise of the measured ``rms``
    would have (`matrices.noise_tops`). ``stable rank in``, ``stable rank back`` and the same of ``participation`` are the covariances'.

    Returns:
        One row per seed, side (``config``), exponent (``hp.exponent``) and term.
    """
    return pd.concat([_accumulate(coloured, seed, torch.device(device)) for seed in coloured.seeds], ignore_index=True)


def _accumulate(coloured: Coloured, seed: int, device: torch.device) -> pd.DataFrame:
    d, rng = coloured.width, stream(seed, "coloured")
    bases = [np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2)]
    kinds = tuple(product(coloured.sides, coloured.exponents))
    inn = _root(bases[0], [a for _, a in kinds], device)
    out = _root(bases[1], [a if side == "both" else 0.0 for side, a in kinds], device)
    weight = torch.zeros(len(kinds), d, d, device=device)
    group = {"params": [weight], "lr": coloured.learning_rate, "weight_decay": coloured.weight_decay, "eps": EPSILON}
    update = make_update("adamw", [group], betas=coloured.betas)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    for _ in range(coloured.steps):
        back, x = (torch.randn(d, d, generator=generator).to(device) for _ in range(2))
        update.step([out @ (back @ x.mT) @ inn.mT])
    terms = _measure(weight / (coloured.learning_rate / coloured.weight_decay) ** 0.5, inn, out)
    columns = {"source": "synthetic", "case": "coloured", "seed": seed, "step": coloured.steps, "weight": "W", "size.n": d}
    labels = {"config": [side for side, _ in kinds], "hp.exponent": [a for _, a in kinds]}
    rows = [pd.DataFrame({"term": t, "value": v, "predicted": p, "k": k, **labels}) for t, v, p, k in terms]
    return pd.concat(rows, ignore_index=True).assign(**columns)


def _root(basis: np.ndarray, exponents: list[float], device: torch.device) -> Tensor:
    """Factors C of covariances ``C C^T``, (exponent, width, width)."""
    roots = np.stack([basis * np.sqrt(PowerLaw.of(a).eigenvalues(len(basis))) for a in exponents])
    return torch.from_numpy(roots).float().to(device)


def _measure(weight: Tensor, inn: Tensor, out: Tensor) -> list[tuple[str, np.ndarray, Any, float]]:
    """Terms with their values, predictions and places."""
    read, back = (Moments(root.double() @ root.double().mT) for root in (inn, out))
    values, rms = singular_values(weight), weight.double().square().mean((1, 2)).sqrt()
    gain = (weight @ inn).double().square().mean((1, 2)).sqrt() * inn.shape[-1] ** 0.5
    found: list[tuple[str, Tensor, Tensor | None, float]] = [
        ("top singular value", values[:, 0], rms * noise_tops(read, back).to(rms), np.nan),
        ("gain", gain, rms * read.noise_gain, np.nan),
        ("rms", rms, None, np.nan),
        ("stable rank in", read.stable_rank, None, np.nan),
        ("stable rank back", back.stable_rank, None, np.nan),
        ("participation in", read.participation, None, np.nan),
        ("participation back", back.participation, None, np.nan),
        *(("singular value", value, None, k + 1.0) for k, value in enumerate(values.T)),
    ]
    return [(term, v.cpu().numpy(), np.nan if p is None else p.cpu().numpy(), k) for term, v, p, k in found]
