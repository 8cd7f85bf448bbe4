"""Finite networks: traced from modules, built from an architecture and a table, trained many at once, probed and stored."""

from importlib import import_module
from typing import Any

_HOMES = {
    "applying": ("Sizes", "initialise", "labels", "missing_multipliers", "parameter_groups"),
    "building": ("Built", "build"),
    "coloured": ("Coloured", "accumulate"),
    "coordinates": ("coordinate_check",),
    "corpus_task": ("corpus",),
    "engines": ("Local", "Ray", "find_engine"),
    "ensemble": ("Ensemble",),
    "estimating": ("Estimate", "estimate"),
    "following": ("follow",),
    "module_following": ("Course", "Study"),
    "network": ("Network",),
    "optimizers": ("SGD", "Adam", "make_update"),
    "probes": ("Probe",),
    "scaling": ("scale",),
    "store": ("Store", "StoreError"),
    "sweep": ("Plan", "execute"),
    "tasks": ("Task", "batch_index", "default_task", "digits", "markov", "noise", "teacher"),
    "tracing": ("trace",),
    "training": ("train",),
    "zipf_task": ("zipf",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import late: torch takes three seconds."""
    if name not in _HOME_OF:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
