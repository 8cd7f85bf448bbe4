"""Which components of a trajectory every sample moves along: the mean component index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from .executing import one_thread
from .losses import sample_losses

if TYPE_CHECKING:
    from .network import Application
    from .training import Training


class Components:
    """Sums of ``psi_ij = u_j^T G_i^T dW u_j`` over looks and matrices: what sample i gains along the j-th largest component.

    ``G_i`` is the gradient of one sample's loss, ``u_j`` the eigenvectors of the alignment matrix of the mean gradient, the largest
    in magnitude first (arXiv 2512.22768, sample-wise decomposition). Averaged over samples it is the j-th eigenvalue.

    Args:
        training: whose networks; every matrix is applied once, to vectors.
        sides: of every weight, see `trajectory.width_sides`; vectors are left out.
        slots: names of the network's parameters by weight.
    """

    def __init__(self, training: Training, sides: Mapping[str, str], slots: Mapping[str, str]):
        self._training, self._sides, self._slots = training, sides, slots
        task = training.ensemble.task
        self._samples = torch.arange(task.train, len(task.inputs), device=training.device)
        self.sums: Float[Tensor, "replica sample k"] | None = None

    def add(self, weights: Mapping[str, Tensor], moved: Mapping[str, Tensor]) -> None:
        """Take in one step of the average.

        Args:
            weights: at its start.
            moved: by how much.
        """
        for name, (x, delta) in self._factors(weights).items():
            if not self._sides[name]:
                continue
            step = moved[name] if self._sides[name] == "columns" else moved[name].mT
            inner, outer = (x, delta) if self._sides[name] == "columns" else (delta, x)
            gradient = outer.mT @ inner / len(self._samples)  # (replica, other side, side)
            product = gradient.mT @ step
            finite = torch.isfinite(product).all(-1, keepdim=True).all(-2, keepdim=True)
            symmetric = torch.where(finite, (product + product.mT) / 2, torch.zeros_like(product))  # LAPACK refuses diverged replicas
            with one_thread(product.device):
                values, vectors = torch.linalg.eigh(symmetric)
            order = values.abs().argsort(dim=-1, descending=True)
            vectors = vectors.gather(-1, order[:, None].expand_as(vectors))
            psi = (inner @ vectors) * (outer @ (step @ vectors))
            self.sums = psi if self.sums is None else _longer(self.sums, psi)

    def centres(self) -> Float[Tensor, "replica sample"]:
        """The mean component index ``sum_j j |psi_ij| / sum_j |psi_ij|``: near 1 for a sample that the first components serve.

        Raises:
            ValueError: if nothing was added yet.
        """
        if self.sums is None:
            raise ValueError("no step of the trajectory was added yet")
        size = self.sums.abs()
        places = torch.arange(1, size.shape[-1] + 1, device=size.device, dtype=size.dtype)
        return (size @ places) / size.sum(-1)

    def _factors(self, weights: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """Of every matrix its input x (replica, sample, inn) and the gradient of each sample's loss at its output, with its multiplier."""
        training, seen = self._training, []

        def watch(application: Application, x: Tensor, y: Tensor) -> None:
            seen.append((application, x, y))

        named = {self._slots[n]: w.detach().requires_grad_() for n, w in weights.items()}
        with torch.enable_grad():
            output = torch.func.functional_call(training.network, named, (training.inputs[self._samples],), {"watch": watch})
            losses = sample_losses(output, training.targets[self._samples], training.ensemble.task.loss)
            gradients = torch.autograd.grad(losses.sum(), [y for _, _, y in seen])
        found = {}
        for (application, x, y), g in zip(seen, gradients, strict=True):
            name, plan = application.node.weight, application.contraction
            if self._sides[name] and (y.ndim != 3 or x.ndim != 3 or name in found):
                raise ValueError(f"samples are taken apart where every matrix is applied once, to vectors; `{name}` is not")
            found[name] = (x.expand(len(g), *x.shape[1:]).detach(), plan.alpha * g)
        return found


def _longer(a: Tensor, b: Tensor) -> Tensor:
    """The sum, where the shorter one has no further components."""
    if a.shape[-1] < b.shape[-1]:
        a, b = b, a
    a = a.clone()
    a[..., : b.shape[-1]] += b
    return a
