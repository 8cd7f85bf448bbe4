"""Tasks: inputs and targets made from a seed, a loss, and a split into training and validation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from jaxtyping import Float, Int, Shaped

from ..theory.architecture import Architecture
from .streams import stream

LOSSES = ("cross-entropy", "logistic", "squared")


@dataclass(frozen=True, eq=False)
class Task:
    """Data of a learning problem; the first ``train`` samples are for training, the rest for validation.

    ``squared`` is half the squared distance and ``logistic`` the cross-entropy of independent answers yes or no, both summed over
    the outputs; ``cross-entropy`` is taken over the last dimension of the output; all are means over samples and positions.

    Args:
        name: for frames and messages.
        inputs: (sample, *dims), real numbers, or int64 tokens.
        targets: classes (sample, *positions), int64, or values (sample, *dims), float64 (0 or 1 for ``logistic``).
        loss: one of `LOSSES`.
        train: number of training samples.
        expected: for ``cross-entropy``, distributions of the class of every validation sample, (validation, *positions, class): the
            recorded validation loss is the mean over them, with no noise of labels. A row may be multiplied by a weight of its sample.
    """

    name: str
    inputs: Shaped[np.ndarray, "sample ..."]
    targets: Shaped[np.ndarray, "target ..."]
    loss: str
    train: int
    expected: Float[np.ndarray, "validation ... class"] | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"unknown loss `{self.loss}` of the task `{self.name}`; choose from {', '.join(LOSSES)}")
        if len(self.inputs) != len(self.targets):
            raise ValueError(f"the task `{self.name}` has {len(self.inputs)} inputs and {len(self.targets)} targets")
        if not 0 < self.train <= len(self.inputs):
            raise ValueError(f"`train` is {self.train} of the {len(self.inputs)} samples of the task `{self.name}`")
        if self.loss == "cross-entropy" and self.targets.dtype.kind != "i":
            raise ValueError(f"the task `{self.name}` needs integers as targets of the cross-entropy, not {self.targets.dtype}")
        if self.loss == "logistic" and not np.isin(self.targets, (0, 1)).all():
            raise ValueError(f"the task `{self.name}` needs zeros and ones as targets of the logistic loss")
        if self.expected is not None and (self.loss != "cross-entropy" or len(self.expected) != len(self.inputs) - self.train):
            raise ValueError(
                f"`expected` of the task `{self.name}` ({self.loss}) has {len(self.expected)} distributions "
                f"for {len(self.inputs) - self.train} validation samples"
            )

    @property
    def floor(self) -> float:
        """The validation loss of whoever knows the ``expected`` distributions; nan without them."""
        if self.expected is None:
            return float("nan")
        rows = self.expected.reshape(-1, self.expected.shape[-1]).astype(float)
        logs = np.log(np.where(rows > 0, rows, 1.0)) - np.log(np.where(rows.any(1), rows.sum(1), 1.0))[:, None]
        return float(-(rows * logs).sum() / len(rows))

    @cached_property
    def digest(self) -> str:
        """sha256 of everything that training sees of the task."""
        digest = hashlib.sha256(f"{self.loss} {self.train}".encode())
        for array in (self.inputs, self.targets, *(() if self.expected is None else (self.expected,))):
            digest.update(f" {array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def digits(*, seed: int = 0) -> Task:
    """scikit-learn's 8 x 8 digits: 64 inputs, 10 classes, 898 samples to train and 899 to validate.

    Every pixel is centred, and all are divided by one number that makes their mean square 1 (dividing each by its
    own deviation would blow up the pixels that are almost always dark).
    """
    from sklearn.datasets import load_digits

    pixels, classes = (np.asarray(array) for array in load_digits(return_X_y=True))
    order = stream(seed, "digits/split").permutation(len(pixels))
    train = len(pixels) // 2
    pixels = pixels - pixels[order[:train]].mean(0)
    pixels = pixels / np.sqrt(np.mean(pixels[order[:train]] ** 2))
    return Task("digits", pixels[order], classes[order].astype(np.int64), "cross-entropy", train)


def teacher(
    *,
    inputs: int | tuple[int, ...],
    outputs: int | tuple[int, ...],
    loss: str = "squared",
    samples: int = 2048,
    hidden: int = 8,
    noise: float = 0.0,
    seed: int = 0,
) -> Task:
    """Gaussian inputs, labelled by a random two-layer tanh network with ``hidden`` units.

    ``y = sqrt(2) V tanh(2 U x) + noise``, with ``x ~ N(0, 1)``, ``U`` of variance ``1/inputs`` and ``V`` of variance
    ``1/hidden``, so that y is of order one; for ``cross-entropy`` the class is the largest y along the last dimension.

    Args:
        inputs: size or shape of x.
        outputs: size or shape of y (its last dimension: the number of classes).
        loss: ``squared`` or ``cross-entropy``.
        samples: half of them train.
        hidden: units of the teacher.
        noise: standard deviation added to y.
        seed: of teacher, inputs and noise.
    """
    rng = stream(seed, "teacher")
    x_shape, y_shape = (shape if isinstance(shape, tuple) else (shape,) for shape in (inputs, outputs))
    x = rng.standard_normal((samples, prod(x_shape)))
    first = rng.standard_normal((hidden, x.shape[1])) / np.sqrt(x.shape[1])
    second = rng.standard_normal((prod(y_shape), hidden)) * np.sqrt(2 / hidden)
    y = np.tanh(2 * x @ first.T) @ second.T + noise * rng.standard_normal((samples, prod(y_shape)))
    y = y.reshape(samples, *y_shape)
    return Task("teacher", x.reshape(samples, *x_shape), y if loss == "squared" else y.argmax(-1), loss, samples // 2)


def graded(
    *,
    inputs: int = 64,
    classes: int = 32,
    hidden: int = 64,
    decay: float = 0.5,
    samples: int = 2**16,
    validation: int = 2**10,
    seed: int = 0,
) -> Task:
    """Gaussian inputs of falling variance, classified by a random two-layer network: a few directions matter much, many a little.

    ``x_j ~ j^-decay N(0, 1)``, scaled to mean square 1; the class is the largest of ``V relu(U x)`` with Gaussian U and V. With
    ``samples = steps * batch`` every batch is fresh.
    """
    rng = stream(seed, "graded")
    sizes = np.arange(1, inputs + 1) ** -float(decay)
    x = _gaussian(samples + validation, inputs, 1.0, rng) * (sizes / np.sqrt(np.mean(sizes**2))).astype(np.float32)
    first, second = rng.standard_normal((hidden, inputs)).astype(np.float32), rng.standard_normal((classes, hidden)).astype(np.float32)
    classified = [(np.maximum(part @ first.T, 0) @ second.T).argmax(1) for part in np.array_split(x, max(1, len(x) // 2**14))]
    return Task("graded", x, np.concatenate(classified), "cross-entropy", samples)


def markov(*, vocab: int = 64, positions: int = 16, samples: int = 2048, seed: int = 0) -> Task:
    """Sequences of a random Markov chain of order two; the target is the next token.

    The logits of the next token are ``1.5 (a[last] + b[last but one])`` with Gaussian tables a and b: predicting
    it well needs the previous position, which takes attention. Half of the sequences train.
    """
    if vocab < 2 or positions < 1:
        raise ValueError(f"`vocab` is {vocab} and `positions` is {positions}; a sequence needs at least 2 tokens and 1 position")
    rng = stream(seed, "markov")
    last, before = 1.5 * rng.standard_normal((2, vocab, vocab))
    tokens = np.empty((samples, positions + 1), np.int64)
    tokens[:, 0] = rng.integers(vocab, size=samples)
    for t in range(1, positions + 1):
        logits = last[tokens[:, t - 1]] + before[tokens[:, max(t - 2, 0)]]
        tokens[:, t] = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    return Task("markov", tokens[:, :-1].copy(), tokens[:, 1:].copy(), "cross-entropy", samples // 2)


def ball(*, inputs: int = 64, samples: int = 2**16, validation: int = 2**13, seed: int = 0) -> Task:
    """Whether a Gaussian point lies outside the ball that holds half of them: ``y = 1{|x|^2 > median of chi^2_d}``, logistic loss.

    Ghosh, Wu and Bietti, arXiv 2512.22768, section on weak transfer. With ``samples = steps * batch`` every batch is fresh.
    """
    from scipy.stats import chi2

    x = _gaussian(samples + validation, inputs, 1.0, stream(seed, "ball"))
    y = (np.einsum("si,si->s", x, x) > chi2.median(inputs)).astype(np.float32)
    return Task("ball", x, y[:, None], "logistic", samples)


def k_index(*, inputs: int = 64, index: int = 15, samples: int = 2**16, validation: int = 2**13, seed: int = 0) -> Task:
    """``y = sqrt(d / (4k) sum_(i <= k) x_i^2)`` of ``x ~ N(0, (4/d) I_d)``, squared loss (arXiv 2512.22768, k-index regression).

    Raises:
        ValueError: if there are fewer inputs than indices.
    """
    if not 0 < index <= inputs:
        raise ValueError(f"`index` is {index}; it must lie between 1 and the {inputs} inputs")
    x = _gaussian(samples + validation, inputs, 2 / np.sqrt(inputs), stream(seed, "k-index"))
    y = np.sqrt(inputs / (4 * index) * np.einsum("si,si->s", x[:, :index], x[:, :index]))
    return Task("k-index", x, y[:, None], "squared", samples)


def interaction(*, inputs: int = 16, samples: int = 2**12, validation: int = 2**8, seed: int = 0) -> Task:
    """One direction, and one whose weight is another's size: ``y = tanh(a) + |b| tanh(2 c)``, squared loss.

    ``a``, ``b`` and ``c`` are orthogonal projections of ``x ~ N(0, I_d)``; y is scaled to variance 1. It is odd in x, as networks
    without biases with odd activations are. With ``samples = steps * batch`` every batch is fresh.
    """
    rng = stream(seed, "interaction")
    frame, _ = np.linalg.qr(rng.standard_normal((inputs, 3)))
    x = _gaussian(samples + validation, inputs, 1.0, rng)
    a, b, c = (x @ frame.astype(np.float32)).T
    y = np.tanh(a) + np.abs(b) * np.tanh(2 * c)
    return Task("interaction", x, ((y - y.mean()) / y.std())[:, None], "squared", samples)


def noise(*, inputs: int = 64, decay: float = 0.0, classes: int = 64, samples: int = 2**16, validation: int = 2**11, seed: int = 0) -> Task:
    """Gaussian inputs whose covariance has the eigenvalues ``i^-decay`` in a random basis, with random classes: nothing can be learned.

    Inputs have mean square 1. With ``samples = steps * batch`` every batch is fresh.
    """
    rng = stream(seed, "noise")
    basis, _ = np.linalg.qr(rng.standard_normal((inputs, inputs)))
    values = np.arange(1, inputs + 1) ** -float(decay)
    x = _gaussian(samples + validation, inputs, 1.0, rng)
    if decay:
        x = x @ (basis * np.sqrt(values / values.mean())).T.astype(np.float32)
    expected = np.full((validation, classes), 1 / classes, np.float32)
    return Task("noise", x, rng.integers(classes, size=len(x)), "cross-entropy", samples, expected)


def _gaussian(samples: int, inputs: int, std: float, rng: np.random.Generator) -> np.ndarray:
    """In single precision: millions of fresh samples are kept at once."""
    return rng.standard_normal((samples, inputs), np.float32) * np.float32(std)


def batch_index(seed: int, steps: int, n: int, batch: int) -> Int[np.ndarray, "step batch"]:
    """Which of ``n`` samples make the batch of every step: epochs in random order, without repetition inside one.

    Raises:
        ValueError: if a batch is empty or larger than the data.
    """
    if not 0 < batch <= n:
        raise ValueError(f"`batch` is {batch}; it must lie between 1 and the {n} training samples")
    rng = stream(seed, "batches")
    per_epoch = n // batch
    epochs = [rng.permutation(n)[: per_epoch * batch].reshape(per_epoch, batch) for _ in range(-(-steps // per_epoch))]
    return np.concatenate(epochs)[:steps] if epochs else np.empty((0, batch), np.int64)


def default_task(architecture: Architecture, *, sizes: Mapping[str, int] | None = None, seed: int = 0) -> Task:
    """A task that fits a network: `markov` for a language model, `digits` for 64 inputs and 10 outputs, else a `teacher`.

    Raises:
        ValueError: if the network has several inputs, or reads tokens but does not predict one at every position.
    """
    if len(architecture.inputs) != 1:
        raise ValueError(f"`{architecture.name}` has {len(architecture.inputs)} inputs; give it a task of its own")
    (node,), output = architecture.inputs, architecture.output
    complete = architecture.sizes(sizes or {})
    shapes = [tuple(architecture.dims[d].size(complete, architecture.name) for d in n.dims) for n in (node, output)]
    if node.kind == "token":
        if len(node.dims) != 2 or shapes[0] != shapes[1]:
            raise ValueError(f"`{architecture.name}` reads tokens but does not predict the next one; give it a task of its own")
        return markov(positions=shapes[0][0], vocab=shapes[0][1], seed=seed)
    return digits(seed=seed) if shapes == [(64,), (10,)] else teacher(inputs=shapes[0], outputs=shapes[1], seed=seed)
