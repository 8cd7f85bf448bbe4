"""From an architecture and an optimizer to its table: solve the desiderata, read off the rates, say how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from .alignment import Given as Alignment
from .alignment import Triple, numbers, read_alignment, symbols
from .amplitudes import starting_point
from .architecture import Architecture
from .chaining import find_chain
from .closed_form import find_closed_form
from .desiderata import find_desiderata
from .optimizers import Optimizer, find_optimizer
from .presentation import present, stands_for
from .propagate import Net, Pruning, Report
from .scales import Axis, Powers, Regime
from .solve import Solution, Solver
from .table import COLUMNS, ExponentTable, Operation, Row, Shape

FOUND = ("unique", "family")  # verdicts with a table
GROWING = "gradients grow after the first step, and no table was found for updates that normalise them"
Fixed = Mapping[str, Mapping[str, Powers]]


def derive(
    architecture: Architecture,
    optimizer: str | Optimizer = "adamw",
    *,
    desiderata: str = "mup",
    regime: Regime | None = None,
    gauge: str = "multiplier-free",
    alignment: Alignment = "words",
    fixed: ExponentTable | Fixed | None = None,
    closed_form: bool = False,
    pruning: Pruning = Pruning(),
) -> ExponentTable:
    """Derive how every weight must scale.

    Args:
        architecture: the network.
        optimizer: a name or an `Optimizer`.
        desiderata: a set of them (see `theory.desiderata`).
        regime: how fast the axes grow; by default every axis that grows does so alone, the others fixed, and the powers
            of all of them are put together in one table.
        gauge: how the freedom between multiplier and weight is used.
        alignment: ``words`` (derived), or exponents in place of it, for all weights or single ones (see `read_alignment`); with
            symbols the table has the rows of full alignment, and `ExponentTable.cases` has the pieces.
        fixed: initialisations and multipliers that are given: a table, or ``{weight: {column: Powers}}``.
        closed_form: under a regime that ties axes, look for powers of each axis as well (see `theory.closed_form`).
        pruning: the order and the cuts of the calculus.

    Returns:
        The table with its verdict; it has no rows where that is ``infeasible`` or ``not decided``. Under a regime that ties
        axes its powers are those of ``scale``.

    Raises:
        ValueError: for an unknown name, or a regime that does not fit the architecture.
    """
    how, names = find_optimizer(optimizer), find_desiderata(desiderata)
    fixed_out = (w.name for w in architecture.weights.values() if not architecture.monomial(w.out))
    aligned = read_alignment(alignment, architecture.weights, fixed_out)
    given = _given(architecture, fixed, how)

    def solve(one: Regime, key: str) -> ExponentTable:
        case = _Case(architecture, how, names, one, key, numbers(aligned))
        table = case.table(case.solve(given, pruning), desiderata, given)
        return table if not symbols(aligned) else replace(case, alignment=aligned).with_cases(table, given, pruning)

    if regime is not None:
        regime.check([axis.name for axis in architecture.axes], architecture.name)
        plain = len(regime.grown) == 1 and regime[regime.grown[0]] == 1
        regimes = {regime.grown[0] if plain else "scale": regime}
    else:
        grown = [axis for axis in architecture.axes if axis.power]
        regimes = {axis.name: alone(architecture, axis) for axis in grown}
    if symbols(aligned) and len(regimes) > 1:
        axes = ", ".join(regimes)
        raise ValueError(f"alignment with symbols needs one growing axis; give a regime that fixes the others of {axes}")
    table, *others = (solve(one, key) for key, one in regimes.items())
    for other in others:
        table = _join(table, other)
    if closed_form and regime is not None and "scale" in regimes:
        table = replace(table, per_axis=find_closed_form(table, regime, lambda near: solve(near, "scale")))
    return present(replace(table, regime=regime), architecture).in_gauge(gauge)


def alone(architecture: Architecture, axis: Axis) -> Regime:
    """One axis grows, the others are fixed."""
    return Regime({a.name: axis.power if a is axis else Fraction(0) for a in architecture.axes})


def _given(architecture: Architecture, fixed: ExponentTable | Fixed | None, optimizer: Optimizer) -> dict[str, Powers]:
    """What is given, in the multiplier-free gauge: initial weights ``std:W``, multipliers ``mult:O``, updates ``rate:W``.

    Of a whole table the multipliers and initialisations are taken; rates only where they are named.
    """
    if fixed is None:
        return {}
    given: dict[str, Powers] = {}
    if isinstance(fixed, ExponentTable):
        operations = {o.name: {"multiplier": o.multiplier} for o in fixed.operations}
        rows = {name: fixed.row(name) for name in architecture.weights}
        fixed = {n: {"multiplier": r.multiplier, "init_std": r.init_std} for n, r in rows.items() if not r.zero_init} | operations
    else:
        fixed = {own: columns for name, columns in fixed.items() for own in stands_for(architecture, name) or (name,)}
    for name, columns in fixed.items():
        for column in columns:
            if column not in ("multiplier", "init_std", "learning_rate"):
                raise ValueError(f"`{column}` of `{name}` cannot be fixed; give multiplier, init_std or learning_rate (the rest follows)")
        multiplier = columns.get("multiplier", Powers())
        if name in architecture.weights:
            if "init_std" in columns and architecture.weights[name].init == "gaussian":
                given[f"std:{name}"] = columns["init_std"] * multiplier
            if "learning_rate" in columns:
                given[f"rate:{name}"] = columns["learning_rate"] * multiplier ** (1 + optimizer.degree)
        elif any(o.name == name for o in architecture.operations):
            given[f"mult:{name}"] = multiplier
        else:
            raise ValueError(f"`{architecture.name}` has no weight or multiplier `{name}` to fix")
    return given


def gradient_sizes(net: Net, report: Report) -> dict[str, tuple[Fraction, Fraction]]:
    """Exponents of the backward and the forward factor of every weight's gradient: the first, where growth is followed."""
    unit, pieces = net.space.unit, report.latest if net.degrees == (1, 1) else report.firsts
    return {name: (Fraction(g.size, unit), Fraction(x.size, unit)) for name, (g, x) in pieces.items()}


