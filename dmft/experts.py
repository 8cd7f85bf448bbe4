"""Infinite mixtures of experts: a stream, experts, and the neurons inside them, joined by infinite matrices.

Of every block, with ``Q``, ``W_i`` and ``V_i`` the router and the experts' matrices and r what comes back to the stream:

    psi = Q u,  g = gate(psi),  a_i = W_i u,  d_i = g_i phi(a_i),  m = <V d>,    u <- u + branch m  (or branch m alone),
    b_i = V_i^T r,  c_i = g_i phi'(a_i) b_i,  A_i = mean of b_i phi(a_i) over neurons,  e = pull of the gates on psi,
    r <- r + W^T c + Q^T e.

All three matrices are `Edge`s, and their updates are small matrices as in a dense network. In the limit, matrices that enlarge a
population differ from those that shrink one by the noise of the two directions alone: with N neurons in the stream, E experts of m
neurons and entries of variance v, applied to fields of mean square one,

    Q:  v N forward, v N^2/E backward;    W:  v N, v N^2/(E m);    V:  v m/E, v m^2/N;
    V of experts that start with the same matrices:  v m, v m^2/N;  W of those:  v N, v N^2/m.

The muP and MSSP limits of the three regimes of arXiv 2605.14200 differ in which of these vanish. Equations derived here; compare
Bordelon and Pehlevan, arXiv 2205.09653, for dense networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .activations import ACTIVATIONS
from .gates import Gate
from .population import Fields
from .values import Back, Coordinates, Data, Parameters, Pass, Scales
from .web import Coefficients, Web, bilinear, draw, no_change

STREAM, EXPERTS, PAIRS, NEURONS = range(4)
ROUTER, UP, DOWN = range(3)
ENDS = {ROUTER: (STREAM, EXPERTS), UP: (STREAM, PAIRS), DOWN: (PAIRS, STREAM)}
SHARED_ENDS = {UP: (STREAM, NEURONS), DOWN: (NEURONS, STREAM)}


@dataclass(frozen=True)
class Mixing:
    """How the mixture is built; the part of a problem for which programs are compiled.

    Args:
        activation: of the experts' neurons.
        gate: of the experts.
        residual: blocks keep the stream.
        norm: the stream is divided by its root mean square before every block and the readout.
        blocks: one after the other.
        shared: of `UP` and `DOWN`, those that start equal in all experts.
    """

    activation: str
    gate: Gate
    residual: bool
    norm: bool = False
    blocks: int = 1
    shared: tuple[int, ...] = ()

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Block and role of every matrix; then those of the initial values that experts share."""
        own = [(block, role) for block in range(self.blocks) for role in (ROUTER, UP, DOWN)]
        return (*own, *((block, role) for block in range(self.blocks) for role in self.shared))


