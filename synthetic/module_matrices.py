"""The matrices of a user's module: which of its parameters are matrices that grow, and what each of them reads and gets back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..theory.architecture import Architecture, Weight
from ..theory.presentation import whole
from .matrices import Matrix
from .modules import block
from .watching import Use


@dataclass(frozen=True)
class Growing:
    """A matrix with two growing sides, as the architecture has it.

    Args:
        name: of the weight; repeated blocks and their slices have one.
        parts: the parameters (and slices of them) that it stands for.
        inn: power of the axis in its fan-in.
        out: power in its fan-out.
    """

    name: str
    parts: tuple[Weight, ...]
    inn: float = 1.0
    out: float = 1.0


def growing(architecture: Architecture, axis: str) -> tuple[tuple[Growing, ...], dict[str, str]]:
    """Trained matrices of which both sides grow with the axis, and those among them that cannot be measured, with the reason."""
    found, left = [], {}
    for weight in architecture.weights.values():
        inn, out = (float(architecture.monomial(side)[axis]) for side in (weight.inn, weight.out))
        if not (inn and out and weight.trained):
            continue
        names = weight.copies or (weight.name,)
        parts = tuple(replace(weight, name=whole(copy) if weight.part_of else copy, copies=()) for copy in names)
        if weight.part_of and not weight.slices:
            left[weight.name] = "its part of a fused parameter is no block of rows or columns"
        else:
            found.append(Growing(weight.name, parts, inn, out))
    return tuple(found), left


def matrices(part: Weight, parameter: Tensor, uses: Sequence[tuple[Use, Tensor]]) -> list[Matrix]:
    """What every use of a parameter, or of its slice, applies as a matrix.

    Args:
        part: the parameter by name, and which slice of it.
        parameter: its values, without multipliers that the code lacks.
        uses: with the derivative of the loss with respect to what each makes.
    """
    found = []
    for use, g in uses:
        made = _as_matrices(use, g)
        if made is None:
            continue
        entries, x, back = made
        values = parameter.detach().reshape(-1)[entries]
        if part.slices:
            inside = block(part, parameter).reshape(-1)[entries] > 0
            rows, columns = inside[0].any(1), inside[0].any(0)
            values, x, back = values[:, rows][:, :, columns], x[..., columns], back[..., rows]
        if values.shape[1] > 1 and values.shape[2] > 1:
            found.append(Matrix(values, x, back))
    return found


def _as_matrices(use: Use, g: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Entries (stack, out, inn), inputs (stack, sample, inn) and derivatives (stack, sample, out); None for what is no such product."""
    op, x, first = use.call.overloadpacket.__name__, use.args[use.x], use.weight < use.x
    if op in ("mm", "addmm"):
        entries, x, g = (use.entries, x.mT, g.mT) if first else (use.entries.mT, x, g)
        return entries[None], x[None], g[None]
    if op in ("bmm", "baddbmm"):
        entries, x, g = (use.entries, x.mT, g.mT) if first else (use.entries.mT, x, g)
        if bool((entries == entries[:1]).all()):  # one matrix for all
            return entries[:1], x.reshape(1, -1, x.shape[-1]), g.reshape(1, -1, g.shape[-1])
        return entries, x, g
    if op == "convolution" and use.entries.ndim == 4 and _is_plain(use):
        return _unfolded(use, x, g)
    return None


def _is_plain(use: Use) -> bool:
    """Whether a convolution is in two dimensions, without groups, and not transposed."""
    _, _, _, _, _, _, transposed, _, groups = use.args
    return not transposed and groups == 1


def _unfolded(use: Use, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A convolution as the matrix that it applies to every patch."""
    _, _, _, stride, padding, dilation, *_ = use.args
    kernel = tuple(use.entries.shape[2:])
    patches = torch.nn.functional.unfold(x, kernel, dilation=tuple(dilation), padding=tuple(padding), stride=tuple(stride))
    return (
        use.entries.reshape(1, use.entries.shape[0], -1),
        patches.transpose(1, 2).reshape(1, -1, patches.shape[1]),
        g.flatten(2).transpose(1, 2).reshape(1, -1, g.shape[1]),
    )


def derivatives(loss: Tensor, uses: Mapping[str, Sequence[Use]]) -> dict[str, list[tuple[Use, Tensor]]]:
    """The uses of every parameter with the derivative of the loss with respect to what they make (those that it depends on)."""
    pairs = [(name, use) for name, own in uses.items() for use in own if use.made is not None and use.made.requires_grad]
    made = [use.made for _, use in pairs if use.made is not None]
    gradients = torch.autograd.grad(loss, made, allow_unused=True) if made else ()
    found: dict[str, list[tuple[Use, Tensor]]] = {}
    for (name, use), g in zip(pairs, gradients, strict=True):
        if g is not None:
            found.setdefault(name, []).append((use, g))
    return found
