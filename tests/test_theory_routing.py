"""Gates of mixtures of experts: softmax, top-K masks, a dense expert beside the others; every table derived (arXiv 2605.14200)."""

from fractions import Fraction

import pytest
from helpers import call
from widelimit.theory import Regime, derive
from widelimit.theory.architecture import with_init
from widelimit.theory.experts import REGIMES, Mixture, moe, named_regime, resmoe
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis
from widelimit.theory.zoo import gpt

H = Fraction(1, 2)
WEIGHTS = ("embed", "router", "up", "down", "readout")
STARTS = {"I": {"router": "zero"}, "II": {}, "III": {"up": "shared", "down": "shared"}}
GATES = {
    "softmax": {"gate": "softmax"},
    "top quarter": {"active": "1/4"},
    "top half of a softmax": {"gate": "softmax", "active": "1/2"},
    "dense": {"dense": True},
    "top half and dense": {"active": "1/2", "dense": True},
}
COLUMNS = ("init_std", "learning_rate", "epsilon")


def tables(regime: str, optimizer: str, desiderata: str, **options):
    net = moe(activation="tanh", **options)
    if desiderata == "mssp":
        net = with_init(net, readout="zero", **STARTS[regime])
    return derive(net, optimizer, desiderata=desiderata, regime=REGIMES[regime])


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("desiderata", ["mup", "mssp"])
def test_gates_leave_the_table_of_sigmoids(gate: str, regime: str, desiderata: str):
    # moe_mssp, section 1: a softmax times E, or a mask over its share, is a gate of order one; sigmoids are tested against section 2
    for optimizer in ("sgd", "adam"):
        table, plain = (tables(regime, optimizer, desiderata, **options) for options in (GATES[gate], {}))
        assert table.verdict == plain.verdict == "unique"
        for name in WEIGHTS:
            assert [getattr(table.row(name), c) for c in COLUMNS] == [getattr(plain.row(name), c) for c in COLUMNS]


@pytest.mark.parametrize("regime", REGIMES)
def test_a_dense_expert_scales_as_a_hidden_layer(regime: str):
    for optimizer, rate in (("sgd", 0), ("adam", -1)):
        table = tables(regime, optimizer, "mssp", dense=True)
        for name in ("dense_up", "dense_down"):
            row = table.row(name)
            assert (row.init_std["scale"], row.learning_rate["scale"]) == (-H, rate)


def test_grouped_experts_have_softmax_and_masks():
    regime = Regime(n=1, m=H, E=1)
    plain, *others = (
        derive(with_init(moe(grouped=True, activation="tanh", **gate), readout="zero"), "sgd", desiderata="mssp", regime=regime)
        for gate in ({}, {"gate": "softmax"}, {"active": "1/4"})
    )
    assert all(table.verdict == "unique" and table.rows == plain.rows for table in others)


def test_the_rate_of_a_router_is_not_one_of_a_mask_alone():
    # without a gate that is differentiated, the router learns nothing
    g = Graph("mask", [Axis("n"), Axis("E", base=8)])
    g.dims(x=8, n="n", expert="E", active=(H, "E"), y=2)
    u = g.dense("embed", g.input("x"), "n")
    routes = g.top(g.dense("router", u, "expert"), "expert", "active")
    g.dims(m=4)
    out = g.dense("down", g.product(routes, g.map("tanh", g.dense("up", u, "m", index="expert"))), "n", over="m", index="expert")
    net = g.build(g.dense("readout", g.add(u, g.sum(out, "expert")), "y"))
    assert derive(net, "sgd", regime=Regime(n=1, E=0)).verdict != "unique"


def test_fewer_and_fewer_active_experts_are_refused():
    assert derive(moe(active=2), "sgd", regime=REGIMES["I"]).verdict == "unique"
    with pytest.raises(ValueError, match="keeps scale\\^0 of scale\\^1 entries"):
        derive(moe(active=2), "sgd", regime=REGIMES["III"])


@pytest.mark.parametrize("active", [0, -1, "3/2", "x"])
def test_active_is_a_share_or_a_number(active: int | str):
    with pytest.raises(ValueError, match="`active`"):
        Mixture(active=active)


def test_named_regimes_fit_mixtures_alone():
    assert dict(named_regime("III", resmoe())) == {"n": 1, "m": 1, "E": 1, "L": 0}
    with pytest.raises(ValueError, match="does not fit the axis `m` of `gpt`"):
        named_regime("I", gpt())


def test_the_command_knows_variants(capsys: pytest.CaptureFixture[str]):
    status, out, _ = call(capsys, "derive", "moe-top", "--regime", "II", "--optimizer", "sgd", "--desiderata", "mssp")
    assert status == 0 and "`readout` starts at zero" in out
    status, _, err = call(capsys, "derive", "resmoe")
    assert status == 2 and "or n=1,m=1,E=0,L=0" in err
