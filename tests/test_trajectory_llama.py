"""A language model's trajectory taken apart: one step of SGD is its alignment's eigenvalues, summed by hand from a network of its own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from widelimit.paper_repro.fast_transfer import llama as llama_figure
from widelimit.paper_repro.fast_transfer import llama_panels
from widelimit.paper_repro.fast_transfer.parts import Parts
from widelimit.paper_repro.fast_transfer.study import Study
from widelimit.synthetic import Ensemble, build, corpus, dion, teacher
from widelimit.synthetic.alignment import Averaging
from widelimit.synthetic.losses import sample_losses
from widelimit.synthetic.orthonormal import orthonormal
from widelimit.synthetic.trajectory import Trajectory, decompose, width_sides
from widelimit.theory.architecture import Architecture
from widelimit.theory.constants import Constants
from widelimit.theory.parameterizations import parameterization
from widelimit.theory.zoo import llama, resmlp

POSITIONS, RATES, SEEDS, WIDTH = 6, (0.05, 0.4), (0, 1, 2), 16
NETWORK = llama(blocks=2, vocab=63, positions=POSITIONS, heads=4)


def one_step(network: Architecture, task, **settings) -> Trajectory:
    """The first iterate is its own average."""
    table = parameterization("mup", network, "sgd")
    ensemble = Ensemble(network, table, task, {"n": WIDTH}, RATES, SEEDS, steps=1, batch=task.train, dtype="float64", **settings)
    return Trajectory(ensemble, Averaging((1.0, 1.0), (1.0, 1.0), 1))


def gradients(spec: Trajectory, seed: int, samples: slice) -> tuple[dict[str, torch.Tensor], dict[str, float], float]:
    """Of the mean loss of some samples, at the initial weights of one network built alone; rates, and the loss."""
    e = spec.ensemble
    built = build(e.architecture, e.table, Constants.default(e.architecture).with_rate(1.0), sizes=e.sizes, seed=seed, dtype=torch.float64)
    targets = torch.as_tensor(e.task.targets[samples])
    inputs = torch.as_tensor(e.task.inputs[samples])
    loss = sample_losses(built.network(inputs), targets, e.task.loss).mean()
    weights = built.network.named_weights()
    found = torch.autograd.grad(loss, list(weights.values()))
    return dict(zip(weights, found, strict=True)), {group["name"]: float(group["lr"]) for group in built.groups}, loss.item()


def by_hand(network: Architecture, name: str, g: np.ndarray, step: np.ndarray) -> list[float]:
    """``phi^k`` of one weight, k = 1 to the width: loops over the layers of a stack, eigenvalues of S as it is defined."""
    weight = network.weights[name]
    if not weight.inn:
        return [float((g * step).sum())] * WIDTH
    total = np.zeros(WIDTH)
    index = g.shape[: len(weight.index)]
    out = int(np.prod(g.shape[len(index) : len(index) + len(weight.out)]))
    pairs = zip(g.reshape(int(np.prod(index)), out, -1), step.reshape(int(np.prod(index)), out, -1), strict=True)
    for a, b in pairs:
        if a.shape[1] != WIDTH:
            a, b = a.T, b.T
        assert a.shape[1] == WIDTH, f"{name} has no side of the width"
        values = np.linalg.eigvalsh((a.T @ b + b.T @ a) / 2)
        total += np.cumsum(values[np.argsort(-np.abs(values))])
    return total.tolist()


def values(frame: pd.DataFrame, term: str, step: int, rate: float, seed: int) -> np.ndarray:
    rows = frame[(frame["term"] == term) & (frame["step"] == step) & (frame["seed"] == seed) & np.isclose(frame["hp.learning_rate"], rate)]
    return rows.sort_values("k")["value"].to_numpy()


def assert_taken_apart(spec: Trajectory) -> None:
    frame, e = decompose(spec), spec.ensemble
    for seed in SEEDS:
        drawn, rates, _ = gradients(spec, seed, slice(0, e.task.train))
        held, _, start = gradients(spec, seed, slice(e.task.train, None))
        for rate in RATES:
            steps = {name: -rate * rates[name] * g for name, g in drawn.items()}
            gained = sum(float((held[name] * steps[name]).sum()) for name in steps)
            top = values(frame, "top", 1, rate, seed)
            linear = values(frame, "linearised loss", 1, rate, seed)[0] - values(frame, "averaged loss", 0, rate, seed)[0]
            assert values(frame, "averaged loss", 0, rate, seed)[0] == pytest.approx(start, rel=1e-12)
            np.testing.assert_allclose([top[-1], linear], gained, rtol=1e-9)
            expected = sum(np.array(by_hand(e.architecture, n, held[n].numpy()[0], steps[n].numpy()[0])) for n in steps)
            np.testing.assert_allclose(top, expected, rtol=1e-9, atol=1e-14)


def test_one_step_of_a_language_model_is_its_eigenvalues():
    """Twenty windows of validation are two pieces beside a batch of twelve."""
    assert_taken_apart(one_step(NETWORK, corpus(positions=POSITIONS, samples=12, validation=20)))


def test_one_step_of_a_stack_of_layers_is_its_eigenvalues():
    assert_taken_apart(one_step(resmlp(inputs=5, outputs=3), teacher(inputs=5, outputs=3, samples=24)))


def test_every_matrix_is_taken_apart_on_the_side_of_the_width():
    sides = {name.removeprefix("blocks.0."): side for name, side in width_sides(NETWORK).items() if "blocks.1" not in name}
    assert sides == {
        "embedding": "rows",
        "attention_norm.gain": "",
        **{f"attention.{w}": "columns" for w in ("query", "key", "value", "output")},
        "mlp_norm.gain": "",
        "mlp.gate": "columns",
        "mlp.up": "columns",
        "mlp.down": "rows",
        "final_norm.gain": "",
        "readout": "columns",
    }


STUDY = Study(
    "muon", "corpus", (-6.0, -3.0), (16,), network="llama", hidden=1, positions=8, steps=3, batch=4, average=(1.0, 1.0, 1.0, 1.0, 1)
)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon", "dion bounded", "dion proportional"])
def test_a_study_of_a_language_model_trains_with_every_optimizer(optimizer: str):
    (spec,) = replace(STUDY, optimizer=optimizer, spacing=1.0).trajectories()
    frame = decompose(spec)
    assert np.isfinite(frame["value"]).all()
    start = frame[(frame["term"] == "averaged loss") & (frame["step"] == 0)]["value"]
    np.testing.assert_allclose(start, np.log(63), rtol=1e-5)


def test_matrices_alone_are_trained_by_muon():
    (spec,) = STUDY.trajectories()
    auxiliary = spec.ensemble.auxiliary
    assert auxiliary is not None and auxiliary.table.optimizer == "adam"
    assert {name for name in NETWORK.weights if "blocks.1" not in name} - set(auxiliary.weights) == {
        *(f"blocks.0.attention.{w}" for w in ("query", "key", "value", "output")),
        *(f"blocks.0.mlp.{w}" for w in ("gate", "up", "down")),
    }


def test_the_leading_components_are_the_first_of_all():
    """With more than a matrix has, and with so few that they come from subspace iteration; the last entry is the whole."""
    spec = one_step(NETWORK, corpus(positions=POSITIONS, samples=12, validation=20))
    for width, leading in ((16, 30), (64, 8)):
        spec = replace(spec, ensemble=replace(spec.ensemble, sizes={"n": width}))
        every, first = (decompose(replace(spec, leading=k)) for k in (0, leading))
        for rate in RATES:
            top, kept = values(every, "top", 1, rate, 0), values(first, "top", 1, rate, 0)
            assert kept.size == leading + 1
            count = min(leading, width)
            np.testing.assert_allclose(kept[:count], top[:count], rtol=1e-6)
            assert kept[-1] == pytest.approx(top[-1], rel=1e-9)


def test_dion_on_a_gpu_makes_the_same_steps(monkeypatch: pytest.MonkeyPatch):
    """Cholesky decompositions in place of QR; also from a gradient of zero, where the readout is silent."""
    (spec,) = replace(STUDY, optimizer="dion bounded", steps=6).trajectories()
    expected = decompose(spec)
    monkeypatch.setattr(dion, "_basis", lambda columns: orthonormal(columns.double()).to(columns))
    found = decompose(spec)
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-4, atol=1e-6)


def test_the_figure_is_drawn_and_claims_turn(tmp_path):
    """Where only leading components are known too: from arrays, without training."""
    rng = np.random.default_rng(0)
    widths, points = np.array([128, 256, 512, 1024]), np.arange(-4.0, 0.1, 0.5)
    parts = {}
    for name, fall in (("adam", 0.0), ("sgd", 0.0), ("muon", -0.3), ("dion bounded", -0.04), ("dion proportional", -0.27)):
        best = -2 + fall * np.log2(widths / 128)[:, None]
        losses = 2 + 0.1 * (points - best) ** 2 - 0.1 * np.log2(widths / 128)[:, None] + 1e-4 * rng.standard_normal((2, 4, points.size))
        first = -np.ones(60).cumsum() / 60 if fall > -0.2 else None
        tops = []
        for i in range(4):
            head = first if first is not None else -np.ones(60).cumsum() / 60 * (1 - 0.15 * i)
            tops.append(np.broadcast_to(np.append(head, -1.1 - 0.1 * i), (2, points.size, 61)))
        parts[name] = Parts(widths, points, losses, losses, tuple(tops))
    settings = llama_figure.PRESETS["gpu"]
    found = {c.id.rpartition("/")[2]: c for c in llama_figure.claims(parts, settings)}
    assert {name: c.failure for name, c in found.items() if c.failure} == {}
    assert {name: c.verdict for name, c in found.items()} == dict.fromkeys(found, "reproduced")
    assert len(found) == 7
    png, _ = llama_panels.draw(parts, settings.top, tmp_path / "llama")
    assert png.stat().st_size > 10_000
    assert len(llama_figure.tabulate(parts, settings)) == 20
