"""Which pieces of a tensor are followed: of those that cancel and align alike, the largest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .propagate import Pruning, Update
from .words import Letter, Piece, Word

WORK = 2_000_000  # pieces that one evaluation may look at (a minute); thrice as many where random factors are told apart by axes
Signs = frozenset[tuple[int, int]]
Kept = tuple[int, int, int, int, tuple[Signs, ...], Any]  # size, form, order, gain, random factors, what they are of


class TooManyPieces(ValueError):
    """One evaluation would look at more pieces than it may."""

    def __init__(self) -> None:
        super().__init__(
            "its activations have more kinds of terms than can be followed (millions of pieces in one evaluation); "
            "a shorter recurrence, fewer positions or fewer layers in the example may do"
        )


class Merging:
    """Drops what is too small, and what another piece of the same head covers.

    A piece covers another that is no larger, gains no more by cancelling, multiplies no fewer updates, and has the same random
    factors or more: a factor that an activation brought into a gradient leaves it again on the same way forward, and so do the
    factors of the piece that covers.
    """

    def __init__(self, pruning: Pruning, slack: int):
        self.pruning, self.slack = pruning, slack
        self.bounded = {0}  # forms of forward pieces that are 0 here and at most 0 wherever the network is stable
        self.dropped = self.capped = self.seen = 0
        self._initial: set[Word] = set()
        self._heads: dict[tuple[int, int], object] = {}

    def keep_apart(self, pieces: Iterable[Piece]) -> None:
        """Words that are there at initialisation: changes along them add up with them."""
        self._initial.update(p.word for p in pieces)
        self._heads.clear()

    def pieces(self, found: list[Piece]) -> list[Piece]:
        """Those of one tensor that are followed, the largest first.

        Raises:
            TooManyPieces: when this evaluation has looked at too many.
        """
        self.seen += len(found)
        if self.seen > (WORK if self.pruning.factors else 3 * WORK):
            raise TooManyPieces
        if len(found) < 2:
            return found
        best: dict[object, list[Kept]] = {}
        top: dict[int, int] = {}
        single = self.pruning.response
        for p in sorted(found, key=lambda p: (-p.size, p.order) if single else (-p.size, p.order, len(p.signs), -p.word.gain)):
            peak = top.setdefault(p.via, p.size)
            if p.size + p.word.gain < peak - self.slack:
                self.dropped += 1
                continue
            bucket, entry = best.setdefault((self._key(p), p.via), []), (p.size, p.form, p.order, p.word.gain, (p.signs,), p)
            if not self._covered(bucket, *entry):
                bucket.append(entry)
        kept = [entry[5] for bucket in best.values() for entry in bucket]
        return self._cap(sorted(kept, key=lambda p: (-p.size, p.order)))

    def updates(self, found: Iterable[Update]) -> list[Update]:
        """Those of one weight that are followed, the one that reaches farthest first."""
        best: dict[object, list[Kept]] = {}
        for u in found:
            left, right = u.left, u.right
            bucket = best.setdefault((self._key(left), self._key(right)), [])
            entry = u.size, u.form, u.order, left.word.gain + right.word.gain, (left.signs, right.signs), u
            if not self._covered(bucket, *entry):
                bucket.append(entry)
        ranked = sorted((entry[5] for bucket in best.values() for entry in bucket), key=lambda u: (-u.reach, u.order))
        top = max((u.size for u in ranked), default=0)
        kept = [u for u in ranked if u.reach >= top - self.slack]
        self.dropped += len(ranked) - len(kept)
        cap = len(kept) if self.pruning.cap is None else self.pruning.cap
        self.capped += len(kept[cap:])
        return kept[:cap]

    def _key(self, p: Piece) -> object:
        """What must agree for one piece to cover another; where single terms are asked for, all that tells them apart."""
        if not self.pruning.response:
            return self._head(p)
        limit = self.pruning.factors
        many = limit is not None and len(p.signs) > limit
        return self._head(p), p.word.gain, tuple(sorted(axes for _, axes in p.signs)) if many else p.signs

    def _head(self, p: Piece) -> object:
        key = p.word.key, p.base
        found = self._heads.get(key)
        if found is None:
            found = self._heads[key] = self._merged(p)
        return found

    def _merged(self, p: Piece) -> object:
        if self.pruning.merge is None or p.word in self._initial:
            return p.word, p.base
        letters: list[Letter] = []
        for letter in p.word:
            if len(letters) == self.pruning.merge:
                return tuple(letters)
            letters.append(letter)
        return (*letters, p.base)

    def _covered(self, bucket: list[Kept], size: int, form: int, order: int, gain: int, signs: tuple[Signs, ...], _: Any) -> bool:
        """Whether one of the bucket covers what is described.

        Where ties are kept it must be as large as a form too: equal, or larger by what some tensor's stability bounds.
        """
        ties, bounded = order < self.pruning.ties, self.bounded
        for s, f, o, g, other, _ in bucket:
            if s >= size and o <= order and g >= gain and (not ties or s > size or form - f in bounded) and self._within(other, signs):
                return True
        return False

    def _within(self, fewer: tuple[Signs, ...], more: tuple[Signs, ...]) -> bool:
        """Whether the random factors of one are among those of the other (of many: vary over some of the same axes)."""
        limit = self.pruning.factors
        for a, b in zip(fewer, more, strict=True):
            if not a <= b and (limit is None or len(b) <= limit or _axes(a) & ~_axes(b)):
                return False
        return True

    def _cap(self, pieces: list[Piece]) -> list[Piece]:
        """The largest of those that updates made; what is there at initialisation stays."""
        cap = self.pruning.cap
        if cap is None or len(pieces) <= cap:
            return pieces
        initial, changed = [p for p in pieces if not p.via], [p for p in pieces if p.via]
        self.capped += len(changed[cap:])
        return initial + changed[:cap]


def _axes(signs: Signs) -> int:
    axes = 0
    for _, more in signs:
        axes |= more
    return axes
