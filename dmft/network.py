"""The infinite dense network: a perceptron, or a stream with one matrix per branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .activations import ACTIVATIONS
from .edge import Edge
from .population import Fields
from .values import Back, Coordinates, Data, Parameters, Pass, Scales
from .web import Coefficients, Web, bilinear, draw, no_change


@dataclass(frozen=True)
class Wiring:
    """How the layers are connected; the part of a problem for which programs are compiled.

    Args:
        activations: of the hidden layers.
        residual: hidden layers after the first are branches of a stream, ``h <- h + branch W phi(h)``; else ``h <- W phi(h)``.
        biases: hidden layers have biases.
        shift: the output has one.
        dense: changes of hidden matrices are kept entry by entry, for updates without a finite rank.
    """

    activations: tuple[str, ...]
    residual: bool = False
    biases: bool = False
    shift: bool = False
    dense: bool = False

    @property
    def layers(self) -> int:
        """Hidden layers."""
        return len(self.activations)

    def populations(self, edge: int) -> tuple[int, int]:
        """Source and target of a hidden matrix: all layers of a stream are one population."""
        return (0, 0) if self.residual else (edge, edge + 1)

    @property
    def last(self) -> int:
        """The population that is read out."""
        return 0 if self.residual else self.layers - 1


@partial(jax.tree_util.register_dataclass, data_fields=["populations", "edges"], meta_fields=["wiring"])
@dataclass(frozen=True)
class Network(Web):
    """A dense network.

    Args:
        wiring: how its layers are connected.
    """

    wiring: Wiring

    @property
    def sites(self) -> tuple[int, ...]:
        return tuple(0 if self.wiring.residual else layer for layer in range(self.wiring.layers))

    def ends_of(self, edge: int) -> tuple[int, int]:
        return self.wiring.populations(edge)

    def start(self, data: Data, scales: Scales, *, orthogonal: bool) -> tuple[Network, Parameters]:
        wiring, pool = self.wiring, list(self.populations)
        first, hidden, readout = scales.stds
        w0 = draw(pool, 0, data.inputs.shape[1])
        w1 = draw(pool, wiring.last, data.targets.shape[1])
        dtype = w0.dtype
        parameters = Parameters(
            (first * w0).astype(dtype),
            tuple(_unchanged(edge, wiring) for edge in self.edges),
            tuple(jnp.asarray(std, float) for std in hidden),
            tuple(jnp.zeros(w0.shape[1], dtype) for _ in wiring.activations) if wiring.biases else (),
            (readout * w1).astype(dtype),
            (jnp.zeros(data.targets.shape[1]),) if wiring.shift else (),
        )
        network = replace(self, populations=tuple(pool))
        if orthogonal:
            _, passed = network.forward(parameters, data.inputs, scales)
            parameters = parameters._replace(readout=_orthogonal(parameters.readout, passed.features[-1], network))
        return network, parameters

    def padded(self, parameters: Parameters, rooms: Sequence[tuple[int, int]]) -> Parameters:
        return parameters if self.wiring.dense else super().padded(parameters, rooms)

    def change(self, edge: int, parameters: Parameters) -> Float[Array, "back ahead"]:
        return no_change(self.edges[edge]) if self.wiring.dense else parameters.hidden[edge]

    def multiply(
        self, edge: int, fields: Fields, parameters: Parameters, tolerance: Float[Array, ""], *, transposed: bool = False
    ) -> tuple[Network, Fields, Coefficients]:
        network, images, known = super().multiply(edge, fields, parameters, tolerance, transposed=transposed)
        if self.wiring.dense:
            change = parameters.hidden[edge] if transposed else parameters.hidden[edge].T
            images = images + network.ends(edge, transposed=transposed)[0].inner(fields, change.T)
        return network, images, known

    def forward(self, parameters: Parameters, inputs: Coordinates, scales: Scales) -> tuple[Network, Pass]:
        wiring, network = self.wiring, self
        h = inputs.astype(parameters.first.dtype) @ parameters.first
        before, features, coefficients = [], [], []
        for layer, name in enumerate(wiring.activations):
            if wiring.biases:
                h = h + parameters.biases[layer]
            phi = ACTIVATIONS[name][0](h)
            before.append(h)
            features.append(phi)
            if layer == wiring.layers - 1:
                break
            network, images, known = network.multiply(layer, phi, parameters, scales.tolerance)
            coefficients.append(known)
            h = h + scales.branch * images if wiring.residual else images
        outputs = network.populations[wiring.last].inner(features[-1], parameters.readout).astype(jnp.result_type(float))
        outputs = outputs + parameters.shift[0] if wiring.shift else outputs
        return network, Pass(tuple(before), tuple(features), tuple(coefficients), outputs)

    def backward(self, parameters: Parameters, passed: Pass, errors: Float[Array, "sample out"], scales: Scales) -> tuple[Network, Back]:
        wiring, network = self.wiring, self
        slope = lambda layer: ACTIVATIONS[wiring.activations[layer]][1](passed.before[layer])  # noqa: E731
        dtype = parameters.first.dtype
        deltas = [slope(wiring.layers - 1) * (errors.astype(dtype) @ parameters.readout)]
        coefficients = []
        for layer in reversed(range(wiring.layers - 1)):
            sent = scales.branch.astype(dtype) * deltas[0] if wiring.residual else deltas[0]
            network, images, known = network.multiply(layer, sent, parameters, scales.tolerance, transposed=True)
            coefficients.insert(0, known)
            delta = slope(layer) * images
            deltas.insert(0, deltas[0] + delta if wiring.residual else delta)
        return network, Back(tuple(deltas), tuple(coefficients), errors)

    def ascent(self, parameters: Parameters, inputs: Coordinates, passed: Pass, back: Back, scales: Scales) -> Parameters:
        count, dtype = len(inputs), parameters.first.dtype
        if self.wiring.dense:
            share = scales.branch.astype(dtype) if self.wiring.residual else 1.0
            hidden = tuple(share * d.T @ phi / count for d, phi in zip(back.deltas[1:], passed.features, strict=False))
        else:
            hidden = bilinear(back, passed)
        inputs, errors = (array.astype(dtype) / count for array in (inputs, back.errors))
        return Parameters(
            inputs.T @ back.deltas[0],
            hidden,
            tuple(jnp.zeros_like(part) for part in parameters.parts),
            tuple(delta.mean(0) for delta in back.deltas) if parameters.biases else (),
            errors.T @ passed.features[-1],
            tuple(errors.sum(0).astype(shift.dtype) for shift in parameters.shift),
        )


def _unchanged(edge: Edge, wiring: Wiring) -> Float[Array, "back ahead"]:
    """No change of a hidden matrix."""
    back, ahead = edge.backward.vectors, edge.forward.vectors
    return jnp.zeros((back.shape[1], ahead.shape[1]), back.dtype) if wiring.dense else no_change(edge)


def _orthogonal(readout: Fields, features: Fields, network: Network) -> Fields:
    """Without the part in the span of the features."""
    inner = network.populations[network.wiring.last].inner
    values, axes = jnp.linalg.eigh(inner(features, features))
    kept = values > 1e-10 * values[-1]
    basis = jnp.where(kept, axes / jnp.sqrt(jnp.where(kept, values, 1.0)), 0.0).T.astype(features.dtype) @ features
    return readout - inner(readout, basis) @ basis
