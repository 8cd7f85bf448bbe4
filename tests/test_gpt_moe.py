"""A Transformer with mixtures of experts: derived in all regimes, trained on the corpus, its terms measured."""

from fractions import Fraction

import pytest
from helpers import call
from widelimit.paper_repro.check import Settings, run_check
from widelimit.synthetic.corpus_task import ALPHABET, corpus
from widelimit.synthetic.ensemble import Ensemble
from widelimit.synthetic.training import train
from widelimit.theory import derive
from widelimit.theory.architecture import with_init
from widelimit.theory.experts import REGIMES, moe, named_regime
from widelimit.theory.remedies import derive_with_remedy
from widelimit.theory.zoo import gpt_moe

H = Fraction(1, 2)
LABEL = "blocks.0.experts."
STARTS = {"I": {"router": "zero"}, "II": {}, "III": {"up": "shared", "down": "shared"}}
PARTS = ("router", "up", "down")
DENSE = tuple(f"blocks.0.attention.{w}" for w in ("query", "key", "value", "output"))


def table(regime: str, optimizer: str, desiderata: str, **options):
    net = gpt_moe(**options)
    if desiderata == "mssp":
        net = with_init(net, readout="zero", **{LABEL + name: init for name, init in STARTS[regime].items()})
    return net, derive(net, optimizer, desiderata=desiderata, regime=named_regime(regime, net))


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("desiderata", ["mup", "mssp"])
def test_experts_scale_as_in_one_mixture_and_attention_as_hidden_layers(regime: str, optimizer: str, desiderata: str):
    found = table(regime, optimizer, desiderata)[1]
    flat = moe(active="1/2")
    flat = with_init(flat, readout="zero", **STARTS[regime]) if desiderata == "mssp" else flat
    plain = derive(flat, optimizer, desiderata=desiderata, regime=REGIMES[regime])
    assert found.verdict == plain.verdict == "unique"
    for name in PARTS:
        row, other = found.row(LABEL + name), plain.row(name)
        assert (row.init_std, row.learning_rate, row.epsilon) == (other.init_std, other.learning_rate, other.epsilon)
    rate, epsilon = (0, 0) if optimizer == "sgd" else (-1, -1)
    for name in DENSE:
        row = found.row(name)
        assert (row.init_std["scale"], row.learning_rate["scale"], row.epsilon["scale"]) == (-H, rate, epsilon)


def test_options():
    tied = gpt_moe(tied=True)
    assert tied.weights[LABEL + "up"].shared == tied.weights[LABEL + "down"].shared == ("expert",)
    net = with_init(tied, readout="zero")
    assert derive(net, "adam", desiderata="mssp", regime=named_regime("III", net)).verdict == "unique"
    assert derive(gpt_moe(gate="softmax", active=None, dense=True), "adam", regime=named_regime("II", gpt_moe())).verdict == "unique"


def test_a_remedy_of_a_large_network_is_found_without_proofs():
    net = gpt_moe()
    found = derive_with_remedy(net, "adam", regime=named_regime("II", net))
    assert found.verdict == "unique" and found.row("readout").zero_init
    assert any("not proved impossible" in note for note in found.notes) and "remedy: `readout` starts at zero" in found.notes


def test_it_learns_the_corpus_with_balanced_experts():
    net, scaled = table("III", "adam", "mssp", vocab=len(ALPHABET), positions=16)
    task = corpus(positions=16, samples=4096, validation=64)
    sizes = {"n": 32, "heads": 2, "m": 32, "E": 4}
    ensemble = Ensemble(net, scaled, task, sizes, (0.01,), (0, 1), 120, 32, balance=0.01, case="gpt-moe")
    frame = train(ensemble)
    loss = frame[frame["term"] == "validation loss"].groupby("step")["value"].mean()
    assert loss.iloc[0] > 4 and loss.iloc[-1] < 3  # from even guesses over 63 characters to below their frequencies


def test_the_command(capsys: pytest.CaptureFixture[str]):
    status, out, _ = call(capsys, "derive", "gpt-moe", "--regime", "III", "--optimizer", "adam")
    assert status == 0 and "blocks.0.experts.aggregate" in out and "unique" in out


@pytest.mark.slow
@pytest.mark.parametrize(("desiderata", "regime"), [("mup", "II"), ("mup", "III"), ("mssp", "II"), ("mssp", "I")])
def test_its_terms_have_the_derived_sizes(desiderata: str, regime: str):
    net, scaled = table(regime, "adam", desiderata)
    rows = run_check(net, scaled, Settings((64, 128, 256) if regime != "III" else (32, 64, 128), 4, (2, 3))).rows
    assert (rows["verdict"] == "misses").sum() <= 1  # of about 100
