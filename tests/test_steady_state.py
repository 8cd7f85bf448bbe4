"""Steady states against simulation to 1 % (Monte Carlo errors are below a third of that), and against each other in their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy
from widelimit.paper_repro.weight_decay.simulate import Adam, Normalising, gaussian, late, orthogonal, unit
from widelimit.theory.normalised_updates import (
    Momentum,
    Normalised,
    Sphere,
    arcsine,
    coherence,
    correlation,
    free_arcsine,
    interpolated,
    linear,
    lion,
    muon,
    nesterov,
    plain,
    sign_of_signal,
    top_of_fresh,
    top_of_persistent,
)
from widelimit.theory.normaliser import correction, correction_to_first_order, first_order, mean_square_update
from widelimit.theory.steady_state import AdamW, Moments, Signal, march, shared, stationarity, steady_moments

ONE_PERCENT = 0.01


def close(measured: float, expected: float, tolerance: float = ONE_PERCENT) -> None:
    assert abs(measured / expected - 1) < tolerance, f"{measured:.5g} instead of {expected:.5g}: {measured / expected - 1:+.2%}"


def variance(optimizer: AdamW, *, weights: int = 100_000, seed: int = 0, noise=gaussian) -> float:
    """Simulated over four memories after six, when the start counts exp(-12); standard error 0.25 %."""
    memory = math.ceil(optimizer.memory)
    run = Adam(
        [optimizer.rate] * (10 * memory), optimizer.decay, optimizer.beta1, optimizer.beta2, optimizer.independent,
        weights=weights, noise=noise,
    )  # fmt: skip
    return late((float(np.mean(w * w)) for w, _ in run.run(seed)), 10 * memory, 0.4)


def test_the_formula_is_the_published_one():
    """Closed form of the dossier, from the fixed point of the recursion; it is a fixed point, and the other moments are right."""
    rate, kept, beta1 = sympy.symbols("rate kept beta1", positive=True)
    found = steady_moments()
    published = rate**2 / (1 - kept**2) * (1 - beta1) / (1 + beta1) * (1 + kept * beta1) / (1 - kept * beta1)
    assert sympy.simplify(found.weight - published) == 0
    assert all(sympy.simplify(a - b) == 0 for a, b in zip(found.advanced(rate, kept, beta1), found, strict=True))
    decay = sympy.Symbol("decay", positive=True)
    leading = sympy.limit(found.weight.subs(kept, 1 - rate * decay) / (rate / (2 * decay)), decay, 0)
    assert leading == 1, "whatever beta1"


def test_the_sum_over_responses_is_the_same():
    """Another route: W is a sum of gradients times responses, whose squares are summed."""
    for kept, beta1 in ((0.9, 0.5), (0.99, 0.9), (0.9, 0.9)):
        response = (1 - beta1) * np.array([math.fsum(kept ** (i - j) * beta1**j for j in range(i + 1)) for i in range(1200)])
        own = AdamW(0.1, (1 - kept) / 0.1, beta1)
        close(float(np.sum(response**2)) * 0.01, own.variance_at_full_averaging, 1e-9)
        close(shared(kept, beta1, beta1) * 0.01, own.variance_at_full_averaging, 1e-12)


CASES = [
    (0.9, 0.999, 0.01, 2.0),
    (0.9, 0.95, 0.02, 1.0),
    (0.0, 0.95, 0.02, 1.0),
    (0.95, 0.95, 0.04, 0.5),
    (0.98, 0.95, 0.02, 1.0),
    (0.9, 0.5, 0.02, 1.0),
    (0.9, 0.95, 0.1, 0.5),
    (0.5, 0.9, 0.2, 1.0),
]


@pytest.mark.parametrize(("beta1", "beta2", "rate", "decay"), CASES)
def test_adamw_variance(beta1: float, beta2: float, rate: float, decay: float):
    own = AdamW(rate, decay, beta1, beta2)
    close(variance(own), own.variance)


def test_the_two_conventions_are_one_decay_per_step():
    coupled, independent = AdamW(0.04, 0.5, 0.9, 0.95), AdamW(0.04, 0.02, 0.9, 0.95, independent=True)
    close(variance(independent, seed=1), independent.variance)
    assert independent.variance == coupled.variance and independent.memory == coupled.memory == pytest.approx(50)
    assert independent.naive == pytest.approx(0.04**2 / (2 * 0.02))


def test_what_is_left_out_would_be_seen():
    """Negative controls: momentum, the normaliser and the convention each change the variance by more than the tolerance."""
    own = AdamW(0.02, 1.0, 0.98, 0.95)
    assert abs(own.naive / own.variance - 1) > 0.1
    assert abs(AdamW(0.02, 1.0, 0.0, 0.95).variance_at_full_averaging / AdamW(0.02, 1.0, 0.0, 0.95).variance - 1) > 0.03
    assert abs(AdamW(0.02, 1.0, independent=False).variance / AdamW(0.02, 0.5, independent=True).variance - 1) > 0.1


def test_other_laws_of_gradients():
    """Signs leave the normaliser constant, and kurtosis counts to first order."""
    own = AdamW(0.02, 1.0, 0.5, 0.98)
    signs = variance(own, noise=lambda random, count: random.choice([-1.0, 1.0], count))
    close(signs, own.variance_at_full_averaging)
    close(correction_to_first_order(0.5, 0.98, kurtosis=1.0), 1.0, 1e-12)
    heavy = variance(own, noise=lambda random, count: random.laplace(size=count))
    close(heavy, own.variance_at_full_averaging * correction_to_first_order(0.5, 0.98, kurtosis=6.0), 0.015)
    assert heavy < 0.98 * own.variance_at_full_averaging


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9, 0.98])
def test_the_normaliser_to_first_order(beta1: float):
    """Exact and first-order corrections differ by order (1 - beta2)^2; the latter is the dossier's."""
    off = [abs(correction(beta1, beta2) - correction_to_first_order(beta1, beta2)) / (1 - beta2) ** 2 for beta2 in (0.95, 0.99, 0.998)]
    assert max(off) < 4
    b1, b2 = sympy.symbols("beta1 beta2", positive=True)
    k, rho = (1 - b2) / (1 + b2), (1 - b1) / (1 + b1) * (1 + b1 * b2) / (1 - b1 * b2)
    dossier = 1 - 2 * (1 - b2) * (1 - b1) / (1 - b1 * b2) + sympy.Rational(3, 2) * k + k * rho / 2
    assert sympy.simplify(first_order().subs(sympy.Symbol("kurtosis", positive=True), 3) - dossier) == 0


