"""Words of initial Gaussian weights, and the size of what they make.

A tensor is a list of pieces ``scale^core * word(base)``: a normal-ordered word of initial Gaussians, outermost letter
first, applied to a base vector (data, the loss derivative, the constant vector). Each letter records the axes over which
it is contracted. Nothing is declared coherent or incoherent; it follows from two facts about a Gaussian matrix W:

* ``W p`` is a new letter, always: entries of RMS ``std * sqrt(contracted sizes) * |p|`` (central limit);
* ``W (W^T q)`` also contains ``std^2 * (contracted sizes) * q`` (law of large numbers): the letters cancel.

How sizes are written: `theory.space`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .space import Space, Term

NOTHING: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Gauss:
    """What the calculus knows of a weight: its sides as bit masks over the growing dimensions.

    Args:
        ident: a number.
        out: dimensions that it makes.
        inn: dimensions that it contracts.
        index: dimensions along which it is a batch.
        std: (size, form) of its initial standard deviation; None if it starts at zero or is not random.
    """

    ident: int
    out: int
    inn: int
    index: int
    std: Term | None


class Letter:
    """A Gaussian in a word: ``summed`` axes are contracted with what stands to its right, ``made`` ones are free."""

    __slots__ = ("flipped", "form", "index", "made", "proper", "size", "summed", "weight")

    def __init__(self, weight: int, flipped: bool, summed: int, made: int, proper: int, index: int, exponent: Term):
        self.weight, self.flipped, self.summed, self.made = weight, flipped, summed, made
        self.proper, self.index = proper, index
        self.size, self.form = exponent


class Word:
    """A letter in front of a word; equal words are one object.

    ``free``: the axes over which its sign is random. ``gain``: by how much cancelling letters from the head can at best
    exceed the central limit, ``max over prefixes of sum (made - summed) / 2``, in the units of sizes.
    """

    __slots__ = ("free", "gain", "head", "key", "tail")

    def __init__(self, head: Letter | None, tail: Word | None, key: int, gain: int = 0):
        self.head, self.tail, self.key = head, tail, key
        self.free = 0 if head is None or tail is None else (tail.free & ~head.summed) | head.made
        self.gain = 0 if tail is None else max(0, gain + tail.gain)

    def carrier(self, axes: int) -> Word:
        """The word from the first letter on that varies over one of the axes."""
        word = self
        while word.head is not None and word.tail is not None and not word.head.made & axes:
            word = word.tail
        return word

    def __iter__(self) -> Iterator[Letter]:
        word = self
        while word.head is not None and word.tail is not None:
            yield word.head
            word = word.tail


class Piece:
    """One piece of a tensor; ``size`` and ``form`` are its whole RMS exponent.

    ``signs``: scalars of mean zero, as (name, axes over which they vary); ``order``: updates multiplied in;
    ``via``: 0 at initialisation, else 1 + the weight whose update made it last.
    """

    __slots__ = ("base", "form", "order", "signs", "size", "via", "word")

    def __init__(self, size: int, form: int, word: Word, base: int, signs: frozenset = NOTHING, order: int = 0, via: int = 0):
        self.size, self.form, self.word, self.base = size, form, word, base
        self.signs, self.order, self.via = signs, order, via

    def times(self, factor: Term) -> Piece:
        """The piece multiplied by a scalar of this (size, form)."""
        return Piece(self.size + factor[0], self.form + factor[1], self.word, self.base, self.signs, self.order, self.via)

    def divided(self, factor: Term) -> Piece:
        """The piece divided by a scalar of this (size, form)."""
        return self.times((-factor[0], -factor[1]))

    @property
    def random(self) -> int:
        """Axes over which the sign of the piece is random."""
        axes = self.word.free
        for _, more in self.signs:
            axes |= more
        return axes


def agree(p: Piece, q: Piece, places: int) -> bool:
    """Whether the product of two pieces has the same sign at every index along ``places``, though each varies."""
    first, second = p.word.carrier(places), q.word.carrier(places)
    same = first is second and (p.base == q.base or first.head is None)
    return same and not any(axes & places for _, axes in p.signs ^ q.signs)


class Algebra:
    """The operations of the word calculus at one point of a `Space`."""

    def __init__(self, space: Space):
        self.space = space
        self.empty = Word(None, None, 0)
        self._words: dict[tuple[Letter, int], Word] = {}
        self._letters: dict[tuple[int, bool, int, int], Letter] = {}
        self._names: dict[object, int] = {}
        self._things: list[object] = []
        self._factors: dict[int, tuple[int, int]] = {}  # opaque letters: the random factor that each hides

    # -- interning
    def word(self, head: Letter, tail: Word) -> Word:
        """The word with this letter in front."""
        key = (head, tail.key)
        found = self._words.get(key)
        if found is None:
            gain = self.space.half(head.made)[0] - self.space.half(head.summed)[0]
            found = self._words[key] = Word(head, tail, len(self._words) + 1, gain)
        return found

    def letter(self, weight: Gauss, flipped: bool, summed: int, made: int) -> Letter:
        """The letter of a weight that contracts ``summed`` and leaves ``made`` free."""
        key = (weight.ident, flipped, summed, made)
        found = self._letters.get(key)
        if found is None:
            std, half = weight.std or (0, 0), self.space.half(summed)
            proper = weight.inn if flipped else weight.out
            exponent = (std[0] + half[0], std[1] + half[1])
            found = Letter(weight.ident, flipped, summed, made, proper, weight.index, exponent)
            self._letters[key] = found
        return found

    def name(self, thing: object) -> int:
        """A number for something random, the same for equal things."""
        found = self._names.get(thing)
        if found is None:
            found = self._names[thing] = len(self._things)
            self._things.append(thing)
        return found

    # -- random factors that stand under a letter
    def _hide(self, p: Piece, contracted: int) -> Piece:
        """Random factors that vary over a contracted axis go under the letter that contracts it."""
        for name, axes in sorted(p.signs):
            if axes & contracted:
                ident = -1 - self.name(("factor", name, axes))
                self._factors[ident] = (name, axes)
                key = (ident, False, 0, axes)
                head = self._letters.setdefault(key, Letter(*key, axes, 0, (0, 0)))
                p = Piece(p.size, p.form, self.word(head, p.word), p.base, p.signs - {(name, axes)}, p.order, p.via)
        return p

    def _show(self, p: Piece) -> Piece:
        """The opposite: what a cancelled letter had contracted comes out."""
        word, signs = p.word, p.signs
        while word.head is not None and word.head.weight < 0 and word.tail is not None:
            signs = signs ^ {self._factors[word.head.weight]}
            word = word.tail
        return Piece(p.size, p.form, word, p.base, signs, p.order, p.via)

    # -- sums
    def sum(self, p: Piece, axes: int) -> Piece:
        """Sum over axes: they join the letter that carries them (half), or a random sign (half), or count fully."""
        axis = 1
        while axes >= axis:
            if axes & axis:
                p = self._sum_one(p, axis)
            axis <<= 1
        return p

    def _sum_one(self, p: Piece, axis: int) -> Piece:
        size, form = self.space.half(axis)
        if p.word.free & axis:
            return Piece(p.size + size, p.form + form, self.absorb(p.word, axis), p.base, p.signs, p.order, p.via)
        if any(axes & axis for _, axes in p.signs):
            signs = frozenset((name, axes & ~axis) for name, axes in p.signs if axes & ~axis)
            return Piece(p.size + size, p.form + form, p.word, p.base, signs, p.order, p.via)
        return p.times((2 * size, 2 * form))

    def absorb(self, word: Word, axes: int) -> Word:
        """The word in which, for every one of these axes, the outermost letter that is free in it has it contracted."""
        axis = 1
        while axes >= axis:
            word = self._absorb(word, axis) if axes & axis else word
            axis <<= 1
        return word

    def _absorb(self, word: Word, axis: int) -> Word:
        """The word whose outermost letter that is free in the axis has it contracted."""
        head, tail = word.head, word.tail
        assert head is not None and tail is not None
        if not head.made & axis:
            return self.word(head, self._absorb(tail, axis))
        key = (head.weight, head.flipped, head.summed | axis, head.made & ~axis)
        letter = self._letters.get(key)
        if letter is None:
            half = self.space.half(axis)
            letter = Letter(*key, head.proper, head.index, (head.size + half[0], head.form + half[1]))
            self._letters[key] = letter
        return self.word(letter, tail)

    # -- a Gaussian applied to a piece
    def apply(self, weight: Gauss, flipped: bool, p: Piece, contracted: int) -> Iterator[Piece]:
        """``W0 p`` (``W0^T p`` if flipped): a new letter, and the cancellation of the opposite letter at the head.

        A weight of fixed size is no letter: its entries are coefficients.
        """
        if weight.std is None:
            return
        made = (weight.inn if flipped else weight.out) | (weight.index & ~contracted)
        if not made and not contracted:  # numbers of fixed count: they mix nothing that grows
            yield p.times(weight.std)
            return
        head = self.letter(weight, flipped, contracted, made)
        q = self._hide(p, contracted)
        yield Piece(q.size + head.size, q.form + head.form, self.word(head, q.word), q.base, q.signs, q.order, q.via)
        old, tail = p.word.head, p.word.tail
        if old is None or tail is None or old.weight != weight.ident or old.flipped == flipped:
            return
        own = contracted & old.proper
        if own & ~old.made:
            return
        half, std = self.space.half(own), weight.std
        size = p.size - old.size + 2 * (std[0] + half[0])
        form = p.form - old.form + 2 * (std[1] + half[1])
        yield self.sum(self._show(Piece(size, form, tail, p.base, p.signs, p.order, p.via)), contracted & ~own)

    # -- inner products and entrywise products
    def inner(self, p: Piece, q: Piece, over: int) -> Iterator[tuple[int, int, frozenset]]:
        """(size, form, signs) of the contraction of two pieces: equal heads cancel and recurse, the rest fluctuates."""
        a, b, signs = p.word.head, q.word.head, p.signs ^ q.signs if p.signs or q.signs else NOTHING
        if a is not None and b is not None and a.weight == b.weight and a.flipped == b.flipped:
            if (a.summed ^ b.summed) & ~a.index == 0:
                yield from self._coherent(p, q, over)
        same = a is None and b is None and p.base == q.base
        random = p.random | q.random
        half, full = self.space.half(over & random), self.space.half(over & ~random)
        size, form = p.size + q.size + half[0] + 2 * full[0], p.form + q.form + half[1] + 2 * full[1]
        if not same and random & ~over:
            signs = signs ^ {(self.name(frozenset(((p.word, p.base), (q.word, q.base)))), random & ~over)}
        yield size, form, frozenset((n, axes & ~over) for n, axes in signs if axes & ~over) if signs else NOTHING

    def averaged(self, p: Piece, places: int) -> Piece:
        """The piece without what varies over the places, which its product with another averages out."""
        carrier, letters = p.word.carrier(places), []
        word = p.word
        while word is not carrier:
            assert word.head is not None and word.tail is not None
            letters.append(word.head)
            word = word.tail
        rest = self.empty
        for letter in reversed(letters):
            rest = self.word(letter, rest)
        return Piece(p.size, p.form, rest, 0, frozenset(s for s in p.signs if not s[1] & places), p.order, p.via)

    def apart(self, p: Piece, q: Piece, over: int, places: int) -> Iterator[tuple[int, int, int]]:
        """(size, form, axes of a random sign) of the contraction of two pieces at different indices along ``places``.

        Equal heads cancel as at the same index unless they vary along it.
        """
        a, b = p.word.head, q.word.head
        if a is not None and b is not None and a.weight == b.weight and a.flipped == b.flipped:
            if (a.summed ^ b.summed) & ~a.index == 0 and not (a.made | b.made) & places:
                first, second, rest, factor = self._cancelled(p, q, over)
                for size, form, axes in self.apart(first, second, rest, places):
                    yield size + factor[0], form + factor[1], axes
        random = p.random | q.random
        half, full = self.space.half(over & random), self.space.half(over & ~random)
        size, form = p.size + q.size + half[0] + 2 * full[0], p.form + q.form + half[1] + 2 * full[1]
        yield size, form, (random & ~over & ~places) | (q.random & places)

    def _coherent(self, p: Piece, q: Piece, over: int) -> Iterator[tuple[int, int, frozenset]]:
        first, second, rest, factor = self._cancelled(p, q, over)
        for size, form, signs in self.inner(first, second, rest):
            yield size + factor[0], form + factor[1], signs

    def _cancelled(self, p: Piece, q: Piece, over: int) -> tuple[Piece, Piece, int, Term]:
        """What is left to contract when the equal heads of two pieces have cancelled, over what, and the factor they leave."""
        a, b = p.word.head, q.word.head
        assert a is not None and b is not None
        own = over & a.proper & a.made & b.made
        halves = [self.space.half(axes) for axes in (a.summed, b.summed, own)]
        size, form = (a_ + b_ - h[0] - h[1] + 2 * h[2] for a_, b_, h in zip((a.size, a.form), (b.size, b.form), zip(*halves)))
        return self._inside(p, a), self._inside(q, b), (over & ~own) | (a.summed & b.summed), (size, form)

    def _inside(self, p: Piece, head: Letter) -> Piece:
        """What stands to the right of the head."""
        return self._show(Piece(p.size - head.size, p.form - head.form, p.word.tail or self.empty, p.base, p.signs))

    def product(self, p: Piece, q: Piece) -> Iterator[Piece]:
        """Entrywise product: equal random factors square to their mean; a factor with all the axes may be the word."""
        signs = p.signs ^ q.signs
        for r in (p, q):
            if r.word.free:
                signs = signs ^ {(self.name((r.word, r.base)), r.word.free)}
        everything = 0
        for _, axes in signs:
            everything |= axes
        size, form, order, via = p.size + q.size, p.form + q.form, p.order + q.order, q.via or p.via
        vectors = [(name, axes) for name, axes in signs if axes == everything and isinstance(self._things[name], tuple)]
        for name, axes in vectors:
            word, base = self._things[name]  # type: ignore[misc]
            yield Piece(size, form, word, base, signs - {(name, axes)}, order, via)
        if not vectors:
            base = p.base if p.word is self.empty and not p.signs else q.base
            yield Piece(size, form, self.empty, base if not signs else 0, signs, order, via)
