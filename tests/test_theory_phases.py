"""Phase diagrams: polyhedra of tables with one kind of limit, against the theorems of Tensor Programs IV and IVb."""

from fractions import Fraction

import pytest
from widelimit.paper_repro.verification.phases import HIGH, LOW, PUBLISHED, disagreements, family, theorem
from widelimit.theory.derivation import derive
from widelimit.theory.phases import Facet, Family, phase_diagram
from widelimit.theory.zoo import mlp, resmlp

H = Fraction(1, 2)


@pytest.mark.parametrize("optimizer", PUBLISHED)
def test_diagram_is_that_of_the_theorem(optimizer: str):
    phases = phase_diagram(family(optimizer), LOW, HIGH)
    assert disagreements(phases, optimizer, 100) == 0
    (stable,) = [phase for phase in phases if phase.kind != "unstable"]
    assert stable.kind == "trivial"
    end = (Fraction(1) if optimizer == "sgd" else H, -H)
    kinds = {(facet.kind, frozenset(facet.corners)) for facet in stable.facets}
    assert ("kernel", frozenset({(0, 0), end})) in kinds
    assert ("feature learning", frozenset({(0, 0), (0, 1)})) in kinds
    assert theorem(optimizer, Fraction(0), Fraction(0)) == "feature learning"


def test_a_kernel_regime_may_fill_an_area():
    """Rates of the hidden weights alone: the readout's own update keeps the limit from being trivial."""
    table = derive(mlp(), "sgd")
    hidden = {(name, "learning_rate"): -1 for name in ("W1", "W2")}
    found = Family(mlp(), table, {"hidden": hidden, "readout": {("W3", "init_std"): -1}})
    phases = phase_diagram(found, (-H, -1), (1, 1))
    assert {phase.kind for phase in phases} == {"kernel", "unstable"}
    facets = [facet for phase in phases for facet in phase.facets]
    assert any(facet == Facet((0, -1, 0), facet.corners, "feature learning") for facet in facets)


def test_one_parameter():
    """Along the rates of a residual network alone: unstable, maximal updates, trivial."""
    network = resmlp()
    rates = {(row.weight, "learning_rate"): -1 for row in derive(network, "adam").rows}
    phases = sorted(phase_diagram(Family(network, derive(network, "adam"), {"x": rates}), (-1,), (1,)), key=lambda phase: phase.corners)
    assert [phase.kind for phase in phases] == ["unstable", "trivial"]
    assert [sorted(phase.corners) for phase in phases] == [[(-1,), (0,)], [(0,), (1,)]]
    (facet,) = phases[1].facets
    assert facet.kind == "feature learning"
