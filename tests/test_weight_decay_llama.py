"""The figures on a LLaMA-like model whose matrices decay: their statistics against planted data, and their smallest sizes."""

from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from widelimit.paper_repro.claims import NOT_TESTED
from widelimit.paper_repro.weight_decay.language import PRESETS
from widelimit.paper_repro.weight_decay.llama import KINDS, RULES, Study, matrices, model
from widelimit.paper_repro.weight_decay.pairs import MILD, PAIRS, Runs
from widelimit.paper_repro.weight_decay.settled import Followed, finite_rate, fit_powers, over_seeds, relaxation, relaxed, turned
from widelimit.paper_repro.weight_decay.tuning import Tuned
from widelimit.paper_repro.weight_decay.widths import WAYS, Widths, flag
from widelimit.synthetic.matrices import Moments, singular_values, top_singular_value
from widelimit.synthetic.scaling import scale

LOOKS = np.array([0.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0, 16000.0])


def test_only_matrices_inside_decay_and_their_rates_fall_with_the_width():
    for rule, power in RULES.items():
        ensemble = Study((32, 64), blocks=1, positions=8, steps=4).ensemble(64, (0.5,), (0.25,), rule)
        inside = matrices(model(1, 8))
        assert {name.rsplit(".", 1)[1] for name in inside} == set(KINDS)
        own = scale(ensemble.architecture, ensemble.table, ensemble.constants, sizes=ensemble.sizes, base={"n": 32}).weights
        for name, weight in own.items():
            assert weight.weight_decay == pytest.approx(2 ** float(power) if name in inside else 0.0)
            assert weight.learning_rate == pytest.approx(0.5 if name in inside or name == "readout" else 1.0)


def test_the_steady_state_of_adam_with_independent_gradients():
    # arXiv 2510.15262 by a simulation of 2e5 weights (weight_decay.md, section 1.2): variance over rate / (2 decay), over L = 0.978
    assert finite_rate(np.array([0.05, 0.005])) ** 2 == pytest.approx([0.675 / 0.978, 0.934 / 0.978], rel=3e-3)
    assert turned(np.array([0.005])) == pytest.approx(0.0229, rel=2e-3)


def test_planted_relaxation_and_powers_are_found():
    x = np.linspace(0, 6, 20)
    assert relaxation(x, relaxed(x, 0.5, 3.0, 0.8)) == pytest.approx((3.0, 0.8))
    assert relaxation(x, relaxed(x, 0.5, 3.0), 1.0) == pytest.approx((3.0, 1.0))
    a, b = np.array([1.0, 2, 1, 4]), np.array([1.0, 1, 3, 2])
    assert fit_powers(np.log(np.stack([a**0.5 / b, a**0.5 / b], 1)), a, b) == pytest.approx(np.array([[0.5, 0.5], [-1, -1]]))
    assert over_seeds([1.0, 2.0, 3.0]) == (2.0, pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), rel=1e-3))


def _row(by: dict, seed: int, kind: str, term: str, value: float, step: float, k: float = np.nan) -> dict:
    weight = f"blocks.0.{kind}" if kind else ""
    return {**by, "seed": seed, "kind": kind, "weight": weight, "term": term, "step": step, "value": value, "k": k}


def planted_pairs(rate: float = 0.01, decay: float = 0.1) -> Runs:
    """Gains and spectra that follow the law, gradients that are independent."""
    rows = []
    for (name, (r, d)), seed, kind in product(PAIRS.items(), (0, 1), KINDS):
        amount, unit = 2 * rate * r * decay * d, np.sqrt(r / d) * finite_rate(np.array(rate * r * decay * d))
        for step in LOOKS:
            gain = relaxed(np.array(amount * step), 0.5, 3.0 * (1 + 0.01 * seed))
            terms = {"gain": gain * unit, "top singular value": 8 * unit, "rms": gain * unit, "stationarity": amount * step}
            terms |= {"rotation": float(turned(np.array(amount / 2)))}
            rows += [_row({"pair": name}, seed, kind, term, float(value), step) for term, value in terms.items()]
        rows += [_row({"pair": name}, seed, kind, "singular value", float(8 * unit / k), LOOKS[-1], k) for k in (1.0, 2.0, 3.0)]
        rows.append(_row({"pair": name}, seed, "", "validation loss", 2.0, LOOKS[-1]))
    return Runs(rate, decay, 0, Followed(pd.DataFrame(rows), "pair", tuple(PAIRS)))


def test_the_law_is_found_where_it_is_planted():
    runs = planted_pairs()
    for term in ("gain", "top singular value"):
        assert runs.exponents(term) == pytest.approx(np.array([[0.5, 0.5], [-0.5, -0.5]]), abs=0.03)
    assert runs.ratio("top singular value", "base", "decay x 2") == pytest.approx([2**0.5] * 2, rel=0.01)
    assert runs.apart(MILD) == pytest.approx([0.0, 0.0], abs=1e-9) and (runs.apart(MILD, scaled=False) > 0.1).all()
    assert runs.paces("gain") == pytest.approx(np.ones((6, 2)), rel=1e-3) and runs.turns == pytest.approx(np.ones((6, 2)))
    assert runs.tabulate()["pair"].tolist() == list(PAIRS) and len(runs.tabulate_kinds()) == 4 * len(KINDS)


