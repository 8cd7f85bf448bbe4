"""A forward and a backward pass through the infinite network, on fields of its populations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .activations import ACTIVATIONS
from .edge import Addition, Edge, in_basis
from .population import Fields, Population

Coordinates = Float[Array, "sample coordinate"]


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


class Parameters(NamedTuple):
    """Everything that is trained, or a change of it.

    Args:
        first: the input matrix, by coordinates of the inputs, (coordinate, neuron).
        hidden: D of every hidden matrix (see `edge`), (backward basis, forward basis); where changes are kept entry by entry, n times
            the change of the matrix, (target neuron, source neuron).
        parts: q of every hidden matrix; zero in a change.
        biases: of every hidden layer, (neuron,); none without biases.
        readout: n times the output matrix, (output, neuron).
        shift: the output's bias, (output,); none without one.
    """

    first: Float[Array, "coordinate neuron"]
    hidden: tuple[Float[Array, "back ahead"], ...]
    parts: tuple[Float[Array, ""], ...]
    biases: tuple[Float[Array, " neuron"], ...]
    readout: Float[Array, "out neuron"]
    shift: tuple[Float[Array, " out"], ...]


@partial(jax.tree_util.register_dataclass, data_fields=["populations", "edges"], meta_fields=["wiring"])
@dataclass(frozen=True)
class Network:
    """What is known of the initial network so far: noise drawn, bases grown. Looking further does not change its law."""

    wiring: Wiring
    populations: tuple[Population, ...]
    edges: tuple[Edge, ...]

    def ends(self, edge: int, *, transposed: bool = False) -> tuple[Population, Population]:
        """Source and target population of a product."""
        source, target = (self.populations[p] for p in self.wiring.populations(edge))
        return (target, source) if transposed else (source, target)

    def multiply(
        self, edge: int, fields: Fields, parameters: Parameters, tolerance: Float[Array, ""], *, transposed: bool = False
    ) -> tuple[Network, Fields, Float[Array, "sample basis"]]:
        """Fields times a hidden matrix, or its transpose.

        Returns:
            The network that has looked at them, their images, and their coefficients in the basis.
        """
        network, ends = self, self.ends(edge, transposed=transposed)
        change = parameters.hidden[edge] if transposed else parameters.hidden[edge].T
        for _ in range(self.edges[edge].passes):
            now = network.edges[edge]
            own, other = (now.backward, now.forward) if transposed else (now.forward, now.backward)
            update = jnp.zeros((len(own.vectors), len(other.vectors))) if self.wiring.dense else change
            images, known, new = now.apply(fields, update, parameters.parts[edge], ends, tolerance, transposed=transposed)
            coefficients = in_basis(own, known, new)
            network = network._known(edge, new, transposed=transposed)
            ends = network.ends(edge, transposed=transposed)
        if self.wiring.dense:
            images = images + ends[0].inner(fields, change.T)
        return network, images, coefficients

    def _known(self, edge: int, new: Addition, *, transposed: bool) -> Network:
        """With an addition to an edge, whose noise is used up."""
        target = self.wiring.populations(edge)[0 if transposed else 1]
        populations, edges = list(self.populations), list(self.edges)
        populations[target] = populations[target].skip(new.count)
        edges[edge] = edges[edge].store(new, transposed=transposed)
        return replace(self, populations=tuple(populations), edges=tuple(edges))


class Pass(NamedTuple):
    """Fields of a forward pass.

    Args:
        before: preactivations of every hidden layer, (sample, neuron).
        features: their activations.
        coefficients: of the features in the basis of the matrix they are multiplied with, (sample, basis).
        outputs: (sample, output).
    """

    before: tuple[Fields, ...]
    features: tuple[Fields, ...]
    coefficients: tuple[Float[Array, "sample basis"], ...]
    outputs: Float[Array, "sample out"]


def forward(
    network: Network, parameters: Parameters, inputs: Coordinates, branch: Float[Array, ""], tolerance: Float[Array, ""]
) -> tuple[Network, Pass]:
    """Apply the network to inputs."""
    wiring = network.wiring
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
        network, images, known = network.multiply(layer, phi, parameters, tolerance)
        coefficients.append(known)
        h = h + branch * images if wiring.residual else images
    outputs = network.populations[wiring.last].inner(features[-1], parameters.readout).astype(jnp.result_type(float))
    outputs = outputs + parameters.shift[0] if wiring.shift else outputs
    return network, Pass(tuple(before), tuple(features), tuple(coefficients), outputs)


def backward(
    network: Network,
    parameters: Parameters,
    passed: Pass,
    errors: Float[Array, "sample out"],
    branch: Float[Array, ""],
    tolerance: Float[Array, ""],
) -> tuple[Network, tuple[Fields, ...], tuple[Float[Array, "sample basis"], ...]]:
    """Propagate ``Delta = -d loss/d f`` back.

    Returns:
        The network; ``-n d loss / d h`` of every hidden layer; the coefficients of what every hidden matrix is multiplied with.
    """
    wiring = network.wiring
    slope = lambda layer: ACTIVATIONS[wiring.activations[layer]][1](passed.before[layer])  # noqa: E731
    dtype = parameters.first.dtype
    deltas = [slope(wiring.layers - 1) * (errors.astype(dtype) @ parameters.readout)]
    coefficients = []
    for layer in reversed(range(wiring.layers - 1)):
        sent = branch.astype(dtype) * deltas[0] if wiring.residual else deltas[0]
        network, images, known = network.multiply(layer, sent, parameters, tolerance, transposed=True)
        coefficients.insert(0, known)
        delta = slope(layer) * images
        deltas.insert(0, deltas[0] + delta if wiring.residual else delta)
    return network, tuple(deltas), tuple(coefficients)


def ascent(
    parameters: Parameters,
    inputs: Coordinates,
    passed: Pass,
    deltas: Sequence[Fields],
    coefficients: Sequence[Float[Array, "sample basis"]],
    errors: Float[Array, "sample out"],
    wiring: Wiring,
    branch: Float[Array, ""],
) -> Parameters:
    """``-n d loss / d W`` of every parameter (without n at the output), the mean over samples."""
    count, dtype = len(inputs), parameters.first.dtype
    if wiring.dense:
        share = branch.astype(dtype) if wiring.residual else 1.0
        hidden = tuple(share * d.T @ phi / count for d, phi in zip(deltas[1:], passed.features, strict=False))
    else:
        hidden = tuple(back.T @ ahead / count for back, ahead in zip(coefficients, passed.coefficients, strict=True))
    inputs, errors = (array.astype(dtype) / count for array in (inputs, errors))
    return Parameters(
        inputs.T @ deltas[0],
        hidden,
        tuple(jnp.zeros_like(part) for part in parameters.parts),
        tuple(delta.mean(0) for delta in deltas) if parameters.biases else (),
        errors.T @ passed.features[-1],
        tuple(errors.sum(0).astype(shift.dtype) for shift in parameters.shift),
    )
