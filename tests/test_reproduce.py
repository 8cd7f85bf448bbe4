"""`widelimit reproduce` with figures made up here: what is kept, what is said, and the exit status."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from widelimit.paper_repro import cli
from widelimit.paper_repro.claims import Claim, Control
from widelimit.paper_repro.papers import PAPERS, Figure
from widelimit.paper_repro.results import Result
from widelimit.synthetic import Local

FIGURES = [f"core/{figure.name}" for figure in PAPERS["core"].figures]


@dataclass(frozen=True)
class Settings:
    steps: int = 1


class Made:
    """Stands in for the modules of all figures: counts calls, and does what `measured` says (a number, or an error)."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.engines: dict[str, object] = {}
        self.measured: dict[str, float | BaseException] = {}

    def load(self, figure: Figure) -> SimpleNamespace:
        def reproduce(preset: str, *, out: Path, store_home: Path, progress: object, engine: object = None) -> Result:
            self.calls.append(figure.name)
            self.engines[figure.name] = engine
            value = self.measured.get(figure.name, 1.0)
            if isinstance(value, BaseException):
                raise value
            control = Control("the other sign", measured=-1.0)
            claim = Claim(f"core/{figure.name}/one", "one is one", "here", "prediction", 1.0, 0.1, "rounding", control, value)
            return Result(figure.name, (claim,), (), {"rows": pd.DataFrame({"a": [1.0]})})

        presets = dict.fromkeys(("smoke", "laptop", "gpu"), Settings())
        return SimpleNamespace(PRESETS=presets, reproduce=reproduce)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made()
    monkeypatch.setattr(Figure, "load", lambda figure: made.load(figure))
    monkeypatch.setenv("WIDELIMIT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return made


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    return int(left.value.code or 0)


def test_the_report_holds_every_claim(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("reproduce", "core", "--preset", "smoke") == 0
    out = capsys.readouterr().out
    claims = json.loads((tmp_path / "report/claims.json").read_text())
    assert [claim["figure"] for claim in claims] == FIGURES
    assert all(f"{name}/one: measured 1, expected 1" in out for name in FIGURES)
    assert "one is one" in (tmp_path / "report/index.html").read_text()


def test_finished_figures_are_not_made_again(made: Made):
    assert run("reproduce", FIGURES[0], "--preset", "smoke") == 0
    assert run("reproduce", "--preset", "smoke") == 0
    assert len(made.calls) == len(set(made.calls)) == len(FIGURES)


def test_sweeps_get_the_engine_and_the_jobs_that_no_other_figure_needs(made: Made):
    assert run("reproduce", "core", "--preset", "smoke") == 0
    assert run("reproduce", "core/transfer", "--preset", "laptop", "--jobs", "3") == 0
    assert made.engines == {**dict.fromkeys((name.split("/")[1] for name in FIGURES), None), "transfer": Local(3)}


def test_a_crashed_figure_does_not_stop_the_others(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = FIGURES[0].split("/")[1]
    made.measured[first] = RuntimeError("no memory")
    assert run("reproduce", "core", "--preset", "smoke") == 1
    assert f"{FIGURES[0]} (smoke" in (out := capsys.readouterr().out)
    assert "crashed: RuntimeError: no memory" in out
    assert len(json.loads((tmp_path / "report/claims.json").read_text())) == len(FIGURES) - 1


def test_only_crashes_write_no_report(made: Made, tmp_path: Path):
    made.measured = {name.split("/")[1]: RuntimeError("no memory") for name in FIGURES}
    assert run("reproduce", "core", "--preset", "smoke") == 1
    assert not (tmp_path / "report/index.html").exists()


def test_a_missed_prediction_fails_the_run(made: Made, capsys: pytest.CaptureFixture[str]):
    made.measured[FIGURES[0].split("/")[1]] = -1.0
    assert run("reproduce", FIGURES[0], "--preset", "smoke") == 1
    assert "FAILURE" in capsys.readouterr().out


def test_an_interruption_keeps_what_is_finished(made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["widelimit", "reproduce", "core", "--preset", "smoke"])
    last = FIGURES[-1].split("/")[1]
    made.measured[last] = KeyboardInterrupt()
    assert run("reproduce", "core", "--preset", "smoke") == 130
    assert f"{len(FIGURES) - 1} of {len(FIGURES)} figures are finished and kept; go on with: widelimit" in capsys.readouterr().err
    del made.measured[last]
    assert run("reproduce", "core", "--preset", "smoke") == 0
    assert made.calls.count(last) == 2
    assert len(made.calls) == len(FIGURES) + 1


def test_report_draws_on_what_is_kept(made: Made, tmp_path: Path):
    assert run("reproduce", "core", "--preset", "smoke") == 0
    assert run("report", "--out", "again") == 0
    assert len(json.loads((tmp_path / "again/claims.json").read_text())) == len(FIGURES)
    assert len(made.calls) == len(FIGURES)


def test_ctrl_c_ends_a_process_with_130_and_a_sentence(tmp_path: Path):
    code = (
        "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "from widelimit.paper_repro import cli\nfrom widelimit.paper_repro.papers import Figure\n"
        "def load(figure):\n    print('started', flush=True)\n    time.sleep(60)\n"
        "Figure.load = load\ncli.main(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "reproduce", "core", "--preset", "smoke"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "go on with" in err and "Traceback" not in err
