"""The refined coordinate check: right tables pass, and every table that is off by half a power fails."""

from __future__ import annotations

import json

import pytest
from torch import nn
from widelimit.paper_repro import check as checking
from widelimit.paper_repro.check import Settings, check, expect, mutants, run_check
from widelimit.paper_repro.conditions import Conditions, check_task
from widelimit.theory.parameterizations import parameterization
from widelimit.theory.table import ExponentTable
from widelimit.theory.zoo import gpt, mlp

SMALL = Settings((64, 128, 256), 6, (1, 3))
MLP_MUTANTS = [label for label, _ in mutants(parameterization("mup", mlp(), "adam"))]


def test_mlp_passes_under_mup():
    for optimizer in ("sgd", "adam"):
        found = run_check(mlp(), parameterization("mup", mlp(), optimizer), SMALL)
        assert found.kind == "feature learning"
        assert found.missed.empty, found.missed.to_string()
        assert (found.rows["verdict"] == "agrees").sum() > len(found.rows) / 2
        asserted = found.rows[found.rows["verdict"] == "agrees"]
        assert (asserted["predicted"] != 0).mean() > 1 / 3


def test_ntp_is_measured_after_one_vanishing_update():
    found = run_check(mlp(), parameterization("ntp", mlp(), "sgd"), Settings((256, 512, 1024), 6))
    assert found.kind == "kernel" and set(found.rows["step"]) == {1}
    assert found.missed.empty, found.missed.to_string()
    flat = found.rows[found.rows["term"] == "W2: dW x0"]
    assert abs(flat["measured"].item() + 0.5) < 0.1  # the kernel regime: features move as n^-1/2


@pytest.mark.parametrize("label", MLP_MUTANTS)
def test_every_mutant_of_the_mlp_fails(label: str):
    table = parameterization("mup", mlp(), "adam")
    mutant = dict(mutants(table))[label]
    found = run_check(mlp(), mutant, Settings((64, 128, 256), 4, (1,)), promise=expect(mlp(), table, (1,)))
    assert not found.missed.empty


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_mutants_of_the_transformer_fail_in_95_percent(optimizer: str):
    net = gpt(vocab=16)
    table = parameterization("mup", net, optimizer)
    promise = expect(net, table, (1,))
    caught = {
        label: not run_check(net, mutant, Settings((64, 128, 256), 4, (1,)), promise=promise).missed.empty
        for label, mutant in mutants(table)
    }
    survivors = [label for label, found in caught.items() if not found]
    assert len(survivors) <= 0.05 * len(caught), survivors


def test_a_file_that_names_desiderata_is_held_to_them():
    table = parameterization("mup", mlp(), "adam")
    mutant = table.as_json()
    mutant["rows"][1]["learning_rate"] = {"n": "-1/2"}
    rows = check(mlp(), ExponentTable.from_json(json.loads(json.dumps(mutant))), sizes=[64, 128, 256], steps=1, seeds=4)
    assert rows["verdict"].isin(["misses", "diverged"]).any()
    honest = ExponentTable.from_json(json.loads(json.dumps(table.as_json())))
    rows = check(mlp(), honest, sizes=[64, 128, 256], steps=1, seeds=6)
    assert not rows["verdict"].isin(["misses", "diverged"]).any()


def test_one_size_gives_no_slope():
    with pytest.raises(ValueError, match="at least two different"):
        check(mlp(), parameterization("mup", mlp(), "adam"), sizes=[64, 64])


def test_the_check_uses_far_fewer_samples_than_the_smallest_width():
    task = check_task(gpt())
    assert task.inputs.shape[1] == 4


@pytest.mark.parametrize(("sizes", "base"), [((64, 128), 16), ((8, 16), 4), ((4, 8), 4), ((66, 132), 66)])
def test_the_base_lies_below_the_sizes_where_the_network_exists(sizes: tuple[int, ...], base: int):
    net = gpt(vocab=16)  # four heads
    assert Conditions.of(net, parameterization("sp", net, "sgd"), "n", sizes).base == base


def test_a_module_is_checked_at_sizes_at_which_it_is_not_large(monkeypatch: pytest.MonkeyPatch):
    def factory(*, n: int) -> tuple[nn.Module, int]:
        return nn.Linear(n, n, bias=False), 0

    assert checking._default_sizes(mlp(), 512, factory) == (64, 128, 256, 512)
    monkeypatch.setattr(checking, "PARAMETERS", 64**2)
    assert checking._default_sizes(mlp(), 512, factory) == (8, 16, 32, 64)
