"""``reproduce`` and ``report``: run figures, keep what is finished, print verdicts, write the page."""

from __future__ import annotations

import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...synthetic.engines import Engine, find_engine
from ..claims import NOT_REPRODUCED, Claim
from ..papers import PRESETS, Figure, Outcome, Paper, Progress, find_figures, gather
from ..papers import reproduce as make
from ..parallel import spread
from ..progress import progress_bar
from ..report import write_report
from ..results import results_home
from ..targets import choose


def reproduce(what: list[str], *, preset: str, jobs: int, out: Path, engine: str) -> int:
    """Run the named papers and figures; arguments are those of the command line, and so is the exit status."""
    choose("preset", preset, PRESETS)
    figures, home = find_figures(what), results_home()
    executor = find_engine(engine, jobs=max(1, jobs // len(figures)))
    require_writable(out, "output folder")
    require_writable(home, "results folder")
    outcomes = []
    try:
        with progress_bar("starting", total=len(figures)) as bar:
            for outcome in _outcomes(figures, preset, home, jobs=jobs, engine=executor, progress=bar.say):
                outcomes.append(outcome)
                bar.advance()
    except KeyboardInterrupt:
        again = shlex.join(["widelimit", *sys.argv[1:]])
        print(f"{len(outcomes)} of {len(figures)} figures are finished and kept; go on with: {again}", file=sys.stderr)
        return 130
    for outcome in outcomes:
        print(describe(outcome))
        if outcome.error is not None:
            traceback.print_exception(outcome.error)
    made = {(o.paper, o.figure): o.result for o in outcomes if o.result is not None}
    kept = {(paper, figure): result for paper, figure, result in gather(home, find_figures(()))} | made
    if kept:
        print(f"report: {write_report([(paper, figure, result) for (paper, figure), result in kept.items()], out)}")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def report(*, out: Path) -> int:
    """Write the page again from what is kept."""
    home = results_home()
    kept = gather(home, find_figures(()))
    if not kept:
        raise ValueError(f"no finished figure is kept in `{home}`; run `widelimit reproduce core` first, or set WIDELIMIT_HOME")
    require_writable(out, "output folder")
    print(f"report: {write_report(kept, out)}")
    return 0


def _outcomes(
    figures: Sequence[tuple[Paper, Figure]], preset: str, home: Path, *, jobs: int, engine: Engine, progress: Progress
) -> Iterator[Outcome]:
    if min(jobs, len(figures)) < 2:
        yield from make(figures, preset, home=home, progress=progress, engine=engine)
        return
    tasks = [(paper, figure, preset, home, engine) for paper, figure in figures]
    for _, outcome in spread(_one, tasks, jobs=jobs):
        progress(f"{outcome.paper.name}/{outcome.figure.name}: finished after {outcome.seconds:.0f} s")
        yield outcome


def _one(paper: Paper, figure: Figure, preset: str, home: Path, engine: Engine) -> Outcome:
    """One figure in a process of its own; its error becomes one that can be sent back."""
    (outcome,) = make([(paper, figure)], preset, home=home, progress=lambda _: None, engine=engine)
    if outcome.error is None:
        return outcome
    error = RuntimeError(f"{type(outcome.error).__name__}: {outcome.error}")
    error.add_note("".join(traceback.format_exception(outcome.error)))
    return replace(outcome, error=error)


def describe(outcome: Outcome) -> str:
    """The claims of a figure and their verdicts, one a line."""
    head = f"{outcome.paper.name}/{outcome.figure.name} ({outcome.preset}, {'kept' if outcome.reused else f'{outcome.seconds:.0f} s'})"
    if outcome.result is None:
        return f"{head}: crashed: {type(outcome.error).__name__}: {outcome.error}"
    return "\n".join([head, *(f"  {_line(claim)}" for claim in outcome.result.claims)])


def _line(claim: Claim) -> str:
    measured = "-" if claim.measured is None else f"{claim.measured:.4g}"
    numbers = f"measured {measured}, expected {'' if claim.relation == '=' else claim.relation + ' '}{claim.expected:.4g}"
    known = " (as on record)" if claim.verdict == claim.on_record == NOT_REPRODUCED else ""
    return f"{claim.verdict + known:29}  {claim.id}: {numbers}{f'  FAILURE: {claim.failure}' if claim.failure else ''}"


def require_writable(folder: Path, what: str) -> None:
    """Make ``folder`` and see that files can be made in it.

    Raises:
        ValueError: if not; the message names the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        raise ValueError(f"the {what} `{folder}` cannot be written: {reason}") from None
