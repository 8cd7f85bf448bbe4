"""Limits of mixtures of experts: their coefficients, dense networks as special cases, adjoint matrices, networks, bad input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from widelimit.dmft import Problem, Result, Rule, Settings, SolveError, run, solve
from widelimit.dmft.coordinates import coordinates
from widelimit.dmft.gates import Gate
from widelimit.dmft.replicates import begin
from widelimit.dmft.scales import scales_of
from widelimit.paper_repro.limits.finite import networks
from widelimit.paper_repro.limits.mixtures import BASES, RATES, mixture
from widelimit.paper_repro.limits.points import sphere
from widelimit.synthetic.store import Store
from widelimit.theory.architecture import with_init
from widelimit.theory.constants import Constants, WeightConstants
from widelimit.theory.derivation import derive
from widelimit.theory.experts import REGIMES, moe
from widelimit.theory.scales import Powers
from widelimit.theory.zoo import mlp

# variances of noise (arXiv 2605.14200's limits; `lam` = n/(E m), `ratio` = m/n): router, up, down, each forward and backward
NOISE = {
    ("I", "mup"): lambda lam, ratio, e, n: (0, 1 / e, 1, lam, 1 / e, ratio),
    ("I", "mssp"): lambda lam, ratio, e, n: (0, 0, 1, lam, 1 / e, ratio),
    ("II", "mup"): lambda lam, ratio, e, n: (1, n / e, 1, lam, 0, 0),
    ("II", "mssp"): lambda lam, ratio, e, n: (1, n / e, 1, lam, 1, 1 / lam),
    ("III", "mup"): lambda lam, ratio, e, n: (1, n / e, 1, 0, 0, ratio),
    ("III", "mssp"): lambda lam, ratio, e, n: (1, n / e, 1, 1 / ratio, 1, ratio),
}


@pytest.mark.parametrize(("regime", "name"), NOISE)
def test_six_limits_keep_the_terms_of_their_tables(regime: str, name: str):
    p = mixture(regime, name)
    n, m, e = (BASES[regime][axis] for axis in ("n", "m", "E"))
    found = [float(gain) ** 2 for pair in scales_of(p, 0.0).gains for gain in pair]
    np.testing.assert_allclose(found, NOISE[regime, name](n / (e * m), m / n, e, n), atol=1e-12)
    rates = scales_of(p, 0.0).rates.learning
    assert [float(rate) for rate in rates.hidden] == pytest.approx([0.5 * RATES[w] for w in ("router", "up", "down")])


def linear(regime: str, name: str, **more) -> Problem:
    """A mixture of identity neurons whose gates stay at 1/2, which doubled matrices make up for: a dense linear network."""
    base = {"n": 16, "m": 16, "E": 1 if regime == "I" else 4}
    shared = {"up": "shared", "down": "shared"} if regime == "III" else {}
    net = with_init(moe(residual=False, activation="identity", inputs=10, outputs=1, base=base), router="zero", **shared)
    start = with_init(moe(residual=False, activation="identity", inputs=10, outputs=1, base=base), router="zero", readout="zero", **shared)
    table = derive(start, "sgd", desiderata="mssp", regime=REGIMES[regime]) if regime == "I" else _kept(start, regime)
    readout = replace(table.row("readout"), zero_init=False, init_std=Powers(scale=-1))
    table = replace(table, rows=tuple(readout if row.weight == "readout" else row for row in table.rows))
    n, m, e = (float(base[a]) for a in ("n", "m", "E"))
    std = {"embed": 10**-0.5, "router": 0.0, "up": n**-0.5, "down": 2 * m**-0.5, "readout": 1 / n}
    rate = {"embed": n / 10, "router": 0.0, "up": e * m / n, "down": 4 * e * n / m, "readout": 1 / n}
    weights = {w: WeightConstants(learning_rate=rate[w], init_std=std[w]) for w in std}
    constants = Constants(weights, 0.2, {"aggregate": 1 / e})
    return Problem(net, *sphere(), 8, constants, table=table, base=base, **more)


def _kept(net, regime):
    """III with a router of zero is not derived (its experts stay equal); rows are those with a Gaussian router."""
    own = with_init(net, router="gaussian")
    table = derive(own, "sgd", desiderata="mssp", regime=REGIMES[regime])
    return replace(table, rows=tuple(replace(row, zero_init=row.zero_init or row.weight == "router") for row in table.rows))


@pytest.mark.parametrize("regime", ["I", "III"])
def test_linear_experts_with_constant_gates_are_a_dense_linear_network(regime: str):
    net = mlp(hidden=3, inputs=10, outputs=1, activation="identity", base=1)
    std = {w.name: 10**-0.5 if not i else 1.0 for i, w in enumerate(net.weights.values())}
    weights = {name: WeightConstants(learning_rate=s**2, init_std=s) for name, s in std.items()}
    dense = solve(Problem(net, *sphere(), 8, Constants(weights, 0.2)))
    assert dense.stats["method"] == "exact"
    mixed = linear(regime, "mssp")
    predictions = run(mixed, Settings(particles=512), range(6)).train
    error = predictions.std(0, ddof=1) / 6**0.5
    assert (np.abs(predictions.mean(0) - dense.predictions.value) < 5 * error + 4e-3).all()
    without = run(mixed, Settings(particles=512, responds=False), range(2)).train.mean(0)
    assert np.abs(without - dense.predictions.value).max() > 0.03


def test_matrices_and_their_transposes_are_adjoint():
    """<c, W u> = <W^T c, u>, with initial values that experts share as well."""
    import jax

    p = mixture("III", "mssp")
    state = begin(p, Settings(particles=64), [0])
    one = jax.tree.map(lambda leaf: leaf[0], state)
    scales = scales_of(p, 1e-12)
    network, parameters = one.network, one.parameters
    inputs, _ = coordinates(p.inputs, None)
    network, passed = network.forward(parameters, jax.numpy.asarray(inputs), scales)
    network, back = network.backward(parameters, passed, jax.numpy.ones((4, 1)), scales)
    c, u, deltas = back.deltas[2], passed.features[0], back.deltas
    for role, left, right, ends in ((1, c, u, (0, 2)), (2, deltas[3], passed.features[2], (2, 0)), (0, deltas[1], u, (0, 1))):
        network, images, _ = network._apply(0, role, right, parameters, scales)
        network, back, _ = network._apply(0, role, left, parameters, scales, transposed=True)
        inner = [population.inner for population in network.populations]
        np.testing.assert_allclose(inner[ends[1]](left, images), inner[ends[0]](back, right), atol=2e-5)


def test_gates_pull_as_they_are_differentiated():
    import jax
    import jax.numpy as jnp

    logits = jnp.asarray(np.random.default_rng(0).standard_normal((3, 8)))
    use = jnp.asarray(np.random.default_rng(1).standard_normal((3, 8)))
    for gate in (Gate(), Gate("softmax"), Gate(active=0.5), Gate("softmax", 0.25)):
        value = lambda x, gate=gate: (gate.gates(x) * use).sum()  # noqa: E731
        np.testing.assert_allclose(gate.pull(logits, gate.gates(logits), use), jax.grad(value)(logits), atol=1e-12)
        assert (np.asarray(gate.gates(logits)) > 0).mean() == gate.active


@pytest.mark.parametrize("case", [("I", "mup", {}), ("II", "mssp", {"active": "1/2"}), ("III", "mssp", {})])
def test_networks_have_the_loss_of_the_limit(case: tuple, tmp_path: Path):
    regime, name, more = case
    p = mixture(regime, name, steps=8, **more)
    limit = run(p, Settings(particles=256, dtype="float32"), range(4))
    curve = ((limit.train - p.values) ** 2).mean((0, 2, 3)) / 2
    seeds = {64: 64, 128: 64} if regime == "III" else {128: 64, 256: 64}
    found = networks(p, seeds, Store(tmp_path), case="", progress=lambda line: None)
    (first, second) = (found.losses[n] for n in sorted(seeds))
    error = np.hypot(2 * second.std(0), first.std(0)) / 8
    assert (np.abs(2 * second.mean(0) - first.mean(0) - curve) < 4 * error + 0.01).all()
    off = run(p, Settings(particles=256, dtype="float32", responds=False), range(2)).train
    assert np.abs(((off - p.values) ** 2).mean((0, 2, 3)) / 2 - second.mean(0)).max() > 0.1


@pytest.mark.parametrize("regime", ["II", "III"])
def test_mup_never_leaves_its_start_without_a_readout(regime: str):
    """w = 0 and m = 0 is a fixed point of the limit where many experts grow; under maximal scale stability it is none."""
    stuck, free = (mixture(regime, name, readout="zero", steps=6) for name in ("mup", "mssp"))
    one, other = (run(p, Settings(particles=128, dtype="float32"), [0]).train for p in (stuck, free))
    assert np.abs(one).max() < 1e-6 and np.abs(other[:, -1]).max() > 0.1


def test_solve_bounds_its_error_and_keeps_router_logits():
    p = mixture("II", "mup", steps=3)
    found = solve(p, error=0.01, at=[0, 3])
    assert found.result is Result.successful and found.loss.bound <= 0.01
    logits = found.fields[2, 0].before
    assert logits.shape[0] == 4 and abs(logits.std() - 1) < 0.05
    np.testing.assert_allclose(found.kernel(1, 0), p.inputs @ p.inputs.T / 10, atol=1e-5)


def test_batches_momentum_and_decay_have_limits():
    index = np.array([[0, 1], [2, 3], [1, 2], [0, 3], [0, 1]])
    p = mixture("II", "mssp", steps=4, index=index, rule=Rule(momentum=0.5))
    decayed = p.with_constants(p.constants.with_weights(weight_decay=0.05))
    assert p.table is not None
    never = replace(decayed, table=replace(p.table, rows=tuple(replace(row, decayed=False) for row in p.table.rows)))
    values = [run(one, Settings(particles=128), [0]).train for one in (p, decayed, never)]
    assert np.isfinite(values).all() and np.abs(values[0] - values[1]).max() > 1e-4
    np.testing.assert_array_equal(values[0], values[2])


def _changed(p: Problem) -> Problem:
    assert p.table is not None
    return replace(p, table=p.table.changed("router", init_std=Powers()))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: mixture("I", "mup", active="1/2"), "let E grow"),
        (lambda: mixture("II", "mup", rule=Rule("adam")), "`adam` has no limit for mixtures"),
        (lambda: replace(mixture("II", "mup"), table=replace(mixture("II", "mup").table, regime=None)), "derive it in a regime"),
        (lambda: replace(mixture("II", "mup"), table=None), "give its `table`"),
        (lambda: solve(mixture("II", "mup"), method="lazy"), "`lazy` is for dense networks"),
        (lambda: _changed(mixture("II", "mup")), "no limit: router forward grows as scale"),
    ],
)
def test_bad_input_is_named(made, said: str):
    with pytest.raises(ValueError, match=said):
        assert made().layout


def test_divergence_is_said():
    with pytest.raises(SolveError, match="diverges"):
        solve(mixture("II", "mssp", rate=8.0))
