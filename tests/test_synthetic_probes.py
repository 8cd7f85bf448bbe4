"""Atomic terms: they sum to what they split, and their slopes are the exponents."""

import numpy as np
import pytest
import torch
from widelimit.synthetic import Probe, build, coordinate_check, default_task, digits, make_update
from widelimit.synthetic.training import load_task
from widelimit.theory.architecture import Architecture
from widelimit.theory.constants import Constants
from widelimit.theory.observables import KINDS, Observable
from widelimit.theory.scales import Powers
from widelimit.theory.table import ExponentTable, Operation, Row, Shape
from widelimit.theory.zoo import gpt, llama, mlp, resmlp


def table(architecture: Architecture, optimizer: str, stds=(), rates=()) -> ExponentTable:
    """Powers of n per weight, in their order; zero where none are given."""
    pad = [0] * len(architecture.weights)
    rows = (
        Row(name, Shape(), init_std=Powers(n=std), learning_rate=Powers(n=rate))
        for name, std, rate in zip(architecture.weights, (*stds, *pad), (*rates, *pad))
    )
    operations = (Operation(o.name, o.kind, Powers()) for o in architecture.operations)
    return ExponentTable(architecture.name, optimizer, tuple(rows), tuple(operations))


MUP_SGD = table(mlp(), "sgd", (0, "-1/2", -1), (1, 0, -1))
MUP_ADAM = table(mlp(), "adam", (0, "-1/2", -1), (0, -1, -1))
STANDARD = table(mlp(), "sgd", (0, "-1/2", "-1/2"))


@pytest.mark.parametrize(
    "architecture",
    [mlp(bias=True), resmlp(), gpt(vocab=11, positions=6), llama(vocab=11, positions=6, tied=True)],
    ids=lambda a: a.name,
)
def test_terms_sum_to_the_output_of_every_node_and_to_the_gradient_of_its_input(architecture: Architecture):
    built = build(architecture, table(architecture, "adam"), sizes={"n": 16}, seeds=[0, 1], dtype=torch.float64)
    inputs, targets = (t[:5] for t in load_task(default_task(architecture), "cpu", torch.float64))
    probe = Probe(built.network, inputs, targets, "cross-entropy")
    make_update("adam", built.groups, [0.01, 0.03]).step(list(probe.first.gradients.values()))
    now = probe.record()
    outputs = []
    with torch.no_grad():
        built.network(inputs, watch=lambda use, x, y: outputs.append(y))
    for before, after, y in zip(probe.first.uses, now.uses, outputs):
        terms = dict(probe._terms(before, after, False))
        forward = sum(v for k, v in terms.items() if not k.backward)
        torch.testing.assert_close(forward, y, rtol=1e-10, atol=1e-12)
        backward = [v for k, v in terms.items() if k.backward]
        if backward:
            x = after.x.expand(2, *after.x.shape[1:]).clone().requires_grad_()
            weight = after.application.cut(built.network.named_weights()[after.application.node.weight]).detach()
            expected = torch.autograd.grad(after.application.contraction.forward(x, weight), x, after.g)[0]
            torch.testing.assert_close(sum(backward), expected, rtol=1e-10, atol=1e-14)


def test_the_names_of_terms_are_observables_and_constant_inputs_do_not_move():
    frame = coordinate_check(
        mlp(bias=True), table(mlp(bias=True), "sgd"), task=digits(), axis="n", sizes=[8], steps=(1,), learning_rate=0.1, seeds=(0,)
    )
    terms = {t for t in frame.term if t not in ("gradient", "loss")}
    nodes = {"W1": 2, "b1": 2, "W2": 8, "b2": 2, "W3": 8, "b3": 2}
    assert {n: sum(Observable.parse(t).node == n for t in terms) for n in nodes} == nodes
    assert {Observable.parse(t).kind for t in terms} == set(KINDS)
    initial = frame[frame.step == 0].term
    assert all("d" not in t for t in initial if t not in ("gradient", "loss"))


def test_a_tied_weight_has_terms_of_every_use():
    architecture = llama(vocab=11, positions=6, tied=True)
    frame = coordinate_check(
        architecture, table(architecture, "adam"), task=default_task(architecture), axis="n", sizes=[16], steps=(1,), seeds=(0,)
    )
    nodes = {Observable.parse(t).node for t in frame.term[frame.weight == "embedding"] if t != "gradient"}
    assert nodes == {"embedding", "embedding'"}


