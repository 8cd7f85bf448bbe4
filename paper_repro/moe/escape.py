"""How long muP stays at its start: without a residual branch and with a readout at zero, its limit never leaves it.

Finite networks leave through what vanishes in the limit, the experts' initial sum, of size n^-1/2. Around the start the limit of muP
is linear: with ``A = sum_nu D_nu s_nu`` and ``D = y / P``,

``A <- A + eta kappa w,  w <- w + eta A``  for every neuron of the stream; both grow by ``lambda = 1 + eta kappa^(1/2)`` a step, with

``kappa = sum_(mu nu) D_mu D_nu (<g z g z> + m/n Phi^u <g phi' g phi'>)``: down learns from its input, and up through the initial values of
down (which are seen where ``m/n`` stays, in regime III). The output ``w s / n`` starts at ``1/n``, so that the loss falls after
``ln n / (2 ln lambda)`` steps and a constant (this package's derivation).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...figures.style import INK, letter, panels, save, size_label, styled
from ...synthetic.engines import Engine, Local
from ...synthetic.store import Store
from ...synthetic.streams import stream
from ...synthetic.sweep import Plan
from ...synthetic.tasks import Task
from ..claims import Claim, Control, Interval, untested
from ..papers import Progress
from ..results import Result
from ..sweeping import run_sweep
from .networks import BASE, START, constants, network, sizes, tables
from .rates_panels import COLOURS

FIGURE = "moe/escape"
SAMPLES, INPUTS, RATE = 16, 8, 2.0
CONFIGS = ("mup-zero", "mup", "mssp")


@dataclass(frozen=True)
class Size:
    """What is trained: widths of each regime, seeds, updates, and where."""

    widths: Mapping[str, tuple[int, ...]]
    seeds: int = 16
    steps: int = 40
    device: str = "cpu"


PRESETS = {
    "smoke": Size({"II": (32, 64), "III": (32, 64)}, 4),
    "laptop": Size({"II": (64, 128, 256, 512, 1024), "III": (32, 64, 128, 256)}),
    "gpu": Size({"II": (128, 256, 512, 1024, 2048), "III": (64, 128, 256, 512, 1024)}, 32, device="cuda"),
}


def signs() -> Task:
    """Sixteen Gaussian points with the centred sign of one direction, all of them in every step."""
    rng = stream(5, "moe/escape")
    x, direction = rng.standard_normal((SAMPLES, INPUTS)), rng.standard_normal(INPUTS)
    y = np.sign(x @ direction)
    return Task("signs", x, ((y - y.mean()) / y.std())[:, None], "squared", SAMPLES)


def reproduce(preset: str, *, out: Path, store_home: Path, progress: Progress, engine: Engine | None = None) -> Result:
    """Train, and compare the growth of the escape time with what the linearised limit predicts."""
    import torch

    size = PRESETS[preset]
    device = "cpu" if size.device == "cuda" and not torch.cuda.is_available() else size.device
    frame = run_sweep(FIGURE, make_plan(size), Store(store_home), device=device, engine=engine or Local(), progress=progress)
    times = measure_times(frame)
    predicted = {regime: predicted_slope(regime) for regime in size.widths}
    claims = tuple(make_claims(times, predicted))
    images = draw(times, predicted, out / "escape")
    return Result(FIGURE, untested(claims) if preset == "smoke" else claims, images, {"times": times})


def make_plan(size: Size) -> Plan:
    """Full-batch gradient descent at one rate."""
    ensembles = []
    for regime, widths in size.widths.items():
        known = tables(regime, "sgd")
        ensembles += Plan.grid(
            {config: known[config] for config in CONFIGS}, [sizes(regime, n) for n in widths],
            architecture=network(regime, inputs=INPUTS), task=signs(), learning_rates=(RATE,), seeds=tuple(range(size.seeds)),
            steps=size.steps, batch=SAMPLES, constants=constants(regime, "sgd", inputs=INPUTS), records=60, case=regime,
        ).ensembles  # fmt: skip
    return Plan(tuple(ensembles))


def measure_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Steps until the loss of each run is half of its first, between recorded steps by a straight line; inf where it is not."""
    rows = []
    for (case, config, n, seed), run in frame[frame["term"] == "train loss"].groupby(["case", "config", "size.n", "seed"]):
        run = run.sort_values("step")
        loss, step = run["value"].to_numpy(), run["step"].to_numpy()
        below = np.flatnonzero(loss <= loss[0] / 2)
        time = np.inf
        if below.size:
            k = below[0]
            time = step[k - 1] + (step[k] - step[k - 1]) * (loss[k - 1] - loss[0] / 2) / (loss[k - 1] - loss[k])
        rows.append({"case": case, "config": config, "n": n, "seed": seed, "time": time})
    return pd.DataFrame(rows)