def test_the_normaliser_without_averaging_over_steps():
    """beta1 = 0: ``E[g^2 / v]`` is the mean of a Beta-like ratio; at beta2 = 1/2 by direct sampling."""
    random = np.random.default_rng(0)
    squares = random.standard_normal((400_000, 30)) ** 2
    v = squares @ (0.5 ** (1 + np.arange(30)))
    close(float(np.mean(squares[:, 0] / v)), correction(0.0, 0.5), 0.005)
    close(mean_square_update(0.0, 0.5), correction(0.0, 0.5), 1e-12)
    with pytest.raises(ValueError, match=r"`beta2` 0\.3"):
        correction(0.9, 0.3)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.9, 0.95), (0.0, 0.95), (0.95, 0.99)])
def test_relative_update(beta1: float, beta2: float):
    own = AdamW(0.01, 1.0, beta1, beta2)
    run = Adam([own.rate] * 700, own.decay, beta1, beta2, weights=40000)
    sizes = np.array([(np.mean(u * u), np.mean(w * w)) for w, u in run.run(0)])[400:].mean(0)
    close(sizes[0], mean_square_update(beta1, beta2))
    close(own.rate * math.sqrt(sizes[0] / sizes[1]), own.relative_update)
    close(own.relative_update, math.sqrt(2 * own.rate * own.decay * (1 - beta1) / (1 + beta1)), 0.1)


