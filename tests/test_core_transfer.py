"""The learning-rate transfer figure: measured once, resumed, judged with controls that turn, and the drift of planted data."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from widelimit.paper_repro.claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, failures
from widelimit.paper_repro.core import transfer
from widelimit.paper_repro.core.transfer_claims import Sweep, make_claims, sp_exponents, tabulate, transfer_penalty, worst_rise
from widelimit.synthetic import training
from widelimit.synthetic.store import Store, make_key

WIDTHS, RATES = 2 ** np.arange(5, 10), 2.0 ** np.arange(-10, 0.5, 0.5)


def planted(drift: float, *, seeds: int = 3, level: float = -0.2, noise: float = 0.0) -> Sweep:
    """Parabolas in log2(rate) whose vertex moves by ``drift`` per doubling and whose minimum falls as width^level."""
    rng, octave = np.random.default_rng(0), np.arange(len(WIDTHS))[:, None]
    curves = 2.0 ** (level * octave) * (0.2 + 0.1 * (np.log2(RATES) + 5 - drift * (octave - 2)) ** 2)
    return Sweep(WIDTHS, RATES, curves * (1 + noise * rng.standard_normal((seeds, 1, 1))))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke preset's result, and the folder of its store."""
    folder = tmp_path_factory.mktemp("transfer")
    return transfer.reproduce("smoke", out=folder / "out", store_home=folder / "home", progress=lambda line: None), folder


def test_the_smoke_preset_reproduces_every_claim(smoke):
    result, _ = smoke
    assert len(result.claims) == len({claim.id for claim in result.claims}) == 8
    assert [claim.verdict for claim in result.claims] == [REPRODUCED] * 8
    assert all(claim.control_turns for claim in result.claims) and not failures(result.claims)
    assert all(path.stat().st_size > 10_000 for path in result.images)
    assert not (result.tables["drifts"]["problem"] != "").any()


def test_an_interrupted_run_trains_nothing_twice(smoke, monkeypatch):
    _, folder = smoke
    trained, train = [], training.train
    monkeypatch.setattr(training, "train", lambda ensemble, **how: trained.append(ensemble.label) or train(ensemble, **how))
    settings, store = transfer.PRESETS["smoke"], Store(folder / "home")
    whole = transfer.measure(settings, store, lambda line: None)
    assert trained == []
    smallest = [e for e in transfer.make_plan(settings).ensembles if e.sizes["n"] == 32]
    for ensemble in smallest[:2]:
        store.path(make_key(ensemble.key_data())).unlink()
    again = transfer.measure(settings, store, lambda line: None)
    assert trained == [ensemble.label for ensemble in smallest[:2]]
    pd.testing.assert_frame_equal(again, whole)


def test_both_parameterisations_are_the_same_network_at_the_base_width(tmp_path):
    settings = transfer.Settings((64,), (0,), {"adam": (-8.0, -6.0)}, 1.0, ("tanh",))
    rows = transfer.measure(settings, Store(tmp_path), lambda line: None)
    sp, mup = (rows[rows["config"] == name]["value"].to_numpy() for name in ("sp", "mup"))
    assert sp == pytest.approx(mup, rel=1e-6)


@pytest.mark.parametrize(("case", "expected"), [(("tanh", "adam"), (-1.5, -0.5, -1.0)), (("tanh", "sgd"), (-1.0, 0.0, -0.5))])
def test_the_exponents_of_the_standard_parameterisation(case, expected):
    assert sp_exponents(*case) == expected


@pytest.mark.parametrize("drift", [-1.0, -0.5, 0.0, 0.4])
def test_a_planted_drift_is_found(drift):
    found = planted(drift, noise=0.05).drift
    assert found.value == pytest.approx(drift, abs=1e-9)
    assert found.low <= found.value + 1e-9 and found.value - 1e-9 <= found.high


def test_costs_of_planted_curves():
    still, moving = planted(0.0).losses.mean(axis=0), planted(-1.0).losses.mean(axis=0)
    assert transfer_penalty(still) == 0
    assert worst_rise(still) == pytest.approx(2**-0.2 - 1)
    assert transfer_penalty(moving) == pytest.approx(0.1 * 4**2 / 0.2)  # four octaves off
    assert worst_rise(moving) > 1
    moving[-1, :] = math.inf
    moving[-1, 0] = 0.1
    assert transfer_penalty(moving) == worst_rise(moving) == math.inf


def judge(mup: Sweep, sp: Sweep) -> dict[str, str]:
    claims = make_claims({("tanh adam", "sp"): sp, ("tanh adam", "mup"): mup})
    return {claim.id.split("/")[-1].removesuffix("-tanh-adam"): claim.verdict for claim in claims}


def test_planted_failures_are_seen():
    good, bad = planted(0.0), planted(-1.0)
    names = ("drift-mup", "drift-sp", "wider", "penalty")
    assert judge(good, bad) == dict.fromkeys(names, REPRODUCED)
    assert judge(bad, good) == dict.fromkeys(names, NOT_REPRODUCED)


def test_claims_without_a_difference_have_controls_that_do_not_turn():
    still = planted(0.0)
    claims = make_claims({("tanh adam", "sp"): still, ("tanh adam", "mup"): still})
    assert not any(claim.control_turns for claim in claims)


def test_an_optimum_on_the_edge_is_no_result():
    edge = planted(3.0)
    assert judge(edge, edge)["drift-mup"] == NOT_TESTED
    assert "edge of the grid" in tabulate({("tanh adam", "mup"): edge})["problem"].item()


def test_records_hold_up_to_their_width_only():
    mup, sp, weak = planted(0.0), planted(-1.0), planted(-0.1)
    sweeps = {("relu adam", "sp"): sp, ("relu adam", "mup"): mup, ("relu sgd", "sp"): weak, ("relu sgd", "mup"): mup}
    claims = {claim.id: claim for claim in make_claims(sweeps)}
    assert claims["core/transfer/drift-sp-relu-sgd"].on_record == NOT_REPRODUCED and not failures(claims.values())
    wide = {key: replace(sweep, widths=2 * sweep.widths) for key, sweep in sweeps.items()}
    claims = {claim.id: claim for claim in make_claims(wide)}
    assert claims["core/transfer/drift-sp-relu-sgd"].on_record == NOT_TESTED


def test_every_preset_spans_the_interior_of_its_grid():
    for preset in transfer.PRESETS.values():
        assert transfer.BASE in range(preset.widths[0], preset.widths[-1] + 1)
        for optimizer in preset.octaves:
            rates = np.log2(preset.rates(optimizer))
            assert np.allclose(np.diff(rates), preset.spacing) and rates[-1] == preset.octaves[optimizer][1]
