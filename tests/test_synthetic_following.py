"""Matrices during training: what is measured of them against numpy, by hand, and in closed cases."""

import numpy as np
import pandas as pd
import pytest
import torch
from widelimit.synthetic.ensemble import Auxiliary, Ensemble
from widelimit.synthetic.following import MOMENTS, MOTIONS, follow
from widelimit.synthetic.matrices import Matrix, Moments, noise_tops, singular_values
from widelimit.synthetic.tasks import digits, teacher
from widelimit.synthetic.training import Training
from widelimit.theory.constants import Constants
from widelimit.theory.derivation import derive
from widelimit.theory.scales import Powers
from widelimit.theory.zoo import mlp, resmlp


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_singular_values_are_those_of_numpy_and_nan_where_a_matrix_is_not_finite():
    matrix = normal(3, 5, 4)
    matrix[1, 0, 0] = torch.inf
    found = singular_values(matrix)
    assert found[1].isnan().all()
    for i in (0, 2):
        assert np.allclose(found[i], np.linalg.svd(matrix[i].double().numpy(), compute_uv=False))


def test_spreads_of_the_identity_and_of_one_direction():
    white = Moments.of(torch.eye(6)[None])
    assert torch.allclose(white.stable_rank, torch.tensor(6.0).double())
    assert torch.allclose(white.participation, torch.tensor(6.0).double())
    single = Moments.of(normal(1, 50, 1) * normal(1, 1, 6, seed=1))
    assert torch.allclose(single.stable_rank, torch.ones(1).double())
    assert torch.allclose(single.participation, torch.ones(1).double())


def test_spreads_are_those_of_a_known_covariance():
    values = torch.tensor([4.0, 2.0, 1.0, 1.0])
    moments = Moments(torch.diag(values)[None].double())
    assert moments.stable_rank.item() == 2 and moments.participation.item() == pytest.approx(64 / 22)
    sampled = Moments.of(normal(1, 20000, 4) * values.sqrt())
    assert sampled.stable_rank.item() == pytest.approx(2, rel=0.05) and sampled.participation.item() == pytest.approx(64 / 22, rel=0.05)


def test_correlations_forget_sizes_and_leave_what_is_always_zero():
    scaled = normal(1, 500, 3) * torch.tensor([10.0, 0.1, 0.0])
    found = Moments.of(scaled).correlation
    assert torch.allclose(found.diagonal(dim1=1, dim2=2), torch.tensor([[1.0, 1.0, 0.0]]).double())
    assert (found[0, 2] == 0).all() and found[0, 0, 1].abs() < 0.15


def test_the_noise_of_white_inputs_has_the_edge_and_the_gain_of_a_gaussian_matrix():
    white = Moments(torch.eye(64)[None].double())
    assert white.noise_gain.item() == pytest.approx(64**0.5)
    assert noise_tops(white, white).item() == pytest.approx(2 * 64**0.5, rel=0.05)
    broken = Moments(torch.full((1, 64, 64), torch.nan).double())
    assert noise_tops(broken, white).isnan().all()


def test_a_matrix_of_noise_has_the_gain_that_its_inputs_say():
    mixing = normal(8, 8, seed=1)
    x = normal(1, 4000, 8, seed=2) @ mixing
    correlated = np.linalg.cholesky(Moments.of(x).correlation[0].numpy())
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 300, 8)) @ correlated.T).float()
    found = Matrix(weight, x, normal(1, 10, 300)).measure()
    assert found["gain"].item() == pytest.approx(found["noise gain"].item(), rel=0.1)


def test_gain_rms_and_top_of_a_multiple_of_the_identity():
    found = Matrix(3 * torch.eye(5)[None], normal(1, 20, 5), normal(1, 20, 5, seed=1)).measure()
    assert set(found) == set(MOMENTS)
    assert found["gain"].item() == pytest.approx(3) and found["top singular value"].item() == pytest.approx(3)
    assert found["rms"].item() == pytest.approx(3 / 5**0.5)


def ensemble(steps: int = 6, decay: float = 0.5, architecture: str = "mlp", **more) -> Ensemble:
    net = mlp() if architecture == "mlp" else resmlp()
    task = digits()
    constants = Constants.default(net).with_weights(weight_decay=decay)
    return Ensemble(
        net, derive(net, "adamw"), task, {"n": 16} if architecture == "mlp" else {"n": 16, "L": 3}, (0.01, 0.02), (0, 1), steps, 32,
        constants=constants, **more,
    )  # fmt: skip


def pick(frame: pd.DataFrame, term: str, step: int, rate: float = 0.01, weight: str = "W2", seed: int = 0) -> float:
    own = frame[(frame["term"] == term) & (frame["step"] == step) & (frame["weight"] == weight)]
    own = own[(own["hp.learning_rate"] == rate) & (own["seed"] == seed)]
    return float(own["value"].iloc[0])


def trained(one: Ensemble, steps: tuple[int, ...]) -> dict[int, dict[str, np.ndarray]]:
    """Weights of the first replica after some updates."""
    training, kept = Training(one, one.replicas[:1], torch.device("cpu")), {}

    def after(step: int) -> None:
        if step in steps:
            kept[step] = {n: w[0].detach().double().numpy().copy() for n, w in training.network.named_weights().items()}

    start = {n: w[0].detach().double().numpy().copy() for n, w in training.network.named_weights().items()}
    training.run(lambda part: None, after)
    return {0: start, **kept}


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arccos((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)))