def test_rotation_over_many_steps():
    """The cosine with an old weight: 1/e after a memory; a step turns by less than the update's size, as momentum points along."""
    own = AdamW(0.02, 1.0, 0.9, 0.999)
    run = Adam([own.rate] * 300, own.decay, 0.9, 0.999, start=math.sqrt(own.naive), weights=40000)
    kept = {step: w.copy() for step, (w, _) in enumerate(run.run(0)) if step in (240, 241, 250, 290)}
    for lag in (1, 10, 50):
        cosine = kept[240] @ kept[240 + lag] / np.linalg.norm(kept[240]) / np.linalg.norm(kept[240 + lag])
        assert abs(cosine - own.overlap(lag)) < 0.015
    close(AdamW(1e-4, 1.0).overlap(10000), math.exp(-1), 0.002)


def test_relaxation():
    own = AdamW(0.01, 1.0, 0.9, 0.999)
    start = 20 * own.naive
    run = Adam([own.rate] * 300, own.decay, 0.9, 0.999, start=math.sqrt(start), weights=40000)
    measured = [float(np.mean(w * w)) for w, _ in run.run(1)]
    for steps in (20, 100, 200, 300):
        close(measured[steps - 1], own.relaxed(steps, start), 0.02)  # the normaliser averages over 1000 steps: bias-corrected at first
        approximate = own.naive + (start - own.naive) * math.exp(-2 * steps / own.memory)
        close(own.relaxed(steps, start), approximate, 0.1)
    close(own.relaxed(round(own.time_to_forget(start)), start), own.variance_at_full_averaging * (1 + math.exp(-3)), 0.01)
    assert own.relaxed(0, start) == start and own.time_to_forget(1e-9) == 0


@pytest.mark.parametrize("shape", ["cosine", "linear", "warmup"])
def test_schedules(shape: str):
    """The exact recursion follows; the present ratio of rate and decay does not."""
    t = np.arange(1, 1001) / 1000
    factors = {"cosine": 0.05 + 0.475 * (1 + np.cos(np.pi * t)), "linear": 1.001 - t, "warmup": np.minimum(1, t / 0.8)}[shape]
    rates, decay = list(0.01 * factors), 1.0
    noise = correction(0.9, 0.95)
    expected = list(march(rates, [rate * decay for rate in rates], 0.9, noise=noise))
    measured = [float(np.mean(w * w)) for w, _ in Adam(rates, decay, 0.9, 0.95, weights=30000).run(3)]
    for step in (300, 600, 900, 1000):
        close(measured[step - 1], expected[step - 1], 0.02)  # 30000 weights: 0.8 % standard error
    if shape != "warmup":
        assert measured[-1] > 3 * rates[-1] / (2 * decay), "the weight remembers larger rates"
    assert stationarity(rates, decay) == pytest.approx(2 * sum(rates))


def test_a_constant_schedule_goes_to_the_fixed_point():
    own = AdamW(0.02, 1.0, 0.9)
    *_, last = march([own.rate] * 800, [own.forgotten] * 800, 0.9)
    close(last, own.variance_at_full_averaging, 1e-6)
    close(own.relaxed(5000, 3.0), own.variance_at_full_averaging, 1e-9)
    now = Moments(0.0, 0.0, 0.0).advanced(0.1, 0.9, 0.0)
    assert now == (pytest.approx(0.01), pytest.approx(-0.1), 1.0)


@pytest.mark.parametrize(("signal", "beta2"), [(0.1, 0.99), (0.3, 0.99), (0.3, 0.95)])
def test_signal_against_noise(signal: float, beta2: float):
    """The mean to 1 %, the noise around it to 1 % and to half of 1 - beta2, of whose order the formula is; it is not the naive one."""
    own = AdamW(0.02, 1.0, 0.9, beta2)
    strength = signal / math.sqrt(1 + signal**2)
    found = Signal(own, strength)
    run = Adam([own.rate] * 700, own.decay, 0.9, beta2, signal=signal, weights=40000)
    means, variances = np.array([(w.mean(), w.var()) for w, _ in run.run(5)])[350:].T
    close(float(means.mean()), found.mean, 0.01 if signal > 0.2 else 0.02)  # 40000 weights of deviation 0.1: 0.5 % of the smaller mean
    close(float(variances.mean()), found.variance, ONE_PERCENT + (1 - beta2) / 2)
    if signal > 0.2:
        assert variances.mean() < 0.96 * (1 - strength**2) * own.variance, "the normaliser takes from the mean what noise adds to it"


