"""This machine: one ensemble after the other, or several processes side by side."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from typing import TYPE_CHECKING

from ..store import Busy, Store

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from ..training import Progress
    from .engine import Report

_given: tuple[Sequence[Ensemble], Store, str] | None = None  # of a worker process, sent once: tasks can be large


@dataclass(frozen=True)
class Local:
    """This machine.

    Args:
        jobs: ensembles at a time, each in a process with its share of the cores; one is trained in this process.
    """

    jobs: int = 1

    def workers(self) -> int:
        """Ensembles at a time."""
        return self.jobs

    @property
    def threads(self) -> int | None:
        """Threads of each process, or None for torch's own choice."""
        return max(1, (os.cpu_count() or 1) // self.jobs) if self.jobs > 1 else None

    def run(self, ensembles: Sequence[Ensemble], store: Store, *, device: str, report: Report) -> None:
        """Train what the store lacks; what another sweep is training is left to it, and waited for at the end.

        Raises:
            StoreError: if the store cannot be written.
            ChildProcessError: if a worker process died.
        """
        run = self._side_by_side if min(self.jobs, len(ensembles)) > 1 else _in_turn
        run(ensembles, store, device, report)

    def _side_by_side(self, ensembles: Sequence[Ensemble], store: Store, device: str, report: Report) -> None:
        given, others = (ensembles, Store(store.root.resolve()), device, self.threads), set(active_children())
        jobs = min(self.jobs, len(ensembles))
        with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_receive, initargs=given) as pool:

            def work(numbers: Iterable[int], wait: bool) -> Iterator[int]:
                """The numbers of those that another process is training."""
                tasks = {pool.submit(_finish_given, number, wait): number for number in numbers}
                for task in as_completed(tasks):
                    if task.result():
                        report(tasks[task], ensembles[tasks[task]].label, 1.0)
                    else:
                        yield tasks[task]

            try:
                list(work(list(work(range(len(ensembles)), False)), True))
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                for child in set(active_children()) - others:  # nobody waits for what they have not finished
                    child.terminate()
                if isinstance(error, BrokenProcessPool):
                    raise ChildProcessError("a worker process was killed (is memory short?); what is finished is kept") from None
                raise


def finish(ensemble: Ensemble, store: Store, *, device: str, wait: bool = True, progress: Progress | None = None) -> bool:
    """Train an ensemble and store it, unless it is stored.

    Returns:
        False if another process is training it and ``wait`` is false.
    """
    from ..training import train

    try:
        store.get_or_make(ensemble.key_data(), lambda: train(ensemble, device=device, progress=progress), device=device, wait=wait)
    except Busy:
        return False
    return True


def _in_turn(ensembles: Sequence[Ensemble], store: Store, device: str, report: Report) -> None:
    def work(number: int, wait: bool) -> bool:
        def tell(label: str, done: float, total: float) -> None:
            report(number, label, done / total if total else 1.0)

        finished = finish(ensembles[number], store, device=device, wait=wait, progress=tell)
        if finished:
            report(number, ensembles[number].label, 1.0)
        return finished

    for number in [number for number in range(len(ensembles)) if not work(number, wait=False)]:
        report(number, f"waiting for another process: {ensembles[number].label}", 0.0)
        work(number, wait=True)


def _receive(ensembles: Sequence[Ensemble], store: Store, device: str, threads: int | None) -> None:
    """Make a worker process ready."""
    import torch

    global _given
    _given = ensembles, store, device
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that hands out the work ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads or torch.get_num_threads())


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _finish_given(number: int, wait: bool) -> bool:
    assert _given is not None
    ensembles, store, device = _given
    return finish(ensembles[number], store, device=device, wait=wait)
