"""Tasks side by side, in processes with their share of the threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context, parent_process
from typing import Any


def spread(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], *, jobs: int) -> Iterator[tuple[int, Any]]:
    """The number of every task and ``function(*task)``, as they finish.

    Args:
        function: of a module, so that processes find it.
        tasks: its arguments; those that take longest first.
        jobs: processes; with one, or within such a process, or on a single core, everything happens here, in order.
    """
    jobs = min(jobs, len(tasks), os.cpu_count() or 1)
    if jobs < 2 or parent_process() is not None:
        yield from ((i, function(*task)) for i, task in enumerate(tasks))
        return
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, threads)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        started = {pool.submit(function, *task): i for i, task in enumerate(tasks)}
        try:
            for finished in as_completed(started):
                yield started[finished], finished.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in active_children():  # what they have finished is kept; nobody waits for the rest
                child.terminate()
            raise
