"""Forward and backward passes of the word calculus: tensors become pieces, updates atomic terms."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from .architecture import Node
from .merging import Merging
from .observables import Observable
from .propagate import GradientPieces, Growth, Net, Noted, Pruning, Report, Site, Update
from .space import Term
from .weights import Weights
from .words import NOTHING, Algebra, Piece

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
        self.weights = Weights(net, pruning, self.algebra, self.merging)
        self.firsts: GradientPieces = {}
        self.latest: GradientPieces = {}
        self.grown: Growth = {}
        self.normalised = net.normalises

    def piece(self, base: str) -> Piece:
        return Piece(0, 0, self.algebra.empty, self.bases.setdefault(base, len(self.bases)))

    def run(self, *, backward: bool = True) -> Report:
        """All steps: forward, backward, and the updates of the next step."""
        updates: list[list[Update]] = [[] for _ in self.net.names]
        order = self.pruning.order
        steps = order + 1 if self.pruning.steps is None else self.pruning.steps + 1
        for step in range(steps):
            # every later step multiplies one more update; what each normalises needs all of them
            self.order = order if self.normalised else max(0, order - (steps - 1 - step))
            self.weights.start(self.order)
            self.found = {}
            acts = self._forward(updates)
            grads = self._backward(acts, updates) if backward or step < steps - 1 else [[] for _ in acts]
            if not step and self.pruning.response:
                self.merging.keep_apart(p for pieces in acts + grads for p in pieces)
            largest = self.net.gradients(acts, grads)
            self.firsts, self.latest = largest | self.firsts, largest or self.latest
            if step < steps - 1:
                updates = [self._update(i, step, acts, grads, before, largest) for i, before in enumerate(updates)]
        terms, incoherent, merging = self.weights.terms | self._summed(), self.weights.incoherent, self.merging
        return Report(acts, grads, terms, incoherent, merging.dropped, merging.capped, self.firsts, self.latest, self.grown)

    def _summed(self) -> dict[Observable, list[Noted]]:
        """Sizes of the atomic terms of weights with an index behind the sum over it."""
        found: dict[Observable, list[Noted]] = {}
        for observable, pieces in self.weights.made.items():
            for site in self.net.summed_at(self.net.sites[self.net.position[observable.node]]):
                pieces = self._tensor(site, [pieces], [])
            found[observable] = [(p.size, p.form, p.order) for p in pieces]
        return found

    # -- forward
    def _forward(self, updates: list[list[Update]]) -> list[list[Piece]]:
        acts: list[list[Piece]] = []
        for site in self.net.sites:
            acts.append(self.merging.pieces(self._tensor(site, [acts[a] for a in site.args], updates)))
            if self.pruning.ties and site.judged:
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
                return self.weights.apply(site, args[0], updates[site.weight], backward=False)
            case "softmax":
                return [p.divided(self._share(site)) for p in self._mapped(args[0], "softmax")]
            case "map":
                return self._mapped(args[0], node.kind)
            case "top":
                return self._masked(args[0])
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

    def _mapped(self, pieces: list[Piece], kind: str) -> list[Piece]:
        """An entrywise function: what it acts on, its mean, and changes to second order."""
        mean = [self.piece("1")] if kind in OFFSET else self._rectified(pieces) if kind in RECTIFIED else []
        return pieces + mean + (self._response(pieces) if self.pruning.response and kind != "identity" else [])

    def _share(self, site: Site) -> Term:
        """The number of entries of a softmax, of which each is about as large as the others."""
        half = self.space.half(site.over)
        return 2 * half[0], 2 * half[1]

    def _masked(self, pieces: list[Piece]) -> list[Piece]:
        """A mask of the largest entries: its mean, and what varies with the argument over its initial size, which alone it sees.

        It is never larger than Theta(1); what is there without an argument does not vary.
        """
        before = max((p for p in pieces if not p.via), key=lambda p: p.size, default=None)
        out = [self.piece("1")]
        for p in pieces:
            size, form = (p.size - before.size, p.form - before.form) if before and p.size < before.size else (0, 0)
            out.append(Piece(size, form, p.word, p.base, p.signs, p.order, p.via))
        return out

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

    # -- updates
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
            case "input" | "one" | "top":
                return
            case "dense":
                if sites[site.args[0]].node.op not in ("input", "one"):
                    grads[site.args[0]] += self.weights.apply(site, g, updates[site.weight], backward=True)
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
            case "softmax":
                grads[site.args[0]] += [p.divided(self._share(site)) for p in g]
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