@partial(jax.tree_util.register_dataclass, data_fields=["populations", "edges"], meta_fields=["mixing", "experts"])
@dataclass(frozen=True)
class ExpertNetwork(Web):
    """A mixture of experts. Its populations are the stream, the experts, their neurons (expert-major), and where experts start
    with the same matrices, the neurons of one.

    Layers of a pass are the stream, then for every block the router (logits; gates), the experts' neurons (a; d) and the stream
    (m; u after the block).

    Args:
        mixing: how it is built.
        experts: particles of that population.
    """

    mixing: Mixing
    experts: int

    @property
    def sites(self) -> tuple[int, ...]:
        return (STREAM, *(EXPERTS, PAIRS, STREAM) * self.mixing.blocks)

    def ends_of(self, edge: int) -> tuple[int, int]:
        main = edge < 3 * self.mixing.blocks
        return (ENDS if main else SHARED_ENDS)[self.mixing.edges[edge][1]]

    def change(self, edge: int, parameters: Parameters) -> Float[Array, "back ahead"]:
        return parameters.hidden[edge] if edge < len(parameters.hidden) else no_change(self.edges[edge])

    def part(self, edge: int, parameters: Parameters) -> Float[Array, ""]:
        block, role = self.mixing.edges[edge]
        return parameters.parts[3 * block + role]

    def start(self, data: Data, scales: Scales, *, orthogonal: bool) -> tuple[ExpertNetwork, Parameters]:
        del orthogonal  # the readout is a variable of its own
        pool, own = list(self.populations), self.mixing.edges
        first, _, readout = scales.stds
        w0, w1 = draw(pool, STREAM, data.inputs.shape[1]), draw(pool, STREAM, data.targets.shape[1])
        edges = tuple(replace(e, gains=scales.gains[3 * block + role]) for e, (block, role) in zip(self.edges, own, strict=True))
        hidden = tuple(no_change(edge) for edge in edges[: 3 * self.mixing.blocks])
        parts = tuple(jnp.ones(()) for _ in hidden)
        parameters = Parameters((first * w0).astype(w0.dtype), hidden, parts, (), (readout * w1).astype(w0.dtype), ())
        return replace(self, populations=tuple(pool), edges=edges), parameters

    def forward(self, parameters: Parameters, inputs: Coordinates, scales: Scales) -> tuple[ExpertNetwork, Pass]:
        mixing, network = self.mixing, self
        u = inputs.astype(parameters.first.dtype) @ parameters.first
        before, features, coefficients = [u], [u], []
        branch = scales.branch.astype(u.dtype)
        for block in range(mixing.blocks):
            x = network._normal(u)[0]
            network, logits, routed = network._apply(block, ROUTER, x, parameters, scales)
            network, a, widened = network._apply(block, UP, x, parameters, scales)
            gates = mixing.gate.gates(logits)
            d = network._spread(gates) * ACTIVATIONS[mixing.activation][0](a)
            network, m, narrowed = network._apply(block, DOWN, d, parameters, scales)
            u = u + branch * m if mixing.residual else branch * m
            before += [logits, a, m]
            features += [gates, d, u]
            coefficients += [routed, widened, narrowed]
        read = network.populations[STREAM].inner(network._normal(u)[0], parameters.readout)
        outputs = read.astype(jnp.result_type(float))
        return network, Pass(tuple(before), tuple(features), tuple(coefficients), outputs)

    def backward(
        self, parameters: Parameters, passed: Pass, errors: Float[Array, "sample out"], scales: Scales
    ) -> tuple[ExpertNetwork, Back]:
        network, r = self, self._back(passed.features[-1], errors.astype(parameters.first.dtype) @ parameters.readout)
        deltas, coefficients = [r], []
        phi, slope = ACTIVATIONS[self.mixing.activation][:2]
        for block in reversed(range(self.mixing.blocks)):
            logits, a = passed.before[3 * block + 1 : 3 * block + 3]
            gates = passed.features[3 * block + 1]
            network, b, narrowed = network._apply(block, DOWN, scales.branch.astype(r.dtype) * r, parameters, scales, transposed=True)
            c = network._spread(gates) * slope(a) * b
            e = self.mixing.gate.pull(logits, gates, network._inside(b * phi(a)).mean(-1))
            network, r_up, widened = network._apply(block, UP, c, parameters, scales, transposed=True)
            network, r_router, routed = network._apply(block, ROUTER, e, parameters, scales, transposed=True)
            sent = network._back(passed.features[3 * block], r_up + r_router)
            r = r + sent if self.mixing.residual else sent
            deltas[:0] = [r, e, c]
            coefficients[:0] = [routed, widened, narrowed]
        return network, Back(tuple(deltas), tuple(coefficients), errors)

    def ascent(self, parameters: Parameters, inputs: Coordinates, passed: Pass, back: Back, scales: Scales) -> Parameters:
        count, dtype = len(inputs), parameters.first.dtype
        inputs, errors = (array.astype(dtype) / count for array in (inputs, back.errors))
        still = tuple(jnp.zeros_like(part) for part in parameters.parts)
        return Parameters(inputs.T @ back.deltas[0], bilinear(back, passed), still, (), errors.T @ self._normal(passed.features[-1])[0], ())

    def _apply(
        self, block: int, role: int, fields: Fields, parameters: Parameters, scales: Scales, *, transposed: bool = False
    ) -> tuple[ExpertNetwork, Fields, Coefficients]:
        """Fields times a matrix of a block, its shared initial values included."""
        network, images, known = self.multiply(3 * block + role, fields, parameters, scales.tolerance, transposed=transposed)
        if role not in self.mixing.shared:
            return network, images, known
        inwards = (role == DOWN) != transposed  # from the neurons of all experts to the stream
        common = network._inside(fields).mean(1) if inwards else fields
        which = self.mixing.edges.index((block, role), 3 * self.mixing.blocks)
        network, initial, _ = network.multiply(which, common, parameters, scales.tolerance, transposed=transposed)
        return network, images + (initial if inwards else jnp.tile(initial, (1, self.experts))), known

    def _normal(self, u: Fields) -> tuple[Fields, Fields]:
        """The stream as a block reads it, and the factor in front."""
        if not self.mixing.norm:
            return u, jnp.ones((len(u), 1), u.dtype)
        inner = self.populations[STREAM].inner
        factor = jax.lax.rsqrt(jax.vmap(lambda row: inner(row[None], row[None])[0, 0])(u))[:, None]
        return factor * u, factor

    def _back(self, u: Fields, r: Fields) -> Fields:
        """What comes back through the norm: the part across the stream, with its factor."""
        if not self.mixing.norm:
            return r
        x, factor = self._normal(u)
        along = jax.vmap(lambda a, b: self.populations[STREAM].inner(a[None], b[None])[0, 0])(x, r)
        return factor * (r - along[:, None] * x)

    def _inside(self, fields: Fields) -> Float[Array, "sample expert neuron"]:
        """Fields of all neurons, expert by expert."""
        return fields.reshape(len(fields), self.experts, -1)

    def _spread(self, fields: Fields) -> Fields:
        """A field of the experts at their neurons."""
        return jnp.repeat(fields, self.populations[PAIRS].size // self.experts, axis=1)
