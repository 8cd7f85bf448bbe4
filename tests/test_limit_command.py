"""``widelimit limit``: the limit and finite networks from the command line, and what it refuses; the figures in their smallest size."""

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import call
from widelimit.dmft import solve
from widelimit.dmft.activations import ACTIVATIONS
from widelimit.paper_repro.limits.finite import networks, plan
from widelimit.paper_repro.limits.laws import fit_bias
from widelimit.paper_repro.limits.problems import PROBLEMS, perceptron
from widelimit.paper_repro.papers import PAPERS
from widelimit.synthetic.store import Store

OWN = """
import numpy as np
from widelimit.dmft import Problem
from widelimit.theory.zoo import mlp

def make():
    net = mlp(hidden=1, inputs=3, outputs=1, activation="tanh")
    return Problem(net, np.eye(3), np.array([1.0, -1.0, 0.5]), steps=3)

def wrong():
    return 3
"""


def test_json_has_the_curve_and_the_networks_beside_it(capsys: pytest.CaptureFixture[str]):
    status, out, err = call(capsys, "limit", "tanh-1", "--error", "0.005", "--compare-widths", "256", "--seeds", "40", "--format", "json")
    found = json.loads(out)
    assert status == 0 and "replicates of" in err and found["result"] == "successful" and found["bound"] <= 0.005
    limit = {row["step"]: row["loss"] for row in found["rows"]}
    for row in found["networks"]:
        assert abs(row["loss"] - limit[row["step"]]) < 5 * row["se"] + 0.01


def test_a_problem_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine.py").write_text(OWN)
    status, out, _ = call(capsys, "limit", f"{tmp_path}/mine.py:make", "--error", "0.02")
    assert status == 0 and "|bias| + error <=" in out
    status, _, err = call(capsys, "limit", f"{tmp_path}/mine.py:wrong")
    assert status == 2 and "returns int; the command wants a widelimit.dmft.Problem" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "unknown problem `nope`; choose from tanh, relu"),
        (["tanh", "--error", "0"], "`--error` is 0.0 (more than 0)"),
        (["tanh", "--compare-widths", "a"], "`--compare-widths` is `a`; give positive integers"),
        (["tanh", "--format", "xml"], "xml"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    status, _, err = call(capsys, "limit", *arguments)
    assert status == 2 and message in err and err.count("\n") == 1


def test_every_named_problem_can_be_made():
    for one in PROBLEMS.values():
        assert one.make().layout.outputs >= 1


def test_networks_get_the_same_arrays_and_constants(tmp_path: Path):
    """At initialisation the mean loss is that of the limit: half the mean square of the targets and the variance 1/n of the output."""
    problem = perceptron(steps=1)
    found = networks(problem, {64: 800}, Store(tmp_path), case="test", progress=lambda line: None).losses[64][:, 0]
    kernel = solve(problem, particles=4096, at=(0,)).kernel(2, 0)
    expected = (problem.values**2).mean() / 2 + np.diag(kernel).mean() / 64 / 2
    assert abs(found.mean() - expected) < 4 * found.std() / 800**0.5


def test_a_power_of_the_width_is_found_where_single_values_are_noise():
    rng = np.random.default_rng(0)
    widths = np.array([32.0, 64.0, 128.0, 256.0])
    errors = np.full(4, 2e-3)
    powers = [fit_bias(widths, 3.0 / widths + errors * rng.standard_normal(4), errors, seed=k) for k in range(40)]
    inside = sum(law.interval[0] <= -1 <= law.interval[1] for law in powers)
    assert abs(np.median([law.power for law in powers]) + 1) < 0.05 and inside >= 34


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_activations_agree_with_those_of_finite_networks(name: str):
    import torch
    from widelimit.synthetic.operations import ACTIVATIONS as FINITE

    h = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    y = FINITE[name](h)
    (slope,) = torch.autograd.grad(y.sum(), h)
    phi, dphi = ACTIVATIONS[name]
    points = jnp.asarray(h.detach().numpy())
    np.testing.assert_allclose(np.asarray(phi(points)), y.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(np.asarray(dphi(points)), slope.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    "figure",
    [pytest.param(f, id=f.name, marks=pytest.mark.slow) for f in PAPERS["dmft"].figures],
)
def test_a_figure_is_made_in_its_smallest_size(figure, tmp_path: Path):
    made = figure.load().reproduce("smoke", out=tmp_path, store_home=tmp_path, progress=lambda line: None)
    assert all(path.is_file() for path in made.images) and made.claims and not any(claim.failure for claim in made.claims)


def test_networks_say_what_the_limit_does_of_samples_they_do_not_learn(tmp_path: Path):
    unseen = np.eye(10)[:2] * 10**0.5
    problem = replace(perceptron(steps=3), test=unseen)
    found = networks(problem, {512: 6}, Store(tmp_path), case="unseen", progress=lambda _: None, predictions=True)
    limit = solve(problem, particles=512, replicates=2)
    assert limit.test is not None and found.predictions[512].shape == (6, 4, 6)
    np.testing.assert_allclose(found.predictions[512].mean(0)[:, :4], limit.predictions.value[..., 0], atol=0.06)
    np.testing.assert_allclose(found.predictions[512].mean(0)[:, 4:], limit.test.value[..., 0], atol=0.06)
    expected = ((problem.values[:, 0] - found.predictions[512][..., :4]) ** 2).mean(-1) / 2
    np.testing.assert_allclose(found.losses[512], expected, rtol=1e-4)  # of all samples in every step: the batch is all of them


def test_schedules_that_the_trainer_has_go_to_the_networks_and_others_are_refused():
    (ensemble,) = plan(PROBLEMS["nesterov"].make(), {8: 1}, case="x").ensembles
    assert (ensemble.schedule, ensemble.optimizer, ensemble.momentum) == ("linear", "nesterov", 0.7)
    with pytest.raises(ValueError, match="`schedule` is none of constant, linear"):
        plan(perceptron(steps=2, schedule=[1.0, 0.3]), {8: 1}, case="x")
