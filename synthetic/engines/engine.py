"""What an engine is, and finding one by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .cluster import Ray
from .local import Local

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..store import Store

ENGINES = ("local", "ray")

Report = Callable[[int, str, float], None]
"""Called with the number of an ensemble, its label, and the part of it that is done."""


@runtime_checkable
class Engine(Protocol):
    """Something that trains ensembles and stores each of them once, when it is finished."""

    def workers(self) -> int:
        """Ensembles at a time; connects to a cluster."""
        ...

    @property
    def threads(self) -> int | None:
        """Threads of each, or None for torch's own choice."""
        ...

    def run(self, ensembles: Sequence[Ensemble], store: Store, *, device: str, report: Report) -> None:
        """Train what the store lacks of the ensembles, and store it.

        Args:
            ensembles: in the order in which they should be finished.
            store: where.
            device: of each worker.
            report: called as the work goes on.

        Raises:
            StoreError: if the store cannot be written.
            ChildProcessError: if workers died.
        """
        ...


def find_engine(name: str, *, jobs: int = 1) -> Engine:
    """The engine of this name.

    Args:
        name: one of `ENGINES`.
        jobs: ensembles at a time on this machine; a cluster has as many as it has cores.

    Raises:
        ValueError: if there is none, or it is not installed.
    """
    if name == "local":
        return Local(jobs)
    if name == "ray":
        return Ray()
    raise ValueError(f"unknown engine `{name}`; choose from {', '.join(ENGINES)}")
