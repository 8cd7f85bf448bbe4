"""Activations and their derivatives by name; the names are `widelimit.theory.architecture.ACTIVATIONS`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy import special

Function = Callable[[jax.Array], jax.Array]


def _gelu_slope(h: jax.Array) -> jax.Array:
    density = jnp.exp(-(h**2) / 2) / jnp.sqrt(2 * jnp.pi)
    return special.ndtr(h) + h * density


def _silu_slope(h: jax.Array) -> jax.Array:
    gate = jax.nn.sigmoid(h)
    return gate * (1 + h * (1 - gate))


ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "identity": (lambda h: h, jnp.ones_like),
    "relu": (lambda h: jnp.maximum(h, 0), lambda h: (h > 0).astype(h.dtype)),
    "gelu": (lambda h: h * special.ndtr(h), _gelu_slope),
    "silu": (jax.nn.silu, _silu_slope),
    "tanh": (jnp.tanh, lambda h: 1 - jnp.tanh(h) ** 2),
    "erf": (special.erf, lambda h: jnp.exp(-(h**2)) * (2 / jnp.pi**0.5)),
    "softplus": (jax.nn.softplus, jax.nn.sigmoid),
    "sigmoid": (jax.nn.sigmoid, lambda h: jax.nn.sigmoid(h) * jax.nn.sigmoid(-h)),
}
"""Name -> (phi, phi'). The derivative of relu at zero is zero, as in PyTorch."""
