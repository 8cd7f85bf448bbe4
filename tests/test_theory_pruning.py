"""Merging, capping and ordering pieces is harmless on small graphs; z3 finds the same point from all forms without any cut."""

from dataclasses import replace
from fractions import Fraction

import pytest
import z3
from helpers import covered_by_the_same_form
from widelimit.theory import merging
from widelimit.theory.architecture import Architecture
from widelimit.theory.derivation import derive
from widelimit.theory.desiderata import find_desiderata, relations
from widelimit.theory.graph import Graph
from widelimit.theory.propagate import Net, Pruning
from widelimit.theory.scales import Axis, Powers, Regime
from widelimit.theory.solve import Solver
from widelimit.theory.table import differences
from widelimit.theory.zoo import mlp, resmlp

WIDTH = Axis("n")


def attention(power: str | None = None) -> Architecture:
    """One attention head without normalisation; its multiplier stands on the queries."""
    g = Graph("attention", [WIDTH])
    g.dims(x=8, time=4, source=4, n="n", d="n", y=3)
    x = g.dense("embed", g.input("time", "x"), "n")
    q, k, v = (g.dense(w, x, "d") for w in ("query", "key", "value"))
    q = g.scale(q, None if power is None else Powers(n=power), kind="attention logits", name="logits")
    k, v = g.rename(k, "time", "source"), g.rename(v, "time", "source")
    mixed = g.product(g.softmax(g.product(q, k, over="d"), "source"), v, over="source")
    return g.build(g.dense("readout", g.dense("output", mixed, "n"), "y"))


def tied() -> Architecture:
    """One matrix at both ends of a hidden layer, with an output multiplier to be derived."""
    g = Graph("tied", [WIDTH])
    g.dims(vocab=8, n="n", m="n")
    h = g.map("relu", g.dense("hidden", g.dense("embed", g.input("vocab"), "n"), "m"))
    x = g.dense("back", h, "n")
    return g.build(g.dense("embed", g.scale(x, None, kind="output", name="out"), "vocab"))


def gated() -> Architecture:
    """A gated perceptron."""
    g = Graph("gated", [WIDTH])
    g.dims(x=8, n="n", m="n", y=3)
    x = g.dense("embed", g.input("x"), "n")
    h = g.product(g.map("silu", g.dense("gate", x, "m")), g.dense("up", x, "m"))
    return g.build(g.dense("readout", g.dense("down", h, "n"), "y"))


GRAPHS = {
    "mlp 2": lambda: mlp(hidden=2),
    "mlp 3": lambda: mlp(hidden=3),
    "resmlp": lambda: resmlp(branch="-1/2"),
    "attention": attention,
    "tied": tied,
    "gated": gated,
}
CUTS = {
    "merge 2": Pruning(merge=2), "merge 3": Pruning(merge=3), "no merge": Pruning(merge=None), "slack 1/2": Pruning(slack=Fraction(1, 2)),
    "slack 1": Pruning(slack=Fraction(1)), "slack 2, merge 2": Pruning(slack=Fraction(2), merge=2), "ties": Pruning(ties=3),
    "order 3": Pruning(order=3), "order 4": Pruning(order=4), "order 3, slack 1, merge 3": Pruning(order=3, slack=Fraction(1), merge=3),
    "trace": Pruning(trace=True), "response": Pruning(response=True), "cap 40": Pruning(cap=40),
}  # fmt: skip


LONG = {(graph, cut) for graph in ("gated", "resmlp") for cut in ("order 3", "order 4", "order 3, slack 1, merge 3")}
PAIRS = [pytest.param(g, c, marks=[pytest.mark.slow] * ((g, c) in LONG), id=f"{g}, {c}") for g in GRAPHS for c in CUTS]


@pytest.mark.parametrize(("graph", "cut"), PAIRS)
def test_pruning_changes_nothing(graph: str, cut: str):
    plain, other = (derive(GRAPHS[graph](), "adam", pruning=p) for p in (Pruning(), CUTS[cut]))
    assert plain.verdict == other.verdict == "unique"
    assert not differences(plain, other)


@pytest.mark.parametrize("cut", ["merge 2", "no merge", "slack 1", "order 3"])
def test_pruning_does_not_hide_an_infeasible_case(cut: str):
    for net, fixed in ((mlp(), {"W3": {"init_std": Powers(n="-1/2")}}), (resmlp(branch="-1/4"), None)):
        assert derive(net, "sgd", fixed=fixed, pruning=CUTS[cut]).verdict == "infeasible"


def test_square_root_attention_is_infeasible():
    table = derive(attention("-1/2"), "adam")
    assert table.verdict == "infeasible" and table.clash
    assert derive(attention("-1"), "adam").verdict == "unique"


def every_form(net: Net, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, order: int):
    """Relations with all forms: nothing is dropped for being smaller at some point, whole words are compared."""
    monkeypatch.setattr(merging.Merging, "_covered", covered_by_the_same_form)
    point = dict.fromkeys(net.space.unknowns, Fraction(0))
    report = net.propagate(point, Pruning(order=order, slack=Fraction(10**6), merge=None, trace="kernel" in names))
    assert not report.dropped and not report.capped
    return relations(net, report, names)


