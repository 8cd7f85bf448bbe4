"""Decay rules as solutions of invariances, against the published table, and as desiderata of the engine."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import pytest
from helpers import N, assert_exponent, assert_row, call
from hypothesis import given
from hypothesis import strategies as st
from widelimit.theory.decay import (
    CONSTANT_DECAY,
    EQUAL_ROTATION,
    EQUAL_TIMESCALE,
    MAXIMAL,
    RATE,
    SteadyWeight,
    equal_gain,
    equal_top,
    settle,
    substitute,
)
from widelimit.theory.decay import DECAY as DECAY_OF
from widelimit.theory.decay_rules import rules
from widelimit.theory.derivation import derive
from widelimit.theory.desiderata import find_desiderata
from widelimit.theory.experts import REGIMES, moe
from widelimit.theory.graph import Graph
from widelimit.theory.optimizers import OPTIMIZERS, find_optimizer
from widelimit.theory.scales import Axis, Powers, Regime
from widelimit.theory.table import ExponentTable, differences
from widelimit.theory.zoo import gpt, mlp, resmlp

D = Powers(d=1)
ALPHA = Powers({"d^alpha": 1})
NET = mlp(hidden=2)
ALPHAS = st.fractions(Fraction(1, 2), 1, max_denominator=12)

# Rates and decays of matrices against the width, as they are published (sources: `decay_rules`); None: no decay.
PUBLISHED = {
    "R0": (D**-1, Powers()),
    "R1": (D**-1, D),
    "R2": (D**-1, D ** "1/2"),
    "R3": (D**-1, ALPHA**2 / D),
    "R4": (ALPHA**-1, ALPHA),
    "R5": (Powers(), Powers()),
    "R6": (D**-1, None),
    "R7": (D**-1, D / D ** (2 * Fraction(527, 1000))),  # tokens fixed: memory (d^2)^0.527
    "R8": (Powers(), None),
    "R9": (Powers(), Powers()),
}
# What they do to the steady state where gain and top singular value go as d^(3/4): root of the ratio, gain, memory, angle.
STEADY = {
    "R0": ("-1/2", "1/4", 1, "-1/2"),
    "R1": (-1, "-1/4", 0, 0),
    "R2": ("-3/4", 0, "1/2", "-1/4"),
    "R4": ("-3/4", 0, 0, 0),
    "R5": (0, "3/4", 0, 0),
}


def adamw(out: Powers = D, inn: Powers = D, optimizer: str = "adamw", **more: Powers) -> SteadyWeight:
    return SteadyWeight.of(find_optimizer(optimizer), out, inn, **more)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_rules_are_what_is_published(rule):
    found = rule.solve()
    assert not found.clash
    assert (found.rate, found.decay if rule.decayed else None) == PUBLISHED[rule.name]


@pytest.mark.parametrize("rule", rules(measured=Fraction(3, 4)), ids=lambda rule: rule.name)
def test_what_rules_do_to_the_steady_state(rule):
    if not rule.decayed:
        with pytest.raises(ValueError, match=f"{rule.name} .* no steady state"):
            rule.scaling(Fraction(3, 4))
    elif rule.name in STEADY:
        found = rule.scaling(Fraction(3, 4))
        ratio, gain, memory, angle = STEADY[rule.name]
        for name, power in {"ratio": ratio, "gain": gain, "top singular value": gain, "memory": memory, "angle": angle}.items():
            assert_exponent(found[name], d=power)


def test_rules_print_themselves():
    lines = [str(rule) for rule in rules()]
    assert lines[2] == "R2: rate d^-1, decay d^1/2: maximal updates, equal gain (adamw; Fan et al., arXiv 2510.15262)"
    assert lines[3].startswith("R3: rate d^-1, decay d^(-1 + 2 alpha): ") and lines[6].startswith("R6: rate d^-1, decay 0: ")


def test_memory_by_tokens_per_parameter():
    """Where tokens grow as parameters do, the memory in epochs is fixed: decay = batch / (rate tokens)."""
    for tokens, batch, decay in ((D**2, Powers(), D**-1), (D**2, D, Powers()), (Powers(), Powers(), D / D ** Fraction(527, 500))):
        rule = next(rule for rule in rules(tokens=tokens, batch=batch) if rule.name == "R7")
        assert rule.solve().decay == decay


@given(ALPHAS, st.sampled_from(["adamw", "adamw-independent", "lion", "muon-rms"]), st.sampled_from([equal_gain, equal_top]))
def test_what_is_solved_is_kept(alpha: Fraction, optimizer: str, kind):
    for kept in ((MAXIMAL, kind(alpha)), (EQUAL_TIMESCALE, kind(alpha)), (CONSTANT_DECAY, kind(alpha))):
        weight = adamw(optimizer=optimizer)
        found = settle(weight, kept)
        if found.clash:  # an independent decay is its own timescale: a constant one leaves the rate to the gain, and no more
            assert EQUAL_TIMESCALE in kept or CONSTANT_DECAY in kept
            continue
        assert found.rate is not None and found.decay is not None
        assert not any(substitute(one.size(weight), {RATE: found.rate, DECAY_OF: found.decay}) for one in kept)


@given(ALPHAS)
def test_timescale_and_gain_agree_for_coherent_noise_alone(alpha: Fraction):
    found = settle(adamw(), (MAXIMAL, EQUAL_TIMESCALE, equal_gain(alpha)))
    assert bool(found.clash) == (alpha != 1)
    if found.clash:
        assert len(found.clash) == 3, "any two of them can be kept"


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-independent", "lion", "muon", "muon-rms", "sgd"])
def test_equal_rotation_is_equal_timescale(optimizer: str):
    weight = adamw(optimizer=optimizer)
    assert weight.rotation**2 == weight.forgotten
    one, two = (settle(weight, (MAXIMAL, kept)) for kept in (EQUAL_ROTATION, EQUAL_TIMESCALE))
    assert (one.rate, one.decay) == (two.rate, two.decay)


def test_fans_that_differ():
    """Gain sees the fan-in alone; the top singular value is (larger)^(1/2) (smaller)^(alpha - 1/2), the same from both sides."""
    wide = adamw(D**2, D)
    assert settle(wide, (MAXIMAL, equal_gain(Fraction(3, 4)))).decay == D ** "1/2"
    assert wide.top(Fraction(3, 4)) / wide.rms == D ** "5/4" == adamw(D, D**2).top(Fraction(3, 4)) / wide.rms
    assert wide.top(Fraction(1)) / wide.rms == D ** "3/2", "coherent: the root of the number of entries"


def test_muon_keeps_timescale_and_top_singular_value_at_once():
    """All singular values of its updates are one: with maximal updates there is nothing to choose between, whatever its scale."""
    for name in ("muon", "muon-scaled", "muon-rms", "muon-keller-jordan", "dion"):
        weight = adamw(optimizer=name)
        assert not settle(weight, (MAXIMAL, EQUAL_TIMESCALE, equal_gain(), equal_top())).clash
    kimi = adamw(optimizer="muon-rms")
    assert settle(kimi, (MAXIMAL, equal_top())).decay == D ** "1/2"
    assert substitute(kimi.top(Fraction(1, 2)), {RATE: Powers(), DECAY_OF: Powers()}) == D ** "1/2", "neither scaled: it grows"


def test_the_gain_of_independent_decay():
    """Decay that the rate does not multiply is the coupled one times the rate."""
    for kept in (equal_gain(), equal_top(), EQUAL_TIMESCALE):
        one, two = (settle(adamw(optimizer=name), (MAXIMAL, kept)) for name in ("adamw", "adamw-independent"))
        assert one.decay is not None and two.decay == one.decay * D**-1


@pytest.mark.parametrize(
    ("name", "rate", "decay"),
    [
        ("gain-invariant", -1, "1/2"),
        ("gain-invariant:1/2", -1, 0),
        ("gain-invariant:1", -1, 1),
        ("gain-invariant:0.75", -1, "1/2"),
        ("equal-top-singular-value:5/8", -1, "1/4"),
        ("constant-decay", -1, 0),
        ("equal-timescale", -1, 1),
        ("balanced", "-3/4", "3/4"),
        ("balanced:1/2", "-1/2", "1/2"),
        ("stable+maximal-update+faithful+gain-invariant", -1, "1/2"),
    ],
)
def test_desiderata(name: str, rate: int | str, decay: int | str):
    table = derive(NET, "adamw", desiderata=name)
    assert table.verdict == "unique" and table.desiderata == name
    assert_row(table, "W2", learning_rate=N**rate, weight_decay=N**decay, init_std=N ** "-1/2", epsilon=N**-1)
    assert_row(table, "W1", learning_rate=Powers())
    assert_row(table, "W3", learning_rate=N**-1)
    alone = name in ("constant-decay", "equal-timescale")
    assert [row.decayed for row in table.rows] == [alone, True, alone]


def test_sets_with_another_decay():
    assert find_desiderata("gain-invariant") == ("stable", "maximal-update", "faithful", "gain-invariant")
    assert find_desiderata("mup") == ("stable", "maximal-update", "faithful", "equal-timescale")
    assert find_desiderata("complete+balanced:1") == ("stable", "maximal-update", "layerwise-update", "faithful", "balanced:1")
    assert find_desiderata("equal-timescale") == find_desiderata("mup")
    assert find_desiderata("mssp+no-decay")[-1] == "no-decay"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gain-invariant:2", "alpha of `gain-invariant` is 2; it lies between 1/2"),
        ("gain-invariant:half", "alpha of `gain-invariant` `half` is not a rational number"),
        ("gain-invariant:", "alpha of `gain-invariant` `` is not a rational number"),
        ("constant-decay:1", "`constant-decay` takes no exponent"),
        ("no-decay+gain-invariant", "`no-decay` cannot be joined with gain-invariant"),
        ("stable:1", "unknown desideratum `stable:1`"),
        ("stable+gain-invariant", "must contain one of maximal-update"),
    ],
)
def test_wrong_desiderata(name: str, says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        derive(NET, desiderata=name)


def test_a_contradiction_is_named():
    table = derive(NET, desiderata="equal-timescale+gain-invariant")
    assert table.verdict == "infeasible" and not table.rows
    assert [re.sub(r".*\((.*)\)$", r"\1", line) for line in table.clash] == ["maximal-update", "equal-timescale", "gain-invariant"]
    assert all(line.startswith("W2: ") for line in table.clash), "vector-like weights do not decay"
    assert derive(NET, desiderata="equal-timescale+gain-invariant:1").verdict == "unique"


def test_balanced_says_that_it_needs_a_warmup():
    (note,) = derive(gpt(), desiderata="balanced").notes
    assert "6 weights are n^1/4 times" in note and "warmed up" in note
    assert not derive(gpt(), desiderata="balanced:1").notes


def test_reasons_are_one_line_of_mathematics():
    def reason(weight: str, **options: str) -> str:
        return derive(NET, **options).row(weight).reason.rsplit("; ", 1)[1]  # type: ignore[arg-type]

    assert reason("W2", desiderata="gain-invariant").startswith("gain sqrt(rate / decay) * n^3/4 = 1 with rate = n^-1, so decay = n^1/2")
    assert "arXiv 2510.15262, and not universal" in reason("W2", desiderata="gain-invariant")
    assert "not universal" not in reason("W2", desiderata="gain-invariant:3/4")
    assert reason("W2", desiderata="mup") == "removed per step rate * decay = 1 with rate = n^-1, so decay = n"
    assert "vector-like" in reason("W1", desiderata="gain-invariant")
    assert "rate / sqrt(decay) * n^3/4" in reason("W2", optimizer="adamw-independent", desiderata="gain-invariant")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_settles_or_says_why_not(name: str):
    optimizer = OPTIMIZERS[name]
    if optimizer.relative and optimizer.decay:
        with pytest.raises(ValueError, match=f"`gain-invariant` cannot be asked of `{name}`.*no steady state"):
            derive(NET, name, desiderata="gain-invariant")
        return
    table = derive(NET, name, desiderata="gain-invariant")
    assert table.verdict == "unique"
    assert any("no weight decay" in note for note in table.notes) == (not optimizer.decay)
    steady = SteadyWeight.of(optimizer, N, N, maximal=table.row("W2").learning_rate, gradient=N ** (-optimizer.degree_back))
    if optimizer.decay:
        kept = {RATE: table.row("W2").learning_rate, DECAY_OF: table.row("W2").weight_decay}
        assert not substitute(steady.gain(Fraction(1, 2 if optimizer.flat else 4) * (1 if optimizer.flat else 3)), kept)


def test_no_decay_is_not_a_power():
    table = derive(NET, desiderata="gain-invariant")
    text, data = str(table), table.as_json()
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("W")] == ["0", "n^1/2", "0"]
    assert [row["decayed"] for row in data["rows"]] == [False, True, False] and data["schema"] == 1
    again = ExponentTable.from_json(json.loads(json.dumps(data)))
    assert not differences(table, again) and not again.row("W1").decayed
    found = differences(table, derive(NET, desiderata="mup"))
    assert {(d.weight, d.invariant) for d in found} == {("W1", "decay"), ("W2", "decay"), ("W3", "decay")}
    for row in data["rows"]:
        del row["decayed"]  # a table written before there was the field
    assert ExponentTable.from_json(data).row("W1").decayed


def test_gauges_leave_decay_per_step_alone():
    table = derive(NET, desiderata="gain-invariant")
    assert not differences(table, table.in_gauge("tp5-table-9")) and not table.in_gauge("tp5-table-9").row("W1").decayed


def test_several_axes():
    """A matrix is one that grows on both sides, whichever axes these are."""
    g = Graph("two", [Axis("n"), Axis("m")])
    g.dims(x=8, wide="n", deep="m", y=2)
    h = g.map("relu", g.dense("first", g.input("x"), "wide"))
    net = g.build(g.dense("last", g.map("relu", g.dense("middle", h, "deep")), "y"))
    table = derive(net, desiderata="gain-invariant")
    assert [row.decayed for row in table.rows] == [False, True, False]
    assert_exponent(table.row("middle").weight_decay, n="1/2")
    tied = derive(net, desiderata="equal-top-singular-value", regime=Regime(n=1, m=2), closed_form=True)
    assert_exponent(tied.row("middle").weight_decay, scale="3/2")  # rate n^-1, top sqrt(rate / decay) m^1/2 n^1/4
    assert tied.per_axis is not None
    assert_exponent(tied.per_axis.row("middle").weight_decay, m=1, n="-1/2")
    fixed = derive(net, desiderata="gain-invariant", regime=Regime(n=1, m=0))
    assert not any(row.decayed for row in fixed.rows), "with one side fixed there is no matrix"


def test_depth_leaves_the_gain_of_a_layer_alone():
    table = derive(resmlp(branch=-1), desiderata="complete+gain-invariant")
    for weight in ("up", "down"):
        assert_row(table, weight, learning_rate=N**-1, weight_decay=N ** "1/2")


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]):
    status, out, _ = call(capsys, "derive", "transformer", "--optimizer", "adamw", "--desiderata", "gain-invariant", "--explain")
    assert status == 0
    assert re.search(r"^blocks.0.mlp.up +n x n .* n\^1/2$", out, re.M) and re.search(r"^embedding +n x 1 .* 0$", out, re.M)
    assert re.search(r"^blocks.0.mlp.up: .*gain sqrt\(rate / decay\) \* n\^3/4 = 1 with rate = n\^-1, so decay = n\^1/2", out, re.M)
    for form in ("markdown", "latex"):
        assert call(capsys, "derive", "mlp", "--desiderata", "gain-invariant:1/2", "--format", form)[0] == 0
    status, out, err = call(capsys, "derive", "mlp", "--desiderata", "gain-invariant:3")
    assert (status, out) == (2, "") and "alpha of `gain-invariant` is 3" in err and err.count("\n") == 1
    assert "equal-top-singular-value" in call(capsys, "list", "desiderata")[1]


@pytest.mark.slow
def test_remedies_with_another_decay(capsys: pytest.CaptureFixture[str]):
    """Where MSSP needs a start that is not Gaussian, it does so whatever decays."""
    status, out, _ = call(capsys, "derive", "moe", "--regime", "II", "--optimizer", "adamw", "--desiderata", "mssp+gain-invariant")
    assert status == 0 and "note: remedy: " in out
    assert re.search(r"^router .* scale\^1/2$", out, re.M) and re.search(r"^embed .* 0$", out, re.M)


def test_an_index_is_no_fan():
    """Experts are a batch of matrices, whose gains do not know how many there are; the router is a matrix where experts grow."""
    wider, more = (derive(moe(), "adamw", desiderata="gain-invariant", regime=REGIMES[regime]) for regime in ("I", "III"))
    for table, matrices in ((wider, {"up", "down"}), (more, {"router", "up", "down"})):
        assert {row.weight for row in table.rows if row.decayed} == matrices
        for weight in matrices:
            row = table.row(weight)
            assert_exponent(row.weight_decay, scale=row.learning_rate["scale"] + Fraction(3, 2))
