"""The end of an attempt: what is recorded of it, and what it means for the job."""

from __future__ import annotations

from headway_api.status import Attempt, Cause, WorkersStatus
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies import retry
from headway_operator.training.plan import gang, publishing, raised
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.ends import End
from headway_operator.training.plan.losses import counted_already
from headway_operator.training.plan.situation import Situation
from headway_operator.training.plan.status import condition_of

REASON_NOT_UNDERSTOOD = "NotUnderstood"
"""Accepted=False for this reason: the job has begun, and this version of the operator cannot read its spec."""


def end_attempt(decision: Decision, situation: Situation, end: End) -> None:
    """Record the end of an attempt and decide what it means. Its objects go when the status says so."""
    status, attempt = decision.status, situation.attempt
    end = _as_decided(attempt, end)
    begun = to_seconds(attempt.start_time) or situation.now
    at = min(max(end.at if end.at is not None else situation.now, begun), situation.now)
    active = active_since(attempt)
    entry = attempt.model_copy(
        update={
            "end_time": to_text(at),
            "cause": end.cause,
            "exit_code": end.exit_code,
            "node": end.node or attempt.node,
            "message": bounded(end.message) or None,
        }
    )
    entry = _with_outcome(decision, situation, entry, end)
    status.put(entry)
    status.start_time = status.start_time or entry.start_time
    status.active_seconds += max(0, int(at) - int(active)) if active is not None else 0
    status.workers = WorkersStatus(desired=situation.pods.desired, ready=0)
    status.interrupted()
    # What was decided here is charged; what takes the head along with its workers has been, with them.
    if attempt.cause is not None or not counted_already(attempt, end.cause, situation.now):
        status.charge([end.cause])
    status.drop("Scheduled")
    if situation.config is None:
        # Once the status says that it has ended, only its pods tell of its Secret, Service and NetworkPolicy, and only
        # to a process that sees the pods go.
        decision.delete_objects(attempt.number)
    _decide_what_follows(decision, situation, entry, end)
    decision.again()


def active_since(attempt: Attempt) -> float | None:
    """Since when the attempt holds all its pods; None if it never has."""
    return to_seconds(attempt.scheduled_time or attempt.running_time)


def resumed(decision: Decision) -> None:
    """The job is suspended no more."""
    if decision.status.holds("Suspended"):
        decision.status.condition("Suspended", False, "Resumed", "spec.suspend is false")
        decision.notice("Resumed", "the job goes on from its newest checkpoint")


def conclude(decision: Decision, *, complete: bool, reason: str, message: str) -> None:
    """The job has ended."""
    status = decision.status
    status.phase = "Succeeded" if complete else "Failed"
    status.condition("Complete" if complete else "Failed", True, reason, message)
    if reason == "InvalidSpec":
        status.condition("Accepted", False, "InvalidSpec", message)
    status.drop("Failed" if complete else "Complete", "Scheduled")
    status.condition("Running", False, "Finished", "")
    if status.holds("Suspended"):
        status.condition("Suspended", False, "Finished", "")
    status.completion_time = status.completion_time or to_text(decision.now)


def not_understood(decision: Decision) -> None:
    """This version of the operator cannot read the spec of a job that has begun: it leaves the job alone."""
    text = bounded("; ".join(decision.job.problems))
    before = condition_of(decision.job.status, "Accepted")
    if before is None or before.reason != REASON_NOT_UNDERSTOOD:
        decision.notice(REASON_NOT_UNDERSTOOD, text, warning=True)
    decision.status.condition("Accepted", False, REASON_NOT_UNDERSTOOD, text)


