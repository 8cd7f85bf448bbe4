"""`build`: an architecture, a table and constants to stacked networks with their optimizer groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..theory.architecture import Architecture, Weight
from ..theory.constants import Constants
from ..theory.table import ExponentTable
from .network import Network
from .scaling import Scaling, WeightScaling, scale
from .streams import stream


@dataclass(frozen=True)
class Built:
    """R stacked networks and how they are trained.

    Args:
        network: the module.
        groups: one group per trained weight: ``params`` (a list of one parameter), ``lr``, ``eps``,
            ``weight_decay``, ``name``; what `torch.optim` and `.optimizers` take.
        seeds: one per replica.
    """

    network: Network
    groups: list[dict[str, Any]]
    seeds: tuple[int, ...]

    @property
    def scaling(self) -> Scaling:
        return self.network.scaling


def build(
    architecture: Architecture,
    table: ExponentTable,
    constants: Constants | None = None,
    *,
    sizes: Mapping[str, int],
    base: Mapping[str, int] | None = None,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Built:
    """Build R networks of one size, scaled by a table: every number is ``constant * (size / base) ** power``.

    Initial weights come from ``default_rng([seed, crc32("init/<weight>")])`` in float64 on the CPU, so a replica
    starts the same alone, in an ensemble, and on every device.

    Args:
        architecture: the graph.
        table: one row per weight; a row's multiplier stands in the forward pass.
        constants: values at the base sizes; by default ``Constants.default(architecture, base=base)``.
        sizes: sizes of the axes; those left out have their base size.
        base: by default the architecture's; ``{axis: 1}`` for all axes is the absolute form.
        seed: of one network.
        seeds: one per replica, instead of ``seed``; equal seeds start equal.
        dtype: of parameters and activations.
        device: where they live.

    Returns:
        The network and its parameter groups.

    Raises:
        ValueError: if the table or the constants lack something, or a size is impossible; it is named.
    """
    seeds = (seed,) if seeds is None else tuple(seeds)
    if not seeds or any(not isinstance(s, (int, np.integer)) or s < 0 for s in seeds):
        raise ValueError(f"`seeds` is {seeds}; it must hold at least one integer, none negative")
    scaling = scale(architecture, table, constants, sizes=sizes, base=base)
    layers = {node.stack for node in architecture.nodes if node.stack}
    weights = {
        name: initial_weight(weight, scaling, seeds, layers=layers).to(dtype).to(device) for name, weight in architecture.weights.items()
    }
    network = Network(architecture, scaling, weights)
    return Built(network, _groups(network), seeds)


def initial_weight(weight: Weight, scaling: Scaling, seeds: Sequence[int], *, layers: set[str]) -> Tensor:
    """Initial values (replica, *index, *out, *inn) in float64.

    With ``shared_init`` all matrices along the index that the weight shares are one draw; if it names none, along all of it
    except the ``layers`` of a stack.
    """
    own, shape = scaling.weights[weight.name], [scaling.dims[d] for d in weight.dims]
    shared = weight.shared or [d for d in weight.index if d not in layers]
    drawn = [1 if own.shared_init and d in shared else scaling.dims[d] for d in weight.dims]
    values = {seed: torch.from_numpy(_draw(weight.name, own, seed, drawn)).expand(shape) for seed in set(seeds)}
    return torch.stack([values[seed] for seed in seeds])


def _draw(name: str, scaling: WeightScaling, seed: int, shape: Sequence[int]) -> np.ndarray:
    if scaling.init == "zero":
        return np.zeros(shape)
    if scaling.init == "ones":
        return np.full(shape, scaling.init_std)
    return scaling.init_std * stream(seed, f"init/{name}").standard_normal(shape)


def _groups(network: Network) -> list[dict[str, Any]]:
    groups = []
    for name, weight in network.named_weights().items():
        if weight.requires_grad:
            own = network.scaling.weights[name]
            kind = network.architecture.weights[name]
            group = {"lr": own.learning_rate, "eps": own.epsilon, "weight_decay": own.weight_decay}
            groups.append({"params": [weight], **group, "name": name, "split": (1 + len(kind.index), len(kind.out))})
    return groups
