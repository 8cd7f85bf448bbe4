"""Chains of relations, regions of piecewise answers, and tables with symbols for alignment exponents."""

from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest
from widelimit.theory.chain import Chain
from widelimit.theory.derivation import derive
from widelimit.theory.printing import as_text
from widelimit.theory.regions import box, explore, value
from widelimit.theory.scales import Powers, Regime
from widelimit.theory.symbolic import Case
from widelimit.theory.table import ExponentTable, differences
from widelimit.theory.zoo import gpt, mlp, resmlp


@pytest.mark.parametrize(("architecture", "optimizer"), [(mlp(), "sgd"), (resmlp(), "adamw"), (gpt(), "adam"), (gpt(), "muon")])
def test_chain_fixes_every_exponent(architecture, optimizer):
    table = derive(architecture, optimizer)
    assert len(table.chains) == sum(bool(axis.power) for axis in architecture.axes)
    for chain in table.chains:
        assert chain.holds()
        stds = {link.gives[4:]: link.value for link in chain.links if link.gives.startswith("std:")}
        drawn = {row.weight: row for row in table.rows if not row.zero_init and row.weight in stds}
        assert drawn
        for name, std in stds.items():
            assert drawn[name].init_std[chain.links[0].size] == std


def test_chain_is_read_back_and_its_errors_are_seen():
    data = derive(mlp(), "adam").as_json(explain=True)
    (chain,) = ExponentTable.from_json(data).chains
    assert chain.holds()
    last = chain.links[-1]
    assert last.gives == "std:W3"
    assert last.value == -1
    for wrong in (replace(last, value=Fraction(-1, 2)), replace(last, multipliers={**last.multipliers, 5: Fraction(2)})):
        assert not Chain((*chain.links[:-1], wrong)).holds()


def test_chain_says_what_is_given():
    table = derive(mlp(), "adam", fixed={"W1": {"init_std": Powers(n="-1/2"), "multiplier": Powers(n="1/2")}})
    assert "std(W1) = 1: is given; so std(W1) = 1" in as_text(table, explain=True)


def test_regions_of_a_maximum():
    """The largest of four affine forms: each region is where it is the largest, and together they are the square."""
    forms = {"x": (0, 1, 0), "y": (0, 0, 1), "half": (Fraction(1, 2), 0, 0), "sum": (Fraction(-1, 3), 1, 1)}
    forms = {name: tuple(map(Fraction, form)) for name, form in forms.items()}

    def look(place):
        best = max(forms, key=lambda name: value(forms[name], place))
        return best, [tuple(a - b for a, b in zip(forms[name], forms[best], strict=True)) for name in forms if name != best]

    regions, dark = explore(box([Fraction(0)] * 2, [Fraction(1)] * 2), look)
    assert sorted(region.label for region in regions) == ["half", "sum", "x", "y"]
    assert not dark
    random = Random(3)
    for _ in range(200):
        place = Fraction(random.randint(0, 997), 997), Fraction(random.randint(0, 997), 997)
        (region,) = [region for region in regions if region.has(place)]
        assert value(forms[region.label], place) == max(value(form, place) for form in forms.values())


def test_regions_without_an_answer():
    regions, dark = explore(
        box([Fraction(0)], [Fraction(1)]), lambda p: ("low", [(Fraction(-1, 3), Fraction(1))]) if p[0] * 3 < 1 else None
    )
    assert dark
    assert [region.rows for region in regions] == [((Fraction(0), Fraction(-1)), (Fraction(-1), Fraction(3)))]


def holds(case: Case, values: dict[str, Fraction]) -> bool:
    """Whether the conditions of a case, which are text for people, are met."""

    def read(side: str) -> Fraction:
        terms = side.replace(" - ", " + -").split(" + ")
        total = Fraction(0)
        for term in terms:
            *factors, last = term.split()
            sign = -1 if last.startswith("-") else 1
            last = last.removeprefix("-")
            total += sign * Fraction(*factors or [1]) * (values[last] if last in values else Fraction(last))
        return total

    sides = (condition.split(" <= ") for condition in case.conditions)
    return all(read(left) <= read(right) for left, right in sides)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])
def test_cases_agree_with_numbers(optimizer: str):
    """At random alignments the case that holds is what is derived with these numbers; where none does, nothing is."""
    cases = derive(mlp(), optimizer, alignment="symbolic").cases
    *pieces, rest = cases
    assert rest.conditions == ("elsewhere",)
    random, met = Random(5), set()
    for _ in range(25):
        values = {name: Fraction(1, 2) + Fraction(random.randint(1, 63), 128) for name in ("alpha", "omega", "u")}
        alpha, omega, u = values.values()
        numbers = derive(mlp(), optimizer, alignment=f"{alpha}:1/2:{u},W3={alpha}:{omega}:{u}")
        holding = [case for case in pieces if holds(case, values)]
        met.update(map(pieces.index, holding))
        assert bool(holding) == (numbers.verdict == "unique")
        for case in holding:
            assert not differences(case.at(**values), numbers)
    assert len(met) == len(pieces)


def test_cases_of_everett():
    """Without alignment of changes with the initial readout the rates follow the larger of alpha and u."""
    low, high = derive(mlp(), "adam", alignment="alpha:1/2:u").cases
    assert {low.conditions, high.conditions} == {("alpha <= u",), ("u <= alpha",)}
    with pytest.raises(ValueError, match=r"n\^-\w+ has a symbol in its exponent"):
        high.table.row("W2").learning_rate.at({"n": Fraction(1)})
    for case in (low, high):
        larger = case.conditions[0].split()[-1]
        assert case.table is not None
        assert [str(row.learning_rate) for row in case.table.rows] == ["1", f"n^-{larger}", f"n^-{larger}"]


def test_alignment_of_hidden_changes_contradicts_maximal_updates():
    """With omega above 1/2 in a hidden layer what it makes of Theta(1) changes blows up: a refutation, not a table."""
    (case,) = derive(mlp(), "adam", alignment="1:omega:1").cases
    assert case.verdict == "infeasible"
    with pytest.raises(ValueError, match=r"there is no table where .*: infeasible"):
        case.at(omega=1)


def test_symbols_need_one_axis():
    with pytest.raises(ValueError, match="needs one growing axis"):
        derive(resmlp(), "adam", alignment="symbolic")
    table = derive(resmlp(), "adam", alignment="alpha:1/2:u", regime=Regime(n=1, L=0))
    assert {case.verdict for case in table.cases} == {"unique"}
    assert "where alpha <= u:" in as_text(table)
    assert table.as_json()["cases"][0]["rows"][1]["learning_rate"] in ({"n^u": "-1"}, {"n^alpha": "-1"})
    with pytest.raises(ValueError, match="fan-in that grows as scale"):
        derive(mlp(), "adam", alignment="symbolic", regime=Regime(n="1/2"))
