"""Networks on which rules of weight decay are measured: what is derived for them, and what decays."""

import numpy as np
import pytest
import torch
from widelimit.paper_repro.weight_decay.networks import constants, matrices, setting, settings, table
from widelimit.synthetic.ensemble import Ensemble
from widelimit.synthetic.following import follow
from widelimit.synthetic.training import Training, train
from widelimit.theory.derivation import derive
from widelimit.theory.scales import Powers
from widelimit.theory.zoo import prenorm

INSIDE = ("blocks.0.up", "blocks.0.down", "blocks.1.up", "blocks.1.down")


@pytest.mark.parametrize("options", [{}, {"vocab": 16}, {"vocab": 16, "frozen": True}, {"vocab": 16, "post_norm": True}])
def test_the_table_of_a_prenorm_network_is_that_of_mup(options):
    net = prenorm(**options)
    found = derive(net, "adamw")
    assert found.verdict == "unique" and matrices(net) == INSIDE
    for name in INSIDE:
        row = found.row(name)
        assert (row.init_std, row.learning_rate, row.weight_decay) == (Powers(n="-1/2"), Powers(n=-1), Powers(n=1))
    assert found.row("readout").learning_rate == Powers(n=-1)
    if "vocab" in options:
        assert found.row("embedding").trained != options.get("frozen", False)
        assert found.row("embedding").learning_rate == Powers()


def ensemble(name, width, steps=6, rate=0.01, decay=(1.0,), **more):
    net, task = setting(name, width=width, base=16, samples=16 * steps, **more)
    return Ensemble(
        **settings(net, power="1/2"), task=task, sizes={"n": width}, learning_rates=(rate,), seeds=(0,), steps=steps, batch=16,
        schedule="stable-decay", warmup=2, grid={"weight_decay": decay}, records=2,
    )  # fmt: skip


def test_matrices_decay_at_their_rate_and_vectors_have_a_rate_of_their_own():
    training = Training(ensemble("S2", 32), ensemble("S2", 32).replicas, torch.device("cpu"))
    own = training.network.scaling.weights
    for name in INSIDE:
        assert np.isclose(own[name].learning_rate, 1 / 2) and np.isclose(own[name].weight_decay, 2**0.5)
    assert np.isclose(own["readout"].learning_rate, 0.01 * 8 / 32) and own["readout"].weight_decay == 0
    assert own["embedding"].learning_rate == 0.01 and own["embedding"].weight_decay == 0


@pytest.mark.parametrize("name", ["S1", "S1 0.5", "S2"])
def test_settings_train_and_are_followed(name):
    frame = follow(ensemble(name, 8, decay=(1.0, 2.0)), (2, 4))
    last = frame[(frame["step"] == 4) & frame["k"].isna() & (frame["weight"] == "blocks.0.up")]
    told = last.pivot(index="term", columns="hp.weight_decay", values="value")
    assert np.allclose(told.loc["stationarity"], told[1.0]["stationarity"] * np.array([1, 2]))
    assert np.isfinite(told.loc[["gain", "top singular value", "rotation", "similarity"]]).all(axis=None)


def test_the_rate_of_matrices_does_not_move_embeddings_at_the_first_update():
    found = []
    for rate in (0.01, 0.02):
        one = ensemble("S2", 8, steps=1, rate=rate)
        training = Training(one, one.replicas, torch.device("cpu"))
        training.run(lambda part: None)
        found.append({name: weight.detach().clone() for name, weight in training.network.named_weights().items()})
    for name in found[0]:  # matrices only decay: their gradients are zero until the readout has moved
        assert torch.equal(found[0][name], found[1][name]) == (name not in INSIDE)


def test_frozen_embeddings_stay():
    one = ensemble("S2 frozen", 8)
    training = Training(one, one.replicas, torch.device("cpu"))
    before = training.network.named_weights()["embedding"].detach().clone()
    training.run(lambda part: None)
    assert (training.network.named_weights()["embedding"] == before).all()
    assert np.isfinite(train(one)["value"]).all()


def test_a_norm_behind_a_branch_makes_its_size_irrelevant():
    from widelimit.synthetic.building import build

    for post_norm in (False, True):
        net = prenorm(base=8, post_norm=post_norm)
        network = build(net, table(net), constants(net), sizes={"n": 8}).network
        weights, x = network.named_weights(), torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            weights["readout"].normal_(generator=torch.Generator().manual_seed(1))
            one = network(x)
            weights["blocks.1.down"].mul_(3)
            assert torch.allclose(one, network(x), rtol=1e-4, atol=1e-5) == post_norm


def test_a_setting_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="`S3`"):
        setting("S3", width=8, base=8, samples=8)
