"""Losses of a sample and their negative derivatives by the outputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

LOSSES = ("cross-entropy", "logistic", "squared")


def sample_losses(outputs: Float[Array, "*lead out"], targets: Shaped[Array, "*lead out"], kind: str) -> Float[Array, "*lead"]:
    """``squared`` is half the squared distance, ``logistic`` is ``log(1 + e^f) - y f`` with y in {0, 1}, both summed over outputs;
    ``cross-entropy`` has one-hot targets."""
    if kind == "squared":
        return jnp.sum((targets - outputs) ** 2, axis=-1) / 2
    if kind == "logistic":
        return jnp.sum(jax.nn.softplus(outputs) - targets * outputs, axis=-1)
    return -jnp.sum(targets * jax.nn.log_softmax(outputs), axis=-1)


def errors(outputs: Float[Array, "*lead out"], targets: Shaped[Array, "*lead out"], kind: str) -> Float[Array, "*lead out"]:
    """``Delta = -d loss / d f``: the target minus the prediction, in the sense of each loss."""
    if kind == "squared":
        return targets - outputs
    return targets - (jax.nn.sigmoid(outputs) if kind == "logistic" else jax.nn.softmax(outputs))
