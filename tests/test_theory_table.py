"""Tables: the symmetry between multiplier and weight, gauges, JSON, printing."""

import json
import re
from dataclasses import replace
from fractions import Fraction

import pytest
from helpers import assert_exponent, assert_same_table
from hypothesis import given, settings
from hypothesis import strategies as st
from widelimit.theory.derivation import derive
from widelimit.theory.optimizers import ADAM, SGD, Optimizer
from widelimit.theory.printing import as_latex, as_markdown, as_text
from widelimit.theory.scales import Powers, Regime
from widelimit.theory.table import GAUGES, ExponentTable, Row, Shape, differences
from widelimit.theory.zoo import mlp, resmlp

QUARTERS = st.integers(-8, 8).map(lambda k: Fraction(k, 4))
MONOMIALS = st.builds(lambda n, depth: Powers(n=n, L=depth), QUARTERS, QUARTERS)
ROWS = st.builds(Row, st.just("W"), st.just(Shape(Powers(n=1), Powers(n=1))), MONOMIALS, MONOMIALS, MONOMIALS, MONOMIALS, MONOMIALS)
RELATIVE = Optimizer("adam", relative=True)
TABLES = {
    "mlp sgd": lambda: derive(mlp(bias=True), "sgd"),
    "mlp adam": lambda: derive(mlp(bias=True), "adam"),
    "mlp ntk": lambda: derive(mlp(), "adam", desiderata="ntk"),
    "depth": lambda: derive(resmlp(branch="-3/4"), "adamw"),
    "family": lambda: derive(resmlp(branch=None), "adam"),
    "infeasible": lambda: derive(mlp(), "adam", fixed={"W3": {"init_std": Powers(n="-1/2")}}),
    "joint": lambda: derive(resmlp(branch=-1), "adam", regime=Regime(n=1, L="1/2")),
}


@pytest.fixture(scope="module", params=list(TABLES))
def table(request: pytest.FixtureRequest) -> ExponentTable:
    return TABLES[request.param]()


@pytest.mark.parametrize("gauge", GAUGES)
def test_gauges_leave_invariants(table: ExponentTable, gauge: str):
    assert_same_table(table, table.in_gauge(gauge), decay=True)
    assert table.in_gauge(gauge).in_gauge("multiplier-free").rows == table.in_gauge("multiplier-free").rows


@settings(max_examples=80, deadline=None)
@given(ROWS, MONOMIALS)
@pytest.mark.parametrize("optimizer", [SGD, ADAM, RELATIVE], ids=["sgd", "adam", "relative"])
def test_random_regauging(optimizer: Optimizer, row: Row, multiplier: Powers):
    moved = row.regauged(multiplier, optimizer)
    assert moved.multiplier == multiplier
    assert moved.invariants(optimizer) == row.invariants(optimizer)
    assert moved.regauged(row.multiplier, optimizer) == row


def test_slices_are_compared_one_by_one():
    whole = Row("W", Shape(Powers(n=1), Powers(n=1)), init_std=Powers(n="-1/2"))
    slices = tuple(replace(whole, weight=f"W[{i}]") for i in range(2))
    one = ExponentTable("net", "adam", (whole,))
    changed = (slices[0], replace(slices[1], init_std=Powers()))
    same, other = (replace(one, rows=(replace(whole, parts=parts),)) for parts in (slices, changed))
    assert not differences(one, same)
    assert [d.weight for d in differences(one, other)] == ["W[1]"]


@settings(max_examples=40, deadline=None)
@given(ROWS, QUARTERS.filter(bool), st.sampled_from(["init_std", "learning_rate", "epsilon", "weight_decay"]))
def test_a_changed_cell_is_a_difference(row: Row, power: Fraction, column: str):
    first = ExponentTable("net", "adam", (row,))
    second = first.changed("W", **{column: getattr(row, column) * Powers(n=power)})
    found = {d.invariant for d in differences(first, second)}
    expected = {"init_std": {"init"}, "learning_rate": {"update", "decay"}, "epsilon": {"epsilon"}, "weight_decay": {"decay"}}
    assert found == expected[column]


