"""Wrong input is refused with a message that names it."""

from dataclasses import replace
from fractions import Fraction

import pytest
from widelimit.theory.architecture import Architecture, Node, Weight
from widelimit.theory.classification import classify
from widelimit.theory.derivation import derive
from widelimit.theory.graph import Graph
from widelimit.theory.observables import Observable
from widelimit.theory.parameterizations import parameterization
from widelimit.theory.scales import Axis, Dim, Powers, Regime, as_fraction
from widelimit.theory.zoo import find_architecture, gpt, mlp, resmlp

N = Axis("n")
DIMS = {"x": Dim("x", factor=Fraction(8)), "h": Dim("h", Powers(n=1)), "y": Dim("y")}


def architecture(*nodes: Node, weights: tuple[Weight, ...] = (), dims: dict[str, Dim] = DIMS) -> Architecture:
    return Architecture("net", (N,), dims, {w.name: w for w in weights}, nodes)


INPUT = Node("input", "input", (), ("x",), kind="real")


def test_cycle():
    loop = Node("a", "add", ("input", "b"), ("x",)), Node("b", "map", ("a",), ("x",), kind="relu")
    with pytest.raises(ValueError, match=r"the graph of `net` has a cycle: (a -> b -> a|b -> a -> b)"):
        architecture(INPUT, *loop)


def test_unknown_tensor_weight_dimension_axis():
    with pytest.raises(ValueError, match="`a` of `net` reads the unknown tensor `c`"):
        architecture(INPUT, Node("a", "map", ("c",), ("x",)))
    with pytest.raises(ValueError, match="`a` uses the unknown weight `W`"):
        architecture(INPUT, Node("a", "dense", ("input",), ("h",), weight="W"))
    with pytest.raises(ValueError, match="weight `W` has the unknown dimension `k`"):
        architecture(INPUT, weights=(Weight("W", ("k",), ("x",)),))
    with pytest.raises(ValueError, match="dimension `h` of `net` grows with the unknown axis `m`"):
        architecture(INPUT, dims={**DIMS, "h": Dim("h", Powers(m=1))})
    with pytest.raises(ValueError, match="unknown init `uniform`"):
        architecture(INPUT, weights=(Weight("W", ("h",), ("x",), init="uniform"),))
    with pytest.raises(ValueError, match="two tensors named `input`"):
        architecture(INPUT, INPUT)


def test_weight_with_two_shapes():
    g = Graph("net", [N])
    g.dims(x=8, h="n", y=4)
    h = g.dense("W", g.input("x"), "h")
    with pytest.raises(ValueError, match=r"weight `W` is used with two shapes: \(h\) x \(x\) and \(y\) x \(h\)"):
        g.dense("W", h, "y")
    wrong = Node("a", "dense", ("input",), ("y",), weight="W", over=("x",))
    with pytest.raises(ValueError, match="weight `W` is used with two shapes"):
        architecture(INPUT, wrong, weights=(Weight("W", ("h",), ("x",)),))


def test_graph_builder():
    g = Graph("net", [N])
    g.dims(x=8, h="n")
    x = g.input("x")
    with pytest.raises(ValueError, match="unknown dimension `z`; declare it"):
        g.dense("W", x, "z")
    with pytest.raises(ValueError, match="has no tensor `q`"):
        g.map("relu", "q")
    with pytest.raises(ValueError, match="unknown activation `swish`"):
        g.map("swish", x)
    with pytest.raises(ValueError, match="unknown norm `batch`"):
        g.norm(x, kind="batch")


