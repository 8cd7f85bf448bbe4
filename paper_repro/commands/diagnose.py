"""``diagnose``: how a setting of a user's network has to scale."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ..progress import progress_bar
from ..targets import choose, load_architecture, load_factory, load_function, parse_sizes

if TYPE_CHECKING:
    from ..diagnosis import Diagnosis, Estimate, Finding

WHAT = {"top": "top singular values", "gain": "gains"}
SPREAD = {"top": "stable rank", "gain": "participation ratio"}
TOO_WIDE = 0.5  # of the interval of the decay's exponent: the published rules are this far apart


def weight_decay(
    target: str,
    *,
    data: str,
    sizes: str,
    seeds: int,
    learning_rate: float,
    decay: float,
    steps: int | None,
    batch: int,
    loss: str,
    match: str,
    axis: str,
    optimizer: str,
    form: str,
) -> int:
    """Measure a target and print the power of the size with which its decay has to grow."""
    choose("format", form, ("text", "json"))
    choose("--match", match, tuple(WHAT))
    if optimizer != "adamw":
        raise ValueError(f"--optimizer is `{optimizer}`; what is measured is the steady state of decay in AdamW: choose adamw")
    if loss:
        choose("--loss", loss, ("squared", "cross-entropy", "logistic"))
    if loss and not data:
        raise ValueError("--loss says how to read --data, which is not given")
    chosen = parse_sizes(sizes) if sizes else ()
    from ..diagnosis import Settings

    settings = Settings(chosen, seeds, learning_rate, decay, steps, batch, match, loss, axis)
    function = load_function(data, "--data") if data else None
    architecture = load_architecture(target)
    if {"n", "m", "E"} <= {a.name for a in architecture.axes}:
        raise ValueError(
            f"`{architecture.name}` has experts, which grow in several ways: give a factory that fixes all but one of its axes"
        )
    from ..diagnosing import Target, diagnose

    factory = load_factory(target) if architecture.parameters else None
    with progress_bar(f"diagnose weight-decay {target}") as bar:
        found = diagnose(Target(architecture, factory, function, data), settings, bar.say)
    if form == "json":
        print(json.dumps(as_json(target, found), indent=2, allow_nan=False))
    else:
        print(as_text(target, found))
    return 0


def as_text(target: str, found: Diagnosis) -> str:
    """The matrices, the recommendation, its reason, and what speaks against it."""
    s, what = found.settings, WHAT[found.settings.match]
    head = (
        f"{target}, adamw, {found.axis} = {', '.join(map(str, s.sizes))}; {s.seeds} seeds, {found.steps} updates; data: {found.data}\n"
        f"stationary: 2 sum(rate decay) = {found.stationarity:.1f}; over the last 1/(rate decay) = {s.memory} updates squared norms "
        f"moved by at most {found.largest_move:.0%} (beyond two standard errors)"
    )
    other = "gain" if s.match == "top" else "top s.v."
    columns = (
        "matrix",
        "alpha measured",
        "of noise",
        "of spectra",
        "gamma in",
        "gamma back",
        "persists",
        f"alpha of {other}",
        "decay exponent",
    )
    cells = [columns, *(_cells(one, found) for one in found.findings)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    table = "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() for line in cells)
    legend = (
        f"alpha: {what} ~ sqrt(rate / decay) {found.axis}^alpha; persists: 0% is forgotten as noise is, 100% was learned and stays, "
        "below 0% is driven back by the loss"
    )
    return "\n\n".join([head, f"{table}\n{legend}", "\n".join(_recommendation(found)), *_warnings(found)])


def _cells(one: Finding, found: Diagnosis) -> tuple[str, ...]:
    sides = (f"{one.sides[0].value:.2f}", f"{one.sides[1].value:.2f}" if found.settings.match == "top" else "-")
    return (
        one.weight, str(one.alpha), f"{one.noise.value:.2f}", f"{one.from_ranks.value:.2f}", *sides, f"{one.persists:.0%}",
        f"{one.other.value:.2f}", str(one.decay),
    )  # fmt: skip


def _recommendation(found: Diagnosis) -> list[str]:
    every, n = found.whole, found.axis
    own = [one.decay.value for one in found.findings]
    spread = f"; {min(own):.2f} to {max(own):.2f} by matrix" if len(own) > 1 else ""
    of = "matrices" if found.complete else f"{len(own)} of {found.frame['weight'].nunique()} matrices, as the others do not rest,"
    return [
        f"recommended: decay ~ {n}^{every.decay.value:.2f}  [{every.decay.low:.2f}, {every.decay.high:.2f}] of {of} beside rates of "
        f"{rate_of(found)}, none of vectors{spread}",
        f"why: {reason(found)}",
        f"the published sqrt({n}) (arXiv 2510.15262) lies {'inside' if inside(found) else 'outside'} of the interval",
    ]


def rate_of(found: Diagnosis) -> str:
    """How rates of matrices scale, in words."""
    powers = sorted({found.rates[one.weight] for one in found.findings})
    return " or ".join(f"1/{found.axis}" if p == -1 else f"{found.axis}^{p:g}" for p in powers)


def reason(found: Diagnosis) -> str:
    """One line of mathematics."""
    n, every = found.axis, found.whole
    rate = found.rates[found.findings[0].weight]
    shift = f"2 alpha - {-rate:g}" if rate < 0 else f"2 alpha + {rate:g}"
    first = f"{SPREAD[found.settings.match]} ~ {n}^{every.gamma.value:.2f}, so that alpha = {every.offset:g} - gamma/2 = "
    return (
        f"{first}{every.from_ranks.value:.2f} (of noise {every.noise.value:.2f}, measured {every.alpha.value:.2f}); "
        f"sqrt(rate / decay) {n}^alpha stays where decay ~ {n}^({shift})"
    )


def inside(found: Diagnosis) -> bool:
    """Whether the published square root lies in the interval."""
    from ..diagnosis import PUBLISHED

    return found.whole.decay.has(PUBLISHED)


def _warnings(found: Diagnosis) -> list[str]:
    lines = []
    differ = [one for one in found.findings if not one.is_noise]
    if differ:
        names = ", ".join(f"{one.weight} ({one.differs.value:+.2f})" for one in differ)
        lines.append(
            f"measured and predicted disagree: {names} against noise with the correlations of inputs and derivatives. That mechanism does "
            "not hold there; what is measured counts, and may change with the data and the length of the run."
        )
    spread = [one.decay for one in found.findings]
    if max(e.low for e in spread) > min(e.high for e in spread):
        lines.append("matrices differ by more than their intervals: no one power keeps them all; give each its own exponent.")
    if found.whole.decay.high - found.whole.decay.low > TOO_WIDE:
        lines.append("the interval is too wide to tell constant, sqrt and linear apart: give more --seeds, and --sizes further apart")
    if found.moving:
        names = ", ".join(f"{weight} at {found.axis}={size}" for weight, size in found.moving)
        pairs = len(found.frame[["weight", found.column]].drop_duplicates())
        count = f"{len(found.moving)} of {pairs} matrices by size, in {found.excluded} of {_runs(found)} runs"
        lines.append(f"not stationary, left out of the fits ({count}): {names}; try --steps {2 * found.steps}")
    if found.left_out:
        lines.append("not measured: " + "; ".join(f"{name}: {why}" for name, why in found.left_out.items()))
    return ["\n".join(lines)] if lines else []


def _runs(found: Diagnosis) -> int:
    return len(found.frame[["seed", found.column]].drop_duplicates())


def as_json(target: str, found: Diagnosis) -> dict[str, Any]:
    """Everything that the text shows."""
    s = found.settings
    return {
        "schema": 1,
        "target": target,
        "optimizer": "adamw",
        "data": found.data,
        "axis": found.axis,
        "sizes": list(s.sizes),
        "seeds": s.seeds,
        "steps": found.steps,
        "learning_rate": s.learning_rate,
        "decay": s.decay,
        "stationarity": found.stationarity,
        "match": s.match,
        "rows": [_row(one) for one in found.findings],
        "all": _row(found.whole),
        "reason": reason(found),
        "published_inside": inside(found),
        "excluded_runs": found.excluded,
        "not_stationary": [{"weight": weight, "size": int(size)} for weight, size in found.moving],
        "left_out": dict(found.left_out),
    }


def _row(one: Finding) -> dict[str, Any]:
    return {
        "weight": one.weight,
        "alpha": _interval(one.alpha),
        "alpha_of_the_other": _interval(one.other),
        "noise": _interval(one.noise),
        "spectra": _interval(one.from_ranks),
        "gamma": _interval(one.gamma),
        "gamma_in": _interval(one.sides[0]),
        "gamma_back": _interval(one.sides[1]),
        "persists": one.persists if math.isfinite(one.persists) else None,
        "decay_exponent": _interval(one.decay),
        "is_noise": one.is_noise,
    }


def _interval(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}
