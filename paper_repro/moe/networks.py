"""The mixtures of experts that the figures train: their sizes, tables and constants of order one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from ...theory.architecture import Architecture, with_init
from ...theory.constants import Constants
from ...theory.derivation import derive
from ...theory.experts import REGIMES, moe
from ...theory.scales import Powers
from ...theory.table import ExponentTable

BASE = {"I": {"n": 32, "m": 16, "E": 4}, "II": {"n": 32, "m": 4, "E": 8}, "III": {"n": 16, "m": 4, "E": 2}}
"""The smallest sizes, at which all parameterisations are tuned; they follow their regime from there."""
REMEDY = {
    "I": {"router": "zero", "readout": "zero"},
    "II": {"readout": "zero"},
    "III": {"readout": "zero", "up": "shared", "down": "shared"},
}
"""What starts differently under maximal scale stability, as `theory.remedies.find_remedies` finds it."""
START = {"mup": "muP", "mup-zero": "muP, readout 0", "mssp": "MSSP", "mssp-readout": "MSSP, readout 1/n"}
"""Both initialisations, each with the readout of its own and with the other's; so that the readout is not taken for the remedy."""
INPUTS = 16


def network(regime: str, *, inputs: int = INPUTS) -> Architecture:
    """Without a residual branch, as its authors train it: nothing passes by the experts."""
    return moe(residual=False, activation="tanh", inputs=inputs, outputs=1, base=BASE[regime])


def sizes(regime: str, n: int) -> dict[str, int]:
    """All axes at width n."""
    return REGIMES[regime].sizes("n", n, BASE[regime])


@cache
def tables(regime: str, optimizer: str) -> Mapping[str, ExponentTable]:
    """The tables of `START`.

    Derived with the residual branch: without it and with a readout at zero the limit of muP never leaves its start in II and III, and the
    calculus leaves it undecided. Exponents are the same where both are decided.
    """
    net = moe(activation="tanh")
    mup = derive(net, optimizer, regime=REGIMES[regime])
    mssp = derive(with_init(net, **REMEDY[regime]), optimizer, desiderata="mssp", regime=REGIMES[regime])
    readout = mup.row("readout").init_std
    return {
        "mup": mup,
        "mup-zero": mup.changed("readout", zero_init=True, init_std=Powers()),
        "mssp": mssp,
        "mssp-readout": mssp.changed("readout", zero_init=False, init_std=readout),
    }


def constants(regime: str, optimizer: str, *, down: float = 1.0, epsilon: float = 1e-8, inputs: int = INPUTS) -> Constants:
    """Rates at which the update of every weight changes what it makes by order one, readouts 1/n, the mean over experts.

    For SGD embed ``n/d``, router ``E/n``, up ``E m/n``, down ``E n/m``, readout ``1/n``; for Adam the inverse fan-in. Epsilons are as
    large as entries of gradients: embed ``1/n``, router ``1/E``, up ``1/(E m)``, down ``1/(E n)``, readout 1. All at the base sizes.

    Args:
        regime: whose base.
        optimizer: ``sgd`` or ``adam``.
        down: factor on the rate of the experts' last weights.
        epsilon: factor on the epsilons.
        inputs: d.
    """
    n, m, experts = (BASE[regime][axis] for axis in ("n", "m", "E"))
    net, d = network(regime, inputs=inputs), inputs
    if optimizer == "sgd":
        rates = {"embed": n / d, "router": experts / n, "up": experts * m / n, "down": down * experts * n / m, "readout": 1 / n}
    else:
        rates = {"embed": 1 / d, "router": 1 / n, "up": 1 / n, "down": down / m, "readout": 1 / n}
    entries = {"embed": 1 / n, "router": 1 / experts, "up": 1 / (experts * m), "down": 1 / (experts * n), "readout": 1.0}
    default = Constants.default(net)
    weights = {w: replace(own, learning_rate=rates[w], epsilon=epsilon * entries[w]) for w, own in default.weights.items()}
    weights["readout"] = replace(weights["readout"], init_std=1 / n)
    return replace(default, weights=weights, operations={"aggregate": 1 / experts})
