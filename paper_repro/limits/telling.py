"""How far a solve is, in lines."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...dmft.replicates import Progress as Solving

EVERY = 5.0  # seconds between two lines about the same run


def telling(say: Callable[[str], object], prefix: str = "") -> Solving:
    """A callback for `solve` that says what is being run, and again now and then."""
    last: dict[str, float] = {}

    def told(label: str, done: float, total: float) -> None:
        now = time.monotonic()
        if label not in last or now - last[label] >= EVERY:
            last[label] = now
            say(f"{prefix}{label}: {done / total:.0%}")

    return told
