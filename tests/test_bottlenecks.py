"""Dimensions of fixed size behind growing features: gradients through them grow as training goes on."""

from __future__ import annotations

import pytest
from widelimit.paper_repro.check import Settings, expect, run_check
from widelimit.paper_repro.verification.literature import SHARED
from widelimit.theory.derivation import derive
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis, Powers


def bottleneck():
    """All that is learnt passes a waist of fixed size behind features that grow."""
    g = Graph("bottleneck", [Axis("n")])
    g.dims(x=64, y=10, a="n", waist=8, b="n")
    h = g.map("gelu", g.dense("one", g.input("x"), "a"))
    h = g.map("gelu", g.dense("three", g.dense("two", h, "waist"), "b"))
    return g.build(g.dense("four", h, "y"))


def test_a_bottleneck_behind_growing_features_is_refused_with_sgd():
    """What comes before it and after it start of order n^-1/2 and grow by each other: log n steps."""
    table = derive(bottleneck(), "sgd")
    assert table.verdict in ("infeasible", "not decided") and table.clash and not table.rows


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_bottleneck_is_no_obstacle_for_normalised_updates(optimizer: str):
    net = bottleneck()
    table = derive(net, optimizer)
    assert table.verdict == "unique", table.clash
    assert [str(table.row(name).init_std) for name in ("one", "two", "three", "four")] == ["1", "n^-1", "1", "n^-1"]
    found = run_check(net, table, Settings((256, 512, 1024, 2048), 8, (1, 2, 3)))
    assert found.missed.empty, found.missed[["term", "step", "predicted", "low", "measured", "se"]].to_string()
    assert found.rows["verdict"].isin(["agrees", "crossover"]).mean() > 0.5
    slow = table.changed("two", learning_rate=table.row("two").learning_rate * Powers(n="-1/2"))
    assert not run_check(net, slow, Settings((256, 512, 1024), 8, (1, 2, 3)), promise=expect(net, table, (1, 2, 3))).missed.empty


def test_keys_and_values_that_growing_heads_share_start_smaller():
    """They are of fixed size behind growing features: with n^-1/2, changes that align with them would make them grow as n^1/2."""
    table = derive(SHARED, "adam")
    assert table.verdict == "unique", table.clash
    assert {name: str(table.row(name).init_std) for name in ("query", "key", "value", "output")} == {
        "query": "n^-1/2", "key": "n^-1", "value": "n^-1", "output": "n^-1/2",
    }  # fmt: skip
    assert {str(table.row(name).learning_rate) for name in ("query", "key", "value", "output", "readout")} == {"n^-1"}
    assert table.row("embedding").learning_rate == Powers()


@pytest.mark.slow
def test_networks_with_shared_keys():
    table = derive(SHARED, "adam")
    promise, wide = expect(SHARED, table, (1, 2, 3)), Powers(n="-1/2")
    settings = Settings((128, 256, 512, 1024), 12, (1, 2, 3))
    assert run_check(SHARED, table, settings, promise=promise).missed.empty
    usual = table.changed("key", init_std=wide).changed("value", init_std=wide)
    rows = run_check(SHARED, usual, settings, promise=promise).rows.set_index(["term", "step"])
    assert rows.loc[("value: W0 dx", 1), "measured"] > 0.3
