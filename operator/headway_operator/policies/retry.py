"""Which failures are tried again, how often, and after how long: a row a cause.

Failures are counted twice: all of them, for people, and those that count against the budgets. The latter are forgotten
once the job has made steady progress for long enough: a budget says how much a job may fail without getting on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic.alias_generators import to_camel

from headway_api.job import Retry
from headway_api.status import Attempt, Cause, Failures, Progress, RecentFailures, TrainingJobStatus
from headway_operator.engine.times import to_seconds, to_text


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
    """Whether jobs that failed together wait unequally long: what they share fails again if they come back together."""
    together: float = 60.0
    """Within so many seconds, workers of an attempt that are lost for this cause are one failure."""
    by_worker: bool = False
    """Whether a job of more workers may fail more often, where no number is set: it strikes machines."""
    number: int | None = None
    """The number where none is set; None: that of `infrastructure`."""


POLICIES: dict[Cause, Policy] = {
    # Over by itself: the pods most likely find another node at once. A zone or a node pool goes over minutes.
    "Preempted": Policy("preempted", 1.0, 60.0, spread=True, together=300.0, by_worker=True, number=20),
    "NodeLost": Policy("node_lost", 1.0, 60.0, spread=True, together=300.0, by_worker=True),
    "Internal": Policy("internal", 1.0, 300.0),
    "UserError": Policy("user_error", 1.0, 300.0),
    # Not over at once; another try costs minutes of several machines.
    "OutOfMemory": Policy("out_of_memory", 5.0, 300.0),
    "OutOfDisk": Policy("out_of_disk", 5.0, 300.0),
    "Hang": Policy("hang", 5.0, 300.0, spread=True),
    "StorageError": Policy("storage_error", 10.0, 300.0, spread=True),
    "ImagePull": Policy("image_pull", 10.0, 300.0, spread=True),
    # Not over before others have given something back.
    "Unschedulable": Policy("unschedulable", 30.0, 300.0, spread=True),
}
"""What is not here is never tried again, or, as Suspended, Released and Upgraded, costs nothing."""

STEADY_SECONDS = 600.0
"""An attempt that ran this long was no quick failure: the delay begins anew after it."""
MOST_BY_WORKERS = 100
"""How many failures more than its number the workers of a job may add to a budget."""


NONE, NOTHING = Failures(), RecentFailures()


@dataclass(frozen=True, slots=True)
class Account:
    """The failures of a job: all of them, and those that count against its budgets."""

    total: Failures = NONE
    recent: Failures = NONE
    """Those that steady progress has not made good yet."""
    furthest_step: int | None = None
    """The furthest step that training had come to when it was last interrupted."""
    steady_seconds: int = 0
    """Seconds of training beyond that, before the last interruption, since the oldest of the recent failures."""
    steady_since: float | None = None
    """Since when training has been further than that, if it is."""

    @classmethod
    def of(cls, status: TrainingJobStatus) -> Account:
        """The account in a status; in one of a version that forgot nothing, all failures are recent."""
        total, known = status.failures or NONE, status.recent_failures
        if known is None:
            return cls(total, total)
        return cls(
            total=total,
            recent=known.counts or NONE,
            furthest_step=known.furthest_step,
            steady_seconds=known.steady_seconds or 0,
            steady_since=to_seconds(known.steady_since),
        )

    def recent_failures(self) -> RecentFailures | None:
        """What the status says of the recent ones."""
        told = RecentFailures(
            counts=self.recent if self.recent != NONE else None,
            furthest_step=self.furthest_step,
            steady_seconds=self.steady_seconds or None,
            steady_since=to_text(self.steady_since) if self.steady_since is not None else None,
        )
        # An empty word is one, too: that what has failed is forgotten.
        return told if told != NOTHING or self.total != NONE else None

    def progressed(self, progress: Progress, now: float) -> Account:
        """The account of a job whose driver has reported this: training may have come further than ever."""
        further = progress.step is None or self.furthest_step is None or progress.step > self.furthest_step
        if self.steady_since is not None or progress.stage != "Training" or not further:
            return self
        return replace(self, steady_since=now)

    def interrupted(self, step: int | None, now: float, forget_after: float) -> Account:
        """The account as training stops, having come to this step: what it has made good by then is not in it."""
        steady = self.steady_seconds + int(max(0.0, now - (now if self.steady_since is None else self.steady_since)))
        forgotten = steady >= forget_after
        return Account(
            total=self.total,
            recent=NONE if forgotten else self.recent,
            furthest_step=max((each for each in (self.furthest_step, step) if each is not None), default=None),
            steady_seconds=0 if forgotten else steady,
        )

    def charged(self, cause: Cause | None) -> Account:
        """The account with one more failure of the cause."""
        return replace(self, total=charged(self.total, cause), recent=charged(self.recent, cause))


def alike(one: Cause, other: Cause) -> bool:
    """Whether failures of these causes may be one event: of a node that goes, some pods leave a word and some none."""
    policies = POLICIES.get(one), POLICIES.get(other)
    return one == other or all(policy is not None and policy.by_worker for policy in policies)


def charged(failures: Failures, cause: Cause | None) -> Failures:
    """The failures with one more of the cause."""
    policy = POLICIES.get(cause) if cause else None
    if policy is None:
        return failures
    return failures.model_copy(update={policy.name: getattr(failures, policy.name) + 1})


def allowed(budget: Retry, policy: Policy, workers: int) -> tuple[int, str]:
    """How many failures of a cause a job may survive, and which field of `spec.retry` says so."""
    own: int | None = getattr(budget, policy.name)
    if own is not None:
        return own, to_camel(policy.name)
    number = budget.infrastructure if policy.number is None else policy.number
    more = min(workers, MOST_BY_WORKERS) if policy.by_worker and number > 0 else 0
    return number + more, "infrastructure" if policy.number is None else to_camel(policy.name)


def affordable(failures: Failures, cause: Cause, budget: Retry, workers: int) -> bool:
    """Whether the budget still covers the failures, the last of which had this cause."""
    policy = POLICIES.get(cause)
    if policy is None:
        return False
    met: int = getattr(failures, policy.name)
    return met <= allowed(budget, policy, workers)[0]


def exhausted_message(failures: Failures, cause: Cause, budget: Retry, workers: int) -> str:
    """Why there is no further attempt, for a person."""
    policy = POLICIES.get(cause)
    if policy is None:
        return ""
    number, name = allowed(budget, policy, workers)
    if number == 0:
        return f"not tried again, as retry.{name} is 0"
    met = getattr(failures, policy.name)
    with_workers = " with so many workers" if policy.by_worker and getattr(budget, policy.name) is None else ""
    return (
        f"failures of this cause without {budget.forget_after_seconds} s of steady progress between them: {met}; "
        f"retry.{name} allows {number}{with_workers}"
    )


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
