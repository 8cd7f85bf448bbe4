"""Random-features ridge regression: closed forms against the paper's equations, printed numbers and high precision."""

import math

import numpy as np
import pytest
from widelimit.theory.ridge import RidgeProblem, curvature, gap_constants, gaps, hermite, optimum, risk, self_consistent
from widelimit.theory.transfer import local_slopes

PAPER = RidgeProblem(data_ratio=4.0, noise=0.25, activation="tanh", target="relu")
PROBLEMS = [PAPER, RidgeProblem(1.5, 0.5, "erf", "relu"), RidgeProblem(0.6, 1.0, "sin", "tanh")]
# psi2, R*, a, lambda*, b, c: printed digits of an independent solution (fsolve, finite differences, bounded minimisation)
TABLE = [
    (4, 0.45277, 3.168e-2, 0.37921, 3.134e-2, 6.40e-5),
    (5.65685424949238, 0.44256, 2.147e-2, 0.38505, 3.718e-2, 8.96e-5),
    (8, 0.43588, 1.479e-2, 0.38504, 3.717e-2, 8.96e-5),
    (16, 0.42831, 7.218e-3, 0.37678, 2.891e-2, 5.46e-5),
    (32, 0.42467, 3.582e-3, 0.36653, 1.866e-2, 2.29e-5),
    (64, 0.42288, 1.788e-3, 0.35867, 1.080e-2, 7.74e-6),
    (128, 0.42198, 8.939e-4, 0.35373, 5.855e-3, 2.28e-6),
    (256, 0.42154, 4.470e-4, 0.35092, 3.052e-3, 6.22e-7),
]


def equations(problem: RidgeProblem, ridge, width, m1, m2):
    """Left sides of the two self-consistent equations as the paper prints them (arXiv 2512.22768, Theorem 3)."""
    a, s, p = problem.linear, problem.nonlinear, problem.data_ratio
    common = a * m1 * m2 * (ridge * m1 - 1)
    return (m1 - m2) * (s * m1 + a * m2) / p + common, width / p * (a * m1 * m2 + (m2 - m1) / p) + common


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.activation)
@pytest.mark.parametrize("width", [0.5, 1.5, 4.0, 64.0])
@pytest.mark.parametrize("ridge", [1e-3, 0.35, 20.0])
def test_the_explicit_solution_solves_the_papers_equations(problem, width, ridge):
    m1, m2 = self_consistent(problem, ridge, width)
    assert m1 > m2 > 0
    scale = max(problem.linear * m1 * m2, (m1 - m2) / problem.data_ratio)
    assert np.abs(equations(problem, ridge, width, m1, m2)) == pytest.approx([0, 0], abs=1e-9 * scale * max(1, width))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.activation)
@pytest.mark.parametrize("width", [0.5, 4.0, 64.0])
def test_the_risk_is_the_papers_derivative(problem, width):
    ridge, h = 0.35, 1e-5
    (up1, up2), (down1, down2) = (self_consistent(problem, ridge + sign * h, width) for sign in (1, -1))
    m1, _ = self_consistent(problem, ridge, width)
    expected = -(problem.unlearnable * (up1 - down1) + problem.signal * (up2 - down2)) / (2 * h * m1**2)
    assert float(risk(problem, ridge, width)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("width", "least", "a", "best", "b", "c"), TABLE)
def test_the_gaps_match_an_independent_solution(width, least, a, best, b, c):
    found, at = gaps(PAPER, width), optimum(PAPER, width)
    assert (at.risk, at.ridge) == pytest.approx((least, best), abs=1e-5)
    assert (found.loss, found.hyperparameter) == pytest.approx((a, b), rel=2e-3)
    assert found.suboptimality == pytest.approx(c, rel=3e-3)


