"""What the rows of coordinate checks claim: every slope is the derived exponent."""

from __future__ import annotations

import math
from statistics import NormalDist

import pandas as pd

from .claims import Claim, Control

TOLERANCE = 0.1


def distances(rows: pd.DataFrame) -> pd.Series:
    """How far each slope is from its exponent (for a crossover: from between its two); inf where nothing could be fitted."""
    return (rows["measured"] - rows["measured"].clip(rows["low"], rows["predicted"])).abs().fillna(math.inf)


def largest_excess(rows: pd.DataFrame, *, together: bool = False) -> float:
    """The largest distance beyond the errors, of the slopes that are not too noisy to tell.

    The errors are two standard errors of each slope, or with ``together`` the half width of a band that holds all of them with a
    probability of 95 % (Bonferroni): of hundreds of slopes some are more than two standard errors off by chance.
    """
    judged = rows[rows["verdict"] != "too noisy"]
    errors = NormalDist().inv_cdf(1 - 0.025 / len(judged)) if together and len(judged) else 2.0
    return float((distances(judged) - errors * judged["se"].fillna(0)).max())


def slope_claim(identity: str, name: str, rows: pd.DataFrame, control: Control, *, together: bool = False) -> Claim:
    """The slopes of this architecture are the derived exponents.

    Args:
        identity: of the claim.
        name: of what was trained.
        rows: of all its checks (see `check.compare`).
        control: the `largest_excess` of a table that is wrong.
        together: how errors are counted (see `largest_excess`).
    """
    judged = rows[rows["verdict"] != "too noisy"]
    crossovers, noisy = (int((rows["verdict"] == verdict).sum()) for verdict in ("crossover", "too noisy"))
    errors = "a band of 95 % for all of them together" if together else "two standard errors"
    text = (
        f"Every slope of the atomic terms of the {name} is the derived exponent within {TOLERANCE} and {errors}: "
        f"{len(judged) - crossovers} slopes, the farthest {distances(judged).max():.3f} away, and {crossovers} crossovers that lie between "
        f"two exponents ({noisy} more are too noisy to tell: two standard errors exceed {TOLERANCE}); largest distance beyond the errors"
    )
    reason = (
        "a correction by the factor 1 + 3 n^-1/2 bends the slope over widths from 64 to 512 by 0.09, with 5/2 in place of 3 from 64 to 256"
    )
    excess = largest_excess(rows, together=together)
    return Claim(identity, text, "widelimit.theory.prediction", "prediction", TOLERANCE, 0.0, reason, control, excess, relation="<=")


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts per architecture and optimizer, with the largest distance of a judged slope from its exponent."""
    judged = rows.assign(distance=distances(rows).where(rows["verdict"] != "too noisy"))
    grouped = judged.groupby(["architecture", "optimizer"], sort=False)
    return grouped["verdict"].value_counts().unstack(fill_value=0).join(grouped["distance"].max()).reset_index()
