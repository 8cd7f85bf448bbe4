"""The papers and their figures, as data; finding, running and keeping them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .results import Result, config_hash, describe_run, load_result, save_result

if TYPE_CHECKING:
    from ..synthetic.engines import Engine

PRESETS = ("smoke", "laptop", "gpu")
Progress = Callable[[str], object]


@dataclass(frozen=True)
class Figure:
    """One figure or table and the module that makes it.

    The module has ``PRESETS: Mapping[str, <frozen dataclass>]`` and ``reproduce(preset, *, out, store_home, progress) -> Result``;
    if the figure sweeps, `reproduce` takes an ``engine`` too.

    Args:
        name: on the command line, after the paper's.
        title: one line.
        module: relative to this package.
        sweeps: whether it executes a sweep, which an engine can do.
    """

    name: str
    title: str
    module: str
    sweeps: bool = False

    def load(self) -> Any:
        """The figure's module."""
        return import_module(f".{self.module}", __package__)

    def settings(self, preset: str) -> dict[str, Any]:
        """The configuration of a preset.

        Raises:
            ValueError: if the figure has no such preset.
        """
        presets: Mapping[str, Any] = self.load().PRESETS
        if preset not in presets:
            raise ValueError(f"figure `{self.name}` has no preset `{preset}` (it has {', '.join(presets)})")
        return {"module": self.module, "preset": preset, **asdict(presets[preset])}


@dataclass(frozen=True)
class Paper:
    """A paper, or the core claims of this package, and its figures.

    Args:
        name: on the command line.
        title: one line.
        source: where it is published.
        figures: those that can be made.
        absent: others of the paper, each with the reason why it is not made.
    """

    name: str
    title: str
    source: str
    figures: tuple[Figure, ...]
    absent: tuple[tuple[str, str], ...] = ()