def predicted_slope(regime: str, *, experts: int = 4096) -> float:
    """``1 / (2 ln lambda)``, with averages over random experts."""
    rng, task = stream(0, "moe/escape/limit"), signs()
    residual = task.targets[:, 0] / SAMPLES
    kernel = task.inputs @ task.inputs.T / INPUTS  # of the stream u
    root = np.linalg.cholesky(kernel + 1e-12 * np.eye(SAMPLES))
    gates = 1 / (1 + np.exp(-rng.standard_normal((experts, SAMPLES)) @ root.T))
    hidden = np.tanh(rng.standard_normal((experts, SAMPLES)) @ root.T)
    made, slope = gates * hidden, gates * (1 - hidden**2)
    ratio = BASE[regime]["m"] / BASE[regime]["n"] if regime == "III" else 0.0
    kappa = residual @ (made.T @ made / experts + ratio * kernel * (slope.T @ slope) / experts) @ residual
    return float(1 / (2 * np.log1p(RATE * np.sqrt(kappa))))


def fit(times: pd.DataFrame, regime: str, config: str) -> tuple[float, Interval]:
    """Steps per unit of ln n, and two standard errors over seeds to either side."""
    table = times[(times["case"] == regime) & (times["config"] == config)].pivot_table(index="seed", columns="n", values="time")
    x = np.log(table.columns.to_numpy(float))
    slopes = table.to_numpy() @ (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    value, error = float(slopes.mean()), float(slopes.std(ddof=1) / len(slopes) ** 0.5)
    return value, (value - 2 * error, value + 2 * error)


def make_claims(times: pd.DataFrame, predicted: Mapping[str, float]) -> Iterator[Claim]:
    """The growth with a readout at zero is the predicted one; otherwise there is none."""
    source = "widelimit.paper_repro.moe.escape.predicted_slope; arXiv 2605.14200 (delayed learning)"
    for regime, slope in predicted.items():
        late = fit(times, regime, "mup-zero")
        yield Claim(
            f"{FIGURE}/{regime}-late",
            f"Under muP with a readout at zero the time to half the loss grows by {slope:.2f} steps per unit of ln n (regime {regime})",
            source,
            "prediction",
            slope,
            0.15 * slope,
            "kappa, on which it depends by a power of about 1/4, is off by 2 n^-1/2 to 4 n^-1/2 of itself: 10 %; seeds add 5 %",
            Control("MSSP", *fit(times, regime, "mssp")),
            *late,
            unit="steps",
        )
        for config in CONFIGS[1:]:
            yield Claim(
                f"{FIGURE}/{regime}-{config}",
                f"Under {START[config]} it does not grow (regime {regime})",
                source,
                "prediction",
                0.0,
                0.25 * slope,
                "a quarter of what muP with a readout at zero has",
                Control("muP with a readout at zero", *late),
                *fit(times, regime, config),
                relation="<=",
                unit="steps",
            )


def draw(times: pd.DataFrame, predicted: Mapping[str, float], stem: Path) -> tuple[Path, Path]:
    """Times against the size, with lines of the predicted slope."""
    figure, axes = panels(1, len(predicted), width=3.2, height=2.7)
    with styled():
        for ax, (regime, slope) in zip(axes.flat, predicted.items(), strict=True):
            for config in CONFIGS:
                rows = times[(times["case"] == regime) & (times["config"] == config)].groupby("n")["time"].agg(["mean", "sem"])
                ax.errorbar(rows.index, rows["mean"], yerr=2 * rows["sem"], fmt="o-", ms=4, mec="white", mew=0.4, lw=1.0,
                            color=COLOURS[config], label=START[config])  # fmt: skip
                if config == "mup-zero":
                    x = np.log(rows.index.to_numpy(float))
                    ax.plot(
                        rows.index,
                        rows["mean"].mean() + slope * (x - x.mean()),
                        ls=":",
                        color=INK,
                        lw=1.2,
                        label="predicted slope",
                    )
            ax.set(
                title=f"Regime {regime}: {slope:.2f} steps per ln n",
                xlabel="n",
                ylabel="steps to half the loss",
                xscale="log",
                ylim=(0, None),
            )
            ax.set_xticks(rows.index, [size_label(float(n)) for n in rows.index])
            ax.minorticks_off()
        axes.flat[0].legend(labelcolor=INK, fontsize=6.5)
        letter(axes.flat)
    return save(figure, stem)