def test_the_symmetry_as_the_papers_write_it():
    # a + theta, b - theta, c - 2 theta (SGD: TP IV Eq. 5) or c - theta, d + theta (Adam: TP IVb Prop. 2.2.3)
    row = Row("W", Shape(), epsilon=Powers())
    theta = Powers(n=-1)
    sgd, adam = row.regauged(theta, SGD), row.regauged(theta, ADAM)
    assert_exponent(sgd.init_std, n=1)
    assert_exponent(sgd.learning_rate, n=2)
    assert_exponent(adam.learning_rate, n=1)
    assert_exponent(adam.epsilon, n=-1)
    assert_exponent(adam.weight_decay, n=-1)
    assert row.regauged(theta, RELATIVE).learning_rate == Powers()


def test_gauges_are_the_tables_of_tp5():
    adam = derive(mlp(), "adam")
    nine = adam.in_gauge("tp5-table-9").row("W3")
    assert (nine.multiplier, nine.init_std, nine.learning_rate) == (Powers(n="-1/2"),) * 3
    eight = adam.in_gauge("tp5-table-8").row("W3")
    assert (eight.multiplier, eight.init_std, eight.learning_rate, eight.epsilon) == (Powers(n=-1), Powers(), Powers(), Powers(n=-1))
    assert all(r.init_std == Powers() for r in adam.in_gauge("unit-init").rows)


def test_missing_rows_and_multipliers_are_differences():
    first, second = derive(mlp(), "sgd"), derive(mlp(bias=True), "sgd")
    assert {d.weight for d in differences(first, second)} == {"b1", "b2", "b3"}
    assert [str(d) for d in differences(derive(resmlp(branch=-1), "sgd"), derive(resmlp(branch="-1/2"), "sgd"), decay=False)][-1] == (
        "branch: multiplier L^-1 against L^-1/2"
    )


def test_json_round_trip(table: ExponentTable):
    text = json.dumps(table.as_json())
    again = ExponentTable.from_json(json.loads(text))
    assert not differences(table, again)
    assert again.verdict == "given"  # what is read from a file was not derived here
    assert json.dumps({**again.as_json(), "verdict": table.verdict}) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "not a table of schema 1"),
        ({"rows": None}, "lacks the field `rows`"),
        ({"optimizer": "leon"}, "unknown optimizer `leon`"),
        ({"rows": [{"shape": {}}]}, "lacks the field `weight`"),
        ({"rows": [{"weight": "W", "init_std": {"n": "half"}}]}, "row `W` of the table: power of axis `n` `half` is not a rational"),
    ],
)
def test_bad_json(change: dict, message: str):
    data = {k: v for k, v in {**derive(mlp(), "sgd").as_json(), **change}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        ExponentTable.from_json(data)


@pytest.mark.parametrize("write", [as_text, as_markdown, as_latex])
def test_every_row_is_printed(table: ExponentTable, write):
    text = write(table)
    for name in [r.weight for r in table.rows] + [o.name for o in table.operations]:
        line = next((line for line in text.splitlines() if name in re.split(r"[\s`{}|]+", line)), None)
        assert line is not None, f"{name} is missing in\n{text}"
    if not table.rows:
        assert table.verdict == "infeasible" and all(label in text for label in table.clash), text
        return
    row = next(r for r in table.rows if r.init_std)
    shown = next(line for line in text.splitlines() if row.weight in re.split(r"[\s`{}|]+", line))
    if write is as_latex:
        assert re.search(r"\\frac\{1\}|\^\{", shown), shown
    else:
        assert all(str(getattr(row, c)) in shown for c in ("init_std", "learning_rate")), shown


def test_explanations_name_every_weight(table: ExponentTable):
    for write in (as_text, as_markdown, as_latex):
        text = write(table, explain=True)
        for row in table.rows:
            assert row.reason in text and row.reason


def test_verdicts_are_printed():
    assert "verdict: unique modulo symmetry" in as_text(TABLES["mlp adam"]())
    assert "free: amp:down [L]" in as_text(TABLES["family"]())
    infeasible = TABLES["infeasible"]()
    assert infeasible.verdict == "infeasible"
    assert any(label.startswith("update") for label in infeasible.clash)
    text = as_text(infeasible)
    assert "these cannot hold together:" in text and all(label in text for label in infeasible.clash)


def test_clash_names_what_contradicts():
    # the readout at n^-1/2 forbids features to move
    clash = TABLES["infeasible"]().clash
    assert {"update W1", "update W2"} & set(clash)
    full = derive(mlp(), "adam", fixed={"W3": {"init_std": Powers(n=-1)}})
    assert full.verdict == "unique" and not full.clash
