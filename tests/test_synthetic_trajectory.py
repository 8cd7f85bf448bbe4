"""Trajectories taken apart: sums that have to agree, sides, samples, and optimizers with a memory."""

import numpy as np
import pytest
import torch
from widelimit.synthetic import digits
from widelimit.synthetic.alignment import Averaging
from widelimit.synthetic.building import build
from widelimit.synthetic.components import Components
from widelimit.synthetic.dion import Dion
from widelimit.synthetic.directions import find_rule, newton_schulz, spectral
from widelimit.synthetic.ensemble import Auxiliary, Ensemble, log_spaced
from widelimit.synthetic.losses import replica_losses
from widelimit.synthetic.optimizers import Directed, make_update
from widelimit.synthetic.tasks import Task, graded
from widelimit.synthetic.training import Training
from widelimit.synthetic.trajectory import Trajectory, decompose, width_sides
from widelimit.theory.constants import Constants
from widelimit.theory.parameterizations import parameterization
from widelimit.theory.zoo import gpt, mlp

NET = mlp(activation="relu", base=8)
PLAIN = Averaging((1.0, 1.0), (1.0, 1.0), 1)


def ensemble(optimizer: str = "sgd", steps: int = 3, **more) -> Ensemble:
    rates = (0.05, 0.1) if optimizer == "sgd" else (0.01, 0.02)
    return Ensemble(
        NET, parameterization("mup", NET, optimizer), digits(), {"n": 12}, rates, (0, 1), steps, 16, records=3, dtype="float64", **more
    )


def last(frame, term: str) -> np.ndarray:
    rows = frame[(frame["term"] == term) & (frame["step"] == frame["step"].max())]
    return rows["value"].to_numpy()


def test_all_components_together_are_the_linear_change_of_the_loss():
    """One plain step: phi is -rate times the product of the batch's and the validation's gradients."""
    spec = ensemble(steps=1)
    frame = decompose(Trajectory(spec, PLAIN))
    built = build(NET, spec.table, Constants.default(NET).with_rate(1.0), sizes={"n": 12}, seeds=[0], dtype=torch.float64)
    task, weights = spec.task, list(built.network.parameters())
    x, y = torch.as_tensor(task.inputs), torch.as_tensor(task.targets)

    def gradients(samples) -> list[torch.Tensor]:
        return list(torch.autograd.grad(replica_losses(built.network(x[samples]), y[samples], task.loss).sum(), weights))

    held_out, batch = gradients(slice(task.train, None)), gradients(torch.as_tensor(spec.batches[0]))
    rates = [group["lr"] for group in built.groups]
    expected = -0.05 * sum(rate * float((g * b).sum()) for rate, g, b in zip(rates, held_out, batch, strict=True))
    top = frame[(frame["term"] == "top") & (frame["hp.learning_rate"] == 0.05) & (frame["seed"] == 0)]
    assert top["value"].iloc[-1] == pytest.approx(expected, rel=1e-10)
    start = frame[(frame["term"] == "averaged loss") & (frame["step"] == 0)]["value"].iloc[0]
    assert last(frame, "linearised loss")[0] == pytest.approx(start + expected, rel=1e-10)


def test_the_linear_part_is_the_change_of_the_loss_for_small_steps():
    spec = ensemble(steps=20)
    small = Ensemble(**{**vars(spec), "learning_rates": (1e-4,)})
    frame = decompose(Trajectory(small, PLAIN))
    start = frame[(frame["term"] == "averaged loss") & (frame["step"] == 0)]["value"].to_numpy()
    changed, linear = last(frame, "averaged loss") - start, last(frame, "linearised loss") - start
    np.testing.assert_allclose(linear, changed, rtol=2e-3)
    assert (changed < 0).all()


def test_without_an_average_the_trajectory_is_that_of_the_iterates():
    frame = decompose(Trajectory(ensemble("adam"), PLAIN))
    np.testing.assert_allclose(last(frame, "averaged loss"), last(frame, "validation loss"), rtol=1e-12)
    np.testing.assert_allclose(last(frame, "sample loss").reshape(4, -1).mean(1), last(frame, "averaged loss"), rtol=1e-12)


