"""Problems whose limit is solved, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ...dmft import Problem, Rule
from ...synthetic.tasks import digits
from ...theory.architecture import Architecture
from ...theory.constants import Constants
from ...theory.zoo import mlp, resnet
from .mixtures import RATES, mixture
from .points import sphere


@dataclass(frozen=True)
class Named:
    """A problem by name.

    Args:
        name: on the command line.
        title: one line.
        make: the problem.
    """

    name: str
    title: str
    make: Callable[[], Problem]


def perceptron(
    activation: str = "tanh", *, hidden: int = 2, richness: float = 1.0, rate: float | None = None, steps: int = 50, **more: Any
) -> Problem:
    """The task of the reference measurements: four points on a sphere in ten dimensions, full-batch gradient descent."""
    net = mlp(hidden=hidden, inputs=10, outputs=1, activation=activation, base=1)
    gain, usual = (2**0.5, 0.2) if activation == "relu" else (1.0, 0.5)
    constants = rich(net, richness=richness, learning_rate=usual if rate is None else rate, gain=gain)
    return Problem(net, *sphere(), steps, constants, **more)


def rich(architecture: Architecture, **numbers: float) -> Constants:
    """`Constants.rich` at width (and depth) 1."""
    return Constants.rich(architecture, base=dict.fromkeys(architecture.base, 1), **numbers)


def decayed(problem: Problem, rate: float) -> Problem:
    """With decoupled weight decay: every weight shrinks by the factor ``1 - learning_rate * rate`` per step."""
    constants = problem.constants
    assert constants is not None
    weights = {name: replace(own, weight_decay=rate / own.learning_rate) for name, own in constants.weights.items()}
    return problem.with_constants(replace(constants, weights=weights))


def batches(samples: int, batch: int, steps: int, seed: int = 0) -> np.ndarray:
    """The samples of every step, drawn without repetition inside a step."""
    rng = np.random.default_rng([seed, 17])
    return np.stack([rng.permutation(samples)[:batch] for _ in range(steps)])


def stream(depth: int = 4, *, steps: int = 12) -> Problem:
    """A residual network whose branches are multiplied by 1/sqrt(depth)."""
    net = resnet(inputs=10, outputs=1, activation="tanh", base=1)
    constants = rich(net, learning_rate=0.3, richness=1.5)
    return Problem(net, *sphere(), steps, constants, sizes={"L": depth})


def pixels(*, samples: int = 48, batch: int = 16, steps: int = 60, rate: float = 1.0) -> Problem:
    """Some of scikit-learn's digits in ten classes, in batches; as many others are predicted."""
    task = digits()
    net = mlp(hidden=2, inputs=64, outputs=10, activation="tanh", base=1)
    x, y = task.inputs[:samples], task.targets[:samples]
    return Problem(
        net,
        x,
        y,
        steps,
        rich(net, learning_rate=rate),
        loss="cross-entropy",
        index=batches(samples, batch, steps),
        test=task.inputs[task.train : task.train + samples],
    )


_ALL = (
    Named("tanh", "two hidden tanh layers learn four points by gradient descent", perceptron),
    Named("relu", "two hidden relu layers learn four points by gradient descent", lambda: perceptron("relu")),
    Named("tanh-1", "one hidden tanh layer", lambda: perceptron(hidden=1)),
    Named("relu-1", "one hidden relu layer", lambda: perceptron("relu", hidden=1)),
    Named("linear", "three hidden linear layers, solved exactly", lambda: perceptron("identity", hidden=3, rate=0.2)),
    Named("momentum", "tanh with heavy-ball momentum 0.7", lambda: perceptron(rate=0.15, steps=20, rule=Rule(momentum=0.7))),
    Named(
        "nesterov",
        "tanh with Nesterov's momentum 0.7 at a rate that falls linearly to zero",
        lambda: perceptron(rate=0.15, steps=20, rule=Rule(momentum=0.7, nesterov=True), schedule=[1 - t / 20 for t in range(20)]),
    ),
    Named("decay", "tanh with weight decay 0.3", lambda: decayed(perceptron(rate=0.3, steps=20), 0.3)),
    Named("minibatch", "tanh with batches of two", lambda: perceptron(rate=0.3, steps=20, index=batches(4, 2, 20))),
    Named("logistic", "tanh with the logistic loss", lambda: _logistic()),
    Named("adam", "tanh with Adam", lambda: _entrywise("adam", 0.1)),
    Named("sign", "tanh with signs of gradients", lambda: _entrywise("sign", 0.05)),
    Named("resnet", "four residual tanh branches, each times 1/sqrt(4)", stream),
    *(
        Named(
            f"moe-{regime}-{name}" + (f"-{more}" if more else ""),
            f"mixture of experts, regime {regime}, {'muP' if name == 'mup' else 'maximal scale stability'}{said}",
            partial(mixture, regime, name, **keywords),
        )
        for more, said, keywords, regimes in (
            ("", "", {}, ("I", "II", "III")),
            ("residual", ", with a residual", {"residual": True, "rate": 0.25}, ("I", "II", "III")),
            ("top-k", ", half of the experts active", {"active": "1/2", "residual": True, "rate": 0.25}, ("II", "III")),
            (
                "softmax",
                ", softmax gates",
                {"gate": "softmax", "logits": 0.3, "rate": 0.1, "rates": {**RATES, "router": 0.25}},
                ("II", "III"),
            ),
        )
        for regime in regimes
        for name in ("mup", "mssp")
    ),
    Named("digits", "48 digits in ten classes, cross-entropy, batches of 16", pixels),
)
PROBLEMS: Mapping[str, Named] = {one.name: one for one in _ALL}


def _logistic() -> Problem:
    x, y = sphere()
    net = mlp(hidden=2, inputs=10, outputs=1, activation="tanh", base=1)
    return Problem(net, x, (y > 0).astype(float), 20, rich(net, learning_rate=2.0), loss="logistic")


def _entrywise(kind: str, rate: float) -> Problem:
    net = mlp(hidden=2, inputs=10, outputs=1, activation="tanh", base=1)
    return Problem(net, *sphere(), 20, Constants.default(net, base={"n": 1}, learning_rate=rate), rule=Rule(kind))


def find_problem(name: str) -> Named:
    """The problem with this name.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if name not in PROBLEMS:
        raise ValueError(f"unknown problem `{name}`; choose from {', '.join(PROBLEMS)}, or give path/to/file.py:factory")
    return PROBLEMS[name]
