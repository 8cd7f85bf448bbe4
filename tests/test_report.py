"""Figures are found, made once, kept, and gathered into one page that needs no network."""

import json
import math
import re
import types
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
from widelimit.paper_repro import papers, results
from widelimit.paper_repro.claims import NOT_REPRODUCED, REPRODUCED, Claim, Control
from widelimit.paper_repro.core import fast_transfer
from widelimit.paper_repro.papers import Figure, Paper, find_figures, gather, reproduce
from widelimit.paper_repro.report import claims_table, render, write_report
from widelimit.paper_repro.results import Result, load_result, save_result

PAPER = Paper("toy", "A toy & its paper", "nobody", (Figure("one", "The <first> figure", "toy"), Figure("two", "The second", "broken")))


def quiet(_):
    """No progress."""


@pytest.fixture
def toy(monkeypatch):
    """A figure that counts how often it is made, and one that crashes."""
    made = types.SimpleNamespace(count=0, PRESETS={"smoke": fast_transfer.Settings({1: 1}), "laptop": fast_transfer.Settings({2: 1})})

    def make(preset, *, out, store_home, progress):
        made.count += 1
        images = (out / "one.png", out / "one.svg")
        for image in images:
            image.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        claims = (
            Claim("toy/one/a", "a < b", "us", "prediction", 1.0, 0.1, "none", Control("c", 5.0), 1.0 + made.count / 1000, (0.99, 1.02)),
            Claim("toy/one/b", "inf", "them", "published", 1.0, 0.1, "r", Control("c", 1.0), math.inf, None, on_record=NOT_REPRODUCED),
        )
        return Result("toy/one", claims, images, {"numbers": pd.DataFrame({"x": [0.1, math.inf], "name": ["a", "<b>"]})})

    def crash(preset, **_):
        raise RuntimeError("no good")

    made.reproduce = make
    modules = {"toy": made, "broken": types.SimpleNamespace(PRESETS=made.PRESETS, reproduce=crash)}
    monkeypatch.setattr(Figure, "load", lambda figure: modules[figure.module])
    return made


ONE, TWO = ((PAPER, figure) for figure in PAPER.figures)


