"""Losses of stacked networks: one number per replica, or per replica and sample."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

REGISTER = 64  # bytes, with AVX-512; PyTorch's softmax over a last dimension that does not fill one is not vectorised


def sample_losses(
    output: Float[Tensor, "replica batch ..."], targets: Shaped[Tensor, "batch ..."], kind: str
) -> Float[Tensor, "replica batch"]:
    """The loss of every sample, a mean over its positions.

    ``squared`` is half the squared distance and ``logistic`` is ``log(1 + e^f) - y f`` with y in {0, 1}, both summed over the last
    dimension; ``cross-entropy`` is taken over it, where targets that are no integers are its distributions.

    Raises:
        ValueError: if targets do not fit the output.
    """
    output = output.float() if output.dtype == torch.bfloat16 else output
    soft = targets.is_floating_point()
    wanted = output.shape[1:-1] if kind == "cross-entropy" and not soft else output.shape[1:]
    if targets.shape != wanted:
        raise ValueError(f"targets of the shape {tuple(targets.shape)} do not fit outputs of {tuple(output.shape[1:])} ({kind})")
    if kind == "cross-entropy" and soft:
        loss = -(functional.log_softmax(output, -1) * targets.to(output.dtype)).sum(-1)
    elif kind == "cross-entropy":
        loss = _cross_entropy(output, targets.expand(output.shape[:-1]))
    elif kind == "logistic":
        loss = (functional.softplus(output) - targets.to(output.dtype) * output).sum(-1)
    else:
        loss = (output - targets.to(output.dtype)).square().sum(-1) / 2
    return loss.flatten(2).mean(2) if loss.ndim > 2 else loss


def _cross_entropy(
    output: Float[Tensor, "replica batch ... class"], labels: Int[Tensor, "replica batch ..."]
) -> Float[Tensor, "replica batch ..."]:
    """With few classes on a CPU, over a middle dimension: the same numbers bit by bit in a sixth of the time for 10 classes."""
    if output.device.type == "cpu" and output.shape[-1] * output.element_size() < REGISTER:
        loss = functional.cross_entropy(output.flatten(1, -2).mT, labels.flatten(1), reduction="none")
    else:
        loss = functional.cross_entropy(output.reshape(-1, output.shape[-1]), labels.reshape(-1), reduction="none")
    return loss.view(labels.shape)


def replica_losses(
    output: Float[Tensor, "replica batch ..."], targets: Shaped[Tensor, "batch ..."], kind: str
) -> Float[Tensor, " replica"]:
    """The mean over the batch; the gradient of the sum over replicas is the gradient of each."""
    return sample_losses(output, targets, kind).mean(1)
