"""Which failures are tried again, how often, and after how long: a row a cause."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from headway_api.job import Retry
from headway_api.status import Attempt, Cause, Failures
from headway_operator.engine.times import to_seconds


@dataclass(frozen=True, slots=True)
class Policy:
    """How failures of one cause are met."""

    name: str
    """The field of `spec.retry` with their number, and of `status.failures` with their count."""
    first: float
    """Seconds to the next attempt after the first quick failure; doubles with each one in a row."""
    longest: float
    """Where the doubling ends."""
    spread: bool = False
    """Whether jobs that failed together wait unequally long: they fail together again if they come back together."""


POLICIES: dict[Cause, Policy] = {
    # Over by itself: the pods most likely find another node at once.
    "Preempted": Policy("preempted", 1.0, 60.0),
    "NodeLost": Policy("node_lost", 1.0, 60.0),
    "Internal": Policy("internal", 1.0, 300.0),
    "UserError": Policy("user_error", 1.0, 300.0),
    # Not over at once; another try costs minutes of several machines.
    "OutOfMemory": Policy("out_of_memory", 5.0, 300.0),
    "Hang": Policy("hang", 5.0, 300.0),
    "StorageError": Policy("storage_error", 10.0, 300.0),
    "ImagePull": Policy("image_pull", 10.0, 300.0),
    # Not over before others have given something back.
    "Unschedulable": Policy("unschedulable", 30.0, 300.0, spread=True),
}
"""What is not here is never tried again, or, as Suspended, Released and Upgraded, costs nothing."""

STEADY_SECONDS = 600.0
"""An attempt that ran this long was no quick failure: the delay begins anew after it."""


def charged(failures: Failures, cause: Cause | None) -> Failures:
    """The failures with one more of the cause."""
    policy = POLICIES.get(cause) if cause else None
    if policy is None:
        return failures
    return failures.model_copy(update={policy.name: getattr(failures, policy.name) + 1})


def allowed(budget: Retry, policy: Policy) -> tuple[int, str]:
    """How many failures of a cause a job may survive, and which field of `spec.retry` says so."""
    own: int | None = getattr(budget, policy.name)
    return (budget.infrastructure, "infrastructure") if own is None else (own, to_camel(policy.name))


def affordable(failures: Failures, cause: Cause, budget: Retry) -> bool:
    """Whether the budget still covers the failures, the last of which had this cause."""
    policy = POLICIES.get(cause)
    if policy is None:
        return False
    met: int = getattr(failures, policy.name)
    return met <= allowed(budget, policy)[0]


def exhausted_message(failures: Failures, cause: Cause, budget: Retry) -> str:
    """Why there is no further attempt, for a person."""
    policy = POLICIES.get(cause)
    if policy is None:
        return ""
    number, field = allowed(budget, policy)
    if number == 0:
        return f"not tried again, as retry.{field} is 0"
    return f"failures of this cause: {getattr(failures, policy.name)}; retry.{field} allows {number}"


def delay_after(attempts: Sequence[Attempt], uid: str) -> float:
    """Seconds from the end of a job's last attempt to the next, by its cause and the quick failures in a row."""
    policy = POLICIES.get(attempts[-1].cause) if attempts and attempts[-1].cause else None
    if policy is None:
        return 0.0
    quick = 0
    for attempt in reversed(attempts):
        if attempt.cause not in POLICIES or _steady(attempt):
            break
        quick += 1
    delay = min(policy.longest, policy.first * 2.0 ** max(0, quick - 1))
    return delay * spread(uid, attempts[-1].number) if policy.spread else delay


def spread(uid: str, turn: int) -> float:
    """A number from 0.5 to 1.5 that follows from a job's uid and a turn: what makes two jobs wait unequally long."""
    digest = hashlib.sha256(f"{uid} {turn}".encode()).digest()
    return 0.5 + int.from_bytes(digest[:4], "big") / 2**32


def _steady(attempt: Attempt) -> bool:
    running, end = to_seconds(attempt.running_time), to_seconds(attempt.end_time)
    return running is not None and end is not None and end - running >= STEADY_SECONDS
