"""Forty random architectures: derive, train, and hold every atomic term's slope against its exponent."""

from __future__ import annotations

import pytest
from random_graphs import random_graph
from widelimit.paper_repro.check import Settings, run_check
from widelimit.theory.derivation import derive

SUITE = (0, 1, 3)


@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s in SUITE else pytest.mark.slow) for s in range(40)])
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
