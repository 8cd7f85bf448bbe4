"""Normalised directions of matrix optimizers, on stacks of matrices (..., out, inn).

Running averages are left out but for Lion's: an optimizer's exponents do not depend on them. So LAMB's direction is the sign of
the present gradient, and Shampoo's factors are those of the present gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SKETCH = 64  # columns of a random sketch; a gradient of a finite batch has a smaller rank
EXACT = 1e-6  # relative part of a gradient that a sketch may miss


def singular(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors and values that are not zero: u (..., out, k), s (..., k) with zeros at the end, v^T (..., k, inn).

    A sketch of the range is exact for the low rank that a finite batch gives; what it would miss is measured, and then the
    full decomposition is taken.
    """
    out, inn = g.shape[-2:]
    if min(out, inn) > 2 * SKETCH:
        probe = torch.randn(inn, SKETCH, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(g)
        basis = torch.linalg.qr(g @ probe).Q
        inside = basis.mT @ g
        if float((g - basis @ inside).norm()) <= EXACT * float(g.norm()):
            u, s, vh = torch.linalg.svd(inside, full_matrices=False)
            return basis @ u, *_cut(s, vh)
    u, s, vh = torch.linalg.svd(g, full_matrices=False)
    return u, *_cut(s, vh)


def _cut(s: Tensor, vh: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values below the accuracy of the largest are zero."""
    return torch.where(s > 1e-8 * s[..., :1], s, torch.zeros_like(s)), vh


def spectral(g: Tensor, power: float = 0.0) -> Tensor:
    """``u s^power v^T`` over the singular values that are not zero: the polar factor for power 0."""
    u, s, vh = singular(g)
    scaled = torch.where(s > 0, s.clamp_min(1e-300) ** power, torch.zeros_like(s))
    return (u * scaled[..., None, :]) @ vh


def one_sided(g: Tensor) -> Tensor:
    """Signs in the eigenbasis of ``g g^T``: ``u sign(u^T g)`` over the singular vectors of values that are not zero."""
    u, s, vh = singular(g)
    return u @ torch.where(s[..., None] > 0, vh.sign(), torch.zeros_like(vh))


def unit_rms(g: Tensor) -> Tensor:
    """Divided by its root mean square entry."""
    return g / rms(g)


def rms(g: Tensor) -> Tensor:
    """Root mean square entry of every matrix; 1 where all are zero."""
    size = g.square().mean((-2, -1), keepdim=True).sqrt()
    return torch.where(size > 0, size, torch.ones_like(size))


def _norm(g: Tensor, dim: int) -> Tensor:
    size = g.norm(dim=dim, keepdim=True)
    return g / torch.where(size > 0, size, torch.ones_like(size))


@dataclass(frozen=True)
class Rule:
    """How a direction is made of a gradient, as data.

    Args:
        direction: of the gradient (with momentum), on (..., out, inn).
        betas: the direction is that of ``beta1 m + (1 - beta1) g``, and ``m <- beta2 m + (1 - beta2) g``; None keeps no state.
        relative: multiplied by the RMS entry of the parameter, where that is not zero.
        sphere: the parameter keeps its Frobenius norm.
    """

    direction: Callable[[Tensor], Tensor]
    betas: tuple[float, float] | None = None
    relative: bool = False
    sphere: bool = False


def _shaped(power_out: float, power_in: float, power_max: float = 0.0) -> Callable[[Tensor], Tensor]:
    """The polar factor times powers of the fans and of the larger one."""

    def direction(g: Tensor) -> Tensor:
        out, inn = g.shape[-2:]
        return spectral(g) * (out**power_out * inn**power_in * max(out, inn) ** power_max)

    return direction


RULES = {
    "sign": Rule(torch.sign),
    "lion": Rule(torch.sign, betas=(0.9, 0.99)),
    "muon": Rule(spectral),
    "dion": Rule(spectral),
    "soap": Rule(spectral),
    "soap-one-sided": Rule(one_sided),
    "muon-scaled": Rule(_shaped(0.5, -0.5)),
    "muon-rms": Rule(_shaped(0.0, 0.0, 0.5)),
    "muon-keller-jordan": Rule(_shaped(0.0, -0.5, 0.5)),
    "muon-matched": Rule(lambda g: unit_rms(spectral(g))),
    "row-normalised": Rule(lambda g: _norm(g, -1)),
    "column-normalised": Rule(lambda g: _norm(g, -2)),
    "swan": Rule(lambda g: unit_rms(spectral(_norm(g, -1)))),
    "lars": Rule(unit_rms, relative=True),
    "lamb": Rule(lambda g: unit_rms(g.sign()), relative=True),
    "hyperball": Rule(lambda g: unit_rms(g.sign()), relative=True, sphere=True),
    "muonh": Rule(lambda g: unit_rms(spectral(g)), relative=True, sphere=True),
}


def find_rule(name: str) -> Rule | None:
    """The rule of this name, or None; ``shampoo:L,R`` has the powers of both factors, of the present gradient alone.

    Raises:
        ValueError: if the powers add up to more than 1/2: then the smallest singular values of a gradient lead, and what
            they do is decided by the damping, which is not executed.
    """
    family, _, exponents = name.partition(":")
    if family == "shampoo":
        left, right = (_number(e) for e in exponents.split(",")) if exponents else (0.25, 0.25)
        if left + right > 0.5:
            raise ValueError(
                f"the optimizer `{name}` inverts a gradient, which needs its damping; executed are powers with a sum up to 1/2"
            )
        return Rule(lambda g: spectral(g, 1 - 2 * (left + right)))
    return RULES.get(name)


def _number(text: str) -> float:
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom or 1)
