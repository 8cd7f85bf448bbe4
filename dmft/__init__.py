"""The infinite-width limits of training: dynamical mean-field theory, solved in one causal pass."""

from importlib import import_module
from typing import Any

_HOMES = {
    "depth": ("solve_deep",),
    "problem": ("Problem",),
    "replicates": ("run",),
    "rules": ("Rule",),
    "settings": ("Settings",),
    "solution": ("Curve", "Result", "Solution", "SolveError"),
    "solving": ("solve",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import late, and switch JAX to double precision, which orthonormal bases need."""
    if name not in _HOME_OF:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    import jax

    jax.config.update("jax_enable_x64", True)
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOME_OF)
