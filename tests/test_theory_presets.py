"""The engine derives every published width-only table again, and the tables relate to each other as the papers say."""

from fractions import Fraction
from functools import cache

import pytest
from helpers import assert_different_table, assert_exponent, assert_same_table, table_of
from widelimit.theory.derivation import derive
from widelimit.theory.graph import Graph
from widelimit.theory.optimizers import find_optimizer
from widelimit.theory.presets import PUBLISHED, published
from widelimit.theory.scales import Axis, Powers
from widelimit.theory.table import differences
from widelimit.theory.zoo import gpt, mlp, resmlp

H = Fraction(1, 2)
MUP = [n for n in PUBLISHED if n in ("tp4-mup", "tp4b-mup", "tp4b-general-mup") or n.startswith("tp5-table")]
NTK = ["tp4-ntp", "tp4b-ntp", "tp4b-general-ntp"]
EVERETT = [n for n in PUBLISHED if n.startswith("everett")]
OTHERS = [n for n in PUBLISHED if n.startswith(("preconditioners", "ishikawa", "mulo"))]

# mup_tables.md, section 14, typed in again here (TP IV signs; in, hidden, out): not read from presets
CORE = {
    "tp4_mup_sgd": ("sgd", (-H, 0, H), (H, H, H), (0, 0, 0), None),
    "tp4_ntp_sgd": ("sgd", (0, H, H), (0, 0, 0), (0, 0, 0), None),
    "tp4_sp_sgd": ("sgd", (0, 0, 0), (0, H, H), (1, 1, 1), None),
    "tp5_t3_sgd": ("sgd", (0, 0, 0), (0, H, 1), (-1, 0, 1), None),
    "tp5_t8_sgd": ("sgd", (0, 0, 1), (0, H, 0), (-1, 0, -1), None),
    "tp5_t9_sgd": ("sgd", (-H, 0, H), (H, H, H), (0, 0, 0), None),
    "tp5_t3_adam": ("adam", (0, 0, 0), (0, H, 1), (0, 1, 1), (1, 1, 0)),
    "tp5_t8_adam": ("adam", (0, 0, 1), (0, H, 0), (0, 1, 0), (1, 1, 1)),
    "tp5_t9_adam": ("adam", (-H, 0, H), (H, H, H), (H, 1, H), (H, 1, H)),
    "tp4b_mup": ("adam", (0, 0, 1), (0, H, 0), (0, 1, 0), (1, 1, 1)),
    "tp4b_ntp": ("adam", (0, H, H), (0, 0, 0), (H, 1, H), (H, 1, H)),
    "ev_stp_sgd": ("sgd", (0, 0, 0), (0, H, H), (-H, H, 1), None),
    "ev_ntk_sgd": ("sgd", (0, H, H), (0, 0, 0), (-H, -H, 0), None),
    "ev_mup_sgd": ("sgd", (-H, 0, H), (H, H, H), (0, 0, 0), None),
    "ev_mfp_sgd": ("sgd", (0, H, 1), (0, 0, 0), (-1, -1, -1), None),
    "ev_stp_adam": ("adam", (0, 0, 0), (0, H, H), (0, 1, 1), (H, H, 0)),
    "ev_ntk_adam": ("adam", (0, H, H), (0, 0, 0), (0, H, H), (H, 1, H)),
    "ev_mup_adam": ("adam", (-H, 0, H), (H, H, H), (H, 1, H), (H, 1, H)),
    "ev_mfp_adam": ("adam", (0, H, 1), (0, 0, 0), (0, H, 0), (1, 1 + H, 1)),
    "ev_stp_adafac": ("adafactor", (0, 0, 0), (0, H, H), (0, H, H), None),
    "ev_ntk_adafac": ("adafactor", (0, H, H), (0, 0, 0), (0, H, H), None),
    "ev_mup_adafac": ("adafactor", (-H, 0, H), (H, H, H), (0, H, 0), None),
    "ev_mfp_adafac": ("adafactor", (0, H, 1), (0, 0, 0), (0, H, 0), None),
    "umup_adam": ("adam", (0, H, 1), (0, 0, 0), (H, H, 0), None),
    "muon_t3": ("muon", (0, 0, 0), (0, H, 1), (-H, 0, H), None),
    "shampoo_half": ("shampoo", (0, 0, 0), (0, H, 1), (-H, 0, H), None),
    "kfac": ("kfac", (0, 0, 0), (0, H, 1), (0, 0, 0), None),
}
SAME_AS_PRESET = {
    "tp4_mup_sgd": "tp4-mup", "tp4_ntp_sgd": "tp4-ntp", "tp4_sp_sgd": "tp4-sp-lr-1/n", "tp5_t3_sgd": "tp5-table-3-sgd",
    "tp5_t8_sgd": "tp5-table-8-sgd", "tp5_t9_sgd": "tp5-table-9-sgd", "tp5_t3_adam": "tp5-table-3-adam",
    "tp5_t8_adam": "tp5-table-8-adam", "tp5_t9_adam": "tp5-table-9-adam", "tp4b_mup": "tp4b-mup", "tp4b_ntp": "tp4b-ntp",
    **{f"ev_{n}_{o}": f"everett-{n}-{o}-full" for n in ("stp", "ntk", "mup", "mfp") for o in ("sgd", "adam")},
    **{f"ev_{n}_adafac": f"everett-{n}-adafactor-full" for n in ("stp", "ntk", "mup", "mfp")},
    "muon_t3": "preconditioners-muon", "shampoo_half": "preconditioners-shampoo", "kfac": "ishikawa-kfac",
}  # fmt: skip
EQUIV = [
    ("tp4_mup_sgd", "tp5_t3_sgd"), ("tp5_t3_sgd", "tp5_t8_sgd"), ("tp5_t8_sgd", "tp5_t9_sgd"), ("tp5_t3_adam", "tp5_t8_adam"),
    ("tp5_t8_adam", "tp5_t9_adam"), ("tp5_t8_adam", "tp4b_mup"), ("ev_stp_sgd", "ev_ntk_sgd"), ("ev_mup_sgd", "ev_mfp_sgd"),
    ("ev_stp_adafac", "ev_ntk_adafac"), ("ev_mup_adafac", "ev_mfp_adafac"),
    ("ev_mup_sgd", "tp4_mup_sgd"), ("ev_stp_adam", "ev_ntk_adam"), ("ev_mup_adam", "ev_mfp_adam"), ("ev_mup_adam", "tp5_t9_adam"),
]  # fmt: skip
DIFFER = [
    ("tp4_mup_sgd", "tp4_ntp_sgd"), ("tp4_ntp_sgd", "tp4_sp_sgd"), ("ev_stp_adam", "ev_mup_adam"), ("umup_adam", "tp5_t8_adam"),
    ("ev_stp_sgd", "tp4_ntp_sgd"), ("tp4b_ntp", "tp4b_mup"), ("ev_stp_adafac", "ev_mup_adafac"),
]  # fmt: skip


