"""Orthonormal bases of stacks of matrices, by products alone: what a GPU does for all of a stack at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def orthonormal(columns: Float[Tensor, "*stack long short"]) -> Float[Tensor, "*stack long short"]:
    """Orthonormal columns of the same span in double precision, by two Cholesky decompositions: a GPU does all of a stack at once.

    As Gram and Schmidt would make them, so up to signs the Q of a QR decomposition. Columns that depend on those before them to 1e-7
    come out shorter, instead of as rounding errors of full length.
    """
    for _ in range(2):
        gram = columns.mT @ columns
        shift = (1e-15 * gram.diagonal(dim1=-2, dim2=-1).sum(-1)).clamp(min=1e-300)
        gram.diagonal(dim1=-2, dim2=-1).add_(shift[..., None])
        factor, _ = torch.linalg.cholesky_ex(gram)  # unchecked: a GPU would wait, and what has diverged is not a number anyway
        columns = torch.linalg.solve_triangular(factor.mT, columns, upper=True, left=False)
    return columns
