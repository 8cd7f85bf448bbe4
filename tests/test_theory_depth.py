"""Depth: the multiplier of residual branches from desiderata, in blocks of one and of two matrices."""

import pytest
from helpers import assert_exponent
from widelimit.theory.architecture import Architecture
from widelimit.theory.derivation import derive
from widelimit.theory.desiderata import find_desiderata
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis, Regime
from widelimit.theory.zoo import resmlp

DEEP = Regime(n=0, L=1)


def one_matrix(*, rectified_last: bool) -> Architecture:
    """Blocks of one matrix, with the rectifier before or after it."""
    g = Graph("one matrix", [Axis("n"), Axis("L", base=4)])
    g.dims(x=8, n="n", y=2, layer="L")
    with g.stack("layer", g.dense("embed", g.input("x"), "n")) as stack:
        h = g.norm(stack.stream, kind="rms")
        h = g.dense("inner", h if rectified_last else g.map("relu", h), "n", index="layer")
        h = g.map("relu", h) if rectified_last else h
        x = stack.add(g.scale(h, None, kind="residual", name="branch"))
    return g.build(g.dense("readout", g.norm(x, kind="rms"), "y"))


BLOCKS = {"two matrices": lambda: resmlp(branch=None), "one matrix": lambda: one_matrix(rectified_last=False)}


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("optimizer", "rates"), [("adam", {"complete": 0, "depth-mup": "-1/2"}), ("sgd", {"complete": 1, "depth-mup": 0})])
def test_the_branch_follows_from_the_desiderata(block: str, optimizer: str, rates: dict):
    """CompleteP at 1 and Depth-muP at 1/2: Adam's rate is L^(alpha-1), SGD's L^(2 alpha-1) (mup_tables, section 2b)."""
    for desiderata, alpha in (("complete", -1), ("depth-mup", "-1/2")):
        table = derive(BLOCKS[block](), optimizer, desiderata=desiderata, regime=DEEP)
        assert table.verdict == "unique"
        assert_exponent(table.operations[0].multiplier, L=alpha)
        for row in (row for row in table.rows if row.shape.stack):
            assert_exponent(row.learning_rate, L=rates[desiderata])


def test_without_them_the_branch_is_free():
    table = derive(resmlp(branch=None), "adam", regime=DEEP)
    assert table.verdict == "family" and "mult:branch [L]" in table.free


def test_rectified_branches_have_a_mean_that_adds_up():
    """Where the rectifier comes last, the branches of all layers share a mean, so even at initialisation 1/L is all they may be."""
    table = derive(one_matrix(rectified_last=True), "adam", desiderata="depth-mup", regime=DEEP)
    assert table.verdict == "unique"
    assert_exponent(table.operations[0].multiplier, L=-1)


def test_a_given_branch_contradicts_the_other_desideratum():
    assert derive(resmlp(branch="-1/2"), "adam", desiderata="complete", regime=DEEP).verdict == "infeasible"
    assert derive(resmlp(branch=-1), "adam", desiderata="depth-mup", regime=DEEP).verdict == "infeasible"


def test_names_of_the_sets():
    assert "layerwise-update" in find_desiderata("complete") and "diverse-branches" in find_desiderata("depth-mup")


@pytest.mark.parametrize("optimizer", ["muon-scaled", "muonh"])
@pytest.mark.parametrize(("desiderata", "power"), [("complete", 0), ("depth-mup", "-1/2")])
def test_hyperp_rates_of_depth(optimizer: str, desiderata: str, power: int | str):
    """Muon and updates on a sphere: rates are L^-1/2 behind branches L^-1/2 (2603.28743, Table 1 and ArchScale's muP++)."""
    table = derive(resmlp(branch=None), optimizer, desiderata=desiderata, regime=DEEP)
    rows = [row for row in table.rows if row.shape.stack]
    assert table.verdict == "unique" and len(rows) == 2
    for row in rows:
        assert_exponent(row.learning_rate, L=power)
