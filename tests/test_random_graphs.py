"""Forty random architectures: derive, train, and hold every atomic term's slope against its exponent."""

from __future__ import annotations

import pytest
from random_graphs import random_graph
from widelimit.paper_repro.check import Settings, expect, run_check
from widelimit.theory.derivation import derive
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis, Powers

SUITE = 5


@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s < SUITE else pytest.mark.slow) for s in range(40)])
def test_slopes_of_a_random_graph(seed: int):
    net = random_graph(seed)
    waist = any("waist" in n.dims for n in net.nodes)
    optimizer = "adam" if seed % 2 or waist else "sgd"
    table = derive(net, optimizer)
    assert table.verdict == "unique", table.clash
    # what fluctuates through a finite waist falls as n^-1/2 only
    found = run_check(net, table, Settings((256, 512, 1024, 2048) if waist else (128, 256, 512, 1024), 6 if waist else 10, (1, 2, 3)))
    assert found.missed.empty, found.missed[["term", "step", "predicted", "low", "measured", "se"]].to_string()
    assert (found.rows["verdict"] == "agrees").mean() > 0.4


def test_random_graphs_differ_and_repeat():
    shapes = [[n.op for n in random_graph(s).nodes] for s in range(10)]
    assert len({tuple(s) for s in shapes}) > 5
    assert random_graph(3).as_data() == random_graph(3).as_data()


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
