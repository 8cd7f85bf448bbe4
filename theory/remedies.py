"""What to start differently where no Gaussian initialisation does what is asked: weights at zero, or equal along an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .architecture import Architecture, with_init
from .derivation import derive
from .observables import Observable
from .optimizers import Optimizer
from .scales import Regime
from .table import ExponentTable

FOUND = ("unique", "family")
LARGE = 24  # nodes of a network in which remedies are searched without proofs that others do not work


@dataclass(frozen=True)
class Attempt:
    """One way to start.

    Args:
        inits: how single weights start, ``zero`` or ``shared``; the others are Gaussian.
        table: what follows; without rows where it is infeasible, with the relations that clash.
    """

    inits: Mapping[str, str]
    table: ExponentTable

    @property
    def works(self) -> bool:
        """Whether all that is asked can be had."""
        return self.table.verdict in FOUND

    def __str__(self) -> str:
        return " and ".join(f"`{name}` {'starts at zero' if init == 'zero' else 'shared'}" for name, init in self.inits.items())


@dataclass(frozen=True)
class Remedies:
    """The search.

    Args:
        working: the ways to start that work with the fewest changes; first those that change weights near the output.
        tried: all others that were derived, the unchanged one first.
    """

    working: tuple[Attempt, ...]
    tried: tuple[Attempt, ...] = field(default=())


def find_remedies(
    architecture: Architecture,
    optimizer: str | Optimizer = "adamw",
    *,
    regime: Regime,
    desiderata: str = "mssp",
    most: int = 4,
    kinds: tuple[str, ...] = ("zero", "shared"),
    gauge: str = "multiplier-free",
    prove: bool = True,
    known: dict[frozenset[tuple[str, str]], ExponentTable] | None = None,
) -> Remedies:
    """Change initial values until the desiderata can be met.

    Conflict-directed: the smallest set of relations that contradict each other names the initial values that take part in it, and
    only these are changed, one more at a time.

    Args:
        architecture: as it is.
        optimizer: a name or an `Optimizer`.
        regime: how fast the axes grow.
        desiderata: what is asked.
        most: weights that may be changed.
        kinds: of weights with an index, what may be tried: ``zero`` and ``shared``; others can only start at zero.
        gauge: of the tables.
        prove: what does not work is proved not to; without, what could not be met is taken for the clash.
        known: tables that another search has derived, by how weights start; those of this one are added.
    """
    known = {} if known is None else known
    level: list[dict[str, str]] = [{}]
    tried: list[Attempt] = []
    seen: set[frozenset[tuple[str, str]]] = set()
    while level and len(level[0]) <= most:
        working, following = [], []
        for inits in level:
            key = frozenset(inits.items())
            if key not in known:
                start = with_init(architecture, **inits)
                known[key] = derive(start, optimizer, desiderata=desiderata, regime=regime, gauge=gauge, prove=prove)
            table = known[key]
            attempt = Attempt(inits, table)
            (working if attempt.works else tried).append(attempt)
            if table.verdict == "infeasible" or not (prove or attempt.works):
                following += [{**inits, **more} for more in _changes(architecture, inits, table, kinds)]
        if working:
            late = {name: i for i, name in enumerate(architecture.weights)}
            working.sort(key=lambda attempt: -sum(late[name] for name in attempt.inits))
            return Remedies(tuple(working), tuple(tried))
        level = []
        for inits in following:
            if (key := frozenset(inits.items())) not in seen:
                seen.add(key)
                level.append(inits)
    return Remedies((), tuple(tried))


def is_provable(architecture: Architecture) -> bool:
    """Whether a proof that a network has no table is a matter of seconds."""
    return len(architecture.nodes) < LARGE


def _changes(
    architecture: Architecture, inits: Mapping[str, str], table: ExponentTable, kinds: tuple[str, ...]
) -> Iterator[dict[str, str]]:
    """Other starts for the weights whose initial values take part in the clash."""
    for name, weight in architecture.weights.items():
        named = any(_owner(architecture, label) == name and "W0" in label for label in table.clash)
        if named and name not in inits and weight.init == "gaussian" and weight.trained:
            if "zero" in kinds or not architecture.index_of(name):
                yield {name: "zero"}
            if "shared" in kinds and architecture.index_of(name) and not weight.shared:
                yield {name: "shared"}


def _owner(architecture: Architecture, label: str) -> str:
    """The weight that a relation on an atomic term is about."""
    kind, _, name = label.partition(" ")
    node = Observable.parse(name).node if kind in ("atom", "first") else ""
    return next((n.weight for n in architecture.nodes if n.name == node), "")


def derive_with_remedy(
    architecture: Architecture,
    optimizer: str | Optimizer = "adamw",
    *,
    regime: Regime,
    desiderata: str = "mssp",
    gauge: str = "multiplier-free",
) -> ExponentTable:
    """The table of a remedy; what clashes without it, and the others that work, are its notes.

    Weights with an index are asked to share their initial values first, so that none of them starts silent; then zeros are allowed.
    In a large network nothing is proved not to work, and zeros are not tried where sharing does.
    """
    prove = is_provable(architecture)
    known: dict[frozenset[tuple[str, str]], ExponentTable] = {}
    settings: dict[str, Any] = {"regime": regime, "desiderata": desiderata, "gauge": gauge, "known": known, "prove": prove}
    sharing = find_remedies(architecture, optimizer, kinds=("shared",), **settings)
    if sharing.working and not sharing.working[0].inits:
        return sharing.working[0].table
    found = sharing if sharing.working and not prove else find_remedies(architecture, optimizer, **settings)
    first_found = [attempt.inits for attempt in sharing.working]
    working = [*sharing.working, *(attempt for attempt in found.working if attempt.inits not in first_found)]
    if not working:
        return found.tried[0].table
    first, *others = working
    unchanged = "infeasible as it stands" if prove else "not met as it stands (not proved impossible)"
    notes = [f"{unchanged}: {'; '.join(found.tried[0].table.clash)}", f"remedy: {first}"]
    notes += [f"another remedy: {other}" for other in others]
    return replace(first.table, notes=(*first.table.notes, *notes))
