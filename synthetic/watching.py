"""Contractions with a module's parameters, as they happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

OPERANDS = {  # positions of the two operands of a contraction
    "mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2), "mv": (0, 1), "convolution": (0, 1), "embedding": (1, 0),
}  # fmt: skip
ADDED = {"addmm": 0, "baddbmm": 0, "convolution": 2}  # position of what is added to the contraction
COPIES = frozenset(["alias", "detach", "clone", "_to_copy"])
RESHAPES = frozenset(["view", "_unsafe_view", "reshape"])
VIEWS = COPIES | RESHAPES | frozenset(["t", "transpose", "permute", "expand", "unsqueeze", "squeeze"])


@dataclass
class Use:
    """One contraction with a parameter.

    Args:
        call: the operation.
        args: its arguments.
        named: more of them.
        x: where the tensor stands among the arguments.
        weight: where the parameter stands.
        entries: which entry of the parameter each of the operand's is.
        made: the result, through which derivatives pass; kept only where that is asked for.
    """

    call: Any
    args: tuple[Any, ...]
    named: Mapping[str, Any]
    x: int
    weight: int
    entries: Tensor
    made: Tensor | None = None

    def arranged(self, values: Tensor) -> Tensor:
        """Numbers per entry of the parameter, as the operation sees them."""
        return values.reshape(-1)[self.entries] if values.ndim else values

    def term(self, x: Tensor, weight: Tensor) -> Tensor:
        """The operation on other operands; a bias among its arguments is left out."""
        args = list(self.args)
        if (added := ADDED.get(self.call.overloadpacket.__name__)) is not None and isinstance(args[added], Tensor):
            args[added] = torch.zeros_like(args[added])
        args[self.x], args[self.weight] = x, weight
        return self.call(*args, **self.named)


class Watch(TorchDispatchMode):
    """Notes the contractions with parameters, in order; with ``keep``, their results as well, and so the graph of derivatives."""

    def __init__(self, parameters: Mapping[str, Tensor], *, keep: bool = False):
        super().__init__()
        self.keep = keep
        self.owners = {id(p): name for name, p in parameters.items()}
        self.entries = {id(p): torch.arange(p.numel()).reshape(p.shape) for p in parameters.values()}
        self.uses: dict[str, list[Use]] = {}
        self._kept: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result, op = func(*args, **kwargs), func.overloadpacket.__name__
        if op in VIEWS and (owner := self.owners.get(id(args[0]))) is not None:
            self.owners[id(result)] = owner
            old = self.entries[id(args[0])]
            # a copy may have made contiguous what its entries are not, so these are reshaped where it is viewed
            call = old.reshape if op in RESHAPES else partial(func, old)
            self.entries[id(result)] = old if op in COPIES else call(*args[1:], **kwargs)
            self._kept.append(result)
        elif op in OPERANDS:
            for x, weight in (OPERANDS[op], OPERANDS[op][::-1]):
                owner = self.owners.get(id(args[weight]))
                if owner is not None and id(args[x]) not in self.owners:
                    plain = tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)
                    found = Use(func, plain, kwargs, x, weight, self.entries[id(args[weight])], result if self.keep else None)
                    self.uses.setdefault(owner, []).append(found)
        return result
