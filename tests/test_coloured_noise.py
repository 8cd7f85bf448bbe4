"""What AdamW makes of coloured noise: closed forms, numbers of an independent prototype, and what correlations predict."""

import numpy as np
import pandas as pd
import pytest
from widelimit.synthetic.coloured import Coloured, accumulate
from widelimit.theory.gain import PowerLaw, chevet, noise_top


def test_the_top_of_white_noise_is_the_edge_and_chevet_bounds_all():
    white = np.ones(100)
    assert noise_top(white, white) == pytest.approx(20, rel=0.03) and chevet(white, white) == pytest.approx(20)
    assert noise_top(np.ones(400), white) == pytest.approx(30, rel=0.03)
    for a in (0.5, 1.0):
        values = PowerLaw.of(a).eigenvalues(100)
        assert 20 < noise_top(values, white) < chevet(values, white) * 1.02
        assert noise_top(values, values) < chevet(values, values)
    assert noise_top(5 * white, white) == noise_top(white, white)  # sums do not matter


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.concat([accumulate(Coloured(d, (0.0, 1.0), seeds=(0, 1))) for d in (32, 64, 128)], ignore_index=True)


def of(frame: pd.DataFrame, term: str, column: str = "value", side: str = "both", a: float = 0.0) -> np.ndarray:
    rows = frame[(frame["term"] == term) & (frame["config"] == side) & (frame["hp.exponent"] == a)]
    return rows.groupby("size.n")[column].mean().to_numpy()


def test_white_noise_has_the_numbers_of_the_prototype(frame: pd.DataFrame):
    # a NumPy loop of its own: 10.3 and 14.7 at widths 64 and 128, entries of 0.645 (AdamW's closed form: 0.66 at eta lambda = 0.02)
    assert np.allclose(of(frame, "top singular value")[1:], (10.3, 14.7), rtol=0.03)
    assert np.allclose(of(frame, "rms"), 0.645, rtol=0.03)
    assert np.allclose(of(frame, "gain"), np.sqrt([32, 64, 128]) * 0.645, rtol=0.03)


@pytest.mark.parametrize("side", ["both", "in"])
def test_noise_of_the_same_correlations_has_the_measured_top_and_gain(frame: pd.DataFrame, side: str):
    for a, wide in ((0.0, 0.05), (1.0, 0.2)):
        for term in ("top singular value", "gain"):
            assert np.allclose(of(frame, term, side=side, a=a), of(frame, term, "predicted", side=side, a=a), rtol=wide)
    assert (of(frame, "top singular value", side=side, a=1.0) > 1.3 * of(frame, "top singular value", side=side)).all()


def test_singular_values_are_all_of_them_and_add_up_to_the_entries(frame: pd.DataFrame):
    rows = frame[(frame["term"] == "singular value") & (frame["size.n"] == 32) & (frame["seed"] == 0) & (frame["config"] == "both")]
    rows = rows[rows["hp.exponent"] == 1.0].sort_values("k")
    assert list(rows["k"]) == list(range(1, 33)) and rows["value"].is_monotonic_decreasing
    rms = frame[(frame["term"] == "rms") & (frame["size.n"] == 32) & (frame["seed"] == 0) & (frame["config"] == "both")]
    assert (rows["value"] ** 2).sum() / 32**2 == pytest.approx(rms[rms["hp.exponent"] == 1.0]["value"].iloc[0] ** 2, rel=1e-5)


def test_steps_are_memories_and_seeds_repeat():
    one = Coloured(8, (0.5,), ("in",), (3,), learning_rate=0.1, weight_decay=0.5, memories=2.0)
    assert one.steps == 40 and one.stationarity == pytest.approx(4)
    assert accumulate(one)["value"].equals(accumulate(one)["value"])
    assert not accumulate(one)["value"].equals(accumulate(Coloured(8, (0.5,), ("in",), (4,), 0.1, 0.5, 2.0))["value"])


def test_sides_that_there_are_not_are_named():
    with pytest.raises(ValueError, match="`sides` out"):
        Coloured(8, (0.0,), ("out",))
