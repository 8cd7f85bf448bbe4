"""Normalised directions of matrix optimizers, on stacks of matrices (..., out, inn).

Running averages are left out but for Lion's: an optimizer's exponents do not depend on them. So LAMB's direction is the sign of
the present gradient, that of AdaMuon the sign of its polar factor, Shampoo's factors are those of the present gradient, and Muon,
Dion and SOAP are one rule: the polar factor. With a momentum Muon is what its users run (see `find_rule`), and so is Dion (`.dion`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..theory.scales import as_fraction
from .executing import one_thread

BLOCK = 16  # side of the blocks of Shampoo
SKETCH = 64  # columns of a random sketch; a gradient of a finite batch has a smaller rank


def singular(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors and values that are not zero: u (..., out, k), s (..., k) with zeros at the end, v^T (..., k, inn).

    A sketch of the range is exact for the low rank that a finite batch gives; what it would miss of any matrix is measured, and
    then the full decomposition is taken. A matrix that is not finite (its replica has diverged) gets vectors that are not.
    """
    finite = torch.isfinite(g).all(-1, keepdim=True).all(-2, keepdim=True)
    with one_thread(g.device):
        u, s, vh = _decomposed(torch.where(finite, g, torch.zeros_like(g)))
    kept = torch.where(s > _accuracy(g) * s[..., :1], s, torch.zeros_like(s))
    return torch.where(finite, u, torch.full_like(u, torch.nan)), kept, vh


def _accuracy(g: Tensor) -> float:
    """Of singular values, relative to the largest: what is smaller is rounding."""
    return max(g.shape[-2:]) * torch.finfo(g.dtype).eps


