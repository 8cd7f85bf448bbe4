"""The exact simplex method against scipy's HiGHS, and its certificates against arithmetic."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from widelimit.theory.linear import maximise, solve_equations

SMALL = st.integers(-3, 3)


@st.composite
def programs(draw):
    size, count = draw(st.integers(1, 4)), draw(st.integers(0, 7))
    row = st.tuples(*[SMALL] * (size + 1))
    return draw(row), draw(st.lists(row, min_size=count, max_size=count)), size


def value(row, point) -> Fraction:
    return row[0] + sum((Fraction(a) * y for a, y in zip(row[1:], point, strict=True)), Fraction(0))


def combine(multipliers, rows, size) -> list[Fraction]:
    return [sum((m * rows[i][j] for i, m in multipliers.items()), Fraction(0)) for j in range(size + 1)]


def check(objective, rows, size) -> str:
    """Verify the certificate of one program; returns its status."""
    found = maximise(objective, rows, size)
    if found.status == "unbounded":
        feasible = maximise((0,) * (size + 1), rows, size)
        assert feasible.status == "optimal" and all(value(r, feasible.point) <= 0 for r in rows)
        ray = [(0, *r[1:]) for r in rows]  # along a direction in which no row grows and the objective does
        ahead = maximise((0, *objective[1:]), [*ray, (-1, *objective[1:])], size)
        assert ahead.status == "optimal" and ahead.value == 1
        return found.status
    assert all(m >= 0 for m in found.multipliers.values())
    mix = combine(found.multipliers, rows, size)
    if found.status == "infeasible":
        assert mix[0] > 0 and not any(mix[1:])  # Farkas
    else:
        assert all(value(r, found.point) <= 0 for r in rows)
        assert value(objective, found.point) == found.value
        assert [Fraction(a) - b for a, b in zip(objective, mix, strict=True)] == [found.value, *[0] * size]
    return found.status


def highs(objective, rows, size) -> tuple[str, float | None]:
    matrix = np.array([r[1:] for r in rows], float).reshape(-1, size)
    bound = -np.array([r[0] for r in rows], float)
    options = {"A_ub": matrix, "b_ub": bound, "bounds": [(None, None)] * size, "method": "highs"}
    if linprog(np.zeros(size), **options).status == 2:
        return "infeasible", None
    found = linprog(-np.array(objective[1:], float), **options)
    return ("optimal", objective[0] - found.fun) if found.status == 0 else ("unbounded", None)


@settings(max_examples=150, deadline=None)
@given(programs())
def test_against_highs(program):
    status = check(*program)
    other, best = highs(*program)
    assert status == other
    if best is not None:
        assert abs(float(maximise(*program).value) - best) < 1e-7


def test_larger_programs_of_every_status():
    seen = {"optimal": 0, "unbounded": 0, "infeasible": 0}
    for seed in range(30):
        rng = random.Random(seed)
        size = rng.randint(6, 12)
        inside = [rng.randint(-3, 3) for _ in range(size)]
        rows = []
        for _ in range(rng.randint(size, 3 * size)):  # degenerate on purpose: half of them are tight at one point
            row = [rng.choice((-2, -1, 0, 0, 0, 1, 2)) for _ in range(size)]
            slack = rng.choice((0, 0, 1, 5)) if seed % 3 else rng.choice((0, 1, -1))
            rows.append((-sum(a * y for a, y in zip(row, inside, strict=True)) - slack, *row))
        objective = (0, *(rng.randint(-2, 2) for _ in range(size)))
        if seed % 2:  # a mixture of the rows cannot be unbounded
            objective = (0, *(sum(r[j] for r in rows) for j in range(1, size + 1)))
        status = check(objective, rows, size)
        assert status == highs(objective, rows, size)[0]
        seen[status] += 1
    assert all(seen.values()), seen


@pytest.mark.parametrize(
    ("objective", "rows", "size", "status"),
    [
        ((0, 1), [(-3, 1)], 1, "optimal"),
        ((0, 1), [(3, -1)], 1, "unbounded"),
        ((0, 1), [(1, 1), (1, -1)], 1, "infeasible"),
        ((0, 1), [(1, 0)], 1, "infeasible"),
        ((0, 1, 0), [(1, 0, 1), (1, 0, -1)], 2, "infeasible"),  # the objective is unbounded, and there is no point at all
        ((0, 0, 0), [], 2, "optimal"),
        ((5, 0, 1), [], 2, "unbounded"),
        ((0, 1, 1), [(0, 1, 1), (0, -1, -1)], 2, "optimal"),
    ],
)
def test_corner_cases(objective, rows, size, status):
    assert check(objective, rows, size) == status


def test_free_and_negative_variables():
    # SymPy's linprog returned 2 for a program of this kind (DESIGN, section 8)
    found = maximise((0, -1, -1), [(-10, -1, 0), (-19, 0, -1)], 2)
    assert (found.value, found.point) == (29, (-10, -19))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[SMALL] * (n + 1)), max_size=6))))
def test_equations(system):
    size, rows = system
    reduced = solve_equations(rows, size)
    matrix = np.array(rows, float).reshape(-1, size + 1)
    ranks = [np.linalg.matrix_rank(m) if len(rows) else 0 for m in (matrix[:, 1:], matrix)]
    assert reduced.consistent == (ranks[0] == ranks[1])
    if reduced.consistent:
        assert len(reduced.pivots) == ranks[0]
        assert all(not reduced.reduce(row) for row in rows)  # every equation vanishes identically
        table, free = reduced.matrix()
        assert not (np.array(rows, int).reshape(-1, size + 1) @ table).any() and free == reduced.free


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=8))
def test_solved_equations_span_what_sympy_reduces_to(rows: list[list[int]]):
    from sympy import QQ
    from sympy.polys.matrices import DomainMatrix

    last = [[*row[1:], row[0]] for row in rows]  # the constant last: a pivot there is a contradiction
    matrix, pivots = DomainMatrix([[QQ(a) for a in row] for row in last], (len(rows), 6), QQ).rref()
    solved = solve_equations([tuple(row) for row in rows], 5)
    assert solved.consistent == (5 not in pivots)
    if solved.consistent:
        assert len(solved.pivots) == len(pivots)
        for row in matrix.to_Matrix().tolist():  # every reduced equation holds on the solutions
            assert not solved.reduce((Fraction(str(row[-1])), *(Fraction(str(a)) for a in row[:-1])))
