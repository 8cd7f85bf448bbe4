"""An architecture compiled for one regime, and what its propagation through the word calculus is asked for and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm

from .alignment import Triple, symbols
from .architecture import Architecture, Node
from .observables import Observable
from .scales import Regime
from .space import Space, Term
from .words import Piece, agree

Noted = tuple[int, int, int]  # (size, form, order)
GradientPieces = dict[str, tuple[Piece, Piece]]
Growth = dict[tuple[int, str], int]  # by how much (a form) the update of a step and weight is smaller than its gradient


@dataclass(frozen=True)
class Pruning:
    """What is dropped while pieces are propagated.

    Args:
        order: updates that may be multiplied.
        slack: pieces that, with all that their word can gain by cancelling, stay smaller than their tensor's largest by
            more than this exponent are dropped.
        merge: letters (from the head) in which two pieces must agree for one to cover the other (see `theory.merging`); None
            compares whole words.
        factors: what has more random factors than this is covered by what varies over the same axes; what has fewer, only by
            what has some of the same factors; None: no axes are compared.
        cap: pieces kept per tensor; None keeps all.
        ties: of pieces that multiply fewer updates than this, keep those of equal size whose forms differ (for certificates).
        follow: let updates that outgrow the initial input of a norm count in what it divides by.
        pattern: let inner products of two activations (attention patterns) align as they change. Without, what changes through
            them counts as if it had random signs: the constants of the aligned part are small, so it wins late.
        loss: with ``response``, let the loss derivative change.
        response: follow what changes to second order as well: entrywise functions, their derivatives, and the loss
            derivative. It never exceeds what is there already, so tables do not need it; the sizes of single terms do.
        trace: tell pieces apart by the update that made them last.
        steps: gradients computed (training steps); None: one more than the order, where nothing changes any more.
    """

    order: int = 2
    slack: Fraction = Fraction(0)
    merge: int | None = 1
    factors: int | None = 2
    cap: int | None = None
    ties: int = 0
    steps: int | None = None
    follow: bool = True
    trace: bool = False
    response: bool = False
    pattern: bool = True
    loss: bool = True


@dataclass(frozen=True)
class Site:
    """A node compiled for one regime: dimensions as bit masks over those that grow.

    ``shared``: dimensions that a weight has not and along which it is applied, so that its gradient is a sum over them;
    ``judged``: whether it has to stay O(1) itself; of a sum that is divided next (a mean) only the quotient has to.
    """

    node: Node
    args: tuple[int, ...]
    dims: int
    over: int = 0
    weight: int = -1
    shared: int = 0
    judged: bool = True


@dataclass
class Update:
    """One rank-one piece of a weight's update: ``left`` (backward factor) times ``right`` (forward factor)."""

    left: Piece
    right: Piece
    size: int
    form: int

    def __post_init__(self) -> None:
        self.order = 1 + self.left.order + self.right.order
        self.reach = self.size + self.left.word.gain + self.right.word.gain  # with all that cancelling letters can add


@dataclass
class Report:
    """What one propagation found: pieces of every tensor, sizes of every atomic term, what was dropped.

    ``incoherent``: the size of a term's first change (fewest updates multiplied) as if it were not aligned with the weight;
    ``firsts``: the largest backward and forward piece of every weight's first gradient; ``latest``: of the last that was
    computed; ``growth``: of normalised ones in between.
    """

    acts: list[list[Piece]]
    grads: list[list[Piece]]
    terms: dict[Observable, list[Noted]]
    incoherent: dict[Observable, int]
    dropped: int = 0
    capped: int = 0
    firsts: GradientPieces = field(default_factory=dict)
    latest: GradientPieces = field(default_factory=dict)
    growth: Growth = field(default_factory=dict)
    outgrown: bool = False  # some norm's input became larger than at initialisation, and that was not followed


