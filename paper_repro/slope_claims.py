"""What the rows of coordinate checks claim: every slope is the derived exponent."""

from __future__ import annotations

import math

import pandas as pd

from .claims import Claim, Control

TOLERANCE = 0.1


def distances(rows: pd.DataFrame) -> pd.Series:
    """How far each slope is from its exponent (for a crossover: from between its two); inf where nothing could be fitted."""
    return (rows["measured"] - rows["measured"].clip(rows["low"], rows["predicted"])).abs().fillna(math.inf)


def largest_excess(rows: pd.DataFrame) -> float:
    """The largest distance beyond two standard errors, of the slopes that are not too noisy to tell."""
    judged = rows[rows["verdict"] != "too noisy"]
    return float((distances(judged) - 2 * judged["se"].fillna(0)).max())


def slope_claim(identity: str, name: str, rows: pd.DataFrame, control: Control) -> Claim:
    """The slopes of this architecture are the derived exponents.

    Args:
        identity: of the claim.
        name: of what was trained.
        rows: of all its checks (see `check.compare`).
        control: rows of a table that is wrong, by their `largest_excess`.
    """
    judged = rows[rows["verdict"] != "too noisy"]
    crossovers, noisy = (int((rows["verdict"] == verdict).sum()) for verdict in ("crossover", "too noisy"))
    text = (
        f"Every slope of the atomic terms of the {name} is the derived exponent within {TOLERANCE} and two standard errors: "
        f"{len(judged) - crossovers} slopes, the farthest {distances(judged).max():.3f} away, and {crossovers} crossovers that lie between "
        f"two exponents ({noisy} more are too noisy to tell: two standard errors exceed {TOLERANCE}); largest distance beyond the errors"
    )
    reason = "corrections of relative order n^-1/2 at the smallest width bend a slope by up to 0.1"
    return Claim(
        identity, text, "widelimit.theory.prediction", "prediction", TOLERANCE, 0.0, reason, control, largest_excess(rows), relation="<="
    )
