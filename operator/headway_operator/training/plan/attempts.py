"""The life of one attempt: its start, what keeps it going, what stops it, and what its end means for the job."""

from __future__ import annotations

from headway_api import wire
from headway_api.status import Attempt, Cause, WorkersStatus
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies import retry
from headway_operator.training.plan import gang, objects
from headway_operator.training.plan.ends import (
    OVERDUE_SECONDS,
    End,
    bounded,
    gone_message,
    head_end,
    outcome_end,
    overdue,
    read_outcome,
    silent_node_message,
)
from headway_operator.training.plan.look import Look
from headway_operator.training.plan.model import Job, NewPod, Observed, Pod
from headway_operator.training.plan.status import REASON_PODS_REFUSED, pods_refused
from headway_operator.training.plan.stopping import deadline_message, hindrance, reason_to_stop
from headway_operator.training.plan.workers import Crew, charge_all, counted, losses, muster, remembered, unrecorded


def open_attempt(job: Job, observed: Observed, now: float) -> Attempt | None:
    """The attempt that has begun and not ended.

    An attempt that has objects has begun, even if the operator was stopped before it could write that down. It has no
    name if their names are those that 0.1.0 gave.
    """
    seen = max([pod.attempt for pod in observed.pods] + [item.attempt for item in observed.configs], default=0)
    if seen > job.status.attempt:
        pods = [pod for pod in observed.pods if pod.attempt == seen]
        begun = gang.begin(job, seen, min((pod.created for pod in pods), default=now))
        names = [pod.name for pod in pods] + [item.name for item in observed.configs if item.attempt == seen]
        named = all(name.startswith(begun.name or "") for name in names)
        return begun if named else begun.model_copy(update={"name": None})
    last = job.status.attempts[-1] if job.status.attempts else None
    return last if last is not None and last.end_time is None else None


def start(look: Look, number: int) -> None:
    """Begin an attempt: all its pods at once."""
    carry_on(look, gang.begin(look.job, number, look.now))


def carry_on(look: Look, attempt: Attempt) -> None:
    """Keep an attempt going, or stop it, or record its end."""
    look.turn_to(attempt)
    crew = muster(look.observed, attempt, _desired(look, attempt), look.now)
    said = look.said
    if look.job.status.attempt < attempt.number:
        _announce(look, attempt, crew)
    attempt = _hear_driver(look, attempt, said)
    head = crew.head
    if head is not None and head.ended and _unheard(look, head):
        look.read.add("live")
    elif head is not None and head.ended:
        _end(look, attempt, head_end(head, look.word_uid, said.outcome if said else None))
    elif head is not None and overdue(head, look.now):
        _unreachable_head(look, attempt, crew)
    elif head is None and said is not None and said.outcome is not None:
        _end(look, attempt, outcome_end(said.outcome))
    elif attempt.cause is not None:
        _stop_further(look, attempt, crew)
    elif head is None and not _incomplete(look, attempt):
        if not look.observed.live:
            look.read.add("live")
            return
        name = wire.head_name(look.job.name, look.job.uid, attempt.number)
        _end(look, attempt, End("NodeLost", gone_message("head", name)))
    else:
        _keep_going(look, attempt, crew)


def resumed(look: Look) -> None:
    """The job is suspended no more."""
    if look.draft.holds("Suspended"):
        look.draft.condition("Suspended", False, "Resumed", "spec.suspend is false")
        look.notice("Resumed", "the job goes on from its newest checkpoint")


def conclude(look: Look, *, complete: bool, reason: str, message: str) -> None:
    """The job has ended."""
    draft = look.draft
    draft.phase = "Succeeded" if complete else "Failed"
    draft.condition("Complete" if complete else "Failed", True, reason, message)
    draft.drop("Failed" if complete else "Complete", "Scheduled")
    draft.condition("Running", False, "Finished", "")
    if draft.holds("Suspended"):
        draft.condition("Suspended", False, "Finished", "")
    draft.completion_time = draft.completion_time or to_text(look.now)


