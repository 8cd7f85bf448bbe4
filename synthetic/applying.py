"""Applying a table to a module: initial values and optimizer groups at concrete sizes, from a base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..theory.architecture import Architecture
from ..theory.scales import Powers
from ..theory.table import ExponentTable, Row
from .streams import stream

DEFAULTS = {"lr": 1e-3, "eps": 1e-8, "weight_decay": 0.0}
COLUMN = {"lr": "learning_rate", "eps": "epsilon", "weight_decay": "weight_decay"}


@dataclass(frozen=True)
class Sizes:
    """Sizes of the axes over those of the base at which all parameterisations coincide.

    Args:
        sizes: of the model that is scaled; axes that are left out have their base size.
        base: of the model at which the hyperparameters were found.
    """

    sizes: Mapping[str, int]
    base: Mapping[str, int]

    def __post_init__(self) -> None:
        for axis in self.sizes:
            if axis not in self.base:
                raise ValueError(f"`sizes` names the axis `{axis}`, which `base` lacks (it has {', '.join(self.base)})")

    def factor(self, powers: Powers, what: str) -> float:
        """``prod (size / base) ** power``.

        Raises:
            ValueError: if the powers name an axis that the base lacks.
        """
        for axis in powers:
            if axis not in self.base:
                raise ValueError(f"{what} scales with `{axis}`, which `base` lacks (it has {', '.join(self.base)})")
        return powers({axis: self.sizes.get(axis, size) / size for axis, size in self.base.items()})


def parameter_groups(module: nn.Module, table: ExponentTable, sizes: Sizes, **settings: float) -> list[dict[str, Any]]:
    """Optimizer groups: one per set of parameters that share rate, epsilon and decay.

    ``value = setting * prod (size / base) ** power``, so at the base every group has the settings themselves. Nothing is
    written on the parameters: the groups are plain data, and checkpoints, ``torch.compile`` and sharding see nothing else.

    Args:
        module: the model at its own size, with the parameters that the table's rows name.
        table: derived for this module and for the optimizer that will train it; in another gauge than the multiplier-free one,
            the module's code must have the rows' multipliers.
        sizes: of the model and of the base.
        settings: ``lr``, ``eps``, ``weight_decay`` at the base (1e-3, 1e-8, 0).

    Returns:
        What ``torch.optim`` takes: dicts with ``params``, ``names`` and the settings. Epsilon is left out for optimizers
        that have none. Frozen parameters are left out.

    Raises:
        ValueError: if a parameter has no row, or a row's slices scale differently.
    """
    unknown = [name for name in settings if name not in DEFAULTS]
    if unknown:
        raise ValueError(f"unknown setting `{unknown[0]}`; choose from {', '.join(DEFAULTS)}")
    values = {**DEFAULTS, **settings}
    found: dict[tuple[float, ...], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        row = _row(table, name)
        if not (parameter.requires_grad and row.trained):
            continue
        _plain(row)
        numbers = {k: v * sizes.factor(getattr(row, COLUMN[k]), f"`{COLUMN[k]}` of `{name}`") for k, v in values.items()}
        numbers["weight_decay"] *= row.decayed
        if not _has_epsilon(table):
            del numbers["eps"]
        group = found.setdefault(tuple(numbers.values()), {"params": [], "names": [], **numbers})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(found.values())


def labels(table: ExponentTable, sizes: Sizes) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """For optax: a label for every parameter, and for every label the factors of rate, epsilon and decay.

    ``optax.multi_transform({label: adamw(lr * f["lr"], eps=eps * f["eps"], weight_decay=wd * f["weight_decay"])}, names)``
    with ``names`` arranged like the parameters.

    Returns:
        (parameter -> label, label -> factors); labels are the powers, for example ``lr n^-1, eps n^-1``.
    """
    names, factors = {}, {}
    for row in table.rows:
        if not row.trained:
            names[row.weight], factors["frozen"] = "frozen", dict.fromkeys(DEFAULTS, 0.0)
            continue
        _plain(row)
        label = ", ".join(f"{k} {getattr(row, column)}" for k, column in COLUMN.items()) + ("" if row.decayed else ", not decayed")
        names[row.weight] = label
        factors[label] = {k: sizes.factor(getattr(row, column), f"`{column}` of `{row.weight}`") for k, column in COLUMN.items()}
        factors[label]["weight_decay"] *= row.decayed
    return names, factors


def initialise(module: nn.Module, table: ExponentTable, sizes: Sizes, reference: nn.Module, *, seed: int = 0) -> None:
    """Draw a module's parameters anew: those of ``reference`` at the base, rescaled as the table says.

    A parameter that is random in the reference becomes ``N(0, std^2)`` with the reference's standard deviation times
    ``prod (size / base) ** power``; one that is constant there keeps its constant. Every parameter has its own stream of
    numbers, ``default_rng([seed, crc32("init/<name>")])``.

    Args:
        module: changed in place.
        table: one row per parameter.
        sizes: of the module and of the base.
        reference: the same model built at the base sizes.
        seed: of the numbers.

    Raises:
        ValueError: if a parameter has no row, or the reference lacks it.
    """
    originals = dict(reference.named_parameters())
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            row = _row(table, name)
            if name not in originals:
                raise ValueError(f"the reference at the base sizes has no parameter `{name}`")
            old = originals[name].detach()
            if row.zero_init or not _is_random(old):
                parameter.fill_(0.0 if row.zero_init else float(old.flatten()[0]))
                continue
            _plain(row)
            std = float(old.double().std(correction=0)) * sizes.factor(row.init_std, f"`init_std` of `{name}`")
            values = stream(seed, f"init/{name}").standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values * std))


def missing_multipliers(architecture: Architecture, table: ExponentTable, sizes: Sizes) -> dict[str, float]:
    """By how much multipliers in a module's code differ from what the table asks for at these sizes.

    A table scales parameters; multipliers of attention logits or of tied outputs stand in the code. Those that are right
    there already are left out.

    Returns:
        Multiplier -> the factor that is missing.
    """
    found = {}
    for node in architecture.operations:
        operation = table.operation(node.name)
        if operation is not None and node.written is not None and operation.multiplier != node.written:
            found[node.name] = sizes.factor(operation.multiplier / node.written, f"the multiplier `{node.name}`")
    return found


def _row(table: ExponentTable, name: str) -> Row:
    try:
        return table.row(name)
    except KeyError as error:
        raise ValueError(
            f"the table of `{table.target}` has no row for the parameter `{name}` (a traced output may not depend on it)"
        ) from error


def _plain(row: Row) -> None:
    if row.parts:
        parts = ", ".join(p.weight for p in row.parts)
        raise ValueError(f"slices of `{row.weight}` scale differently ({parts}); split it into parameters of their own to apply the table")


def _has_epsilon(table: ExponentTable) -> bool:
    from ..theory.optimizers import find_optimizer

    return bool(find_optimizer(table.optimizer).damping)


def _is_random(values: Tensor) -> bool:
    flat = values.flatten()
    return flat.numel() > 1 and bool((flat != flat[0]).any())
