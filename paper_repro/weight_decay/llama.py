"""A LLaMA-like model on the committed text whose matrices decay: what is trained for `spectra` and `language`, and how it is followed.

Embedding, gains and readout have a rate of their own and no decay, as in arXiv 2510.15262 (section 1 of its rules): the stream that the
branches add to is not rescaled, so that the gains of matrices matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ...synthetic.corpus_task import ALPHABET, corpus
from ...synthetic.ensemble import Auxiliary, Ensemble
from ...synthetic.following import follow
from ...synthetic.store import Store
from ...theory.architecture import Architecture
from ...theory.constants import Constants
from ...theory.derivation import derive
from ...theory.scales import Powers
from ...theory.table import ExponentTable
from ...theory.zoo import llama
from ..papers import Progress

BETAS = (0.9, 0.95)
RULES = {"constant": Fraction(0), "root": Fraction(1, 2), "linear": Fraction(1)}
"""Powers of the width with which decay grows beside rates of 1/n: muP alone, arXiv 2510.15262, and the product of both kept."""
KINDS = ("query", "key", "value", "output", "gate", "up", "down")
FEED_FORWARD = ("gate", "up", "down")
START = 0.5  # initial deviations times the root of the fan-in
EPSILON = 1e-15  # the readout starts at zero: so do all other gradients


@dataclass(frozen=True)
class Study:
    """The model and its training.

    Args:
        widths: n; rates and decays are those of the first.
        blocks: attention and feed-forward layer.
        positions: characters in a window.
        batch: windows, all fresh.
        steps: updates.
        warmup: updates, linear.
        schedule: as of `Ensemble`; where spectra are taken the rate stays: after it decays they mix those of several rates.
        seeds: of the initial weights.
        vectors: rate of embedding, gains and readout.
        validation: windows on which losses and matrices are measured.
        precision: of matrix products, see `Ensemble`; weights stay in single precision.
    """

    widths: tuple[int, ...]
    blocks: int = 2
    positions: int = 32
    batch: int = 4
    steps: int = 2000
    warmup: int = 100
    schedule: str = "constant"
    seeds: tuple[int, ...] = (0, 1, 2)
    vectors: float = 2.0**-8
    validation: int = 16
    precision: str = "full"
    device: str = "cpu"

    def ensemble(self, width: int, rates: Sequence[float], decays: Sequence[float], rule: str = "linear", **labels: Any) -> Ensemble:
        """All replicas of one width: every rate with every decay, both of the matrices of the first width."""
        network, base = model(self.blocks, self.positions), {"n": self.widths[0]}
        table, inside = derived(self.blocks, self.positions, "adamw"), matrices(network)
        for name in inside:
            table = table.changed(name, weight_decay=Powers(n=RULES[rule]))
        rest = tuple(name for name in network.weights if name not in inside)
        apart = Auxiliary(derived(self.blocks, self.positions, "adam"), rest, self.vectors, BETAS)
        task = corpus(positions=self.positions, samples=self.steps * self.batch, validation=self.validation)
        return Ensemble(
            network, table, task, {"n": width}, tuple(rates), self.seeds, self.steps, self.batch, constants=constants(network, base),
            base=base, betas=BETAS, auxiliary=apart, schedule=self.schedule, warmup=self.warmup, records=2, precision=self.precision,
            grid={"weight_decay": tuple(decays)}, config=rule, **{"case": "llama", **labels},
        )  # fmt: skip

    @property
    def usable_device(self) -> str:
        """A GPU if it is wanted and there is one."""
        return "cpu" if self.device == "cuda" and not torch.cuda.is_available() else self.device


@cache
def model(blocks: int, positions: int) -> Architecture:
    """With as many characters as the text has."""
    return llama(blocks=blocks, vocab=len(ALPHABET), positions=positions)


@cache
def derived(blocks: int, positions: int, optimizer: str) -> ExponentTable:
    """Its muP table."""
    return derive(model(blocks, positions), optimizer)


def matrices(network: Architecture) -> tuple[str, ...]:
    """Weights with two growing sides: those that decay."""
    return tuple(w.name for w in network.weights.values() if network.monomial(w.out) and network.monomial(w.inn))


def constants(network: Architecture, base: dict[str, int]) -> Constants:
    """At the base size a replica's rate and decay are those of its matrices; the readout starts at zero."""
    default, inside = Constants.default(network, base=base), matrices(network)
    weights = {}
    for name, own in default.weights.items():
        if name in inside:
            own = replace(own, init_std=START * own.init_std, weight_decay=1.0)
        elif name == "readout":
            own = replace(own, init_std=0.0)
        weights[name] = replace(own, epsilon=EPSILON)
    return replace(default, weights=weights)


def followed(
    ensembles: Iterable[Ensemble], looks: Sequence[int], moments: Sequence[str], *, store_home: Path, device: str, progress: Progress
) -> pd.DataFrame:
    """Train what the store lacks; rows of all ensembles (see `follow`), with the column ``kind``, one of `KINDS`, of matrices inside."""
    store, frames = Store(store_home), []
    for ensemble in ensembles:
        key = {"kind": "following", "ensemble": ensemble.key_data(), "looks": list(looks), "moments": list(moments)}
        if store.load(key) is None:
            progress(f"{ensemble.label}: {len(ensemble.replicas)} models followed for {ensemble.steps} updates")
        made = store.get_or_make(key, lambda e=ensemble: follow(e, looks, moments=moments, device=device), device=device)
        frames.append(made.assign(case=ensemble.case, config=ensemble.config))
    frame = pd.concat(frames, ignore_index=True)
    last = frame["weight"].str.rsplit(".", n=1).str[-1]
    return frame.assign(kind=last.where(last.isin(KINDS), ""))


def spaced_looks(steps: int, early: int, late: int) -> tuple[int, ...]:
    """Logarithmically spaced updates from 0 to the last, and evenly spaced ones."""
    return tuple(sorted({0, *np.geomspace(4, steps, early).astype(int).tolist(), *np.linspace(0, steps, late + 1).astype(int).tolist()}))