def _unheard(look: Look, head: Pod) -> bool:
    """Whether a head without a word on its pod may have left one in its ConfigMap that the cache has not seen."""
    heard = read_outcome(head.end, head.attempt, look.word_uid) or (
        look.said.outcome if look.said is not None else None
    )
    return heard is None and not look.observed.live


def _desired(look: Look, attempt: Attempt) -> int:
    """The workers of this attempt. A changed number counts from the next attempt on: the world size is fixed.

    An attempt that the status does not tell of yet has as many as its driver was told to wait for.
    """
    status, spec = look.job.status, look.job.spec
    if status.attempt == attempt.number and status.workers is not None and status.workers.desired > 0:
        return status.workers.desired
    told = next((config.workers for config in look.observed.configs if config.attempt == attempt.number), 0)
    if told > 0:
        return told
    return spec.workers.replicas if spec is not None else 1


def _incomplete(look: Look, attempt: Attempt) -> bool:
    """Whether the attempt's pods may not all have been created yet."""
    if look.job.status.attempt < attempt.number:
        return True
    return pods_refused(look.job.status) is not None and attempt.running_time is None


def _hear_driver(look: Look, attempt: Attempt, said: wire.ProgressFile | None) -> Attempt:
    if said is None:
        return attempt
    look.draft.progress = said.progress
    look.draft.checkpoint = said.checkpoint or look.draft.checkpoint
    update = {"resumed_from_step": said.resumed_from_step, "steps_lost": said.steps_lost}
    return attempt.model_copy(update={key: value for key, value in update.items() if value is not None})


def _unreachable_head(look: Look, attempt: Attempt, crew: Crew) -> None:
    if not look.observed.live:
        look.read.add("live")
        return
    if crew.head is not None:
        _end(look, attempt, End("NodeLost", silent_node_message("head", crew.head), node=crew.head.node))


def _keep_going(look: Look, attempt: Attempt, crew: Crew) -> None:
    attempt = _record_replacements(look, attempt, crew)
    incomplete = _incomplete(look, attempt)
    if incomplete:
        first = [NewPod("head")] if crew.head is None else []
        first += [NewPod("worker", index) for index in crew.missing]
        crew.missing = []
    else:
        first = []
        if crew.missing:
            look.read.add("live")
    lost, wake = losses(crew, look.now)
    if wake is not None:
        look.wake_at(wake)
    # Numbers are counted over the whole attempt, so that a name never returns.
    top = max([attempt.workers_replaced, *(pod.number for pod in crew.replacements)])
    again = [NewPod("worker", index, top + step) for step, index in enumerate(lost, start=1)]
    look.grouped = gang.grouped(look)
    joining = any(look.refused_until(pod) is None for pod in again)
    objects.ask_what_is_missing(look, attempt, joining=joining)
    why = reason_to_stop(look, attempt, crew, list(lost.values())) or objects.token_lost(look, attempt, joining=joining)
    if why is not None:
        _stop(look, attempt, crew, why)
        return
    ensure = objects.to_ensure(look, attempt, first=bool(first))
    if look.create(crew.desired, [*first, *again], ensure=ensure) and again:
        look.again()
    _tidy(look, attempt, crew)
    _describe(look, attempt, crew, creating=bool(first))


def _announce(look: Look, attempt: Attempt, crew: Crew) -> None:
    draft = look.draft
    draft.start_time = draft.start_time or attempt.start_time
    draft.storage = draft.storage or (look.job.spec.storage if look.job.spec is not None else None)
    resumed(look)
    look.notice("AttemptStarted", f"attempt {attempt.number}: a head and {crew.desired} workers")


