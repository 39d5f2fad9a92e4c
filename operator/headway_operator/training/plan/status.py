"""The status as it should be: conditions, attempts, progress; and which of its changes cannot wait."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from pydantic import ValidationError

from headway_api import wire
from headway_api.job import Retry
from headway_api.status import (
    MAX_ATTEMPTS_KEPT,
    Attempt,
    Cause,
    CheckpointStatus,
    Condition,
    ConditionType,
    Phase,
    Progress,
    Result,
    TrainingJobStatus,
    TuningStatus,
    WorkersStatus,
)
from headway_api.storage import Storage
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_text
from headway_operator.policies.retry import NONE, Account
from headway_operator.training.plan.model import Job

_ORDER: tuple[ConditionType, ...] = (
    "Accepted",
    "Scheduled",
    "Running",
    "Suspended",
    "Complete",
    "Failed",
    "Published",
    "Reconciled",
)
REASON_PODS_REFUSED = "PodsRefused"
"""Scheduled=False for this reason: the attempt's pods are not all created yet, so a missing one is not a lost one."""

REPORTS_KEPT = 64
"""Reports of drivers that were read, kept at hand: each is asked for several times a look."""
REASON_STATUS_REFUSED = "StatusRefused"
"""Reconciled=False for this reason: the API server takes the status only without what the driver reports."""


class StatusDraft:
    """A status in the making: begins as the job's present one, ends as the one that should be written."""

    def __init__(self, job: Job, now: float, *, refused: bool = False) -> None:
        status = job.status
        self._job = job
        self._now = now
        self._conditions: dict[ConditionType, Condition] = {item.type: item for item in status.conditions}
        self.phase: Phase | None = status.phase
        self.attempt: int = status.attempt
        self.attempts: list[Attempt] = list(status.attempts)
        self.account = Account.of(status)
        self.start_time: str | None = status.start_time
        self.completion_time: str | None = status.completion_time
        self.active_seconds: int = status.active_seconds
        self.workers: WorkersStatus | None = status.workers
        self.progress: Progress | None = status.progress
        self.checkpoint: CheckpointStatus | None = status.checkpoint
        self.storage: Storage | None = status.storage
        self.tuning: TuningStatus | None = status.tuning
        self.heard: int | None = None
        """The attempt whose driver's words were entered, if any were."""
        self.result: Result | None = status.result
        self.warnings: list[str] = list(status.warnings)
        self._refused = refused
        """Whether the API server refused the last status: this one is to be without what the driver reports."""

    def condition(self, kind: ConditionType, holds: bool, reason: str, message: str = "") -> None:
        """Set a condition; its transition time moves only when it comes to hold or ceases to."""
        value: Literal["True", "False"] = "True" if holds else "False"
        before = self._conditions.get(kind)
        unchanged = before is not None and before.status == value
        self._conditions[kind] = Condition(
            type=kind,
            status=value,
            reason=reason,
            message=bounded(message),
            last_transition_time=before.last_transition_time if before and unchanged else to_text(self._now),
            observed_generation=self._job.generation,
        )

    def drop(self, *kinds: ConditionType) -> None:
        """Take conditions away that are no longer about anything."""
        for kind in kinds:
            self._conditions.pop(kind, None)

    def holds(self, kind: ConditionType) -> bool:
        """Whether a condition is True."""
        condition = self._conditions.get(kind)
        return condition is not None and condition.status == "True"

    def put(self, attempt: Attempt) -> None:
        """Enter an attempt, or what became of it; the oldest make room, and what led to nothing but this one."""
        kept = [
            entry
            for entry in self.attempts
            if entry.number != attempt.number
            and not (attempt.releases and entry.cause == "Released" and entry.running_time is None)
        ]
        self.attempts = sorted([*kept, attempt], key=lambda entry: entry.number)[-MAX_ATTEMPTS_KEPT:]
        self.attempt = max(self.attempt, attempt.number)

    def interrupted(self) -> None:
        """Training stops, or begins again from a checkpoint: what it has made good until now is settled."""
        step = self.progress.step if self.progress is not None else None
        retries = self._job.spec.retry if self._job.spec is not None else Retry()
        self.account = self.account.interrupted(step, self._now, retries.forget_after_seconds)

    def charge(self, causes: Iterable[Cause | None]) -> None:
        """The job has failed for these causes, once for each."""
        for cause in causes:
            self.account = self.account.charged(cause)

    def build(self) -> TrainingJobStatus:
        """The status."""
        self._reconciled()
        conditions = [self._conditions[kind] for kind in _ORDER if kind in self._conditions]
        status = TrainingJobStatus(
            observed_generation=self._job.generation,
            phase=self.phase,
            conditions=conditions,
            attempt=self.attempt,
            attempts=self.attempts,
            failures=self.account.total if self.account.total != NONE else None,
            recent_failures=self.account.recent_failures(),
            start_time=self.start_time,
            completion_time=self.completion_time,
            active_seconds=self.active_seconds,
            workers=self.workers,
            progress=self.progress,
            checkpoint=self.checkpoint,
            storage=self.storage,
            tuning=self.tuning,
            result=self.result,
            time=self._job.status.time,
            warnings=self.warnings,
        )
        return essential(status) if self._refused else status

    def _reconciled(self) -> None:
        """That a plan is made at all says that the job is reconciled, whatever the status said before."""
        before = self._conditions.get("Reconciled")
        if self._refused:
            text = "the API server refused the status with what the driver reports: it is written without that"
            self.condition("Reconciled", False, REASON_STATUS_REFUSED, text)
        elif before is not None and not (before.reason == REASON_STATUS_REFUSED and self.completion_time):
            self.drop("Reconciled")