def test_a_finished_figure_is_not_made_again(toy, tmp_path):
    (first,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    (second,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    assert (toy.count, first.reused, second.reused) == (1, False, True)
    assert second.result.claims == first.result.claims
    pd.testing.assert_frame_equal(second.result.tables["numbers"], pd.DataFrame({"x": [0.1, math.inf], "name": ["a", "<b>"]}))
    assert [image.suffix for image in second.result.images] == [".png", ".svg"]


@pytest.mark.parametrize("what", ["settings", "killed"])
def test_it_is_made_again_when_something_changed(toy, tmp_path, what):
    (first,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    if what == "settings":
        toy.PRESETS["smoke"] = fast_transfer.Settings({1: 2})
    else:
        (first.result.images[0].parent / "result.json").write_text('{"figure": "toy')
    (second,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    assert not second.reused
    assert toy.count == 2


def test_a_result_of_other_code_is_stale_and_says_so(toy, tmp_path):
    (outcome,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    assert not outcome.result.stale
    old = Result("toy/one", outcome.result.claims, (), {}, {**outcome.result.provenance, "code": "0123"})
    kept = save_result(old, tmp_path / "figures" / "toy" / "one" / "smoke")
    assert kept.stale
    assert "earlier version of the code" in render([(*ONE, kept)])
    (again,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    assert not again.reused


def test_a_crash_is_an_outcome_and_the_others_go_on(toy, tmp_path):
    crashed, fine = reproduce([TWO, ONE], "smoke", home=tmp_path, progress=quiet)
    assert crashed.failed
    assert str(crashed.error) == "no good"
    assert not fine.failed


def test_an_interruption_passes_through_and_keeps_what_is_done(toy, tmp_path, monkeypatch):
    stopped = types.SimpleNamespace(PRESETS=toy.PRESETS)
    stopped.reproduce = lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    monkeypatch.setattr(Figure, "load", lambda figure: toy if figure.module == "toy" else stopped)
    with pytest.raises(KeyboardInterrupt):
        list(reproduce([ONE, TWO], "smoke", home=tmp_path, progress=quiet))
    (first,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    assert first.reused


def test_gathering_prefers_the_larger_preset(toy, tmp_path):
    for preset in ("laptop", "smoke"):
        list(reproduce([ONE], preset, home=tmp_path, progress=quiet))
    ((_, _, result),) = gather(tmp_path, [ONE, TWO])
    assert result.provenance["preset"] == "laptop"


def test_results_survive_and_broken_ones_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no complete result"):
        load_result(tmp_path)


class _Links(HTMLParser):
    """Collects what a page refers to, and checks that tags nest."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.found += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_self_contained(toy, tmp_path):
    list(reproduce([ONE], "smoke", home=tmp_path, progress=quiet))
    page = write_report(gather(tmp_path, [ONE]), tmp_path / "report").read_text()
    links = _Links()
    links.feed(page)
    assert not links.open
    assert all(link.startswith(("data:image/", "#")) for link in links.found), links.found
    assert not re.search(r"@import|url\(|<script", page)
    assert "The &lt;first&gt; figure" in page
    assert "A toy &amp; its paper" in page
    assert "<b>2" not in page.split("<article")[0].replace("<b>2 of 2", "")
    assert sum(link.startswith("data:") for link in links.found) == 1
    for number in (results.code_hash(), "1.001", "[0.99, 1.02]", "2 of 2"):
        assert number in page


def test_a_failed_claim_is_seen_at_once(toy, tmp_path):
    (outcome,) = reproduce([ONE], "smoke", home=tmp_path, progress=quiet)
    fine = render([(*ONE, outcome.result)])
    bad = replace(outcome.result.claims[0], measured=3.0, interval=None, control=Control("c", 1.0))
    page = render([(*ONE, replace(outcome.result, claims=(bad, outcome.result.claims[1])))])
    assert "1 of 2 claims came out otherwise" in page
    assert "! a prediction of this package misses its measurement" in page
    assert "verdict bad" not in fine.split("</style>")[1]


def test_claims_json_is_strict_and_complete(toy, tmp_path):
    list(reproduce([ONE], "smoke", home=tmp_path, progress=quiet))
    write_report(gather(tmp_path, [ONE]), tmp_path / "report")
    text = (tmp_path / "report" / "claims.json").read_text()
    rows = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    contract = "id statement source on_record expected tolerance reason measured interval verdict config device"
    assert set(contract.split()) <= set(rows[0])
    assert [row["verdict"] for row in rows] == [REPRODUCED, NOT_REPRODUCED]
    assert rows[1]["measured"] == "inf"
    assert rows == claims_table(gather(tmp_path, [ONE]))


def test_a_folder_that_cannot_be_written_is_named(toy, tmp_path):
    list(reproduce([ONE], "smoke", home=tmp_path, progress=quiet))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write the report to `.*file/report`.*--out"):
        write_report(gather(tmp_path, [ONE]), tmp_path / "file" / "report")
    with pytest.raises(ValueError, match="nothing to report yet"):
        write_report([], tmp_path / "report")


def test_names_on_the_command_line():
    every = [f"{p.name}/{f.name}" for p, f in find_figures([])]
    assert "core/fast-transfer" in every
    assert [f.name for _, f in find_figures(["core/fast_transfer", "core/fast-transfer"])] == ["fast-transfer"]
    assert [f"{p.name}/{f.name}" for p, f in find_figures(["core"])] == [name for name in every if name.startswith("core/")]
    with pytest.raises(ValueError, match="no paper `cor`"):
        find_figures(["cor"])
    with pytest.raises(ValueError, match="no figure `fig`"):
        find_figures(["core/fig"])
    with pytest.raises(ValueError, match="no preset `huge`"):
        list(reproduce(find_figures(["core/fast-transfer"]), "huge", home=papers.Path(), progress=quiet))


def test_fast_transfer_is_reproduced(tmp_path):
    """The whole figure at its smallest size: every verdict as on record, every control turned."""
    ((paper, figure),) = find_figures(["core/fast-transfer"])
    (outcome,) = reproduce([(paper, figure)], "smoke", home=tmp_path, progress=quiet)
    assert outcome.error is None
    verdicts = {claim.id.split("/")[-1]: claim.verdict for claim in outcome.result.claims}
    assert {name for name, verdict in verdicts.items() if verdict == NOT_REPRODUCED} == {
        "published-constant-loss",
        "published-constant-ridge",
    }
    assert all(claim.control_turns for claim in outcome.result.claims)
    assert not outcome.failed
    assert len(outcome.result.tables["gaps"]) == 29
