"""Domain assertions, which fail with the cells or numbers that differ, and the command line in this process."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from widelimit.paper_repro import cli
from widelimit.theory.scales import Powers
from widelimit.theory.table import ExponentTable, Row, Shape, differences

N = Powers(n=1)


def assert_same_table(first: ExponentTable, second: ExponentTable, *, decay: bool = False, epsilon: bool = True) -> None:
    """The tables agree modulo symmetry; published ones say nothing of decay."""
    found = differences(first, second, decay=decay, epsilon=epsilon)
    assert not found, f"{first.target}, {first.optimizer}: " + "; ".join(map(str, found))


def assert_different_table(first: ExponentTable, second: ExponentTable) -> None:
    """The tables are not the same parameterisation."""
    assert differences(first, second, decay=False), f"{first.target}: no cell differs"


def assert_exponent(powers: Powers, **expected: Fraction | int | str) -> None:
    """A cell is exactly this monomial; axes that are not named have the power 0."""
    assert powers == Powers(expected), f"{powers} instead of {Powers(expected)}"


def assert_row(table: ExponentTable, weight: str, **columns: Powers) -> None:
    """Cells of one row."""
    row = table.row(weight)
    wrong = {c: (str(getattr(row, c)), str(p)) for c, p in columns.items() if getattr(row, c) != p}
    assert not wrong, f"{weight} of {table.target}: (found, expected) {wrong}"


def assert_slope(sizes: Sequence[float], values: Sequence[float], exponent: Fraction | float, tolerance: float) -> None:
    """The slope of log(values) on log(sizes) is the exponent."""
    slope = np.polyfit(np.log(sizes), np.log(values), 1)[0]
    assert abs(slope - float(exponent)) < tolerance, f"slope {slope:.3f} instead of {exponent} (values {np.array(values)})"


def table_of(optimizer: str, a: Sequence, b: Sequence, c: Sequence, g: Sequence | None = None, target: str = "mlp") -> ExponentTable:
    """A table of a multilayer perceptron W1, W2, ... from exponents in the signs of Tensor Programs IV (quantity ~ n^-value)."""
    last, rows = len(a), []
    for i, (al, bl, cl) in enumerate(zip(a, b, c, strict=True), 1):
        shape = Shape(N if i < last else Powers(), N if i > 1 else Powers())
        eps = Powers() if g is None else Powers(n=-Fraction(g[i - 1]))
        rows.append(Row(f"W{i}", shape, Powers(n=-Fraction(al)), Powers(n=-Fraction(bl)), Powers(n=-Fraction(cl)), eps))
    return ExponentTable(target, optimizer, tuple(rows))


def covered_by_the_same_form(self, bucket, size, form, order, gain, signs, _) -> bool:
    """In place of `Merging._covered`: at every point the pieces are told apart by their forms."""
    return any(f == form and o <= order and other == signs for _, f, o, _, other, _ in bucket)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err