def _decomposed(g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    out, inn = g.shape[-2:]
    if min(out, inn) > 2 * SKETCH:
        probe = torch.randn(inn, SKETCH, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(g)
        basis = torch.linalg.qr(g @ probe).Q
        inside = basis.mT @ g
        missed, whole = (a.norm(dim=(-2, -1)) for a in (g - basis @ inside, g))
        if bool((missed <= _accuracy(g) * whole).all()):
            u, s, vh = torch.linalg.svd(inside, full_matrices=False)
            return basis @ u, s, vh
    return torch.linalg.svd(g, full_matrices=False)


def spectral(g: Tensor, power: float = 0.0) -> Tensor:
    """``u s^power v^T`` over the singular values that are not zero: the polar factor for power 0."""
    u, s, vh = singular(g)
    scaled = torch.where(s > 0, torch.where(s > 0, s, torch.ones_like(s)) ** power, torch.zeros_like(s))
    return (u * scaled[..., None, :]) @ vh


def newton_schulz(g: Tensor, steps: int = 5) -> Tensor:
    """About the polar factor, without a decomposition: ``x <- a x + b (x x^T) x + c (x x^T)^2 x`` from ``g / |g|``.

    The coefficients are Keller Jordan's (Muon, 2024): singular values end between 0.7 and 1.2, those far below 1e-3 of the norm do not
    get there.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = g.shape[-2] <= g.shape[-1]
    x = g if wide else g.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-30)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.mT


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


def factored(g: Tensor) -> Tensor:
    """Divided by the root of the product of the mean squares of its row and its column (Adafactor, arXiv 1804.04235)."""
    square = g.square()
    rows, columns, whole = square.mean(-1, keepdim=True), square.mean(-2, keepdim=True), square.mean((-2, -1), keepdim=True)
    size = (rows * columns / torch.where(whole > 0, whole, torch.ones_like(whole))).sqrt()
    return g / torch.where(size > 0, size, torch.ones_like(size))


def blocked(g: Tensor, power: float, side: int = BLOCK) -> Tensor:
    """`spectral` of every block of so many rows and columns."""
    out, inn = g.shape[-2:]
    tall, wide = (min(side, n) for n in (out, inn))
    padded = torch.nn.functional.pad(g, (0, -inn % wide, 0, -out % tall))
    blocks = padded.unflatten(-1, (-1, wide)).unflatten(-3, (-1, tall)).movedim(-2, -3)
    return spectral(blocks, power).movedim(-3, -2).flatten(-4, -3).flatten(-2, -1)[..., :out, :inn]


Direction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """How a direction is made of a gradient, as data.

    Args:
        direction: of the gradient (with momentum), on (..., out, inn).
        betas: the direction is that of ``beta1 m + (1 - beta1) g``, and ``m <- beta2 m + (1 - beta2) g``; None keeps no state.
        relative: multiplied by the RMS entry of the parameter, where that is not zero.
        sphere: the parameter keeps its Frobenius norm.
    """

    direction: Direction
    betas: tuple[float, float] | None = None
    relative: bool = False
    sphere: bool = False


def _shaped(power_out: float, power_in: float, power_max: float = 0.0, *, polar: Direction = spectral) -> Direction:
    """The polar factor times powers of the fans and of the larger one."""

    def direction(g: Tensor) -> Tensor:
        out, inn = g.shape[-2:]
        return polar(g) * (out**power_out * inn**power_in * max(out, inn) ** power_max)

    return direction


SHAPES = {"muon": (0.0, 0.0, 0.0), "muon-scaled": (0.5, -0.5, 0.0), "muon-rms": (0.0, 0.0, 0.5), "muon-keller-jordan": (0.0, -0.5, 0.5)}
RULES = {
    **{name: Rule(_shaped(*powers)) for name, powers in SHAPES.items()},
    "sign": Rule(torch.sign),
    "lion": Rule(torch.sign, betas=(0.9, 0.99)),
    "dion": Rule(spectral),
    "soap": Rule(spectral),
    "soap-one-sided": Rule(one_sided),
    "muon-matched": Rule(lambda g: unit_rms(spectral(g))),
    "adamuon": Rule(lambda g: spectral(g).sign()),
    "blocked-shampoo": Rule(lambda g: blocked(g, 0.0)),
    "adafactor": Rule(factored, relative=True),
    "adafactor-unscaled": Rule(factored),
    "learned": Rule(lambda g: torch.tanh(unit_rms(g))),  # any bounded function of the entries in units of their size
    "row-normalised": Rule(lambda g: _norm(g, -1)),
    "column-normalised": Rule(lambda g: _norm(g, -2)),
    "swan": Rule(lambda g: unit_rms(spectral(_norm(g, -1)))),
    "lars": Rule(unit_rms, relative=True),
    "lamb": Rule(lambda g: unit_rms(g.sign()), relative=True),
    "hyperball": Rule(lambda g: unit_rms(g.sign()), relative=True, sphere=True),
    "muonh": Rule(lambda g: unit_rms(spectral(g)), relative=True, sphere=True),
}


def find_rule(name: str, momentum: float = 0.0) -> Rule | None:
    """The rule of this name, or None; ``shampoo:L,R`` has the powers of both factors, of the present gradient alone.

    Muon with a momentum takes ``m <- momentum m + (1 - momentum) g`` to its direction by `newton_schulz`.

    Raises:
        ValueError: if the powers add up to more than 1/2: then the smallest singular values of a gradient lead, and what
            they do is decided by the damping, which is not executed.
    """
    if momentum:
        return Rule(_shaped(*SHAPES[name], polar=newton_schulz), betas=(momentum, momentum)) if name in SHAPES else None
    family, _, exponents = name.partition(":")
    if family == "shampoo":
        total = sum(float(as_fraction(e, "Shampoo's exponent")) for e in (exponents or "1/4,1/4").split(","))
        if total > 0.5:
            raise ValueError(
                f"the optimizer `{name}` inverts a gradient, which needs its damping; executed are powers with a sum up to 1/2"
            )
        return Rule(lambda g: spectral(g, 1 - 2 * total))
    return RULES.get(name)
