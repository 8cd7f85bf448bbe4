"""Tables applied to modules: groups and initial values at concrete sizes, and the module's own terms in training."""

from fractions import Fraction

import modules
import numpy as np
import pytest
import torch
from helpers import N
from torch import nn
from widelimit.figures.compare import misses
from widelimit.paper_repro.check import check
from widelimit.synthetic.applying import Sizes, initialise, labels, missing_multipliers, parameter_groups
from widelimit.synthetic.tracing import trace
from widelimit.synthetic.watching import Watch
from widelimit.theory.derivation import derive
from widelimit.theory.scales import Powers

BASE = {"n": 64}
WIDE = Sizes({"n": 256}, BASE)


def table(optimizer: str = "adam", gauge: str = "multiplier-free"):
    return derive(trace(modules.perceptron, BASE, name="perceptron"), optimizer, gauge=gauge)


def by_name(groups: list[dict]) -> dict[str, dict]:
    return {name: group for group in groups for name in group["names"]}


def test_groups_at_the_base_are_the_settings():
    module = modules.perceptron(n=64)[0]
    (group,) = parameter_groups(module, table("adamw"), Sizes(BASE, BASE), lr=0.01, eps=1e-6, weight_decay=0.1)
    assert (group["lr"], group["eps"], group["weight_decay"]) == (0.01, 1e-6, 0.1)
    assert [id(p) for p in group["params"]] == [id(p) for p in module.parameters()]


def test_groups_scale_and_train():
    module = modules.perceptron(n=256)[0]
    groups = parameter_groups(module, table("adamw"), WIDE, lr=0.01, weight_decay=0.1)
    found = by_name(groups)
    assert (found["2.weight"]["lr"], found["2.weight"]["weight_decay"]) == pytest.approx((0.0025, 0.4))
    assert found["0.weight"]["lr"] == 0.01 and found["0.weight"]["eps"] == pytest.approx(1e-8 / 4)
    for group in groups:
        group.pop("names")
    optimizer = torch.optim.AdamW(groups)
    module(torch.randn(4, 20)).square().sum().backward()
    optimizer.step()
    assert not any(hasattr(p, "infshape") or vars(p) for p in module.parameters())


