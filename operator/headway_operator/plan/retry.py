"""Which failures are tried again, how often, and after how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from headway_api.job import Retry
from headway_api.status import Attempt, Cause, Failures
from headway_operator.plan.times import to_seconds

Kind = Literal["preempted", "infrastructure", "user_error"]

KINDS: dict[Cause, Kind] = {
    "Preempted": "preempted",
    "NodeLost": "infrastructure",
    "OutOfMemory": "infrastructure",
    "ImagePull": "infrastructure",
    "Unschedulable": "infrastructure",
    "StorageError": "infrastructure",
    "Hang": "infrastructure",
    "Internal": "infrastructure",
    "UserError": "user_error",
}
"""The budget that pays for a cause. What is not here is never tried again (or, for Suspended, costs nothing)."""

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0
STEADY_SECONDS = 600.0
"""An attempt that ran this long was no quick failure: the delay begins anew after it."""


def charged(failures: Failures, cause: Cause | None) -> Failures:
    """The failures with one more of the cause's kind."""
    kind = KINDS.get(cause) if cause else None
    if kind is None:
        return failures
    return failures.model_copy(update={kind: getattr(failures, kind) + 1})


def affordable(failures: Failures, cause: Cause, budget: Retry) -> bool:
    """Whether the budget still covers the failures, the last of which had this cause."""
    kind = KINDS.get(cause)
    if kind is None:
        return False
    allowed: int = getattr(budget, kind)
    met: int = getattr(failures, kind)
    return met <= allowed


def exhausted_message(failures: Failures, cause: Cause, budget: Retry) -> str:
    """Why there is no further attempt, for a person."""
    kind = KINDS.get(cause)
    if kind is None:
        return ""
    allowed: int = getattr(budget, kind)
    field = {"preempted": "preempted", "infrastructure": "infrastructure", "user_error": "userError"}[kind]
    if allowed == 0:
        return f"not tried again, as retry.{field} is 0"
    return f"{getattr(failures, kind)} failures of this kind, retry.{field} is {allowed}"


def delay_after(attempts: Sequence[Attempt]) -> float:
    """Seconds from the end of the last attempt to the next: 1, doubling with each quick failure in a row, up to 300."""
    quick = 0
    for attempt in reversed(attempts):
        if attempt.cause not in KINDS or _steady(attempt):
            break
        quick += 1
    if not attempts or attempts[-1].cause not in KINDS:
        return 0.0
    return float(min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** max(0, quick - 1)))


def _steady(attempt: Attempt) -> bool:
    running, end = to_seconds(attempt.running_time), to_seconds(attempt.end_time)
    return running is not None and end is not None and end - running >= STEADY_SECONDS
