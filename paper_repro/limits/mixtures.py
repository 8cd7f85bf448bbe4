"""Mixtures of experts whose limits are solved: three regimes, each under muP and under maximal scale stability."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ...dmft import Problem
from ...theory.architecture import Architecture, with_init
from ...theory.constants import Constants, WeightConstants
from ...theory.derivation import derive
from ...theory.experts import REGIMES, moe
from ...theory.scales import Powers
from ...theory.table import ExponentTable
from ..moe.networks import REMEDY
from .points import sphere

BASES: Mapping[str, Mapping[str, int]] = {
    "I": {"n": 64, "m": 64, "E": 4},
    "II": {"n": 64, "m": 8, "E": 8},
    "III": {"n": 64, "m": 64, "E": 8},
}
"""Base sizes: proportions of what grows, sizes of what does not."""
RATES = {"embed": 1.0, "router": 4.0, "up": 2.0, "down": 2.0, "readout": 1.0}
"""Natural rates: with them every update is of order one at any size."""


@cache
def _table(regime: str, name: str, gate: str, active: str) -> ExponentTable:
    """Derived with a residual: without it muP leaves rates in II and III open, up to those that the residual fixes."""
    remedy = REMEDY[regime] if name == "mssp" else {}
    net = with_init(_network(regime, True, gate, active), **remedy)
    return derive(net, "sgd", desiderata=name, regime=REGIMES[regime])


def _network(regime: str, residual: bool, gate: str, active: str) -> Architecture:
    return moe(residual=residual, inputs=10, outputs=1, activation="tanh", gate=gate, active=active or None, base=BASES[regime])


def mixture(
    regime: str,
    name: str,
    *,
    rates: Mapping[str, float] = RATES,
    rate: float = 0.5,
    steps: int = 20,
    residual: bool = False,
    readout: str = "",
    gate: str = "sigmoid",
    active: str = "",
    logits: float = 1.0,
    **more: Any,
) -> Problem:
    """Four points on a sphere, learned by a mixture of experts.

    Args:
        regime: ``I``, ``II`` or ``III``.
        name: ``mup`` or ``mssp``.
        rates: natural ones, of every weight.
        rate: a factor on all of them.
        steps: updates.
        residual: keep the stream.
        readout: ``zero`` or ``gaussian`` (1/n), where the readout is not to start as the table says.
        gate: of the experts.
        active: share of the experts that a sample reaches; all where empty.
        logits: a factor on the initial router.
        more: of `Problem`.
    """
    net, table = _network(regime, residual, gate, active), _table(regime, name, gate, active)
    if readout:
        table = table.changed("readout", zero_init=readout == "zero", init_std=Powers(scale=-1))
    return Problem(net, *sphere(), steps, natural(regime, name, rates, rate, logits), table=table, base=BASES[regime], **more)


def natural(regime: str, name: str, rates: Mapping[str, float], rate: float, logits: float) -> Constants:
    """Constants at the base sizes for which every term that the limit keeps is of order one."""
    n, m, e = (float(BASES[regime][axis]) for axis in ("n", "m", "E"))
    d = 10.0
    std = {"embed": d**-0.5, "router": 1 / n if regime == "I" else n**-0.5, "up": n**-0.5, "down": m**-0.5, "readout": 1 / n}
    std["router"] *= logits
    if (regime, name) == ("II", "mssp"):
        std["down"] *= e**0.5
    unit = {"embed": n / d, "router": e / n, "up": e * m / n, "down": e * n / m, "readout": 1 / n}
    weights = {w: WeightConstants(learning_rate=unit[w] * rates[w], init_std=std[w]) for w in std}
    return Constants(weights, rate, {"aggregate": 1 / e, "gates": e})
