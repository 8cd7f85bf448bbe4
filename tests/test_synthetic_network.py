"""Networks built from architectures against hand-written PyTorch ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from widelimit.synthetic import Network, build, cost
from widelimit.synthetic.operations import ACTIVATIONS
from widelimit.synthetic.summing import left_out
from widelimit.theory import architecture as names
from widelimit.theory.architecture import Architecture
from widelimit.theory.constants import Constants, WeightConstants
from widelimit.theory.derivation import derive
from widelimit.theory.experts import REGIMES, moe
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis, Powers
from widelimit.theory.table import ExponentTable, Operation, Row, Shape
from widelimit.theory.zoo import gpt, llama, mlp, resmlp

WIDTH = [Axis("n", base=8)]


def standard(architecture: Architecture, optimizer: str = "sgd") -> ExponentTable:
    """All powers zero."""
    operations = (Operation(o.name, o.kind, Powers()) for o in architecture.operations)
    return ExponentTable(architecture.name, optimizer, tuple(Row(name, Shape()) for name in architecture.weights), tuple(operations))


def double(architecture: Architecture, *, randomise: bool = True, **sizes: int) -> Network:
    """Three replicas in float64; biases and gains are made random, so that a lost one shows."""
    built = build(architecture, standard(architecture), sizes=sizes, seeds=[5, 6, 7], dtype=torch.float64)
    if randomise:
        generator = torch.Generator().manual_seed(0)
        for weight in built.network.parameters():
            weight.data += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return built.network


def one(network: Network, replica: int) -> dict[str, torch.Tensor]:
    return {name: weight[replica] for name, weight in network.named_weights().items()}


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-10) -> None:
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tolerance * b.abs().max()


def test_mlp_is_the_hand_written_one():
    network, x = double(mlp(bias=True, activation="gelu"), n=16), torch.randn(5, 64, dtype=torch.float64)
    for r in range(3):
        w = one(network, r)
        h = F.gelu(F.linear(x, w["W1"], w["b1"]))
        h = F.gelu(F.linear(h, w["W2"], w["b2"]))
        close(network(x)[r], F.linear(h, w["W3"], w["b3"]))


def attention(w: dict[str, torch.Tensor], x: torch.Tensor, bias: bool, rotate, factor: float) -> torch.Tensor:
    """Causal multi-head attention of block 0 from PyTorch's own kernel."""
    label = "blocks.0.attention."

    def heads(name: str) -> torch.Tensor:
        y = torch.einsum("bti,hdi->bthd", x, w[label + name])
        y = y + w[label + name + ".bias"] if bias and name != "key" else y
        return (rotate(y) if name != "value" else y).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), is_causal=True, scale=factor)
    y = torch.einsum("bhtd,ohd->bto", mixed, w[label + "output"])
    return y + w[label + "output.bias"] if bias else y