def test_the_limit_is_the_closed_form():
    limit = optimum(PAPER)
    a, s, u, v = PAPER.linear, PAPER.nonlinear, PAPER.signal, PAPER.unlearnable
    assert limit.ridge == pytest.approx(a * v / u - s, rel=1e-13)
    assert (limit.ridge, limit.risk, limit.t) == pytest.approx((0.347871, 0.421088, 7.96739), rel=2e-6)
    assert float(risk(PAPER, 0.2)) == pytest.approx(float(risk(PAPER, 0.2, 1e13)), rel=1e-12)


@pytest.mark.parametrize("width", [2.0, 64.0])
def test_the_optimum_is_the_minimum_of_the_risk(width):
    best = optimum(PAPER, width)
    around = best.ridge * np.exp(np.linspace(-1, 1, 2001))
    assert around[np.argmin(risk(PAPER, around, width))] == pytest.approx(best.ridge, rel=2e-3)
    assert float(risk(PAPER, best.ridge, width)) == pytest.approx(best.risk, rel=1e-12)


def test_an_optimum_close_to_zero_is_found():
    a_little = RidgeProblem(4.0, 0.02, "tanh", "tanh")
    assert 0 < optimum(a_little).ridge < 2e-3
    width = 40.0
    best = optimum(a_little, width)
    ridges = np.geomspace(best.ridge / 20, best.ridge * 20, 999)
    assert risk(a_little, ridges, width).min() == pytest.approx(best.risk, rel=1e-6)


def test_c_agrees_with_forty_digits():
    """Newton on the paper's own equations in mpmath: c is a difference of risks 2.7e-9 apart."""
    mp = pytest.importorskip("mpmath")
    with mp.workdps(40):
        a, s, u, v, p = (mp.mpf(x) for x in (PAPER.linear, 1 - mp.mpf(PAPER.linear), PAPER.signal, 0, PAPER.data_ratio))
        v = 1 - u + mp.mpf(PAPER.noise) ** 2
        best = _best_ridge(mp, a, s, u, v, p, 4096)
        limit = a * v / u - s
        c = _limit_risk(mp, a, s, u, v, p, best) - _limit_risk(mp, a, s, u, v, p, limit)
        found = gaps(PAPER, 4096.0)
        assert found.hyperparameter == pytest.approx(float(best - limit), rel=1e-9)
        assert found.suboptimality == pytest.approx(float(c), rel=1e-8, abs=0)


def _best_ridge(mp, a, s, u, v, p, width):
    def slope(ridge):
        return mp.diff(lambda z: _paper_risk(mp, a, s, u, v, p, width, z), ridge, h=mp.mpf(10) ** -12)

    return mp.findroot(slope, (mp.mpf("0.3480"), mp.mpf("0.3481")), solver="secant", tol=mp.mpf(10) ** -18)


def _paper_risk(mp, a, s, u, v, p, width, z):
    def system(m1, m2):
        common = a * m1 * m2 * (z * m1 - 1)
        return (m1 - m2) * (s * m1 + a * m2) / p + common, width / p * (a * m1 * m2 + (m2 - m1) / p) + common

    start = self_consistent(PAPER, float(z), float(width))
    m1, m2 = mp.findroot(system, start)
    fixed = a * m1 * m2
    jacobian = mp.matrix(
        [
            [
                (s * m1 + a * m2 + s * (m1 - m2)) / p + a * m2 * (2 * z * m1 - 1),
                (a * (m1 - m2) - s * m1 - a * m2) / p + a * m1 * (z * m1 - 1),
            ],
            [width / p * (a * m2 - 1 / p) + a * m2 * (2 * z * m1 - 1), width / p * (a * m1 + 1 / p) + a * m1 * (z * m1 - 1)],
        ]
    )
    rate = mp.lu_solve(jacobian, mp.matrix([-fixed * m1, -fixed * m1]))
    return -(v * rate[0] + u * rate[1]) / m1**2


