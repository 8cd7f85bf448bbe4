"""Gates of experts, and how they are heard in the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Logits = Float[Array, "sample expert"]

KINDS = ("sigmoid", "softmax")


@dataclass(frozen=True)
class Gate:
    """The weight of every expert in ``1/E sum_i g_i o_i``.

    Args:
        kind: ``sigmoid``; ``softmax`` over the experts, multiplied by their number E, so that gates are of order one.
        active: the share kappa of experts that a sample reaches, those with the largest logits; the gates of the others are zero, theirs
            are divided by kappa. One: all.
    """

    kind: str = "sigmoid"
    active: float = 1.0

    def gates(self, logits: Logits) -> Logits:
        """g of every expert."""
        if self.kind == "sigmoid":
            values = jax.nn.sigmoid(logits)
        else:
            values = jax.nn.softmax(logits, axis=-1) * logits.shape[-1]
        return values * self._reached(logits)

    def pull(self, logits: Logits, gates: Logits, use: Logits) -> Logits:
        """What the loss gains from larger logits, given what it gains from larger gates (A_i, with the factor 1/E left out)."""
        if self.kind == "sigmoid":
            return gates * (1 - jax.nn.sigmoid(logits)) * use
        smooth = jax.nn.softmax(logits, axis=-1) * logits.shape[-1]
        return gates * use - smooth * (gates * use).mean(-1, keepdims=True)

    def _reached(self, logits: Logits) -> Logits | float:
        """1/kappa for experts that a sample reaches, else zero."""
        if self.active == 1.0:
            return 1.0
        count = max(1, round(self.active * logits.shape[-1]))
        least = jnp.sort(logits, axis=-1)[:, -count, None]
        return jnp.where(logits >= least, logits.shape[-1] / count, 0.0).astype(logits.dtype)