def _with_outcome(decision: Decision, situation: Situation, entry: Attempt, end: End) -> Attempt:
    """The attempt with what the driver's outcome says of it, which goes into the status, too."""
    outcome, status = end.outcome, decision.status
    if outcome is None:
        return entry
    status.heard = entry.number
    status.progress = outcome.progress
    status.checkpoint = outcome.checkpoint or status.checkpoint
    if outcome.result is not None or outcome.bundle is not None:
        status.result = publishing.result(decision, outcome)
    if situation.report is None or not situation.report.warnings:
        # An outcome has less room: of many warnings the report has told more.
        status.warnings = outcome.warnings or status.warnings
    steps = {"resumed_from_step": outcome.resumed_from_step, "steps_lost": outcome.steps_lost}
    return entry.model_copy(update={key: value for key, value in steps.items() if value is not None})


def _as_decided(attempt: Attempt, end: End) -> End:
    """An attempt that was stopped ended for the reason of the stop, unless it is known to have failed instead."""
    failed = (end.outcome is not None and end.outcome.outcome == "Failed") or end.cause == "OutOfMemory"
    if attempt.cause is None or end.cause is None or failed:
        return end
    return End(
        cause=attempt.cause,
        message=attempt.message or end.message,
        at=end.at,
        exit_code=end.exit_code,
        node=end.node,
        outcome=end.outcome,
    )


def _success(end: End) -> str:
    """What a job that has succeeded leaves, as far as its driver said so."""
    result = None if end.outcome is None else end.outcome.result
    if result is None:
        return "training has ended"
    stored = any(artifact.name == "model" for artifact in result.artifacts)
    return "the model is stored" if stored else "training has ended, and has left no model"


def _decide_what_follows(decision: Decision, situation: Situation, entry: Attempt, end: End) -> None:
    status, cause, number = decision.status, end.cause, entry.number
    if raised.follows(decision.job, entry, cause):
        raised.announce(decision, entry)
    elif cause is None:
        conclude(decision, complete=True, reason="Succeeded", message=bounded(end.message or _success(end)))
        decision.notice("Complete", bounded(f"attempt {number} succeeded. {end.message}".strip()))
        publishing.tell(decision)
    elif cause == "Suspended":
        status.condition("Running", False, "Suspended", "")
        status.condition("Suspended", False, "Suspending", "waiting for the pods to go")
    elif cause == "Released":
        text = bounded(f"{end.message}; {gang.next_turn(decision.job, entry, decision.now)}")
        status.phase = "Queued"
        status.condition("Running", False, gang.REASON_DOES_NOT_FIT, "")
        status.condition("Scheduled", False, gang.REASON_DOES_NOT_FIT, text)
        decision.notice("Released", bounded(f"attempt {number}: {text}"), warning=True)
    elif cause == "Upgraded":
        status.phase = "Pending"
        status.condition("Running", False, "Upgraded", f"attempt {number} ended: {end.message}")
        decision.notice("Upgraded", bounded(f"attempt {number} ended: {end.message}"))
    elif _another_try(decision, situation, cause):
        status.phase = "Pending"
        status.condition("Running", False, "Retrying", f"attempt {number} ended: {cause}, {end.message}")
        text = bounded(f"attempt {number} ended: {cause}, {end.message}")
        decision.notice("AttemptFailed", text, warning=True, cause=cause)
    else:
        text = _final_message(decision, situation, cause, end.message)
        conclude(decision, complete=False, reason=cause, message=text)
        decision.notice("Failed", bounded(f"attempt {number}: {cause}, {text}"), warning=True, cause=cause)


def _another_try(decision: Decision, situation: Situation, cause: Cause) -> bool:
    spec = decision.job.spec
    counts, workers = decision.status.account.recent, situation.pods.desired
    if spec is None:
        # A job whose spec this version does not understand waits for one that does, unless it is over anyway.
        return cause in retry.POLICIES
    return retry.affordable(counts, cause, spec.retry, workers)


def _final_message(decision: Decision, situation: Situation, cause: Cause, message: str) -> str:
    spec = decision.job.spec
    counts, workers = decision.status.account.recent, situation.pods.desired
    budget = retry.exhausted_message(counts, cause, spec.retry, workers) if spec is not None else ""
    return bounded(f"{message} ({budget})" if budget else message)
