"""Compute-optimal grid search: closed exponents against minimised expressions and against searches that are really made."""

import numpy as np
import pytest
from widelimit.theory.grid_search import Search

BUDGETS = 10.0 ** np.arange(8, 15)
CASES = [(1, 1, 2, 1), (1, 0.5, 2, 1), (1, 0.25, 2, 1), (1, 1, 2, 3), (0.52, 1, 2, 1), (0.742, 0.388, 2, 1), (1, 2, 3, 2)]


def slope(values: np.ndarray) -> float:
    return float(np.polyfit(np.log(BUDGETS), np.log(values), 1)[0])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["direct", "transfer"])
def test_exponents_are_those_of_the_minimised_expressions(case: tuple[float, float, float, int], method: str):
    search = Search(*case)
    assert slope(search.excess(BUDGETS, method)) == pytest.approx(-getattr(search, method), abs=0.02)


@pytest.mark.parametrize("case", CASES)
def test_the_size_is_the_one_that_balances_both_errors(case: tuple[float, float, float, int]):
    search, (h, r) = Search(*case), case[3:1:-1]
    n = search.size(1e10, "direct")
    assert (n**r / 1e10) ** (2 / h) == pytest.approx(n**-search.alpha)
    n = search.size(1e10, "transfer")
    assert (n**r / 1e10) ** (2 / h) == pytest.approx(n ** (-2 * search.beta))


@pytest.mark.parametrize(("alpha", "beta", "h"), [(1, 1, 1), (1, 0.5, 1), (1, 0.75, 2)])
def test_searches_that_are_made_have_these_exponents(alpha: float, beta: float, h: int):
    search = Search(alpha, beta, 2, h)
    for method in ("direct", "transfer"):
        assert slope(search.simulate(BUDGETS, method)) == pytest.approx(-getattr(search, method), abs=0.03)


def test_a_search_that_is_made_loses_by_slow_transfer():
    search = Search(1, 0.25)  # what is missed at the final size is the difference of two gaps, which both fall slowly
    assert -0.25 < slope(search.simulate(BUDGETS, "transfer")) < -0.15
    assert slope(search.simulate(BUDGETS, "direct")) == pytest.approx(-0.4, abs=0.03)


def test_transfer_is_useful_exactly_where_it_is_fast():
    for alpha, beta, r, h in CASES:
        search = Search(alpha, beta, r, h)
        assert search.useful is (beta > alpha / 2) is (search.transfer > search.direct + 1e-12)
    even = Search(1, 0.5, 2, 1)
    assert even.transfer == pytest.approx(even.direct)


def test_from_some_beta_on_only_the_final_run_counts():
    search = Search(1, 1, 2, 1)
    assert search.saturating == pytest.approx(2 / 3)
    assert Search(1, 0.66, 2, 1).transfer < 0.5 == Search(1, 0.67, 2, 1).transfer
    assert Search(1, 1, 2, 4).saturating == np.inf


def test_exponents_must_be_positive():
    with pytest.raises(ValueError, match="`beta` is 0"):
        Search(1, 0)
