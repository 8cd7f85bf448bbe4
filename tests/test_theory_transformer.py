"""Depth, Transformers, tied weights: derived tables against TP V, TP IVb and the depth papers."""

from fractions import Fraction
from functools import cache

import pytest
from helpers import assert_exponent, assert_row, assert_same_table
from widelimit.theory.derivation import derive
from widelimit.theory.presets import published
from widelimit.theory.scales import Powers, Regime
from widelimit.theory.zoo import gpt, llama, resmlp

ZOO = {
    "gpt": gpt,
    "gpt bare": lambda **k: gpt(bias=False, gains=False, **k),
    "llama": llama,
    "llama bare": lambda **k: llama(gains=False, **k),
}
LOGITS = "blocks.0.attention.logits"


@cache
def derived(name: str, optimizer: str, tied: bool = False):
    return derive(ZOO[name](tied=tied), optimizer)


@pytest.mark.parametrize("branch", ["-1/2", "-3/4", "-1"])
def test_depth_sgd(branch: str):
    # CompleteP family and Bordelon et al.: branch L^-alpha, SGD rate L^(2 alpha - 1) times the width rule
    alpha = -Fraction(branch)
    table = derive(resmlp(branch=branch), "sgd")
    assert table.verdict == "unique"
    for weight in ("up", "down"):
        assert_row(table, weight, init_std=Powers(n="-1/2"), learning_rate=Powers(L=2 * alpha - 1))
    assert_row(table, "embed", init_std=Powers(), learning_rate=Powers(n=1))
    assert_row(table, "readout", init_std=Powers(n=-1), learning_rate=Powers(n=-1))


@pytest.mark.parametrize("branch", ["-1/2", "-3/4", "-1"])
def test_depth_adam(branch: str):
    # CompleteP, Table 1: Adam rate n^-1 L^(alpha - 1), epsilon n^-1 L^-alpha in the blocks, nothing of L elsewhere
    alpha = -Fraction(branch)
    table = derive(resmlp(branch=branch), "adam")
    assert table.verdict == "unique"
    for weight in ("up", "down"):
        rate, epsilon = Powers(n=-1, L=alpha - 1), Powers(n=-1, L=-alpha)
        assert_row(table, weight, learning_rate=rate, epsilon=epsilon, weight_decay=rate**-1)
    assert_row(table, "embed", learning_rate=Powers(), epsilon=Powers(n=-1))
    assert_row(table, "readout", learning_rate=Powers(n=-1), epsilon=Powers())
    assert_exponent(table.operation("branch").multiplier, L=branch)


def test_depth_exponent_is_free():
    table = derive(resmlp(branch=None), "adam")
    assert table.verdict == "family"
    assert set(table.free) == {"mult:branch [L]", "amp:up [L]", "amp:down [L]"}


def test_depth_below_one_half_is_infeasible():
    table = derive(resmlp(branch="-1/4"), "adam")
    assert table.verdict == "infeasible" and table.clash


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("gpt bare", "sgd"), ("gpt bare", "adam"), ("llama bare", "adam"), pytest.param("llama bare", "sgd", marks=pytest.mark.slow)],
)
def test_transformer_is_table_3(name: str, optimizer: str):
    table = derived(name, optimizer)
    assert table.verdict == "unique"
    assert_same_table(published(f"tp5-table-3-{optimizer}", ZOO[name]()), table)
    assert_exponent(table.operation(LOGITS).multiplier, n=-1)


@pytest.mark.parametrize("name", ["gpt", pytest.param("llama", marks=pytest.mark.slow)])
def test_biases_gains_and_positions_are_inputs(name: str):
    table = derived(name, "adam")
    assert table.verdict == "unique"
    assert_same_table(published("tp5-table-3-adam", ZOO[name]()), table)
    vectors = [r for r in table.rows if not r.shape.inn]
    biased = [w.name for w in ZOO[name]().weights.values() if w.init != "gaussian"]
    assert {r.weight for r in vectors} == {*biased, "embedding"} | ({"position"} if name == "gpt" else set())
    for row in vectors:
        assert_row(table, row.weight, learning_rate=Powers(), epsilon=Powers(n=-1))


@pytest.mark.parametrize("name", ["gpt bare", pytest.param("llama bare", marks=pytest.mark.slow)])
def test_tied_embedding_is_table_8(name: str):
    table = derived(name, "adam", tied=True)
    assert table.verdict == "unique"
    assert_same_table(published("tp5-table-8-adam", ZOO[name](tied=True)), table)
    assert_exponent(table.operation("output").multiplier, n=-1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt", "llama"])
def test_tied_embedding_with_gains(name: str):
    assert_same_table(published("tp5-table-8-adam", ZOO[name](tied=True)), derived(name, "adam", tied=True))


@pytest.mark.parametrize(("heads", "multiplier"), [pytest.param("1", "0", marks=pytest.mark.slow), ("1/2", "-1/2")])
def test_heads_that_grow(heads: str, multiplier: str):
    # what is not in the head dimension is in the number of heads: the logits want 1 / head dimension
    table = derive(gpt(bias=False, gains=False), "adam", regime=Regime(n=1, heads=heads))
    assert table.verdict == "unique"
    assert_exponent(table.operation(LOGITS).multiplier, scale=multiplier)
    for w in ("query", "key", "value", "output"):
        once = Powers(scale=-1)
        assert_row(table, f"blocks.0.attention.{w}", init_std=once ** "1/2", learning_rate=once, epsilon=once)


@pytest.mark.slow
def test_square_root_of_the_head_dimension_is_infeasible():
    table = derive(gpt(bias=False, gains=False, logits="-1/2"), "adam")
    assert table.verdict == "infeasible"
    assert any("query" in label or "key" in label or "embedding" in label for label in table.clash), table.clash


def test_heads_of_keys_change_nothing_while_the_width_grows_alone():
    assert_same_table(derive(llama(kv_heads=2), "adam"), derive(llama(), "adam"))
    with pytest.raises(ValueError, match="`kv_heads` is 3; it must divide the 4 heads"):
        llama(kv_heads=3)


@pytest.mark.slow
def test_growing_heads_share_keys():
    table = derive(llama(kv_heads=2, vocab=16), "adam", regime=Regime({"n": 1, "heads": 1}))
    assert table.verdict == "unique", table.clash
    for name in ("key", "value"):
        assert_row(table, f"blocks.0.attention.{name}", init_std=Powers(scale=-1), learning_rate=Powers(scale=-1))