def planted_widths(power: float) -> pd.DataFrame:
    """Under decay ~ n: the largest singular value, over the root of rate over decay, grows as a power; the first look of 64 is larger."""
    rows = []
    for n, seed, kind in product((32, 64), (0, 1), KINDS):
        by = {"size.n": n, "hp.learning_rate": 0.1, "hp.weight_decay": 0.1, "config": "linear", "source": "planted"}
        for step in (0, 90, 100):
            terms = {"top singular value": n ** (power - 1), "gain": n ** (power - 1), "stable rank in": n**0.5, "stable rank back": n**0.5}
            terms |= {"participation in": float(n), "rms": 5.0 if (n, step) == (64, 0) else 1.0, "stationarity": 0.04 * step}
            rows += [_row(by, seed, kind, term, value, step) for term, value in terms.items()]
        rows += [_row(by, seed, kind, "singular value", k**-0.25, 100, k) for k in np.arange(1.0, 41)]
    return pd.DataFrame(rows)


def test_powers_of_the_width_of_stationary_matrices():
    frame = planted_widths(0.8)
    widths = Widths(frame.assign(stationary=True), 0.1, 0.1)
    found = {way: widths.powers(way, "up") for way in WAYS}
    assert [found[way].mean() for way in WAYS] == pytest.approx([0.8, 0.75, 0.75, 0.8, 0.5])
    assert widths.local("top", "gate") == pytest.approx([0.8])
    flagged = Widths(flag(frame), 0.1, 0.1)  # exp(-4) of 25 times the variance is left at width 64
    assert flagged.counts == (4 * len(KINDS), 2 * len(KINDS)) and flagged.sizes.tolist() == [32.0]
    assert np.isnan(flagged.powers("top", "up")).all()
    with pytest.raises(ValueError, match="forgotten its initial values"):
        _ = Widths(flag(frame[frame["size.n"] == 64]), 0.1, 0.1).followed


def test_drifts_and_zero_shot_losses_where_they_are_planted():
    tuning, rows = PRESETS["laptop"].tuning, []
    for ensemble in tuning.plan.ensembles:
        n, power = ensemble.sizes["n"], float(RULES[ensemble.config])
        for replica in ensemble.replicas:
            if ensemble.case == "llama, decays":
                off = np.log2(replica.weight_decay / tuning.decay) + 3 - 0.25 * np.log2(n / 16)
            else:
                off = np.log2(replica.learning_rate / tuning.rate) + 1 - np.log2(n / 16) * (power - 0.5)
            by = {"case": ensemble.case, "config": ensemble.config, "size.n": n, "hp.learning_rate": replica.learning_rate}
            by |= {"hp.weight_decay": replica.weight_decay}
            rows.append(_row(by, replica.seed, "", "validation loss", 2 + off**2, tuning.study.steps))
    tuned = Tuned(tuning, pd.DataFrame(rows))
    assert [tuned.drift(rule).value for rule in RULES] == pytest.approx([-0.5, 0.0, 0.5])
    assert tuned.power.value == pytest.approx(0.75) and tuned.power.optima[1] == pytest.approx(np.log2(tuning.decay) - 3 + 0.75)
    assert {rule: float(loss.mean()) for rule, loss in tuned.zero_shot().items()} == pytest.approx(
        {"constant": 1.0, "root": 0.0, "linear": 1.0}
    )
    small = tuned.last[tuned.last["stationary"]]
    assert len(small) and (small["hp.learning_rate"] * small["hp.weight_decay"]).min() > 3 / 2 / tuning.study.steps / 2


@pytest.mark.parametrize("shape", [(3, 40, 30), (3, 30, 40), (2, 8, 100)])
def test_largest_singular_values_without_a_decomposition(shape: tuple[int, ...]):
    matrix = torch.as_tensor(np.random.default_rng(0).standard_normal(shape))
    known = torch.linalg.svdvals(matrix)
    torch.testing.assert_close(singular_values(matrix), known, rtol=1e-7, atol=0)
    torch.testing.assert_close(top_singular_value(matrix), known[:, 0], rtol=1e-4, atol=0)
    rank = Moments.of(matrix).stable_rank
    torch.testing.assert_close(rank, known.square().sum(1) / known[:, 0] ** 2, rtol=2e-4, atol=0)
    matrix[0, 0, 0] = torch.nan
    assert top_singular_value(matrix).isnan().tolist() == [True] + [False] * (len(matrix) - 1)


@pytest.mark.parametrize("name", ["spectra", pytest.param("language", marks=pytest.mark.slow)])
def test_the_smallest_size_runs_and_claims_nothing_wrong(name: str, tmp_path: Path):
    module = import_module(f"widelimit.paper_repro.weight_decay.{name}")
    result = module.reproduce("smoke", out=tmp_path, store_home=tmp_path / "store", progress=lambda line: None)
    assert [image.suffix for image in result.images[:2]] == [".png", ".svg"] and all(image.stat().st_size for image in result.images)
    assert result.claims and {claim.verdict for claim in result.claims} == {NOT_TESTED}
    assert len({claim.id for claim in result.claims}) == len(result.claims)
