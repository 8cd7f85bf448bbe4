"""Linear models: closed forms against gradient descent that is really run, and the rates of their gaps."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from widelimit.synthetic import linear_models as linear
from widelimit.theory.modes import Modes, mode_gaps
from widelimit.theory.transfer import Gaps, fit_rates
from widelimit.theory.verdict import FAST, UNKNOWN, judge_gaps

SAMPLES = linear.Samples.gaussian(4, 6)


def test_modes_are_gradient_descent():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(5, 8))
    matrix, residual = matrix @ matrix.T / 8, rng.normal(size=5)
    modes, r = Modes.of(matrix, residual), residual.copy()
    for _ in range(7):
        r = r - 0.3 * matrix @ r
    assert modes.loss(0.3, 7) == pytest.approx(r @ r / 2)


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_the_best_rate_is_the_minimum(steps: int):
    modes = Modes(np.array([2.0, 1.0, 0.3, 0.0]), np.array([1.0, 0.5, 2.0, 1.0]))
    found = minimize_scalar(lambda eta: float(modes.loss(eta, steps)), bounds=(0, 4), method="bounded", options={"xatol": 1e-12})
    assert modes.best_rate(steps) == pytest.approx(found.x, abs=1e-6)


def test_the_best_rate_of_many_steps_balances_the_extreme_modes():
    modes = Modes(np.array([2.0, 1.0, 0.3]), np.array([1.0, 0.5, 2.0]))
    assert modes.patient_rate == pytest.approx(2 / 2.3)
    assert modes.contraction == pytest.approx(1.7 / 2.3)
    assert abs(modes.best_rate(4000) - modes.patient_rate) < abs(modes.best_rate(40) - modes.patient_rate) < 0.01


def test_the_shallow_network_is_trained_as_its_modes_say():
    width, steps, rate = 16, 3, 0.7
    modes = linear.shallow(SAMPLES, width, 0)
    rng = np.random.default_rng(5)
    m, d = SAMPLES.inputs.shape
    losses = []
    for _ in range(2000):  # in law: the output before training is drawn given V
        w0, w1, v = (
            rng.normal(size=(width, d)) / np.sqrt(d),
            rng.normal(size=(width, width)) / np.sqrt(width),
            rng.normal(size=width) / width,
        )
        hidden = w0 @ SAMPLES.inputs.T
        for _ in range(steps):
            chi = v @ w1 @ hidden - SAMPLES.targets
            w1 = w1 - rate / m * np.outer(v, hidden @ chi)
        losses.append(np.mean((v @ w1 @ hidden - SAMPLES.targets) ** 2) / 2)
    ours = [float(linear.shallow(SAMPLES, width, seed).loss(rate, steps)) for seed in range(2000)]
    assert np.mean(ours) == pytest.approx(np.mean(losses), abs=4 * np.hypot(np.std(ours), np.std(losses)) / np.sqrt(2000))
    assert modes.rates.shape == (m,)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("parameterization", ["mup", "sp"])
def test_the_polynomial_is_one_step_of_gradient_descent(layers: int, parameterization: str):
    torch = pytest.importorskip("torch")
    width, seed = 8, 3
    loss = linear.deep_step(SAMPLES, width, layers, seed, parameterization=parameterization)
    assert loss.degree() == 2 * layers
    rng = linear.stream(seed, f"linear/deep/{width}/{layers}")
    m, d = SAMPLES.inputs.shape
    x, y = torch.tensor(SAMPLES.inputs), torch.tensor(SAMPLES.targets)
    first = torch.tensor(rng.standard_normal((width, d)) / np.sqrt(d))
    hidden = [torch.tensor(rng.standard_normal((width, width)) / np.sqrt(width), requires_grad=True) for _ in range(layers)]
    last = torch.tensor(rng.standard_normal(width) / (width if parameterization == "mup" else np.sqrt(width)))

    def run(weights: list) -> object:
        h = first @ x.T
        for w in weights:
            h = w @ h
        return ((last @ h - y) ** 2).sum() / (2 * m)

    gradients = torch.autograd.grad(run(hidden), hidden)
    for eta in (0.0, 0.05, 0.4):
        stepped = run([w - eta * g for w, g in zip(hidden, gradients, strict=True)])
        assert float(loss(eta)) == pytest.approx(stepped.item(), rel=1e-8)


def test_sketched_regression_is_descent_on_the_features():
    spectrum, target, width = np.arange(1, 21) ** -1.5, np.ones(20), 30
    modes = linear.sketched(spectrum, target, width, 1)
    g = linear.stream(1, f"linear/sketched/{width}").standard_normal((20, width)) / np.sqrt(width)
    theta = np.zeros(width)
    for _ in range(5):
        theta += 0.5 * g.T @ (spectrum * (target - g @ theta))
    assert modes.loss(0.5, 5) == pytest.approx((spectrum * (target - g @ theta) ** 2).sum() / 2)
    assert linear.sketched(spectrum, target, 200_000, 0).loss(0.5, 5) == pytest.approx(
        float(linear.sketched_limit(spectrum, target).loss(0.5, 5)), rel=0.02
    )


def gaps(samples: linear.Samples, steps: int, draws: int = 60) -> np.ndarray:
    limit, sizes = linear.shallow_limit(samples), 2 ** np.arange(6, 13)
    drawn = [[mode_gaps(linear.shallow(samples, int(n), seed), limit, steps) for n in sizes] for seed in range(draws)]
    return np.array([[list(vars(g).values()) for g in row] for row in drawn])


def test_two_eigenvalues_transfer_fast_and_one_does_not():
    sizes = 2.0 ** np.arange(6, 13)
    for samples, steps, rates in ((SAMPLES, 4, (0.5, 0.5, 1.0)), (linear.Samples.orthogonal(4, 6), 2, (2.0, 0.5, 2.0))):
        table = gaps(samples, steps)
        found = fit_rates(sizes, [Gaps(*row) for row in np.median(table, axis=0)])
        assert [found.loss, found.hyperparameter, found.suboptimality] == pytest.approx(rates, abs=0.2)
        assert judge_gaps(sizes, table).kind == (FAST if samples is SAMPLES else UNKNOWN)


def test_modes_without_a_weight_are_refused():
    with pytest.raises(ValueError, match="nothing is learned"):
        Modes(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