def _record_replacements(look: Look, attempt: Attempt, crew: Crew) -> Attempt:
    fresh = unrecorded(crew, attempt)
    if not fresh:
        return attempt
    count = counted(attempt, [lost for _, lost in fresh], look.now)
    look.draft.failures = charge_all(look.draft.failures, count)
    for pod, lost in fresh:
        text = f"{pod.name} takes a place: {lost.cause}, {lost.message}"
        look.notice("WorkerReplaced", bounded(text), warning=True)
    look.again()  # what they replace goes once the status tells of them
    return attempt.model_copy(
        update={
            "workers_replaced": max(pod.number for pod, _ in fresh),
            "losses": attempt.losses + len(count),
            "node_losses": remembered(attempt, count, look.now),
        }
    )


def _tidy(look: Look, attempt: Attempt, crew: Crew) -> None:
    recorded = next((item.workers_replaced for item in look.job.status.attempts if item.number == attempt.number), 0)
    for pod in crew.surplus:
        look.delete(pod)
        look.forget(pod)
    for pod in crew.replaced:
        holder = crew.workers.get(pod.index)
        if holder is not None and holder.number <= recorded:
            look.delete(pod)
            look.forget(pod)
    for number in look.observed.attempts_with_objects():
        if number < attempt.number:
            look.delete_objects(number)


def _describe(look: Look, attempt: Attempt, crew: Crew, *, creating: bool) -> None:
    draft, ready = look.draft, f"{crew.ready_workers} of {crew.desired} workers ready"
    draft.condition("Accepted", True, "Valid", "the spec is valid")
    draft.workers = WorkersStatus(desired=crew.desired, ready=crew.ready_workers)
    _describe_places(look, crew, creating=creating)
    if attempt.running_time is None and crew.complete:
        attempt = attempt.model_copy(update={"running_time": to_text(look.now)})
        look.notice("Running", f"attempt {attempt.number}: the head and {ready}")
    if attempt.running_time is not None:
        draft.phase = "Running"
        draft.condition("Running", True, "AllReady" if crew.complete else "WorkersMissing", ready)
    else:
        draft.phase = "Starting"
        head = "head ready" if crew.head is not None and crew.head.ready else "head not ready"
        why = hindrance(look, crew)
        draft.condition("Running", False, "Starting", f"{head}, {ready}" + (f"; {why}" if why else ""))
    draft.put(attempt)


def _describe_places(look: Look, crew: Crew, *, creating: bool) -> None:
    with_node = sum(1 for pod in crew.present if pod.node is not None)
    if look.refusals:
        look.draft.condition("Scheduled", False, REASON_PODS_REFUSED, hindrance(look, crew))
    elif creating and pods_refused(look.job.status) is not None:
        return
    elif with_node > crew.desired:
        look.draft.condition("Scheduled", True, "PodsScheduled", f"all {with_node} pods have a node")
    else:
        said = next((pod.unschedulable for pod in crew.homeless), "")
        text = f"{with_node} of {crew.desired + 1} pods have a node" + (f": {said}" if said else "")
        look.draft.condition("Scheduled", False, "Unschedulable" if said else "WaitingForNodes", text)


def _stop(look: Look, attempt: Attempt, crew: Crew, why: End) -> None:
    """Decide to stop. The pods go when the status says so: a crash in between loses nothing."""
    if not crew.present and not crew.surplus:
        _end(look, attempt, why)
        return
    look.draft.put(attempt.model_copy(update={"cause": why.cause, "message": why.message, "node": why.node}))
    look.draft.condition("Running", look.draft.holds("Running"), "Stopping", f"{why.cause}: {why.message}")
    look.again()


def _stop_further(look: Look, attempt: Attempt, crew: Crew) -> None:
    """The driver is asked to stop, and may take a checkpoint while the workers still answer.

    Where nothing ran yet there is no checkpoint to take: all pods go at once.
    """
    head = crew.head
    if head is None:
        _end(look, attempt, End(attempt.cause, attempt.message or "", node=attempt.node))
        return
    for pod in crew.present if attempt.running_time is None else [head]:
        look.delete(pod)
    look.draft.put(attempt)
    if head.deleting is not None:
        look.wake_at(head.deleting + OVERDUE_SECONDS + 1)


