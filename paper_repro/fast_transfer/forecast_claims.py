"""What `forecast` claims: planted answers, errors against two baselines, verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from ...theory.curves import Curves
from ...theory.forecast import forecast
from ...theory.verdict import UNKNOWN
from ..claims import NOT_REPRODUCED, NOT_TESTED, Claim, Control
from .forecast_score import FORECAST, LINE, STILL, ratio

FIGURE, RULE = "fast-transfer/forecast", "Sakai and Imaizumi 2026, general local rule"
MANY = "shallow-linear x 600"  # networks averaged, from width 256
GROUPS = {
    "many": ("the average of 600 random linear networks", (MANY,)),
    "drawn": ("averages over random linear models", ("shallow-linear", "shallow-linear-growing", "deep-linear", "sketched-regression")),
    "trained": ("trained networks", ("ball", "k-index", "k-index-cured", "digits")),
    "unsettled": ("optima that do not settle", ("deep-linear-sp", "digits-sp")),
}
OTHER = dict.fromkeys(GROUPS, "unsettled") | {"unsettled": "drawn"}  # where it must come out the other way against the line
AGAINST = (
    (STILL, "error", "errs less than the optimum of the largest one"),
    (LINE, "error", "errs less than the line through the last two"),
    (STILL, "regret", "costs less than the optimum of the largest one"),
)
UNSURE = (
    "many-2-error-last-two",
    *("drawn-2-error-no-drift", "drawn-2-regret-no-drift", "drawn-3-error-no-drift", "drawn-3-error-last-two", "drawn-3-regret-no-drift"),
    *("trained-2-error-no-drift", "trained-3-error-no-drift", "trained-3-regret-no-drift", "unsettled-3-error-last-two"),
)
RECORDS = dict.fromkeys(UNSURE, (NOT_TESTED, "the interval holds 1")) | {
    "trained-2-regret-no-drift": (NOT_REPRODUCED, "the drift between two widths with three seeds is noise, and following it costs"),
    "unsettled-2-error-last-two": (NOT_REPRODUCED, "an optimum that moves with log2 of the width lies on that line"),
}


def planted_claims() -> Iterator[Claim]:
    """A known response is found, and intervals hold it as often as they say."""
    sizes, larger, points = np.array([64.0, 128.0, 256.0]), np.array([512.0, 1024.0, 2048.0, 4096.0]), np.linspace(-3, 3, 25)
    clean, truth = 1 + points**2 / 2 + (64 / sizes[:, None]) * (0.5 - 0.4 * points), 0.4 * 64 / larger
    noisy = [Curves(sizes, points, clean + 0.05 * np.random.default_rng(k).normal(size=(8, *clean.shape))) for k in range(80)]
    off, held = {}, {}
    for r in (1.0, 0.5):
        off[r] = float(np.abs(forecast(Curves(sizes, points, clean[None]), larger, exponent=r).places - truth).max())
        ends = np.array([forecast(c, larger, exponent=r, draws=200).place_ends for c in noisy])
        held[r] = float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())
    source, swap = "widelimit.theory.forecast", "the exponent 1/2 in place of 1"
    text, why = "Of curves with a planted response of order 1/n the optimum is forecast: largest error", "polynomials are exact there"
    yield Claim(f"{FIGURE}/planted", text, source, "prediction", 0.0, 1e-3, why, Control(swap, off[0.5]), off[1.0])
    text, why = "95 % intervals hold the planted optimum as often as they say", "80 noisy draws: two standard errors are 0.05"
    yield Claim(f"{FIGURE}/coverage", text, source, "prediction", 0.95, 0.05, why, Control(swap, held[0.5]), held[1.0])


def score_claims(scores: pd.DataFrame, turned: pd.DataFrame, *, on_record: bool) -> Iterator[Claim]:
    """The forecast's error and regret over those of a baseline, for each group of cases, from two and from three widths.

    Args:
        scores: as `forecast_score.score`.
        turned: the forecasts that see the small widths in reverse order, with the baselines that see them in order.
        on_record: whether `RECORDS` is about these cases and sizes.
    """
    why = "below 1 the forecast is the better one; the interval is a bootstrap over seeds, whose noise adds to every error"
    for group, seen, (baseline, quantity, words) in product(GROUPS, (2, 3), AGAINST):
        what, names = GROUPS[group]
        rows = _rows(scores, names, seen)
        if not len(rows):
            continue
        slug = f"{group}-{seen}-{quantity}-{baseline.replace(' ', '-')}"
        value, interval = ratio(rows, baseline, quantity=quantity)
        against = _control(scores, turned, group, seen, baseline, quantity, value)
        control = Control(against[0], ratio(against[1], baseline, quantity=quantity)[0])
        record, reason = RECORDS.get(slug, ("reproduced", "")) if on_record else (NOT_TESTED, "on record for `laptop` only")
        text = f"For {what}, the forecast from {seen} widths {words} (ratio)"
        found = {"measured": value, "interval": interval, "relation": "<=", "on_record": record, "record_reason": reason}
        yield Claim(f"{FIGURE}/{slug}", text, RULE, "published", 1.0, 0.0, why, control, **found)


def _control(
    scores: pd.DataFrame, turned: pd.DataFrame, group: str, seen: int, baseline: str, quantity: str, value: float
) -> tuple[str, pd.DataFrame]:
    """What must come out the other way: cases where the baseline is right or wrong, or a forecast without sense or measure."""
    what, names = GROUPS[OTHER[group]]
    if baseline == LINE:
        return f"the same for {what}", _rows(scores, names, seen)
    if value > 1:
        return "the same where the curve is known and solved exactly", _rows(scores, ("ridge", "slow"), seen)
    own = GROUPS[group][1]
    if quantity == "regret" and group != "unsettled":
        rows = _rows(scores, own, seen)
        return "the line through the last two in its place", rows[rows["method"] != FORECAST].replace({"method": {LINE: FORECAST}})
    return "the forecast sees the widths in reverse order", _rows(turned, own, seen)


def _rows(scores: pd.DataFrame, names: tuple[str, ...], seen: int) -> pd.DataFrame:
    return scores[scores["case"].isin(names) & (scores["seen"] == seen)]


def verdict_claims(verdicts: pd.DataFrame) -> Iterator[Claim]:
    """Forecast verdicts against the theory's, or where there is none against those measured from all sizes."""
    truth = verdicts["theory"].where(verdicts["theory"] != "", verdicts["measured"]).to_numpy()
    said = verdicts["forecast"].to_numpy()
    source, why = "widelimit.theory.forecast", "a count"
    control = Control("the verdicts of the next case in place of its own", _contradictions(said, np.roll(truth, 2)))
    text = "No forecast verdict contradicts the theory or, without one, what all sizes say: contradictions"
    count = _contradictions(said, truth)
    yield Claim(f"{FIGURE}/contradictions", text, source, "prediction", 0.0, 0.0, why, control, count, relation="<=")
    same, solved = said == truth, verdicts["case"].isin(("ridge", "slow")).to_numpy()
    record = "from two or three noisy widths most verdicts are `cannot tell`"
    control, text = Control("cases without randomness", float(same[solved].mean())), "Every verdict is forecast: part of them"
    share = float(same.mean())
    known = (NOT_REPRODUCED, record)
    yield Claim(f"{FIGURE}/verdicts", text, RULE, "published", 1.0, 0.0, why, control, share, None, ">=", *known)


def _contradictions(said: np.ndarray, truth: np.ndarray) -> float:
    return float(((said != truth) & (said != UNKNOWN) & (truth != UNKNOWN)).sum())