def initial(table):
    """The (a, b) of a table: what Everett et al. hold fixed."""
    return {r.weight: {"multiplier": r.multiplier, "init_std": r.init_std} for r in table.rows}


@cache
def derived(hidden: int, optimizer: str, desiderata: str):
    return derive(mlp(hidden=hidden, bias=True), optimizer, desiderata=desiderata)


def core(name: str):
    return table_of(*CORE[name])


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize("name", MUP)
def test_mup_derived(name: str, hidden: int):
    table = derived(hidden, PUBLISHED[name].optimizer, "mup")
    assert table.verdict == "unique"
    assert_same_table(published(name, mlp(hidden=hidden, bias=True)), table)


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize("name", OTHERS)
def test_other_optimizers_derived(name: str, hidden: int):
    case, net = PUBLISHED[name], mlp(hidden=hidden, bias=True)
    assert_same_table(published(name, net), derive(net, case.optimizer), epsilon=case.entry("in").epsilon is not None)


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize("name", NTK)
def test_ntk_derived(name: str, hidden: int):
    table = derived(hidden, PUBLISHED[name].optimizer, "ntk")
    assert table.verdict == "unique"
    assert_same_table(published(name, mlp(hidden=hidden, bias=True)), table)


@pytest.mark.parametrize("hidden", [1, 2, 3])
@pytest.mark.parametrize("name", EVERETT)
def test_everett_maximal_rates(name: str, hidden: int):
    case, net = PUBLISHED[name], mlp(hidden=hidden)
    given = published(name, net)
    table = derive(net, case.optimizer, alignment=case.alignment, fixed=initial(given))
    assert table.verdict == "unique"
    assert_same_table(given, table, epsilon=case.entry("in").epsilon is not None)


