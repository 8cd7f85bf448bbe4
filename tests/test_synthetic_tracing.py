"""Modules become architectures: the same table however they are written, and a reason where they cannot be followed."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import modules
import pytest
import torch
from helpers import N, assert_exponent, assert_row
from torch import Tensor, nn
from widelimit.paper_repro.check import Settings, expect, run_check
from widelimit.synthetic.tracing import trace
from widelimit.theory.architecture import Architecture
from widelimit.theory.derivation import derive
from widelimit.theory.scales import Powers, Regime
from widelimit.theory.zoo import gpt

L = Powers(L=1)
HIDDEN = {"init_std": N ** "-1/2", "learning_rate": N**-1, "epsilon": N**-1}
INPUT = {"init_std": Powers(), "learning_rate": Powers(), "epsilon": N**-1}
OUTPUT = {"init_std": N**-1, "learning_rate": N**-1, "epsilon": Powers()}


def traced(factory: Callable[..., Any], **base: int) -> Architecture:
    return trace(factory, base or {"n": 64}, name="module")


def test_rows_are_named_parameters():
    table = derive(traced(modules.encoder), "adamw")
    assert table.verdict == "unique"
    assert [row.weight for row in table.rows] == [name for name, _ in modules.encoder(n=64)[0].named_parameters()]
    for i in range(12):
        assert_row(table, f"layers.{i}.linear1.weight", init_std=N ** "-1/2", learning_rate=N**-1, weight_decay=N)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_names_order_and_einsum_change_nothing(optimizer: str):
    plain, renamed = (derive(traced(f), optimizer) for f in (modules.perceptron, modules.renamed))
    assert plain.verdict == renamed.verdict == "unique" and len(plain.rows) == len(renamed.rows)
    for mine, other in {"0.weight": "first", "0.bias": "shift", "2.weight": "middle", "4.weight": "zulu", "4.bias": "end"}.items():
        a, b = plain.row(mine), renamed.row(other)
        assert (a.learning_rate, a.epsilon, a.weight_decay) == (b.learning_rate, b.epsilon, b.weight_decay)


@pytest.mark.parametrize("style", ["split", "view", "einsum"])
def test_fused_attention_in_three_styles(style: str):
    table = derive(traced(partial(modules.language_model, style=style)), "adam")
    assert table.verdict == "unique"
    for name in ("h.0.qkv.weight", "h.0.proj.weight", "h.0.fc.weight", "h.0.out.weight"):
        assert_row(table, name, **HIDDEN)
    assert_row(table, "wte.weight", **INPUT)
    assert_row(table, "head.weight", **OUTPUT)
    (logits,) = table.operations
    assert (logits.kind, logits.multiplier) == ("attention logits", N**-1)
    assert "the code has n^-1/2" in logits.reason


def test_the_same_table_as_the_graph_written_by_hand():
    hand, module = derive(gpt(), "adam"), derive(traced(modules.language_model), "adam")
    names = {"embedding": "wte.weight", "position": "wpe.weight", "blocks.0.mlp.up": "h.0.fc.weight", "final_norm.gain": "ln_f.weight"}
    names |= {"blocks.0.attention.query": "h.0.qkv.weight", "readout": "head.weight", "blocks.0.mlp_norm.bias": "h.0.ln2.bias"}
    for mine, other in names.items():
        a, b = hand.row(mine), module.row(other)
        assert (a.init_std, a.learning_rate, a.epsilon) == (b.init_std, b.learning_rate, b.epsilon)


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_repeated_blocks_are_derived_once(blocks: int):
    net = traced(partial(modules.language_model, blocks=blocks))
    assert len(net.nodes) == len(traced(modules.language_model).nodes)
    table = derive(net, "adam")
    assert len(table.rows) == len(list(modules.language_model(n=64, blocks=blocks)[0].named_parameters()))
    assert_row(table, f"h.{blocks - 1}.qkv.weight", **HIDDEN)


def test_two_plain_hidden_layers_give_what_their_copies_give():
    """Folding copies is no assumption: written out, the layers of a plain network get the same rows."""
    from widelimit.theory.zoo import mlp

    deep = lambda n: nn.Sequential(nn.Linear(20, n), *(nn.Sequential(nn.Linear(n, n), nn.ReLU()) for _ in range(4)), nn.Linear(n, 10))  # noqa: E731
    table, written_out = derive(traced(lambda *, n: (deep(n), torch.randn(4, 20))), "adam"), derive(mlp(hidden=5), "adam")
    for i in range(4):
        a, b = table.row(f"{i + 1}.0.weight"), written_out.row(f"W{i + 2}")
        assert (a.init_std, a.learning_rate, a.epsilon) == (b.init_std, b.learning_rate, b.epsilon)


def test_a_tied_embedding_needs_an_output_multiplier():
    table = derive(traced(partial(modules.language_model, tied=True)), "adam")
    assert table.verdict == "unique"
    assert_row(table, "wte.weight", **INPUT)
    assert {o.kind: o.multiplier for o in table.operations} == {"attention logits": N**-1, "output": N**-1}


def test_grouped_queries_rotations_shared_gains_and_gates():
    net = traced(modules.grouped)
    assert not [name for name in net.weights if name.startswith("q.weight[")]  # a rotation does not cut the queries
    table = derive(net, "adam")
    assert table.verdict == "unique"
    for name in ("q.weight", "o.weight", "kv.weight", "gate_up.weight", "down.weight"):
        assert_row(table, name, **HIDDEN)
    for name in ("q_gain", "k_gain", "gain", "inp.weight"):
        assert_row(table, name, **INPUT)
    assert [o.multiplier for o in table.operations] == [N**-1]


def test_convolutions():
    table = derive(traced(modules.convolutional), "adam")
    assert table.verdict == "unique"
    for name in ("stem.weight", "bn.weight", "depthwise.weight", "gn.bias"):
        assert_row(table, name, learning_rate=Powers(), epsilon=N**-1)
    assert_row(table, "pointwise.weight", **HIDDEN)
    assert_row(table, "fc.weight", **OUTPUT)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(("rank", "rate"), [(lambda n: 4, Powers()), (lambda n: int(n**0.5), N ** "-1/2"), (lambda n: n // 4, N**-1)])
def test_low_rank_adapters(rank: Callable[[int], int], rate: Powers, merged: bool):
    """B's rate is 1/rank, A's 1/n (LoRA+); the rank may be a fractional power of the width."""
    table = derive(traced(lambda *, n: modules.adapted(n=n, rank=rank(n), merged=merged)), "adam")
    assert table.verdict == "unique"
    assert_row(table, "a", init_std=N ** "-1/2", learning_rate=N**-1)
    assert_row(table, "b", learning_rate=rate)
    assert table.row("b").zero_init and not table.row("base.weight").trained


def test_depth_is_an_axis():
    table = derive(traced(partial(modules.deep, power=-1), n=64, L=4), "adam")
    assert table.verdict == "unique"
    assert [row.weight for row in table.rows] == [name for name, _ in modules.deep(n=64, L=4)[0].named_parameters()]
    assert_row(table, "2.up.weight", init_std=N ** "-1/2", learning_rate=N**-1, epsilon=N**-1 / L)
    half = derive(traced(partial(modules.deep, power=-0.5), n=64, L=4), "adam")
    assert_row(half, "2.up.weight", learning_rate=N**-1 * L ** "-1/2", epsilon=N**-1 * L ** "-1/2")


def test_a_branch_without_multiplier_gets_one():
    table = derive(traced(modules.deep, n=64, L=4), "adam", regime=Regime(n=0, L=1))
    assert table.verdict == "family"
    (branch,) = table.operations
    assert branch.kind == "residual"
    fixed = derive(traced(modules.deep, n=64, L=4), "adam", regime=Regime(n=0, L=1), fixed={branch.name: {"multiplier": L**-1}})
    assert fixed.verdict == "unique"
    assert_exponent(fixed.row("3.up.weight").learning_rate)


def test_an_adapter_of_two_axes():
    table = derive(traced(lambda *, n, r: modules.adapted(n=n, rank=r), n=64, r=4), "adam", regime=Regime(n=1, r="1/2"))
    assert_row(table, "b", learning_rate=Powers(scale="-1/2"))


# -- what cannot be followed
class Entrywise(nn.Module):
    """A perceptron with any function between its layers."""

    def __init__(self, n: int, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.inp, self.out, self.function = nn.Linear(8, n), nn.Linear(n, 2), function

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.function(self.inp(x)))


def entrywise(function: Callable[[Tensor], Tensor], n: int):
    return Entrywise(n, function), torch.randn(4, 8)


class Halves(nn.Module):
    """An inner product of activations of which each half comes from another layer."""

    def __init__(self, n: int):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(8, n) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.cat([self.a(x), self.b(x)], -1), torch.cat([self.c(x), self.d(x)], -1)
        return left @ right.mT


class Towers(nn.Module):
    """The mean, or the sum, of the product of two towers' features."""

    def __init__(self, n: int, *, mean: bool):
        super().__init__()
        self.a, self.b, self.mean = nn.Linear(8, n, bias=False), nn.Linear(8, n, bias=False), mean

    def forward(self, x: Tensor) -> Tensor:
        product = self.a(x) * self.b(x)
        return product.mean(-1, keepdim=True) if self.mean else product.sum(-1, keepdim=True)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_of_a_mean_only_the_quotient_has_to_be_stable(optimizer: str):
    def factory(*, n: int, mean: bool = True):
        return Towers(n, mean=mean), torch.randn(4, 8)

    net = trace(factory, {"n": 64}, name="towers")
    table = derive(net, optimizer)
    assert table.verdict == "unique"
    assert {(str(row.init_std), str(row.learning_rate)) for row in table.rows} == {("1", "n" if optimizer == "sgd" else "1")}
    assert run_check(net, table, Settings((64, 256, 1024), 8, (1, 2)), factory=factory).missed.empty
    assert derive(trace(partial(factory, mean=False), {"n": 64}, name="towers"), optimizer).verdict == "infeasible"


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "a size that is no monomial": (lambda *, n: (nn.Sequential(nn.Linear(8, n + 1), nn.Linear(n + 1, 2)), torch.randn(4, 8)), "65 at n=64"),
    "a logarithm": (lambda *, n: entrywise(lambda h: h / math.log(n), n), "no product of powers of the axes"),
    "a logarithm of activations": (lambda *, n: entrywise(lambda h: torch.log(h.abs() + 1), n), "a logarithm of an activation"),
    "an unknown operation": (lambda *, n: entrywise(torch.erfinv, n), "`erfinv` is not known; declare"),
    "a softmax over the width": (lambda *, n: entrywise(lambda h: torch.softmax(h, -1), n), "softmax over a dimension that grows"),
    "a quotient of activations": (lambda *, n: entrywise(lambda h: h / (1 + h.abs()), n), "a division by an activation"),
    "a largest entry": (lambda *, n: entrywise(lambda h: h - h.amax(-1, keepdim=True), n), "moved along a dimension that grows"),
    "running sums over the width": (lambda *, n: entrywise(lambda h: h.cumsum(-1), n), "moved along a dimension that grows"),
    "a log-softmax over the width": (lambda *, n: entrywise(lambda h: h.log_softmax(-1), n), "softmax over a dimension that grows"),
    "a matrix of constants": (lambda *, n: entrywise(lambda h: h @ torch.ones(n, n), n), "contracted with constant numbers"),
    "a product of joined halves": (lambda *, n: (Halves(n), torch.randn(4, 8)), "used in slices"),
    "a graph that changes": (lambda *, n: entrywise(lambda h: h.tanh() if n > 100 else h.relu(), n), "the graph must not change"),
    "an axis without effect": (lambda *, n, k: entrywise(torch.relu, n), "takes `k`, but no dimension grows with it"),
    "no module": (lambda *, n: torch.randn(n), "a factory returns"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_reason(case: str):
    factory, reason = REFUSED[case]
    with pytest.raises(ValueError, match=reason):
        trace(factory, {"n": 64, "k": 4} if "axis" in case else {"n": 64}, name="module")


def test_the_place_of_a_refusal_is_named():
    class Wide(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.lift, self.strange = nn.Linear(8, 8), Entrywise(n, torch.erfinv)

        def forward(self, x: Tensor) -> Tensor:
            return self.strange(self.lift(x))

    with pytest.raises(ValueError, match="`strange`: `erfinv`"):
        traced(lambda *, n: (Wide(n), torch.randn(4, 8)))


def test_an_unknown_operation_can_be_declared():
    declared = traced(lambda *, n: (*entrywise(torch.erfinv, n), {"erfinv": "odd"}))
    assert derive(declared, "adam").verdict == "unique"
    with pytest.raises(ValueError, match="declared as `strange`; choose from same, odd"):
        traced(lambda *, n: (*entrywise(torch.erfinv, n), {"erfinv": "strange"}))


def test_a_weight_made_by_a_nonlinear_function_is_refused():
    class Squashed(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.inp, self.w, self.out = nn.Linear(8, n), nn.Parameter(torch.randn(n, n)), nn.Linear(n, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.inp(x)) @ torch.tanh(self.w))

    with pytest.raises(ValueError, match="a function that is not linear"):
        traced(lambda *, n: (Squashed(n), torch.randn(4, 8)))


def test_normalised_weights_are_refused():
    """As in 2604.27077, where the change of a hidden layer aligns with exponent 3/4."""

    class Normalised(Entrywise):
        def __init__(self, n: int):
            super().__init__(n, torch.relu)
            self.w = nn.Parameter(torch.randn(n, n))

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.inp(x)) @ nn.functional.normalize(self.w, dim=0))

    with pytest.raises(ValueError, match="a function that is not linear"):
        traced(lambda *, n: (Normalised(n), torch.randn(4, 8)))