Sizes = dict[str, tuple[Fraction, Fraction]]


@dataclass(frozen=True)
class _Case:
    """One derivation in one regime."""

    architecture: Architecture
    optimizer: Optimizer
    names: tuple[str, ...]
    regime: Regime
    key: str
    alignment: Mapping[str, Triple] | None

    def net(self) -> Net:
        return Net(self.architecture, self.regime, self.alignment)

    def solve(self, given: Mapping[str, Powers], pruning: Pruning) -> tuple[Net, Solution, Sizes]:
        """Solve as if gradients kept their size; where that gives nothing that lasts, follow how updates that normalise them answer.

        Behind a finite waist a gradient starts small and grows: an update in proportion to it takes log n steps, a normalised
        one does not.
        """
        degrees = self.optimizer.degree_back, self.optimizer.degree_forward
        found = self._solve(self.net(), given, pruning)
        if degrees == (1, 1) or self.alignment is not None:
            return found
        lasts = found[1].verdict in FOUND and self._lasts(found, pruning)
        if lasts or degrees != (0, 0):  # growth has a form for whole degrees
            return found if lasts or found[1].verdict not in FOUND else self._undecided(found)
        again = self._solve(Net(self.architecture, self.regime, degrees=degrees), given, pruning)
        if again[1].verdict in FOUND or found[1].verdict not in FOUND:
            return again if again[1].verdict in FOUND else found
        return self._undecided(found)

    def _lasts(self, found: tuple[Net, Solution, Sizes], pruning: Pruning) -> bool:
        """Whether the relations hold as well where each step's update is normalised by its own gradient."""
        table = self.table(found, "", {})
        net, point = starting_point(self.architecture, table, self.regime, self.optimizer)
        return Solver(net, self.names, {}, pruning).lasts(point)

    @staticmethod
    def _undecided(found: tuple[Net, Solution, Sizes]) -> tuple[Net, Solution, Sizes]:
        """A table of gradients that keep their size, which they do not."""
        solution = replace(found[1], verdict="not decided", free=(), certificate=None, clash=(GROWING,))
        return found[0], solution, found[2]

    def _solve(self, net: Net, given: Mapping[str, Powers], pruning: Pruning) -> tuple[Net, Solution, Sizes]:
        """Solve with what is given; a given rate fixes an amplitude once the size of the gradient is known, so it is repeated."""
        fixed = {name: powers.at(self.regime) for name, powers in given.items() if name in net.space.index}
        rates = {name[5:]: powers.at(self.regime) for name, powers in given.items() if name.startswith("rate:")}
        if "kernel" in self.names:
            pruning = replace(pruning, trace=True)
        sizes: Sizes = {}
        for _ in range(8):
            amplitudes = {f"amp:{name}": self._amplitude(net, name, rate, sizes) for name, rate in rates.items() if sizes}
            solver = Solver(net, self.names, fixed | amplitudes, pruning)
            solution = solver.solve()
            # of the order at which it was solved: what is attained has gradients of fewer updates than that
            found = gradient_sizes(net, solver.evaluate(solution.point, solver.pruning)[0])
            if not rates or found == sizes:
                break
            sizes = found
        if solution.verdict in FOUND:
            chain = find_chain(solver, solution.point, self.key, self.power(Fraction(1))[self.key])
            solution = replace(solution, certificate=chain)
        return net, solution, found

    def with_cases(self, table: ExponentTable, given: Mapping[str, Powers], pruning: Pruning) -> ExponentTable:
        """The table with its pieces where some alignment exponents are symbols."""
        from .symbolic import find_cases

        if any(name.startswith("rate:") for name in given):
            raise ValueError("alignment with symbols cannot be combined with a given learning rate")

        def solve(values: Mapping[str, Fraction]) -> tuple[Solver, Solution]:
            net = self.net()
            fixed = {name: powers.at(self.regime) for name, powers in given.items() if name in net.space.index}
            solver = Solver(net, self.names, {**fixed, **values}, pruning)
            return solver, solver.solve()

        def write(point: Mapping[str, Fraction], sizes: Sizes) -> ExponentTable:
            return self.table((self.net(), Solution(dict(point), "unique"), sizes), table.desiderata, given)

        note = "above are the rows of full alignment (1, 1/2, 1); below, those with symbols between 1/2 and 1"
        return replace(table, notes=(*table.notes, note), cases=find_cases(symbols(self.alignment), solve, write))

    def _amplitude(self, net: Net, name: str, rate: Fraction, sizes: Sizes) -> Fraction:
        """The inverse of `rate`."""
        back, forward = sizes.get(name, (Fraction(0), Fraction(0)))
        return rate - self.rate(net, name, Fraction(0), back, forward, Fraction(0))

    def power(self, exponent: Fraction) -> Powers:
        return Powers({self.key: exponent if self.key == "scale" else exponent / self.regime[self.key]})

    def table(self, solved: tuple[Net, Solution, Sizes], desiderata: str, given: Mapping[str, Powers]) -> ExponentTable:
        net, solution, sizes = solved
        rows = tuple(self._row(net, solution, sizes, name) for name in net.names)
        operations = tuple(
            Operation(n.name, n.kind or "multiplier", *self._operation(solution, n.name, given)) for n in self.architecture.operations
        )
        table = ExponentTable(
            self.architecture.name, self.optimizer.name, rows, operations, desiderata=desiderata, verdict=solution.verdict,
            free=tuple(f"{name} [{self.key}]" for name in solution.free), clash=solution.clash, notes=solution.notes,
            certificates=(solution.certificate,) if solution.certificate else (),
        )  # fmt: skip
        if solution.verdict in FOUND:
            return table
        nearest = replace(table, verdict="given", desiderata="") if solution.verdict == "infeasible" else None
        return replace(table, rows=(), operations=(), nearest=nearest)  # a wrong table is worse than none

    def _operation(self, solution: Solution, name: str, given: Mapping[str, Powers]) -> tuple[Powers, str]:
        node = self.architecture.node(name)
        if node.power is not None:
            return self._in_key(node.power), "given"
        reason = "given" if f"mult:{name}" in given else "the largest that keeps what follows O(1) during training"
        if node.written is not None and node.written.at(self.regime) != solution.point[f"mult:{name}"]:
            reason += f"; the code has {self._in_key(node.written)}"
        return self.power(solution.point[f"mult:{name}"]), reason

    def _in_key(self, powers: Powers) -> Powers:
        return self.power(powers.at(self.regime))

    def _row(self, net: Net, solution: Solution, sizes: Sizes, name: str) -> Row:
        weight, architecture = self.architecture.weights[name], self.architecture
        shape = Shape(*(architecture.monomial(dims) for dims in (weight.out, weight.inn, weight.index)))
        back, forward = sizes.get(name, (Fraction(0), Fraction(0)))
        std = solution.point.get(f"std:{name}", Fraction(0))
        if not weight.trained:
            return Row(name, shape, init_std=self.power(std), zero_init=weight.init == "zero", trained=False, reason="frozen")
        rate = self.rate(net, name, solution.point.get(f"amp:{name}", Fraction(0)), back, forward, std)
        added = [d.exponent(back, forward, *net.fans(name)) for d in self.optimizer.damping if "faithful" in self.names]
        eps, damping, *_ = (*added, Fraction(0), Fraction(0))
        decay = -rate if "equal-timescale" in self.names and self.optimizer.decay == "coupled" else Fraction(0)
        return Row(
            name, shape, init_std=self.power(std), learning_rate=self.power(rate), epsilon=self.power(eps),
            weight_decay=self.power(decay), damping=self.power(damping), zero_init=weight.init == "zero",
            reason=self._reason(net, name, std, rate, back, forward),
        )  # fmt: skip

    def rate(self, net: Net, name: str, amp: Fraction, back: Fraction, forward: Fraction, std: Fraction) -> Fraction:
        """Exponent of the learning rate: update entries are amplitude times both factors of the gradient."""
        k, (out, inn) = self.optimizer, net.fans(name)
        rate = amp + (1 - k.degree_back) * back + (1 - k.degree_forward) * forward - k.offset(out, inn)
        zero = self.architecture.weights[name].init == "zero"
        return rate - std if k.relative and not zero else rate

    def _reason(self, net: Net, name: str, std: Fraction, rate: Fraction, back: Fraction, forward: Fraction) -> str:
        """One line of mathematics for the initialisation and one for the rate."""
        weight = self.architecture.weights[name]
        grows = net.mask(weight.out) | (net.mask(weight.index))
        out, inn = net.fans(name)
        show = lambda p: str(self.power(p)) if p else "1"  # noqa: E731
        lines = []
        if weight.init == "gaussian" and grows:
            lines.append(f"W0 x0 = std sqrt({show(inn)}) |x| with |x| = {show(forward)} is Theta(1), so std = {show(std)}")
        elif weight.init == "gaussian":
            lines.append(f"its output has no growing axis: std = {show(std)} is the largest that keeps W0 dx bounded")
        if weight.trained:
            k = self.optimizer
            factors = [f"|g|^{k.degree_back} = {show(k.degree_back * back)}"] if k.degree_back else []
            size = (1 + k.degree_forward) * forward
            factors += [f"|x|^{1 + k.degree_forward} = {show(size)}"] if size else []
            factors += [f"fan-in {show(inn)} (aligned)"] if inn else []
            shape = k.offset(out, inn)
            factors += [f"shape factor {show(shape)}"] if shape else []
            factors += [f"|W| = {show(std)}"] if k.relative and std else []
            lines.append(f"dW x0 = rate{''.join(' * ' + f for f in factors)} changes the output by Theta(1), so rate = {show(rate)}")
        return "; ".join(lines)


def _join(first: ExponentTable, second: ExponentTable) -> ExponentTable:
    """Two tables, each of one axis alone, as one; it has rows only if both have."""
    rows, operations = [], []
    if first.rows and second.rows:
        for a, b in zip(first.rows, second.rows, strict=True):
            columns = {c: getattr(a, c) * getattr(b, c) for c in COLUMNS}
            rows.append(replace(a, **columns, reason=a.reason + " | " + b.reason))
        for a, b in zip(first.operations, second.operations, strict=True):
            operations.append(replace(a, multiplier=a.multiplier * b.multiplier))
    verdicts = ("infeasible", "not decided", "family", "unique")
    return replace(
        first, rows=tuple(rows), operations=tuple(operations), verdict=min(first.verdict, second.verdict, key=verdicts.index),
        free=first.free + second.free, clash=first.clash + second.clash,
        notes=first.notes + second.notes, nearest=None, certificates=first.certificates + second.certificates,
    )  # fmt: skip
