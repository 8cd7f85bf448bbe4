"""Claims with verdicts: what is expected, what was measured, and a negative control that has to turn the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested at this size"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, NOT_TESTED)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Control:
    """The same judgement on something that must come out otherwise; a claim that cannot fail says nothing.

    Args:
        statement: what was done differently.
        measured: the value then; None takes the claim's own.
        interval: its interval.
        expected: the expected value then; None takes the claim's own.
    """

    statement: str
    measured: float | None = None
    interval: Interval | None = None
    expected: float | None = None


@dataclass(frozen=True)
class Claim:
    """One statement held against one number.

    A claim with the relation ``=`` holds if ``|measured - expected| <= tolerance``; ``>=`` and ``<=`` allow ``tolerance`` on the
    wrong side. ``interval`` is the measurement's uncertainty: where it is so wide that both verdicts lie in it, the claim is *not
    tested at this size*, and so it is where nothing was measured (``measured=None``).

    Args:
        id: unique, ``paper/figure/what``.
        statement: in our words.
        source: where it is claimed: paper and equation, table or figure; or the function here that predicts it.
        kind: ``prediction`` of this package, which must be reproduced, or ``published`` (somebody else's statement), which may fail
            if that is on record.
        expected: the number claimed.
        tolerance: how far a measurement may be off.
        reason: why that far, in numbers (seed spread, finite-size term).
        control: the negative control.
        measured: the number found.
        interval: its lower and upper end.
        relation: ``=``, ``>=`` or ``<=``: measured against expected.
        on_record: the verdict that is known; `NOT_TESTED` where none is.
        record_reason: why, for a verdict that surprises.
        unit: of the number.
    """

    id: str
    statement: str
    source: str
    kind: Literal["prediction", "published"]
    expected: float
    tolerance: float
    reason: str
    control: Control
    measured: float | None = None
    interval: Interval | None = None
    relation: Literal["=", ">=", "<="] = "="
    on_record: str = REPRODUCED
    record_reason: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        if self.on_record not in VERDICTS:
            raise ValueError(f"claim `{self.id}`: the verdict on record `{self.on_record}` is none of {', '.join(VERDICTS)}")
        if self.kind not in ("prediction", "published") or self.relation not in ("=", ">=", "<="):
            raise ValueError(f"claim `{self.id}`: unknown kind `{self.kind}` or relation `{self.relation}`")
        if not self.tolerance >= 0 or not self.reason:
            raise ValueError(f"claim `{self.id}` needs a tolerance of at least 0, not {self.tolerance}, and its reason")
        if self.kind == "prediction" and self.on_record == NOT_REPRODUCED:
            raise ValueError(f"claim `{self.id}`: a prediction on record as not reproduced is a bug, not a claim")

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        return self._judge(self.measured, self.interval, self.expected)

    @property
    def control_verdict(self) -> str:
        """The verdict on the negative control."""
        own = self.control.measured is None
        measured, interval = (self.measured, self.interval) if own else (self.control.measured, self.control.interval)
        return self._judge(measured, interval, self.expected if self.control.expected is None else self.control.expected)

    @property
    def control_turns(self) -> bool:
        """Whether the negative control got the opposite verdict."""
        return {self.verdict, self.control_verdict} == {REPRODUCED, NOT_REPRODUCED}

    @property
    def failure(self) -> str:
        """Why this claim makes the run fail (exit status 1); empty if it does not."""
        if self.verdict == NOT_TESTED:
            return ""
        if not self.control_turns:
            return f"its negative control does not turn the verdict ({self.control_verdict})"
        if self.kind == "prediction" and self.verdict == NOT_REPRODUCED:
            return "a prediction of this package misses its measurement"
        if self.on_record not in (self.verdict, NOT_TESTED):
            return f"the verdict on record is `{self.on_record}`"
        return ""

    def _judge(self, measured: float | None, interval: Interval | None, expected: float) -> str:
        if measured is None:
            return NOT_TESTED
        if not math.isfinite(measured):
            return NOT_REPRODUCED
        low = -math.inf if self.relation == "<=" else expected - self.tolerance
        high = math.inf if self.relation == ">=" else expected + self.tolerance
        inside = low <= measured <= high
        if interval is None:
            return REPRODUCED if inside else NOT_REPRODUCED
        bottom, top = interval
        if not bottom <= top:
            return NOT_TESTED
        if inside:
            sure = top - bottom <= high - low if self.relation == "=" else low <= bottom and top <= high
            return REPRODUCED if sure else NOT_TESTED
        return NOT_TESTED if bottom <= expected <= top else NOT_REPRODUCED

    def as_json(self) -> dict[str, Any]:
        """What `report/claims.json` holds, without configuration and device, which are the run's."""
        return {
            "id": self.id,
            "statement": self.statement,
            "source": self.source,
            "kind": self.kind,
            "on_record": self.on_record,
            "record_reason": self.record_reason,
            "relation": self.relation,
            "expected": self.expected,
            "tolerance": self.tolerance,
            "unit": self.unit,
            "reason": self.reason,
            "measured": self.measured,
            "interval": None if self.interval is None else list(self.interval),
            "verdict": self.verdict,
            "negative_control": {
                "statement": self.control.statement,
                "measured": self.control.measured,
                "interval": None if self.control.interval is None else list(self.control.interval),
                "expected": self.control.expected,
                "verdict": self.control_verdict,
                "turns": self.control_turns,
            },
            "failure": self.failure,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Claim:
        """Read what `as_json` wrote; verdicts are judged anew."""
        plain = {f.name: data[f.name] for f in fields(cls) if f.name not in ("control", "interval")}
        given = data["negative_control"]
        control = Control(given["statement"], given["measured"], _pair(given["interval"]), given["expected"])
        return cls(**plain, interval=_pair(data["interval"]), control=control)


def _pair(ends: list[float] | None) -> Interval | None:
    return None if ends is None else (ends[0], ends[1])


def untested(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The claims without their measurements: of networks so small that they say nothing about them."""
    return tuple(replace(claim, measured=None, interval=None) for claim in claims)


def failures(claims: Iterable[Claim]) -> list[str]:
    """One line for every claim that makes the exit status 1."""
    return [f"{claim.id}: {claim.failure}" for claim in claims if claim.failure]