def _end(look: Look, attempt: Attempt, end: End) -> None:
    """Record the end of an attempt and decide what it means. Its objects go when the status says so."""
    draft = look.draft
    end = _as_decided(attempt, end)
    begun = to_seconds(attempt.start_time) or look.now
    at = min(max(end.at if end.at is not None else look.now, begun), look.now)
    outcome = end.outcome
    entry = attempt.model_copy(
        update={
            "end_time": to_text(at),
            "cause": end.cause,
            "exit_code": end.exit_code,
            "node": end.node or attempt.node,
            "message": bounded(end.message) or None,
        }
    )
    if outcome is not None:
        said = {"resumed_from_step": outcome.resumed_from_step, "steps_lost": outcome.steps_lost}
        entry = entry.model_copy(update={key: value for key, value in said.items() if value is not None})
        draft.progress = outcome.progress
        draft.checkpoint = outcome.checkpoint or draft.checkpoint
        draft.result = outcome.result or draft.result
    draft.put(entry)
    draft.start_time = draft.start_time or entry.start_time
    draft.active_seconds += int(at) - int(begun)
    draft.workers = WorkersStatus(desired=_desired(look, attempt), ready=0)
    draft.failures = retry.charged(draft.failures, end.cause)
    draft.drop("Scheduled")
    _decide_after(look, entry, end)
    look.again()


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


def _decide_after(look: Look, entry: Attempt, end: End) -> None:
    cause = end.cause
    number = entry.number
    if cause is None:
        conclude(look, complete=True, reason="Succeeded", message=bounded(end.message or "the model is stored"))
        look.notice("Complete", bounded(f"attempt {number} succeeded. {end.message}".strip()))
    elif cause == "Suspended":
        look.draft.condition("Running", False, "Suspended", "")
        look.draft.condition("Suspended", False, "Suspending", "waiting for the pods to go")
    elif cause == "Released":
        text = bounded(f"{end.message}; {gang.next_turn(look, entry)}")
        look.draft.phase = "Queued"
        look.draft.condition("Running", False, gang.REASON_DOES_NOT_FIT, "")
        look.draft.condition("Scheduled", False, gang.REASON_DOES_NOT_FIT, text)
        look.notice("Released", bounded(f"attempt {number}: {text}"), warning=True)
    elif cause == "Upgraded":
        look.draft.phase = "Pending"
        look.draft.condition("Running", False, "Upgraded", f"attempt {number} ended: {end.message}")
        look.notice("Upgraded", bounded(f"attempt {number} ended: {end.message}"))
    elif _another_try(look, cause):
        look.draft.phase = "Pending"
        look.draft.condition("Running", False, "Retrying", f"attempt {number} ended: {cause}, {end.message}")
        look.notice("AttemptFailed", bounded(f"attempt {number} ended: {cause}, {end.message}"), warning=True)
    else:
        text = _final_message(look, cause, end.message)
        conclude(look, complete=False, reason=cause, message=text)
        look.notice("Failed", bounded(f"attempt {number}: {cause}, {text}"), warning=True)


def _another_try(look: Look, cause: Cause) -> bool:
    spec = look.job.spec
    return spec is not None and retry.affordable(look.draft.failures, cause, spec.retry)


def _final_message(look: Look, cause: Cause, message: str) -> str:
    spec = look.job.spec
    budget = retry.exhausted_message(look.draft.failures, cause, spec.retry) if spec is not None else ""
    return bounded(f"{message} ({budget})" if budget else message)


__all__ = ["OVERDUE_SECONDS", "carry_on", "conclude", "deadline_message", "open_attempt", "resumed", "start"]