@pytest.mark.parametrize("name", ["mup", "mfp"])
def test_without_alignment_the_readout_outgrows_its_init_and_epsilon_follows(name: str):
    # TP IVb's faithful rule at initialisation would say n^-1 before the readout; its condition b <= c fails here
    case = PUBLISHED[f"everett-{name}-adam-none"]
    table = derive(mlp(), "adam", alignment="none", fixed=initial(published(case.name, mlp())))
    assert_exponent(table.row("W2").epsilon, n="-1/2")
    full = derive(mlp(), "adam", alignment="full", fixed=initial(published(f"everett-{name}-adam-full", mlp())))
    assert_exponent(full.row("W2").epsilon, n=-1)


def test_alignment_changes_the_rates():
    given = published("everett-stp-sgd-full", mlp())
    full, none = (derive(mlp(), "sgd", alignment=a, fixed=initial(given)) for a in ("full", "none"))
    assert_different_table(full, none)


@pytest.mark.parametrize(
    ("hidden", "rate"), [("1:1/2:1", -1), ("1/2:1/2:1/2", -H), ("3/4:1/2:3/4", -3 * H / 2), ("1/2:1/2:3/4", -3 * H / 2)]
)
def test_alignment_of_one_layer(hidden: str, rate: Fraction):
    """Adam's hidden rate is n^-max(alpha, u) (Everett et al., the constraints of section 3); the other layers keep theirs."""
    given = initial(published("everett-stp-adam-full", mlp()))
    full, one = (derive(mlp(), "adam", alignment=a, fixed=given) for a in ("full", f"full,W2={hidden}"))
    assert_exponent(one.row("W2").learning_rate, n=rate)
    assert [one.row(w).learning_rate for w in ("W1", "W3")] == [full.row(w).learning_rate for w in ("W1", "W3")]
    as_mapping = derive(mlp(), "adam", alignment={"": "full", "W2": hidden.split(":")}, fixed=given)
    assert as_mapping.row("W2") == one.row("W2")


def test_mean_field_is_mup_for_one_hidden_layer_only():
    assert_same_table(published("tp4-mfp", mlp(hidden=1)), derive(mlp(hidden=1), "sgd"))
    with pytest.raises(ValueError, match=r"holds for 1 hidden layer, and `mlp` has 2"):
        published("tp4-mfp", mlp(hidden=2))


@pytest.mark.parametrize("name", ["tp4-sp-lr-1", "tp4-sp-lr-1/n", "tp4b-sp", "tp5-sp-sgd", "tp5-sp-adam"])
def test_standard_parameterisations_are_neither(name: str):
    optimizer = PUBLISHED[name].optimizer
    table = published(name, mlp(bias=True))
    for desiderata in ("mup", "ntk"):
        assert_different_table(table, derived(2, optimizer, desiderata))


@pytest.mark.parametrize("name", CORE)
def test_presets_hold_the_core_list(name: str):
    if name in SAME_AS_PRESET:
        preset = published(SAME_AS_PRESET[name], mlp(hidden=2))
        for mine, theirs in zip(core(name).rows, preset.rows, strict=True):  # cell by cell, not modulo symmetry
            cells = [(r.multiplier, r.init_std, r.learning_rate) for r in (mine, theirs)]
            assert cells[0] == cells[1] and (CORE[name][4] is None or mine.epsilon == theirs.epsilon), mine.weight