@pytest.mark.parametrize(
    ("regime", "message"),
    [
        (lambda: Regime(n=1), "regime leaves out the axis `L` of `resmlp`; write L=0 to keep it fixed"),
        (lambda: Regime(n=1, L=1, experts=1), r"regime names the axis `experts`, which `resmlp` does not have \(it has n, L\)"),
        (lambda: Regime(n=1, L=-1), "axis `L` has the power -1; sizes grow"),
        (lambda: Regime(n=0, L=0), "regime of `resmlp` lets no axis grow"),
        (lambda: Regime(n="one", L=0), "power of axis `n` `one` is not a rational number"),
    ],
)
def test_regimes(regime, message: str):
    with pytest.raises(ValueError, match=message):
        derive(resmlp(), "sgd", regime=regime())


def test_a_shrinking_dimension():
    with pytest.raises(ValueError, match=r"dimension `d0` of `gpt` shrinks as scale\^-1/2"):
        derive(gpt(), "adam", regime=Regime(n="1/2", heads=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "lbfgs"}, "unknown optimizer `lbfgs`; choose from sgd, momentum"),
        ({"desiderata": "best"}, "unknown desideratum `best`; choose from stable"),
        ({"desiderata": "stable"}, "`stable` must contain one of maximal-update, kernel and scale-stable"),
        ({"desiderata": "maximal-update+kernel"}, "one of maximal-update, kernel"),
        ({"alignment": "half"}, "unknown alignment `half`; choose from words, full, everett, none"),
        ({"alignment": "words,W2=none"}, "alignment `words` is derived for all weights or for none"),
        ({"alignment": "full,W9=none"}, "alignment is given for `W9`, which is no weight"),
        ({"alignment": "W2=1:1/4:1"}, "the alignment exponent 1/4 is not between 1/2"),
        ({"gauge": "tp4"}, "unknown gauge `tp4`; choose from multiplier-free"),
        ({"fixed": {"W9": {"init_std": Powers()}}}, "`mlp` has no weight or multiplier `W9` to fix"),
        ({"fixed": {"W1": {"epsilon": Powers()}}}, "`epsilon` of `W1` cannot be fixed"),
    ],
)
def test_derive_options(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        derive(mlp(), **options)


def test_names():
    with pytest.raises(ValueError, match="unknown architecture `cnn`; choose from mlp"):
        find_architecture("cnn")
    with pytest.raises(ValueError, match="unknown parameterization `lecun`; choose from sp, ntp"):
        parameterization("lecun", mlp(), "sgd")
    with pytest.raises(KeyError, match=r"has no weight `W7` \(it has W1, W2, W3\)"):
        derive(mlp(), "sgd").row("W7")
    with pytest.raises(ValueError, match="`hidden` is 0"):
        mlp(hidden=0)
    with pytest.raises(ValueError, match="`blocks` is 0"):
        gpt(blocks=0)
    with pytest.raises(ValueError, match=r"gives no multiplier for `blocks.0.attention.logits`"):
        net = gpt(bias=False, gains=False)
        classify(net, replace(parameterization("sp", net, "sgd"), operations=()))


def test_numbers():
    assert as_fraction("-3/4") == Fraction(-3, 4) and as_fraction(0.5) == Fraction(1, 2)
    for bad in (0.1, "x", "1/0", float("nan"), float("inf")):
        with pytest.raises((ValueError, OverflowError), match=r"is not a rational number|convert"):
            as_fraction(bad)
    with pytest.raises(ValueError, match="is not an identifier"):
        Axis("2n")
    with pytest.raises(ValueError, match="must be a positive integer"):
        Axis("n", base=0)
    with pytest.raises(ValueError, match="`mlp` has no axis `m`"):
        mlp().sizes({"m": 3})
    with pytest.raises(ValueError, match=r"dimension `d0` has the size 64/3 at .*heads=3"):
        gpt().dims["d0"].size({"n": 64, "heads": 3})


@pytest.mark.parametrize("kind", ["W0 x0", "dW x0", "W0 dx", "dW dx"])
@pytest.mark.parametrize("backward", [False, True])
def test_observables_are_read_back(kind: str, backward: bool):
    observable = Observable("blocks.0.query", kind, backward)
    assert Observable.parse(str(observable)) == observable
