"""Modules by name: architectures in plain torch, for `widelimit derive`, `compare` and `check`."""

from __future__ import annotations

from .adapters import lora
from .convolutions import convnet, mixer
from .diffusion import dit, mmdit, pixart, uvit
from .experts import moe
from .structured import btt, kronecker, monarch

FACTORIES = {f.__name__: f for f in (dit, uvit, pixart, mmdit, lora, kronecker, monarch, btt, convnet, mixer, moe)}