@pytest.mark.parametrize("pair", EQUIV, ids="=".join)
def test_equivalent(pair: tuple[str, str]):
    assert_same_table(core(pair[0]), core(pair[1]), epsilon=all(CORE[name][4] is not None for name in pair))


@pytest.mark.parametrize("pair", DIFFER, ids="!=".join)
def test_different(pair: tuple[str, str]):
    found = differences(core(pair[0]), core(pair[1]), decay=False, epsilon=False)
    assert found


def test_umup_differs_from_mup_in_the_embedding_and_hidden_rates_only():
    found = differences(core("umup_adam"), core("tp5_t8_adam"), decay=False, epsilon=False)
    assert {(d.weight, d.invariant) for d in found} == {("W1", "update")}


def test_rows_are_matched_by_shape():
    renamed = published("tp5-table-3-sgd", gpt(bias=True))
    assert_exponent(renamed.row("blocks.0.attention.query").init_std, n="-1/2")
    assert_exponent(renamed.row("final_norm.gain").learning_rate, n=1)
    assert_exponent(renamed.row("position").learning_rate, n=1)
    assert_exponent(renamed.row("readout").init_std, n=-1)
    scalar = published("tp5-table-3-sgd", mlp(bias=True)).row("b3")
    assert scalar.learning_rate == scalar.init_std == Powers() and scalar.zero_init


def test_tied_embeddings_only_where_both_ends_agree():
    assert_exponent(published("tp5-table-8-adam", gpt(tied=True)).operation("output").multiplier, n=-1)
    assert_exponent(published("tp5-table-9-adam", gpt(tied=True)).operation("output").multiplier, n=-1)
    with pytest.raises(ValueError, match="cannot tie them"):
        published("tp5-table-3-adam", gpt(tied=True))


def test_refuses_what_the_source_does_not_say():
    with pytest.raises(ValueError, match="unknown published table `tp6`; choose from tp4-sp-lr-1"):
        published("tp6", mlp())
    with pytest.raises(ValueError, match=r"says nothing of the multiplier `blocks.0.attention.logits` of `gpt`"):
        published("tp4b-mup", gpt())
    with pytest.raises(ValueError, match=r"says nothing of the multiplier `branch`"):
        published("tp5-table-3-sgd", resmlp(branch=None))
    with pytest.raises(ValueError, match=r"`tp4-mfp` .* says nothing of `hid` weights \(it has in, out, scalar\)"):
        PUBLISHED["tp4-mfp"].entry("hid")


def test_every_record_names_its_source():
    for name, table in PUBLISHED.items():
        assert name == table.name and table.source and table.status in ("read", "second-hand", "derived")
        assert find_optimizer(table.optimizer)


def scaled(power: str):
    """A perceptron with an imposed multiplier before the readout."""
    g = Graph("scaled", [Axis("n")])
    g.dims(x=8, h1="n", h2="n", y=3)
    h = g.map("relu", g.dense("W2", g.map("relu", g.dense("W1", g.input("x"), "h1")), "h2"))
    return g.build(g.dense("W3", g.scale(h, Powers(n=power), name="imposed"), "y"))


@pytest.mark.parametrize("power", ["-1/2", "-3/4"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("desiderata", ["mup", "ntk"])
def test_an_imposed_multiplier_before_the_readout_is_a_gauge(power: str, optimizer: str, desiderata: str):
    table = derive(scaled(power), optimizer, desiderata=desiderata)
    plain = derive(mlp(hidden=2), optimizer, desiderata=desiderata)
    expected = plain.row("W3").regauged(Powers(n=power), find_optimizer(optimizer))
    cells = [(r.init_std, r.learning_rate, r.epsilon if optimizer == "adam" else None) for r in (table.row("W3"), expected)]
    assert table.verdict == "unique" and cells[0] == cells[1]


def test_a_multiplier_that_makes_a_tensor_grow_is_infeasible():
    table = derive(scaled("1/2"), "adam")
    assert table.verdict in ("infeasible", "not decided") and table.clash
