"""Router logits of trained mixtures of experts, beside those of the limit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ...dmft import Problem
from ..limits.finite import plan


def trained_logits(problem: Problem, width: int, seeds: int) -> Float[np.ndarray, "seed sample expert"]:
    """Of the training samples after the last step, in networks whose stream has this width."""
    import torch

    from ...synthetic.training import Training

    ensemble = plan(problem, {width: seeds}, case="logits").ensembles[0]
    training = Training(ensemble, ensemble.replicas, torch.device("cpu"))
    training.run(lambda part: None)
    found: list[torch.Tensor] = []

    def keep(application, read, made) -> None:
        del read
        if application.node.weight == "router":
            found.append(made)

    with torch.no_grad():
        training.network(training.inputs[: len(problem.inputs)], watch=keep)
    return found[0].double().numpy()


def spread(logits: Float[np.ndarray, "... sample expert"]) -> np.ndarray:
    """Of the deviation over experts, the mean over samples."""
    return logits.std(-1).mean(-1)


def tails(logits: Float[np.ndarray, "... sample expert"]) -> np.ndarray:
    """Of the excess kurtosis over experts, the mean over samples; zero for normal logits."""
    away = logits - logits.mean(-1, keepdims=True)
    return ((away**4).mean(-1) / (away**2).mean(-1) ** 2 - 3).mean(-1)
