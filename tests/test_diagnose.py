"""``widelimit diagnose weight-decay``: exponents of planted covariances, modules that nobody here has seen, and every refusal."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import planted_noise
import pytest
import torch
from helpers import call
from torch import nn
from widelimit.paper_repro.commands.diagnose import as_json, as_text
from widelimit.paper_repro.diagnosing import Target, diagnose
from widelimit.paper_repro.diagnosis import BETAS, Diagnosis, Estimate, Settings, flagged
from widelimit.paper_repro.targets import load_architecture
from widelimit.synthetic.module_following import Course, Study
from widelimit.synthetic.module_matrices import growing
from widelimit.synthetic.sources import Random, given
from widelimit.synthetic.tracing import trace
from widelimit.theory.derivation import derive
from widelimit.theory.gain import PowerLaw, top_singular_value

FILE = Path(planted_noise.__file__)
SEEN = f"{FILE}:build"
UNSEEN = """
import torch
import torch.nn.functional as F
from torch import nn

class Odd(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.read, self.mix = nn.Linear(12, n), nn.MultiheadAttention(n, 4, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(n), nn.LayerNorm(n)
        self.gate, self.up, self.down = nn.Linear(n, 2 * n), nn.Linear(n, 2 * n), nn.Linear(2 * n, n)
        self.write = nn.Linear(n, 16)

    def forward(self, x):
        h = self.read(x)
        y = self.norm1(h)
        h = h + self.mix(y, y, y, need_weights=False)[0]
        y = self.norm2(h)
        return self.write((h + self.down(F.silu(self.gate(y)) * self.up(y))).mean(1))

def build(*, n):
    return Odd(n), torch.randn(4, 6, 12)
"""


def truth(exponent: float, sizes: tuple[int, ...]) -> float:
    """At these finite sizes, of Gaussian noise between the covariances: 0.50, 0.67, 0.88 where powers alone say 1/2, 3/4, 1."""
    values = [PowerLaw.of(exponent).eigenvalues(n) for n in sizes]
    tops = [top_singular_value(own, own) for own in values]
    return float(np.polyfit(np.log(sizes), np.log(tops), 1)[0])


def planted(exponent: float, **settings) -> Diagnosis:
    target = Target(load_architecture(SEEN), planted_noise.build, planted_noise.coloured(exponent), "planted")
    return diagnose(target, Settings(**{"learning_rate": 0.02, **settings}))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_alpha_of_planted_covariances(exponent: float):
    sizes = (32, 64, 128)
    found = planted(exponent, sizes=sizes, seeds=6)
    (own,) = found.findings
    expected = truth(exponent, sizes)
    for estimate in (own.alpha, own.noise, own.from_ranks):
        assert abs(estimate.value - expected) < 0.08, (exponent, str(own.alpha), str(own.noise), str(own.from_ranks), expected)
    assert own.alpha.has(expected), (str(own.alpha), expected)
    assert own.is_noise and abs(own.persists) < 0.1 and not found.moving
    assert own.decay.value == pytest.approx(2 * own.alpha.value - 1)


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_alpha_of_planted_covariances_at_the_sizes_of_the_figure(exponent: float):
    sizes = (48, 96, 192, 384)
    found = planted(exponent, sizes=sizes, seeds=8, batch=128)
    (own,) = found.findings
    assert abs(own.alpha.value - truth(exponent, sizes)) < 0.08 and own.alpha.has(truth(exponent, sizes))
    assert abs(own.alpha.value - {0.0: 0.51, 0.5: 0.69, 1.0: 0.90}[exponent]) < 0.08  # `weight-decay/coloured`, with batches of d


def diagnose_planted(capsys: pytest.CaptureFixture[str], *more: str, data: str = "white", target: str = SEEN) -> tuple[int, str, str]:
    fast = ("--sizes", "16,32,64", "--seeds", "3", "--learning-rate", "0.02")
    return call(capsys, "diagnose", "weight-decay", target, *fast, *(("--data", f"{FILE}:{data}") if data else ()), *more)


def test_the_text_recommends_with_interval_and_reason(capsys: pytest.CaptureFixture[str]):
    status, out, err = diagnose_planted(capsys)
    assert status == 0 and "n=64 seed 2: update" in err
    found = re.search(r"recommended: decay ~ n\^(-?\d\.\d\d)  \[(.*), (.*)\] of matrices beside rates of 1/n, none of vectors", out)
    assert found and float(found[2]) <= float(found[1]) <= float(found[3])
    assert "so that alpha = 1 - gamma/2 = 0." in out and "stays where decay ~ n^(2 alpha - 1)" in out
    assert "published sqrt(n) (arXiv 2510.15262) lies outside of the interval" in out
    assert "stationary: 2 sum(rate decay) = " in out and "disagree" not in out


def test_json_has_all_that_the_text_has(capsys: pytest.CaptureFixture[str]):
    status, out, _ = diagnose_planted(capsys, "--format", "json", "--match", "gain", data="one")
    found = json.loads(out)
    assert status == 0 and found["schema"] == 1 and found["match"] == "gain" and found["sizes"] == [16, 32, 64]
    (row,) = found["rows"]
    assert row["weight"] == "hidden.weight" and row["alpha"]["low"] <= row["alpha"]["value"] <= row["alpha"]["high"]
    assert found["all"]["decay_exponent"]["value"] == pytest.approx(2 * row["alpha"]["value"] - 1)
    assert row["alpha"]["value"] == pytest.approx(row["noise"]["value"], abs=0.1) and found["stationarity"] > 6


REFUSED = {
    "no rate": (["--learning-rate", "0"], "--learning-rate is 0; at that nothing is trained.*give a positive one"),
    "no decay": (["--decay", "0"], "--decay is 0; without decay norms never settle"),
    "all decays": (["--learning-rate", "0.5", "--decay", "2"], r"times --decay is 1; an update keeps the part 1 - rate decay.*below 1"),
    "one size": (["--sizes", "64"], "at least two growing sizes"),
    "one seed": (["--seeds", "1"], "--seeds is 1; it must be at least 2, for an interval"),
    "no steps": (["--steps", "0"], "--steps is 0"),
    "too short": (["--steps", "60"], r"not stationary: 2 sum\(rate decay\) is 2\.3.*give --steps \d+ or more"),
    "another optimizer": (["--optimizer", "muon"], "`muon`.*choose adamw"),
    "another format": (["--format", "yaml"], "`yaml`.*choose from text, json"),
    "another match": (["--match", "norm"], "`norm`.*choose from top, gain"),
    "another loss": (["--loss", "hinge"], "`hinge`.*choose from squared"),
    "another axis": (["--axis", "depth"], "no axis `depth` that grows"),
    "classes that are none": (["--loss", "cross-entropy"], "targets of torch.float32; the cross-entropy needs classes"),
    "a rate at which it diverges": (
        ["--learning-rate", "1e6", "--decay", "1e-8", "--sizes", "8,16", "--steps", "900"],
        "n=8, seed 0 diverged at update.*smaller --l",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_settings_are_refused_in_one_line(case: str, capsys: pytest.CaptureFixture[str]):
    arguments, message = REFUSED[case]
    status, out, err = diagnose_planted(capsys, *arguments)
    assert (status, out) == (2, "") and re.search(message, err.splitlines()[-1]), err
    assert err.splitlines()[-1].startswith("widelimit: ") and "Traceback" not in err


DATA = {
    "broken": "1 numbers that are not finite",
    "narrow": r"the module at n=16 cannot be trained on a batch with inputs \(64, 15\) and targets \(64, 16\)",
    "mute": r"returned ndarray; it must return two things, \(inputs, targets\)",
    "uneven": r"arrays of the shapes .*all need the same number of samples",
    "short": "at least two batches of 64",
    "demanding": "asks for `colour`; it may take seed, samples, n",
    "failing": "failed when called with n=16: RuntimeError: no disk",
    "words": "no array of numbers",
    "strangers": r"cannot be trained on a batch .* \(cross-entropy\)",
    "negative": "returned the class -1",
    "nothing": "has no function `nothing`",
}


@pytest.mark.parametrize("data", DATA)
def test_wrong_data_are_refused_in_one_line(data: str, capsys: pytest.CaptureFixture[str]):
    status, out, err = diagnose_planted(capsys, data=data)
    assert (status, out) == (2, "") and re.search(DATA[data], err.splitlines()[-1]), err
    assert "Traceback" not in err


def test_a_size_at_which_the_factory_fails_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "odd.py").write_text(UNSEEN)
    status, out, err = call(capsys, "diagnose", "weight-decay", f"{tmp_path}/odd.py:build", "--sizes", "30,62")
    assert (status, out) == (2, "") and re.search("n=30", err.splitlines()[-1]) and "Traceback" not in err


def test_classes_that_a_network_does_not_have_are_refused(capsys: pytest.CaptureFixture[str]):
    err = diagnose_planted(capsys, target="mlp", data="many")[2]
    assert re.search("`mlp` at n=16 cannot be trained on .*many: ", err), err


def test_a_run_that_does_not_rest_is_refused(capsys: pytest.CaptureFixture[str]):
    status, out, err = diagnose_planted(capsys, "--sizes", "16,32", "--steps", "150", data="persistent")
    assert (status, out) == (2, "")
    assert re.search(r"not stationary: after \d+ updates squared norms still move .*hidden.weight at n=16.*give --steps \d+", err), err


def test_nothing_to_scale_is_said(capsys: pytest.CaptureFixture[str]):
    err = diagnose_planted(capsys, data="", target=f"{FILE}:perceptron")[2]
    assert "no trained matrix of which both sides grow" in err
    assert "experts, which grow in several ways" in diagnose_planted(capsys, data="", target="moe")[2]
    assert "--data, which is not given" in diagnose_planted(capsys, "--loss", "squared", data="")[2]
    assert "`x.txt` is not path/to/file.py:function" in call(capsys, "diagnose", "weight-decay", SEEN, "--data", "x.txt")[2]


def frame(power: float = 0.7, *, seeds: int = 4, moves: float = 0.0, noise: float = 0.0) -> pd.DataFrame:
    """Rows of one matrix that follows a power law, and of which the squared norm moves at the largest size."""
    rows, rng = [], np.random.default_rng(0)
    for seed in range(seeds):
        for n in (32, 64, 128):
            top = n**power * 2 ** (noise * rng.standard_normal())
            for step in (100, 150, 200):
                terms = {"top singular value": top, "gain": n**0.5, "noise top": n**0.7, "noise gain": n**0.5, "similarity": np.exp(-0.5)}
                terms |= {f"{what} {side}": n**0.6 for what in ("stable rank", "participation") for side in ("in", "back")}
                terms["rms"] = np.exp(moves * (step - 100) / 200) * (1 + 0.01 * seed * (step == 200)) if n == 128 else 1.0
                own = {"seed": seed, "size.n": n, "weight": "W", "step": step, "rate": 1.0, "decay": 1.0}
                rows += [{**own, "term": term, "value": value} for term, value in terms.items()]
    return pd.DataFrame(rows)


def judged(rows: pd.DataFrame) -> Diagnosis:
    return Diagnosis(flagged(rows, "n"), "n", Settings((32, 64, 128)), 200, 8.0, {"W": -1.0}, {"W": (1.0, 1.0)}, data="planted")


def test_exponents_of_planted_rows():
    found = judged(frame()).whole
    assert found.alpha.value == pytest.approx(0.7) and found.other.value == pytest.approx(0.5) and found.gamma.value == pytest.approx(0.6)
    assert found.from_ranks.value == pytest.approx(0.7) and found.decay.value == pytest.approx(0.4) and found.is_noise
    half = np.log(1.05) / np.log(4)  # no interval is narrower, however alike seeds are
    assert (found.alpha.low, found.alpha.high) == pytest.approx((0.7 - half, 0.7 + half))


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, sizes = np.random.default_rng(1), np.array([32.0, 64.0, 128.0])
    hits = [Estimate.of((sizes, 0.7 * np.log2(sizes) + 0.3 * rng.standard_normal((3, 3)))).has(0.7) for _ in range(200)]
    assert np.mean(hits) > 0.93


def test_an_exponent_that_drifts_with_the_size_has_a_wide_interval():
    sizes = np.array([32.0, 64.0, 128.0])
    found = Estimate.of((sizes, np.tile([0.0, 0.5, 1.3], (4, 1))))
    assert found.value == pytest.approx(0.65) and found.low <= 0.5 and found.high >= 0.8


def test_what_moves_is_flagged_counted_and_left_out():
    found = judged(frame(moves=0.5))
    assert found.moving == (("W", 128),) and found.excluded == 4 and list(found.logs("W", "gain")[0]) == [32, 64]
    assert not found.frame.loc[found.frame["size.n"] == 128, "stationary"].any() and found.frame["stationary"].any()
    assert "not stationary, left out of the fits (1 of 3 matrices by size, in 4 of 12 runs): W at n=128; try --steps 400" in as_text(
        "x", found
    )
    assert as_json("x", found)["not_stationary"] == [{"weight": "W", "size": 128}]


def test_a_matrix_that_is_not_noise_is_said_to_disagree():
    found = judged(frame(1.0))
    assert not found.whole.is_noise and "measured and predicted disagree: W (+0.30)" in as_text("x", found)
    assert "measured and predicted disagree" not in as_text("x", judged(frame(0.72)))


class Mixed(nn.Module):
    """Fused queries, keys and values; a convolution; an einsum with a matrix that stands on the left."""

    def __init__(self, n: int):
        super().__init__()
        self.read, self.mix = nn.Linear(5, n), nn.MultiheadAttention(n, 2, batch_first=True)
        self.conv, self.left, self.write = nn.Conv2d(n, n, 3, padding=1), nn.Parameter(torch.randn(n, n) / n**0.5), nn.Linear(n, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.read(x)
        h = h + self.mix(h, h, h, need_weights=False)[0]
        h = h + torch.tanh(torch.einsum("nm,btm->btn", self.left, h))
        h = h + torch.relu(self.conv(h.transpose(1, 2)[..., None])[..., 0]).transpose(1, 2)
        return self.write(h)


def mixed(*, n):
    return Mixed(n), torch.randn(3, 4, 5)


def test_every_kind_of_matrix_of_a_module_is_measured():
    net = trace(mixed, {"n": 8})
    wanted, left = growing(net, "n")
    study = Study(mixed, net, derive(net, "adamw"), "n", (8, 16), wanted, Course(0.01, 1.0, 4, (2, 4), batch=8, per_input=64))
    rows = study.follow(range(2))
    names = ["mix.in_proj_weight[0]", "mix.in_proj_weight[1]", "mix.in_proj_weight[2]", "mix.out_proj.weight", "left", "conv.weight"]
    assert not left and sorted(rows["weight"].unique()) == sorted(names)
    assert np.isfinite(rows["value"]).all() and set(rows["step"]) == {2, 4}
    assert (rows.loc[rows["size.n"] == 16, "rate"] == 0.005).all() and (rows.loc[rows["size.n"] == 16, "decay"] == 2.0).all()


def test_a_slice_of_a_fused_parameter_is_measured_alone():
    from widelimit.synthetic.matrices import singular_values
    from widelimit.synthetic.module_matrices import derivatives, matrices
    from widelimit.synthetic.watching import Watch

    module, x = mixed(n=8)
    net, seen = trace(mixed, {"n": 8}), {}
    module.mix.register_forward_pre_hook(lambda _, args: seen.update(x=args[0].detach().transpose(0, 1)))
    with Watch(dict(module.named_parameters()), keep=True) as watch:
        loss = module(x).square().mean()
    uses = derivatives(loss, watch.uses)
    own = next(o for o in growing(net, "n")[0] if o.name == "mix.in_proj_weight[1]")
    (found,) = matrices(own.parts[0], module.mix.in_proj_weight, uses["mix.in_proj_weight"])
    keys = module.mix.in_proj_weight[8:16].detach()
    assert torch.equal(found.weight[0], keys) and torch.allclose(found.x[0], seen["x"].reshape(-1, 8))
    assert torch.allclose(singular_values(found.weight)[0].float(), torch.linalg.svdvals(keys), rtol=1e-4)
    (gradient,) = torch.autograd.grad(module(x).square().mean(), module.mix.in_proj_weight)
    assert torch.allclose(found.g[0].T @ found.x[0], gradient[8:16], atol=1e-6)
    left = matrices(next(o for o in growing(net, "n")[0] if o.name == "left").parts[0], module.left, uses["left"])
    assert torch.equal(left[0].weight[0], module.left.detach())


def test_data_make_fresh_updates_where_there_are_enough():
    x, y = np.random.default_rng(0).standard_normal((100, 3)), np.arange(100)
    own = given((x, y), batch_size=10, steps=8, seed=0)
    assert own.loss == "cross-entropy" and own.train == 80 and len(np.unique(own.index)) == 80
    assert own.probe(15)[1].tolist() == list(range(85, 100))
    assert given((x, y), batch_size=10, steps=80, seed=0).train == 90
    pair = given(((x, x), y / 1.0), batch_size=10, steps=8, seed=0)
    assert pair.loss == "squared" and len(pair.batch(0)[0]) == 2 and pair.batch(0)[0][0].shape == (10, 3)


def test_random_batches_are_like_the_example():
    tokens = Random((torch.zeros(2, 5, dtype=torch.long), torch.ones(7)), (2, 5, 11), 11, 6, 0)
    (ids, fixed), classes = tokens.batch(0)
    assert tokens.loss == "cross-entropy" and ids.shape == classes.shape == (6, 5) and 0 <= int(ids.min()) <= int(ids.max()) < 11
    assert torch.equal(fixed, torch.ones(7)) and not torch.equal(ids, tokens.batch(1)[0][0])
    numbers = Random({"x": torch.zeros(2, 3)}, (2, 4), 2, 6, 0)
    assert numbers.loss == "squared" and numbers.batch(0)[0]["x"].shape == (6, 3) and numbers.probe(9)[1].shape == (9, 4)


@pytest.mark.parametrize("sizes", ["16,32", pytest.param("32,64,128", marks=pytest.mark.slow)])
def test_a_module_that_nobody_here_has_seen(sizes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "odd.py").write_text(UNSEEN)
    quick = ("--learning-rate", "0.01", "--batch", "32", "--seeds", "3") if sizes == "16,32" else ("--seeds", "3")
    status, out, _ = call(capsys, "diagnose", "weight-decay", f"{tmp_path}/odd.py:build", "--sizes", sizes, *quick, "--format", "json")
    assert status == 0
    found = json.loads(out)
    names = [f"mix.in_proj_weight[{i}]" for i in range(3)] + [f"{name}.weight" for name in ("mix.out_proj", "gate", "up", "down")]
    moving = {row["weight"] for row in found["not_stationary"]}
    assert set(names) - moving <= {row["weight"] for row in found["rows"]} <= set(names) and not found["left_out"]
    assert found["all"]["decay_exponent"]["low"] < found["all"]["decay_exponent"]["value"]


@pytest.mark.slow
def test_a_network_of_the_zoo(capsys: pytest.CaptureFixture[str]):
    more = ("--data", f"{FILE}:labels", "--sizes", "16,32,64", "--learning-rate", "0.01", "--seeds", "3")
    status, out, err = call(capsys, "diagnose", "weight-decay", "resmlp", *more)
    assert status == 0 and "resmlp n=32, L=4: 3 networks" in err, err
    assert f"data: {FILE}:labels" in out and re.search(r"^up +\d.*\ndown +\d", out, re.M)
    assert "too wide to tell" in out


@pytest.mark.slow
def test_a_network_of_the_zoo_on_its_own_task(capsys: pytest.CaptureFixture[str]):
    status, out, err = call(capsys, "diagnose", "weight-decay", "mlp")
    assert status == 0 and "data: the task digits" in out, err
    low, high = (float(end) for end in re.search(r"recommended: .*\[(.*), (.*)\]", out).groups())
    assert low < 1 < high  # digits are learned: a few coherent directions


def test_the_default_is_stationary_and_told():
    settings = Settings()
    assert settings.planned(1.0)[0] == 616 and settings.looks(616) == (416, 516, 616) and BETAS == (0.9, 0.95)
    assert settings.planned(100.0)[0] > 1000
