"""Finite random-features ridge regression: Gaussian integrals, the predictor, and the proportional limit."""

import numpy as np
import pytest
from widelimit.synthetic.random_features import gaussian_moments, measure, normalised, simulate
from widelimit.synthetic.streams import stream
from widelimit.theory.ridge import RidgeProblem, hermite, risk

PAPER = RidgeProblem()
COLUMNS = [
    "source",
    "case",
    "config",
    "seed",
    "step",
    "weight",
    "term",
    "value",
    "predicted",
    "size.d",
    "size.width",
    "hp.ridge",
    "diverged_at",
]


def test_second_moments_are_the_arcsine_kernel():
    """E erf(a) erf(b) = 2/pi asin(2 C_ab / sqrt((1 + 2 C_aa)(1 + 2 C_bb))) for Gaussian a, b (Williams, 1997)."""
    weights = np.random.default_rng(0).standard_normal((50, 40)) / np.sqrt(40)
    second, _ = gaussian_moments(RidgeProblem(activation="erf", noise=1.0), weights, 1)
    product = weights @ weights.T
    size = 1 + 2 * np.diag(product)
    kernel = 2 / np.pi * np.arcsin(2 * product / np.sqrt(np.outer(size, size))) / hermite("erf").scale ** 2
    assert second == pytest.approx(kernel, abs=1e-8)


def test_cross_moments_agree_with_sampling():
    weights = np.random.default_rng(1).standard_normal((6, 10)) / np.sqrt(10)
    second, cross = gaussian_moments(PAPER, weights, 2)
    x = np.random.default_rng(2).standard_normal((400_000, 10))
    z, y = normalised("tanh")(x @ weights.T), normalised("relu")(x[:, :2])
    assert z.T @ z / len(x) == pytest.approx(second, abs=0.008)
    assert z.T @ y / len(x) == pytest.approx(cross, abs=0.008)


def test_the_risk_is_that_of_the_ridge_solution_on_fresh_data():
    """Normal equations of ``sum (y - f)^2 + n lambda |a|^2`` and sampled test points, without kernel or integrals."""
    dimension, width, seed, ridge = 24, 3.0, 5, 0.2
    samples, features = 96, 72
    x = stream(seed, "inputs").standard_normal((samples, dimension))
    noise = PAPER.noise * stream(seed, "noise").standard_normal((samples, 3))
    weights = stream(seed, "features").standard_normal((features, dimension)) / np.sqrt(dimension)
    z = np.tanh(x @ weights.T) / hermite("tanh").scale
    relu = lambda g: (np.maximum(g, 0) - hermite("relu").mean) / hermite("relu").scale  # noqa: E731
    a = np.linalg.solve(z.T @ z + features * ridge * np.eye(features), z.T @ (relu(x[:, :3]) + noise))
    fresh = np.random.default_rng(7).standard_normal((300_000, dimension))
    off = np.tanh(fresh @ weights.T) / hermite("tanh").scale @ a - relu(fresh[:, :3])
    expected = (off**2).mean() + PAPER.noise**2
    assert simulate(PAPER, dimension, width, seed, teachers=3).risk(ridge) == pytest.approx(expected, rel=0.004)


@pytest.mark.parametrize("dimension", [20, 40])
def test_the_proportional_limit_is_approached(dimension):
    frame = measure(PAPER, dimension=dimension, widths=(4.0, 8.0), ridges=(0.1, 0.35, 1.0), seeds=range(480 // dimension))
    rows = frame[frame["term"] == "risk"]
    off = (rows["value"] / rows["predicted"] - 1).groupby(rows["seed"]).mean()
    assert abs(off.mean()) < 0.5 / dimension + 3 * off.sem()
    assert 3 * off.sem() < 0.02


def test_a_ridge_that_is_not_divided_by_n_misses_the_limit():
    draw = simulate(PAPER, 20, 4.0, seed=0)
    assert draw.risk(0.35 / 80) > 1.3 * float(risk(PAPER, 0.35, 4.0))


def test_the_best_ridge_is_the_minimum():
    draw = simulate(PAPER, 20, 4.0, seed=0)
    ridge, least = draw.best()
    assert least == pytest.approx(min(draw.risk(x) for x in np.geomspace(0.02, 5, 2000)), rel=1e-6)
    assert draw.risk(ridge) == least


def test_the_frame_is_long_form_and_repeats():
    said: list[str] = []
    options = {"dimension": 12, "widths": (2.0,), "ridges": (0.1, 1.0), "seeds": (3, 4)}
    frame = measure(PAPER, **options, progress=said.append)
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 2 * (2 + 2)
    assert said == ["random features: d = 12, width 2, 2 draws"]
    assert frame["value"].dtype == float
    assert frame["diverged_at"].isna().all()
    assert (frame[frame["term"] == "risk"]["predicted"].to_numpy() == np.tile(risk(PAPER, [0.1, 1.0], 2.0), 2)).all()
    again = measure(PAPER, **{**options, "seeds": (4,)})
    assert again["value"].tolist() == frame[frame["seed"] == 4]["value"].tolist()


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="0 features"):
        simulate(PAPER, 4, 0.01, seed=0)