class Net:
    """An architecture compiled for one regime; `propagate` evaluates its pieces at a point of the unknown exponents.

    The unknowns are ``std:W`` and ``amp:W`` (amplitude: the update's entries are ``scale^amp * backward * forward``) for
    every weight, ``mult:node`` for multipliers that are to be derived, ``norm:node`` for what a normalisation divides by,
    ``align:symbol`` for alignment exponents that were left open and, if ``atomic``, ``back:node`` for the size of the gradient of what
    weights act on. The amplitude is that of the first gradient; where
    ``degrees`` (of the update in both factors of the gradient) are below one, it falls as the gradient grows: as much as it
    does at the point, or by ``growth`` where that is given.
    """

    def __init__(
        self,
        architecture: Architecture,
        regime: Regime,
        alignment: Mapping[str, Triple] | None = None,
        degrees: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1)),
        *,
        atomic: bool = False,
        small: Sequence[str] = (),
    ):
        regime.check([a.name for a in architecture.axes], architecture.name)
        self.architecture, self.regime, self.alignment, self.degrees = architecture, regime, alignment, degrees
        self.atomic, self.small = atomic, tuple(small)
        self.growth: Growth | None = None
        self.growing = [d.name for d in architecture.dims.values() if d.powers.at(regime)]
        powers = [architecture.dims[d].powers.at(regime) for d in self.growing]
        for name, power in zip(self.growing, powers, strict=True):
            if power < 0:
                raise ValueError(f"dimension `{name}` of `{architecture.name}` shrinks as scale^{power} in this regime")
        for node in architecture.inputs:
            if node.kind == "token" and (grown := [d for d in node.dims if d in self.growing]):
                raise ValueError(
                    f"the tokens of `{architecture.name}` are looked up in a table whose size (`{grown[-1]}`) grows: how its rows must "
                    "scale depends on how often each token occurs, which the calculus does not know; fix the vocabulary"
                )
        self._check_masks()
        self.bit = {d: 1 << i for i, d in enumerate(self.growing)}
        self.names = list(architecture.weights)
        self.position = {node.name: i for i, node in enumerate(architecture.nodes)}
        self.sites = [self._compile(node) for node in architecture.nodes]
        self.summed = {n.name for n in architecture.nodes if n.op == "dense" and architecture.summed_at(n.name)}
        fixed = [n.power.at(regime) for n in architecture.operations if n.power is not None]
        given = [e for triple in (alignment or {}).values() for e in triple if isinstance(e, Fraction)]
        self.space = Space(powers, self._unknowns(), _denominator([*fixed, *given]))
        self.initial_norms: dict[str, Fraction] = {}

    def _check_masks(self) -> None:
        for node in (n for n in self.architecture.nodes if n.op == "top"):
            kept, every = (self.architecture.monomial(dims).at(self.regime) for dims in (node.over[-1:], node.over[:-1]))
            if kept != every:
                raise ValueError(
                    f"`{node.name}` of `{self.architecture.name}` keeps scale^{kept} of scale^{every} entries in this regime: the calculus "
                    "knows masks that keep a fixed share; let `active` be a share, or keep the number of experts fixed"
                )

    @property
    def normalises(self) -> bool:
        """Whether updates depend less than in proportion on the gradient, so that these are followed as they grow."""
        return self.degrees != (1, 1)

    @property
    def unseen(self) -> set[str]:
        """Tensors that are only summed over an index later: of these the sum alone has a size that matters."""
        return {name for node in self.summed for name in (node, *(n.name for n in self.architecture.summed_at(node)[:-1]))}

    def mask(self, dims: Sequence[str]) -> int:
        return sum(self.bit[d] for d in dict.fromkeys(dims) if d in self.bit)

    def _compile(self, node: Node) -> Site:
        if node.op == "rename" and node.over[0] in self.bit:
            raise ValueError(f"`{node.name}` renames the growing dimension `{node.over[0]}`; the calculus cannot follow that")
        over = self.mask(node.over if node.op in ("product", "sum", "dense", "collect", "softmax") else ())
        weight = self.names.index(node.weight) if node.weight else -1
        shared = 0
        if weight >= 0:
            w = self.architecture.weights[node.weight]
            both = self.mask(node.dims) & self.mask(self.architecture.node(node.args[0]).dims)
            shared = both & ~self.mask((*w.out, *w.inn, *w.index))
        judged = node.op not in ("sum", "product") or not over or not self._only_scaled(node)
        return Site(node, tuple(self.position[a] for a in node.args), self.mask(node.dims), over, weight, shared, judged)

    def _only_scaled(self, node: Node) -> bool:
        """Whether all that reads a node multiplies it by a given power."""
        readers = [n for n in self.architecture.nodes if node.name in n.args]
        return bool(readers) and all(n.op == "scale" and n.power is not None for n in readers)

    def _unknowns(self) -> list[str]:
        weights = self.architecture.weights.values()
        stds = [f"std:{w.name}" for w in weights if w.init == "gaussian"]
        amps = [f"amp:{w.name}" for w in weights if w.trained]
        mults = [f"mult:{n.name}" for n in self.architecture.operations if n.power is None]
        norms = [f"norm:{n.name}" for n in self.architecture.nodes if n.op == "norm"]
        inner = (n for n in self.architecture.nodes if n.op == "dense" and self.architecture.node(n.args[0]).op not in ("input", "one"))
        backs = [f"back:{name}" for name in dict.fromkeys(n.args[0] for n in inner)] if self.atomic else []
        return stds + amps + mults + norms + backs + [f"align:{name}" for name in symbols(self.alignment)]

    def repeated(self, site: Site, g: Piece, x: Piece) -> Term:
        """What the sum over shared dimensions adds to the size of an entry of the gradient ``g x``."""
        random = 0 if agree(g, x, site.shared) else g.random | x.random
        half, full = self.space.half(site.shared & random), self.space.half(site.shared & ~random)
        return half[0] + 2 * full[0], half[1] + 2 * full[1]

    def gradients(self, acts: Sequence[Sequence[Piece]], grads: Sequence[Sequence[Piece]]) -> GradientPieces:
        """The largest backward and forward factor of every weight's gradient (of the use with the largest product).

        Along dimensions that the weight has not a gradient is a sum; what that adds is put to the backward factor.
        """
        found: GradientPieces = {}
        size = lambda p: (p.size, -p.order)  # noqa: E731
        for at, site in enumerate(self.sites):
            back, forward = grads[at], acts[site.args[0]] if site.weight >= 0 else []
            if back and forward:
                if site.shared:
                    pairs = ((g.times(self.repeated(site, g, x)), x) for g in back for x in forward)
                    pair = max(pairs, key=lambda pair: (pair[0].size + pair[1].size, -pair[0].order - pair[1].order))
                else:
                    pair = max(back, key=size), max(forward, key=size)
                name = self.names[site.weight]
                if name not in found or sum(p.size for p in pair) > sum(p.size for p in found[name]):
                    found[name] = pair
        return found

    def widens(self, site: Site) -> bool:
        """Whether the side of its weight that a dense node makes grows (or an index of it)."""
        weight = self.architecture.weights[site.node.weight]
        return bool(self.mask((*(weight.inn if site.node.transposed else weight.out), *weight.index)))

    def summed_at(self, site: Site) -> tuple[Site, ...]:
        """`Architecture.summed_at` of a dense node."""
        return tuple(self.sites[self.position[node.name]] for node in self.architecture.summed_at(site.node.name))

    def fans(self, weight: str) -> tuple[Fraction, Fraction]:
        """Exponents of fan-out and fan-in."""
        w, dims = self.architecture.weights[weight], self.architecture.dims
        out, inn = (sum((dims[d].powers.at(self.regime) for d in side), Fraction(0)) for side in (w.out, w.inn))
        return out, inn

    def propagate(self, point: Mapping[str, Fraction], pruning: Pruning, *, backward: bool = True) -> Report:
        """Evaluate everything at ``point``; what normalisations divide by is found on the way and written to it.

        ``backward=False`` leaves out the gradients after the last step, which no forward term needs. A norm's input is taken
        at its initial size first; where updates outgrow that, and the pruning says so, again.
        """
        from .passes import Run

        point = self._norms(point, replace(pruning, order=0, steps=0))
        self.initial_norms = {name: value for name, value in point.items() if name.startswith("norm:")}
        for _ in range(8):
            self.space.move(point)
            run = Run(self, pruning)
            report = run.run(backward=backward)
            moved = {k: v for k, v in run.found.items() if point.get(k) != v}
            report.outgrown = bool(moved)
            if not moved or not pruning.follow:
                break
            point.update(moved)
        return report

    def _norms(self, point: Mapping[str, Fraction], pruning: Pruning) -> dict[str, Fraction]:
        """Sizes of the inputs of all norms at initialisation, one after the other."""
        from .passes import Run

        point = dict(point)
        for node in (n for n in self.architecture.nodes if n.op == "norm"):
            point.setdefault(f"norm:{node.name}", Fraction(0))
        while True:
            self.space.move(point)
            self.initial_norms = {name: value for name, value in point.items() if name.startswith("norm:")}
            run = Run(self, pruning)
            run.run(backward=False)
            moved = {k: v for k, v in run.found.items() if point.get(k) != v}
            if not moved:
                return point
            point.update([next(iter(moved.items()))])


def _denominator(values: Sequence[Fraction]) -> int:
    return lcm(1, *(v.denominator for v in values))
