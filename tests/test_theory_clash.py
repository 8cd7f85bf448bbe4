"""Contradictions are proved: the smallest clashing sets, their Farkas certificates, and what was merely stuck."""

import json
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
from helpers import covered_by_the_same_form
from widelimit.theory import merging
from widelimit.theory.architecture import Architecture
from widelimit.theory.clash import _Decision, find_clash
from widelimit.theory.derivation import derive
from widelimit.theory.desiderata import find_desiderata, relations
from widelimit.theory.graph import Graph
from widelimit.theory.propagate import Net, Pruning
from widelimit.theory.refutation import Branch, Certificate, recheck
from widelimit.theory.scales import Axis, Powers, Regime
from widelimit.theory.solve import Solution, Solver
from widelimit.theory.table import ExponentTable
from widelimit.theory.zoo import mlp, resmlp


def attention(power: str) -> Architecture:
    """One attention head; its multiplier stands on the queries."""
    g = Graph("attention", [Axis("n")])
    g.dims(x=8, time=4, source=4, n="n", d="n", y=3)
    x = g.dense("embed", g.input("time", "x"), "n")
    q, k, v = (g.dense(w, x, "d") for w in ("query", "key", "value"))
    q = g.scale(q, Powers(n=power), kind="attention logits", name="logits")
    k, v = g.rename(k, "time", "source"), g.rename(v, "time", "source")
    mixed = g.product(g.softmax(g.product(q, k, over="d"), "source"), v, over="source")
    return g.build(g.dense("readout", g.dense("output", mixed, "n"), "y"))


CASES = {
    "large readout": (lambda: mlp(), {"std:W3": "-1/2"}, Regime(n=1)),
    "large readout, three layers": (lambda: mlp(hidden=3), {"std:W4": "-1/2"}, Regime(n=1)),
    "small hidden": (lambda: mlp(), {"std:W2": "-1"}, Regime(n=1)),
    "short branches": (lambda: resmlp(branch="-1/4"), {}, Regime(n=0, L=1)),
    "square root": (lambda: attention("-1/2"), {}, Regime(n=1)),
}


def solver(name: str) -> Solver:
    build, fixed, regime = CASES[name]
    return Solver(Net(build(), regime), find_desiderata("mup"), {k: Fraction(v) for k, v in fixed.items()}, Pruning())


@cache
def solved(name: str) -> Solution:
    return solver(name).solve()


@pytest.mark.parametrize("name", CASES)
def test_certificate(name: str):
    solution = solved(name)
    assert solution.verdict == "infeasible" and solution.certificate is not None
    assert recheck(solution.certificate)
    assert set(solution.certificate.labels) <= set(solution.clash)


@pytest.mark.parametrize("name", CASES)
def test_every_member_is_needed(name: str):
    own = solver(name)
    own._from_below(1)
    found = find_clash(own)
    assert found.labels == solved(name).clash and found.witnesses.keys() == set(found.labels)
    for label, point in found.witnesses.items():  # without it there is a point, at which the calculus itself agrees
        there, rest = own.look(point), set(found.labels) - {label}
        rest |= {k for k in there.attained if k.startswith("norm ")}
        assert all(s <= 0 for k in rest for s, _ in {**there.bounded, **there.attained}[k] if not k.startswith("init "))
        assert all(max(there.attained[k])[0] == 0 for k in rest if there.attained.get(k) and not k.startswith("init "))


@pytest.mark.parametrize("name", ["large readout", "large readout, three layers", "small hidden"])
def test_no_term_was_missing(name: str, monkeypatch: pytest.MonkeyPatch):
    own, clash = solver(name), list(solved(name).clash)
    monkeypatch.setattr(merging.Merging, "_covered", covered_by_the_same_form)
    own._collect(relations(own.net, own.net.propagate({}, Pruning(slack=Fraction(10**6), merge=None)), own.names))
    decision = _Decision(own, 3000, 60)
    for terms in (decision.bounded, decision.attained):
        assert all(terms.values())
    assert not isinstance(decision.decide(clash), dict)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("large readout", {"stable W3"}),
        ("small hidden", {"init W2"}),
        ("short branches", {"init down"}),
        ("square root", {"update embed"}),
    ],
)
def test_what_clashes(name: str, expected: set[str]):
    assert expected <= set(solved(name).clash), solved(name).clash


