"""Rates, epsilon and damping of every optimizer against published and hand-derived tables of a multilayer perceptron."""

from __future__ import annotations

from fractions import Fraction

import pytest
from widelimit.theory.derivation import derive
from widelimit.theory.optimizers import OPTIMIZERS, Optimizer, find_optimizer, kfac, shampoo
from widelimit.theory.parameterizations import parameterization
from widelimit.theory.scales import Powers
from widelimit.theory.table import GAUGES, ExponentTable, differences
from widelimit.theory.zoo import gpt, mlp

BUILT_IN = set(OPTIMIZERS)
H = Fraction(1, 2)
NET = mlp(hidden=2)

# Powers of the width for input, hidden and output weights of standard deviation 1, n^-1/2, n^-1 and a batch of finite size.
ENTRYWISE = (0, -1, -1)  # arXiv 2512.05620, Table 1; Tensor Programs V, Table 3
RATES = {
    "sgd": (1, 0, -1),
    "momentum": (1, 0, -1),
    "nesterov": (1, 0, -1),
    **dict.fromkeys(("sign", "lion", "adagrad", "rmsprop", "adam", "adamw", "adamw-independent", "adopt", "adamuon", "learned"), ENTRYWISE),
    "adafactor-unscaled": ENTRYWISE,
    **dict.fromkeys(("muon", "dion", "soap", "shampoo"), (H, 0, -H)),  # sqrt(fan-out / fan-in)
    "muon-scaled": (0, 0, 0),  # that factor is in the update already
    "muon-rms": (0, -H, -1),  # 0.2 sqrt(max) in it leaves n^-1/2 for square weights
    "muon-keller-jordan": (0, 0, -H),
    "muon-matched": ENTRYWISE,
    "soap-one-sided": (H, -H, -1),  # entries sign(x) / sqrt(fan-out)
    "blocked-shampoo": ENTRYWISE,
    "kfac": (0, 0, 0),
    "row-normalised": (0, -H, -H),
    "column-normalised": (H, -H, -1),
    "swan": ENTRYWISE,
    # relative to the parameter: the rates of Adam over 1, n^-1/2, n^-1
    **dict.fromkeys(("adafactor", "lamb", "lars", "hyperball", "muonh"), (0, -H, 0)),
}


def column(table: ExponentTable, name: str) -> tuple[Fraction, ...]:
    assert table.verdict == "unique", table.clash
    return tuple(getattr(row, name)["n"] for row in table.rows)


def test_every_optimizer_has_an_expected_table():
    assert set(RATES) == BUILT_IN


@pytest.mark.parametrize("name", RATES)
def test_rates(name: str):
    table = derive(NET, name)
    assert column(table, "learning_rate") == RATES[name]
    assert column(table, "init_std") == (0, -H, -1)


@pytest.mark.parametrize("total", [Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(1)])
def test_shampoo_with_any_exponents(total: Fraction):
    """Rate (fan-out / fan-in)^(1 - e) for e = e_L + e_R (arXiv 2512.05620); damping of the factors ~ fan-in / fan-out."""
    for left in (total / 2, total / 4):
        table = derive(NET, shampoo(str(left), str(total - left)))
        assert column(table, "learning_rate") == (1 - total, 0, total - 1)
        assert column(table, "epsilon") == (-1, 0, 1)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 1), (1, 0), (0, 1), ("1/2", "1/2"), ("1/2", 1)])
def test_kfac_with_any_exponents(a: str | int, b: str | int):
    """Rates n^(1 - e_B), n^(e_A - e_B), n^(e_A - 1); B is damped by n^-1, n^-1, 1 and A by 1, n, n (arXiv 2312.12226)."""
    table = derive(NET, kfac(a, b))
    a, b = Fraction(a), Fraction(b)
    assert column(table, "learning_rate") == (1 - b, a - b, a - 1)
    assert column(table, "epsilon") == (-1, -1, 0)
    assert column(table, "damping") == (0, 1, 1)


