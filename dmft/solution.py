"""What a solve returns: curves with error bars, kernels, fields, and whether to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import t as student

Pairs = Mapping[tuple[int, int, int], np.ndarray]


class Result(Enum):
    """How a solve ended; the value is the sentence that is shown."""

    successful = "the error is within the bound that was asked for"
    not_converged = "the error bound was not reached with the particles and replicates that were allowed"
    basis_exhausted = "a basis needs as many vectors as there are particles: the fields never stop turning; ask for more particles"
    diverged = "training diverges"


@dataclass(frozen=True)
class Curve:
    """A quantity over the recorded steps, with its error.

    Args:
        value: the mean over replicates, (record, ...).
        error: its standard error; zero where the solver has no sampling error.
        bias: an estimate of how far the mean is from infinitely many particles; zero without one.
        replicates: over which the mean is taken.
    """

    value: Float[np.ndarray, "record ..."]
    error: Float[np.ndarray, "record ..."]
    bias: Float[np.ndarray, "record ..."]
    replicates: int

    def interval(self, level: float = 0.95) -> tuple[Float[np.ndarray, "record ..."], Float[np.ndarray, "record ..."]]:
        """Student's interval for the mean, wider by the bias estimate."""
        if self.replicates < 2:
            return self.value - np.abs(self.bias), self.value + np.abs(self.bias)
        half = student.ppf((1 + level) / 2, self.replicates - 1) * self.error + np.abs(self.bias)
        return self.value - half, self.value + half

    @property
    def bound(self) -> float:
        """``max_t |bias| + standard error``."""
        return float((np.abs(self.bias) + self.error).max())


@dataclass(frozen=True, eq=False)
class Fields:
    """Single-site fields of a layer at one step, of one replicate.

    Args:
        before: preactivations, (sample, neuron).
        features: their activations.
    """

    before: Float[np.ndarray, "sample neuron"]
    features: Float[np.ndarray, "sample neuron"]


@dataclass(frozen=True, eq=False)
class Solution:
    """The infinite network's training.

    Args:
        steps: recorded ones.
        loss: mean loss of the training samples.
        predictions: of the training samples, (record, sample, output).
        test: of the test samples, or None.
        kernels: feature kernels ``<phi_mu(t) phi_nu(s)>`` by (layer from 1, t, s), (sample, sample), between the steps asked for.
        gradients: kernels ``<g_mu(t) g_nu(s)>`` of ``g = n df/dh`` likewise, for one output.
        responses: ``<phi_mu(t) r_nu(s)>`` of the features of a layer and the Gaussian part r of the gradients that come back to it,
            likewise; the sum over s' of the response function A(t, s') times the next layer's gradient kernel (s', s).
        fields: by (layer from 1, step).
        ranks: of every hidden matrix, forward and backward.
        result: how it ended.
        stats: particles, replicates, seconds, the step of a divergence.
    """

    steps: Int[np.ndarray, " record"]
    loss: Curve
    predictions: Curve
    test: Curve | None
    kernels: Pairs
    gradients: Pairs
    responses: Pairs
    fields: Mapping[tuple[int, int], Fields]
    ranks: tuple[tuple[int, int], ...]
    result: Result
    stats: Mapping[str, Any]

    def kernel(self, layer: int, step: int, other: int | None = None) -> Float[np.ndarray, "sample sample"]:
        """``<phi_mu(t) phi_nu(s)>`` of a hidden layer (from 1); s is t where it is left out.

        Raises:
            ValueError: if a step was not asked for.
        """
        key = (layer, step, step if other is None else other)
        if key not in self.kernels:
            raise ValueError(f"there is no kernel of layer {layer} at the steps {key[1:]}; name its steps in `at` of `solve`")
        return self.kernels[key]

    def response(self, layer: int) -> Float[np.ndarray, "t sample s sample2"]:
        """The response function ``A(t, s) = <d phi(h(t)) / d r(s)>`` of a hidden layer with a matrix above, between all steps asked for.

        It is solved from `responses` by least squares, so these steps should be all of them, from 0 without a gap.
        """
        steps = sorted({key[1] for key in self.kernels})
        block = lambda pairs, which: np.block([[pairs[which, t, s] for s in steps] for t in steps])  # noqa: E731
        found = block(self.responses, layer) @ np.linalg.pinv(block(self.gradients, layer + 1), rcond=1e-8, hermitian=True)
        return found.reshape(len(steps), -1, len(steps), self.predictions.value.shape[1])

    def frame(self, **labels: Any) -> pd.DataFrame:
        """The loss in the long form that `widelimit.figures` compares, with columns of the interval."""
        low, high = self.loss.interval()
        return pd.DataFrame(
            {
                "source": "dmft",
                "case": "",
                "config": "",
                "seed": 0,
                "step": self.steps,
                "weight": "",
                "term": "train loss",
                "value": self.loss.value,
                "predicted": np.nan,
                "se": self.loss.error,
                "low": low,
                "high": high,
                **labels,
            }
        )


class SolveError(RuntimeError):
    """A solve without a usable result; ``solution`` holds what there is."""

    def __init__(self, solution: Solution, detail: str = ""):
        super().__init__(f"{solution.result.value}{f' ({detail})' if detail else ''}")
        self.solution = solution
