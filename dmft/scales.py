"""The numbers of a problem at width 1."""

from __future__ import annotations

import jax.numpy as jnp

from .layout import effective
from .mixing import ExpertLayout
from .problem import Problem
from .values import Parameters, Rates, Scales


def scales_of(problem: Problem, cut: float) -> Scales:
    """Rates, deviations and the tolerance of bases: ``cut`` times the square of the richness."""
    layout, tolerance = problem.layout, cut * problem.richness**2
    if isinstance(layout, ExpertLayout):
        return layout.scales(tolerance)
    assert problem.constants is not None
    own = {
        n: effective(problem.constants, n, entrywise=problem.rule.entrywise)
        for n in (layout.first, *layout.hidden, layout.readout, *layout.biases, layout.shift)
        if n
    }

    def leaves(column: str) -> Parameters:
        value = lambda name: jnp.asarray(getattr(own[name], column), float)  # noqa: E731
        hidden = tuple(value(n) for n in layout.hidden)
        biases, shift = tuple(value(n) for n in layout.biases), tuple(value(n) for n in [layout.shift] if n)
        return Parameters(value(layout.first), hidden, hidden, biases, value(layout.readout), shift)

    stds = leaves("init_std")
    rates = Rates(leaves("learning_rate"), leaves("weight_decay"), leaves("epsilon"))
    return Scales(rates, (stds.first, stds.hidden, stds.readout), jnp.asarray(layout.branch, float), jnp.asarray(tolerance))