def essential(status: TrainingJobStatus) -> TrainingJobStatus:
    """The status without anything that the driver reports: what the API server takes if it takes any status at all."""
    silent = {"message": None, "resumed_from_step": None, "steps_lost": None}
    attempts = [entry.model_copy(update=silent) for entry in status.attempts]
    reported: dict[str, object] = dict.fromkeys(("progress", "checkpoint", "tuning", "result"))
    if status.result is not None and status.result.bundle is not None:
        # Of this the driver has said no more than a digest, and what serves the model goes by it.
        reported["result"] = Result(bundle=status.result.bundle)
    return status.model_copy(update={"attempts": attempts, **reported, "warnings": []})


def condition_of(status: TrainingJobStatus, kind: ConditionType) -> Condition | None:
    """A condition of a status."""
    return next((item for item in status.conditions if item.type == kind), None)


def pods_refused(status: TrainingJobStatus) -> Condition | None:
    """The condition of a status that says that not all pods of the attempt were taken, if one says so."""
    told = condition_of(status, "Scheduled")
    return told if told is not None and told.reason == REASON_PODS_REFUSED else None


def urgent(old: TrainingJobStatus, new: TrainingJobStatus) -> bool:
    """Whether the change must be written now; what only shows how far things are can wait a moment."""
    return _essence(old) != _essence(new) or _attempts(old, but=new) != _attempts(new, but=old)


def _essence(status: TrainingJobStatus) -> object:
    conditions = [
        (item.type, item.status, item.reason)
        for item in status.conditions
        if item.type != "Scheduled" or item.reason == REASON_PODS_REFUSED
    ]
    return (
        status.phase,
        conditions,
        status.attempt,
        status.failures,
        status.completion_time,
        status.result,
        status.observed_generation,
    )


def _attempts(status: TrainingJobStatus, *, but: TrainingJobStatus) -> list[Attempt]:
    """What matters of the attempts, but of those that are in the other status just as they are."""
    silent = {"resumed_from_step": None, "steps_lost": None, "node": None}
    return [entry.model_copy(update=silent) for entry in status.attempts if entry not in but.attempts]


@lru_cache(REPORTS_KEPT)
def _report(text: str) -> wire.ProgressFile | None:
    try:
        return wire.ProgressFile.model_validate_json(text)
    except ValidationError:
        return None


def read_progress(text: str, attempt: int, uid: str) -> wire.ProgressFile | None:
    """What the driver says; None if it says nothing, nothing readable, or is another attempt's or another job's."""
    report = _report(text) if text else None
    if report is None:
        return None
    words: list[wire.ProgressFile | wire.Outcome] = [report] if report.outcome is None else [report, report.outcome]
    return report if all((word.uid, word.attempt) == (uid, attempt) for word in words) else None
