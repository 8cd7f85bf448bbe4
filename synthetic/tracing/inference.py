"""Dimensions of every tensor: which are the same, which are products, which are concatenations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .axes import Dimension, Unfollowable, join, regroup, take, unify
from .lowering import Lowered
from .steps import Step

Dims = list[Dimension]


def infer(lowered: Lowered, steps: Sequence[Step]) -> dict[int, Dims]:
    """Go through the steps once; dimensions are merged, split and cut on the way, so read them only afterwards.

    Raises:
        ValueError: where a step cannot be followed; it is named with its place.
    """
    found: dict[int, Dims] = {}
    for step in steps:
        for arg in step.args:
            if arg not in found:
                found[arg] = _fresh(lowered, arg)
        try:
            found[step.out] = _infer(lowered, step, found)
        except Unfollowable as error:
            raise ValueError(f"`{step.place or 'the module'}`: {error}") from None
    return found


def _fresh(lowered: Lowered, number: int) -> Dims:
    return [Dimension(extent) for extent in lowered.extents[number]]


def _infer(lowered: Lowered, step: Step, found: Mapping[int, Dims]) -> Dims:
    out = _fresh(lowered, step.out)
    args = [found[a] for a in step.args]
    match step.kind:
        case "map" | "scale" | "norm" | "softmax":
            return args[0]
        case "add" | "mul":
            return _broadcast(out, args)
        case "regroup":
            for left, right in step.spec:
                if left:
                    regroup([args[0][i] for i in left], [out[j] for j in right])
            return out
        case "permute":
            return [args[0][i] for i in step.spec]
        case "slice":
            return _slice(out, args[0], *step.spec)
        case "cat":
            return _cat(out, args, step.spec)
        case "contract":
            return _contract(out, args, step, lowered)
        case "lookup":
            lead = len(out) - len(args[0]) + 1
            return [*out[:lead], *args[0][1:]]
        case "sum":
            return [o if i in step.spec else d for i, (o, d) in enumerate(zip(out, args[0], strict=True))]
        case "unknown":
            op, reason = step.spec
            raise Unfollowable(f"`{op}`: {reason}" + (_HINT if "is not known" in reason else ""))
        case _:
            return _move(out, args[0])


_HINT = "; declare what it does entrywise as the third thing the factory returns, for example {'erfinv': 'odd'}"


def _broadcast(out: Dims, args: Sequence[Dims]) -> Dims:
    made: Dims = []
    for i in range(1, len(out) + 1):
        same = [a[-i] for a in args if len(a) >= i and a[-i].extent == out[-i].extent and not a[-i].is_one]
        for other in same[1:]:
            unify(same[0], other)
        made.append(same[0] if same else out[-i])
    return made[::-1]


def _slice(out: Dims, old: Dims, dim: int, start: tuple[int, ...], stop: tuple[int, ...]) -> Dims:
    whole = old[dim]
    kept = take(whole, start, stop) if whole.grows or whole.root().made else out[dim]
    return [*old[:dim], kept, *old[dim + 1 :]]


def _cat(out: Dims, args: Sequence[Dims], dim: int) -> Dims:
    made = []
    for i, o in enumerate(out):
        if i == dim:
            own = [a[i] for a in args]
            made.append(join(own) if any(d.grows for d in own) else o)
        else:
            for other in args[1:]:
                unify(args[0][i], other[i])
            made.append(args[0][i])
    return made


def _contract(out: Dims, args: Sequence[Dims], step: Step, lowered: Lowered) -> Dims:
    known: dict[str, Dimension] = {}
    for labels, dims in zip(step.spec[:2], args, strict=True):
        for label, d in zip(labels, dims, strict=True):
            if label in known and not (d.is_one or known[label].is_one):
                unify(known[label], d)
            elif label not in known or known[label].is_one:
                known[label] = d
    result = [known.get(label, o) for label, o in zip(step.spec[2], out, strict=True)]
    for i, arg in enumerate(step.args):
        if lowered.kinds[arg] == "param":
            for label, d in zip(step.spec[i], args[i], strict=True):
                if label in step.spec[2] and label not in step.spec[1 - i]:
                    d.mark_made()
    return result


def _move(out: Dims, old: Dims) -> Dims:
    """Dimensions that keep their size are the same; the others must not grow."""
    if len(out) == len(old):
        pairs = list(zip(out, old, strict=True))
    else:
        growing = [d for d in old if d.grows]
        if [d.extent for d in growing] != [o.extent for o in out if o.grows]:
            raise Unfollowable("entries are moved along a dimension that grows")
        left = iter(growing)
        return [next(left) if o.grows else o for o in out]
    for o, d in pairs:
        if o.extent != d.extent and (o.grows or d.grows):
            raise Unfollowable(f"entries are moved along a dimension that grows (size {d.extent[0]} becomes {o.extent[0]})")
    return [d if o.extent == d.extent else o for o, d in pairs]
