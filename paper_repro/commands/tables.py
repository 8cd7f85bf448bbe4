"""``derive`` and ``compare``: make, classify, print and compare exponent tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..progress import waiting
from ..targets import (
    choose,
    load_architecture,
    load_fixed,
    load_operand,
    load_table,
    may_need_remedy,
    need_regime,
    parse_regime,
    started_as,
)

if TYPE_CHECKING:
    from ...theory.architecture import Architecture
    from ...theory.scales import Regime
    from ...theory.table import ExponentTable

FORMATS = ("text", "markdown", "latex", "json")


def derive(
    target: str,
    *,
    optimizer: str,
    desiderata: str | None,
    regime: str | None,
    gauge: str,
    alignment: str | None,
    parameterization: str | None,
    fix: str | None,
    form: str,
    explain: bool,
) -> int:
    """Print the table of a target, or the class of a given one; arguments are those of the command line."""
    choose("format", form, FORMATS)
    architecture = load_architecture(target)
    need_regime(architecture, regime)
    grown = parse_regime(regime, architecture) if regime is not None else None
    if parameterization is None:
        from ...theory.derivation import derive as derive_table
        from ...theory.remedies import derive_with_remedy, is_provable

        fixed = load_fixed(fix, architecture, optimizer) if fix is not None else None
        wanted = desiderata or "mup"
        remedied = may_need_remedy(wanted) and alignment is None and fixed is None
        with waiting(f"deriving the exponents of {architecture.name}"):
            if grown is not None and remedied and not is_provable(architecture):
                table = derive_with_remedy(architecture, optimizer, regime=grown, desiderata=wanted, gauge=gauge)
                print(show(table, form, explain=explain))
                return 0
            table = derive_table(
                architecture,
                optimizer,
                desiderata=wanted,
                regime=grown,
                gauge=gauge,
                alignment=alignment or "words",
                fixed=fixed,
                closed_form=True,
            )
            if table.verdict == "infeasible" and grown is not None and remedied:
                table = derive_with_remedy(architecture, optimizer, regime=grown, desiderata=wanted, gauge=gauge)
        print(show(table, form, explain=explain))
        return 0
    given = {"--alignment": alignment, "--fix": fix}
    clash = [option for option, value in given.items() if value is not None]
    if clash:
        raise ValueError(f"--parameterization classifies a given table, so it cannot be combined with {', '.join(clash)}")
    table = load_table(parameterization, architecture, optimizer, grown).in_gauge(gauge)
    _classify(started_as(architecture, table), table, grown, desiderata, form, explain=explain)
    return 0


def _classify(
    architecture: Architecture, table: ExponentTable, regime: Regime | None, desiderata: str | None, form: str, *, explain: bool
) -> None:
    """Print a given table, its class and, if they are named, what it misses of desiderata."""
    from ...theory.classification import classify
    from ...theory.prediction import default_regime
    from ...theory.shortfalls import shortfalls

    found = classify(architecture, table, regime=regime)
    grown = table.regime or regime or default_regime(architecture)
    missed = shortfalls(architecture, table, desiderata, regime=grown) if desiderata else {}
    if form == "json":
        more = {"shortfalls": {label: str(size) for label, size in missed.items()}} if desiderata else {}
        print(json.dumps({**table.as_json(), "class": found.as_json(), **more}, indent=2))
        return
    print(show(table, form, explain=explain), found, sep="\n\n")
    if desiderata:
        lines = [f"  {label} is scale^{size}, not 1" for label, size in missed.items()]
        print(f"\nof {desiderata} it misses:" if lines else f"\nit is all that {desiderata} asks", *lines, sep="\n")


def show(table: ExponentTable, form: str, *, explain: bool = False) -> str:
    """A table as text, Markdown, LaTeX or JSON."""
    from ...theory import printing

    if form == "json":
        return json.dumps(table.as_json(explain=explain), indent=2)
    write = {"text": printing.as_text, "markdown": printing.as_markdown, "latex": printing.as_latex}[form]
    return write(table, explain=explain)


def compare(first: str, second: str, *, optimizer: str, regime: str | None, form: str) -> int:
    """Print whether two tables are the same modulo symmetry, or the cells that differ."""
    from ...theory.table import differences

    choose("format", form, ("text", "json"))
    one, two = (load_operand(text, optimizer, regime) for text in (first, second))
    if not {row.weight for row in one.rows} & {row.weight for row in two.rows}:
        raise ValueError(f"{first} and {second} have no weight in common; tables of one network can be compared")
    found = differences(one, two)
    if form == "json":
        plain = lambda power: None if power is None else power.as_json()  # noqa: E731
        cells = [{"weight": d.weight, "invariant": d.invariant, "first": plain(d.first), "second": plain(d.second)} for d in found]
        print(json.dumps({"schema": 1, "same": not found, "differences": cells}, indent=2))
    elif found:
        print(f"{first} and {second} differ in {len(found)} cell{'s' * (len(found) > 1)}:", *(f"  {d}" for d in found), sep="\n")
    else:
        print(f"{first} and {second} are the same parameterisation (modulo moving factors between multiplier and weight)")
    return 0
