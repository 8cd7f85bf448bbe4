"""Probes: the size of every atomic term of ``W x`` and ``W^T g`` during training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..theory.observables import Observable
from .losses import sample_losses
from .network import Application, Network
from .routing import Routes, balance_loss, routing_statistics

Sizes = dict[tuple[str, str], Float[Tensor, " replica"]]
"""Per (weight, term) one number for every replica."""


@dataclass(frozen=True)
class Use:
    """One application of a weight in one pass.

    Args:
        application: node, layer and how the weight acts.
        x: input of the node, (replica or 1, batch, *dims), or tokens.
        g: derivative of every sample's loss with respect to the node's output, (replica, batch, *dims).
    """

    application: Application
    x: Tensor
    g: Tensor


@dataclass(frozen=True)
class Pass:
    """A forward and backward pass over the probe batch.

    Args:
        losses: mean loss of every replica.
        uses: all applications of weights, in the order of execution.
        gradients: of the mean loss, by trained weight.
        routes: what top-K masks did.
    """

    losses: Float[Tensor, " replica"]
    uses: tuple[Use, ...]
    gradients: Mapping[str, Tensor]
    routes: tuple[Routes, ...] = ()


def record(network: Network, inputs: Tensor, targets: Tensor, loss: str, balance: float = 0.0) -> Pass:
    """Run the batch forward and backward, keeping inputs and output gradients of all applications of weights.

    ``balance`` is the coefficient of `balance_loss`, which counts in gradients but not in losses.
    """
    seen: list[tuple[Application, Tensor, Tensor]] = []

    def watch(application: Application, x: Tensor, y: Tensor) -> None:
        if not y.requires_grad:  # a frozen weight on data: its output starts the graph
            y.requires_grad_()
        seen.append((application, x.detach(), y))

    routes: list[Routes] = []
    losses = sample_losses(network(inputs, watch=watch, routed=routes), targets, loss)
    trained = {name: weight for name, weight in network.named_weights().items() if weight.requires_grad}
    wanted = (*(y for _, _, y in seen), *trained.values())
    total = losses.sum() + balance * losses.shape[1] * balance_loss(routes).sum() if balance else losses.sum()
    found = torch.autograd.grad(total, wanted, materialize_grads=True)
    uses = tuple(Use(application, x, g) for (application, x, _), g in zip(seen, found, strict=False))
    gradients = (g / losses.shape[1] for g in found[len(seen) :])
    kept = tuple(Routes(r.weight, r.logits.detach(), r.mask) for r in routes)
    return Pass(losses.detach().mean(1), uses, dict(zip(trained, gradients, strict=True)), kept)


class Probe:
    """Compares a network with its own initialisation, on a fixed batch.

    With ``W = W0 + dW`` and ``x = x0 + dx``, ``W x`` is the sum of the four terms of
    `theory.observables.Observable`, and ``W^T g`` likewise; multipliers belong to W. A size is the RMS over
    entries, samples and the layers of a stack. Inputs that do not change (data, the constant) have no ``dx``, and
    inputs that nothing is learned from have no backward terms.

    Args:
        network: at initialisation.
        inputs: (batch, *dims).
        targets: (batch, ...).
        loss: as in `Task`.
        balance: coefficient of `balance_loss`.
    """

    def __init__(self, network: Network, inputs: Tensor, targets: Tensor, loss: str, balance: float = 0.0):
        self.network = network
        self._batch = (inputs, targets, loss, balance)
        self._initial = {name: weight.detach().clone() for name, weight in network.named_weights().items()}
        self._routes: tuple[tuple[Routes, ...], tuple[Routes, ...]] = ((), ())  # of the last two passes
        self.first = self.record()

    def record(self) -> Pass:
        """A pass of the network as it is now."""
        now = record(self.network, *self._batch)
        self._routes = self._routes[1] or now.routes, now.routes
        return now

    @torch.no_grad()
    def measure(self, now: Pass) -> Sizes:
        """RMS of all terms at ``now``; at initialisation of those with ``W0`` and ``x0`` alone.

        Args:
            now: what `record` returned for the present weights.

        Returns:
            Sizes by weight and term: names of observables, ``gradient`` (entries of the mean loss's derivative
            with respect to the stored weight), `ROUTING` (of weights that make the logits of a top-K mask; of the last pass
            recorded), and ``loss`` (of no weight).
        """
        squares: dict[tuple[str, str], tuple[Tensor, int]] = {}
        for before, after in zip(self.first.uses, now.uses, strict=True):
            for observable, term in self._terms(before, after, now is self.first):
                key = (after.application.node.weight, str(observable))
                total, count = squares.get(key, (0.0, 0))
                squares[key] = (total + term.square().flatten(1).sum(1), count + term[0].numel())
        sizes: Sizes = {key: (total / count).sqrt() for key, (total, count) in squares.items()}
        sizes |= {(name, "gradient"): g.square().flatten(1).mean(1).sqrt() for name, g in now.gradients.items()}
        sizes |= {(weight, name): value for weight, name, value in routing_statistics(*reversed(self._routes))}
        return sizes | {("", "loss"): now.losses}

    def _terms(self, before: Use, after: Use, initial: bool) -> Iterator[tuple[Observable, Tensor]]:
        """The atomic terms of one application, one after the other."""
        application, node = after.application, after.application.node
        constant = self.network.architecture.node(node.args[0]).op in ("input", "one")
        w0 = application.cut(self._initial[node.weight])
        weights = {"W0": w0}
        xs, gs = {"x0": before.x}, {"x0": before.g}
        if not initial:
            weights["dW"] = application.cut(self.network.named_weights()[node.weight]) - w0
            gs["dx"] = after.g - before.g
            if not constant:
                xs["dx"] = after.x - before.x
        act, path = application.contraction, self.network.architecture.summed_at(node.name)
        for w, weight in weights.items():
            for name, x in xs.items():
                made = act.forward(x, weight)
                yield Observable(node.name, f"{w} {name}"), made
                if path:
                    yield Observable(node.name, f"{w} {name}", summed=True), self.network.follow(path, made)
            for name, g in () if constant else gs.items():
                yield Observable(node.name, f"{w} {name}", True), act.backward(g, weight, after.x.shape[1])
