"""One derivation in one regime: solve the desiderata, check what was found, read off rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from .alignment import Triple, symbols
from .amplitudes import starting_point
from .architecture import Architecture
from .chaining import find_chain
from .decay import SteadyWeight
from .decay_desiderata import Decayed, decide_decay, faster, is_of_decay
from .merging import TooManyPieces
from .optimizers import Optimizer
from .propagate import GradientPieces, Net, Pruning
from .scales import Powers, Regime
from .solve import Solution, Solver
from .table import ExponentTable, Operation, Row, Shape

FOUND = ("unique", "family")  # verdicts with a table
SMALLER = "the initial output of `{}` is as large as stability allows: at Theta(1) what comes back through it would grow"
GROWING = "gradients grow after the first step, and no table was found for updates that normalise them"
BY_AXES = "too many pieces to follow every random factor: they are told apart by the axes that they vary over"
Sizes = dict[str, tuple[Fraction, Fraction]]


def gradient_sizes(net: Net, pieces: GradientPieces) -> Sizes:
    """Exponents of the backward and the forward factor of every weight's gradient."""
    unit = net.space.unit
    return {name: (Fraction(g.size, unit), Fraction(x.size, unit)) for name, (g, x) in pieces.items()}


@dataclass(frozen=True)
class Solved:
    """A solution, the order at which it was found, and sizes of gradients: those that its amplitudes belong to (the first, where
    growth is followed), and late ones.
    """

    net: Net
    solution: Solution
    sizes: Sizes
    late: Sizes
    order: int = 0

    @property
    def found(self) -> bool:
        return self.solution.verdict in FOUND


