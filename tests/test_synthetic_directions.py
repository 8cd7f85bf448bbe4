"""Matrix optimizers: their directions in linear algebra, and their derived tables on networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from widelimit.paper_repro.check import Settings, expect, run_check
from widelimit.synthetic import make_update
from widelimit.synthetic.directions import BLOCK, RULES, blocked, factored, find_rule, rms, singular, spectral
from widelimit.synthetic.optimizers import EXECUTED
from widelimit.theory.derivation import derive
from widelimit.theory.optimizers import find_optimizer
from widelimit.theory.zoo import gpt, mlp

SUITE = ("muon", "lamb", "soap-one-sided", "shampoo", "column-normalised")


def low_rank(out: int, inn: int, rank: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(batch, *shape, generator=generator, dtype=torch.float64) for shape in ((out, rank), (rank, inn)))
    return left @ right


@pytest.mark.parametrize(("out", "inn", "rank"), [(5, 9, 3), (200, 300, 12), (200, 300, 100), (300, 1, 1)])
def test_the_polar_factor_has_unit_singular_values_on_the_range(out: int, inn: int, rank: int):
    g = low_rank(out, inn, rank)
    p = spectral(g)
    values = torch.linalg.svdvals(p)
    assert torch.allclose(values[:, :rank], torch.ones_like(values[:, :rank]), atol=1e-8)
    assert not (values[:, rank:] > 1e-8).any()
    assert torch.allclose((p.mT @ g), (p.mT @ g).mT, atol=1e-8)  # p^T g is the symmetric root of g^T g
    u, s, vh = singular(g)
    assert torch.allclose((u * s[..., None, :]) @ vh, g, atol=1e-8)


def test_rounding_in_single_precision_is_no_singular_value():
    g = low_rank(200, 300, 12)
    for out in (200, 90):  # with and without a sketch
        single, double = spectral(g[:, :out].float()), spectral(g[:, :out])
        assert (single.double() - double).norm() < 1e-3 * double.norm()


def test_a_small_matrix_beside_a_large_one_is_as_exact():
    g = low_rank(200, 300, 100)
    g[1] *= 1e-12
    assert torch.allclose(torch.linalg.svdvals(spectral(g))[1, :100], torch.ones(100, dtype=torch.float64))


@pytest.mark.parametrize("name", ["muon", "soap-one-sided", "shampoo", "swan", "lars"])
def test_a_replica_that_diverged_stays_diverged_and_leaves_the_others_alone(name: str):
    p, groups = parameter((2, 150, 140), (1, 1))
    alone, group = parameter((2, 150, 140), (1, 1))
    g = low_rank(150, 140, 7)
    make_update(name, group).step([g])
    g[1, 0, 0] = torch.inf
    make_update(name, groups).step([g])
    assert not torch.isfinite(p[1]).all() and torch.allclose(p[0], alone[0])


def test_shampoos_powers_interpolate_between_gradient_and_polar_factor():
    g = low_rank(6, 5, 5)
    rule = find_rule("shampoo:0,0")
    assert rule is not None and torch.allclose(rule.direction(g), g)
    rule = find_rule("shampoo")
    assert rule is not None and torch.allclose(rule.direction(g), spectral(g))
    values, vectors = torch.linalg.eigh(g.mT @ g)
    quarter = vectors @ torch.diag_embed(values.clamp_min(1e-30) ** -0.25) @ vectors.mT
    rule = find_rule("shampoo:0,1/4")
    assert rule is not None and torch.allclose(rule.direction(g), g @ quarter, atol=1e-8)
    with pytest.raises(ValueError, match="needs its damping"):
        find_rule("shampoo:1/2,1/2")


def parameter(shape: tuple[int, ...], split: tuple[int, int], decay: float = 0.0) -> tuple[torch.nn.Parameter, list[dict]]:
    p = torch.nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    return p, [{"params": [p], "lr": 0.1, "eps": 1e-8, "weight_decay": decay, "split": split}]


def test_index_dimensions_are_a_batch_of_matrices():
    p, groups = parameter((3, 2, 4, 5), (2, 1))
    before, g = p.detach().clone(), torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    make_update("muon", groups).step([g])
    for i in range(3):
        for k in range(2):
            assert torch.allclose((before - p)[i, k] / 0.1, spectral(g[i, k]))


def test_a_sphere_keeps_the_norm_and_relative_updates_follow_the_parameter():
    p, groups = parameter((2, 4, 5), (1, 1))
    before, g = p.detach().clone(), torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    make_update("hyperball", groups).step([g])
    assert torch.allclose(rms(before), rms(p.detach())) and not torch.allclose(before, p.detach())
    p, groups = parameter((2, 4, 5), (1, 1))
    make_update("lars", groups).step([g])
    assert torch.allclose(rms(before - p.detach()), 0.1 * rms(before))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("nesterov", lambda q: torch.optim.SGD([q], lr=0.1, momentum=0.9, nesterov=True)),
        ("adagrad", lambda q: torch.optim.Adagrad([q], lr=0.1, eps=1e-8)),
    ],
)
def test_steps_are_as_in_torch(name: str, make: Callable[[torch.nn.Parameter], torch.optim.Optimizer]):
    p, groups = parameter((1, 4, 5), (1, 1))
    q = torch.nn.Parameter(p.detach()[0].clone())
    mine, theirs = make_update(name, groups), make(q)
    for seed in range(4):
        g = torch.randn(1, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        mine.step([g])
        q.grad = g[0]
        theirs.step()
    assert torch.allclose(p[0], q)


def test_adopt_divides_by_the_gradients_before():
    """Its first gradient is divided by itself; one ten times as large by the first, and cut at the fourth root of the step."""
    p, groups = parameter((1, 4, 5), (1, 1))
    g = torch.randn(1, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    optimizer, places = make_update("adopt", groups), [p.detach().clone()]
    for times in (1.0, 10.0, 0.1):
        optimizer.step([times * g])
        places.append(p.detach().clone())
    mean = 0.1 * g.sign()
    assert torch.allclose(places[0] - places[1], 0.1 * mean)
    mean = 0.9 * mean + 0.1 * 2**0.25 * g.sign()
    assert torch.allclose(places[1] - places[2], 0.1 * mean)
    mean = 0.9 * mean + 0.1 * (0.1 / (0.9999 + 0.0001 * 100) ** 0.5) * g.sign()
    assert torch.allclose(places[2] - places[3], 0.1 * mean)


def test_independent_decay():
    p, groups = parameter((1, 4, 5), (1, 1), decay=0.01)
    before = p.detach().clone()
    make_update("adamw-independent", groups).step([torch.zeros(1, 4, 5, dtype=torch.float64)])
    assert torch.allclose(p.detach(), before * 0.99)


def test_factored_second_moments():
    """A gradient of rank one is a matrix of signs, as for Adam."""
    left, right = (torch.randn(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (6, 7))
    g = torch.outer(left, right)
    assert torch.allclose(factored(g), g.sign())
    assert not factored(torch.zeros(2, 3)).any()


@pytest.mark.parametrize("shape", [(BLOCK, BLOCK), (40, 24), (3, 50), (1, 5)])
def test_blocks_are_polar_factors_of_their_own(shape: tuple[int, int]):
    g = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = blocked(g, 0.0)
    for i in range(0, shape[0], BLOCK):
        for j in range(0, shape[1], BLOCK):
            block = (..., slice(i, i + BLOCK), slice(j, j + BLOCK))
            assert torch.allclose(found[block], spectral(g[block]))


def test_every_executed_optimizer_has_a_table():
    assert all(find_optimizer(name) for name in EXECUTED)
    assert all(find_optimizer(name).relative == rule.relative for name, rule in RULES.items())


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SUITE else pytest.mark.slow) for n in EXECUTED])
def test_slopes_under_the_derived_table(name: str):
    net = mlp(activation="gelu")
    found = run_check(net, derive(net, name), Settings((64, 128, 256, 512), 6, (1, 2, 3)))
    assert found.kind == "feature learning"
    assert found.missed.empty, found.missed.to_string()
    assert (found.rows["verdict"] == "agrees").mean() > 0.5


@pytest.mark.parametrize(("trained", "table"), [("muon", "adam"), ("adam", "muon"), ("lamb", "adam"), ("soap-one-sided", "muon")])
def test_the_table_of_another_optimizer_misses(trained: str, table: str):
    net = mlp(activation="gelu")
    right, wrong = derive(net, trained), derive(net, table)
    for row in wrong.rows:
        right = right.changed(row.weight, learning_rate=row.learning_rate)
    found = run_check(net, right, Settings((64, 128, 256), 4, (1,)), promise=expect(net, derive(net, trained), (1,)))
    assert not found.missed.empty


@pytest.mark.slow
@pytest.mark.parametrize("name", ["muon", "lion", "lars"])
def test_slopes_of_a_transformer(name: str):
    net = gpt(vocab=16)
    found = run_check(net, derive(net, name), Settings((64, 128, 256, 512), 8, (1, 2, 3)))
    assert found.missed.empty, found.missed.to_string()