def test_what_is_not_decayed_is_not_decayed_at_any_size():
    found = derive(trace(modules.perceptron, BASE, name="perceptron"), "adamw", desiderata="gain-invariant")
    for sizes in (Sizes(BASE, BASE), WIDE):
        module = modules.perceptron(n=sizes.sizes["n"])[0]
        decays = {name: g["weight_decay"] for name, g in by_name(parameter_groups(module, found, sizes, weight_decay=0.1)).items()}
        wanted = 0.1 * (sizes.sizes["n"] / 64) ** 0.5
        assert decays == {name: pytest.approx(wanted) if name == "2.weight" else 0.0 for name in decays}
        names, factors = labels(found, sizes)
        assert {name: 0.1 * factors[label]["weight_decay"] for name, label in names.items()} == decays


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_groups_agree_with_the_mup_package(optimizer: str):
    mup = pytest.importorskip("mup", reason="extra `zoo`")

    def readout(n: int) -> nn.Module:
        return nn.Sequential(nn.Linear(20, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(), mup.MuReadout(n, 10))

    module = readout(256)
    mup.set_base_shapes(module, readout(64), delta=readout(128))
    theirs = {"adam": mup.MuAdam, "sgd": mup.MuSGD}[optimizer](module.parameters(), lr=1.0)
    ours = by_name(parameter_groups(modules.perceptron(n=256)[0], table(optimizer, "tp5-table-8"), WIDE, lr=1.0))
    for name, parameter in module.named_parameters():
        rate = next(g["lr"] for g in theirs.param_groups if any(parameter is p for p in g["params"]))
        assert ours[name]["lr"] == pytest.approx(rate), name


def test_groups_agree_with_the_unit_scaling_package():
    """u-muP: initial values and rates of Linear and LinearReadout; its embedding alone departs from muP (mup_tables, section 5)."""
    import unit_scaling as uu

    def theirs(n: int) -> nn.Module:
        return nn.Sequential(
            uu.Linear(20, n, bias=True), nn.ReLU(), uu.Linear(n, n, bias=True), nn.ReLU(), uu.LinearReadout(n, 10, bias=True)
        )

    def rates(module: nn.Module) -> list[float]:
        return [group["lr"] for group in uu.optim.Adam(module.parameters(), lr=1.0).param_groups]

    found = table("adam", "unit-init")
    ours = by_name(parameter_groups(modules.perceptron(n=256)[0], found, WIDE, lr=1.0))
    base, wide = rates(theirs(64)), rates(theirs(256))
    for (name, parameter), at_base, at_size in zip(theirs(256).named_parameters(), base, wide, strict=True):
        assert ours[name]["lr"] == pytest.approx(at_size / at_base), name
        if name.endswith("weight"):
            assert found.row(name).init_std == Powers() and float(parameter.detach().std()) == pytest.approx(1, rel=0.1)
    assert [found.row(f"{i}.weight").multiplier for i in (0, 2, 4)] == [Powers(), N ** -Fraction(1, 2), N**-1]  # what their code divides by
    embedding = {n: rates(uu.Embedding(16, n))[0] for n in (64, 256)}
    assert embedding[256] / embedding[64] == pytest.approx(1 / 2)


def test_initial_values_scale_from_the_reference():
    torch.manual_seed(0)
    reference, module = modules.perceptron(n=64)[0], modules.perceptron(n=1024)[0]
    initialise(module, table(), Sizes({"n": 1024}, BASE), reference)
    spread = lambda m, name: float(dict(m.named_parameters())[name].detach().std())  # noqa: E731
    for name, power in {"0.weight": 0, "2.weight": -0.5, "4.weight": -1}.items():
        assert spread(module, name) / spread(reference, name) == pytest.approx(16**power, rel=0.05)  # 640 entries: 2.8 % standard error
    again = modules.perceptron(n=1024)[0]
    initialise(again, table(), Sizes({"n": 1024}, BASE), reference)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


def test_labels_for_optax():
    names, factors = labels(table("adamw"), WIDE)
    assert set(names) == {name for name, _ in modules.perceptron(n=64)[0].named_parameters()}
    assert factors[names["2.weight"]] == pytest.approx({"lr": 1 / 4, "eps": 1 / 4, "weight_decay": 4})
    import optax

    transforms = {k: optax.adamw(0.01 * f["lr"], eps=1e-8 * f["eps"], weight_decay=0.1 * f["weight_decay"]) for k, f in factors.items()}
    parameters = {name: np.ones(2) for name in names}
    state = optax.multi_transform(transforms, names).init(parameters)
    assert state is not None


def test_multipliers_that_the_code_lacks_are_named():
    net = trace(modules.language_model, BASE, name="language_model")
    found = derive(net, "adam")
    assert missing_multipliers(net, found, WIDE) == {"h.0.logits": pytest.approx(0.5)}
    assert found.operations[0].multiplier == N**-1


def test_bad_input_is_named():
    module = modules.perceptron(n=64)[0]
    with pytest.raises(ValueError, match="names the axis `m`, which `base` lacks"):
        Sizes({"m": 2}, BASE)
    with pytest.raises(ValueError, match="unknown setting `rate`"):
        parameter_groups(module, table(), WIDE, rate=1.0)
    with pytest.raises(ValueError, match=r"no row for the parameter `0\.other`"):
        parameter_groups(nn.Sequential(nn.ParameterDict({"other": nn.Parameter(torch.zeros(2))})), table(), WIDE)
    with pytest.raises(ValueError, match=r"has no parameter `2\.weight`"):
        initialise(module, table(), WIDE, nn.Sequential(nn.Linear(20, 64)))


# -- the module itself, in training
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_scaled_module_passes_its_check(optimizer: str):
    net = trace(modules.perceptron, BASE, name="perceptron")
    rows = check(net, derive(net, optimizer), sizes=(64, 128, 256, 512), steps=2, seeds=4, factory=modules.perceptron)
    assert len(rows) > 30 and not len(misses(rows))
    assert {"2.weight: W0 dx", "2.weight: dW x0", "2.bias: dW x0"} <= set(rows["term"])


def test_a_wrong_exponent_is_found_on_the_module():
    net = trace(modules.perceptron, BASE, name="perceptron")
    right = derive(net, "adam")
    wrong = right.changed("2.weight", learning_rate=N ** "-1/2")
    rows = check(net, wrong, sizes=(64, 128, 256), steps=1, seeds=2, factory=modules.perceptron)
    assert set(misses(rows)["weight"]) == {"2.weight"}


def test_fused_attention_is_measured_slice_by_slice():
    net = trace(modules.language_model, BASE, name="language_model")
    rows = check(net, derive(net, "adam"), sizes=(64, 128, 256), steps=1, seeds=4, factory=modules.language_model)
    assert not len(misses(rows))
    assert {f"h.0.qkv.weight[{i}]: dW x0" for i in range(3)} <= set(rows["term"])


def test_a_term_of_a_convolution_leaves_its_bias_out():
    layer = torch.nn.Conv2d(3, 4, 3)
    with Watch(dict(layer.named_parameters())) as watch:
        layer(torch.randn(1, 3, 5, 5))
    (use,) = watch.uses["weight"]
    assert use.term(torch.zeros(1, 3, 5, 5), use.args[1]).abs().max() == 0