def test_terms_of_a_stack_are_taken_over_all_layers():
    built = build(resmlp(), table(resmlp(), "sgd"), sizes={"n": 8, "L": 3}, dtype=torch.float64)
    inputs, targets = (t[:4] for t in load_task(digits(), "cpu", torch.float64))
    probe = Probe(built.network, inputs, targets, "cross-entropy")
    outputs = []
    with torch.no_grad():
        built.network(inputs, watch=lambda use, x, y: outputs.append(y[0]) if use.node.name == "up" else None)
    assert len(outputs) == 3
    torch.testing.assert_close(probe.measure(probe.first)["up", "up: W0 x0"][0], torch.stack(outputs).square().mean().sqrt())


def test_the_gradient_is_of_the_mean_loss_and_the_backward_terms_of_the_sum():
    built = build(mlp(hidden=1), table(mlp(hidden=1), "sgd"), sizes={"n": 8}, dtype=torch.float64)
    inputs, targets = (t[:4] for t in load_task(digits(), "cpu", torch.float64))
    probe = Probe(built.network, inputs, targets, "cross-entropy")
    w = [p[0].detach().clone().requires_grad_() for p in built.network.parameters()]
    h = torch.relu(inputs @ w[0].T)
    h.retain_grad()
    torch.nn.functional.cross_entropy(h @ w[1].T, targets).backward()
    sizes = probe.measure(probe.first)
    torch.testing.assert_close(sizes["W1", "gradient"][0], w[0].grad.square().mean().sqrt())
    torch.testing.assert_close(sizes["W2", "W2^T: W0 g0"][0], 4 * h.grad.square().mean().sqrt())


def slopes(check: ExponentTable, *, learning_rate: float, sizes: list[int], steps: tuple[int, ...]) -> dict[str, float]:
    """Least-squares slope of log RMS (mean over seeds) on log n at the last step."""
    frame = coordinate_check(mlp(), check, task=digits(), axis="n", sizes=sizes, steps=steps, learning_rate=learning_rate)
    last = frame[(frame.step == steps[-1]) & ~frame.term.isin(["gradient", "loss"])]
    mean = np.log(last.pivot_table(index="term", columns="size.n", values="value", aggfunc="mean"))
    return dict(zip(mean.index, np.polyfit(np.log(sizes), mean.T.to_numpy(), 1)[0]))


@pytest.mark.parametrize(("given", "rate"), [(MUP_SGD, 0.3), (MUP_ADAM, 0.01)], ids=["sgd", "adam"])
def test_under_mup_every_update_is_of_order_one(given: ExponentTable, rate: float):
    """Slope 0 for all changes, -1/2 for the initial readout, -1 for everything backward.

    Tolerance 0.12: corrections of relative size n^-1/2 at n = 64 to 512 and four seeds.
    """
    found = slopes(given, learning_rate=rate, sizes=[64, 128, 256, 512], steps=(1, 2, 3))
    for term, slope in found.items():
        expected = -1 if "^T" in term else -0.5 if term == "W3: W0 x0" else 0
        assert slope == pytest.approx(expected, abs=0.12), term


def test_under_the_standard_parameterisation_updates_blow_up():
    """First update, tiny rate: readout +1 (it adds up over n entries), hidden +1/2, first layer -1/2."""
    found = slopes(STANDARD, learning_rate=1e-6, sizes=[256, 512, 1024], steps=(1,))
    expected = {"W3: dW x0": 1, "W2: dW x0": 0.5, "W1: dW x0": -0.5, "W3: W0 x0": 0, "W3^T: dW g0": 0}
    for term, slope in expected.items():
        assert found[term] == pytest.approx(slope, abs=0.12), term


def test_a_diverging_check_is_a_result():
    constants = Constants.default(mlp(), learning_rate=1e150)
    frame = coordinate_check(mlp(), MUP_SGD, task=digits(), axis="n", sizes=[64], steps=(1, 2, 3), seeds=(0, 1), constants=constants)
    assert (frame.diverged_at == 1).all()
    assert not frame.value.isna().any()
