"""Maximal update rates of optimizers other than SGD and Adam, for weights of std 1, n^-1/2, n^-1 (TP V, Table 3)."""

from __future__ import annotations

from .record import Column, Published, read_powers

H, MINUS_H = "1/2", "-1/2"
PRECONDITIONERS = "Hyperparameter transfer of matrix preconditioners (2512.05620), Table 1"
ISHIKAWA = "Ishikawa and Karakida 2024 (2312.12226)"
MULO = "muLO (2406.00153), section 4"
VARIANCE, NO_MULTIPLIER = (0, -1, -2), (0, 0, 0)
TABLE_8 = ((0, -1, 0), (0, 0, -1))


def _table(name: str, source: str, optimizer: str, rate: Column, epsilon: Column | None = None, status: str = "read") -> Published:
    return Published(name, source, optimizer, read_powers(VARIANCE, NO_MULTIPLIER, rate, epsilon), status)


MATRIX_OPTIMIZERS = (
    _table("preconditioners-adam", PRECONDITIONERS, "adam", (0, -1, -1), (-1, -1, 0)),
    _table("preconditioners-lion", PRECONDITIONERS, "lion", (0, -1, -1)),
    _table("preconditioners-sign", PRECONDITIONERS, "sign", (0, -1, -1)),
    _table("preconditioners-muon", PRECONDITIONERS, "muon", (H, 0, MINUS_H), (MINUS_H, 0, H)),
    _table("preconditioners-adamuon", PRECONDITIONERS, "adamuon", (0, -1, -1)),
    _table("preconditioners-shampoo", f"{PRECONDITIONERS}, e = 1/2", "shampoo", (H, 0, MINUS_H), (-1, 0, 1)),
    _table("preconditioners-shampoo-full", f"{PRECONDITIONERS}, e = 1", "shampoo:1/2,1/2", (0, 0, 0), (-1, 0, 1)),
    _table("ishikawa-kfac", ISHIKAWA, "kfac", (0, 0, 0), status="derived"),
    _table("ishikawa-foof", f"{ISHIKAWA}: activations alone", "kfac:1,0", (1, 1, 0), status="derived"),
    Published("mulo", MULO, "learned", read_powers(*TABLE_8, (0, -1, 0))),
)
