"""How a problem is solved."""

from __future__ import annotations

from dataclasses import dataclass

CUT = 1e-6  # variance left out of a basis at richness one; the error of a loss is near its root times a small constant


@dataclass(frozen=True)
class Settings:
    """How a problem is solved.

    Args:
        particles: of every population.
        noise: ``quasi`` for accuracy, ``random`` for the law of a network of that width, ``exact`` for linear networks,
            ``nodes`` for a quadrature.
        responds: whether the matrix of the backward pass is that of the forward pass (else gradient independence).
        cut: `CUT`, relative to the square of the richness.
        dtype: of fields.
        nodes: per variable, of a quadrature.
        parallel: all replicates at once, or one after the other; by default at once where there is an accelerator.
    """

    particles: int = 1024
    noise: str = "quasi"
    responds: bool = True
    cut: float = CUT
    dtype: str = "float64"
    nodes: int = 32
    parallel: bool | None = None
