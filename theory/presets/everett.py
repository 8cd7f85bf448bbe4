"""Maximal rates of Everett et al. for given (a, b), per alignment.

(a, b) are read at second hand; the rates follow from the paper's constraints (full: alpha = u = 1, omega = 1/2 in every layer,
the readout included; none: all 1/2), and epsilon from TP IVb's faithful rule at initialisation. Without alignment SGD's rates
of muP and MFP are not unique and left out, and so are Adafactor's, which are unverified; under Adam the readout of muP and MFP
then outgrows its initial value (TP IVb's condition ``b <= c`` fails), so that no epsilon stays faithful, and none is given.
"""

from __future__ import annotations

from .record import Column, Published, read_abc

H = "1/2"
SOURCE = "Everett et al. 2024 (2407.05872)"

INITIAL: dict[str, tuple[Column, Column]] = {
    "stp": ((0, 0, 0), (0, H, H)),
    "ntk": ((0, H, H), (0, 0, 0)),
    "mup": (("-1/2", 0, H), (H, H, H)),
    "mfp": ((0, H, 1), (0, 0, 0)),
}
EPSILON: dict[tuple[str, str], dict[str, Column]] = {
    ("adam", "full"): {"stp": (H, H, 0), "ntk": (H, 1, H), "mup": (H, 1, H), "mfp": (1, "3/2", 1)},
    ("adam", "none"): {"stp": (H, H, 0), "ntk": (H, 1, H)},
}
RATES: dict[tuple[str, str], dict[str, Column]] = {
    ("sgd", "full"): {"stp": ("-1/2", H, 1), "ntk": ("-1/2", "-1/2", 0), "mup": (0, 0, 0), "mfp": (-1, -1, -1)},
    ("sgd", "none"): {"stp": ("-1/2", 0, H), "ntk": ("-1/2", -1, "-1/2")},
    ("adam", "full"): {"stp": (0, 1, 1), "ntk": (0, H, H), "mup": (H, 1, H), "mfp": (0, H, 0)},
    ("adam", "none"): {"stp": (0, H, H), "ntk": (0, 0, 0), "mup": (H, H, 0), "mfp": (0, 0, "-1/2")},
    ("adafactor", "full"): {"stp": (0, H, H), "ntk": (0, H, H), "mup": (0, H, 0), "mfp": (0, H, 0)},
    ("adafactor", "none"): {"stp": (0, 0, 0), "ntk": (0, 0, 0)},
}

EVERETT = tuple(
    Published(
        f"everett-{name}-{optimizer}-{alignment}", f"{SOURCE}, maximal rates, {alignment} alignment", optimizer,
        read_abc(*INITIAL[name], rates, EPSILON.get((optimizer, alignment), {}).get(name)), "derived", alignment=alignment,
    )
    for (optimizer, alignment), table in RATES.items()
    for name, rates in table.items()
)  # fmt: skip
