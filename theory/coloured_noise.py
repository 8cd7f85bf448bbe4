"""A matrix that accumulates coloured noise, ``W = w B^(1/2) Z A^(1/2)``: its top singular value, its gain, and how both grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


def power_law(size: int, exponent: float) -> Values:
    """Eigenvalues ``i^-exponent`` of the mean 1, the largest first."""
    import numpy as np

    values = np.arange(1.0, size + 1) ** -exponent
    return values / values.mean()


def stable_rank(values: Values) -> float:
    """``tr C / |C|`` of a covariance with these eigenvalues."""
    return float(values.sum() / values.max())


def participation(values: Values) -> float:
    """``(tr C)^2 / tr C^2``."""
    return float(values.sum() ** 2 / (values**2).sum())


def chevet(inn: Values, out: Values) -> float:
    """A bound on the mean top singular value, ``sqrt(|A| tr B) + sqrt(|B| tr A)`` (Chevet's inequality), for w = 1.

    Args:
        inn: eigenvalues of A, the covariance of inputs.
        out: eigenvalues of B, that of the derivatives that come back.
    """
    return float((inn.max() * out.sum()) ** 0.5 + (out.max() * inn.sum()) ** 0.5)


def noise_top(inn: Values, out: Values, *, draws: int = 4, seed: int = 0) -> float:
    """The mean top singular value of ``B^(1/2) Z A^(1/2)`` where its entries have the mean square 1, from a few draws of Z.

    Z is Gaussian, so that eigenvalues alone matter. For what AdamW accumulates they are those of correlations: it divides every entry
    by its own size.

    Args:
        inn: eigenvalues of A, of any sum.
        out: eigenvalues of B.
        draws: of Z; a single one scatters by some per cent.
        seed: of the draws.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    rows, columns = (np.sqrt(values / values.mean()).astype(np.float32) for values in (out, inn))
    drawn = rng.standard_normal((draws, len(rows), len(columns)), np.float32) * rows[:, None] * columns
    small = drawn if len(rows) <= len(columns) else drawn.swapaxes(1, 2)
    return float(np.sqrt(np.linalg.eigvalsh(small @ small.swapaxes(1, 2))[:, -1]).mean())


def top_exponent(exponent: float) -> float:
    """Of the top singular value in the width, entries of W being of order one, with eigenvalues ``i^-exponent``: 1/2 to 1."""
    return (1 + min(exponent, 1.0)) / 2


def gain_exponent(exponent: float) -> float:
    """Of ``rms(W x) / rms(x)``: 1/2 as long as ``tr A^2`` is that of the bulk, then the exponent itself, at most 1."""
    return min(max(exponent, 0.5), 1.0)
