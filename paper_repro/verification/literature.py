"""Statements of the literature that contradict each other: networks decide.

Each is an exponent of one term of one network under one table, listed in the package's own words, with where it stands; the
exponent that is derived here stands against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import pandas as pd

from ...figures.fit import Slope, fit_slope
from ...figures.style import BLUE, INK, RED, panels, save, styled
from ...synthetic.store import Store
from ...theory.architecture import Architecture
from ...theory.case import gradient_sizes
from ...theory.derivation import alone, derive
from ...theory.graph import Graph
from ...theory.observables import Observable
from ...theory.parameterizations import parameterization
from ...theory.prediction import behave, predict_linear
from ...theory.scales import Axis, Powers
from ...theory.table import ExponentTable
from ...theory.zoo import gpt, mlp, resmlp
from ..claims import NOT_REPRODUCED, REPRODUCED, Claim, Control
from ..conditions import Conditions
from ..papers import Progress
from ..results import Result

FIGURE = "verification/literature"
MLP, GPT = mlp(activation="gelu"), gpt(vocab=16)
RESIDUAL, PLAIN = resmlp(activation="gelu"), resmlp(activation="gelu", branch=0)
HIDDEN, READOUT = "W2", "W3"


@dataclass(frozen=True)
class Question:
    """One exponent in question.

    Args:
        name: a few words.
        statement: what is claimed, for which `claimed` is the exponent of the term.
        source: where.
        claimed: the exponent that follows from it.
        architecture: the network.
        table: how it scales; called when it is needed.
        term: weight and kind of the term, as in frames.
        axis: what grows.
        sizes: over which it is fitted in the laptop preset.
    """

    name: str
    statement: str
    source: str
    claimed: Fraction
    architecture: Architecture
    table: Callable[[], ExponentTable]
    term: tuple[str, str]
    axis: str = "n"
    sizes: tuple[int, ...] = (128, 256, 512)

    @cached_property
    def derived(self) -> Fraction:
        """The exponent that is derived here, after one update with a vanishing rate."""
        table, (weight, kind) = self.table(), self.term
        regime = alone(self.architecture, next(a for a in self.architecture.axes if a.name == self.axis))
        if kind == "gradient":
            start = behave(self.architecture, table, regime=regime, steps=1)
            return sum(gradient_sizes(start.net, start.report.firsts)[weight], Fraction(0))
        return predict_linear(self.architecture, table, regime=regime)[Observable(weight, kind)].exponent


def _rates(table: ExponentTable, **rates: str) -> ExponentTable:
    """The table with other learning rates, powers of n by weight."""
    for weight, power in rates.items():
        table = table.changed(weight, learning_rate=Powers(n=power))
    return table


def _derived(architecture: Architecture, optimizer: str, **rates: str) -> Callable[[], ExponentTable]:
    return lambda: _rates(derive(architecture, optimizer), **rates)


def _standard(optimizer: str, **rates: str) -> Callable[[], ExponentTable]:
    return lambda: _rates(parameterization("sp", MLP, optimizer), **rates)


def _initial(table: ExponentTable, **stds: Powers) -> ExponentTable:
    """The table with other initial standard deviations."""
    for weight, std in stds.items():
        table = table.changed(weight, init_std=std)
    return table


def _deep(optimizer: str, power: int, embed: str = "0") -> Callable[[], ExponentTable]:
    """CompleteP with the learning rates of the blocks, and of the embedding, at other powers of the depth."""

    def table() -> ExponentTable:
        found = derive(RESIDUAL, optimizer, desiderata="complete")
        for weight in ("up", "down"):
            found = found.changed(weight, learning_rate=Powers(n=found.row(weight).learning_rate["n"], L=power))
        return found.changed("embed", learning_rate=Powers(n=found.row("embed").learning_rate["n"], L=embed))

    return table


def _scaled_at_start() -> ExponentTable:
    """Depth-muP's rate at the ends of branches without its multipliers, which initial values replace; the rest hardly moves."""
    found = _initial(parameterization("sp", PLAIN, "adam"), down=Powers(n="-1/2", L="-1/2"), readout=Powers(n=-1))
    for weight, rate in {"embed": Powers(L=-2), "up": Powers(n=-1, L=-2), "down": Powers(n=-1, L="-1/2")}.items():
        found = found.changed(weight, learning_rate=rate)
    return found


def _shared_keys() -> Architecture:
    """Attention whose heads, as many as n, share the keys and the values of one."""
    g = Graph("multi-query attention", [Axis("n", base=64)])
    g.dims(vocab=16, time=8, source=8, n="n", repeat="n", d=8)
    x = g.dense("embedding", g.input("time", "vocab", token=True), "n", over="vocab")
    h = g.norm(x)
    query = g.scale(g.dense("query", h, ("repeat", "d")), Powers(), at_base=Powers(n="-1/2"))
    key, value = (g.rename(g.dense(name, h, "d"), "time", "source") for name in ("key", "value"))
    pattern = g.softmax(g.product(query, key, over="d"), "source", causal=("time", "source"))
    mixed = g.product(pattern, value, over="source")
    x = g.add(x, g.dense("output", mixed, "n", over=("repeat", "d")))
    return g.build(g.dense("readout", g.norm(x), "vocab"))


