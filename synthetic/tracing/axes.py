"""Which dimensions of which tensors are the same: equal ones are merged, products split, concatenations cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Extent = tuple[int, ...]


class Unfollowable(ValueError):
    """Something in the graph that cannot be followed."""


class Dimension:
    """One dimension of a tensor, until it is known what it is made of.

    It is a leaf, a product of dimensions (outermost first), or a concatenation of segments.

    Args:
        extent: its size in every trial.
        made: a weight makes it by a contraction, so its entries are different random numbers, and slices of it as well.
    """

    def __init__(self, extent: Extent, made: bool = False):
        self.extent, self.made = extent, made
        self._into: Dimension | None = None
        self.product: list[Dimension] = []
        self.segments: list[Dimension] = []

    def root(self) -> Dimension:
        found = self
        while found._into is not None:
            found = found._into
        return found

    @property
    def grows(self) -> bool:
        return len(set(self.extent)) > 1

    @property
    def is_one(self) -> bool:
        return all(e == 1 for e in self.extent)

    def factors(self) -> Iterator[Dimension]:
        """Leaves and concatenations, outermost first."""
        own = self.root()
        if own.product:
            for part in own.product:
                yield from part.factors()
        elif not own.is_one:
            yield own

    def mark_made(self) -> None:
        own = self.root()
        own.made = True
        for part in (*own.product, *own.segments):
            part.mark_made()


def total(dimensions: Sequence[Dimension]) -> Extent:
    """Size of the product in every trial."""
    extent = dimensions[0].extent
    for d in dimensions[1:]:
        extent = tuple(a * b for a, b in zip(extent, d.extent, strict=True))
    return extent


def unify(a: Dimension, b: Dimension) -> None:
    """Let two dimensions be the same.

    Raises:
        Unfollowable: if they are known to be made of different things, and grow.
    """
    a, b = a.root(), b.root()
    if a is b:
        return
    if a.extent != b.extent:
        raise Unfollowable(f"dimensions of sizes {a.extent[0]} and {b.extent[0]} cannot be the same")
    if a.made or b.made:
        a.mark_made()
        b.mark_made()
    if not (a.product or a.segments):
        a._into = b
    elif not (b.product or b.segments):
        b._into = a
    elif a.product and b.product:
        _together(a, b)
    elif a.segments and b.segments:
        for cut in _cuts(b):
            _cut(a, cut)
        for cut in _cuts(a):
            _cut(b, cut)
        for x, y in zip(a.segments, b.segments, strict=True):
            unify(x, y)
        a._into = b
    else:
        _mixed(a, b) if a.product else _mixed(b, a)


def _together(a: Dimension, b: Dimension) -> None:
    first, second, finite = a.product, b.product, not a.grows
    try:
        regroup(first, second)
        a._into = b
    except Unfollowable:
        if not finite:
            raise


def _mixed(product: Dimension, concatenation: Dimension) -> None:
    """A product that is also a concatenation: equal segments, which are its inner part."""
    outer, inner = product.product[0], product.product[1:]
    size = total(inner)
    if any(s.extent != size for s in concatenation.segments):
        if not product.grows:
            return
        raise Unfollowable(f"a dimension of size {product.extent[0]} is used both as a product and in unequal slices")
    for i in range(1, len(concatenation.segments)):
        _cut(outer.root(), tuple(i for _ in outer.extent))
    for segment in concatenation.segments:
        joined = Dimension(size)
        joined.product = list(inner)
        unify(segment, joined if len(inner) > 1 else inner[0])
    concatenation.segments = []
    concatenation._into = product


def regroup(old: Sequence[Dimension], new: Sequence[Dimension]) -> None:
    """Let two products be the same, by splitting factors until they agree.

    Raises:
        Unfollowable: if a factor would have to be split where its size does not allow it.
    """
    left, right = [d for d in old if not d.is_one][::-1], [d for d in new if not d.is_one][::-1]
    while left and right:
        a, b = left.pop(), right.pop()
        if a.extent == b.extent:
            unify(a, b)
        elif all(x % y == 0 for x, y in zip(a.extent, b.extent, strict=True)):
            left += _split(a, b.extent)[::-1]
            right.append(b)
        elif all(y % x == 0 for x, y in zip(a.extent, b.extent, strict=True)):
            right += _split(b, a.extent)[::-1]
            left.append(a)
        else:
            raise Unfollowable(f"dimensions of sizes {a.extent[0]} and {b.extent[0]} do not fit into each other")


def _split(d: Dimension, outer: Extent) -> list[Dimension]:
    """The dimension as a product whose outermost factors have the size ``outer``."""
    own = d.root()
    if own.product:
        return list(own.product)
    inner = tuple(x // y for x, y in zip(own.extent, outer, strict=True))
    parts = [Dimension(outer, own.made), Dimension(inner, own.made)]
    if own.segments:
        whole = Dimension(own.extent, own.made)
        whole.product = parts
        unify(whole, own)
    else:
        own.product = parts
    return parts


# -- slices
def _cuts(d: Dimension) -> list[Extent]:
    """Where the segments of a concatenation begin, without the first."""
    found, at = [], tuple(0 for _ in d.extent)
    for segment in d.segments[:-1]:
        at = tuple(x + y for x, y in zip(at, segment.extent, strict=True))
        found.append(at)
    return found


def _cut(d: Dimension, at: Extent) -> None:
    """Let a segment begin at ``at``."""
    d = d.root()
    if not any(at) or at == d.extent:
        return
    if d.product:
        inner = total(d.product[1:])
        if all(x % y == 0 for x, y in zip(at, inner, strict=True)):
            return _cut(d.product[0], tuple(x // y for x, y in zip(at, inner, strict=True)))
        raise Unfollowable(f"a slice at {at[0]} cuts through a product of dimensions ({' x '.join(str(p.extent[0]) for p in d.product)})")
    if not d.segments:
        rest = tuple(x - y for x, y in zip(d.extent, at, strict=True))
        if any(r <= 0 for r in rest) or any(a <= 0 for a in at):
            raise Unfollowable(f"a slice at {at[0]} of {d.extent[0]} is not inside the dimension at all sizes")
        d.segments = [Dimension(at, d.made), Dimension(rest, d.made)]
        return None
    start = tuple(0 for _ in at)
    for segment in d.segments:
        stop = tuple(x + y for x, y in zip(start, segment.extent, strict=True))
        if at == stop:
            return None
        if all(x < a < y for x, a, y in zip(start, at, stop, strict=True)):
            return _inside(d, segment, tuple(a - x for a, x in zip(at, start, strict=True)))
        start = stop
    raise Unfollowable(f"slices of a dimension of size {d.extent[0]} overlap differently at different sizes")


def _inside(d: Dimension, segment: Dimension, at: Extent) -> None:
    """Cut a segment in two; a segment that is itself a concatenation is taken apart."""
    _cut(segment, at)
    own = segment.root()
    if own.segments:
        i = d.segments.index(segment)
        d.segments[i : i + 1] = own.segments


def take(d: Dimension, start: Extent, stop: Extent) -> Dimension:
    """The dimension of a slice."""
    _cut(d, start)
    _cut(d, stop)
    own = d.root()
    if own.product:
        inner = own.product[1:]
        size = total(inner)
        outer = take(own.product[0], *(tuple(x // y for x, y in zip(at, size, strict=True)) for at in (start, stop)))
        found = Dimension(tuple(x - y for x, y in zip(stop, start, strict=True)), own.made)
        found.product = [outer, *inner]
        return found
    return join([own.segments[i] for i in span(own, start, stop)])


def span(d: Dimension, start: Extent, stop: Extent) -> range:
    """Which segments lie between two cuts."""
    edges = [tuple(0 for _ in d.extent), *_cuts(d), d.extent]
    return range(edges.index(start), edges.index(stop))


def join(segments: Sequence[Dimension]) -> Dimension:
    """The concatenation of segments."""
    if len(segments) == 1:
        return segments[0]
    found = Dimension(tuple(sum(sizes) for sizes in zip(*(s.extent for s in segments), strict=True)))
    found.segments = list(segments)
    found.made = any(s.root().made for s in segments)
    return found
