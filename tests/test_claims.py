"""Verdicts, negative controls and what makes the exit status 1."""

import json
import math

import pytest
from widelimit.paper_repro.claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Claim, Control, failures


def claim(**changes):
    """A claim that a slope is -1 within 0.1, measured as -0.98, with a control at 0."""
    given = {
        "id": "paper/figure/slope",
        "statement": "the slope is -1",
        "source": "Theorem 3",
        "kind": "prediction",
        "expected": -1.0,
        "tolerance": 0.1,
        "reason": "finite size",
        "control": Control("another range", 0.0),
        "measured": -0.98,
    }
    return Claim(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, REPRODUCED),
        ({"measured": -1.1 + 1e-12}, REPRODUCED),
        ({"measured": -0.8}, NOT_REPRODUCED),
        ({"measured": None}, NOT_TESTED),
        ({"measured": math.nan}, NOT_REPRODUCED),
        ({"measured": math.inf}, NOT_REPRODUCED),
        ({"interval": (-1.05, -0.92)}, REPRODUCED),
        ({"interval": (-1.2, -0.8)}, NOT_TESTED),
        ({"measured": -0.8, "interval": (-0.85, -0.75)}, NOT_REPRODUCED),
        ({"measured": -0.8, "interval": (-1.1, -0.5)}, NOT_TESTED),
        ({"interval": (math.nan, math.nan)}, NOT_TESTED),
        ({"relation": ">=", "measured": 5.0}, REPRODUCED),
        ({"relation": ">=", "measured": -1.2}, NOT_REPRODUCED),
        ({"relation": ">=", "measured": 0.0, "interval": (-0.5, 3.0)}, REPRODUCED),
        ({"relation": ">=", "measured": 0.0, "interval": (-2.0, 2.0)}, NOT_TESTED),
        ({"relation": "<=", "measured": -5.0}, REPRODUCED),
        ({"relation": "<=", "measured": 0.0}, NOT_REPRODUCED),
    ],
)
def test_verdicts(changes, verdict):
    assert claim(**changes).verdict == verdict


def test_a_prediction_that_holds_and_one_that_misses():
    assert claim().failure == ""
    missed = claim(measured=0.0, control=Control("the right range", -1.0))
    assert missed.failure == "a prediction of this package misses its measurement"
    assert failures([claim(), missed]) == ["paper/figure/slope: a prediction of this package misses its measurement"]


def test_a_control_that_does_not_turn_the_verdict_makes_a_claim_invalid():
    blind = claim(control=Control("the same thing", -1.0))
    assert not blind.control_turns
    assert "does not turn" in blind.failure
    undecided = claim(control=Control("too noisy", 0.0, (-3.0, 3.0)))
    assert undecided.control_verdict == NOT_TESTED
    assert "does not turn" in undecided.failure


def test_a_control_may_change_what_is_expected():
    swapped = claim(kind="published", expected=0.07, on_record=NOT_REPRODUCED, control=Control("corrected", expected=-1.0))
    assert swapped.verdict == NOT_REPRODUCED
    assert swapped.control_verdict == REPRODUCED
    assert swapped.failure == ""


def test_a_published_claim_may_fail_only_if_that_is_on_record():
    wrong = {"kind": "published", "measured": 0.0, "control": Control("as printed", -1.0)}
    assert claim(**wrong).failure == "the verdict on record is `reproduced`"
    assert claim(**wrong, on_record=NOT_REPRODUCED).failure == ""
    assert claim(kind="published", on_record=NOT_REPRODUCED).failure == "the verdict on record is `not reproduced`"
    assert claim(**wrong, on_record=NOT_TESTED).failure == ""


def test_what_was_not_tested_does_not_fail():
    assert claim(measured=None, control=Control("nothing", None)).failure == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on_record": "true"}, "verdict on record `true`"),
        ({"kind": "guess"}, "unknown kind `guess`"),
        ({"relation": "~"}, "relation `~`"),
        ({"tolerance": -1.0}, "not -1.0"),
        ({"reason": ""}, "needs a tolerance"),
        ({"on_record": NOT_REPRODUCED}, "is a bug, not a claim"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        claim(**changes)


def test_claims_survive_json():
    full = claim(interval=(-1.0, -0.95), control=Control("c", 0.0, (-0.1, 0.1)), unit="1", record_reason="because")
    assert Claim.from_json(json.loads(json.dumps(full.as_json()))) == full
    keys = {
        "id",
        "statement",
        "source",
        "on_record",
        "expected",
        "tolerance",
        "reason",
        "measured",
        "interval",
        "verdict",
        "negative_control",
    }
    assert keys <= set(full.as_json())
    forged = {**full.as_json(), "measured": 0.0, "interval": None}
    assert Claim.from_json(forged).verdict == NOT_REPRODUCED
