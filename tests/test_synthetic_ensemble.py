"""Ensembles: a replica alone is itself in the ensemble, divergence is a result, keys see what matters."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from widelimit.synthetic import (
    Ensemble,
    Task,
    build,
    default_task,
    digits,
    losses,
    make_update,
    network,
    optimizers,
    teacher,
    train,
    training,
)
from widelimit.synthetic.ensemble import log_spaced, schedule_factor
from widelimit.synthetic.losses import sample_losses
from widelimit.synthetic.store import make_key
from widelimit.synthetic.training import fitting_replicas
from widelimit.theory.architecture import Architecture
from widelimit.theory.constants import Constants
from widelimit.theory.experts import moe
from widelimit.theory.scales import Powers
from widelimit.theory.table import ExponentTable, Operation, Row, Shape
from widelimit.theory.zoo import gpt, mlp, resmlp


def standard(architecture: Architecture, optimizer: str) -> ExponentTable:
    """All powers zero."""
    rows = tuple(Row(name, Shape()) for name in architecture.weights)
    operations = (Operation(o.name, o.kind, Powers()) for o in architecture.operations)
    return ExponentTable(architecture.name, optimizer, rows, tuple(operations))


def ensemble(architecture: Architecture, optimizer: str = "sgd", **settings) -> Ensemble:
    given = {"sizes": {"n": 16}, "learning_rates": (0.03, 0.1), "seeds": (0, 1), "steps": 20, "batch": 8, **settings}
    task = given.pop("task", None) or default_task(architecture)
    return Ensemble(architecture, standard(architecture, optimizer), task, **given)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("architecture", "optimizer", "rates"),
    [(mlp(), "sgd", (0.03, 0.1)), (resmlp(), "adam", (1e-3, 1e-2)), (gpt(vocab=11, positions=6), "adamw", (1e-3, 1e-2))],
    ids=["mlp", "resmlp", "gpt"],
)
def test_a_replica_alone_equals_itself_in_the_ensemble(architecture: Architecture, optimizer: str, rates, dtype: str):
    """To 1e-5 in float32 and 1e-10 in float64 over 20 steps (DESIGN section 7)."""
    together = train(ensemble(architecture, optimizer, learning_rates=rates, dtype=dtype, task=small(default_task(architecture))))
    alone = train(
        ensemble(architecture, optimizer, learning_rates=rates[1:], seeds=(1,), dtype=dtype, task=small(default_task(architecture)))
    )
    same = together[(together["hp.learning_rate"] == rates[1]) & (together.seed == 1)].reset_index(drop=True)
    assert len(same) == len(alone) > 0
    np.testing.assert_allclose(same.value, alone.value, rtol=1e-5 if dtype == "float32" else 1e-10)


def small(task: Task, validation: int = 16) -> Task:
    """A few validation samples are enough here."""
    return replace(task, inputs=task.inputs[: task.train + validation], targets=task.targets[: task.train + validation])


def test_losses_are_those_of_a_plain_loop_in_torch():
    spec = ensemble(
        mlp(activation="tanh"),
        learning_rates=(0.05,),
        seeds=(3,),
        dtype="float64",
        schedule="linear",
        warmup=2,
        task=small(digits(), 150),
    )
    built = build(spec.architecture, spec.table, Constants.default(spec.architecture), sizes=spec.sizes, seed=3, dtype=torch.float64)
    weights = [torch.nn.Parameter(w[0].detach().clone()) for w in built.network.parameters()]
    optimizer = torch.optim.SGD(weights, 0.05)
    x, y = torch.as_tensor(spec.task.inputs), torch.as_tensor(spec.task.targets)

    def loss(samples) -> torch.Tensor:
        h = x[samples]
        for w in weights[:-1]:
            h = torch.tanh(h @ w.T)
        return torch.nn.functional.cross_entropy(h @ weights[-1].T, y[samples])

    expected = {"train loss": {}, "validation loss": {}}
    for step in range(21):
        now = loss(spec.batches[step])
        expected["train loss"][step] = now.item()
        expected["validation loss"][step] = loss(range(spec.task.train, len(x))).item()
        optimizer.param_groups[0]["lr"] = 0.05 * min(1, (step + 1) / 3) * (1 - step / 20)
        optimizer.zero_grad()
        now.backward()
        optimizer.step()
    for row in train(spec).itertuples():
        assert row.value == pytest.approx(expected[row.term][row.step], rel=1e-10)


def test_a_diverging_run_is_infinite_from_then_on_and_does_not_disturb_the_others():
    frame = train(ensemble(mlp(), learning_rates=(0.1, 1e6), seeds=(0,)))
    calm = train(ensemble(mlp(), learning_rates=(0.1,), seeds=(0,)))
    good, bad = (frame[frame["hp.learning_rate"] == rate] for rate in (0.1, 1e6))
    np.testing.assert_allclose(good.value, calm.value, rtol=1e-5)
    assert good.diverged_at.isna().all()
    at = bad.diverged_at.unique()
    assert len(at) == 1 and 1 <= at[0] <= 3
    assert np.isinf(bad.value[bad.step >= at[0]]).all() and np.isfinite(bad.value[bad.step < at[0]]).all()


@pytest.mark.parametrize("std", [1e10, 1e30], ids=["infinite", "nan"])
def test_a_loss_that_is_not_finite_at_initialisation_diverges_at_step_zero(std: float):
    constants = Constants.default(mlp()).with_weights(init_std=std)
    frame = train(ensemble(mlp(), constants=constants, steps=3, task=teacher(inputs=64, outputs=10, samples=40)))
    assert (frame.diverged_at == 0).all() and np.isinf(frame.value).all()


def test_losses_are_means_over_positions_and_halves_of_squares():
    output = torch.randn(2, 3, 5, 4)
    squared = sample_losses(output, torch.ones(3, 5, 4), "squared")
    torch.testing.assert_close(squared, ((output - 1) ** 2).sum(-1).mean(-1) / 2)
    classes = torch.randint(4, (3, 5))
    chosen = torch.log_softmax(output, -1).gather(-1, classes.expand(2, 3, 5)[..., None])[..., 0]
    torch.testing.assert_close(sample_losses(output, classes, "cross-entropy"), -chosen.mean(-1))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5)], ids=["classes", "positions"])
def test_few_classes_have_the_losses_and_gradients_of_many(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]):
    found = []
    for register in (64, 0):
        monkeypatch.setattr(losses, "REGISTER", register)
        generator = torch.Generator().manual_seed(0)
        output = torch.randn(*shape, 10, generator=generator).requires_grad_()
        loss = sample_losses(output, torch.randint(10, shape[1:], generator=generator), "cross-entropy")
        found.append((loss, torch.autograd.grad(loss.sum(), output)[0]))
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-7)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("architecture", [mlp(), gpt(vocab=11, positions=6), resmlp()], ids=lambda a: a.name)
def test_cuda_agrees_with_the_cpu(architecture: Architecture, optimizer: str):
    rates = (0.03, 1e6) if optimizer == "sgd" else (0.001, 0.01)
    spec = ensemble(architecture, optimizer, learning_rates=rates, dtype="float64")
    cpu, cuda = train(spec), train(spec, device="cuda")
    np.testing.assert_allclose(cuda.value, cpu.value, rtol=1e-8)


def test_chunks_do_not_change_results():
    spec = ensemble(mlp(), task=teacher(inputs=64, outputs=10, samples=40), dtype="float64")
    one, other = (train(spec, chunk=c).sort_values(["term", "hp.learning_rate", "seed", "step"]) for c in (1, 4))
    np.testing.assert_allclose(one.value, other.value, rtol=1e-10)
    assert fitting_replicas(spec) == 4


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_large_networks_are_trained_one_by_one_and_as_small_ones(monkeypatch: pytest.MonkeyPatch, optimizer: str):
    """What exceeds the caches is not trained together; one of the networks diverges."""
    spec = ensemble(mlp(), optimizer, learning_rates=(0.03, 1e6), dtype="float64", task=small(default_task(mlp())))
    together = train(spec)
    monkeypatch.setattr(training, "_MEMORY", 1)
    monkeypatch.setattr(optimizers, "LARGE", 1)
    assert fitting_replicas(spec) == 1
    one_by_one = train(spec)
    keys = ["term", "hp.learning_rate", "seed", "step"]
    one, other = (frame.sort_values(keys) for frame in (together, one_by_one))
    np.testing.assert_allclose(one.value, other.value, rtol=1e-10)
    bad = one_by_one["hp.learning_rate"] == 1e6
    assert np.isinf(one_by_one.value[bad & (one_by_one.step == 20)]).all() and np.isfinite(one_by_one.value[~bad]).all()
    np.testing.assert_array_equal(one.diverged_at, other.diverged_at)


@pytest.mark.parametrize("width", [16, 512, 2048])
def test_networks_trained_together_stay_in_the_caches(width: int):
    spec = ensemble(mlp(), "adam", sizes={"n": width}, seeds=tuple(range(48)), batch=64)
    assert fitting_replicas(spec) == {16: 96, 512: 16, 2048: 1}[width]


def test_the_frame_has_the_columns_of_the_design_and_repeats_bitwise():
    spec = ensemble(mlp(), case="digits", config="sp", steps=5)
    frame = train(spec)
    columns = ["source", "case", "config", "seed", "step", "weight", "term", "value", "predicted"]
    assert list(frame) == [*columns, "size.n", "hp.learning_rate", "diverged_at"]
    assert frame.value.dtype == np.float64 and sorted(frame.step.unique()) == list(spec.recorded)
    assert len(frame) == 2 * 4 * len(spec.recorded)
    assert frame.equals(train(spec))


def test_given_batches_are_used():
    index = np.tile(np.arange(8), (6, 1))
    spec = ensemble(mlp(), index=index, steps=5)
    frame = train(spec)
    losses = frame[(frame.term == "train loss") & (frame.seed == 0) & (frame["hp.learning_rate"] == 0.03)]
    assert losses.value.is_monotonic_decreasing  # full-batch descent on eight samples


def test_progress_reaches_the_end():
    calls = []
    spec = ensemble(mlp(), steps=4)
    train(spec, progress=lambda label, done, total: calls.append((label, done / total)), chunk=2)
    assert calls[-1] == (f"{spec.label} (2 of 4 networks at a time; part 2 of 2)", pytest.approx(1.0))
    assert [c[1] for c in calls] == sorted(c[1] for c in calls)


@pytest.mark.parametrize(
    ("optimizer", "grid"),
    [
        ("adamw", {"beta1": (0.5, 0.9), "beta2": (0.9, 0.99)}),
        ("adamw", {"weight_decay": (0.0, 3.0), "schedule": ("constant", "cosine")}),
        ("momentum", {"momentum": (0.3, 0.9), "schedule": ("stable-decay",)}),
    ],
)
def test_a_replica_with_hyperparameters_of_its_own_is_trained_as_alone(optimizer: str, grid: dict):
    constants = Constants.default(mlp()).with_weights(weight_decay=0.1)
    task = small(default_task(mlp()))
    together = train(ensemble(mlp(), optimizer, grid=grid, dtype="float64", constants=constants, task=task))
    assert len(together) == len(together.drop_duplicates(["step", "term", "seed", "hp.learning_rate", *(f"hp.{h}" for h in grid)]))
    for own in product(*grid.values()):
        mine = dict(zip(grid, own, strict=True))
        betas, momentum = (mine.get("beta1", 0.9), mine.get("beta2", 0.999)), mine.get("momentum", 0.0)
        decayed = constants.with_weights(weight_decay=0.1 * mine.get("weight_decay", 1.0))
        plain = {"betas": betas, "momentum": momentum, "schedule": mine.get("schedule", "constant")}
        alone = train(ensemble(mlp(), optimizer, dtype="float64", constants=decayed, task=task, **plain))
        same = together[np.logical_and.reduce([together[f"hp.{name}"] == value for name, value in mine.items()])]
        np.testing.assert_allclose(same.value, alone.value, rtol=1e-10)


def test_decay_that_takes_a_whole_weight_away_is_refused():
    constants = Constants.default(mlp()).with_weights(weight_decay=4.0)
    with pytest.raises(ValueError, match=r"decay of `W1` is 12 at the rate 0.1: .* \(rate \* decay >= 1\)"):
        train(ensemble(mlp(), "adamw", constants=constants, grid={"weight_decay": (1.0, 3.0)}))
    train(ensemble(mlp(), "adamw", constants=constants, steps=2))


def test_another_optimizer_has_no_grid():
    with pytest.raises(ValueError, match="`lion` has no momentum, betas or decay for each replica"):
        train(ensemble(mlp(), "lion", grid={"beta1": (0.5, 0.9)}))
    with pytest.raises(ValueError, match="`grid` has `beta3`"):
        ensemble(mlp(), grid={"beta3": (0.5,)})
    with pytest.raises(ValueError, match=r"`grid` has .*schedules are constant"):
        ensemble(mlp(), grid={"schedule": ("slow",)})


@pytest.mark.parametrize("architecture", [mlp(), gpt(vocab=11, positions=6)], ids=["mlp", "gpt"])
def test_bfloat16_products_are_near_those_of_float32(architecture: Architecture):
    task = small(default_task(architecture))
    exact, low = (train(ensemble(architecture, "adam", precision=p, learning_rates=(3e-3,), task=task)) for p in ("full", "bf16"))
    assert (low.value - exact.value).abs().max() < 0.03 * exact.value.max()
    assert not np.allclose(low.value, exact.value, rtol=1e-5)
    tf32 = train(ensemble(architecture, "adam", precision="tf32", learning_rates=(3e-3,), task=task))
    np.testing.assert_array_equal(tf32.value, exact.value)  # there is no TF32 on a CPU


def test_precision_is_checked_and_part_of_the_key():
    with pytest.raises(ValueError, match="`precision` is `fp8`"):
        ensemble(mlp(), precision="fp8")
    with pytest.raises(ValueError, match="full for float64"):
        ensemble(mlp(), precision="bf16", dtype="float64")
    assert key_of(ensemble(mlp(), precision="bf16")) != key_of(ensemble(mlp()))
    assert key_of(ensemble(mlp(), grid={"momentum": (0.5,)})) != key_of(ensemble(mlp()))


def test_recorded_steps_are_log_spaced_and_few():
    assert log_spaced(0, 24) == (0,) and log_spaced(1, 24) == (0, 1)
    steps = log_spaced(10_000, 60)
    assert steps[0] == 0 and steps[-1] == 10_000 and len(steps) <= 60 and list(steps) == sorted(set(steps))


def test_schedules_rise_and_fall():
    assert [schedule_factor("constant", s, 10, 1) for s in (0, 1, 9)] == [0.5, 1, 1]
    assert schedule_factor("linear", 5, 10) == 0.5
    assert [schedule_factor("stable-decay", s, 10) for s in (0, 7, 8, 9)] == pytest.approx([1, 1, 1, 0.5])
    assert schedule_factor("cosine", 5, 10) == pytest.approx(0.5) and schedule_factor("cosine", 0, 10) == 1


def key_of(spec: Ensemble) -> str:
    return make_key(spec.key_data())


def test_the_key_sees_what_changes_numbers_and_nothing_else():
    spec = ensemble(mlp())
    reason = replace(spec.table, rows=tuple(replace(r, reason="because") for r in spec.table.rows))
    same = [replace(spec, case="other", config="x"), replace(spec, table=reason), replace(spec, constants=Constants.default(mlp()))]
    changed = [
        replace(spec, table=spec.table.changed("W1", learning_rate=Powers(n=1))),
        replace(spec, seeds=(0, 2)),
        replace(spec, sizes={"n": 32}),
        replace(spec, dtype="float64"),
        replace(spec, steps=21),
        replace(spec, base={"n": 1}),
        replace(spec, architecture=mlp(activation="tanh")),
        replace(spec, momentum=0.9),
        replace(spec, data_seed=1),
        replace(spec, task=digits(seed=1)),
        replace(spec, constants=Constants.default(mlp()).with_weights(weight_decay=0.1)),
    ]
    assert {key_of(e) for e in same} == {key_of(spec)}
    assert len({key_of(spec), *map(key_of, changed)}) == len(changed) + 1


def test_training_is_its_parts_one_after_the_other():
    """`build`, `make_update` and the batches by hand end at the same loss."""
    spec = ensemble(mlp(), "adam", learning_rates=(0.01,), seeds=(0,), steps=3, dtype="float64")
    built = build(spec.architecture, spec.table, sizes=spec.sizes, dtype=torch.float64)
    update = make_update("adam", built.groups, [0.01])
    x, y = torch.as_tensor(spec.task.inputs), torch.as_tensor(spec.task.targets)

    def loss(step: int) -> torch.Tensor:
        samples = spec.batches[step]
        return torch.nn.functional.cross_entropy(built.network(x[samples])[0], y[samples])

    for step in range(3):
        update.step(torch.autograd.grad(loss(step), list(built.network.parameters())))
    frame = train(spec)
    last = frame[(frame.term == "train loss") & (frame.step == 3)].value.item()
    assert last == pytest.approx(loss(3).item(), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"seeds": ()}, "`seeds`"),
        ({"schedule": "step"}, "unknown schedule `step`"),
        ({"dtype": "float16"}, "`dtype` is `float16`"),
        ({"records": 61}, "`records` is 61"),
        ({"sizes": {"n": -3}}, "size `-3`"),
        ({"index": np.zeros((3, 3), int)}, r"`index` has the shape \(3, 3\)"),
    ],
)
def test_errors_name_the_culprit(settings: dict, match: str):
    with pytest.raises(ValueError, match=match):
        ensemble(mlp(), **settings)


def test_targets_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="do not fit outputs"):
        train(ensemble(mlp(), task=teacher(inputs=64, outputs=3)))


@pytest.mark.parametrize("width", [16, 512])  # large matrices have a path of their own under Adam
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon", "dion"])
def test_the_order_in_memory_of_weights_changes_no_result(optimizer: str, width: int, monkeypatch: pytest.MonkeyPatch):
    sizes = {"n": width, "m": 16, "E": 32 if width == 512 else 4}
    task = teacher(inputs=16, outputs=1, samples=64)
    net = moe(inputs=16, outputs=1, base=sizes)
    spec = ensemble(net, optimizer, sizes=sizes, task=task, learning_rates=(0.001, 0.01), steps=4)
    arranged = train(spec)
    monkeypatch.setattr(network, "_summable", lambda values, weight: values)
    np.testing.assert_allclose(arranged["value"], train(spec)["value"], rtol=1e-4)