def test_epsilon_of_adam_and_of_muons_norm():
    assert column(derive(NET, "adam"), "epsilon") == (-1, -1, 0)
    assert column(derive(NET, "muon"), "epsilon") == (-H, 0, H)  # sqrt(fan-in / fan-out)
    assert column(derive(NET, "adafactor"), "epsilon") == (-2, -2, 0)  # added to the square of the gradient


def test_full_rank_updates_change_only_what_is_normalised_by_its_size():
    full = [
        Optimizer(f"full-{n}", relative=o.relative, frobenius=o.frobenius, rank="full")
        for n, o in OPTIMIZERS.items()
        if n in ("lamb", "adam")
    ]
    assert column(derive(NET, full[1]), "learning_rate") == (0, 0, 0)  # lamb: n^1/2 more on the square weight alone
    assert column(derive(NET, full[0]), "learning_rate") == ENTRYWISE


def test_decay():
    assert column(derive(NET, "adamw"), "weight_decay") == (0, 1, 1)
    assert column(derive(NET, "adamw-independent"), "weight_decay") == (0, 0, 0)


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("gauge", GAUGES)
def test_gauges_are_the_same_parameterisation(name: str, gauge: str):
    table = derive(NET, name)
    assert not differences(table, table.in_gauge(gauge)) and not differences(table.in_gauge(gauge), table.in_gauge("unit-init"))


@pytest.mark.parametrize("name", ["muon", "lamb", "shampoo"])
def test_a_transformer(name: str):
    table = derive(gpt(bias=False), name)
    assert table.verdict == "unique" and table.operations[0].multiplier == Powers(n=-1)
    rates = {"muon": 0, "lamb": -H, "shampoo": 0}
    assert table.row("blocks.0.attention.value").learning_rate["n"] == rates[name]


def test_names_with_exponents_and_ones_own():
    assert find_optimizer("shampoo:1/2,1/2").degree_back == -1 and find_optimizer("kfac:1,0").name == "kfac:1,0"
    mine = Optimizer("mine", degree_back=H, degree_forward=H)  # the square root of the gradient, entry by entry
    assert column(derive(NET, mine), "learning_rate") == (H, -H, -1)
    assert find_optimizer("mine") is mine
    with pytest.raises(ValueError, match="another optimizer `mine`"):
        derive(NET, Optimizer("mine"))
    with pytest.raises(ValueError, match="unknown optimizer `shampo`"):
        find_optimizer("shampo")
    with pytest.raises(ValueError, match="Shampoo's left exponent `half`"):
        find_optimizer("shampoo:half,1")
    with pytest.raises(ValueError, match="published for SGD and entrywise optimizers, not for `muon`"):
        parameterization("ntp", NET, "muon")


@pytest.mark.parametrize(("name", "factor"), [("muon", "shape factor n^-1 "), ("lamb", "|W| = n^-1/2 "), ("sgd", "|g|^1 = n^-1 ")])
def test_the_reason_of_a_rate_multiplies_out(name: str, factor: str):
    row = derive(NET, name).row("W2")
    assert factor in row.reason, row.reason
    update = row.reason.split("dW x0 = rate")[1].split(" changes")[0]
    powers = [f.rsplit("=", 1)[-1].removeprefix(" shape factor").removeprefix(" fan-in").split()[0] for f in update.split(" *") if f]
    exponents = [Fraction(p.partition("^")[2] or 1) if p.startswith("n") else Fraction(0) for p in powers]
    assert sum(exponents, row.learning_rate["n"]) == 0, (powers, row.learning_rate)


def test_unknown_ranks_and_decays_are_named():
    with pytest.raises(ValueError, match="optimizer `mine2`: unknown rank `low`"):
        Optimizer("mine2", rank="low")
    with pytest.raises(ValueError, match="unknown decay `l2`"):
        Optimizer("mine2", decay="l2")
