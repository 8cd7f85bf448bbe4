"""Stacked parameters with the numbers that optimizers keep for each replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Group = Mapping[str, Any]
Tensors = list[Tensor] | tuple[Tensor, ...]
PerReplica = float | Sequence[float] | Float[Tensor, " replica"] | None
Factor = float | Float[Tensor, " replica"]


class Stacked:
    """Parameters with their rates and decays, one entry per replica, shaped to broadcast over each parameter.

    Args:
        groups: as `build` returns them.
        rates: one factor per replica on every ``lr``.
        decays: one factor per replica on every ``weight_decay``.
        coupled: whether decay is multiplied by the rate.
    """

    def __init__(self, groups: Sequence[Group], rates: PerReplica = None, decays: PerReplica = None, *, coupled: bool = True):
        self.parameters = [p for group in groups for p in group["params"]]
        self.names = [group.get("name", "") for group in groups for _ in group["params"]]
        owners = [group for group in groups for _ in group["params"]]
        self.rates = [per_replica(o["lr"], rates, p) for o, p in zip(owners, self.parameters, strict=True)]
        self.decays = [
            per_replica(o.get("weight_decay", 0.0), decays, p) * (rate if coupled else 1.0)
            for o, p, rate in zip(owners, self.parameters, self.rates, strict=True)
        ]
        self.epsilons = [float(o.get("eps", 0.0)) for o in owners]
        self._decayed = any(bool(decay.any()) for decay in self.decays)

    def each(self, values: PerReplica) -> list[Tensor]:
        """A number of every replica, shaped for each parameter."""
        return [per_replica(1.0, values, p) for p in self.parameters]

    def decay(self, factor: Factor) -> None:
        """``w <- w - lr * lambda * w``."""
        if self._decayed:
            kept = _times(self.decays, factor)
            torch._foreach_neg_(kept)
            torch._foreach_add_(kept, 1.0)
            torch._foreach_mul_(self.parameters, kept)

    def subtract(self, updates: Tensors, factor: Factor, members: Sequence[int] | None = None) -> None:
        """``w <- w - factor * lr * update``, for all parameters or the given ones."""
        pick = (lambda tensors: tensors) if members is None else lambda tensors: [tensors[i] for i in members]
        if not updates:
            return
        if isinstance(factor, Tensor):
            torch._foreach_addcmul_(pick(self.parameters), updates, _times(pick(self.rates), factor), -1.0)
        else:
            torch._foreach_addcmul_(pick(self.parameters), updates, pick(self.rates), -factor)

    @torch.no_grad()
    def freeze(self, replicas: Bool[Tensor, " replica"], *states: Sequence[Tensor]) -> None:
        """Set parameters, rates and states of these replicas to zero."""
        for tensors in (self.parameters, self.rates, self.decays, *states):
            for tensor in tensors:
                tensor[replicas] = 0.0


def _times(tensors: list[Tensor], factor: Factor) -> list[Tensor]:
    if isinstance(factor, Tensor):
        return [t * factor.view(-1, *(1 for _ in t.shape[1:])) for t in tensors]
    return list(torch._foreach_mul(tensors, factor))


def per_replica(value: float | Tensor, factors: PerReplica, parameter: Tensor) -> Tensor:
    """``value * factors`` as (replica, 1, ..., 1).

    Raises:
        ValueError: if there is another number of factors than replicas.
    """
    replicas = parameter.shape[0]
    value = torch.as_tensor(value, dtype=torch.float64)
    if factors is not None:
        value = value * torch.as_tensor(factors, dtype=torch.float64)
    if value.ndim > 1 or (value.ndim == 1 and value.shape[0] != replicas):
        raise ValueError(f"there are {replicas} replicas, but rates of the shape {tuple(value.shape)}; give one per replica")
    return value.expand(replicas).reshape(-1, *(1 for _ in parameter.shape[1:])).to(parameter, copy=True)
