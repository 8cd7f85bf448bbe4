"""The command line as a user meets it: what it prints, and what it says to wrong input."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import call
from widelimit.paper_repro import cli
from widelimit.paper_repro.targets import load_architecture, parse_regime, parse_sizes

COMMANDS = ("derive", "check", "compare", "limit", "transfer", "reproduce", "report", "list", "diagnose")
NETWORK = """
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis

def build(*, n, heads, outputs=2):
    g = Graph("mine", [Axis("n", base=n), Axis("heads", base=heads)])
    g.dims(x=8, hidden="n", head="heads", y=outputs)
    h = g.map("relu", g.dense("read", g.input("x"), ("hidden", "head")))
    return g.build(g.dense("write", h, "y", over=("hidden", "head")))

def fails(*, n):
    raise RuntimeError(f"no network\\nof width {n}")

def leaves(*, n):
    raise SystemExit(3)

def none(*, n):
    pass

def number(*, n):
    return 4

def stranger(*, n, depth):
    return build(n=n, heads=depth)
"""


class Run:
    """Runs the command line in this process; in an empty folder with a network and some wrong files."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]):
        self.folder, self.capsys = folder, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        return call(self.capsys, *arguments)

    def refused(self, *arguments: str) -> str:
        """The one line that wrong input gets."""
        status, out, err = self(*arguments)
        assert (status, out) == (2, ""), f"exit status {status}: {out}{err}"
        assert re.fullmatch(r"widelimit: [^\n]+\n", err), err
        return err


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    files = {
        "net.py": NETWORK,
        "broken.py": "def build(*, n):\n    return (\n",
        "raises.py": "import re\nmissing_name\n",
        "text.json": "this is no JSON",
        "list.json": "[1, 2]",
        "empty.json": "{}",
        "text-power.json": '{"rows": [{"weight": "W1", "init_std": "n^-1/2"}]}',
        "other.json": '{"schema": 7, "target": "mlp", "optimizer": "adam", "rows": []}',
        "unnamed.json": '{"schema": 1, "target": "mlp", "optimizer": "adam", "rows": [{"init_std": {}}]}',
        "float.json": '{"schema": 1, "target": "mlp", "optimizer": "adam", "rows": [{"weight": "W1", "init_std": {"n": 0.1234567}}]}',
        "number.json": '{"schema": 1, "target": "mlp", "optimizer": "adam", "rows": 3}',
        "opless.json": '{"schema": 1, "target": "mlp", "optimizer": "adam", "rows": [], "operations": [{}]}',
        "stranger.json": '{"schema": 1, "target": "mlp", "optimizer": "adam", "rows": [{"weight": "W9"}]}',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return Run(tmp_path, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(run: Run, command: str):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert f"widelimit {command}" in out.split("Example", 1)[1], "no example"


def test_help_names_every_command(run: Run):
    status, out, _ = run("--help")
    assert status == 0
    assert re.findall(r"^  (\w+)  ", out.split("Commands:")[1], re.M) == list(COMMANDS)
    assert run() == (0, out, "")


def test_help_imports_nothing_heavy():
    code = "import sys; from widelimit.paper_repro import cli\ntry: cli.main(['derive', '--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) & {"torch", "jax", "sympy", "numpy", "scipy", "pandas", "matplotlib", "seaborn"}
    assert not loaded


WRONG = {
    "unknown command": (["derivate"], "derivate"),
    "no target": (["derive"], "TARGET"),
    "unknown option": (["derive", "mlp", "--optimiser", "adam"], "--optimiser"),
    "unknown target": (["derive", "mpl"], "`mpl`.*choose from mlp"),
    "unknown optimizer": (["derive", "mlp", "--optimizer", "adamm"], "`adamm`.*choose from sgd"),
    "unknown desideratum": (["derive", "mlp", "--desiderata", "best"], "`best`"),
    "unknown gauge": (["derive", "mlp", "--gauge", "tp6"], "`tp6`.*choose from multiplier-free"),
    "unknown alignment": (["derive", "mlp", "--alignment", "some"], "`some`"),
    "unknown format": (["derive", "mlp", "--format", "yaml"], "`yaml`.*choose from text"),
    "unknown parameterization": (["derive", "mlp", "--parameterization", "mu"], "`mu`.*choose from sp"),
    "classify and derive": (["derive", "mlp", "--parameterization", "sp", "--fix", "mup"], "--parameterization.*--fix"),
    "regime without power": (["derive", "mlp", "--regime", "n"], "`n`.*AXIS=POWER"),
    "empty regime": (["derive", "mlp", "--regime", ""], "AXIS=POWER"),
    "regime with a word": (["derive", "mlp", "--regime", "n=fast"], "`fast`"),
    "regime that shrinks": (["derive", "mlp", "--regime", "n=-1"], "`n`.*-1"),
    "regime over zero": (["derive", "mlp", "--regime", "n=1/0"], "`1/0`"),
    "regime twice": (["derive", "mlp", "--regime", "n=1,n=2"], "`n` twice"),
    "regime leaves out an axis": (["derive", "transformer", "--regime", "n=1"], "`heads`"),
    "regime with an unknown axis": (["derive", "mlp", "--regime", "n=1,m=1"], "`m`"),
    "regime that stands": (["derive", "mlp", "--regime", "n=0"], "no axis grow"),
    "missing file": (["derive", "absent.py:build"], "`absent.py`"),
    "file without factory": (["derive", "net.py"], "net.py:factory.*build, fails"),
    "unknown factory": (["derive", "net.py:make"], "`make`.*functions: build"),
    "factory that fails": (["derive", "net.py:fails"], "`net.py:fails` failed.*n=64.*RuntimeError: no network of width 64"),
    "factory that exits": (["derive", "net.py:leaves"], "SystemExit"),
    "factory of nothing": (["derive", "net.py:none"], "returned None"),
    "factory of a number": (["derive", "net.py:number"], "returned an `int`"),
    "factory with a stranger": (["derive", "net.py:stranger"], "`depth`, which is no axis"),
    "file with a syntax error": (["derive", "broken.py:build"], "broken.py.*SyntaxError"),
    "file that fails": (["derive", "raises.py:build"], "line 2, NameError"),
    "table file missing": (["derive", "mlp", "--parameterization", "absent.json"], "no file `absent.json`"),
    "table is a folder": (["derive", "mlp", "--parameterization", "./"], "cannot be read"),
    "table is no JSON": (["derive", "mlp", "--fix", "text.json"], "text.json` is not JSON"),
    "powers as text": (["derive", "mlp", "--fix", "text-power.json"], "`init_std` of `W1` is 'n\\^-1/2'; write powers as"),
    "table of other weights": (["derive", "mlp", "--parameterization", "stranger.json"], "`W9`.*weights: W1"),
    "JSON list": (["compare", "list.json", "mlp/mup"], "list.json` is not a table"),
    "JSON without fields": (["compare", "empty.json", "mlp/mup"], "empty.json` is not a table.*schema"),
    "another schema": (["compare", "other.json", "mlp/mup"], "schema 1"),
    "row without weight": (["compare", "unnamed.json", "mlp/mup"], "unnamed.json.*`weight`"),
    "power that is no fraction": (["compare", "float.json", "mlp/mup"], "`W1`.*0.1234567"),
    "rows are a number": (["compare", "number.json", "mlp/mup"], "number.json` is not a table"),
    "operation without name": (["compare", "opless.json", "mlp/mup"], "opless.json` is not a table"),
    "one table": (["compare", "mlp/mup"], "'B'"),
    "side with too many parts": (["compare", "mlp/mup/adam/x", "mlp/mup"], "`mlp/mup/adam/x`"),
    "side with an empty part": (["compare", "mlp//adam", "mlp/mup"], "`mlp//adam`"),
    "tables of two networks": (["compare", "mlp", "gpt"], "no weight in common"),
    "side with an unknown table": (["compare", "mlp/mu", "mlp/mup"], "`mu`"),
    "side with an unknown optimizer": (["compare", "mlp/mup/adamm", "mlp/mup"], "`adamm`"),
    "sizes with a word": (["check", "mlp", "--sizes", "64,wide"], "`wide`"),
    "negative sizes": (["check", "mlp", "--sizes", "-64,128"], "`-64`"),
    "size zero": (["check", "mlp", "--sizes", "0,128"], "`0`"),
    "fractional size": (["check", "mlp", "--sizes", "64.5,128"], "`64.5`"),
    "one size": (["check", "mlp", "--sizes", "64"], "two growing sizes"),
    "sizes that shrink": (["check", "mlp", "--sizes", "128,64"], "growing"),
    "no steps": (["check", "mlp", "--steps", "0"], "--steps is 0"),
    "steps with a word": (["check", "mlp", "--steps", "ten"], "--steps"),
    "check in LaTeX": (["check", "mlp", "--format", "latex"], "`latex`"),
    "check with an unknown table": (["check", "mlp", "--parameterization", "mu"], "`mu`"),
    "unknown paper": (["reproduce", "kernel"], "`kernel`"),
    "unknown figure": (["reproduce", "core/pie"], "`pie`"),
    "unknown preset": (["reproduce", "core", "--preset", "huge"], "`huge`.*smoke"),
    "no jobs": (["reproduce", "core", "--jobs", "0"], "--jobs"),
    "output is a file": (["reproduce", "core", "--preset", "smoke", "--out", "net.py"], "`net.py` cannot be written: it is a file"),
    "output below a file": (["reproduce", "core", "--preset", "smoke", "--out", "net.py/out"], "`net.py/out` cannot be written"),
    "nothing to report": (["report"], "no finished figure"),
    "unknown list": (["list", "widths"], "`widths`.*choose from architectures"),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_named_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str):
    monkeypatch.setenv("WIDELIMIT_HOME", str(run.folder / "home"))
    assert re.search(says, run.refused(*arguments))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_is_refused(run: Run):
    (run.folder / "locked").mkdir(mode=0o500)
    assert "locked/out" in run.refused("reproduce", "core", "--preset", "smoke", "--out", "locked/out")


def test_a_read_only_file_system_is_refused(run: Run):
    assert "`/proc/out` cannot be written" in run.refused("reproduce", "core", "--preset", "smoke", "--out", "/proc/out")


def test_a_bug_is_no_wrong_input(monkeypatch: pytest.MonkeyPatch):
    def crash(kind: str | None) -> int:
        raise KeyError("inside")

    monkeypatch.setattr("widelimit.paper_repro.commands.listing.list_names", crash)
    with pytest.raises(KeyError, match="inside"):
        cli.main(["list"])


def test_an_interruption_is_130(run: Run, monkeypatch: pytest.MonkeyPatch):
    def interrupt(kind: str | None) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("widelimit.paper_repro.commands.listing.list_names", interrupt)
    assert run("list") == (130, "", "widelimit: interrupted\n")


def test_an_interrupted_reproduction_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object, **__: object):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("widelimit.paper_repro.commands.reproduce.make", interrupt)
    monkeypatch.setattr(sys, "argv", ["widelimit", "reproduce", "core", "--preset", "smoke"])
    status, _, err = run("reproduce", "core", "--preset", "smoke")
    assert status == 130
    assert "go on with: widelimit reproduce core --preset smoke" in err


def test_list_names_everything(run: Run):
    status, out, _ = run("list")
    assert status == 0
    for word in ("architectures", "mlp", "transformer", "adamw", "mup", "multiplier-free", "core/coordinate-check"):
        assert word in out
    status, out, _ = run("list", "optimizers")
    names = [line.split()[0] for line in out.splitlines()]
    assert len(names) == len(set(names)) and {"sgd", "adam", "adamw", "muon", "shampoo", "kfac", "lamb"} <= set(names)


def test_a_factory_is_called_with_its_axes(run: Run):
    made = load_architecture(f"{run.folder}/net.py:build")
    assert made.base == {"n": 64, "heads": 4}
    assert list(made.weights) == ["read", "write"]


def test_regimes_and_sizes_are_read():
    gpt = load_architecture("gpt")
    assert dict(parse_regime("n=1, heads=1/2", gpt)) == {"n": 1, "heads": parse_regime("a=0.5", gpt)["a"]}
    assert parse_sizes("64, 128,256") == (64, 128, 256)


def test_derive_prints_the_table_in_every_format(run: Run):
    for form in ("text", "markdown", "latex", "json"):
        status, out, err = run("derive", "mlp", "--optimizer", "adam", "--format", form)
        assert (status, err) == (0, "")
        assert "W2" in out
    data = json.loads(out)
    assert {"schema", "target", "optimizer", "desiderata", "regime", "gauge", "verdict", "rows", "operations", "free", "clash"} <= set(data)
    hidden = next(row for row in data["rows"] if row["weight"] == "W2")
    assert hidden["shape"] == {"out": "n", "in": "n", "stack": "1"}
    assert (hidden["init_std"], hidden["learning_rate"]) == ({"n": "-1/2"}, {"n": "-1"})


def test_derive_reads_a_file_and_a_regime(run: Run):
    status, out, err = run("derive", "net.py:build", "--regime", "n=1,heads=0")
    assert (status, err) == (0, "")
    assert "read" in out and "write" in out


def test_derive_classifies_a_given_table(run: Run):
    status, out, err = run("derive", "mlp", "--parameterization", "ntp", "--optimizer", "sgd")
    assert (status, err) == (0, "")
    assert "kernel" in out


def test_explain_says_why(run: Run):
    short, long = run("derive", "mlp")[1], run("derive", "mlp", "--explain")[1]
    assert len(long) > len(short)


def test_compare_tables_and_files(run: Run):
    (run.folder / "mup.json").write_text(run("derive", "mlp", "--optimizer", "adam", "--format", "json")[1])
    status, out, _ = run("compare", "mup.json", "mlp/mup/adam")
    assert (status, "are the same" in out) == (0, True), out
    status, out, _ = run("compare", "mup.json", "mlp/sp", "--optimizer", "adam")
    assert (status, "differ in" in out) == (0, True)
    assert "W2: update" in out
    status, out, _ = run("compare", "mlp/mup", "mlp/sp", "--format", "json")
    assert (status, json.loads(out)["same"]) == (0, False)


def test_check_reads_given_sizes(run: Run):
    status, out, _ = run("check", "mlp", "--optimizer", "adam", "--sizes", "32,64,128", "--steps", "1", "--format", "json")
    rows = json.loads(out)
    assert status == int(any(row["verdict"] in ("misses", "diverged") for row in rows))
    assert {"weight", "term", "step", "predicted", "low", "measured", "se", "tolerance", "verdict"} == set(rows[0])


MODULE = """
import torch
from torch import nn

def build(*, n):
    return nn.Sequential(nn.Linear(20, n), nn.Tanh(), nn.Linear(n, n), nn.Tanh(), nn.Linear(n, 10)), torch.randn(8, 20)

def strange(*, n):
    return nn.Sequential(nn.Linear(20, n), nn.Softmax(-1), nn.Linear(n, 10)), torch.randn(8, 20)
"""


def test_a_module_goes_through_derive_compare_and_check(run: Run):
    (run.folder / "modules.py").write_text(MODULE)
    status, text, _ = run("derive", "modules.py:build", "--format", "json", "--optimizer", "adam")
    assert status == 0
    assert [row["weight"] for row in json.loads(text)["rows"]] == ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"]
    (run.folder / "table.json").write_text(text)
    status, text, _ = run("compare", "table.json", "modules.py:build", "--optimizer", "adam")
    assert status == 0 and "the same parameterisation" in text
    status, text, _ = run("check", "modules.py:build", "--optimizer", "adam", "--parameterization", "table.json", "--steps", "1")
    assert status == 0 and "agree" in text
    assert "`1`: a softmax over a dimension that grows" in run.refused("derive", "modules.py:strange")
