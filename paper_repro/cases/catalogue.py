"""The transfer cases by name, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ...theory.transfer import TransferRates
    from ...theory.verdict import Verdict

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Case:
    """A problem on which transfer is measured.

    Its module has ``measure(name, preset, *, store_home, progress) -> Measured`` and ``PRESETS: Mapping[str, Mapping[str, Settings]]``;
    if it trains networks, `measure` takes an ``engine`` too, and ``plan_sweep(name, preset) -> (plan, device)`` says what is trained.

    Args:
        name: on the command line.
        title: one line.
        source: where it is from.
        module: relative to this package.
    """

    name: str
    title: str
    source: str
    module: str

    @property
    def trains(self) -> bool:
        """Whether networks are trained; otherwise the case is solved exactly."""
        return self.module == "trained"

    def load(self) -> Any:
        """The case's module."""
        return import_module(f".{self.module}", __package__)

    def settings(self, preset: str) -> dict[str, Any]:
        """The configuration of a preset.

        Raises:
            ValueError: if the case has no such preset.
        """
        presets: Mapping[str, Any] = self.load().PRESETS[self.name]
        if preset not in presets:
            raise ValueError(f"case `{self.name}` has no preset `{preset}`; choose from {', '.join(presets)}")
        return {"case": self.name, "preset": preset, **asdict(presets[preset])}


@dataclass(frozen=True)
class Measured:
    """What a case gives.

    Args:
        axis: the size that grows.
        hyperparameter: what is tuned, with its unit.
        table: one row per size: ``size``, ``optimum``, and what is known of the metric and the gaps.
        verdict: of the measurement.
        predicted: rates that a theory gives, where there is one.
        expected: the verdict that it gives.
        why: the theory's statement.
        frame: everything measured, long form.
    """

    axis: str
    hyperparameter: str
    table: pd.DataFrame
    verdict: Verdict
    predicted: TransferRates | None
    expected: str
    why: str
    frame: pd.DataFrame

    @property
    def contradicted(self) -> bool:
        """Whether the measurement has a verdict and it is another than the theory's."""
        return bool(self.expected) and self.verdict.kind not in (self.expected, "cannot tell")


_GHOSH, _SAKAI = "Ghosh, Wu and Bietti, arXiv 2512.22768", "Sakai and Imaizumi 2026"
_MOE = "Vankadara, Haas et al., arXiv 2605.14200"
_ALL = (
    Case("ridge", "Random-features ridge regression, solved at every width", f"{_GHOSH}, Theorem 3", "exact"),
    Case("shallow-linear", "Shallow linear network, four steps of gradient descent", _SAKAI, "exact"),
    Case("shallow-linear-growing", "Shallow linear network, n^1/4 steps", _SAKAI, "exact"),
    Case("single-eigenvalue", "Shallow linear network on orthogonal inputs: one eigenvalue, two steps", _SAKAI, "exact"),
    Case("deep-linear", "Two hidden linear layers, one step: the loss is a polynomial in the rate", "Hayou, arXiv 2511.01734", "exact"),
    Case("deep-linear-sp", "The same in the standard parameterisation", "Hayou, arXiv 2511.01734", "exact"),
    Case("sketched-regression", "Linear regression on random features of a power-law spectrum", "model of Wen et al. 2026", "exact"),
    Case("slow", "A curve whose optimum moves as n^-1/4 while its loss gap closes as 1/n", "constructed", "exact"),
    Case("ball", "Two-layer network on the indicator of a ball, Adam", f"{_GHOSH}, Figure 5", "trained"),
    Case("k-index", "Two-layer network on k-index regression, Adam", f"{_GHOSH}, Figures 2 and 17", "trained"),
    Case("k-index-cured", "The same with the second layer's rate divided by 50", f"{_GHOSH}, Figure 17", "trained"),
    Case("digits", "Multilayer perceptron on digits, Adam, muP", "Yang et al., arXiv 2203.03466, Figure 3", "trained"),
    Case("digits-sp", "The same in the standard parameterisation", "Yang et al., arXiv 2203.03466, Figure 3", "trained"),
    Case("moe-I", "Mixture of wider experts, SGD, MSSP", _MOE, "trained"),
    Case("moe-I-mup", "The same in muP", _MOE, "trained"),
    Case("moe-II", "Mixture of more experts, SGD, MSSP", _MOE, "trained"),
    Case("moe-II-mup", "The same in muP", _MOE, "trained"),
    Case("moe-III", "Mixture of more and wider experts, SGD, MSSP", _MOE, "trained"),
    Case("moe-III-mup", "The same in muP", _MOE, "trained"),
)
CASES: Mapping[str, Case] = {case.name: case for case in _ALL}


def find_case(name: str) -> Case:
    """The case of this name.

    Raises:
        ValueError: if there is none.
    """
    if name not in CASES:
        raise ValueError(f"unknown case `{name}`; choose from {', '.join(CASES)}")
    return CASES[name]