def _limit_risk(mp, a, s, u, v, p, ridge):
    top = ridge + s
    half = (top + a * (p - 1)) / 2
    t = (half + mp.sqrt(half**2 + top * a)) / top
    return p * (v * t**2 + u) / (p * t**2 - (t - 1) ** 2)


@pytest.mark.parametrize("gap", ["loss", "hyperparameter", "suboptimality"])
def test_slopes_stay_clean_to_large_widths(gap):
    widths = 2.0 ** np.arange(10, 21)
    slopes = local_slopes(widths, [getattr(gaps(PAPER, w), gap) for w in widths])
    rate = -2 if gap == "suboptimality" else -1
    off = np.abs(slopes - rate)
    assert (off * widths[:-1] < 24).all(), off
    assert off[-1] < 4e-5


@pytest.mark.parametrize("problem", [PAPER, RidgeProblem(4.0, 0.5, "tanh", "relu"), PROBLEMS[1]], ids=["figure", "noisy", "erf"])
def test_the_constants_are_those_of_the_solution(problem):
    """Richardson from two widths, against the closed form."""
    ours, limit, eta = gap_constants(problem), optimum(problem), problem.data_ratio / 2.0**14
    first, second = (optimum(problem, width) for width in (2.0**14, 2.0**15))
    richardson = lambda one, two, end: (4 * (two - end) - (one - end)) / eta  # noqa: E731
    assert richardson(first.risk, second.risk, limit.risk) == pytest.approx(ours.loss, rel=1e-5)
    assert richardson(first.ridge, second.ridge, limit.ridge) == pytest.approx(ours.ridge, rel=1e-4, abs=1e-6)
    assert gaps(problem, 2.0**20).suboptimality * 2.0**40 / problem.data_ratio**2 == pytest.approx(ours.suboptimality, rel=1e-2)


def test_the_published_constants_are_not():
    ours = gap_constants(PAPER)
    assert (ours.loss, ours.ridge) == pytest.approx((0.028618, 0.2046), rel=3e-4)
    assert ours.loss < 0.0694 / 2
    assert ours.ridge > 0 > -0.0318


def test_the_curvature_is_that_of_the_limit():
    best, h = optimum(PAPER).ridge, 1e-3
    low, middle, high = (float(risk(PAPER, best + k * h)) for k in (-1, 0, 1))
    assert (high - 2 * middle + low) / h**2 == pytest.approx(curvature(PAPER), rel=1e-4)


def test_hermite_numbers_have_their_closed_forms():
    relu, erf = hermite("relu"), hermite("erf")
    assert relu.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-13)
    assert relu.scale == pytest.approx(math.sqrt(0.5 - 0.5 / math.pi), rel=1e-13)
    assert relu.first == pytest.approx(0.5 / relu.scale, rel=1e-13)
    assert erf.scale**2 == pytest.approx(2 / math.pi * math.asin(2 / 3), rel=1e-13)
    assert erf.first * erf.scale == pytest.approx(2 / math.sqrt(3 * math.pi), rel=1e-13)
    assert (hermite("tanh").first, relu.first) == pytest.approx((0.964609, 0.856429), abs=5e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RidgeProblem(activation="gelou"), "unknown activation `gelou`"),
        (lambda: RidgeProblem(activation="identity"), "`identity` is linear"),
        (lambda: RidgeProblem(data_ratio=-1.0), "`data_ratio`.* is -1"),
        (lambda: RidgeProblem(noise=math.nan), "`noise` is nan"),
        (lambda: risk(PAPER, [0.1, 0.0], 4.0), "`ridge` must be positive"),
        (lambda: risk(PAPER, 0.1, 0.0), "`width` .* is 0"),
        (lambda: optimum(RidgeProblem(4.0, 0.0, "tanh", "identity")), "no positive ridge is best at width inf"),
        (lambda: optimum(RidgeProblem(4.0, 0.0, "tanh", "identity"), 1e4), "no positive ridge is best at width 10000"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
