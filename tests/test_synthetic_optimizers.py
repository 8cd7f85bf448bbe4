"""Stacked optimizers against torch.optim, one replica after the other."""

import pytest
import torch
from widelimit.synthetic import make_update, optimizers

RATES = [0.01, 0.1, 0.3]
SHAPES = [(5, 4), (4,), (2, 3, 3)]


def problem(dtype: torch.dtype = torch.float64):
    """Stacked parameters, groups with their own rate, epsilon and decay, and ten gradients of different sizes."""
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(3, *shape, generator=generator, dtype=dtype)

    parameters = [torch.nn.Parameter(draw(s)) for s in SHAPES]
    groups = [
        {"params": [p], "lr": 1.0 / (i + 1), "eps": 1e-3 * i, "weight_decay": 0.1 * i, "name": str(i)} for i, p in enumerate(parameters)
    ]
    return groups, [[draw(s) * 0.1**i for i, s in enumerate(SHAPES)] for _ in range(10)]


@pytest.mark.parametrize(
    ("name", "settings", "reference"),
    [
        ("sgd", {}, lambda groups: torch.optim.SGD(groups)),
        ("sgd", {"momentum": 0.9}, lambda groups: torch.optim.SGD(groups, momentum=0.9)),
        ("adam", {"betas": (0.8, 0.95)}, lambda groups: torch.optim.AdamW(groups, betas=(0.8, 0.95))),
        ("adamw", {}, lambda groups: torch.optim.AdamW(groups)),
    ],
    ids=["sgd", "momentum", "adam", "adamw"],
)
def test_every_replica_moves_as_in_torch(name: str, settings: dict, reference):
    groups, gradients = problem()
    decayed = name == "adamw" or settings == {}  # torch couples the decay of SGD with its momentum
    for group in groups:
        group["weight_decay"] *= decayed
    start = [g["params"][0].detach().clone() for g in groups]
    update = make_update(name, groups, RATES, **settings)
    for step, gradient in enumerate(gradients):
        update.step(gradient, factor=1.0 if step % 2 else 0.5)
    for r in range(3):
        copies = [
            {"params": [torch.nn.Parameter(s[r].clone())], "lr": g["lr"] * RATES[r], "weight_decay": g["weight_decay"]}
            | ({"eps": g["eps"]} if name.startswith("adam") else {})
            for g, s in zip(groups, start)
        ]
        torch_optimizer = reference(copies)
        rates = [g["lr"] for g in torch_optimizer.param_groups]
        for step, gradient in enumerate(gradients):
            for group, rate, g in zip(torch_optimizer.param_groups, rates, gradient):
                group["lr"] = rate * (1.0 if step % 2 else 0.5)
                group["params"][0].grad = g[r].clone()
            torch_optimizer.step()
        for group, copy in zip(groups, copies):
            torch.testing.assert_close(group["params"][0][r], copy["params"][0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_frozen_replicas_are_zero_and_the_others_do_not_notice(name: str):
    results = []
    for freeze in (False, True):
        groups, gradients = problem()
        update = make_update(name, groups, RATES)
        for step, gradient in enumerate(gradients):
            if freeze and step == 5:
                for g in gradient:
                    g[1] = torch.nan
            update.step(gradient)
            if freeze and step == 5:
                update.freeze(torch.tensor([False, True, False]))
        results.append([g["params"][0].detach() for g in groups])
    for plain, frozen in zip(*results):
        assert torch.equal(plain[[0, 2]], frozen[[0, 2]])
        assert not frozen[1].any()


def test_rates_must_be_one_per_replica():
    groups, _ = problem()
    with pytest.raises(ValueError, match="3 replicas"):
        make_update("sgd", groups, [0.1, 0.2])


def test_an_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match="`kfac` cannot be executed; choose from sgd, momentum, nesterov, adam"):
        make_update("kfac", [])


@pytest.mark.parametrize("factor", [0.5, torch.tensor([0.5, 1.0, 0.25])], ids=["one", "each"])
def test_large_parameters_move_as_small_ones_do(monkeypatch: pytest.MonkeyPatch, factor: float | torch.Tensor):
    ends = []
    for large in (10**9, 1):
        monkeypatch.setattr(optimizers, "LARGE", large)
        groups, gradients = problem()
        update = make_update("adamw", groups, RATES)
        for step, gradient in enumerate(gradients):
            update.step(gradient, factor)
            if step == 5:
                update.freeze(torch.tensor([False, True, False]))
        ends.append([g["params"][0].detach() for g in groups])
    for stacked, alone in zip(*ends, strict=True):
        torch.testing.assert_close(stacked, alone, rtol=1e-12, atol=1e-12)
        assert not alone[1].any()