def test_the_strength_at_which_signal_and_noise_are_equal():
    own = AdamW(1e-3, 0.1, 0.9, 0.999)
    close(own.forgotten, 1e-4, 1e-12)
    close(own.equal_strength, math.sqrt(own.forgotten / 2), 0.01)
    assert own.equal_strength == pytest.approx(0.00707, rel=0.01), "0.7 % of the root mean square is enough"
    found = Signal(own, own.equal_strength)
    close(found.mean**2, found.variance, 0.01)


def test_bad_settings_are_named():
    for settings in ({"rate": 0.1, "decay": 0.0}, {"rate": 2.0, "decay": 1.0}, {"rate": 0.1, "decay": 1.5, "independent": True}):
        with pytest.raises(ValueError, match=f"rate {settings['rate']} and decay {settings['decay']} have no steady state"):
            AdamW(**settings)
    with pytest.raises(ValueError, match="`beta1` is 1"):
        AdamW(0.1, 0.1, beta1=1.0)


def test_momenta():
    """Correlations from the weights of gradients, against sums."""
    for momentum in (plain(0.9), nesterov(0.9), interpolated(0.9, 0.99), Momentum()):
        weights = np.concatenate([[momentum.now], momentum.past * momentum.ratio ** np.arange(3000)])
        assert momentum.variance == pytest.approx(weights @ weights)
        assert momentum.rho == pytest.approx(weights[1:] @ weights[:-1] / (weights @ weights))
        if momentum.rho:
            assert weights[5:] @ weights[:-5] / (weights @ weights) == pytest.approx(momentum.rho * momentum.ratio**4)
    assert plain(0.9).rho == pytest.approx(0.9) and interpolated(0.9, 0.9).rho == pytest.approx(0.9)


def test_normalisations():
    for rho in (-0.5, 0.2, 0.9):
        assert correlation(rho, arcsine) == pytest.approx(2 / math.pi * math.asin(rho), abs=1e-9)
        assert correlation(rho, linear) == rho
    assert free_arcsine(1) == pytest.approx((8 / (3 * math.pi)) ** 2)
    assert sum(free_arcsine(p) for p in range(1, 40000, 2)) == pytest.approx(1, abs=1e-4)
    assert sum(arcsine(p) for p in range(1, 40000, 2)) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("rho", [0.3, 0.8, 0.95])
def test_orthogonal_factors_correlate_by_the_free_arcsine_law(rho: float):
    """Of square Gaussian matrices; at width 96 within its finite-size term, which the arcsine and the linear law miss."""
    random = np.random.default_rng(0)
    one = random.standard_normal((12, 96, 96))
    two = rho * one + math.sqrt(1 - rho**2) * random.standard_normal(one.shape)
    measured = float((orthogonal(one) * orthogonal(two)).sum((1, 2)).mean() / 96)
    assert abs(measured - correlation(rho, free_arcsine)) < 0.005
    assert min(abs(measured - correlation(rho, other)) for other in (arcsine, linear)) > 0.015


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.99), (0.95, 0.98), (0.0, 0.9)])
def test_lion(beta1: float, beta2: float):
    own = lion(0.01, 1.0, beta1=beta1, beta2=beta2)
    steps = 1200
    run = Normalising(np.sign, (16000,), 0.01, 1.0, beta2, beta1, newest=False).run(0, steps)
    close(late((float(np.mean(w * w)) for w in run), steps), own.variance)
    if beta1:
        assert own.variance > 5 * own.naive, "signs of a momentum agree for many steps"
    else:
        assert own.variance == pytest.approx(0.01**2 / (1 - 0.99**2))


def test_lion_sees_signal_by_the_error_function():
    own = lion(0.02, 1.0)
    momentum, strength = interpolated(0.9, 0.99), 0.1
    normalise = lambda c: np.sign(c + strength)  # noqa: E731
    run = Normalising(normalise, (20000,), 0.02, 1.0, 0.99, 0.9, newest=False).run(0, 800)
    means = [float(w.mean()) for w in run][400:]
    close(-float(np.mean(means)) * own.decay, sign_of_signal(strength), 0.015)
    assert sign_of_signal(strength) == pytest.approx(math.erf(strength / math.sqrt(2 * momentum.variance)))
    assert sign_of_signal(5.0) == pytest.approx(1)


