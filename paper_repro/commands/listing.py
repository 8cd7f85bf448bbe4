"""``list``: the names that the other commands understand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..targets import choose

if TYPE_CHECKING:
    from ...theory.optimizers import Optimizer


def _summary(thing: object) -> str:
    """The first sentence of a docstring."""
    return (thing.__doc__ or "").strip().split("\n")[0]


def _architectures() -> Mapping[str, str]:
    from ...synthetic.zoo import MODULES, find_factory
    from ...theory.zoo import ARCHITECTURES

    return {name: _summary(make) for name, make in {**ARCHITECTURES, **{m: find_factory(m) for m in MODULES}}.items()}


def _optimizers() -> Mapping[str, str]:
    from ...theory.optimizers import OPTIMIZERS

    return {name: _update_rule(optimizer) for name, optimizer in OPTIMIZERS.items()}


def _update_rule(o: Optimizer) -> str:
    """The entries of an update, as a product of powers."""
    powers = {"d": o.degree_back, "x": o.degree_forward, "out": o.offset_out, "in": o.offset_in, "max(out,in)": o.offset_max}
    factors = [name if power == 1 else f"{name}^{power}" for name, power in powers.items() if power]
    entries = " ".join(["rate", *factors, *(["|w|"] if o.relative else [])])
    added = {0: "no epsilon", 1: "an epsilon", 2: "two dampings"}[len(o.damping)]
    return f"{entries}; {added}; {f'{o.decay} decay' if o.decay else 'no decay'}"


def _desiderata() -> Mapping[str, str]:
    from ...theory.desiderata import DESIDERATA

    return {name: desideratum.description for name, desideratum in DESIDERATA.items()}


def _gauges() -> Mapping[str, str]:
    from ...theory.table import GAUGES

    return {name: _summary(rule) for name, rule in GAUGES.items()}


def _parameterizations() -> Mapping[str, str]:
    from ...theory.parameterizations import PARAMETERIZATIONS

    return {name: _summary(rule) for name, rule in PARAMETERIZATIONS.items()}


def _problems() -> Mapping[str, str]:
    from ..limits.problems import PROBLEMS

    return {problem.name: problem.title for problem in PROBLEMS.values()}


def _cases() -> Mapping[str, str]:
    from ..cases.catalogue import CASES

    return {case.name: f"{case.title} ({case.source})" for case in CASES.values()}


def _papers() -> Mapping[str, str]:
    from ..papers import PAPERS

    rows: dict[str, str] = {}
    for paper in PAPERS.values():
        rows |= {paper.name: f"{paper.title}; {paper.source}", **{f"{paper.name}/{f.name}": f.title for f in paper.figures}}
        rows |= {f"  {what}": f"not made: {why}" for what, why in paper.absent}
    return rows


KINDS: dict[str, Callable[[], Mapping[str, str]]] = {
    "architectures": _architectures,
    "optimizers": _optimizers,
    "parameterizations": _parameterizations,
    "desiderata": _desiderata,
    "gauges": _gauges,
    "problems": _problems,
    "cases": _cases,
    "papers": _papers,
}


def list_names(kind: str | None) -> int:
    """Print the names of one kind, or of all kinds."""
    kinds = [choose("kind of name", kind, tuple(KINDS))] if kind is not None else list(KINDS)
    for i, title in enumerate(kinds):
        names = KINDS[title]()
        width = max(map(len, names), default=0)
        if kind is None:
            print(f"{chr(10) * (i > 0)}{title}")
        for name, meaning in names.items():
            print(f"  {name:{width}}  {meaning}".rstrip())
    return 0
