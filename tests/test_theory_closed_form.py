"""Powers of each axis behind a table of a joint regime."""

from __future__ import annotations

import json
from fractions import Fraction

from widelimit.theory.closed_form import find_closed_form
from widelimit.theory.derivation import derive
from widelimit.theory.printing import as_latex, as_markdown, as_text
from widelimit.theory.scales import Powers, Regime
from widelimit.theory.table import ExponentTable, Row, Shape
from widelimit.theory.zoo import gpt, resmlp

TIED = Regime(n=1, L=1)


def test_depth_and_width_together_are_their_product():
    joint, alone = derive(resmlp(), "adamw", regime=TIED, closed_form=True), derive(resmlp(), "adamw")
    assert joint.verdict == "unique" and joint.per_axis is not None
    for mine, other in zip(joint.per_axis.rows, alone.rows, strict=True):
        assert (mine.init_std, mine.learning_rate, mine.epsilon) == (other.init_std, other.learning_rate, other.epsilon)
    assert joint.row("up").epsilon == Powers(scale=-2) and joint.per_axis.row("up").epsilon == Powers(n=-1, L=-1)


def test_the_attention_multiplier_is_one_over_the_head_dimension_in_a_joint_regime():
    table = derive(gpt(), "adam", regime=Regime(n=1, heads="1/2"), closed_form=True)
    assert table.operations[0].multiplier == Powers(scale="-1/2")
    assert table.per_axis is not None and table.per_axis.operations[0].multiplier == Powers(heads=1, n=-1)


def test_the_closed_form_is_printed_in_every_format():
    table = derive(resmlp(), "adamw", regime=TIED, closed_form=True)
    for text in (as_text(table), as_markdown(table)):
        assert text.count("L^-1 n^-1") == 2 and "powers of each axis" in text
    assert as_latex(table).count("tabular") == 4
    data = json.loads(json.dumps(table.as_json()))
    assert data["per_axis"]["rows"][1]["epsilon"] == {"n": "-1", "L": "-1"}
    assert "per_axis" not in derive(resmlp(), "adamw", regime=TIED).as_json()


def _one_cell(exponent: Fraction) -> ExponentTable:
    rows = (Row("w", Shape(Powers(a=1), Powers(b=1)), learning_rate=Powers(scale=exponent)),)
    return ExponentTable("made", "sgd", rows, verdict="unique")


def test_at_a_kink_the_closed_form_is_that_of_one_side_and_says_so():
    def slower(regime: Regime) -> ExponentTable:
        return _one_cell(-max(regime["a"], regime["b"]))

    for regime, expected in ((Regime(a=2, b=1), Powers(a=-1)), (Regime(a=1, b=2), Powers(b=-1))):
        found = find_closed_form(slower(regime), regime, slower)
        assert found is not None and found.rows[0].learning_rate == expected and not found.notes
    kink = find_closed_form(slower(Regime(a=1, b=1)), Regime(a=1, b=1), slower)
    assert kink is not None and "on one side of this regime only" in kink.notes[0]