_ALL = (
    Paper(
        "core",
        "What must scale how, what transfers, and how fast",
        "Yang and Hu (arXiv 2011.14522), Yang et al. (arXiv 2203.03466), Ghosh, Wu and Bietti (arXiv 2512.22768)",
        (
            Figure("coordinate-check", "Derived exponents against measured slopes", "core.coordinate_check"),
            Figure("transfer", "The best learning rate against the width", "core.transfer", sweeps=True),
            Figure("fast-transfer", "Fast transfer, solved exactly: random-features ridge regression", "core.fast_transfer"),
        ),
    ),
    Paper(
        "fast-transfer",
        "Understanding the mechanisms of fast hyperparameter transfer",
        "Ghosh, Wu and Bietti (arXiv 2512.22768)",
        (
            Figure("gaps", "The three gaps of every case that is solved exactly, and searches on a budget", "fast_transfer.gaps"),
            Figure("wells", "Ball and k-index regression, beside their published optima", "fast_transfer.wells"),
            Figure("initialisation", "Guesses at an initialisation that is not published", "fast_transfer.initialisation", sweeps=True),
            Figure("decomposition", "Which components of a trajectory fix the best rate", "fast_transfer.decomposition"),
            Figure("optimizers", "Adam, SGD, Muon and Dion on digits", "fast_transfer.optimizers"),
            Figure("samples", "Easy samples transfer, hard ones do not", "fast_transfer.samples"),
            Figure("betas", "The windows of Adam's averages", "fast_transfer.betas"),
            Figure("llama", "A LLaMA-like model on the King James Bible, with four optimizers", "fast_transfer.llama"),
            Figure("forecast", "Transfer forecast from the smallest widths", "fast_transfer.forecast"),
        ),
        (
            ("Figure 4", "random-features ridge regression is `core/fast-transfer`"),
            ("Figure 7", "that the average's loss and the linearised one coincide is the claim `decomposition/linear`"),
            ("Figures 13 to 16, 33 to 35", "CIFAR-10 cannot be downloaded; `samples` and `optimizers` have digits in its place"),
            ("Figures 27 to 32", "GPT-2 on a billion tokens of FineWeb: neither the text nor its tokenizer can be downloaded"),
        ),
    ),
    Paper(
        "dmft",
        "The infinite-width limit of training, solved for the exact discrete algorithm",
        "Bordelon and Pehlevan (arXiv 2205.09653, arXiv 2304.03408), Yang and Littwin (arXiv 2308.01814)",
        (
            Figure("convergence", "Networks converge to the limit: one as n^-1/2, the mean as 1/n", "limits.convergence", sweeps=True),
            Figure("predictions", "What networks say of learned and unseen samples, beside the limit", "limits.predictions", sweeps=True),
            Figure("transfer", "Learning-rate transfer predicted from the limit alone", "limits.transfer", sweeps=True),
            Figure(
                "variants", "Momentum, a schedule, decay, batches, the logistic loss, branches, Adam, signs", "limits.variants", sweeps=True
            ),
            Figure("cost", "Error against CPU seconds: this solver, the alternating method, networks", "limits.cost"),
            Figure("digits", "Real inputs: ten classes of digits, cross-entropy, batches", "limits.digits", sweeps=True),
            Figure("law", "How much networks of one width differ, predicted", "limits.law", sweeps=True),
            Figure("richness", "Rich against lazy: losses and kernels", "limits.richness"),
            Figure("depth", "Response terms of residual networks at growing depth", "limits.depth", sweeps=True),
        ),
    ),
    Paper(
        "moe",
        "How to scale mixtures of experts: muP against maximal scale stability",
        "Vankadara, Haas et al. (arXiv 2605.14200)",
        (
            Figure("plane", "Which initial values are scale-stable, for every joint growth of the experts", "moe.plane"),
            Figure("limits", "Six infinite limits, and those of other gates, beside networks", "moe.limits", sweeps=True),
            Figure(
                "deep", "Infinite mixtures in depth: with and without noise, and independent of the experts' width", "moe.deep", sweeps=True
            ),
            Figure("terms", "Every atomic term of a mixture of experts against its derived exponent", "moe.terms"),
            Figure("escape", "Delayed learning: how long muP stays at its start, predicted and measured", "moe.escape", sweeps=True),
            Figure("curves", "Loss against time by size, two initialisations with two readouts", "moe.curves", sweeps=True),
            Figure("remedies", "Remedies do not interchange, and epsilon is one of them", "moe.remedies", sweeps=True),
            Figure("rates", "The best learning rate against the size, three regimes, SGD and Adam", "moe.rates", sweeps=True),
            Figure("top-k", "Top-K routing: all terms, and transfer, with a half and a quarter of the experts", "moe.top_k"),
            Figure("depth", "Learning-rate transfer over the depth of mixtures of experts", "moe.depth", sweeps=True),
        ),
        (
            (
                "Training curves and learning rates on TinyImageNet",
                "it cannot be downloaded; `curves` and `rates` have fresh synthetic samples",
            ),
            ("GPT with mixtures of experts", "its text cannot be downloaded; the regimes and their tables are those of the figures here"),
        ),
    ),
    Paper(
        "weight-decay",
        "Robust layerwise scaling rules by proper weight decay tuning",
        "Fan, Liu, Zhao, Yuan and Gu (arXiv 2510.15262)",
        (
            Figure("steady", "Steady states of AdamW, Lion, Muon and on a sphere, simulated against their formulas", "weight_decay.steady"),
            Figure("coloured", "Coloured noise under AdamW: exponents of the top singular value and of the gain", "weight_decay.coloured"),
            Figure("gains", "Trained networks: exponents of every matrix, beside noise of the same correlations", "weight_decay.gains"),
            Figure("spectra", "Gains over time and spectra for six pairs of rate and decay", "weight_decay.spectra"),
            Figure("decay", "The decay with the lowest loss against the width, beside every rule", "weight_decay.decay", sweeps=True),
            Figure(
                "rates", "Zero-shot transfer under every rule, with and without a norm behind branches", "weight_decay.rates", sweeps=True
            ),
            Figure("language", "Powers of the width, and losses under three rules, on a text", "weight_decay.language", sweeps=True),
        ),
    ),
    Paper(
        "verification",
        "Derived tables against trained networks",
        "this package; rates of matrix optimizers: arXiv 2512.05620",
        (
            Figure("architectures", "Every architecture by name, under its derived tables", "verification.architectures"),
            Figure("phases", "Phase diagrams with exact facets", "verification.phases"),
            Figure("literature", "Statements that contradict each other, decided by networks", "verification.literature"),
            Figure("optimizers", "Every optimizer that can be run, under its derived table", "verification.optimizers"),
        ),
    ),
)
PAPERS: Mapping[str, Paper] = {paper.name: paper for paper in _ALL}


