"""Forecasts from two or three sizes: planted responses, exact cases, the counter-example, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from widelimit.paper_repro.cases import exact
from widelimit.paper_repro.fast_transfer import forecast as figure
from widelimit.paper_repro.fast_transfer.forecast_score import FORECAST, LINE, STILL, Problem, judge, ratio, score
from widelimit.theory.curves import Curves
from widelimit.theory.forecast import expand, forecast
from widelimit.theory.verdict import FAST, NONE, UNKNOWN, WEAK

SIZES, LARGER, POINTS = 2.0 ** np.arange(6, 9), 2.0 ** np.arange(9, 13), np.linspace(-3, 3, 25)


def planted(
    *, sizes=SIZES, exponent: float = 1.0, move: float = 0.4, gap: float = 0.5, noise: float = 0.0, seeds: int = 8, seed: int = 0
) -> Curves:
    """``1 + nu^2/2 + eps (gap - move nu)``: the optimum is at ``move eps``, with ``eps = (n/64)^-exponent``."""
    eps = (np.asarray(sizes)[:, None] / 64) ** -exponent
    clean = 1 + POINTS**2 / 2 + eps * (gap - move * POINTS)
    shape = (seeds if noise else 1, *clean.shape)
    return Curves(sizes, POINTS, clean + noise * np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_a_planted_response_is_found_exactly(count: int, exponent: float):
    found = forecast(planted(sizes=SIZES[:count], exponent=exponent), LARGER, exponent=exponent)
    assert found.places == pytest.approx(0.4 * (LARGER / 64) ** -exponent, abs=1e-9)
    assert found.kind == FAST and np.isnan(found.place_ends).all()


def test_the_responses_are_those_that_were_planted():
    found = forecast(planted(), LARGER, exponent=1.0).response
    assert found is not None
    assert (found.gradient[0], found.curvature[0]) == (pytest.approx(-0.4 * 64 / 256), pytest.approx(1.0))
    still = forecast(planted(move=0.0), LARGER, exponent=1.0).response
    assert still is not None and still.loss[0] == pytest.approx(0.5 * 64 / 256) and still.share[0] == pytest.approx(0.0, abs=1e-12)


def test_a_steep_metric_is_expanded_in_its_logarithm():
    plain = planted(move=0.1)
    found = forecast(Curves(SIZES, POINTS, np.exp(5 * plain.losses), steep=True), LARGER, exponent=1.0)
    assert found.places == pytest.approx(0.1 * 64 / LARGER, abs=1e-9)
    assert found.values == pytest.approx(np.exp(5 * (1 + 0.5 * 64 / LARGER)), rel=0.02)


@pytest.mark.parametrize("count", [2, 3])
def test_with_noise_the_expansion_is_better_than_a_line_through_the_optima(count: int):
    line, off = 1 / SIZES[:count], {"forecast": [], "line": []}
    for k in range(40):
        curves = planted(sizes=SIZES[:count], noise=0.05, seed=k)
        off["forecast"].append(forecast(curves, [4096.0], exponent=1.0, draws=100).places[0] - 0.4 / 64)
        places = curves.optima(curves.means()[0]).place
        off["line"].append(np.polyval(np.polyfit(line, places, 1), 1 / 4096) - 0.4 / 64)
    assert np.square(off["forecast"]).mean() ** 0.5 < 0.8 * np.square(off["line"]).mean() ** 0.5


def test_the_exponent_is_told_by_three_sizes():
    curves = planted(sizes=2.0 ** np.arange(5, 9), exponent=0.5, noise=0.002)
    found = forecast(curves, LARGER)
    assert max(found.weights, key=found.weights.__getitem__) == 0.5
    assert found.places == pytest.approx(0.4 * (LARGER / 64) ** -0.5, abs=0.02)


def test_the_metric_is_forecast_too():
    found = forecast(planted(noise=0.01, move=0.1), [4096.0], exponent=1.0)
    assert found.values == pytest.approx([1 + 0.5 / 64], abs=0.01)
    assert found.value_ends[0] < 1 + 0.5 / 64 < found.value_ends[1]


@pytest.mark.parametrize("seeds", [3, 8])
def test_intervals_hold_the_planted_optimum(seeds: int):
    truth = 0.4 * 64 / LARGER
    ends = np.array([forecast(planted(noise=0.05, seeds=seeds, seed=k), LARGER, exponent=1.0, draws=150).place_ends for k in range(60)])
    held = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean(axis=0)
    assert (held >= 0.85).all() and np.median(ends[:, 1] - ends[:, 0]) < 0.8, held  # 0.95 less three standard errors


def test_where_nothing_moves_the_pooled_optimum_is_nearly_as_good_as_knowing():
    off = {"forecast": [], "last": []}
    for k in range(40):
        curves = planted(noise=0.2, move=0.0, seed=k)
        off["forecast"].append(forecast(curves, [4096.0], exponent=1.0, draws=100).places[0])
        off["last"].append(curves.optima(curves.means()[0]).place[-1])
    assert np.std(off["forecast"]) < np.std(off["last"])


def test_an_optimum_that_keeps_moving_is_followed_and_named():
    clean = 1 + (POINTS + 0.7 * (np.log2(SIZES)[:, None] - 7)) ** 2 / 2 + 4 / SIZES[:, None]
    noise = 0.005 * np.random.default_rng(0).normal(size=(10, *clean.shape))
    found = forecast(Curves(SIZES, POINTS, clean + noise), [512.0, 1024.0])
    assert found.kind == NONE and found.places == pytest.approx([-1.4, -2.1], abs=0.1)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("order", [2, 3])
def test_a_loss_without_a_first_order_is_not_called_fast(count: int, order: int):
    """The planted counter-example: the optimum moves as eps, the lowest loss closes as a higher power."""
    eps = (SIZES[:count, None] / 64) ** -1.0
    clean = (POINTS - 0.4 * eps) ** 2 / 2 + 0.3 * eps**order
    noisy = clean + 1e-4 * np.abs(np.random.default_rng(0).normal(size=(8, *clean.shape)))
    assert forecast(Curves(SIZES[:count], POINTS, noisy), LARGER, exponent=1.0).kind != FAST


def test_noise_that_hides_the_loss_response_leaves_the_verdict_open():
    found = forecast(planted(noise=0.3, gap=0.02, move=0.1), LARGER, exponent=1.0)
    assert found.kind == UNKNOWN and "zero within its noise" in found.reason


def cases(name: str, seen: int, *, sizes: tuple[float, ...] = (), networks: int = 100) -> tuple[Problem, dict[str, float]]:
    """A case, by default in its smoke sizes, and the errors of all methods."""
    given = exact.PRESETS[name]["smoke"]
    curves = exact.sample(name, sizes or given.sizes, 1 if given.draws == 1 else networks)
    problem = Problem(name, curves, figure.EXPONENTS[name], "", "")
    frame = score(problem, seen, draws=0)
    return problem, dict(zip(frame["method"], frame["error"]))


@pytest.mark.parametrize("seen", [2, 3])
@pytest.mark.parametrize(("name", "factor", "kind"), [("ridge", 0.05, FAST), ("slow", 1e-6, WEAK)])
def test_where_curves_are_exact_the_forecast_beats_no_drift(name: str, factor: float, kind: str, seen: int):
    problem, error = cases(name, seen)
    assert error[FORECAST] < factor * error[STILL], error
    assert judge(problem, seen)["forecast"] == kind


@pytest.mark.parametrize("seen", [2, 3])
def test_the_mean_curve_of_many_linear_networks_is_forecast(seen: int):
    problem, error = cases("shallow-linear", seen, sizes=(256.0, 512.0, 1024.0, 2048.0, 4096.0), networks=400)
    assert error[FORECAST] < 0.6 * min(error[STILL], error[LINE]), error
    assert judge(problem, seen)["forecast"] in (FAST, UNKNOWN)


@pytest.mark.parametrize("seen", [2, 3])
def test_the_single_eigenvalue_is_not_called_fast(seen: int):
    assert judge(cases("single-eigenvalue", seen)[0], seen)["forecast"] in (UNKNOWN, WEAK)


def test_an_optimum_that_does_not_settle_is_left_to_the_line():
    _, error = cases("deep-linear-sp", 3)
    assert error[LINE] < error[STILL] and error[FORECAST] < error[STILL]


def test_the_wrong_order_of_widths_is_worse_than_no_drift():
    problem, right = cases("ridge", 3)
    wrong = score(Problem("ridge", figure.reverse(problem.curves, 3), 1.0, "", ""), 3, draws=0)
    assert wrong.loc[wrong["method"] == FORECAST, "error"].iloc[0] > right[STILL]


def test_the_ratio_is_the_geometric_mean_over_cases():
    problem, error = cases("shallow-linear", 2)
    frame = score(problem, 2, draws=5)
    value, (low, high) = ratio(frame, STILL)
    assert value == pytest.approx(error[FORECAST] / error[STILL]) and low <= high
    both = ratio(score(problem, 2, draws=0).assign(error=[4.0, 1.0, 1.0]), STILL)
    assert both == (pytest.approx(4.0), (pytest.approx(4.0), pytest.approx(4.0)))


def test_taylor_coefficients_of_a_cubic_are_exact():
    rows = np.stack([2 - POINTS + POINTS**3, np.where(np.abs(POINTS - 1) < 0.1, np.nan, POINTS**2)])
    found = expand(POINTS, rows, np.array([0.3, 1.1]), degree=3)
    assert found == pytest.approx(np.array([[1.727, -0.73, 1.8], [1.21, 2.2, 2.0]]))


def test_an_optimum_on_the_edge_is_no_forecast():
    found = forecast(Curves(SIZES, POINTS, np.tile(1 + (POINTS - 4) ** 2, (3, 3, 1))), LARGER)
    assert found.kind == UNKNOWN and "edge of the grid" in found.reason and np.isnan(found.places).all()


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [([256.0], {}, "larger than the largest that was seen, 256, not"), ([512.0], {"exponent": -1.0}, "`exponent` is -1.0;")],
)
def test_wrong_input_is_named(sizes: list[float], options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        forecast(planted(), sizes, **options)


def test_one_size_is_too_few():
    with pytest.raises(ValueError, match="at least 2 sizes"):
        Curves([64.0], POINTS, np.ones((2, 1, 25)))


def test_the_figure_claims_in_its_smallest_size(tmp_path: Path):
    found = figure.reproduce("smoke", out=tmp_path, store_home=tmp_path, progress=lambda line: None)
    assert not [claim.failure for claim in found.claims if claim.failure]
    assert {image.suffix for image in found.images} == {".png", ".svg"}
    assert set(found.tables["scores"]["case"]) == {*figure.PRESETS["smoke"].cases, figure.EARLY, figure.MANY}
