"""Mixtures of experts: published tables, remedies and refutations, derived (arXiv 2605.14200; exponents from its authors' code)."""

from fractions import Fraction

import pytest
from helpers import call
from widelimit.theory import Regime, derive
from widelimit.theory.architecture import with_init
from widelimit.theory.experts import REGIMES, moe
from widelimit.theory.remedies import find_remedies
from widelimit.theory.shortfalls import shortfalls

H = Fraction(1, 2)
WEIGHTS = ("embed", "router", "up", "down", "readout")
# (init std, SGD rate, Adam rate, Adam epsilon) of embed, router, up, down, readout as powers of the common scale
MUP = {
    "I": ((0, -1, -H, -H, -1), (1, -1, 0, 0, -1), (0, -1, -1, -1, -1), (-1, 0, -1, -1, 0)),
    "II": ((0, -H, -H, 0, -1), (1, 0, 0, 2, -1), (0, -1, -1, 0, -1), (-1, -1, -1, -2, 0)),
    "III": ((0, -H, -H, -H, -1), (1, 0, 1, 1, -1), (0, -1, -1, -1, -1), (-1, -1, -2, -2, 0)),
}
REMEDY = {"I": {"router": "zero"}, "II": {}, "III": {"up": "shared", "down": "shared"}}
MSSP_STD = {"I": {"up": -H, "down": -H}, "II": {"router": -H, "up": -H, "down": H}, "III": {"router": -H, "up": -H, "down": -H}}


def column(table, name):
    return [getattr(row, name)["scale"] for row in table.rows]


@pytest.mark.parametrize("activation", ["gelu", "tanh"])
@pytest.mark.parametrize("regime", REGIMES)
def test_mup_tables_are_the_published_ones(regime: str, activation: str):
    stds, sgd, adam, epsilon = MUP[regime]
    for optimizer, rates in (("sgd", sgd), ("adam", adam)):
        table = derive(moe(activation=activation), optimizer, regime=REGIMES[regime])
        assert table.verdict == "unique"
        assert (column(table, "init_std"), column(table, "learning_rate")) == (list(stds), list(rates))
    assert column(table, "epsilon") == list(epsilon)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("regime", REGIMES)
def test_mssp_tables_are_the_published_ones(regime: str, residual: bool):
    if regime == "I" and not residual:
        pytest.skip("not decided: the stream of a mixture of fixed size alone needs more updates than are followed")
    net = with_init(moe(residual=residual, activation="tanh"), readout="zero", **REMEDY[regime])
    for optimizer, at in (("sgd", 1), ("adam", 2)):
        table = derive(net, optimizer, desiderata="mssp", regime=REGIMES[regime])
        assert table.verdict == "unique"
        assert column(table, "learning_rate") == list(MUP[regime][at])
        assert {w: table.row(w).init_std["scale"] for w in MSSP_STD[regime]} == MSSP_STD[regime]
    assert column(table, "epsilon") == list(MUP[regime][3])


@pytest.mark.parametrize(
    ("regime", "inits"),
    [
        ("I", {"readout": "zero"}),  # the router is heard forward or backward, never both
        ("I", {"router": "zero"}),
        ("II", {}),
        ("II", {"readout": "zero", "up": "shared", "down": "shared"}),  # remedies do not interchange
        ("III", {"readout": "zero"}),
        ("III", {"readout": "zero", "up": "shared"}),
        ("III", {"readout": "zero", "down": "shared"}),
    ],
)
def test_without_its_remedy_a_regime_has_no_scale_stable_table(regime: str, inits: dict[str, str]):
    table = derive(with_init(moe(activation="tanh"), **inits), "sgd", desiderata="mssp", regime=REGIMES[regime])
    assert table.verdict == "infeasible" and table.clash and table.certificates


def test_independent_experts_of_regime_three_clash_in_the_lines_of_the_dossier():
    # forward the sum over experts wants larger initial values of `down` than backward, where `up` reads its size
    table = derive(with_init(moe(activation="tanh"), readout="zero"), "sgd", desiderata="mssp", regime=REGIMES["III"])
    assert {"atom down (summed): W0 x0", "atom up: W0 x0", "atom up: dW x0"} <= set(table.clash)


def test_remedies_are_discovered():
    found = find_remedies(moe(activation="tanh"), "sgd", regime=REGIMES["III"], kinds=("shared",))
    assert [dict(one.inits) for one in found.working] == [{"readout": "zero", "up": "shared", "down": "shared"}]
    assert all(one.table.verdict == "infeasible" for one in found.tried)
    first = find_remedies(moe(), "sgd", regime=REGIMES["I"]).working[0]
    assert dict(first.inits) == {"router": "zero", "readout": "zero"}
    second = find_remedies(moe(), "sgd", regime=REGIMES["II"]).working
    assert [dict(one.inits) for one in second] == [{"readout": "zero"}] and second[0].table.row("down").init_std["scale"] == H


def test_a_term_that_later_updates_bring_to_its_size_starts_too_small():
    # with Adam and `down` alone shared: measured n^-1.46 after the first update, n^-1.25 after ten, where n^-1 is asked for
    net = with_init(moe(activation="relu"), readout="zero", down="shared")
    table = derive(net, "adam", desiderata="mssp", regime=REGIMES["III"])
    assert table.verdict == "infeasible" and any("up^T: W0 dg" in label for label in table.clash)
    both = derive(with_init(net, up="shared"), "adam", desiderata="mssp", regime=REGIMES["III"])
    assert both.verdict == "unique" and shortfalls(with_init(net, up="shared"), both, "mssp", regime=REGIMES["III"]) == {}


@pytest.mark.parametrize("width", ["0", "1/4", "1/2", "3/4", "1"])
def test_groups_of_equal_experts_lead_from_the_second_regime_to_the_third(width: str):
    # n/m different initial experts: all different at m ~ 1, all equal at m ~ n
    e, regime = Fraction(width), Regime(n=1, m=Fraction(width), E=1)
    table = derive(with_init(moe(grouped=True, activation="tanh"), readout="zero"), "sgd", desiderata="mssp", regime=regime)
    assert table.verdict == "unique" and table.row("down").init_std["scale"] == H - e
    if 0 < e < 1:
        for init in ("gaussian", "shared"):
            net = with_init(moe(activation="tanh"), readout="zero", up=init, down=init)
            assert derive(net, "sgd", desiderata="mssp", regime=regime).verdict == "infeasible"


def test_few_experts_have_a_smaller_router():
    # M^(1/2) / N, the largest that its backward pass allows; Theta(1) logits at initialisation would not be stable
    table = derive(moe(), "sgd", regime=Regime(n=1, m=1, E="1/2"))
    assert table.verdict == "unique" and table.row("router").init_std["scale"] == Fraction(-3, 4)
    assert any("`router`" in note for note in table.notes)


def test_powers_of_each_axis():
    table = derive(moe(), "sgd", regime=REGIMES["II"], closed_form=True).per_axis
    assert table is not None
    assert {w: str(table.row(w).learning_rate) for w in WEIGHTS} == {
        "embed": "n", "router": "E n^-1", "up": "E n^-1", "down": "E n", "readout": "n^-1",
    }  # fmt: skip


def test_command(capsys: pytest.CaptureFixture[str]):
    status, out, _ = call(capsys, "derive", "moe", "--regime", "III", "--optimizer", "sgd", "--desiderata", "mssp")
    assert status == 0 and "`readout` starts at zero and `up` shared and `down` shared" in out and "infeasible as it stands" in out
    status, _, err = call(capsys, "derive", "moe")
    assert status == 2 and "--regime I, II or III" in err