def test_a_vocabulary_that_grows_is_refused():
    """How its rows scale depends on the frequencies of the tokens (2506.15025)."""

    def words(*, n: int, V: int):
        return nn.Sequential(nn.Embedding(V, n), nn.ReLU(), nn.Linear(n, 2)), torch.zeros(2, 4, dtype=torch.long)

    growing = trace(words, {"n": 64, "V": 64}, name="words")
    with pytest.raises(ValueError, match="how often each token occurs"):
        derive(growing, "adam")
    assert derive(growing, "adam", regime=Regime({"n": 1, "V": 0})).verdict == "unique"


def test_a_change_in_place_through_a_view_is_refused():
    def spoil(h: Tensor) -> Tensor:
        h = h * 1.5
        h[:, 0].zero_()
        return h.relu()

    with pytest.raises(ValueError, match="in place through a view"):
        traced(lambda *, n: entrywise(spoil, n))


# -- modules of other packages
def from_transformers(name: str, n: int):
    """Small models of the `transformers` package, from configurations alone."""
    transformers = pytest.importorskip("transformers", reason="extra `zoo`")
    common = {"hidden_size": n, "intermediate_size": 4 * n, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**common, "vocab_size": 100, "use_cache": False, "bos_token_id": None, "eos_token_id": None}
    tokens = torch.zeros(2, 6, dtype=torch.long)
    match name:
        case "gpt2":
            sizes = {"n_embd": n, "n_layer": 2, "n_head": 4, "n_positions": 16}
            config = transformers.GPT2Config(**sizes, vocab_size=100, use_cache=False, bos_token_id=None, eos_token_id=None)
            return transformers.GPT2LMHeadModel(config), tokens
        case "llama":
            return transformers.LlamaForCausalLM(transformers.LlamaConfig(**text, num_key_value_heads=2)), tokens
        case "qwen3":
            config = transformers.Qwen3Config(**text, num_key_value_heads=2, head_dim=n // 4, tie_word_embeddings=False)
            return transformers.Qwen3ForCausalLM(config), tokens
        case "bert":
            return transformers.BertModel(transformers.BertConfig(**common, vocab_size=100), add_pooling_layer=False), tokens
        case "gpt-neox":
            return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**text)), tokens
        case _:
            config = transformers.ViTConfig(**common, image_size=8, patch_size=4)
            return transformers.ViTForImageClassification(config), torch.randn(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("gpt2", "transformer.h.1.attn.c_attn.weight"), ("llama", "model.layers.1.self_attn.k_proj.weight"),
        ("qwen3", "model.layers.0.mlp.gate_proj.weight"), ("bert", "encoder.layer.1.output.dense.weight"),
        ("gpt-neox", "gpt_neox.layers.1.attention.query_key_value.weight"), ("vit", "vit.layers.1.mlp.fc1.weight"),
    ],
)  # fmt: skip
def test_models_of_transformers(name: str, hidden: str):
    table = derive(traced(lambda *, n: from_transformers(name, n)), "adam")
    assert table.verdict == "unique"
    assert {row.weight for row in table.rows} <= {p for p, _ in from_transformers(name, 64)[0].named_parameters()}
    assert_row(table, hidden, init_std=N ** "-1/2", learning_rate=N**-1)
    assert {o.kind: o.multiplier for o in table.operations}["attention logits"] == N**-1
    assert ("output" in {o.kind for o in table.operations}) == (name == "gpt2")  # its embedding is tied


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_gated_delta_net():
    """Adam's rates of the authors' code (mup_tables, section 10c), but for gains, whose 1/n is no maximal update.

    Gates of a fixed number of heads are like readouts: at most n^-1 is stable where they learn features; the code starts at n^-1/2.
    """
    found = derive(traced(modules.gated_delta_net), "adam")
    assert found.verdict == "unique"
    rates = {row.weight: row.learning_rate["n"] for row in found.rows}
    assert {name for name, power in rates.items() if power == -1} == {f"mix.{w}.weight" for w in "qkvgoab"} | {"head.weight"}
    assert {name for name, power in rates.items() if power == 0} == rates.keys() - {f"mix.{w}.weight" for w in "qkvgoab"} - {"head.weight"}
    assert {str(found.row(f"mix.{w}.weight").init_std) for w in "qkvgo"} == {"n^-1/2"}
    assert {str(found.row(f"mix.{w}.weight").init_std) for w in "ab"} == {"n^-1"}


def test_a_hidden_layer_shared_along_channels():
    """Channels share their weights, so hidden features of two of them correlate: its output is a readout, at 1/n and with rate 1/n."""
    factory = modules.token_mixer
    net = traced(factory)
    found = derive(net, "adam")
    assert found.verdict == "unique"
    assert [str(found.row(f"{w}.weight").init_std) for w in ("stem", "fc1", "fc2", "head")] == ["1", "1", "n^-1", "n^-1"]
    assert [str(found.row(f"{w}.weight").learning_rate) for w in ("stem", "fc1", "fc2", "head")] == ["1", "1", "n^-1", "n^-1"]
    settings = Settings((64, 128, 256), 8, (1, 2))
    checked = run_check(net, found, settings, factory=factory)
    assert checked.missed.empty and (checked.rows["verdict"] == "agrees").sum() > 10
    wide = found.changed("fc2.weight", init_std=Powers(n="-1/2"))
    assert not run_check(net, wide, settings, factory=factory, promise=expect(net, found, settings.steps)).missed.empty
