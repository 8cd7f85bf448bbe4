"""Weights applied to tensors: initial values and updates, to what was there at initialisation and to changes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import inf

from .alignment import Exponent
from .architecture import Node
from .merging import Merging
from .observables import Observable
from .propagate import Net, Noted, Pruning, Site, Update
from .space import Term
from .words import NOTHING, Algebra, Gauss, Piece, agree


class Weights:
    """The weights of a network in one evaluation, and the atomic terms that applying them makes.

    ``terms``: sizes of every term since `start`; ``incoherent``: of its first change as if not aligned with the weight.
    """

    def __init__(self, net: Net, pruning: Pruning, algebra: Algebra, merging: Merging):
        self.net, self.pruning, self.space, self.algebra, self.merging = net, pruning, net.space, algebra, merging
        self.gauss = [self._gauss(i, name) for i, name in enumerate(net.names)]
        self.start(pruning.order)

    def start(self, order: int) -> None:
        """Forget terms; from now on products of more updates than ``order`` are dropped."""
        self.order = order
        self.terms: dict[Observable, list[Noted]] = {}
        self._incoherent: dict[Observable, tuple[int, int]] = {}
        self.made: dict[Observable, list[Piece]] = {}  # by terms of weights whose index is summed next

    @property
    def incoherent(self) -> dict[Observable, int]:
        return {o: size for o, (_, size) in self._incoherent.items()}

    def _gauss(self, ident: int, name: str) -> Gauss:
        w = self.net.architecture.weights[name]
        std = self.space.letter(f"std:{name}") if w.init == "gaussian" else None
        index = [d for d in w.index if d not in w.shared]  # along the others it is the same letter
        return Gauss(ident, self.net.mask(w.out), self.net.mask(w.inn), self.net.mask(index), std)

    def _index(self, site: Site) -> int:
        return self.net.mask(self.net.architecture.weights[site.node.weight].index)

    def _via(self, site: Site) -> int:
        """Which update made a piece: told apart for weights with an index, which are judged at the sum over it."""
        return 2 + site.weight if self._index(site) or self.pruning.trace else 1

    def _initial(self, weight: Gauss, flipped: bool, p: Piece, over: int) -> list[Piece]:
        """``W0 p``; of initial values that are the same along an index the sum over it comes first."""
        own = over & (weight.out | weight.inn | weight.index)
        return list(self.algebra.apply(weight, flipped, self.algebra.sum(p, over & ~own), own))

    def _keep(self, node: Node, kind: str, backward: bool, pieces: list[Piece]) -> None:
        if not backward and node.name in self.net.summed:
            self.made.setdefault(Observable(node.name, kind, summed=True), []).extend(pieces)

    def apply(self, site: Site, pieces: list[Piece], updates: list[Update], *, backward: bool) -> list[Piece]:
        """A weight applied: its initial value and its update, each to what was there at initialisation and to the change."""
        node, weight = site.node, self.gauss[site.weight]
        flipped = node.transposed != backward
        source = self.net.sites[site.args[0]].dims
        over = (weight.out if flipped else weight.inn) & (site.dims if backward else source)
        layers = 0
        if backward:  # an input that all of an index read has the sum of their gradients
            index = self._index(site) & site.dims & ~source
            layers = index & self.net.mask((node.stack,))
            over |= index & ~layers
        if self.net.alignment is not None:
            return self._aligned(site, pieces, updates, over | layers, backward=backward)
        out: list[Piece] = []
        constant = weight.std is None and self.net.architecture.weights[node.weight].init == "ones"
        for p in pieces:
            made = [p] if constant else self._initial(weight, flipped, p, over)
            out += self._noted(node, "W0 dx" if p.via else "W0 x0", made, layers, backward=backward)
            if p.via and made:
                self._note_incoherent(node, "W0 dx", backward, made[0].size, p.order)
        return out + self._updated(site, pieces, updates, over, layers, flipped=flipped, backward=backward)

    def _note(self, node: Node, kind: str, backward: bool, *, summed: bool = False) -> list[Noted]:
        return self.terms.setdefault(Observable(node.name, kind, backward, summed), [])

    def _noted(self, node: Node, kind: str, made: list[Piece], layers: int, *, backward: bool) -> list[Piece]:
        """What a term consists of, noted in a layer and as the sum over all layers of a stack, which the gradient of the stream is."""
        self._note(node, kind, backward).extend((q.size, q.form, q.order) for q in made)
        self._keep(node, kind, backward, made)
        if layers:
            made = [self.algebra.sum(q, layers) for q in made]
            self._note(node, kind, backward, summed=True).extend((q.size, q.form, q.order) for q in made)
        return made

    def _note_incoherent(self, node: Node, kind: str, backward: bool, size: int, order: int) -> None:
        """Note the size that the first change of a term has before it aligns with the weight (central limit)."""
        key = Observable(node.name, kind, backward)
        lowest, largest = self._incoherent.get(key, (order, size))
        if order <= lowest:
            self._incoherent[key] = order, max(size, largest) if order == lowest else size

    def _updated(
        self, site: Site, pieces: list[Piece], updates: list[Update], over: int, layers: int, *, flipped: bool, backward: bool
    ) -> list[Piece]:
        out: list[Piece] = []
        room, via = 2 * self.space.half(over | layers | site.shared)[0], self._via(site)
        limit, inner, slack = self.order, self.algebra.inner, self.merging.slack
        floors: list[float] = [-inf, -inf]  # of what was there at initialisation, and of changes
        sides = [(u, *((u.right, u.left) if flipped else (u.left, u.right))) for u in updates]
        for p in sorted(pieces, key=lambda p: -p.size):
            kind, size_p, order_p = p.via > 0, p.size, p.order
            for u, left, right in sides:
                if u.reach + size_p + room < floors[kind]:
                    break
                total = u.order + order_p
                if total > limit:
                    continue
                rest_size, rest_form = u.size - right.size, u.form - right.form
                made = [
                    Piece(rest_size + size, rest_form + form, left.word, left.base, signs ^ left.signs, total, via)
                    for size, form, signs in inner(right, p, over)
                ]
                if site.shared:
                    made += [
                        Piece(r.size, r.form, r.word, r.base, r.signs, total, via) for r in self._across(site, u, left, right, p, over)
                    ]
                for q in self._noted(site.node, "dW dx" if kind else "dW x0", made, layers, backward=backward):
                    out.append(q)
                    floors[kind] = max(floors[kind], q.size - slack)
                if kind:
                    self._note_incoherent(site.node, "dW dx", backward, u.size + size_p + self.space.half(over | site.shared)[0], total)
        return out

    def _across(self, site: Site, u: Update, left: Piece, right: Piece, p: Piece, over: int) -> Iterator[Piece]:
        """An update is a sum over shared dimensions: what the places other than its own add to each of them."""
        if not over and not left.random & ~site.shared:  # a matrix of fixed size
            size, form = self.net.repeated(site, left, right)
            yield p.times((u.size + size, u.form + form))
            return
        rest = Piece(u.size - right.size, u.form - right.form, left.word, left.base, left.signs)
        if not right.random & site.shared:  # every place adds its left factor times the same inner product
            for size, form, signs in self.algebra.inner(right, p, over):
                summed = self.algebra.sum(rest.times((size, form)), site.shared)
                yield Piece(summed.size, summed.form, summed.word, summed.base, summed.signs ^ signs)
            return
        half = self.space.half(site.shared)
        if agree(left, right, site.shared):
            q, r = (self.algebra.averaged(x, site.shared) for x in (rest, right))
            for size, form, signs in self.algebra.inner(r, p, over):
                yield Piece(q.size + size + 2 * half[0], q.form + form + 2 * half[1], q.word, q.base, q.signs ^ signs)
            return
        thing = frozenset((("left", left.word), ("right", right.word, right.base), ("at", p.word, p.base)))
        signs = frozenset((name, more & ~site.shared) for name, more in left.signs if more & ~site.shared)
        word = self.algebra.absorb(left.word, site.shared & left.word.free)
        for size, form, axes in self.algebra.apart(right, p, over, site.shared):
            own = signs ^ ({(self.algebra.name(thing), axes)} if axes else NOTHING)
            yield Piece(rest.size + size + half[0], rest.form + form + half[1], word, left.base, own)

    def _aligned(self, site: Site, pieces: list[Piece], updates: list[Update], over: int, *, backward: bool) -> list[Piece]:
        """Alignment exponents given: ``dW x0``, ``W0 dx`` and ``dW dx`` sum over the fan-in with them (Everett et al.)."""
        node, std = site.node, self.gauss[site.weight].std
        assert self.net.alignment is not None
        alpha, omega, u = self.net.alignment.get(node.weight, self.net.alignment[""])
        out: list[Piece] = []
        for p in pieces:
            if std is not None:
                factor = self._power(over, Fraction(1, 2) if backward or not p.via else omega)
                q = p.times((std[0] + factor[0], std[1] + factor[1]))
                out.append(q)
                self._note(node, "W0 dx" if p.via else "W0 x0", backward).append((q.size, q.form, q.order))
            for up in updates:
                if (total := up.order + p.order) > self.order:
                    continue
                factor = self._power(over, u if p.via else alpha)
                size, form = up.size + p.size + factor[0], up.form + p.form + factor[1]
                out.append(Piece(size, form, self.algebra.empty, p.base, NOTHING, total, self._via(site)))
                self._note(node, "dW dx" if p.via else "dW x0", backward).append((size, form, total))
        return out

    def _power(self, axes: int, exponent: Exponent) -> Term:
        if isinstance(exponent, str):
            size, form = self.space.letter(f"align:{exponent}")
            times = sum((p for i, p in enumerate(self.space.powers) if axes >> i & 1), Fraction(0))
            if times.denominator != 1:
                raise ValueError(f"a fan-in that grows as scale^{times}: the alignment `{exponent}` can be open where powers are whole")
            return int(times) * size, int(times) * form
        half = self.space.half(axes)
        value = Fraction(half[0]) * 2 * exponent, Fraction(half[1]) * 2 * exponent
        return int(value[0]), int(value[1])
