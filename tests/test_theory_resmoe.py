"""Mixtures of experts in depth: rates and epsilons of the branches, derived and measured (moe_mssp, section 8)."""

import pytest
from helpers import assert_exponent
from widelimit.paper_repro.check import Settings, run_check
from widelimit.theory import Regime, derive
from widelimit.theory.architecture import with_init
from widelimit.theory.experts import REGIMES, moe, named_regime, resmoe
from widelimit.theory.observables import Observable

DEEP = Regime(n=0, m=0, E=0, L=1)
STARTS = {"I": {"router": "zero"}, "II": {}, "III": {"up": "shared", "down": "shared"}}
INSIDE = ("router", "up", "down")


@pytest.mark.parametrize(("branch", "sgd", "adam", "epsilon"), [(-1, 1, 0, -1), ("-1/2", 0, "-1/2", "-1/2")])
def test_rates_and_epsilons_in_depth(branch: int | str, sgd: int, adam: int | str, epsilon: int | str):
    """1/L: SGD's rates grow with L, Adam's stay, epsilon falls as 1/L; 1/sqrt(L): SGD's stay, Adam's and epsilon fall as 1/sqrt(L)."""
    for optimizer, rate in (("sgd", sgd), ("adam", adam)):
        table = derive(resmoe(branch=branch, activation="tanh"), optimizer, regime=DEEP)
        assert table.verdict == "unique"
        for name in INSIDE:
            assert_exponent(table.row(name).learning_rate, L=rate)
            if optimizer == "adam":
                assert_exponent(table.row(name).epsilon, L=epsilon)
        for name in ("embed", "readout"):
            assert_exponent(table.row(name).learning_rate, L=0)


def test_the_branch_follows_from_desiderata():
    for desiderata, power in (("complete", -1), ("depth-mup", "-1/2")):
        table = derive(resmoe(branch=None, activation="tanh"), "adam", desiderata=desiderata, regime=DEEP)
        assert table.verdict == "unique"
        assert_exponent(next(o for o in table.operations if o.name == "branch").multiplier, L=power)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("desiderata", ["mup", "mssp"])
def test_at_a_fixed_depth_blocks_scale_as_one(regime: str, desiderata: str):
    deep, flat = resmoe(activation="tanh"), moe(activation="tanh")
    if desiderata == "mssp":
        deep, flat = (with_init(net, readout="zero", **STARTS[regime]) for net in (deep, flat))
    for optimizer in ("sgd", "adam"):
        one, other = (derive(net, optimizer, desiderata=desiderata, regime=named_regime(regime, net)) for net in (deep, flat))
        assert one.verdict == other.verdict == "unique"
        for row in one.rows:
            same = other.row(row.weight)
            assert (row.init_std, row.learning_rate, row.epsilon) == (same.init_std, same.learning_rate, same.epsilon)


def test_scale_stable_branches_are_one_over_depth():
    # behind 1/sqrt(L) every layer's update vanishes as L^-1/2: an atomic term that changes with the depth
    net = with_init(resmoe(activation="tanh"), readout="zero")
    assert derive(net, "adam", desiderata="mssp", regime=DEEP).verdict == "unique"
    wide = derive(with_init(resmoe(branch="-1/2", activation="tanh"), readout="zero"), "adam", desiderata="mssp", regime=DEEP)
    assert wide.verdict == "infeasible" and {"stable collect1", "atom router: dW x0"} <= set(wide.clash)


def test_shared_initial_weights_differ_between_layers():
    net = with_init(resmoe(), up="shared")
    assert net.weights["up"].shared == ("expert",) and net.index_of("up") == ("expert",)


def test_names_of_sums_backward():
    for text in ("up^T (summed): W0 dg", "up^T: dW g0", "up (summed): dW x0", "up: W0 dx"):
        assert str(Observable.parse(text)) == text


@pytest.mark.slow
@pytest.mark.parametrize("branch", [-1, "-1/2"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_terms_of_deep_mixtures(branch: int | str, optimizer: str):
    net = resmoe(branch=branch)
    rows = run_check(net, derive(net, optimizer, regime=DEEP), Settings((4, 8, 16, 32), 4, (1, 2))).rows
    assert (rows["verdict"] == "misses").sum() == 0 and (rows["verdict"] == "agrees").mean() > 0.7
