"""Modules by name: their tables against what papers give, and against networks."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from widelimit.paper_repro.check import check
from widelimit.paper_repro.conditions import Conditions
from widelimit.paper_repro.targets import load_architecture
from widelimit.synthetic.tracing import trace
from widelimit.synthetic.zoo import MODULES, find_factory
from widelimit.theory.derivation import derive
from widelimit.theory.scales import Powers, Regime
from widelimit.theory.table import ExponentTable

N = Powers(n=1)
INPUT, HIDDEN, READOUT = (Powers(), Powers()), (N ** "-1/2", N**-1), (N**-1, N**-1)  # init, rate of Adam
ROOT, FACTOR = (N ** "-1/4", N ** "-1/2"), (N ** "-1/4", N ** "-1/4")  # fan-in n^1/2


@cache
def table(name: str, optimizer: str = "adam") -> ExponentTable:
    return derive(load_architecture(name), optimizer)


# initialisation and rate by the last parts of a parameter's name; matrices that are not named are hidden, vectors like inputs
ROWS: Mapping[str, Mapping[str, tuple[Powers, Powers]]] = {
    "dit": {"patches.proj.weight": INPUT, "time.mlp.0.weight": INPUT, "labels.weight": INPUT, "final.linear.weight": READOUT},
    "uvit": {"patches.proj.weight": INPUT, "time.mlp.0.weight": INPUT, "labels.weight": INPUT, "output.weight": READOUT},
    "mmdit": {"patches.proj.weight": INPUT, "time.mlp.0.weight": INPUT, "context.weight": INPUT, "final.linear.weight": READOUT},
    "pixart": {
        "patches.proj.weight": INPUT, "time.mlp.0.weight": INPUT, "caption.0.weight": INPUT, "table": INPUT, "output.weight": READOUT,
    },
    "convnet": {"stem.weight": INPUT, "depthwise.weight": INPUT, "readout.weight": READOUT},
    "mixer": {
        "embed.weight": INPUT, "tokens.0.weight": INPUT, "tokens.2.weight": INPUT, "readout.weight": READOUT,
    },
    "sparse": {"embed.weight": INPUT, "readout.weight": READOUT},
    "monarch": {"embed.weight": INPUT, "first": ROOT, "second": ROOT, "readout.weight": READOUT},
    "btt": {"embed.weight": INPUT, "first": ROOT, "second": ROOT, "readout.weight": READOUT},
    # the gradient of a factor is a sum over n^1/2 places of random sign, by which Adam divides
    "kronecker": {"embed.weight": INPUT, "left": FACTOR, "right": FACTOR, "readout.weight": READOUT},
    "lora": {"embed.weight": INPUT, "A.weight": HIDDEN, "B.weight": INPUT, "readout.weight": READOUT},
    "experts": {"embed.weight": INPUT, "experts.router.weight": READOUT, "readout.weight": READOUT},
}  # fmt: skip
SLOW = {"pixart", "uvit"}


def test_every_module_has_an_expected_table():
    assert ROWS.keys() == MODULES.keys()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in MODULES])
def test_rows_of_adam(name: str):
    found = table(name)
    assert found.verdict == "unique"
    for row in found.rows:
        vector = not row.shape.inn
        init, rate = next((v for k, v in ROWS[name].items() if row.weight.endswith(k)), INPUT if vector else HIDDEN)
        assert row.zero_init or not row.trained or row.init_std == init, row
        assert not row.trained or row.learning_rate == rate, row


def test_heads_of_fixed_size_need_no_multiplier():
    """As in the code that goes with 2505.15270."""
    wide = derive(trace(lambda *, n: find_factory("dit")(n=n, heads=n // 16), {"n": 64}, name="dit"), "adam")
    assert [o.multiplier for o in table("dit").operations] == [N**-1]
    assert wide.verdict == "unique" and not wide.operations


@pytest.mark.parametrize(("starts", "rank"), [("A", lambda n: 4), ("A", lambda n: n // 4), ("B", lambda n: n // 4)])
def test_adapters_learn_as_lora_plus_says(starts: str, rank: Callable[[int], int]):
    """2402.12354: the rate of B is larger than that of A by n over the rank, whichever starts at zero."""
    found = derive(trace(lambda *, n: find_factory("lora")(n=n, r=rank(n), starts=starts), {"n": 64}, name="lora"), "adam")
    power = N if rank(64) == rank(256) else Powers()
    assert found.verdict == "unique"
    assert found.row("one.B.weight").learning_rate / found.row("one.A.weight").learning_rate == power


def test_density_of_a_sparse_weight():
    """2405.15743: with density 1/s the initial variance is s/n and Adam's rate s/n, at any rate at which s follows n, up to s = n."""
    architecture = load_architecture("sparse")
    found = derive(architecture, "adam", regime=Regime(n=1, s="1/2"), closed_form=True)
    assert found.per_axis is not None
    row = found.per_axis.row("one.weight")
    assert (row.init_std, row.learning_rate) == (Powers(n="-1/2", s="1/2"), Powers(n=-1, s=1))
    edge = derive(architecture, "adam", regime=Regime(n=1, s=1), closed_form=True)
    assert edge.verdict == "unique" and edge.per_axis is not None and "one side" in edge.per_axis.notes[0]
    assert edge.row("one.weight").learning_rate == Powers()
    assert not missed("sparse", "adam", (64, 128, 256), steps=3)


def missed(name: str, optimizer: str, sizes: tuple[int, ...], **options: Any) -> list[str]:
    architecture = load_architecture(name)
    rows = check(architecture, table(name, optimizer), sizes=sizes, factory=find_factory(name), **options)
    assert (rows["verdict"] == "agrees").mean() > 0.4
    return rows.loc[rows["verdict"] == "misses", "term"].tolist()


def test_token_mixing_weights_with_sgd():
    """Their gradient is a sum over all channels, coherent once the readout has learned."""
    assert table("mixer", "sgd").row("tokens.0.weight").learning_rate == Powers()
    assert not missed("mixer", "sgd", (64, 128, 256, 512), steps=3)


def test_rates_behind_zeros_are_balanced_among_their_own():
    """What starts to change a step later changes by a power more of the tiny rate; that is no reason to lower the others' rates."""
    architecture = load_architecture("dit")
    conditions = Conditions.of(architecture, table("dit", "sgd"), "n", (64, 128), find_factory("dit"))
    assert min(conditions.balanced(64).rates.values()) > 0.01


def test_a_diffusion_transformer_that_starts_at_zero():
    """Weights whose first gradient comes after three steps."""
    assert not missed("dit", "adam", (64, 128, 256), steps=3)


def test_kronecker_factors():
    assert not missed("kronecker", "adam", (64, 256, 1024), steps=3)
