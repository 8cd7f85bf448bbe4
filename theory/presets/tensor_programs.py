"""Tables of Tensor Programs IV (Yang and Hu), IVb (Yang and Littwin) and V (Yang, Hu et al.)."""

from __future__ import annotations

from fractions import Fraction

from .record import Published, read_abc, read_powers

H = "1/2"
MINUS_H = "-1/2"
IV = "Tensor Programs IV (2011.14522)"
IVB = "Tensor Programs IVb (2308.01814)"
V = "Tensor Programs V (2203.03466)"

TP4 = (
    Published(
        "tp4-sp-lr-1", f"{IV}, Table 1: SP", "sgd", read_abc((0, 0, 0), (0, H, H), (0, 0, 0)), "second-hand", note="unstable"
    ),
    Published("tp4-sp-lr-1/n", f"{IV}, Table 1: SP with rate 1/n", "sgd", read_abc((0, 0, 0), (0, H, H), (1, 1, 1)), "second-hand"),
    Published("tp4-ntp", f"{IV}, Table 1: NTP", "sgd", read_abc((0, H, H), (0, 0, 0), (0, 0, 0)), "second-hand"),
    Published(
        "tp4-mfp", f"{IV}, Table 1: MFP", "sgd", read_abc((0, 1), (0, 0), (-1, -1), roles=("in", "out")), "derived", layers=1
    ),
    Published("tp4-mup", f"{IV}, Definition 5.1: muP", "sgd", read_abc((MINUS_H, 0, H), (H, H, H), (0, 0, 0)), "second-hand"),
)  # fmt: skip

TP4B = (
    Published(
        "tp4b-sp", f"{IVB}, Example 2.2.2: SP", "adam", read_abc((0, 0, 0), (0, H, H), (0, 0, 0), (0, 0, 0)),
        note="neither stable nor faithful: epsilon does not follow the gradient",
    ),
    Published("tp4b-ntp", f"{IVB}, Definition 2.4.1: NTP", "adam", read_abc((0, H, H), (0, 0, 0), (H, 1, H), (H, 1, H))),
    Published("tp4b-mup", f"{IVB}, Definition 2.5.1: muP", "adam", read_abc((0, 0, 1), (0, H, 0), (0, 1, 0), (1, 1, 1))),
    Published(
        "tp4b-general-ntp", f"{IVB}, Definition 2.9.11: NTP of any architecture", "adam",
        read_abc((0, H, H, 0), (0, 0, 0, 0), (H, 1, H, 0), (H, 1, H, 0), roles=("in", "hid", "out", "scalar")),
        note="matrix, vector and scalar parameters; the output multiplier is written on the readout",
    ),
    Published(
        "tp4b-general-mup", f"{IVB}, Definition 2.9.12: muP of any architecture", "adam",
        read_abc((0, 0, 1, 0), (0, H, 0, 0), (0, 1, 0, 0), (1, 1, 1, 0), roles=("in", "hid", "out", "scalar")),
        note="matrix, vector and scalar parameters; the output multiplier is written on the readout",
    ),
)  # fmt: skip

_ATTENTION = Fraction(-1)
_EPSILON = (
    "B.3 says 1/fan-in for every parameter; gradients of `in` weights are 1/n as well (TP IVb, d = 1), "
    "and a readout without multiplier has n^0"
)


def _table(number: int, optimizer: str, variance: tuple, multiplier: tuple, rate: tuple, epsilon: tuple | None = None) -> Published:
    """A table of TP V; biases and gains are its `in` column, attention logits are divided by the head dimension (Def. 4.1)."""
    return Published(
        f"tp5-table-{number}-{optimizer}", f"{V}, Table {number}", optimizer, read_powers(variance, multiplier, rate, epsilon),
        attention=_ATTENTION, note=_EPSILON if epsilon else "",
    )  # fmt: skip


TP5 = (
    _table(3, "sgd", (0, -1, -2), (0, 0, 0), (1, 0, -1)),
    _table(3, "adam", (0, -1, -2), (0, 0, 0), (0, -1, -1), (-1, -1, 0)),
    _table(8, "sgd", (0, -1, 0), (0, 0, -1), (1, 0, 1)),
    _table(8, "adam", (0, -1, 0), (0, 0, -1), (0, -1, 0), (-1, -1, -1)),
    _table(9, "sgd", (-1, -1, -1), (H, 0, MINUS_H), (0, 0, 0)),
    _table(9, "adam", (-1, -1, -1), (H, 0, MINUS_H), (MINUS_H, -1, MINUS_H), (MINUS_H, -1, MINUS_H)),
    Published(
        "tp5-sp-sgd", f"{V}, Table 3: SP in brackets", "sgd", read_powers((0, -1, -1), (0, 0, 0), (0, 0, 0)), attention=Fraction(-1, 2)
    ),
    Published(
        "tp5-sp-adam", f"{V}, Table 3: SP in brackets", "adam", read_powers((0, -1, -1), (0, 0, 0), (0, 0, 0)), attention=Fraction(-1, 2)
    ),
)  # fmt: skip
