"""A sweep with words: what it takes before it starts, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..synthetic.estimating import Estimate, estimate, in_words
from ..synthetic.sweep import Plan, execute

if TYPE_CHECKING:
    import pandas as pd

    from ..synthetic.engines import Engine
    from ..synthetic.store import Store

INTERVAL = 15.0  # seconds between two lines about the same ensemble


def run_sweep(name: str, plan: Plan, store: Store, *, device: str, engine: Engine, progress: Callable[[str], object]) -> pd.DataFrame:
    """Say what is missing and what it takes, train it, and say how far it is.

    Args:
        name: at the head of the first lines.
        plan: what is needed.
        store: what is there, and where the rest goes.
        device: where to train.
        engine: who trains.
        progress: called with a line whenever there is something to say.

    Returns:
        The frames of all ensembles (see `execute`).
    """
    progress(f"{name}: {plan}, of which {plan.missing(store).runs} runs are new")
    expected = estimate(plan, store, device=device, engine=engine)
    if not expected.ensembles:
        return execute(plan, store, device=device)
    progress(f"{name}: to do: {expected}")
    return execute(plan, store, device=device, engine=engine, work=expected.costs, progress=teller(expected, progress))


def teller(
    expected: Estimate, progress: Callable[[str], object], *, clock: Callable[[], float] = time.monotonic
) -> Callable[[str, float, float], None]:
    """Progress of a sweep as lines with the time left: one for each ensemble, and more where one takes long."""
    start, said = clock(), {"": -INTERVAL}

    def tell(label: str, done: float, total: float) -> None:
        now = clock() - start
        if label in said and now - max(said.values()) < INTERVAL:
            return
        said[label] = now
        left = f", about {in_words(expected.left(1 - done / total, now))} left" if done < total else ""
        progress(f"{done / total:4.0%}  {label}{left}")

    return tell
