"""The networks on which rules of weight decay are measured: their tables, constants, and who trains what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...synthetic.ensemble import Auxiliary
from ...synthetic.tasks import Task, noise
from ...synthetic.zipf_task import zipf
from ...theory.architecture import Architecture
from ...theory.constants import Constants
from ...theory.derivation import derive
from ...theory.scales import Powers, Rational
from ...theory.table import ExponentTable
from ...theory.zoo import prenorm

BETAS = (0.9, 0.95)
VECTORS = 0.01  # rate of embeddings and readout
LOGITS = 8.0  # of the readout's whole weight, (LOGITS / n) H with H trained at the rate `VECTORS` at every width
EPSILON = 1e-15  # gradients of matrices are zero until the readout has moved


def matrices(network: Architecture) -> tuple[str, ...]:
    """Weights with two growing sides, which decay; the others have a rate of their own and no decay."""
    return tuple(w.name for w in network.weights.values() if network.monomial(w.out) and network.monomial(w.inn))


def table(network: Architecture, power: Rational = 1) -> ExponentTable:
    """muP for AdamW, as derived; the decay of matrices grows as ``n^power``."""
    found = derive(network, "adamw")
    for name in matrices(network):
        found = found.changed(name, weight_decay=Powers(n=power))
    return found


def constants(network: Architecture, *, vectors: float = VECTORS) -> Constants:
    """At the base width a replica's rate and decay are those of all matrices; ``vectors`` is the rate of embeddings and readout.

    Branches start at about half the size of the stream, the sum of two embeddings at about one.
    """
    default, inside = Constants.default(network), matrices(network)
    width = network.sizes({})["n"]
    weights = {}
    for name, own in default.weights.items():
        own = replace(own, epsilon=EPSILON, learning_rate=vectors)
        if name in inside:
            own = replace(own, learning_rate=1.0, weight_decay=1.0, init_std=own.init_std * (0.5 if name.endswith("down") else 1.0))
        elif name == "readout":
            own = replace(own, learning_rate=vectors * LOGITS / width)
        elif name == "embedding":
            own = replace(own, init_std=0.7)
        weights[name] = own
    return replace(default, weights=weights)


def auxiliary(network: Architecture, scaled: ExponentTable) -> Auxiliary:
    """What trains embeddings and readout: Adam at rates that a replica's own does not change."""
    inside = matrices(network)
    return Auxiliary(scaled, tuple(w.name for w in network.weights.values() if w.trained and w.name not in inside), 1.0, BETAS)


def settings(network: Architecture, *, power: Rational = 1, vectors: float = VECTORS) -> dict[str, Any]:
    """Fields of an `Ensemble`: what this module says of a network.

    A replica's rate is that of matrices at the base width, and its ``weight_decay`` in the ensemble's ``grid`` their decay there.
    """
    scaled = table(network, power)
    return {
        "architecture": network,
        "table": scaled,
        "constants": constants(network, vectors=vectors),
        "auxiliary": auxiliary(network, scaled),
        "betas": BETAS,
    }


def setting(
    name: str, *, width: int, base: int, samples: int, seed: int = 0, validation: int = 2**12, **more: Any
) -> tuple[Architecture, Task]:
    """The network and the task of a synthetic setting.

    Args:
        name: ``S1`` (isotropic noise), ``S1 a`` with an exponent a (covariance ``i^-a``), ``S2`` (Zipf's tokens), or ``S2 frozen``,
            whose embeddings stay as they were.
        width: of the network, which in S1 is the number of inputs.
        base: the width at which rates and decays are told.
        samples: to train.
        seed: of the data.
        more: of `prenorm` (``post_norm``, ``blocks``).

    Raises:
        ValueError: if there is no such setting.
    """
    kind, _, exponent = name.partition(" ")
    if kind == "S1":
        return prenorm(base=base, **more), noise(
            inputs=width, decay=float(exponent or 0), samples=samples, validation=validation, seed=seed
        )
    if name not in ("S2", "S2 frozen"):
        raise ValueError(f"there is no setting `{name}`; choose S1, S1 with an exponent, S2, or S2 frozen")
    net = prenorm(vocab=256, frozen=name == "S2 frozen", base=base, **more)
    return net, zipf(samples=samples, validation=validation, seed=seed)