def test_samples_average_to_the_eigenvalues():
    """``mean_i psi_ij = lambda_j``, so the sums of a trajectory are those of its components."""
    spec = Trajectory(ensemble(steps=4), PLAIN, samplewise=True)
    training = Training(spec.ensemble, spec.ensemble.replicas, torch.device("cpu"))
    from widelimit.synthetic.trajectory import _Run

    run = _Run(spec, training)
    training.run(lambda part: None, run.after)
    assert isinstance(run.components, Components) and run.components.sums is not None
    sums = run.components.sums.mean(1)
    assert run._parts is not None
    torch.testing.assert_close(sums.cumsum(-1), run._parts[:, : sums.shape[1]])
    centres = run.components.centres()
    assert centres.shape == (4, 899) and bool((centres >= 1).all()) and bool((centres <= 12).all())


def test_sides_are_those_of_the_width():
    assert width_sides(mlp()) == {"W1": "rows", "W2": "columns", "W3": "columns"}
    sides = width_sides(gpt())
    assert sides["embedding"] == "rows" and sides["readout"] == "columns"
    assert sides["blocks.0.mlp.up"] == "columns" and sides["blocks.0.mlp.down"] == "rows"
    assert sides["final_norm.gain"] == ""


def test_a_diverged_replica_does_not_disturb_the_others():
    alone = decompose(Trajectory(Ensemble(**{**vars(ensemble(steps=6)), "learning_rates": (0.1,)}), PLAIN))
    wild = Ensemble(**{**vars(ensemble(steps=6)), "learning_rates": (0.1, 1e6)})
    both = decompose(Trajectory(wild, PLAIN))
    assert np.isinf(both[(both["hp.learning_rate"] == 1e6) & (both["step"] == 6)]["value"]).all()
    rows = both[(both["hp.learning_rate"] == 0.1) & (both["term"] == "top")]["value"].to_numpy()
    np.testing.assert_allclose(rows, alone[alone["term"] == "top"]["value"].to_numpy(), rtol=1e-10)


def test_a_replica_that_is_not_finite_leaves_the_samples_of_the_others():
    wild = Ensemble(**{**vars(ensemble(steps=4)), "learning_rates": (0.1, 1e200)})
    frame = decompose(Trajectory(wild, PLAIN, samplewise=True))
    centres = frame[frame["term"] == "centre"].groupby("hp.learning_rate")["value"]
    assert np.isfinite(centres.get_group(0.1)).all() and np.isinf(centres.get_group(1e200)).all()


def test_a_task_without_validation_is_refused():
    task = Task("no validation", np.zeros((4, 64)), np.zeros(4, np.int64), "cross-entropy", 4)
    with pytest.raises(ValueError, match="has none"):
        Trajectory(Ensemble(NET, parameterization("mup", NET, "sgd"), task, {"n": 8}, (0.1,), (0,), 1, 2), PLAIN)


def test_the_key_of_a_trajectory_is_not_that_of_its_ensemble():
    spec = ensemble()
    keys = [str(spec.key_data()), *(str(Trajectory(spec, PLAIN, samplewise=s).key_data()) for s in (False, True))]
    assert len(set(keys)) == 3


def test_few_records_hold_the_last_step():
    assert log_spaced(100, 2) == (0, 100) and log_spaced(100, 3) == (0, 1, 100) and log_spaced(0, 2) == (0,)


def test_newton_schulz_is_close_to_the_polar_factor():
    g = torch.randn(3, 24, 16, generator=torch.Generator().manual_seed(0))
    for matrix in (g, g.mT.contiguous()):
        values = torch.linalg.svdvals(newton_schulz(matrix))
        assert float(values.min()) > 0.65 and float(values.max()) < 1.25
        cosine = (newton_schulz(matrix) * spectral(matrix)).sum((-2, -1)) / (
            newton_schulz(matrix).norm(dim=(-2, -1)) * spectral(matrix).norm(dim=(-2, -1))
        )
        assert float(cosine.min()) > 0.97


