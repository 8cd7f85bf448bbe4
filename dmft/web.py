"""Populations joined by infinite matrices: what every kind of network has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from .edge import Addition, Edge, in_basis
from .population import Fields, Population
from .values import Back, Coordinates, Data, Parameters, Pass, Scales

Coefficients = Float[Array, "sample basis"]
Own = TypeVar("Own", bound="Web")


@dataclass(frozen=True)
class Web(ABC):
    """What is known of an initial network so far: noise drawn, bases grown. Looking further does not change its law.

    Args:
        populations: of its layers.
        edges: its matrices; the first ones have a change in ``Parameters.hidden``, each in the same place.
    """

    populations: tuple[Population, ...]
    edges: tuple[Edge, ...]

    @property
    @abstractmethod
    def sites(self) -> tuple[int, ...]:
        """The population of every layer that a pass has features of."""

    @abstractmethod
    def ends_of(self, edge: int) -> tuple[int, int]:
        """Source and target population of a matrix."""

    @abstractmethod
    def start(self: Own, data: Data, scales: Scales, *, orthogonal: bool) -> tuple[Own, Parameters]:
        """Draw input matrix and readout.

        Args:
            data: samples.
            scales: standard deviations.
            orthogonal: make the readout orthogonal to the features, as it is in the limit: predictions start at exactly zero.
        """

    @abstractmethod
    def forward(self: Own, parameters: Parameters, inputs: Coordinates, scales: Scales) -> tuple[Own, Pass]:
        """Apply the network to inputs."""

    @abstractmethod
    def backward(self: Own, parameters: Parameters, passed: Pass, errors: Float[Array, "sample out"], scales: Scales) -> tuple[Own, Back]:
        """Propagate ``Delta = -d loss/d f`` back."""

    @abstractmethod
    def ascent(self, parameters: Parameters, inputs: Coordinates, passed: Pass, back: Back, scales: Scales) -> Parameters:
        """``-n d loss / d W`` of every parameter (without n at the output), the mean over samples."""

    def padded(self, parameters: Parameters, rooms: Sequence[tuple[int, int]]) -> Parameters:
        """With changes that fit bases with so much room forward and backward (replicates stand in front)."""
        hidden = tuple(
            jnp.pad(d, ((0, 0), (0, back - d.shape[1]), (0, ahead - d.shape[2])))
            for d, (ahead, back) in zip(parameters.hidden, rooms, strict=False)
        )
        return parameters._replace(hidden=hidden)

    def change(self, edge: int, parameters: Parameters) -> Float[Array, "back ahead"]:
        """D of a matrix."""
        return parameters.hidden[edge]

    def part(self, edge: int, parameters: Parameters) -> Float[Array, ""]:
        """What decay has left of a matrix's initial values."""
        return parameters.parts[edge]

    def ends(self, edge: int, *, transposed: bool = False) -> tuple[Population, Population]:
        """Source and target population of a product."""
        source, target = (self.populations[p] for p in self.ends_of(edge))
        return (target, source) if transposed else (source, target)

    def multiply(
        self: Own, edge: int, fields: Fields, parameters: Parameters, tolerance: Float[Array, ""], *, transposed: bool = False
    ) -> tuple[Own, Fields, Coefficients]:
        """Fields times a matrix, or its transpose.

        Returns:
            The network that has looked at them, their images, and their coefficients in the basis.
        """
        network, change, part = self, self.change(edge, parameters), self.part(edge, parameters)
        update = change if transposed else change.T
        for _ in range(self.edges[edge].passes):
            now, ends = network.edges[edge], network.ends(edge, transposed=transposed)
            images, known, new = now.apply(fields, update, part, ends, tolerance, transposed=transposed)
            coefficients = in_basis(now.backward if transposed else now.forward, known, new)
            network = network._known(edge, new, transposed=transposed)
        return network, images, coefficients

    def _known(self: Own, edge: int, new: Addition, *, transposed: bool) -> Own:
        """With an addition to an edge, whose noise is used up."""
        target = self.ends_of(edge)[0 if transposed else 1]
        populations, edges = list(self.populations), list(self.edges)
        if edges[edge].draws[transposed]:
            populations[target] = populations[target].skip(new.count)
        edges[edge] = edges[edge].store(new, transposed=transposed)
        return replace(self, populations=tuple(populations), edges=tuple(edges))


def bilinear(back: Back, passed: Pass) -> tuple[Float[Array, "back ahead"], ...]:
    """The mean over samples of what every hidden matrix's D grows by, at rate one."""
    pairs = zip(back.coefficients, passed.coefficients, strict=True)
    return tuple(behind.T @ ahead / len(back.errors) for behind, ahead in pairs)


def no_change(edge: Edge) -> Float[Array, "back ahead"]:
    """D = 0."""
    return jnp.zeros((len(edge.backward.vectors), len(edge.forward.vectors)))


def draw(populations: list[Population], which: int, rows: int) -> Fields:
    """Fields from a population, which are used up in the list."""
    fields = populations[which].draw(rows)
    populations[which] = populations[which].skip(rows)
    return fields