class Logic:
    """The desiderata as formulas over the reals."""

    def __init__(self, net: Net, found):
        self.net = net
        self.unknowns = {name: z3.Real(name) for name in net.space.unknowns}
        self.solver = z3.Solver()
        for terms in found.bounded.values():
            self.solver.add([self.form(f) <= 0 for f in {f for _, f in terms}])
        for terms in found.attained.values():
            forms = {f for _, f in terms}
            self.solver.add([self.form(f) <= 0 for f in forms])
            self.solver.add(z3.Or([self.form(f) == 0 for f in forms]))

    def form(self, form: int):
        constant, *row = self.net.space.unpack(form)
        terms = [a * self.unknowns[n] for a, n in zip(row, self.net.space.unknowns, strict=True) if a]
        return z3.Sum([z3.Q(constant, self.net.space.constant_unit), *terms])

    def given(self, values) -> list:
        return [self.unknowns[n] == z3.Q(v.numerator, v.denominator) for n, v in values.items()]


@pytest.mark.parametrize("desiderata", ["mup", "ntk"])
@pytest.mark.parametrize(("hidden", "order"), [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_z3_finds_the_same_point_from_all_forms(hidden: int, order: int, desiderata: str, monkeypatch: pytest.MonkeyPatch):
    names, net = find_desiderata(desiderata), Net(mlp(hidden=hidden), Regime(n=1))
    solution = Solver(net, names, {}, Pruning(trace=desiderata == "ntk")).solve()
    logic = Logic(net, every_form(net, names, monkeypatch, order))
    assert logic.solver.check(logic.given(solution.point)) == z3.sat
    stds = [u for u in net.space.unknowns if u.startswith("std:")]
    total = sum((solution.point[u] for u in stds), Fraction(0))
    logic.solver.add(z3.Sum([logic.unknowns[u] for u in stds]) >= z3.Q(total.numerator, total.denominator))
    assert logic.solver.check() == z3.sat
    logic.solver.add(z3.Not(z3.And(logic.given(solution.point))))
    assert logic.solver.check() == z3.unsat  # neither larger initial weights nor another point with the same ones


def test_z3_agrees_that_a_large_readout_is_infeasible(monkeypatch: pytest.MonkeyPatch):
    names, net = find_desiderata("mup"), Net(mlp(hidden=2), Regime(n=1))
    logic = Logic(net, every_form(net, names, monkeypatch, 2))
    for std, verdict in (("-1/2", z3.unsat), ("-3/4", z3.unsat), ("-1", z3.sat)):
        assert logic.solver.check(logic.given({"std:W3": Fraction(std)})) == verdict
    monkeypatch.undo()
    for std, verdict in (("-1/2", "infeasible"), ("-3/4", "infeasible"), ("-1", "unique")):
        assert Solver(net, names, {"std:W3": Fraction(std)}, Pruning()).solve().verdict == verdict


def test_the_clash_is_a_clash(monkeypatch: pytest.MonkeyPatch):
    names, net = find_desiderata("mup"), Net(mlp(hidden=2), Regime(n=1))
    clash = Solver(net, names, {"std:W3": Fraction(-1, 2)}, Pruning()).solve().clash
    found = every_form(net, names, monkeypatch, 2)
    for kept, verdict in ((clash, z3.unsat), ((), z3.sat), (("init W1", "init W2"), z3.sat)):
        logic = Logic(net, replace(found, attained={k: v for k, v in found.attained.items() if k in kept}))
        assert logic.solver.check(logic.given({"std:W3": Fraction(-1, 2)})) == verdict, kept


def test_the_clash_is_minimal(monkeypatch: pytest.MonkeyPatch):
    names, net, given = find_desiderata("mup"), Net(mlp(hidden=2), Regime(n=1)), {"std:W3": Fraction(-1, 2)}
    clash = Solver(net, names, given, Pruning()).solve().clash
    found = every_form(net, names, monkeypatch, 2)
    for kept, verdict in ((clash, z3.unsat), *(([k for k in clash if k != label], z3.sat) for label in clash)):
        parts = ({k: v for k, v in part.items() if k in kept} for part in (found.bounded, found.attained))
        logic = Logic(net, replace(found, **dict(zip(("bounded", "attained"), parts, strict=True))))
        assert logic.solver.check(logic.given(given)) == verdict, kept


def test_too_many_pieces_are_compared_by_axes_and_else_refused(monkeypatch: pytest.MonkeyPatch):
    whole = derive(attention(), "adam")
    seen: list[tuple[int | None, int]] = []
    count = merging.Merging.pieces

    def counted(self: merging.Merging, found: list) -> list:
        seen.append((self.pruning.factors, self.seen + len(found)))
        return count(self, found)

    monkeypatch.setattr(merging.Merging, "pieces", counted)
    derive(attention(), "adam")
    monkeypatch.setattr(merging, "WORK", max(n for _, n in seen) - 1)
    by_axes = derive(attention(), "adam")
    assert {factors for factors, _ in seen} == {2, 0}
    assert not differences(whole, by_axes) and any("by the axes" in note for note in by_axes.notes)
    monkeypatch.setattr(merging, "WORK", 2)
    refused = derive(attention(), "adam")
    assert refused.verdict == "not decided" and not refused.rows and "more kinds of terms" in refused.clash[0]
