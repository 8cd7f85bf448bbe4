"""Forward and backward passes of the word calculus: tensors become pieces, updates atomic terms."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import inf

from .alignment import Exponent
from .architecture import Node
from .merging import Merging
from .observables import Observable
from .propagate import GradientPieces, Growth, Net, Noted, Pruning, Report, Site, Term, Update
from .words import NOTHING, Algebra, Gauss, Piece, agree

OFFSET = frozenset({"softplus", "sigmoid", "softmax"})  # functions that are not zero at zero
RECTIFIED = frozenset({"relu", "gelu", "silu"})  # zero at zero, with a mean over a symmetric argument of its size
BASES = {"1": 0, "chi": 1}


class Run:
    """One evaluation: forward and backward, updates rebuilt from the last gradient, as often as the order asks."""

    def __init__(self, net: Net, pruning: Pruning):
        self.net, self.pruning, self.space = net, pruning, net.space
        self.algebra = Algebra(net.space)
        self.merging = Merging(pruning, int(pruning.slack * net.space.unit))
        self.found: dict[str, Fraction] = {}
        self.bases = dict(BASES)
        self.weights = [self._gauss(i, name) for i, name in enumerate(net.names)]
        self.firsts: GradientPieces = {}
        self.latest: GradientPieces = {}
        self.grown: Growth = {}
        self.normalised = net.degrees != (1, 1)

    def _gauss(self, ident: int, name: str) -> Gauss:
        w = self.net.architecture.weights[name]
        std = self.space.letter(f"std:{name}") if w.init == "gaussian" else None
        return Gauss(ident, self.net.mask(w.out), self.net.mask(w.inn), self.net.mask(w.index), std)

    def _via(self, weight: int) -> int:
        """Which update made a piece: told apart for weights with an index, which are judged at the sum over it."""
        return 2 + weight if self.weights[weight].index or self.pruning.trace else 1

    def piece(self, base: str) -> Piece:
        return Piece(0, 0, self.algebra.empty, self.bases.setdefault(base, len(self.bases)))

    def run(self, *, backward: bool = True) -> Report:
        """All steps: forward, backward, and the updates of the next step."""
        updates: list[list[Update]] = [[] for _ in self.weights]
        order = self.pruning.order
        steps = order + 1 if self.pruning.steps is None else self.pruning.steps + 1
        for step in range(steps):
            # every later step multiplies one more update; what each normalises needs all of them
            self.order = order if self.normalised else max(0, order - (steps - 1 - step))
            self.terms: dict[Observable, list[Noted]] = {}
            self.incoherent: dict[Observable, tuple[int, int]] = {}
            self.found = {}
            acts = self._forward(updates)
            grads = self._backward(acts, updates) if backward or step < steps - 1 else [[] for _ in acts]
            if not step and self.pruning.response:
                self.merging.keep_apart(p for pieces in acts + grads for p in pieces)
            largest = self.net.gradients(acts, grads)
            self.firsts, self.latest = largest | self.firsts, largest or self.latest
            if step < steps - 1:
                updates = [self._update(i, step, acts, grads, before, largest) for i, before in enumerate(updates)]
        incoherent = {o: size for o, (_, size) in self.incoherent.items()}
        return Report(acts, grads, self.terms, incoherent, self.merging.dropped, self.merging.capped, self.firsts, self.latest, self.grown)

    # -- forward
    def _forward(self, updates: list[list[Update]]) -> list[list[Piece]]:
        acts: list[list[Piece]] = []
        for site in self.net.sites:
            acts.append(self.merging.pieces(self._tensor(site, [acts[a] for a in site.args], updates)))
            if self.pruning.ties:
                self.merging.bounded.update(p.form for p in acts[-1] if not p.size)
        return acts

    def _tensor(self, site: Site, args: list[list[Piece]], updates: list[list[Update]]) -> list[Piece]:
        node, algebra = site.node, self.algebra
        match node.op:
            case "input":
                return [self.piece(node.name)]
            case "one":
                return [self.piece("1")]
            case "dense":
                return self._dense(site, args[0], updates[site.weight], backward=False)
            case "map" | "softmax":
                kind = node.kind or node.op
                mean = [self.piece("1")] if kind in OFFSET else self._rectified(args[0]) if kind in RECTIFIED else []
                return args[0] + mean + (self._response(args[0]) if self.pruning.response and kind != "identity" else [])
            case "scale":
                factor = self._multiplier(node)
                return [p.times(factor) for p in args[0]]
            case "add":
                return [p for arg in args for p in arg]
            case "norm":
                return self._normalised(node, args[0])
            case "sum":
                return [algebra.sum(p, site.over) for p in args[0]]
            case "product":
                return self._product(args[0], args[1], site.over, self.net.sites[site.args[0]].dims, self.net.sites[site.args[1]].dims)
            case "collect":
                return args[0] + [algebra.sum(p, site.over) for p in args[1]]
            case _:  # carry, rename, rotary: the same entries elsewhere
                return args[0]

    def _rectified(self, pieces: list[Piece]) -> list[Piece]:
        """The mean of a rectified function: a constant vector of the size of its initial argument."""
        before = [p for p in pieces if not p.via]
        if not before:
            return []
        top = max(before, key=lambda p: p.size)
        return [Piece(top.size, top.form, self.algebra.empty, self.bases["1"])]

    def _response(self, pieces: list[Piece]) -> list[Piece]:
        """Second order of an entrywise function: the square of a change has a mean, alone and along what was there before.

        By Taylor, ``phi(h + dh)`` contains terms in ``dh^2`` and in ``h dh^2``.
        """
        changes = [p for p in pieces if p.via and 2 * p.order <= self.order]
        if not changes:
            return []
        d = max(changes, key=lambda p: (p.size, -p.order))
        times = 2 if d.size <= 0 else 1  # functions of large arguments grow at most linearly
        mean = Piece(times * d.size, times * d.form, self.algebra.empty, 0, NOTHING, 2 * d.order, d.via)
        along = [p for p in pieces if not p.via and p.word is not self.algebra.empty]
        return [mean, *(Piece(p.size + mean.size, p.form + mean.form, p.word, p.base, p.signs, 2 * d.order, d.via) for p in along)]

    def _multiplier(self, node: Node) -> Term:
        if node.power is None:
            return self.space.letter(f"mult:{node.name}")
        return self.space.constant(node.power.at(self.net.regime))

    def _normalised(self, node: Node, pieces: list[Piece]) -> list[Piece]:
        name = f"norm:{node.name}"
        if pieces:
            self.found[name] = Fraction(max(p.size for p in pieces), self.space.unit)
        changed = self._response(pieces)[1:] if self.pruning.response else []  # the square of a change rescales what was there
        return [p.divided(self._norm(node, p)) for p in pieces + changed]

    def _norm(self, node: Node, p: Piece) -> Term:
        """What a normalisation divides by: for what is there at initialisation, the initial size of its input."""
        name = f"norm:{node.name}"
        size, form = self.space.letter(name)
        return (size if p.via else int(self.net.initial_norms[name] * self.space.unit)), form

    def _product(self, left: list[Piece], right: list[Piece], over: int, dims_left: int, dims_right: int) -> list[Piece]:
        """Entrywise product of two tensors, then a sum; an inner product where both have the summed axes."""
        order, out = self.order, []
        for p in left:
            for q in right:
                if p.order + q.order > order:
                    continue
                if over & dims_left & dims_right:
                    out += self._contracted(p, q, over)
                else:
                    out += [self.algebra.sum(r, over) for r in self.algebra.product(p, q)]
        return out

    def _contracted(self, p: Piece, q: Piece, over: int) -> list[Piece]:
        empty, order, via = self.algebra.empty, p.order + q.order, p.via or q.via
        if via and not self.pruning.pattern:  # as if what has changed were not aligned
            half, axes = self.space.half(over), (p.random | q.random) & ~over
            name = self.algebra.name(frozenset((("inner", p.word, p.base), ("inner", q.word, q.base))))
            signs = frozenset({(name, axes)}) if axes else NOTHING
            return [Piece(p.size + q.size + half[0], p.form + q.form + half[1], empty, 0, signs, order, via)]
        return [Piece(s, f, empty, 0, signs, order, via) for s, f, signs in self.algebra.inner(p, q, over)]

    # -- weights
    def _dense(self, site: Site, pieces: list[Piece], updates: list[Update], *, backward: bool) -> list[Piece]:
        """A weight applied: its initial value and its update, each to what was there at initialisation and to the change."""
        if self.net.alignment is not None:
            return self._aligned(site, pieces, updates, backward=backward)
        node, weight = site.node, self.weights[site.weight]
        flipped = node.transposed != backward
        over = (weight.out if flipped else weight.inn) & (site.dims if backward else self.net.sites[site.args[0]].dims)
        out: list[Piece] = []
        initial = self._note(node, "W0 x0", backward), self._note(node, "W0 dx", backward)
        constant = weight.std is None and self.net.architecture.weights[node.weight].init == "ones"
        for p in pieces:
            made = [p] if constant else list(self.algebra.apply(weight, flipped, p, over))
            out += made
            initial[p.via > 0].extend((q.size, q.form, q.order) for q in made)
            if p.via and made:
                self._incoherent(node, "W0 dx", backward, made[0].size, p.order)
        return out + self._updated(site, pieces, updates, over, flipped=flipped, backward=backward)

    def _note(self, node: Node, kind: str, backward: bool) -> list[Noted]:
        return self.terms.setdefault(Observable(node.name, kind, backward), [])

    def _incoherent(self, node: Node, kind: str, backward: bool, size: int, order: int) -> None:
        """Note the size that the first change of a term has before it aligns with the weight (central limit)."""
        key = Observable(node.name, kind, backward)
        lowest, largest = self.incoherent.get(key, (order, size))
        if order <= lowest:
            self.incoherent[key] = order, max(size, largest) if order == lowest else size

    def _updated(self, site: Site, pieces: list[Piece], updates: list[Update], over: int, *, flipped: bool, backward: bool) -> list[Piece]:
        out: list[Piece] = []
        room, via = 2 * self.space.half(over | site.shared)[0], self._via(site.weight)
        limit, inner, slack = self.order, self.algebra.inner, self.merging.slack
        floors: list[float] = [-inf, -inf]  # of what was there at initialisation, and of changes
        notes = self._note(site.node, "dW x0", backward), self._note(site.node, "dW dx", backward)
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
                for q in made:
                    out.append(q)
                    notes[kind].append((q.size, q.form, total))
                    floors[kind] = max(floors[kind], q.size - slack)
                if kind:
                    self._incoherent(site.node, "dW dx", backward, u.size + size_p + room // 2, total)
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

    def _aligned(self, site: Site, pieces: list[Piece], updates: list[Update], *, backward: bool) -> list[Piece]:
        """Alignment exponents given: ``dW x0``, ``W0 dx`` and ``dW dx`` sum over the fan-in with them (Everett et al.)."""
        node, empty = site.node, self.algebra.empty
        name = node.weight
        assert self.net.alignment is not None
        alpha, omega, u = self.net.alignment.get(name, self.net.alignment[""])
        half_over = site.dims if backward else self.net.sites[site.args[0]].dims
        weight = self.weights[site.weight]
        flipped = node.transposed != backward
        over = (weight.out if flipped else weight.inn) & half_over
        out: list[Piece] = []
        std = weight.std if weight.std is not None else None
        for p in pieces:
            if std is not None:
                factor = self._power(over, Fraction(1, 2) if backward or not p.via else omega)
                q = p.times((std[0] + factor[0], std[1] + factor[1]))
                out.append(q)
                self._note(node, "W0 dx" if p.via else "W0 x0", backward).append((q.size, q.form, q.order))
            for up in updates:
                total = 1 + up.left.order + up.right.order + p.order
                if total > self.order:
                    continue
                factor = self._power(over, u if p.via else alpha)
                size, form = up.size + p.size + factor[0], up.form + p.form + factor[1]
                q = Piece(size, form, empty, p.base, NOTHING, total, self._via(site.weight))
                out.append(q)
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

    def _update(
        self, weight: int, step: int, acts: list[list[Piece]], grads: list[list[Piece]], before: list[Update], largest: GradientPieces
    ) -> list[Update]:
        """Amplitude times backward piece times forward piece, from every use of the weight.

        An optimizer that normalises gradients made the updates ``before`` this one with amplitudes of their own.
        """
        name = self.net.names[weight]
        if not self.net.architecture.weights[name].trained:
            return []
        size, form = self.space.letter(f"amp:{name}")
        if not self.normalised or name not in largest:
            return self.merging.updates(self._products(weight, (size, form), acts, grads))
        grown = self._grown(step, name, largest[name])
        return self.merging.updates([*before, *self._products(weight, (size - grown[0], form - grown[1]), acts, grads)])

    def _grown(self, step: int, name: str, now: tuple[Piece, Piece]) -> Term:
        """What the update of a normalised gradient is divided by, over what the first was; its form for whole degrees alone."""
        if self.net.growth is not None:
            form = self.net.growth.get((step, name), 0)
            return int(self.space.value(form) * self.space.unit), form
        shares = [(1 - k, a, b) for k, a, b in zip(self.net.degrees, self.firsts[name], now, strict=True)]
        size = sum(share * (b.size - a.size) for share, a, b in shares)
        if size <= 0:
            return 0, 0
        whole = all(share.denominator == 1 for share, _, _ in shares)
        self.grown[step, name] = form = sum(int(share) * (b.form - a.form) for share, a, b in shares) if whole else 0
        return (int(size) if size == int(size) else size), form  # type: ignore[return-value]

    def _products(self, weight: int, amp: Term, acts: list[list[Piece]], grads: list[list[Piece]]) -> Iterator[Update]:
        limit = self.order - self.normalised  # a later step's order does not rise any more
        for site, node in ((s, i) for i, s in enumerate(self.net.sites) if s.weight == weight):
            for g in grads[node]:
                for x in acts[site.args[0]]:
                    if g.order + x.order <= limit:
                        left, right = (x, g) if site.node.transposed else (g, x)
                        yield Update(left, right, amp[0] + g.size + x.size, amp[1] + g.form + x.form)

    # -- backward
    def _backward(self, acts: list[list[Piece]], updates: list[list[Update]]) -> list[list[Piece]]:
        grads: list[list[Piece]] = [[] for _ in self.net.sites]
        grads[-1] = [self.piece("chi"), *self._loss_response(acts[-1])]
        for i in range(len(self.net.sites) - 1, -1, -1):
            grads[i] = self.merging.pieces(grads[i])
            if grads[i]:
                self._pull(self.net.sites[i], grads[i], acts, grads, updates)
        return grads

    def _loss_response(self, output: list[Piece]) -> list[Piece]:
        """The loss derivative changes as the output does."""
        changes = [p for p in output if p.via]
        if not (self.pruning.response and self.pruning.loss) or not changes:
            return []
        d = max(changes, key=lambda p: (p.size, -p.order))
        return [Piece(d.size, d.form, self.algebra.empty, self.bases["chi"], NOTHING, d.order, d.via)]

    def _pull(self, site: Site, g: list[Piece], acts: list[list[Piece]], grads: list[list[Piece]], updates: list[list[Update]]) -> None:
        """Add what the gradient of a node gives to its arguments."""
        node, sites = site.node, self.net.sites
        match node.op:
            case "input" | "one":
                return
            case "dense":
                if sites[site.args[0]].node.op not in ("input", "one"):
                    grads[site.args[0]] += self._dense(site, g, updates[site.weight], backward=True)
            case "scale":
                factor = self._multiplier(node)
                grads[site.args[0]] += [p.times(factor) for p in g]
            case "norm":
                grads[site.args[0]] += [p.divided(self._norm(node, p)) for p in g]
            case "add":
                for a in site.args:
                    grads[a] += [self.algebra.sum(p, site.dims & ~sites[a].dims) for p in g]
            case "product":
                for a, b in (site.args, site.args[::-1]):
                    lost = (site.dims | sites[b].dims) & ~sites[a].dims
                    grads[a] += self._product(g, acts[b], lost, site.dims, sites[b].dims)
            case "collect":
                grads[site.args[0]] += g
                grads[site.args[1]] += g
            case "map":
                grads[site.args[0]] += g + self._derivative_response(g, acts[site.args[0]], node.kind)
            case _:
                grads[site.args[0]] += g

    def _derivative_response(self, g: list[Piece], pieces: list[Piece], kind: str) -> list[Piece]:
        """The derivative of an entrywise function changes in proportion to its argument."""
        changes = [p for p in pieces if p.via]
        before = [p for p in g if not p.via]
        if not self.pruning.response or kind == "identity" or not changes or not before:
            return []
        d, top = (max(ps, key=lambda p: (p.size, -p.order)) for ps in (changes, before))
        return [r for r in self.algebra.product(d, top) if r.order <= self.order and d.size <= 0]