def test_muon_is_torchs():
    """PyTorch's iteration is in bfloat16: two digits."""
    generator = torch.Generator().manual_seed(1)
    start, gradients = torch.randn(1, 24, 16, generator=generator), torch.randn(4, 1, 24, 16, generator=generator)
    ours, theirs = start.clone(), torch.nn.Parameter(start[0].clone())
    update = Directed([{"params": [ours], "lr": 0.1}], find_rule("muon-keller-jordan", 0.9))  # type: ignore[arg-type]
    reference = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0, momentum=0.9, nesterov=False)
    for g in gradients:
        update.step([g])
        theirs.grad = g[0]
        reference.step()
    moved, expected = ours[0] - start[0], (theirs - start[0]).detach()
    assert float((moved - expected).norm() / expected.norm()) < 0.02


def test_dion_at_full_rank_becomes_the_polar_factor():
    """Of a gradient that stays the same; without a momentum the power iteration converges on it."""
    g = torch.randn(2, 10, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weight = torch.zeros_like(g)
    dion = Dion([{"params": [weight], "lr": 1.0}], momentum=0.0)
    for _ in range(200):
        before = weight.clone()
        dion.step([g])
    torch.testing.assert_close(before - weight, spectral(g), atol=1e-6, rtol=0)


def test_dion_moves_by_its_rank_and_keeps_the_rest():
    g = torch.randn(2, 10, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weight = torch.zeros_like(g)
    dion = Dion([{"params": [weight], "lr": 1.0}], rank=2)
    dion.step([g])
    values = torch.linalg.svdvals(weight)
    assert bool((values[:, 2:] < 1e-12).all()) and bool((values[:, :2] > 0.3).all())
    applied = torch.linalg.svdvals(g - dion._memory[0])
    assert bool((applied[:, 2:] < 1e-12).all())


def test_auxiliary_weights_are_trained_by_their_own_optimizer():
    muon, adam = (parameterization("mup", NET, name) for name in ("muon-scaled", "adam"))
    beside = Auxiliary(adam, ("W1", "W3"), 0.01)
    spec = Ensemble(NET, muon, digits(), {"n": 16}, (0.0, 0.1), (0,), 3, 16, momentum=0.9, auxiliary=beside, dtype="float64")
    assert spec.table.row("W1") == adam.row("W1") and spec.table.row("W2") == muon.row("W2")
    alone = Ensemble(NET, adam, digits(), {"n": 16}, (0.01,), (0,), 3, 16, dtype="float64")
    mixed, plain = (Training(e, e.replicas, torch.device("cpu")) for e in (spec, alone))
    start = [w[0].clone() for w in mixed.network.parameters()]
    for training in (mixed, plain):
        training.run(lambda part: None)
    w1, w2, _ = mixed.network.parameters()
    assert torch.equal(w2[0], start[1]) and not torch.equal(w2[1], start[1])  # a rate of zero
    assert not torch.equal(w1[0], start[0])
    with pytest.raises(ValueError, match="`W9`"):
        Auxiliary(adam, ("W9",), 0.01).into(muon)


def test_muon_without_a_rule_for_its_momentum_is_refused():
    groups = [{"params": [torch.zeros(1, 4, 4)], "lr": 1.0}]
    assert isinstance(make_update("dion", groups, momentum=0.9), Dion)
    with pytest.raises(ValueError, match="cannot be executed"):
        make_update("kfac", groups, momentum=0.9)


def test_graded_inputs_fall_in_size_and_have_all_classes():
    task = graded(samples=4096, validation=512)
    sizes = (task.inputs**2).mean(0)
    assert len(task.inputs) == 4608 and task.train == 4096
    assert sizes.mean() == pytest.approx(1, rel=0.05) and sizes[0] / sizes[63] == pytest.approx(64, rel=0.2)
    assert len(np.unique(task.targets)) > 24