@pytest.mark.parametrize("length", [7, 3])
def test_gpt_is_the_hand_written_one(length: int):
    n, heads = 16, 2
    network = double(gpt(vocab=11, positions=7, heads=heads), n=n, heads=heads)
    tokens = torch.randint(11, (4, length), generator=torch.Generator().manual_seed(1))

    def normed(x: torch.Tensor, w: dict[str, torch.Tensor], name: str) -> torch.Tensor:
        return F.layer_norm(x, (n,), w[f"{name}.gain"], w[f"{name}.bias"], 1e-12)

    for r in range(3):
        w = one(network, r)
        x = w["embedding"].T[tokens] + w["position"][:length]
        x = x + attention(
            w, normed(x, w, "blocks.0.attention_norm"), True, lambda y: y, network.scaling.operations["blocks.0.attention.logits"]
        )
        h = F.linear(normed(x, w, "blocks.0.mlp_norm"), w["blocks.0.mlp.up"], w["blocks.0.mlp.up.bias"])
        x = x + F.linear(F.gelu(h), w["blocks.0.mlp.down"], w["blocks.0.mlp.down.bias"])
        close(network(tokens)[r], F.linear(normed(x, w, "final_norm"), w["readout"]))


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions by complex multiplication: (batch, time, head, d)."""
    half = x.shape[-1] // 2
    angle = torch.outer(torch.arange(x.shape[1]).double(), 10000.0 ** (-torch.arange(half) / half))
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)[:, None]
    return torch.cat((turned.real, turned.imag), -1)


def test_llama_is_the_hand_written_one_with_tied_embeddings():
    n, heads = 16, 2
    architecture = llama(vocab=11, positions=7, heads=heads, tied=True)
    network = double(architecture, n=n, heads=heads)
    tokens = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(1))

    def normed(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (n,), gain, 1e-12)

    for r in range(3):
        w = one(network, r)
        x = w["embedding"].T[tokens]
        factor = network.scaling.operations["blocks.0.attention.logits"]
        x = x + attention(w, normed(x, w["blocks.0.attention_norm.gain"]), False, rotate, factor)
        h = normed(x, w["blocks.0.mlp_norm.gain"])
        h = F.silu(F.linear(h, w["blocks.0.mlp.gate"])) * F.linear(h, w["blocks.0.mlp.up"])
        x = normed(x + F.linear(h, w["blocks.0.mlp.down"]), w["final_norm.gain"])
        close(network(tokens)[r], x @ w["embedding"])


def test_a_stack_is_its_layers_one_after_the_other():
    network, x = double(resmlp(activation="tanh"), n=16, L=3), torch.randn(5, 64, dtype=torch.float64)
    factor = network.scaling.operations["branch"]
    for r in range(3):
        w = one(network, r)
        h = F.linear(x, w["embed"])
        for layer in range(3):
            branch = torch.tanh(F.linear(F.rms_norm(h, (16,), eps=1e-12), w["up"][layer]))
            h = h + factor * F.linear(branch, w["down"][layer])
        close(network(x)[r], F.linear(F.rms_norm(h, (16,), eps=1e-12), w["readout"]))


def experts(shared_gate: bool = False) -> Architecture:
    """A dense mixture: sigmoid gates, weights indexed by the expert, a mean over experts."""
    g = Graph("experts", [*WIDTH, Axis("E", base=4)])
    g.dims(x=6, n="n", m="n", expert="E", y=3)
    h = g.dense("embed", g.input("x"), "n")
    gate = g.map("sigmoid", g.dense("gate", h, "expert"))
    inner = g.map("relu", g.dense("up", h, "m", index="expert"))
    out = g.dense("down", g.product(gate, inner), "n", over="m", index="expert")
    mixed = g.scale(g.sum(out, "expert"), Powers(E=-1), name="aggregate")
    return g.build(g.dense("readout", mixed, "y"))


def test_weights_with_an_index_are_batches_of_matrices():
    network, x = double(experts(), n=8, E=4), torch.randn(5, 6, dtype=torch.float64)
    factor = network.scaling.operations["aggregate"]
    for r in range(3):
        w = one(network, r)
        h = F.linear(x, w["embed"])
        gate = torch.sigmoid(F.linear(h, w["gate"]))
        mixed = sum(F.linear(gate[:, e : e + 1] * F.relu(F.linear(h, w["up"][e])), w["down"][e]) for e in range(4))
        close(network(x)[r], F.linear(factor * mixed, w["readout"]))


def test_products_sum_and_broadcast_by_names():
    g = Graph("products", WIDTH)
    g.dims(t=3, s=3, a=4, b=5, y=2)
    x = g.input("t", "a")
    p, q = g.dense("P", x, "b", over="a"), g.dense("Q", g.rename(x, "t", "s"), "b", over="a")
    scores = g.product(p, q, over=("b", "s"))  # (t)
    outer = g.product(p, g.sum(q, "s"))  # (t, b)
    total = g.add(outer, scores)
    network = double(g.build(g.dense("W", total, "y", over=("t", "b"))))
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    for r in range(3):
        w = one(network, r)
        p, q = x @ w["P"].T, x @ w["Q"].T
        total = p * q.sum(1, keepdim=True) + torch.einsum("ntb,nsb->nt", p, q)[..., None]
        close(network(x)[r], torch.einsum("ytb,ntb->ny", w["W"], total))


@pytest.mark.parametrize(
    "architecture", [gpt(vocab=11, positions=7), llama(vocab=11, positions=7, tied=True), experts()], ids=lambda a: a.name
)
def test_a_multiplier_is_a_factor_on_the_weight(architecture: Architecture):
    """With theta on every weight W and with weights theta W: equal outputs, gradients theta times as large."""
    rows = tuple(replace(row, multiplier=Powers(n=1)) for row in standard(architecture).rows)
    base, settings = {"n": 16}, {"sizes": {"n": 32}, "seeds": [0, 1], "dtype": torch.float64}
    multiplied = build(architecture, replace(standard(architecture), rows=rows), base=base, **settings).network
    plain = build(architecture, standard(architecture), base=base, **settings).network
    tokens = architecture.inputs[0].kind == "token"
    x = torch.randint(11, (4, 7)) if tokens else torch.randn(4, 6)
    for w, v in zip(multiplied.parameters(), plain.parameters()):
        v.data.copy_(2 * w.data.add_(0.1 * torch.randn_like(w)))
    outputs = [network(x) for network in (multiplied, plain)]
    close(*outputs)
    direction = torch.randn_like(outputs[0])
    first, second = (torch.autograd.grad(y, list(n.parameters()), direction) for y, n in zip(outputs, (multiplied, plain)))
    for g, h in zip(first, second):
        close(g, 2 * h, 1e-9)


def test_activations_are_those_of_the_theory():
    assert tuple(ACTIVATIONS) == names.ACTIVATIONS


def test_gradients_are_finite_at_zero_and_of_every_weight():
    architecture = names.with_init(gpt(vocab=11, positions=7), embedding="zero", position="zero")
    network = double(architecture, randomise=False, n=16)
    network(torch.zeros(2, 7, dtype=torch.int64)).square().sum().backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in network.parameters())


class TestScaling:
    architecture = mlp(hidden=1, inputs=4, outputs=2)
    constants = Constants({"W1": WeightConstants(3.0, 2.0, 5.0, 1e-3, 0.5), "W2": WeightConstants(init_std=0.5)}, learning_rate=2.0)
    row = Row("W1", Shape(), Powers(n="1/2"), Powers(n="-1/2"), Powers(n=1), Powers(n=-1), Powers(n="1/2"))
    table = ExponentTable("mlp", "adam", (row, Row("W2", Shape(), learning_rate=Powers(n=-1), zero_init=True)))

    def test_numbers_are_constants_times_ratio_to_a_power(self):
        built = build(self.architecture, self.table, self.constants, sizes={"n": 16}, base={"n": 4})
        group, other = built.groups
        assert (group["name"], other["name"]) == ("W1", "W2")
        assert group["lr"] == pytest.approx(2 * 3 * 4)
        assert group["eps"] == pytest.approx(1e-3 / 4)
        assert group["weight_decay"] == pytest.approx(0.5 * 2)
        assert built.scaling.weights["W1"].multiplier == pytest.approx(5 * 2)
        assert built.scaling.weights["W1"].init_std == pytest.approx(2 / 2)
        assert group["params"][0] is built.network.named_weights()["W1"]
        never = build(self.architecture, self.table.changed("W1", decayed=False), self.constants, sizes={"n": 16}, base={"n": 4})
        assert never.groups[0]["weight_decay"] == 0 and never.groups[0]["lr"] == group["lr"]

    def test_parameterisations_coincide_at_the_base(self):
        other = ExponentTable("mlp", "adam", (Row("W1", Shape()), Row("W2", Shape())))
        first, second = (
            build(self.architecture, t, self.constants, sizes={}) for t in (replace(self.table, rows=(self.row, other.rows[1])), other)
        )
        x = torch.randn(3, 4)
        assert torch.equal(first.network(x), second.network(x))

    def test_base_one_is_the_absolute_form(self):
        built = build(self.architecture, self.table, self.constants, sizes={"n": 16}, base={"n": 1})
        assert built.groups[0]["lr"] == pytest.approx(2 * 3 * 16)

    def test_the_multiplier_acts_in_the_forward_pass_and_zero_init_is_zero(self):
        table = replace(self.table, rows=(self.row, replace(self.table.rows[1], zero_init=False)))
        network = build(self.architecture, table, self.constants, sizes={"n": 16}, base={"n": 4}).network
        w, x = one(network, 0), torch.randn(3, 4)
        close(network(x)[0], torch.relu(10 * x @ w["W1"].T) @ w["W2"].T, 1e-5)
        assert not build(self.architecture, self.table, self.constants, sizes={}).network.named_weights()["W2"].any()

    def test_seeds_make_the_same_weights_alone_and_in_an_ensemble(self):
        many = build(self.architecture, self.table, sizes={"n": 8}, seeds=[3, 4, 3]).network.named_weights()["W1"]
        alone = build(self.architecture, self.table, sizes={"n": 8}, seed=4).network.named_weights()["W1"]
        assert torch.equal(many[1], alone[0]) and torch.equal(many[0], many[2]) and not torch.equal(many[0], many[1])

    def test_shared_initialisation_is_equal_along_the_index_only(self):
        architecture = experts()
        rows = tuple(replace(r, shared_init=r.weight == "down") for r in standard(architecture).rows)
        weights = build(architecture, replace(standard(architecture), rows=rows), sizes={}).network.named_weights()
        assert torch.equal(weights["down"][0, 0], weights["down"][0, 1])
        assert not torch.equal(weights["up"][0, 0], weights["up"][0, 1])

    def test_shared_initialisation_does_not_reach_over_the_layers_of_a_stack(self):
        rows = tuple(replace(r, shared_init=True) for r in standard(resmlp()).rows)
        weights = build(resmlp(), replace(standard(resmlp()), rows=rows), sizes={}).network.named_weights()
        assert not torch.equal(weights["up"][0, 0], weights["up"][0, 1])

    def test_gains_start_at_their_scaled_constant(self):
        architecture = gpt()
        rows = tuple(replace(r, init_std=Powers(n="1/2")) for r in standard(architecture).rows)
        built = build(architecture, replace(standard(architecture), rows=rows), sizes={"n": 256})
        gain = built.network.named_weights()["final_norm.gain"]
        assert torch.equal(gain, torch.full_like(gain, 2.0))

    def test_default_constants_are_those_of_the_given_base(self):
        table = ExponentTable("mlp", "sgd", tuple(Row(n, Shape(), init_std=Powers(n=p)) for n, p in (("W1", 0), ("W2", -1))))
        built = build(self.architecture, table, sizes={"n": 16}, base={"n": 1})
        assert built.scaling.weights["W2"].init_std == pytest.approx(1 / 16)

    def test_a_regime_ties_the_sizes_to_one_scale(self):
        from widelimit.theory.scales import Regime

        architecture = experts()
        rows = tuple(Row(name, Shape(), learning_rate=Powers(scale=1)) for name in architecture.weights)
        table = ExponentTable("experts", "sgd", rows, regime=Regime(n=1, E=2))
        assert build(architecture, table, sizes={"n": 16, "E": 16}).groups[0]["lr"] == pytest.approx(2)
        with pytest.raises(ValueError, match="common scale of a regime"):
            build(architecture, table, sizes={"n": 16, "E": 8})


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda a: build(a, standard(a), sizes={"n": -1}), "size `-1` of axis `n`"),
        (lambda a: build(a, standard(a), sizes={"n": 0}), "size `0`"),
        (lambda a: build(a, standard(a), sizes={"width": 8}), "no axis `width`"),
        (lambda a: build(a, standard(a), sizes={}, seeds=[]), "`seeds`"),
        (lambda a: build(a, standard(a), sizes={}, seed=-1), "`seeds`"),
        (lambda a: build(a, replace(standard(a), rows=()), sizes={}), "no weight `embedding`"),
        (lambda a: build(a, replace(standard(a), operations=()), sizes={}), "lacks the operation `blocks.0.attention.logits`"),
        (lambda a: build(a, standard(a), Constants({}), sizes={}), "constants lack the weight `embedding`"),
        (lambda a: build(a, standard(a), sizes={"n": 10, "heads": 4}), "dimension `d0`"),
        (lambda a: build(a, replace(standard(a), verdict="infeasible"), sizes={}), "infeasible"),
        (lambda a: build(a, standard(a), sizes={}).network(torch.zeros(2, 3, 4)), "input `input` needs the shape"),
        (lambda a: build(a, standard(a), sizes={}).network(torch.zeros(2, 17, dtype=torch.int64)), "time = 16"),
        (lambda a: build(a, standard(a), sizes={}).network.check_inputs(torch.full((2, 3), 64)), "integers from 0 to 63"),
        (lambda a: build(a, standard(a), sizes={}).network(), "1 inputs, 0 were given"),
    ],
)  # fmt: skip
def test_errors_name_the_culprit(make, match: str):
    with pytest.raises(ValueError, match=match):
        make(gpt())


def test_rotary_of_an_odd_size_is_refused():
    architecture = llama(heads=4)
    network = build(architecture, standard(architecture), sizes={"n": 12}).network
    with pytest.raises(ValueError, match="size 3 is odd"):
        network(torch.zeros(1, 4, dtype=torch.int64))


def test_a_tensor_inside_a_stack_cannot_be_read_outside():
    g = Graph("open", [*WIDTH, Axis("L", base=2)])
    g.dims(x=4, n="n", layer="L")
    with g.stack("layer", g.dense("W", g.input("x"), "n")) as stack:
        branch = g.dense("V", stack.stream, "n", index="layer")
        stack.add(branch)
    architecture = g.build(g.sum(branch, "n"))
    with pytest.raises(ValueError, match="reads `V`, which exists only inside the stack"):
        build(architecture, standard(architecture), sizes={})


def test_initial_weights_have_the_declared_deviation():
    architecture = mlp()
    weights = build(architecture, standard(architecture), sizes={"n": 512}).network.named_weights()
    assert float(weights["W2"].detach().std()) == pytest.approx(64**-0.5, rel=0.01)  # 2^18 entries: 0.14 % standard error
    assert np.isclose(float(weights["W2"].detach().mean()), 0, atol=1e-3)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_sum_over_experts_is_one_product(grouped: bool):
    sizes = {"n": 12, "m": 3, "E": 8 if grouped else 5}
    net = moe(grouped=grouped, inputs=4, outputs=2)
    assert left_out(net) == {"down", "aggregate"}
    network = build(net, derive(moe(), "sgd", regime=REGIMES["II"]), sizes=sizes, base=sizes, seeds=(0, 1), dtype=torch.float64).network
    x = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, each = network(x), network(x, watch=lambda *_: None)
    torch.testing.assert_close(one, each, rtol=1e-12, atol=1e-12)
    weights = tuple(network.parameters())
    gradients = (torch.autograd.grad(y.square().sum(), weights) for y in (one, each))
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-12)
    assert cost.activations(net, sizes) < 8 * sizes["E"] * sizes["n"]