def find_figures(targets: Iterable[str]) -> list[tuple[Paper, Figure]]:
    """The figures that the words on the command line name: ``paper`` (all of it) or ``paper/figure``; none names everything.

    An underscore may stand for a hyphen.

    Raises:
        ValueError: if there is no such paper or figure.
    """
    found: dict[tuple[str, str], tuple[Paper, Figure]] = {}
    for target in tuple(targets) or tuple(PAPERS):
        name, _, rest = target.replace("_", "-").partition("/")
        paper = PAPERS.get(name)
        if paper is None:
            raise ValueError(f"there is no paper `{name}`; choose from {', '.join(PAPERS)}")
        chosen = [f for f in paper.figures if not rest or f.name == rest]
        if not chosen:
            raise ValueError(f"paper `{name}` has no figure `{rest}` (it has {', '.join(f.name for f in paper.figures)})")
        found |= {(paper.name, figure.name): (paper, figure) for figure in chosen}
    return list(found.values())


def kept_at(home: Path, paper: Paper, figure: Figure, preset: str) -> Path:
    """The folder in which a figure's result is kept."""
    return home / "figures" / paper.name / figure.name / preset


@dataclass(frozen=True)
class Outcome:
    """What came of one figure: a result, or the error that stopped it."""

    paper: Paper
    figure: Figure
    preset: str
    result: Result | None
    error: Exception | None = None
    reused: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the exit status is 1: the figure crashed, or one of its claims fails."""
        return self.result is None or any(claim.failure for claim in self.result.claims)


def reproduce(
    figures: Sequence[tuple[Paper, Figure]], preset: str, *, home: Path, progress: Progress, engine: Engine | None = None
) -> Iterator[Outcome]:
    """Make the figures one after the other; one that was finished with the same configuration and code is not made again.

    A figure that crashes is an outcome, and the others go on; an interruption passes through.

    Args:
        figures: what `find_figures` returns.
        preset: ``smoke``, ``laptop`` or ``gpu``.
        home: the results home; finished figures are under ``figures/``.
        progress: called with a line whenever there is something to say.
        engine: who executes sweeps; by default this process.

    Raises:
        ValueError: if there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"there is no preset `{preset}`; choose from {', '.join(PRESETS)}")
    for paper, figure in figures:
        start = time.monotonic()
        try:
            result, reused = _make(paper, figure, preset, home, progress, engine)
        except Exception as error:
            yield Outcome(paper, figure, preset, None, error, seconds=time.monotonic() - start)
        else:
            yield Outcome(paper, figure, preset, result, reused=reused, seconds=time.monotonic() - start)


def _make(paper: Paper, figure: Figure, preset: str, home: Path, progress: Progress, engine: Engine | None) -> tuple[Result, bool]:
    settings, folder = figure.settings(preset), kept_at(home, paper, figure, preset)
    kept = _kept(folder)
    if kept and not kept.stale and kept.provenance["config"] == config_hash(settings):
        progress(f"{paper.name}/{figure.name}: kept from {kept.provenance['finished']}")
        return kept, True
    progress(f"{paper.name}/{figure.name}: {figure.title} ({preset})")
    start = time.monotonic()
    with TemporaryDirectory(prefix="widelimit-") as out:
        more = {"engine": engine} if figure.sweeps and engine else {}
        made = figure.load().reproduce(preset, out=Path(out), store_home=home, progress=progress, **more)
        seconds = round(time.monotonic() - start, 1)
        provenance = {**describe_run(settings), **made.provenance, "preset": preset, "seconds": seconds}
        return save_result(replace(made, provenance=provenance), folder), False


def _kept(folder: Path) -> Result | None:
    try:
        return load_result(folder)
    except ValueError:
        return None


def gather(home: Path, figures: Sequence[tuple[Paper, Figure]]) -> list[tuple[Paper, Figure, Result]]:
    """Every kept result of these figures; where a figure was made with several presets, the largest of them."""
    found = []
    for paper, figure in figures:
        kept = [r for preset in reversed(PRESETS) if (r := _kept(kept_at(home, paper, figure, preset)))]
        if kept:
            found.append((paper, figure, kept[0]))
    return found
