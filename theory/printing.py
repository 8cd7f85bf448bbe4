"""Tables as text, Markdown and LaTeX; every monomial is printed by one function per format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from .chain import GLOSSARY
from .scales import Powers
from .table import ExponentTable, Row

NUMBER = re.compile(r"(?<![\w\[])\d+(?![\w\]])")  # a whole part of a dotted name
HEAD = {
    "multiplier": "multiplier",
    "init_std": "init std",
    "learning_rate": "learning rate",
    "epsilon": "epsilon",
    "weight_decay": "weight decay",
    "damping": "second damping",
}


def _columns(table: ExponentTable) -> list[str]:
    from .optimizers import find_optimizer

    optimizer = find_optimizer(table.optimizer)
    hidden = {"epsilon", "damping"} if not optimizer.damping else {"damping"} if len(optimizer.damping) < 2 else set()
    if not any(row.weight_decay or not row.decayed for row in table.rows):
        hidden.add("weight_decay")
    if not any(row.multiplier for row in table.rows):
        hidden.add("multiplier")
    return [c for c in HEAD if c not in hidden]


def _cell(row: Row, column: str) -> str | Powers:
    if column == "init_std" and row.zero_init:
        return "0"
    if column in ("learning_rate", "epsilon", "weight_decay", "damping") and not row.trained:
        return "frozen"
    if column == "weight_decay" and not row.decayed:
        return "0"
    return getattr(row, column)


def _shape(row: Row) -> str:
    out, inn = str(row.shape.out), str(row.shape.inn)
    stack = f"{row.shape.stack} x " if row.shape.stack else ""
    return f"{stack}{out} x {inn}"


def _verdict(table: ExponentTable) -> list[str]:
    lines = [f"verdict: {table.verdict}" + (" modulo symmetry" if table.verdict == "unique" else "")]
    if table.free:
        lines.append(f"free: {', '.join(table.free)}")
    if table.clash:
        lines.append("because:" if table.verdict == "not decided" else "these cannot hold together:")
        lines += [f"  {label}" for label in table.clash]
    return lines + [f"note: {note}" for note in table.notes]


def as_text(table: ExponentTable, *, explain: bool = False) -> str:
    """A table for the terminal."""
    lines = [_title(table), "", *([*_body(table), ""] if table.rows else []), *_verdict(table)]
    if table.per_axis:
        lines += ["", "around this regime, in powers of each axis:", "", *_body(table.per_axis)]
    for case in table.cases:
        lines += ["", case.where, *(["", *_body(case.table)] if case.table else [])]
    if explain:
        lines += ["", *(f"{row.weight}: {row.reason}" for row in table.rows)]
        lines += [f"{o.name}: {o.reason}" for o in table.operations]
        lines += [line for chain in table.chains for line in ("", GLOSSARY, "", *map(str, chain.links))]
    return "\n".join(lines)


def _body(table: ExponentTable) -> list[str]:
    columns = _columns(table)
    head = ["weight", "shape", *(HEAD[c] for c in columns)]
    lines = _aligned([head, *_cells(table, columns)])
    if table.operations:
        lines += ["", *_aligned([["operation", "kind", "multiplier"], *([o.name, o.kind, str(o.multiplier)] for o in table.operations)])]
    return lines


def _lines(table: ExponentTable, columns: Sequence[str]) -> list[tuple[str, Row]]:
    """Lines of a table: slices that scale differently one by one, copies in repeated blocks together (``blocks.0..11.fc``)."""
    rows = [own for whole in table.rows for own in whole.parts or (whole,)]
    found: dict[tuple[object, ...], dict[str, int]] = {}
    for place, row in enumerate(rows):
        key = NUMBER.sub("*", row.weight), row.shape, *(_cell(row, c) for c in columns)
        found.setdefault(key, {})[row.weight] = place
    lines = sorted((place, name) for places in found.values() for name, place in _folded(places).items())
    return [(name, rows[place]) for place, name in lines]


def _cells(table: ExponentTable, columns: Sequence[str]) -> list[list[str]]:
    return [[name, _shape(row), *(str(_cell(row, c)) for c in columns)] for name, row in _lines(table, columns)]


def _folded(places: Mapping[str, int]) -> dict[str, int]:
    """Names that differ only in numbers that count up as one, where the first stands; others as they are."""
    names = list(places)
    counted = [sorted(set(map(int, values))) for values in zip(*(NUMBER.findall(name) for name in names), strict=True)]
    if len(names) == 1 or prod(map(len, counted)) != len(names) or any(v != list(range(v[0], v[0] + len(v))) for v in counted):
        return dict(places)
    ranges = iter(f"{v[0]}..{v[-1]}" if len(v) > 1 else str(v[0]) for v in counted)
    return {NUMBER.sub(lambda _: next(ranges), names[0]): min(places.values())}


def _title(table: ExponentTable) -> str:
    regime = f", regime {table.regime}" if table.regime else ""
    goal = f", {table.desiderata}" if table.desiderata else ""
    return f"{table.target}, {table.optimizer}{goal}{regime} (gauge {table.gauge})"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def as_markdown(table: ExponentTable, *, explain: bool = False) -> str:
    """A table in Markdown."""
    lines = [f"**{_title(table)}**", "", *([*_piped(table), ""] if table.rows else []), *_verdict(table)]
    if table.per_axis:
        lines += ["", "Around this regime, in powers of each axis:", "", *_piped(table.per_axis)]
    for case in table.cases:
        lines += ["", case.where, *(["", *_piped(case.table)] if case.table else [])]
    if explain:
        lines += ["", *(f"- `{row.weight}`: {row.reason}" for row in table.rows)]
        lines += [line for chain in table.chains for line in ("", GLOSSARY, "", *(f"1. {link}" for link in chain.links))]
    return "\n".join(lines)


def _piped(table: ExponentTable) -> list[str]:
    columns = _columns(table)
    head = ["weight", "shape (out x in)", *(HEAD[c] for c in columns)]
    lines = _pipes([head, *([f"`{name}`", *rest] for name, *rest in _cells(table, columns))])
    if table.operations:
        rows = [[f"`{o.name}`", o.kind, str(o.multiplier)] for o in table.operations]
        lines += ["", *_pipes([["operation", "kind", "multiplier"], *rows])]
    return lines


def _pipes(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]


def as_latex(table: ExponentTable, printer: Any = None, *, explain: bool = False) -> str:
    """A ``tabular`` that can be pasted into a paper; monomials are printed by SymPy's printer."""
    from sympy.printing.latex import LatexPrinter

    verdict = [f"% {line}" for line in _verdict(table)]
    if not table.rows:
        return "\n".join([f"% {_title(table)}", *verdict])
    printer = printer or LatexPrinter()
    columns = _columns(table)
    show = lambda cell: cell if isinstance(cell, str) else f"${printer.doprint(cell._sympy_())}$"  # noqa: E731
    lines = [r"\begin{tabular}{l" + "c" * (1 + len(columns)) + "}", r"\hline"]
    lines.append(" & ".join(["weight", "shape", *(HEAD[c] for c in columns)]) + r" \\ \hline")
    for name, row in _lines(table, columns):
        shape = f"{show(row.shape.out)} $\\times$ {show(row.shape.inn)}"
        label = name.replace("_", r"\_")
        lines.append(" & ".join([rf"\texttt{{{label}}}", shape, *(show(_cell(row, c)) for c in columns)]) + r" \\")
    for operation in table.operations:
        name = operation.name.replace("_", r"\_")
        lines.append(rf"\texttt{{{name}}} & \multicolumn{{{1 + len(columns)}}}{{l}}{{multiplier {show(operation.multiplier)}}} \\")
    lines += [r"\hline", r"\end{tabular}", *verdict]
    if table.per_axis:
        lines += ["", "% around this regime, in powers of each axis", as_latex(table.per_axis, printer)]
    for case in table.cases:
        lines += ["", f"% {case.where}", *([as_latex(case.table, printer)] if case.table else [])]
    if explain:
        lines += [f"% {row.weight}: {row.reason}" for row in table.rows]
        lines += [f"% {line}" for chain in table.chains for line in (GLOSSARY, *chain.links)]
    return "\n".join(lines)