def test_following_measures_the_weights_of_training():
    one = ensemble()
    frame, weights = follow(one, (0, 1, 6)), trained(one, (1, 5, 6))
    for step in (0, 1, 6):
        values = np.linalg.svd(weights[step]["W2"], compute_uv=False)
        assert pick(frame, "top singular value", step) == pytest.approx(values[0], rel=1e-4)
        assert pick(frame, "rms", step) == pytest.approx(np.sqrt(np.mean(weights[step]["W2"] ** 2)), rel=1e-4)
    assert pick(frame, "rotation", 1) == pytest.approx(angle(weights[0]["W2"], weights[1]["W2"]), rel=1e-3)
    assert pick(frame, "rotation", 6) == pytest.approx(angle(weights[5]["W2"], weights[6]["W2"]), rel=1e-3)
    assert pick(frame, "similarity", 6) == pytest.approx(np.cos(angle(weights[1]["W2"], weights[6]["W2"])), rel=1e-3)
    spectrum = frame[(frame["term"] == "singular value") & (frame["weight"] == "W2") & (frame["seed"] == 0)]
    spectrum = spectrum[spectrum["hp.learning_rate"] == 0.01].sort_values("k")["value"]
    assert np.allclose(spectrum, np.linalg.svd(weights[6]["W2"], compute_uv=False), rtol=1e-4)


def test_following_does_not_change_training():
    one = ensemble()
    frame = follow(one, (3,))
    assert set(frame["term"]) >= {*MOMENTS, *MOTIONS} - {"similarity"}
    weights = trained(one, (3,))
    assert pick(frame, "rms", 3) == pytest.approx(np.sqrt(np.mean(weights[3]["W2"] ** 2)), rel=1e-4)


def test_stationarity_is_twice_what_decay_removes():
    one = ensemble(steps=10, schedule="stable-decay", warmup=3)
    frame = follow(one, (4, 10))
    factors = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 0.5]
    rate = 0.02 * (16 / 64) ** -1  # muP's rates of a hidden matrix fall as 1/n, and its decay grows as n
    decay = 0.5 * (16 / 64)
    assert pick(frame, "stationarity", 4, rate=0.02) == pytest.approx(2 * rate * decay * sum(factors[:4]))
    assert pick(frame, "stationarity", 10, rate=0.02) == pytest.approx(2 * rate * decay * sum(factors))
    assert pick(frame, "timescale", 4, rate=0.02) == pytest.approx(1 / (rate * decay))
    doubled = follow(ensemble(steps=10, grid={"weight_decay": (2.0,)}), (10,))
    assert pick(doubled, "stationarity", 10) == pytest.approx(2 * pick(follow(ensemble(steps=10), (10,)), "stationarity", 10))


def test_an_auxiliary_optimizer_decays_at_its_own_rate():
    table = derive(mlp(), "adamw")
    one = ensemble(steps=4, auxiliary=Auxiliary(table, ("W3",), 0.1))
    frame = follow(one, (4,))
    assert pick(frame, "stationarity", 4, weight="W3", rate=0.02) == pick(frame, "stationarity", 4, weight="W3", rate=0.01)
    row = table.row("W3")
    scale = (16 / 64) ** float(row.learning_rate.get("n", 0)) * (16 / 64) ** float(row.weight_decay.get("n", 0))
    assert pick(frame, "stationarity", 4, weight="W3") == pytest.approx(2 * 4 * 0.1 * 0.5 * scale)


def test_layers_of_a_stack_are_averaged_in_the_logarithm():
    one = ensemble(architecture="resmlp")
    frame, weights = follow(one, (2,)), trained(one, (2,))
    tops = [np.linalg.svd(w, compute_uv=False)[0] for w in weights[2]["up"]]
    assert pick(frame, "top singular value", 2, weight="up") == pytest.approx(np.exp(np.mean(np.log(tops))), rel=1e-4)
    assert len(tops) == 3 and len(frame[(frame["term"] == "rms") & (frame["weight"] == "up")]) == 4


def test_a_weight_that_starts_at_zero_has_no_direction():
    net = mlp()
    one = Ensemble(net, derive(net, "adamw").changed("W3", zero_init=True, init_std=Powers()), digits(), {"n": 8}, (0.01,), (0,), 2, 32)
    frame = follow(one, (0, 1, 2))
    assert np.isnan(pick(frame, "rotation", 1, weight="W3")) and np.isfinite(pick(frame, "rotation", 2, weight="W3"))


def test_a_run_that_diverges_is_infinite_and_leaves_the_others():
    one = ensemble(decay=0.0)
    wild = Ensemble(one.architecture, derive(mlp(), "sgd"), one.task, {"n": 16}, (0.01, 1e8), (0,), 20, 32)
    frame = follow(wild, (20,))
    last = frame[(frame["step"] == 20) & (frame["term"] == "gain")]
    assert (
        np.isinf(last[last["hp.learning_rate"] == 1e8]["value"]).all()
        and np.isfinite(last[last["hp.learning_rate"] == 0.01]["value"]).all()
    )


def test_looks_and_probes_that_there_are_not_are_named():
    with pytest.raises(ValueError, match="`looks` is"):
        follow(ensemble(), (7,))
    bare = teacher(inputs=64, outputs=10, loss="cross-entropy", samples=64)
    alone = Ensemble(mlp(), derive(mlp()), type(bare)("bare", bare.inputs, bare.targets, bare.loss, 64), {"n": 8}, (0.01,), (0,), 2, 32)
    with pytest.raises(ValueError, match="`bare` has no validation samples"):
        follow(alone, (1,))
