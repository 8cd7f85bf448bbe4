"""Modules by name: architectures in plain torch, for `derive`, `compare` and `check`."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

_HOMES = {
    "adapters": ("lora",),
    "convolutions": ("convnet", "mixer"),
    "diffusion": ("dit", "uvit", "pixart", "mmdit"),
    "experts": ("experts",),
    "structured": ("sparse", "kronecker", "monarch", "btt"),
}
MODULES = {name: home for home, names in _HOMES.items() for name in names}


def find_factory(name: str) -> Callable[..., Any]:
    """The factory of this name: it takes sizes and makes a module with an example input (torch is imported now).

    Raises:
        KeyError: if there is none.
    """
    return getattr(import_module(f".{MODULES[name]}", __name__), name)


def digest() -> str:
    """What identifies the code of all modules here."""
    return sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
