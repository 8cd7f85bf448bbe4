"""Finite mixtures of experts: masks against a loop over experts, the loss that evens out loads, statistics of routes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from widelimit.synthetic.building import build
from widelimit.synthetic.coordinates import coordinate_check
from widelimit.synthetic.ensemble import Ensemble
from widelimit.synthetic.probes import Probe
from widelimit.synthetic.routing import Routes, balance_loss, routing_statistics
from widelimit.synthetic.tasks import default_task
from widelimit.synthetic.training import train
from widelimit.theory import derive
from widelimit.theory.experts import REGIMES, moe, resmoe
from widelimit.theory.observables import ROUTING

SMALL = {"n": 8, "m": 6, "E": 4}


def small(make=moe, **options):
    net = make(inputs=5, outputs=3, **options)
    return replace(net, axes=tuple(replace(a, base=SMALL.get(a.name, 3)) for a in net.axes))


def built(net, seeds=(0, 1)):
    regime = {a.name: 0 for a in net.axes} | {"n": 1}
    table = derive(net, "adam", regime=REGIMES["I"] if len(net.axes) == 3 else type(REGIMES["I"])(regime | {"m": 1}))
    return build(net, table, sizes={}, seeds=seeds, dtype=torch.float64).network


def looped(network, x, *, gate="sigmoid", kept=2):
    """One replica after the other, one expert after the other."""
    out = []
    w = network.named_weights()
    for r in range(network.replicas):
        u = x @ w["embed"][r].mT
        psi = u @ w["router"][r].mT
        gates = torch.sigmoid(psi) if gate == "sigmoid" else torch.softmax(psi, -1)
        smallest = psi.topk(kept, dim=-1).values[:, -1:]
        mixed = torch.zeros_like(u)
        for i in range(psi.shape[1]):
            expert = functional.gelu(u @ w["up"][r, i].mT) @ w["down"][r, i].mT
            mixed = mixed + torch.where(psi[:, i : i + 1] >= smallest, gates[:, i : i + 1], 0.0) * psi.shape[1] / kept * expert
        out.append((u + mixed) @ w["readout"][r].mT)
    return torch.stack(out)


@pytest.mark.parametrize("gate", ["sigmoid", "softmax"])
def test_masks_are_those_of_a_loop_over_experts(gate: str):
    network = built(small(gate=gate, active="1/2"))
    x = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = list(network.parameters())
    outputs = network(x), looped(network, x, gate=gate)
    torch.testing.assert_close(*outputs)
    gradients = [torch.autograd.grad(y.square().sum(), weights) for y in outputs]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_mask_of_all_experts_changes_nothing():
    x = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(built(small(active=4))(x), built(small())(x))


def test_equal_logits_go_to_the_first_experts():
    network = built(small(active="1/2"))
    with torch.no_grad():
        network.named_weights()["router"].zero_()
    routes: list[Routes] = []
    network(torch.randn(7, 5, dtype=torch.float64), routed=routes)
    assert routes[0].weight == "router" and routes[0].mask[:, :, :2].eq(2).all() and routes[0].mask[:, :, 2:].eq(0).all()


def test_softmax_and_masks_over_groups():
    net = replace(small(grouped=True, gate="softmax", active="1/2"), axes=small().axes)
    net = replace(net, axes=tuple(replace(a, base={"n": 8, "m": 4, "E": 4}[a.name]) for a in net.axes))
    network, routes = built(net), []
    network(torch.randn(7, 5, dtype=torch.float64), routed=routes)
    assert routes[0].logits.shape == (2, 7, 4) and (routes[0].mask > 0).sum(-1).eq(2).all()


def test_layers_have_routes_of_their_own():
    network, routes = built(small(resmoe, active="1/4")), []
    network(torch.randn(7, 5, dtype=torch.float64), routed=routes)
    assert len(routes) == 3 and {r.weight for r in routes} == {"router"}


def test_balance_is_one_where_loads_are_even_and_pulls_logits_together():
    logits = torch.randn(1, 8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    even = torch.eye(4, dtype=torch.float64).repeat(2, 1)[None] * 4
    uneven = torch.zeros(1, 8, 4, dtype=torch.float64)
    uneven[..., 0] = 4
    assert float(balance_loss([Routes("router", torch.zeros_like(logits), even)])) == pytest.approx(1)
    loss = balance_loss([Routes("router", logits, uneven)])
    p = logits.softmax(-1)
    torch.testing.assert_close(loss[0], 4 * p[0, :, 0].mean())
    assert (torch.autograd.grad(loss.sum(), logits)[0][..., 0] > 0).all()  # descent lowers the logits of the crowded expert


def test_statistics_of_routes():
    logits = torch.zeros(1, 4, 2)
    one, other = torch.tensor([2.0, 0.0]).expand(1, 4, 2), torch.tensor([0.0, 2.0]).expand(1, 4, 2)
    found = {name: float(v) for _, name, v in routing_statistics([Routes("router", logits, one)], [Routes("router", logits, other)])}
    assert found == pytest.approx({"load spread": 1.0, "routing entropy": 1.0, "routes kept": 0.0})


def test_probes_measure_routes():
    network, task = built(small(active="1/2")), default_task(small())
    x, y = torch.as_tensor(task.inputs[:16], dtype=torch.float64), torch.as_tensor(task.targets[:16])
    probe = Probe(network, x, y, task.loss, balance=0.01)
    plain = Probe(network, x, y, task.loss)
    sizes = probe.measure(probe.first)
    assert {name for w, name in sizes if w == "router"} >= set(ROUTING) and sizes["router", "routes kept"].eq(1).all()
    torch.testing.assert_close(probe.first.losses, plain.first.losses)
    assert not torch.equal(probe.first.gradients["router"], plain.first.gradients["router"])
    torch.testing.assert_close(probe.first.gradients["up"], plain.first.gradients["up"])


def test_balanced_training_evens_out_loads():
    net = small(active="1/4")
    task, table = default_task(net), derive(net, "adam", regime=REGIMES["I"])

    def spread(balance: float) -> float:
        frame = coordinate_check(net, table, task=task, axis="n", sizes=[8], steps=[60], batch=64, learning_rate=0.02, balance=balance)
        return float(frame[(frame["term"] == ROUTING[0]) & (frame["step"] == 60)]["value"].mean())

    assert spread(1.0) < 0.5 * spread(0.0)
    frame = train(Ensemble(net, table, task, {}, (0.02,), (0, 1), 5, 64, balance=0.01))
    assert np.isfinite(frame["value"]).all()


def test_balance_needs_a_mask():
    with pytest.raises(ValueError, match="`balance` is 0\\.01, and `moe` has 0 top-K masks"):
        net = small()
        table = derive(net, "adam", regime=REGIMES["I"])
        Ensemble(net, table, default_task(net), {}, (0.1,), (0,), 1, 1, balance=0.01)