def tampered(certificate: Certificate, how: str) -> Certificate:
    """A certificate with one thing wrong in its first leaf or branch."""

    def change(proof):
        if isinstance(proof, Branch):
            (row, below), *rest = proof.cases
            if how == "case":
                return replace(proof, cases=tuple(rest))
            return replace(proof, cases=((row, change(below)), *rest))
        (label, row, multiplier), *rest = proof
        if how == "multiplier":
            return ((label, row, multiplier + 1), *rest)
        if how == "sign":
            return ((label, tuple(-a for a in row), -multiplier), *rest)
        return (("update nothing", row, multiplier), *rest)

    return replace(certificate, proof=change(certificate.proof))


@pytest.mark.parametrize("how", ["multiplier", "sign", "label", "case"])
def test_a_tampered_certificate_fails(how: str):
    assert not recheck(tampered(solved("large readout").certificate, how))


def test_a_refutation_is_read_back():
    table = derive(resmlp(branch=-1), "adam", desiderata="depth-mup", regime=Regime(n=0, L=1))
    data = json.loads(json.dumps(table.as_json(explain=True)))
    assert ExponentTable.from_json(data).certificates == table.certificates and table.certificates[0].holds()
    proof = data["certificates"][0]["proof"]
    (proof["cases"][0][1] if isinstance(proof, dict) else proof)[0][2] = "-1"
    assert not ExponentTable.from_json(data).certificates[0].holds()


def test_a_row_that_no_relation_has_proves_nothing():
    certificate = solved("large readout").certificate
    absurd = (1, *(0 for _ in next(iter(certificate.bounds.values()))[0][1:]))  # 1 <= 0
    forged = replace(certificate, proof=(("stable W3", absurd, Fraction(1)),))
    assert not recheck(forged)


def test_a_stopped_search_is_not_decided():
    own = solver("large readout")
    own._from_below(1)
    found = find_clash(own, programs=1)
    assert found.point is None and found.certificate is None and not found.labels


@pytest.mark.parametrize("build", [mlp, lambda: resmlp(branch="-1/2")])
def test_a_feasible_case_gives_a_point(build):
    net = Net(build(), Regime(n=1, **({"L": 0} if build is not mlp else {})))
    own = Solver(net, find_desiderata("mup"), {}, Pruning())
    point, _ = own.start()
    own.evaluate(point, own.pruning)  # far from settled
    found = find_clash(own)
    assert found.point is not None
    relations = own.look(found.point)
    assert all(s <= 0 for terms in relations.bounded.values() for s, _ in terms)
    assert all(max(terms)[0] == 0 for terms in relations.attained.values() if terms)


def test_a_stuck_iteration_is_repaired(monkeypatch: pytest.MonkeyPatch):
    real = Solver._from_below
    monkeypatch.setattr(Solver, "_from_below", lambda self, depth: (real(self, depth)[0], ["update W1"]))
    assert Solver(Net(mlp(), Regime(n=1)), find_desiderata("mup"), {}, Pruning()).solve().verdict == "unique"


def test_the_order_is_raised_until_nothing_changes():
    # behind a zero readout the hidden weights have no gradient before the readout has moved: no terms at order one
    g = Graph("zero", [Axis("n")])
    g.dims(x=8, a="n", b="n", y=3)
    h = g.map("relu", g.dense("W2", g.map("relu", g.dense("W1", g.input("x"), "a")), "b"))
    net = Net(g.build(g.dense("W3", h, "y", init="zero")), Regime(n=1))
    found = []
    for order in (1, 2, 3):
        own = Solver(net, find_desiderata("mup"), {}, Pruning(order=order))
        found.append(own.solve())
        assert own.pruning.order == max(order, 2) and found[-1].stats["checked order"] == own.pruning.order + 2
    assert {s.verdict for s in found} == {"unique"} and found[0].point == found[1].point == found[2].point
