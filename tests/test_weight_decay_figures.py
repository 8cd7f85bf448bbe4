"""The figures on weight decay: their statistics on planted data, and their smallest sizes."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from widelimit.paper_repro.claims import NOT_TESTED
from widelimit.paper_repro.weight_decay import coloured
from widelimit.paper_repro.weight_decay.gains_claims import make_claims
from widelimit.paper_repro.weight_decay.slopes import estimate, local_slopes, slope
from widelimit.paper_repro.weight_decay.study import RUN, Followed, Study

STUDY = Study(("S1", "S2"), (32, 64, 128), 3)
SIZES = {"top singular value": 0.75, "noise top": 0.75, "gain": 0.5, "noise gain": 0.5, "rms": 0.0}
TURNS = np.sqrt(2 * STUDY.rate * STUDY.decay * 0.1 / 1.9)


def planted(powers: tuple[float, float] = (0.5, -0.5), *, similarity: float = np.exp(-1), short: int = 0, wild: int = -1) -> pd.DataFrame:
    """Rows of matrices that follow power laws exactly; ``short``: a width that is not stationary; ``wild``: a seed that diverged."""
    rows = []
    for case in STUDY.cases:
        for weight in ("blocks.0.up", "blocks.1.up"):
            for n in STUDY.widths:
                both = (1.0, 2.0) if n == STUDY.varied else (1.0,)
                for f, g, seed in ((f, g, seed) for f in both for g in both for seed in range(STUDY.seeds)):
                    rate, decay = STUDY.rate * f * 128 / n, STUDY.decay * g * n / 128
                    size = f ** powers[0] * g ** powers[1] * (rate / f / (decay / g)) ** 0.5 * 2 ** (0.01 * seed)
                    terms = {term: size * n**power for term, power in SIZES.items()}
                    if seed == wild:
                        terms["gain"] = np.inf
                    terms |= {"rotation": TURNS, "similarity": similarity, "stationarity": 1.0 if n == short else 9.0, "timescale": 250.0}
                    terms |= {f"{what} {side}": n**0.5 for what in ("stable rank", "participation") for side in ("in", "back")}
                    run = dict(zip(RUN, (case, n, STUDY.rate * f, STUDY.decay * g, seed), strict=True))
                    own = {**run, "weight": weight, "rate": rate, "decay": decay, "needed": 5.0, "k": np.nan}
                    rows += [{**own, "term": term, "value": value} for term, value in terms.items()]
    return pd.DataFrame(rows)


def test_slopes_of_planted_power_laws():
    widths = np.array([16.0, 32.0, 64.0])
    logs = np.log2(np.stack([3 * widths**0.5, 5 * widths**0.7]))
    assert np.allclose(slope(widths, logs), [0.5, 0.7]) and np.allclose(local_slopes(widths, logs), [[0.5, 0.5], [0.7, 0.7]])
    found = estimate({"a": slope(widths, logs)}, lambda means: float(means["a"]))
    assert found.value == pytest.approx(0.6) and found.interval == pytest.approx((0.5, 0.7))


def test_what_is_compared_is_drawn_together():
    values = np.array([0.0, 1.0, 2.0, 3.0])
    found = estimate({"a": values, "b": values + 1}, lambda means: float(means["b"] - means["a"]))
    assert (found.value, found.interval) == (1.0, (1.0, 1.0))


def test_exponents_of_planted_matrices_are_found():
    followed = Followed(planted(), STUDY)
    kind = ("S1", "blocks.0.up")
    for term, power in SIZES.items():
        assert np.allclose(followed.slopes(*kind, term), power)
    assert np.allclose(followed.bound(*kind), 0.75)
    assert np.allclose(followed.powers(*kind, "gain"), [[0.5] * 3, [-0.5] * 3])
    assert np.allclose(followed.persistence(*kind), 0) and np.allclose(followed.rotation(*kind), 1)
    assert followed.noise == followed.kinds and followed.excluded == 0


def test_a_signal_is_told_from_noise():
    followed = Followed(planted((0.0, -1.0), similarity=1.0), STUDY)
    assert followed.noise == [] and np.allclose(followed.persistence(*followed.kinds[0]), 1)
    assert np.allclose(followed.powers(*followed.kinds[0], "gain"), [[0.0] * 3, [-1.0] * 3])


def test_what_is_not_stationary_or_diverged_is_left_out_and_counted():
    short = Followed(planted(short=128), STUDY)
    assert short.excluded == 2 * 3 and list(short.logs("S1", "blocks.0.up", "gain")[0]) == [32, 64]
    wild = Followed(planted(wild=1), STUDY)
    assert wild.excluded == 2 * 6 and wild.logs("S1", "blocks.0.up", "gain")[1].shape == (2, 3)


def test_claims_judge_planted_noise_and_planted_signals():
    noise = {claim.id.split("/")[-1]: claim for claim in make_claims(Followed(planted(), STUDY))}
    assert all(noise[name].verdict == "reproduced" for name in ("noise", "median", "rate-and-decay", "rotation", "rms", "square-root"))
    assert noise["three-quarters-S1"].verdict == "reproduced" and noise["two-diagnostics"].measured == pytest.approx(0.25)
    signal = {claim.id.split("/")[-1]: claim for claim in make_claims(Followed(planted((0.0, -1.0)), STUDY))}
    assert signal["rate-and-decay"].verdict == signal["square-root"].verdict == "not reproduced"


def test_studies_are_as_stationary_at_every_width():
    study = Study()
    found = [study.ensemble("S1", n) for n in study.widths[:2]]
    own = [e.table.row("blocks.0.up") for e in found]
    assert own[0].learning_rate * own[0].weight_decay == own[1].learning_rate / own[1].learning_rate
    assert study.memory == 250 and len(found[0].replicas) == 4 and len(found[1].replicas) == 16


@pytest.mark.parametrize("name", ["coloured", pytest.param("gains", marks=pytest.mark.slow)])
def test_figures_at_their_smallest_size(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = import_module(f"widelimit.paper_repro.weight_decay.{name}")
    if name == "gains":
        monkeypatch.setitem(module.PRESETS, "smoke", replace(module.PRESETS["smoke"], widths=(8, 16), steps=90))
    lines: list[str] = []
    result = module.reproduce("smoke", out=tmp_path, store_home=tmp_path / "store", progress=lines.append)
    assert lines and {path.suffix for path in result.images} == {".png", ".svg"} and all(path.exists() for path in result.images)
    assert {claim.verdict for claim in result.claims} == {NOT_TESTED}
    assert len({claim.id for claim in result.claims}) == len(result.claims)
    assert np.isfinite(result.tables["exponents"]["exponent"]).all()


def test_exponents_of_coloured_noise_rise_with_its_spectrum():
    from widelimit.synthetic.coloured import Coloured, accumulate

    frame = pd.concat([accumulate(Coloured(d, (0.0, 1.0), ("both",), (0, 1))) for d in (24, 48, 96)], ignore_index=True)
    table = coloured.exponents(frame).set_index(["a", "term"])["exponent"]
    assert table[0.0, "top singular value"] < 0.6 < 0.7 < table[1.0, "top singular value"]
    assert table[1.0, "ranks"] == pytest.approx(0.87, abs=0.05) and abs(table[1.0, "rms"]) < 0.05
