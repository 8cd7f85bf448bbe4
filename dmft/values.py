"""What compiled programs are given and give back: parameters, rates, data, passes."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Float, Int

from .population import Fields

Coordinates = Float[Array, "sample coordinate"]


class Parameters(NamedTuple):
    """Everything that is trained, or a change of it.

    Args:
        first: the input matrix, by coordinates of the inputs, (coordinate, neuron).
        hidden: D of every hidden matrix (see `edge`), (backward basis, forward basis); where changes are kept entry by entry, n times
            the change of the matrix, (target neuron, source neuron).
        parts: q of every hidden matrix; zero in a change.
        biases: of every hidden layer, (neuron,); none without biases.
        readout: n times the output matrix, (output, neuron).
        shift: the output's bias, (output,); none without one.
    """

    first: Float[Array, "coordinate neuron"]
    hidden: tuple[Float[Array, "back ahead"], ...]
    parts: tuple[Float[Array, ""], ...]
    biases: tuple[Float[Array, " neuron"], ...]
    readout: Float[Array, "out neuron"]
    shift: tuple[Float[Array, " out"], ...]


class Rates(NamedTuple):
    """Learning rate, weight decay and epsilon of every parameter, at width 1.

    Args:
        learning: one number for every leaf of `Parameters`.
        decay: lambda in ``w <- w - lr lambda w``.
        epsilon: of Adam.
    """

    learning: Parameters
    decay: Parameters
    epsilon: Parameters


class Data(NamedTuple):
    """What is learned.

    Args:
        inputs: coordinates of the samples.
        targets: values, or one-hot classes.
        index: the samples of every step.
        factors: the schedule.
    """

    inputs: Float[Array, "sample coordinate"]
    targets: Float[Array, "sample out"]
    index: Int[Array, "step batch"]
    factors: Float[Array, " step"]


class Scales(NamedTuple):
    """The numbers of a problem that a compiled program may be given anew.

    Args:
        rates: learning rates and decays.
        stds: initial standard deviations of the input matrix, the hidden matrices and the readout, at width 1.
        branch: the multiplier of residual branches.
        tolerance: variance of what is left out of a basis, relative to the fields.
        gains: of a mixture's matrices, the standard deviations of their noise, forward and backward.
    """

    rates: Rates
    stds: tuple[Float[Array, ""], tuple[Float[Array, ""], ...], Float[Array, ""]]
    branch: Float[Array, ""]
    tolerance: Float[Array, ""]
    gains: tuple[tuple[Float[Array, ""], Float[Array, ""]], ...] = ()


class Pass(NamedTuple):
    """Fields of a forward pass.

    Args:
        before: preactivations of every hidden layer, (sample, neuron).
        features: their activations.
        coefficients: of the features in the basis of the matrix they are multiplied with, (sample, basis).
        outputs: (sample, output).
    """

    before: tuple[Fields, ...]
    features: tuple[Fields, ...]
    coefficients: tuple[Float[Array, "sample basis"], ...]
    outputs: Float[Array, "sample out"]


class Back(NamedTuple):
    """What comes back in a backward pass.

    Args:
        deltas: ``-n d loss / d h`` of every layer, (sample, neuron).
        coefficients: of what every hidden matrix is multiplied with, (sample, basis).
        errors: ``-d loss / d f`` that were sent, (sample, output).
    """

    deltas: tuple[Fields, ...]
    coefficients: tuple[Float[Array, "sample basis"], ...]
    errors: Float[Array, "sample out"]
