"""Comparison, fits with intervals, style and plots: everything that is drawn starts from one long-form frame."""

from importlib import import_module
from typing import Any

_HOMES = {
    "compare": ("compare_slopes", "misses"),
    "fit": ("Drift", "Slope", "best_rates", "fit_drift", "fit_slope"),
    "plots": ("plot_curves", "plot_drift", "plot_phases", "plot_power_law", "plot_slopes", "plot_terms"),
    "style": ("letter", "panels", "save", "styled"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import late: matplotlib and pandas take a second."""
    if name not in _HOME_OF:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
