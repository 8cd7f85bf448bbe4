"""How far a long computation is: a bar on a terminal, lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """Two callbacks: ``say`` shows a line about what is being done, ``advance`` counts one finished part."""

    say: Callable[[str], None]
    advance: Callable[[], None]


@contextmanager
def progress_bar(title: str, total: int | None = None) -> Iterator[Bar]:
    """Show progress while the block runs; ``total`` parts, or an unknown number."""
    if not sys.stderr.isatty():
        yield Bar(lambda line: print(line, file=sys.stderr, flush=True), lambda: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = [SpinnerColumn(), BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)]
    if total is not None:
        columns.insert(2, MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield Bar(lambda line: bar.update(task, description=line), lambda: bar.advance(task))


@contextmanager
def waiting(title: str, after: float = 5.0) -> Iterator[None]:
    """Say what a computation without parts is doing: with its time on a terminal, elsewhere a line after some seconds."""
    if sys.stderr.isatty():
        with progress_bar(title):
            yield
        return
    line = threading.Timer(after, print, [f"{title}: this can take minutes"], {"file": sys.stderr, "flush": True})
    line.daemon = True
    line.start()
    try:
        yield
    finally:
        line.cancel()
