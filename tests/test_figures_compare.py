"""Predicted exponents against measured slopes: every verdict, each from data made to have it."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from widelimit.figures.compare import compare_slopes, misses

SIZES = (64, 128, 256, 512)


def term(weight, name, values, *, step=1, seeds=4, noise=0.0, predicted=None):
    """Rows of one term; ``values`` maps a size to a value."""
    rng = np.random.default_rng(0)
    rows = [(s, weight, name, step, n, values(n) * np.exp(noise * rng.standard_normal()), predicted) for s in range(seeds) for n in SIZES]
    return pd.DataFrame(rows, columns=["seed", "weight", "term", "step", "size.n", "value", "predicted"])


def verdict(frame, exponent, **options):
    (row,) = compare_slopes(frame, axis="n", predicted={("w", "t"): exponent}, **options).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("exponent", "found"),
    [
        (Fraction(-1, 2), "agrees"),
        (-0.42, "agrees"),
        (-0.38, "misses"),
        (0, "misses"),
        ((-1, 0), "agrees"),
        ((0, 1), "misses"),
        (None, "misses"),
    ],
)
def test_a_clean_slope_of_minus_one_half(exponent, found):
    row = verdict(term("w", "t", lambda n: n**-0.5), exponent)
    assert row["verdict"] == found
    assert row["measured"] == pytest.approx(-0.5)
    assert (row["se"], row["tolerance"]) == pytest.approx((0, 0.1))


def test_noise_widens_the_tolerance_until_it_cannot_tell():
    clear = verdict(term("w", "t", lambda n: 1.0, noise=0.05), 0)
    assert clear["verdict"] == "agrees"
    assert clear["tolerance"] == pytest.approx(0.1 + 2 * clear["se"])
    wild = term("w", "t", lambda n: 1.0, noise=1.0)
    assert verdict(wild, 5)["verdict"] == "misses"
    assert verdict(wild, verdict(wild, 5)["measured"])["verdict"] == "too noisy"


def test_what_vanishes_or_diverges_is_named():
    zero, infinite = term("w", "t", lambda n: 0.0), term("w", "t", lambda n: math.inf if n == 512 else 1.0)
    assert verdict(zero, None)["verdict"] == "vanishes"
    assert verdict(zero, 0)["verdict"] == "misses"
    assert verdict(infinite, 0)["verdict"] == "diverged"
    seen = term("w", "u", lambda n: 1.0)
    for value, found in ((None, "too noisy"), (math.nan, "diverged")):  # too small to be felt in one network; not a number there
        part = term("w", "t", lambda n: 1.0)
        part = part.iloc[1:] if value is None else part.assign(value=[value, *part["value"][1:]])
        rows = compare_slopes(pd.concat([seen, part]), axis="n", predicted={("w", "t"): 0, ("w", "u"): 0})
        assert rows.set_index("term")["verdict"].to_dict() == {"u": "agrees", "t": found}
    rows = compare_slopes(pd.concat([zero, infinite.assign(term="u")]), axis="n", predicted={("w", "t"): None, ("w", "u"): 0})
    assert misses(rows)["term"].tolist() == ["u"]


def test_a_size_that_a_seed_lacks_is_no_measurement():
    frame = term("w", "t", lambda n: 1.0)
    assert verdict(frame.drop(index=3), 0)["verdict"] == "diverged"


def test_the_frames_own_column_is_the_default():
    frame = pd.concat(
        [
            term("w", "t", lambda n: n**-0.5, predicted=-0.5),
            term("w", "t", lambda n: n**0.5, step=2, predicted=-0.5),
            term("v", "t", lambda n: 0.0, predicted=math.nan),
        ]
    )
    rows = compare_slopes(frame, axis="n")
    assert rows["verdict"].tolist() == ["agrees", "misses", "vanishes"]
    assert list(rows.columns) == ["weight", "term", "step", "predicted", "measured", "se", "tolerance", "verdict"]


def test_terms_without_a_prediction_are_left_out():
    frame = pd.concat([term("w", "t", lambda n: 1.0), term("w", "other", lambda n: 1.0)])
    assert len(compare_slopes(frame, axis="n", predicted={("w", "t"): 0})) == 1


def test_a_frame_that_lacks_something_is_refused():
    with pytest.raises(ValueError, match=r"no column `size\.m`"):
        compare_slopes(term("w", "t", lambda n: 1.0), axis="m")
    two = pd.concat([term("w", "t", lambda n: 1.0, predicted=0.0), term("w", "t", lambda n: 1.0, predicted=1.0)])
    with pytest.raises(ValueError, match="has 2 predicted exponents"):
        compare_slopes(two, axis="n")
    with pytest.raises(ValueError, match="two different sizes"):
        compare_slopes(term("w", "t", lambda n: 1.0)[lambda f: f["size.n"] == 64], axis="n", predicted={("w", "t"): 0})
