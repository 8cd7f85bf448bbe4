"""The mutation score: of the tables with one exponent moved by 1/2, the share that the coordinate check finds."""

from __future__ import annotations

from ...synthetic.store import Store
from ...theory.architecture import Architecture
from ...theory.parameterizations import parameterization
from ..check import QUICK, expect, mutants, run_check
from ..claims import Claim, Control
from ..papers import Progress

OPTIMIZERS = ("sgd", "adam")


def passing(net: Architecture, optimizer: str, store: Store, progress: Progress) -> dict[str, bool]:
    """For the table itself (``""``) and each altered one, whether the check lets it pass as muP."""
    table = parameterization("mup", net, optimizer)
    promise = expect(net, table, QUICK.steps)
    passed = {}
    for label, trained in (("", table), *mutants(table)):
        progress(f"{net.name} mutants {optimizer}: {label or 'none altered'}")
        passed[label] = run_check(net, trained, QUICK, promise=promise, store=store).missed.empty
    return passed


def mutation_claim(figure: str, net: Architecture, expected: float, store: Store, progress: Progress) -> Claim:
    """An exponent that is off by 1/2 in one weight's initialisation or rate is found."""
    passed = {(optimizer, label): p for optimizer in OPTIMIZERS for label, p in passing(net, optimizer, store, progress).items()}
    altered = {key: p for key, p in passed.items() if key[1]}
    found = sum(not p for p in altered.values())
    missed = "; ".join(f"{label} ({optimizer})" for (optimizer, label), p in altered.items() if p)
    text = (
        f"The check of the {net.name} fails if one weight's learning-rate or init exponent of muP is moved by 1/2: {found} of "
        f"{len(altered)} altered tables are found{f', not {missed}' if missed else ''}; share found"
    )
    intact = [not p for (_, label), p in passed.items() if not label]
    control = Control("the tables as they are", sum(intact) / len(intact))
    reason = "every one" if expected == 1 else "one in twenty of a Transformer's slopes may drown in the noise of four seeds"
    return Claim(
        f"{figure}/{net.name}-mutants", text, "widelimit.theory.prediction", "prediction", expected, 0.0, reason, control,
        found / len(altered), relation=">=",
    )  # fmt: skip
