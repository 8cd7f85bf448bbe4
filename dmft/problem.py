"""A learning problem whose infinite-width limit is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, Shaped

from ..theory.architecture import Architecture
from ..theory.constants import Constants
from ..theory.table import ExponentTable
from .layout import Layout, effective, read
from .losses import LOSSES
from .mixing import ExpertLayout
from .rules import Rule


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, its data, and how it is trained: a dense network in the maximal-update parameterisation, or a mixture of experts.

    The numbers are those of ``build(architecture, mup, constants, base={"n": 1})`` in `widelimit.synthetic`, whose networks converge to
    this limit: `Constants.rich` makes them for a given richness. A mixture of experts has as many limits as there are regimes and
    tables: its ``table``, derived in a regime of its three axes, says how it grows from the ``base`` sizes, where the constants are those
    of ``build(architecture, table, constants, base=base)``.

    Args:
        architecture: of the zoo: `mlp`, or `resmlp` with one matrix per branch and no norm.
        inputs: training samples, (sample, input).
        targets: values (sample, output) or, with one output, (sample,); 0 or 1 for ``logistic``; classes (sample,) for ``cross-entropy``.
        steps: number of updates.
        constants: by default `Constants.rich` of this architecture.
        rule: how gradients become updates.
        loss: ``squared`` (half the squared distance), ``logistic`` or ``cross-entropy``, means over samples.
        test: samples that are predicted but not learned.
        index: the samples of every step, (steps or more, batch); by default all of them.
        schedule: a factor on all rates at every step; by default 1.
        sizes: of the axes that stay finite, such as the depth of a residual network.
        table: of a mixture of experts.
        base: of a mixture of experts, sizes of all axes; by default the architecture's.

    Raises:
        ValueError: if an argument does not fit; the message names it.
    """

    architecture: Architecture
    inputs: Float[np.ndarray, "sample input"]
    targets: Shaped[np.ndarray, "sample ..."]
    steps: int
    constants: Constants | None = None
    rule: Rule = Rule()
    loss: str = "squared"
    test: Float[np.ndarray, "test input"] | None = None
    index: Int[np.ndarray, "step batch"] | None = None
    schedule: Sequence[float] | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    table: ExponentTable | None = None
    base: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"unknown loss `{self.loss}`; choose from {', '.join(LOSSES)}")
        if self.steps < 1:
            raise ValueError(f"`steps` is {self.steps}; training takes at least one")
        if self.constants is None:
            usual = Constants.rich(self.architecture, base=self._base) if self.table is None else self._mixed_constants()
            object.__setattr__(self, "constants", usual)
        self._check_inputs()
        self._check_targets()
        if self.index is not None and (len(self.index) < self.steps or self.index.min() < 0 or self.index.max() >= len(self.inputs)):
            raise ValueError(
                f"`index` has the shape {self.index.shape} and entries from {self.index.min()} to {self.index.max()}; "
                f"it needs {self.steps} rows of samples from 0 to {len(self.inputs) - 1}"
            )
        if self.schedule is not None and len(self.schedule) < self.steps:
            raise ValueError(f"`schedule` has {len(self.schedule)} factors for {self.steps} steps")

    def _check_inputs(self) -> None:
        if self.inputs.shape[1] != self.layout.inputs:
            raise ValueError(
                f"samples of {self.inputs.shape[1]} numbers do not fit `{self.architecture.name}`, which reads {self.layout.inputs}"
            )
        for name, values in (("inputs", self.inputs), ("test", self.test)):
            if values is not None and not np.isfinite(values).all():
                raise ValueError(f"sample {int(np.argmax(~np.isfinite(values).all(1)))} of `{name}` has a value that is not finite")
        if self.test is not None and self.test.shape[1] != self.inputs.shape[1]:
            raise ValueError(f"samples of `test` have {self.test.shape[1]} numbers, those of `inputs` {self.inputs.shape[1]}")
        _, first, count = np.unique(self.inputs, axis=0, return_inverse=True, return_counts=True)
        if (count > 1).any():
            twice = np.flatnonzero(first == np.argmax(count > 1))[:2]
            raise ValueError(f"samples {twice[0]} and {twice[1]} of `inputs` are equal; keep one (`index` may name it twice in a batch)")

    def _check_targets(self) -> None:
        samples, outputs = len(self.inputs), self.layout.outputs
        shapes = {"cross-entropy": [(samples,)]}.get(self.loss, [(samples, outputs)] + [(samples,)] * (outputs == 1))
        if self.targets.shape not in shapes:
            raise ValueError(
                f"`targets` of the shape {self.targets.shape} do not fit {samples} samples and {outputs} outputs ({self.loss})"
            )
        if self.loss == "cross-entropy":
            if self.targets.dtype.kind not in "iu" or not 0 <= self.targets.min() <= self.targets.max() < outputs:
                raise ValueError(f"`targets` of the cross-entropy must be integers from 0 to {outputs - 1}")
        elif not np.isfinite(self.targets).all():
            raise ValueError(f"target {int(np.argmax(~np.isfinite(self.targets.reshape(samples, -1)).all(1)))} is not finite")
        elif self.loss == "logistic" and not np.isin(self.targets, (0, 1)).all():
            raise ValueError("`targets` of the logistic loss must be zeros and ones")

    @property
    def _base(self) -> dict[str, int]:
        return dict.fromkeys(self.architecture.base, 1)

    def _mixed_constants(self) -> Constants:
        return Constants.default(self.architecture, base=self.base)

    @cached_property
    def layout(self) -> Layout | ExpertLayout:
        """The infinite network."""
        assert self.constants is not None
        if self.table is None and any(node.kind == "aggregation" for node in self.architecture.operations):
            raise ValueError(f"`{self.architecture.name}` is a mixture of experts, which has a limit for every regime: give its `table`")
        if self.table is None:
            return read(self.architecture, self.sizes, self.constants)
        if self.rule.entrywise:
            raise ValueError(f"the rule `{self.rule.kind}` has no limit for mixtures of experts here; `sgd` and `flow` have")
        return ExpertLayout(self.architecture, self.table, self.constants, self.architecture.sizes({**self.base, **self.sizes}))

    @cached_property
    def values(self) -> Float[np.ndarray, "sample out"]:
        """Targets as numbers; classes one-hot."""
        if self.loss == "cross-entropy":
            return np.eye(self.layout.outputs)[self.targets]
        return np.asarray(self.targets, float).reshape(len(self.inputs), -1)

    @property
    def richness(self) -> float:
        """How far features move: one over the std of the readout, at most 1. Bases are cut at its square."""
        assert self.constants is not None
        layout = self.layout
        std = layout.readout_std if isinstance(layout, ExpertLayout) else effective(self.constants, layout.readout).init_std
        return min(1.0, 1.0 / std) if std else 1.0

    @property
    def full_batch(self) -> bool:
        """Whether every step takes all samples."""
        return self.index is None

    def with_constants(self, constants: Constants) -> Problem:
        """The same problem with other constants."""
        return replace(self, constants=constants)