SHARED = _shared_keys()
HALF, ONE, ZERO = Fraction(1, 2), Fraction(1), Fraction(0)
QUESTIONS = (
    Question(
        "epsilon of the input", "Adam's epsilon scales as 1/fan-in for all parameters, so the gradient of the input weight as n^0",
        "Tensor Programs V (2203.03466), B.3", ZERO, MLP, _derived(MLP, "adam"), ("W1", "gradient"),
    ),
    Question(
        "readout of SP with Adam", "with standard initialisation and rates 1, 1/n, 1/n logits are stable, since changes of features do not "
        "align with the initial readout (omega = 1/2)", "Everett et al. (2407.05872)", ZERO, MLP,
        _standard("adam", W2="-1", W3="-1"), (READOUT, "W0 dx"),
    ),
    Question(
        "SP with rates 1/n, Adam", "standard parameterisation with learning rate 1/n is in the kernel regime, as with SGD: the hidden "
        "layer changes by n^-1/2", "Tensor Programs IV (2011.14522) read for Adam, against IVb (2308.01814), Remark 2.2.7", -HALF, MLP,
        _standard("adam", W1="-1", W2="-1", W3="-1"), (HIDDEN, "dW x0"),
    ),
    Question(
        "SP with rates 1/n, SGD", "standard parameterisation with learning rate 1/n is in the kernel regime: the hidden layer changes by "
        "n^-1/2",
        "Tensor Programs IV (2011.14522)", -HALF, MLP, _standard("sgd", W1="-1", W2="-1", W3="-1"), (HIDDEN, "dW x0"),
    ),
    Question(
        "spectral rates for Adam", "Adam's learning rate is fan-out/fan-in (n^0 for hidden weights), which updates maximally",
        "nanotron, spectral muP", ZERO, MLP, _derived(MLP, "adam", W2="0"), (HIDDEN, "dW x0"),
    ),
    Question(
        "Muon matched to Adam's RMS", "with the factor 0.2 sqrt(max(fan-out, fan-in)) Muon takes Adam's rate 1/n",
        "arXiv 2502.16982, as used in scale-ups that 2512.05620 calls incorrect", ZERO, MLP,
        _derived(MLP, "muon-rms", W2="-1"), (HIDDEN, "dW x0"),
    ),
    Question(
        "Muon with one rate", "Muon with the factor sqrt(fan-out/fan-in) needs no scaling of the hidden rate with the width",
        "spectral condition (2310.17813)", ZERO, MLP, _derived(MLP, "muon-scaled", W2="0"), (HIDDEN, "dW x0"),
    ),
    Question(
        "rate of embeddings", "the learning rate of embeddings falls as n^-1/2 and still updates maximally", "u-muP (2407.17465)",
        ZERO, GPT, _derived(GPT, "adam", embedding="-1/2"), ("embedding", "dW x0"),
    ),
    Question(
        "rate of norm gains", "gains of norms take the rate 1/n as matrices do, which updates maximally", "code of Gated DeltaNet",
        ZERO, GPT, _derived(GPT, "adam", **{"blocks.0.mlp_norm.gain": "-1"}), ("blocks.0.mlp_norm.gain", "dW x0"),
    ),
    Question(
        "rate of shared keys", "keys that r heads share take the rate sqrt(r)/n and change by n^0 (here r grows as n)",
        "GQA-muP (2605.15290), a report", ZERO, SHARED, _derived(SHARED, "adam", key="-1/2"), ("key", "dW x0"),
    ),
    Question(
        "readout with a multiplier", "a readout with multiplier n^-1/2 and initial values n^0 is that of maximal updates: logits vanish at "
        "first", "a note on Everett et al. (2407.05872)", -HALF, MLP, lambda: _initial(derive(MLP, "adam"), W3=Powers(n="-1/2")),
        (READOUT, "W0 x0"),
    ),
    Question(
        "readout with Lion", "the readout's rate falls as n^-1/2 with Lion and updates maximally", "README of dion", ZERO, MLP,
        _derived(MLP, "lion", W3="-1/2"), (READOUT, "dW x0"),
    ),
    Question(
        "first step of queries with SGD", "with logits over d the query moves as much at the first step as later",
        "a count of one step with aligned queries", ZERO, GPT, _derived(GPT, "sgd"), ("blocks.0.attention.query", "dW x0"),
    ),
    Question(
        "depth with Adam", "behind branches of 1/L the rate of blocks is L^(2 alpha - 1) = L, for Adam as for SGD, and features change by "
        "L^0", "a slip: Adam's power is alpha - 1 (2310.02244, 2505.01618)", ZERO, RESIDUAL, _deep("adam", 1), ("readout", "W0 dx"),
        axis="L", sizes=(8, 16, 32),
    ),
    Question(
        "initial values for depth", "initial values of (2L)^-1/2 at the end of branches do what a multiplier L^-1/2 does: with the rate "
        "L^-1/2 there features change by L^0", "GPT-2's scheme, used for Depth-muP", ZERO, PLAIN, _scaled_at_start, ("readout", "W0 dx"),
        axis="L", sizes=(8, 16, 32),
    ),
    Question(
        "rate of embeddings over depth", "the rate of embeddings falls as L^-1/2 and still updates maximally", "HyperP (2603.28743)", ZERO,
        RESIDUAL, _deep("adam", 0, embed="-1/2"), ("embed", "dW x0"), axis="L", sizes=(8, 16, 32),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """Networks per size, and factors on the sizes of each question."""

    seeds: int
    factor: int = 1
    questions: tuple[str, ...] = tuple(question.name for question in QUESTIONS)


PRESETS = {
    "smoke": Preset(4, questions=("spectral rates for Adam", "epsilon of the input")),
    "laptop": Preset(12),
    "gpu": Preset(24, factor=4),
}
TOLERANCE = 0.1
REASON = "two standard errors of the slope, and 0.1 for corrections of relative order n^-1/2 over these sizes"


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress) -> Result:
    """Measure every exponent in question, and say which party it agrees with."""
    settings, store = PRESETS[preset], Store(store_home / "store")
    found = []
    for question in (q for q in QUESTIONS if q.name in settings.questions):
        progress(question.name)
        found.append((question, _slope(question, settings, store)))
    rows = pd.DataFrame(list(_rows(found)))
    return Result(FIGURE, tuple(_claim(q, slope) for q, slope in found), _draw(found, out / "literature"), {"exponents": rows})


def _slope(question: Question, settings: Preset, store: Store) -> Slope:
    """The slope of the term after one update with a vanishing rate."""
    sizes = tuple(size * settings.factor for size in question.sizes)
    weight, kind = question.term
    conditions = Conditions.of(question.architecture, question.table(), question.axis, sizes)
    rate, steps, seeds = conditions.vanishing_rate(max(sizes)), (1,), tuple(range(settings.seeds))
    key = {"kind": "literature", "schema": 1, **conditions.as_data(), "sizes": sizes, "seeds": seeds, "steps": steps, "rate": rate}
    frame = store.get_or_make(key, lambda: conditions.measure(sizes, seeds, steps, rate))
    named = frame["term"] == kind if kind == "gradient" else frame["term"] == f"{weight}: {kind}"
    chosen = frame[(frame["weight"] == weight) & named & (frame["step"] == 1)]
    table = chosen.pivot_table(index="seed", columns=f"size.{question.axis}", values="value")
    return fit_slope(table.columns.to_numpy(float), table.to_numpy(float))


def _claim(question: Question, slope: Slope) -> Claim:
    """The published statement; where the derived exponent is another one, it is on record as failed."""
    right = question.claimed == question.derived
    other = float(question.derived) if not right else float(question.derived) + 0.5
    control = Control("the exponent that is derived here" if not right else "an exponent that is 1/2 larger", expected=other)
    reason = "" if right else f"derived, and measured here: {question.derived}"
    verdict = REPRODUCED if right else NOT_REPRODUCED
    wide = 2 * (0.0 if math.isnan(slope.se) else slope.se)
    name = "-".join(word.strip(",").replace("'", "").replace("/", "-").lower() for word in question.name.split())
    text = f"{question.statement} (slope of {' '.join(question.term)} over {question.axis})"
    return Claim(
        f"{FIGURE}/{name}", text, question.source, "published", float(question.claimed), TOLERANCE + wide, REASON, control, slope.value,
        on_record=verdict, record_reason=reason,
    )  # fmt: skip


def _rows(found: list[tuple[Question, Slope]]) -> Iterator[dict[str, object]]:
    for question, slope in found:
        distance = {name: abs(slope.value - float(getattr(question, name))) for name in ("claimed", "derived")}
        yield {
            "question": question.name, "term": " ".join(question.term), "over": question.axis, "claimed": str(question.claimed),
            "derived": str(question.derived), "measured": slope.value, "se": slope.se, "nearer": min(distance, key=lambda n: distance[n]),
        }  # fmt: skip


def _draw(found: list[tuple[Question, Slope]], stem: Path) -> tuple[Path, ...]:
    with styled():
        figure, axes = panels(1, 1, width=6.4, height=0.32 * len(found) + 1.2)
        ax = axes[0, 0]
        places = range(len(found))[::-1]
        ax.plot([float(q.claimed) for q, _ in found], places, "|", color=RED, ms=14, mew=2, label="claimed")
        ax.plot([float(q.derived) for q, _ in found], places, "|", color=BLUE, ms=9, mew=3, label="derived here")
        ax.errorbar(
            [s.value for _, s in found], places, xerr=[2 * s.se for _, s in found], fmt="o", ms=4, color=INK, label="measured", elinewidth=1
        )
        ax.set_yticks(list(places), [q.name for q, _ in found])
        ax.set(xlabel="exponent")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)
        return save(figure, stem)