@pytest.mark.parametrize("momentum", ["none", "plain", "nesterov"])
def test_muon(momentum: str):
    """Mean square of singular values, of width 64 within its finite-size term; momentum makes it ten times larger."""
    beta, mix = {"none": (0.0, 1.0), "plain": (0.9, 1.0), "nesterov": (0.9, 0.9)}[momentum]
    own = muon(0.05, 1.0, momentum={"none": Momentum(), "plain": plain(0.9), "nesterov": nesterov(0.9)}[momentum])
    run = Normalising(orthogonal, (4, 64, 64), 0.05, 1.0, beta, mix).run(0, 400)
    close(late((float((w**2).sum((1, 2)).mean() / 64) for w in run), 400, 0.75), own.variance)
    assert own.variance > (5 if beta else 1) * own.naive
    default = muon(0.05, 1.0)
    assert default.momentum == nesterov(0.95) and default.variance > own.variance


def test_top_singular_value_of_muon():
    """Free unitaries: 2 sqrt(rate / (2 decay)) to leading order and less at large rates; it does not grow with the width."""
    for rate, tolerance in ((0.02, 0.006), (0.2, 0.06)):
        close(top_of_fresh(rate, 1.0), 2 * math.sqrt(rate / 2), tolerance)
    edge = top_of_fresh(0.05, 1.0)
    measured = []
    for width in (24, 48, 96):
        *_, w = Normalising(orthogonal, (4, width, width), 0.05, 1.0).run(width, 160)
        measured.append(float(np.mean(np.linalg.norm(w, 2, axis=(1, 2)))))
        assert abs(measured[-1] / edge - 1) < 1.5 * width ** (-2 / 3), "the edge's finite-size term"
    close(measured[-1], edge, 0.05)
    *_, wide = Normalising(orthogonal, (4, 32, 128), 0.05, 1.0).run(0, 160)
    close(float(np.mean(np.linalg.norm(wide, 2, axis=(1, 2)))), top_of_fresh(0.05, 1.0, out=32, inn=128), 0.06)
    assert top_of_persistent(0.5, scale=0.2) == 0.4
    *_, same = Normalising(lambda g: orthogonal(np.ones_like(g) + np.eye(8)), (1, 8, 8), 0.05, 0.5).run(0, 400)
    close(float(np.linalg.norm(same[0], 2)), top_of_persistent(0.5), 1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_spheres(beta: float):
    own = Sphere(0.05, plain(beta))
    old, cosines = None, []
    for step, w in enumerate(Normalising(unit, (8, 2000), 0.05, 0.0, beta, sphere=True).run(0, 1000)):
        if old is not None and step > 200:
            cosines.append((w * old).sum(1).mean())
        old = w
    close(math.acos(float(np.mean(cosines))), own.angle)
    if not beta:
        assert own.angle == pytest.approx(math.atan(0.05)) and own.kept == pytest.approx(1 / math.sqrt(1 + 0.05**2))
    else:
        assert own.angle < 0.95 * math.atan(0.05), "momentum points along the last steps"
    turned = Normalised(own.rate, own.decay, plain(beta), linear).relative_update
    close(turned, own.rate, 0.06)  # AdamW at the decay that the sphere implies turns as far


def test_decay_on_a_sphere_does_nothing():
    """To first order in rate times decay; exactly it is another rate."""
    own = Sphere(0.02, plain(0.9))
    assert own.with_decay(0.1).angle == pytest.approx(own.angle, rel=0.003)
    one, two = (
        list(Normalising(unit, (2, 500), rate, decay, 0.9, sphere=True).run(0, 50))[-1] for rate, decay in ((0.02, 5.0), (0.02 / 0.9, 0.0))
    )
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_coherence_counts_steps():
    assert coherence(0.9, Momentum(), arcsine) == 1
    assert coherence(1 - 1e-9, plain(0.9), linear) == pytest.approx(19), "(1 + beta) / (1 - beta)"
