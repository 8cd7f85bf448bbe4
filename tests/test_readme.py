"""The README's code runs and prints what the README says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_twenty_lines_print_what_they_say():
    text = README.read_text(encoding="utf-8")
    code, shown = (re.search(rf"```{kind}\n(.*?)```", text, re.S) for kind in ("python", "text"))
    assert code is not None and shown is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code[1], {})
    derived, counts = (part.rsplit("\nverdict\n", 1) for part in (printed.getvalue(), shown[1]))
    assert derived[0] == counts[0]  # the table and the classification, to the letter
    assert "misses" not in derived[1] and "diverged" not in derived[1]


def test_a_module_of_ones_own():
    """The factory derives to the rows shown, and the lines that apply its table run."""
    from widelimit.synthetic import trace
    from widelimit.theory import derive
    from widelimit.theory.printing import as_text

    factory, lines = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)[1:3]
    shown = re.findall(r"```text\n(.*?)```", README.read_text(encoding="utf-8"), re.S)[3]
    scope: dict[str, object] = {}
    exec(factory + lines, scope)
    derived = as_text(derive(trace(scope["build"], {"n": 64}), "adamw"))  # type: ignore[arg-type]
    assert all(line in derived for line in shown.splitlines() if line != "...")
    assert {g["lr"] for g in scope["optimizer"].param_groups} == {1e-3, 1e-3 / 4}  # type: ignore[attr-defined]


def test_chains_and_pieces_are_as_shown():
    from widelimit.theory import derive, find_architecture
    from widelimit.theory.printing import as_text

    chain, piece = re.findall(r"```text\n(.*?)```", README.read_text(encoding="utf-8"), re.S)[1:3]
    mlp = find_architecture("mlp")
    assert set(chain.splitlines()) <= set(as_text(derive(mlp, "adam"), explain=True).splitlines())
    assert set(piece.splitlines()) <= set(as_text(derive(mlp, "adam", alignment="symbolic")).splitlines())


def test_the_limit_prints_what_it_says():
    text = README.read_text(encoding="utf-8")
    section = text[text.index("## The limit of infinite width") :]
    code, shown = (re.search(rf"```{kind}\n(.*?)```", section, re.S) for kind in ("python", "text"))
    assert code is not None and shown is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code[1], {})
    numbers = [[float(x) for x in re.findall(r"-?\d+\.\d+", part)] for part in (printed.getvalue(), shown[1])]
    assert len(numbers[0]) == len(numbers[1]) and max(abs(a - b) for a, b in zip(*numbers, strict=True)) < 0.011


def test_the_table_is_the_one_derived():
    from widelimit.theory import derive, find_architecture
    from widelimit.theory.printing import as_markdown

    assert as_markdown(derive(find_architecture("gpt"), "adamw")) in README.read_text(encoding="utf-8")


def test_the_figure_is_there():
    names = re.findall(r"!\[.*?\]\((.*?)\)", README.read_text(encoding="utf-8"))
    assert names and all((README.parent / name).is_file() for name in names)


def test_curves_of_ones_own_transfer_fast():
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S) if "judge(" in block)
    scope: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, scope)
    assert scope["verdict"].kind == "fast"  # type: ignore[attr-defined]


def test_a_trajectory_is_taken_apart():
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S) if "decompose(" in block)
    scope: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        exec(code.replace("128", "32"), scope)
    assert "32.0" in shown.getvalue()
