"""Optimizers over stacked parameters, with a learning rate for every replica."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from ..theory.optimizers import find_optimizer
from .dion import Dion, matrices
from .directions import RULES, SHAPES, Rule, find_rule, rms
from .stacked import Factor, Group, PerReplica, Stacked, Tensors

Betas = tuple[float | Sequence[float], float | Sequence[float]]
LARGE = 2**18  # entries of one network's matrix, from which it is updated by itself: stacked, it would pass through memory twice more
TINY = 1e-38  # an entry without a gradient stays


class SGD:
    """``v <- momentum v + g``, ``w <- w - lr lambda w - lr v``; with ``nesterov``, ``g + momentum v`` for the last ``v``.

    Args:
        groups: as `build` returns them.
        rates: one factor per replica on every ``lr``.
        momentum: 0 keeps no state; one for all replicas, or one each.
        nesterov: look ahead.
        decays: one factor per replica on every ``weight_decay``.
    """

    capturable = True

    def __init__(
        self,
        groups: Sequence[Group],
        rates: PerReplica = None,
        *,
        momentum: float | Sequence[float] = 0.0,
        nesterov: bool = False,
        decays: PerReplica = None,
    ):
        self._stacked = Stacked(groups, rates, decays)
        self.nesterov = nesterov
        self.momentum = self._stacked.each(momentum) if isinstance(momentum, Sequence) else momentum
        self._velocity = [torch.zeros_like(p) for p in self._stacked.parameters] if momentum else []

    @torch.no_grad()
    def step(self, gradients: Tensors, factor: Factor = 1.0) -> None:
        """Update all parameters in place; ``factor`` is the value of the schedule."""
        if self.momentum:
            torch._foreach_mul_(self._velocity, self.momentum)
            torch._foreach_add_(self._velocity, gradients)
        self._stacked.decay(factor)
        ahead = None
        if self.nesterov and self.momentum:
            ahead = torch._foreach_add(gradients, torch._foreach_mul(self._velocity, self.momentum))
        self._stacked.subtract(ahead or self._velocity or gradients, factor)

    def freeze(self, replicas: Bool[Tensor, " replica"]) -> None:
        """Set parameters, state and rates of these replicas to zero: they have diverged, the others go on."""
        self._stacked.freeze(replicas, self._velocity)


class Adam:
    """Adam with decoupled weight decay, ``w <- w - lr lambda w - lr m^ / (sqrt(v^) + eps)`` (AdamW where lambda > 0).

    Kingma and Ba, arXiv 1412.6980; Loshchilov and Hutter, arXiv 1711.05101 (lambda times lr, as in `torch.optim.AdamW`).
    PyTorch's fused kernel computes the normalised update into a buffer, which is then applied with the rates of
    the replicas: 6 ms for 96 networks of width 128 on one core, where plain ``_foreach`` operations take 13 ms.

    Args:
        groups: as `build` returns them.
        rates: one factor per replica on every ``lr``.
        betas: decay of the two moments, for all replicas or one for each (then without the fused kernel).
        coupled: whether decay is multiplied by the rate.
        decays: one factor per replica on every ``weight_decay``.
    """

    capturable = True

    def __init__(
        self,
        groups: Sequence[Group],
        rates: PerReplica = None,
        *,
        betas: Betas = (0.9, 0.999),
        coupled: bool = True,
        decays: PerReplica = None,
    ):
        self._stacked = Stacked(groups, rates, decays, coupled=coupled)
        self.betas = betas
        self._each = [self._stacked.each(beta) for beta in betas] if any(isinstance(beta, Sequence) for beta in betas) else None
        parameters = self._stacked.parameters
        self._mean, self._square = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        self._count = [torch.zeros((), device=p.device) for p in parameters]
        self._large = [i for i, p in enumerate(parameters) if p.device.type == "cpu" and p[0].numel() >= LARGE and self._each is None]
        self._small = [i for i in range(len(parameters)) if i not in self._large]
        self._update = [torch.zeros_like(parameters[i]) for i in self._small]
        self._plain: dict[int, list[float]] = {}

    @torch.no_grad()
    def step(self, gradients: Tensors, factor: Factor = 1.0) -> None:
        """Update all parameters in place; ``factor`` is the value of the schedule."""
        torch._foreach_add_(self._count, 1)
        self._stacked.decay(factor)
        for i in self._large:
            self._update_large(i, gradients[i], factor)
        if self._each is not None:
            self._normalise_each(gradients, *self._each)
        elif self._small:
            torch._foreach_zero_(self._update)
            for eps in dict.fromkeys(self._stacked.epsilons[i] for i in self._small):
                self._normalise(gradients, eps)
        self._stacked.subtract(self._update, -factor, self._small)

    def freeze(self, replicas: Bool[Tensor, " replica"]) -> None:
        """Set parameters, state and rates of these replicas to zero: they have diverged, the others go on."""
        self._stacked.freeze(replicas, self._mean, self._square)
        self._plain.clear()

    def _normalise_each(self, gradients: Tensors, firsts: Sequence[Tensor], seconds: Sequence[Tensor]) -> None:
        """The same with betas of their own for every replica."""
        states = zip(self._update, gradients, self._mean, self._square, self._count, firsts, seconds, self._stacked.epsilons, strict=True)
        for update, g, mean, square, count, beta1, beta2, eps in states:
            mean.lerp_(g, 1 - beta1)
            square.mul_(beta2).add_(g.square() * (1 - beta2))
            size = (square / (1 - beta2**count)).sqrt_().add_(eps)
            torch.div(mean / (beta1**count - 1), size, out=update)

    def _normalise(self, gradients: Tensors, eps: float) -> None:
        """``update <- -m^ / (sqrt(v^) + eps)`` for the small parameters that share an epsilon."""
        chosen = [(k, i) for k, i in enumerate(self._small) if self._stacked.epsilons[i] == eps]
        pick = lambda tensors: [tensors[i] for _, i in chosen]  # noqa: E731
        updates = [self._update[k] for k, _ in chosen]
        alike = [_laid_out_like(gradients[i], self._mean[i]) for _, i in chosen]
        self._fused(updates, alike, pick(self._mean), pick(self._square), pick(self._count), 1.0, eps)

    def _update_large(self, i: int, gradient: Tensor, factor: Factor) -> None:
        """The whole update of a large parameter, one network after the other: each is read and written once."""
        stacked, g = self._stacked, _laid_out_like(gradient, self._mean[i])
        if i not in self._plain:
            self._plain[i] = stacked.rates[i].flatten().tolist()
        factors = factor.tolist() if isinstance(factor, Tensor) else [factor] * len(g)
        for r, (rate, part) in enumerate(zip(self._plain[i], factors, strict=True)):
            own = [[tensors[i][r]] for tensors in (stacked.parameters, self._mean, self._square)]
            self._fused(own[0], [g[r]], own[1], own[2], [self._count[i]], rate * part, stacked.epsilons[i])

    def _fused(
        self, values: Tensors, gradients: Tensors, means: Tensors, squares: Tensors, counts: Tensors, rate: float, eps: float
    ) -> None:
        beta1, beta2 = (float(beta) for beta in self.betas)  # type: ignore[arg-type]
        torch._fused_adam_(
            values, gradients, means, squares, [], counts, amsgrad=False, lr=rate, beta1=beta1, beta2=beta2,
            weight_decay=0.0, eps=eps, maximize=False,
        )  # fmt: skip


def _laid_out_like(gradient: Tensor, state: Tensor) -> Tensor:
    """The same values in the order in memory of the state: fused kernels go by it, not by strides."""
    return gradient if gradient.stride() == state.stride() else torch.empty_like(state).copy_(gradient)


class Adagrad:
    """``w <- w - lr lambda w - lr g / (sqrt(sum of g^2) + eps)`` (Duchi, Hazan and Singer, JMLR 12, 2011).

    Args:
        groups: as `build` returns them.
        rates: one factor per replica on every ``lr``.
    """

    capturable = True

    def __init__(self, groups: Sequence[Group], rates: PerReplica = None):
        self._stacked = Stacked(groups, rates)
        self._sum = [torch.zeros_like(p) for p in self._stacked.parameters]

    @torch.no_grad()
    def step(self, gradients: Tensors, factor: Factor = 1.0) -> None:
        """Update all parameters in place; ``factor`` is the value of the schedule."""
        torch._foreach_addcmul_(self._sum, gradients, gradients)
        sizes = torch._foreach_sqrt(self._sum)
        torch._foreach_add_(sizes, [max(eps, TINY) for eps in self._stacked.epsilons])
        self._stacked.decay(factor)
        self._stacked.subtract(torch._foreach_div(gradients, sizes), factor)

    def freeze(self, replicas: Bool[Tensor, " replica"]) -> None:
        """Set parameters, state and rates of these replicas to zero: they have diverged, the others go on."""
        self._stacked.freeze(replicas, self._sum)


class Adopt:
    """``m <- beta1 m + (1 - beta1) clip(g / max(sqrt(v), eps), t^1/4)``, ``w <- w - lr lambda w - lr m``, then ``v`` takes ``g^2`` in.

    ADOPT with clipping (Taniguchi et al., arXiv 2411.02853, Algorithm 2): a gradient is divided by what was before it. The
    first, which the paper spends on ``v`` alone, is divided by itself.

    Args:
        groups: as `build` returns them.
        rates: one factor per replica on every ``lr``.
        betas: decay of the two moments.
    """

    capturable = False

    def __init__(
        self,
        groups: Sequence[Group],
        rates: PerReplica = None,
        *,
        betas: tuple[float, float] = (0.9, 0.9999),
    ):
        self._stacked, self.betas, self._count = Stacked(groups, rates), betas, 0
        self._mean, self._square = ([torch.zeros_like(p) for p in self._stacked.parameters] for _ in range(2))

    @torch.no_grad()
    def step(self, gradients: Tensors, factor: Factor = 1.0) -> None:
        """Update all parameters in place; ``factor`` is the value of the schedule."""
        self._count += 1
        kept = self.betas[1] if self._count > 1 else 0.0
        before = self._square if self._count > 1 else [g.square() for g in gradients]
        bound = self._count**0.25
        for mean, g, square, eps in zip(self._mean, gradients, before, self._stacked.epsilons, strict=True):
            mean.lerp_((g / square.sqrt().clamp(min=max(eps, TINY))).clamp(-bound, bound), 1 - self.betas[0])
        torch._foreach_mul_(self._square, kept)
        torch._foreach_addcmul_(self._square, gradients, gradients, 1 - kept)
        self._stacked.decay(factor)
        self._stacked.subtract(self._mean, factor)

    def freeze(self, replicas: Bool[Tensor, " replica"]) -> None:
        """Set parameters, state and rates of these replicas to zero: they have diverged, the others go on."""
        self._stacked.freeze(replicas, self._mean, self._square)


class Directed:
    """``w <- w - lr lambda w - lr direction(g)`` by a `Rule` on every matrix; vectors are matrices of one column.

    Args:
        groups: as `build` returns them; ``split`` says how many leading dimensions are a batch, and how many make the output.
        rule: the direction.
        rates: one factor per replica on every ``lr``.
    """

    capturable = False

    def __init__(self, groups: Sequence[Group], rule: Rule, rates: PerReplica = None):
        self._stacked = Stacked(groups, rates)
        self.rule = rule
        self._splits = [group.get("split", (1, 1)) for group in groups for _ in group["params"]]
        self._memory = [torch.zeros_like(p) for p in self._stacked.parameters] if rule.betas else []

    @torch.no_grad()
    def step(self, gradients: Tensors, factor: Factor = 1.0) -> None:
        """Update all parameters in place; ``factor`` is the value of the schedule."""
        if self.rule.betas:
            first, second = self.rule.betas
            mixed = torch._foreach_lerp(gradients, self._memory, first)
            torch._foreach_lerp_(self._memory, gradients, 1 - second)
            gradients = mixed
        parameters = self._stacked.parameters
        updates = [self._update(g, p, split) for g, p, split in zip(gradients, parameters, self._splits, strict=True)]
        before = [self._sizes(p, split) for p, split in zip(parameters, self._splits, strict=True)] if self.rule.sphere else []
        self._stacked.decay(factor)
        self._stacked.subtract(updates, factor)
        for p, split, size in zip(parameters, self._splits, before, strict=False):
            matrices(p, split).mul_(size / self._sizes(p, split))

    def freeze(self, replicas: Bool[Tensor, " replica"]) -> None:
        """Set parameters, state and rates of these replicas to zero: they have diverged, the others go on."""
        self._stacked.freeze(replicas, self._memory)

    def _update(self, gradient: Tensor, parameter: Tensor, split: tuple[int, int]) -> Tensor:
        direction = self.rule.direction(matrices(gradient.contiguous(), split))
        if self.rule.relative:
            direction = direction * self._sizes(parameter, split)
        return direction.reshape(parameter.shape)

    def _sizes(self, parameter: Tensor, split: tuple[int, int]) -> Tensor:
        return rms(matrices(parameter, split))


class Several:
    """Optimizers of different parameters, stepped together.

    Args:
        updates: the optimizers.
        members: of each, the places of its gradients among all.
    """

    def __init__(self, updates: Sequence[Update], members: Sequence[Sequence[int]]):
        self.updates, self.members = updates, members

    @property
    def capturable(self) -> bool:
        return all(update.capturable for update in self.updates)

    def step(self, gradients: Tensors, factor: Factor = 1.0) -> None:
        """Update all parameters in place; ``factor`` is the value of the schedule."""
        for update, own in zip(self.updates, self.members, strict=True):
            update.step([gradients[i] for i in own], factor)

    def freeze(self, replicas: Bool[Tensor, " replica"]) -> None:
        """Set parameters, state and rates of these replicas to zero: they have diverged, the others go on."""
        for update in self.updates:
            update.freeze(replicas)


Update = SGD | Adam | Adagrad | Adopt | Directed | Dion | Several
EXECUTED = ("sgd", "momentum", "nesterov", "adam", "adamw", "adamw-independent", "rmsprop", "adagrad", "adopt", *RULES, "shampoo")


def make_update(
    name: str,
    groups: Sequence[Group],
    rates: PerReplica = None,
    *,
    momentum: float | Sequence[float] = 0.0,
    betas: Betas = (0.9, 0.999),
    decays: PerReplica = None,
    rank: int = 0,
) -> Update:
    """The optimizer of this name, one of `EXECUTED` or ``shampoo:L,R``.

    Muon and Dion without a momentum take the polar factor of the present gradient; with one they are what their users run.

    Args:
        name: of the optimizer.
        groups: as `build` returns them.
        rates: one factor per replica on every ``lr``.
        momentum: of SGD, Muon and Dion.
        betas: of Adam.
        decays: one factor per replica on every ``weight_decay``.
        rank: of Dion's updates; 0 is full.

    Raises:
        ValueError: if it cannot be executed (the message lists those that can), or does not take hyperparameters of each replica.
    """
    if name in ("sgd", "momentum", "nesterov"):
        return SGD(groups, rates, momentum=momentum or (0.0 if name == "sgd" else 0.9), nesterov=name == "nesterov", decays=decays)
    if name in ("adam", "adamw", "adamw-independent"):
        return Adam(groups, rates, betas=betas, coupled=find_optimizer(name).decay == "coupled", decays=decays)
    if decays is not None or any(isinstance(h, Sequence) for h in (momentum, *betas)):
        raise ValueError(f"the optimizer `{name}` has no momentum, betas or decay for each replica; SGD and Adam have")
    if name == "rmsprop":  # with Adam's correction of the bias, so that its first update is of order one
        return Adam(groups, rates, betas=(0.0, betas[1]))
    if name == "adagrad":
        return Adagrad(groups, rates)
    if name == "adopt":
        return Adopt(groups, rates)
    if name == "dion" and momentum:
        return Dion(groups, rates, momentum=float(momentum), rank=rank)  # type: ignore[arg-type]
    rule = find_rule(name, float(momentum) if name in SHAPES else 0.0)  # type: ignore[arg-type]
    if rule is not None:
        return Directed(groups, rule, rates)
    raise ValueError(f"the optimizer `{name}` cannot be executed; choose from {', '.join(EXECUTED)}")