@dataclass(frozen=True)
class Case:
    """One derivation in one regime."""

    architecture: Architecture
    optimizer: Optimizer
    names: tuple[str, ...]
    regime: Regime
    key: str
    alignment: Mapping[str, Triple] | None
    grown: tuple[str, ...] = ()  # axes that grow, here or in another part of the same derivation
    small: tuple[str, ...] = ()  # weights whose initial output may be smaller than Theta(1)
    quick: bool = False  # see `Solver.quick`

    def net(self, degrees: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))) -> Net:
        atomic = "scale-stable" in self.names
        return Net(self.architecture, self.regime, self.alignment, degrees, atomic=atomic, small=self.small)

    def waists(self, solved: Solved) -> list[tuple[str, ...]]:
        """Sets of weights whose initial output may have to be smaller, few first.

        They are in the clash and make fewer numbers than they read: what comes back through them is a sum over few.
        """
        net = self.net()
        inits = [label.split()[1] for label in solved.solution.clash if label.startswith("init ")]
        weights = dict.fromkeys(self.architecture.node(node).weight for node in inits)
        narrow = [w for w in weights if net.fans(w)[0] < net.fans(w)[1]]
        if "maximal-update" not in self.names or solved.found:
            return []
        return [*((w,) for w in narrow), *([tuple(narrow)] if len(narrow) > 1 else [])]

    def solve(self, given: Mapping[str, Powers], pruning: Pruning) -> Solved:
        """Solve; where there are too many pieces, with random factors told apart by their axes alone, which a note then says."""
        reason = ""
        for tried in (pruning, replace(pruning, factors=0)):
            try:
                solved = self._lasting(given, tried)
            except TooManyPieces as error:
                reason = str(error)
                continue
            found = solved.solution
            return solved if tried is pruning else replace(solved, solution=replace(found, notes=(*found.notes, BY_AXES)))
        net = self.net()
        return Solved(net, Solution(dict.fromkeys(net.space.unknowns, Fraction(0)), "not decided", clash=(reason,)), {}, {})

    def _lasting(self, given: Mapping[str, Powers], pruning: Pruning) -> Solved:
        """Solve as if gradients kept their size; where that gives nothing that lasts, follow how updates that normalise them answer.

        Behind a finite waist a gradient starts small and grows: an update in proportion to it takes log n steps, a normalised
        one does not.
        """
        degrees = self.optimizer.degree_back, self.optimizer.degree_forward
        plain = self._solve(self.net(), given, pruning)
        if degrees == (1, 1) or self.alignment is not None or (plain.found and self._lasts(plain, pruning)):
            return plain
        if degrees == (0, 0) and not self.quick:  # growth has a form for whole degrees; to follow it takes longest
            followed = self._solve(self.net(degrees), given, pruning)
            if followed.found:
                return followed
        if not plain.found:
            return plain
        return replace(plain, solution=replace(plain.solution, verdict="not decided", free=(), certificate=None, clash=(GROWING,)))

    def _lasts(self, solved: Solved, pruning: Pruning) -> bool:
        """Whether the relations hold as well where each step's update is normalised by its own gradient."""
        undecayed = replace(self, names=tuple(name for name in self.names if not is_of_decay(name)))
        table = undecayed.table(solved, "", {})
        net, point = starting_point(self.architecture, table, self.regime, self.optimizer)
        return Solver(net, self.names, {}, replace(pruning, order=max(pruning.order, solved.order - 1))).lasts(point)

    def _solve(self, net: Net, given: Mapping[str, Powers], pruning: Pruning) -> Solved:
        """Solve with what is given; a given rate fixes an amplitude once the size of the gradient is known, so it is repeated."""
        fixed = {name: powers.at(self.regime) for name, powers in given.items() if name in net.space.index}
        rates = {name[5:]: powers.at(self.regime) for name, powers in given.items() if name.startswith("rate:")}
        if "kernel" in self.names:
            pruning = replace(pruning, trace=True)
        sizes: Sizes = {}
        for _ in range(8):
            amplitudes = {f"amp:{name}": self._amplitude(net, name, rate, sizes) for name, rate in rates.items() if sizes}
            solver = Solver(net, self.names, fixed | amplitudes, pruning)
            solver.quick = self.quick
            solution = solver.solve()
            # of the order at which it was solved: what is attained has gradients of fewer updates than that
            report = solver.evaluate(solution.point, solver.pruning)[0]
            late = gradient_sizes(net, report.latest)
            found = gradient_sizes(net, report.firsts) if net.normalises else late
            if not rates or found == sizes:
                break
            sizes = found
        if solution.verdict in FOUND:
            chain = find_chain(solver, solution.point, self.key, self.power(Fraction(1))[self.key])
            solution = replace(solution, certificate=chain)
        return Solved(net, solution, found, late, solver.pruning.order)

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
            return self.table(Solved(self.net(), Solution(dict(point), "unique"), sizes, sizes), table.desiderata, given)

        note = "above are the rows of full alignment (1, 1/2, 1); below, those with symbols between 1/2 and 1"
        return replace(table, notes=(*table.notes, note), cases=find_cases(symbols(self.alignment), solve, write))

    def _amplitude(self, net: Net, name: str, rate: Fraction, sizes: Sizes) -> Fraction:
        """The inverse of `rate`."""
        back, forward = sizes.get(name, (Fraction(0), Fraction(0)))
        return rate - self.rate(net, name, Fraction(0), back, forward, Fraction(0))

    def power(self, exponent: Fraction) -> Powers:
        return Powers({self.key: exponent if self.key == "scale" else exponent / self.regime[self.key]})

    def table(self, solved: Solved, desiderata: str, given: Mapping[str, Powers]) -> ExponentTable:
        """The table of a solution; it has no rows where nothing was found."""
        solution = solved.solution
        decayed = {name: self._decayed(solved, name) for name in solved.net.names if self.architecture.weights[name].trained}
        clash = next((tuple(f"{name}: {text}" for text in own.clash) for name, own in decayed.items() if own.clash), ())
        if clash and solution.verdict in FOUND:
            solution = replace(solution, verdict="infeasible", free=(), certificate=None, clash=clash)
        rows = tuple(self._row(solved, name, decayed.get(name)) for name in solved.net.names)
        operations = tuple(
            Operation(n.name, n.kind or "multiplier", *self._operation(solution, n.name, given)) for n in self.architecture.operations
        )
        table = ExponentTable(
            self.architecture.name, self.optimizer.name, rows, operations, desiderata=desiderata, verdict=solution.verdict,
            free=tuple(f"{name} [{self.key}]" for name in solution.free), clash=solution.clash,
            notes=(*solution.notes, *(SMALLER.format(name) for name in self.small), *faster(decayed.values())),
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

    def _row(self, solved: Solved, name: str, decayed: Decayed | None) -> Row:
        net, solution = solved.net, solved.solution
        weight, architecture = self.architecture.weights[name], self.architecture
        shape = Shape(*(architecture.monomial(dims) for dims in (weight.out, weight.inn, weight.index)))
        late = solved.late.get(name, (Fraction(0), Fraction(0)))
        std = solution.point.get(f"std:{name}", Fraction(0))
        if decayed is None:
            return Row(name, shape, init_std=self.power(std), zero_init=weight.init == "zero", trained=False, reason="frozen")
        added = [d.exponent(*late, *net.fans(name)) for d in self.optimizer.damping if "faithful" in self.names]
        eps, damping, *_ = (*added, Fraction(0), Fraction(0))
        reasons = self._reason(net, name, std, self._rate(solved, name), *late), decayed.reason
        return Row(
            name, shape, init_std=self.power(std), learning_rate=decayed.rate, epsilon=self.power(eps),
            weight_decay=decayed.decay or Powers(), damping=self.power(damping), zero_init=weight.init == "zero",
            shared_init=bool(weight.shared), decayed=decayed.decay is not None, reason="; ".join(filter(None, reasons)),
        )  # fmt: skip

    def _rate(self, solved: Solved, name: str) -> Fraction:
        """Exponent of the learning rate at which the weight's update has the amplitude that was found."""
        back, forward = solved.sizes.get(name, (Fraction(0), Fraction(0)))
        point = solved.solution.point
        std = point.get(f"std:{name}", Fraction(0))
        return self.rate(solved.net, name, point.get(f"amp:{name}", Fraction(0)), back, forward, std)

    def _decayed(self, solved: Solved, name: str) -> Decayed:
        """How a weight decays, and its rate where that is decided with it."""
        weight, (back, forward) = self.architecture.weights[name], solved.late.get(name, (Fraction(0), Fraction(0)))
        out, inn = (self.power(fan) for fan in solved.net.fans(name))
        gradient = self.power(self.optimizer.degree_back * back + self.optimizer.degree_forward * forward)
        steady = SteadyWeight.of(self.optimizer, out, inn, maximal=self.power(self._rate(solved, name)), gradient=gradient)
        grows = [set(self.architecture.monomial(dims)) & set(self.grown) for dims in (weight.out, weight.inn)]
        return decide_decay(self.optimizer, self.names, steady, matrix=all(grows))

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
