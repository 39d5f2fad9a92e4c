"""The life of one attempt: its start, what keeps it going, and how it is stopped."""

from __future__ import annotations

from dataclasses import replace

from headway_api import wire
from headway_api.status import Attempt, BestTrial, TuningStatus
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.training.plan import gang, objects, pod_groups, raised
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.describing import describe, timed
from headway_operator.training.plan.ending import end_attempt, not_understood, resumed
from headway_operator.training.plan.ends import (
    End,
    given_up_at,
    gone_message,
    head_end,
    outcome_end,
    overdue,
    read_outcome,
    silent_node_message,
)
from headway_operator.training.plan.losses import counted, lost_workers, remembered, unrecorded
from headway_operator.training.plan.model import Job, NewPod, Observed
from headway_operator.training.plan.situation import Ask, Situation
from headway_operator.training.plan.status import condition_of
from headway_operator.training.plan.stopping import reason_to_stop


def open_attempt(job: Job, observed: Observed, now: float) -> Attempt | None:
    """The attempt that has begun and not ended.

    An attempt that has objects has begun, even if the operator was stopped before it could write that down. It has no
    name if their names are those that 0.1.0 gave.
    """
    seen = max([pod.attempt for pod in observed.pods] + [item.attempt for item in observed.configs], default=0)
    if seen > job.status.attempt:
        pods = [pod for pod in observed.pods if pod.attempt == seen]
        configs = [item for item in observed.configs if item.attempt == seen]
        begun = begin(job, seen, min((pod.created for pod in pods), default=now))
        begun = begun.model_copy(update={"trials": raised.told(job.spec, observed.told(seen)[1])})
        names = [pod.name for pod in pods] + [item.name for item in configs]
        named = all(name.startswith(begun.name or "") for name in names)
        return begun if named else begun.model_copy(update={"name": None, "logs": None})
    last = job.status.attempts[-1] if job.status.attempts else None
    return last if last is not None and last.end_time is None else None


def begin(job: Job, number: int, start: float) -> Attempt:
    """A new attempt. One that follows attempts that found no room goes on with their clock."""
    image, name = job.spec.image if job.spec is not None else None, wire.object_name(job.name, job.uid, number)
    new = Attempt(
        number=number,
        name=name,
        image=image,
        start_time=to_text(start),
        logs=_logs(job, number),
        trials=raised.told(job.spec),
    )
    last = job.status.attempts[-1] if job.status.attempts else None
    if last is None or last.cause != "Released" or _suspended_since(job, last):
        return new
    since = last.end_time if last.running_time else gang.asking_since(last)
    return new.model_copy(update={"queued_time": since, "releases": gang.turn(last)})


def _logs(job: Job, number: int) -> str | None:
    storage = job.spec.storage if job.spec is not None else None
    return None if storage is None else wire.logs_uri(storage, job.namespace, job.name, job.uid, number)


def _suspended_since(job: Job, last: Attempt) -> bool:
    """Whether the job was suspended after its last attempt, if it is not any more."""
    suspended = condition_of(job.status, "Suspended")
    return suspended is not None and (to_seconds(suspended.last_transition_time) or 0.0) >= (
        to_seconds(last.end_time) or 0.0
    )


def carry_on(decision: Decision, attempt: Attempt) -> None:
    """Begin an attempt, keep it going, stop it, or record its end."""
    situation = Situation.of(decision.job, decision.observed, decision.now, attempt)
    decision.about(attempt.number, grouped=pod_groups.grouped(situation))
    if situation.is_new:
        _announce(decision, situation)
    if situation.report is not None:
        decision.status.heard = situation.attempt.number
        _take_in(decision, situation.report)
    for pod in situation.pods.present:
        given_up = given_up_at(pod)
        if given_up is not None:
            # Nobody says so when a node that does not answer has had its time.
            decision.wake_at(given_up + 1)
    end = _end_of(situation)
    if isinstance(end, Ask):
        decision.ask(end.fact)
    elif end is not None:
        end_attempt(decision, situation, end)
    elif situation.attempt.cause is not None:
        _stop_further(decision, situation)
    elif situation.job.spec is None:
        describe(decision, timed(decision, situation), creating=False)
        not_understood(decision)
    else:
        _keep_going(decision, situation)


def _take_in(decision: Decision, report: wire.ProgressFile) -> None:
    """Enter what the driver reports."""
    status = decision.status
    status.progress = report.progress
    status.checkpoint = report.checkpoint or status.checkpoint
    status.warnings = report.warnings or status.warnings
    status.account = status.account.progressed(report.progress, decision.now)
    if report.tuning is not None:
        tuning = status.tuning = report.tuning.after(status.tuning)
        before, best = decision.job.status.tuning, tuning.best
        if best is not None and (before is None or before.best is None or before.best.trial != best.trial):
            decision.notice("NewBest", bounded(f"{_best(tuning, best)}{_given(best)}"))


def _best(tuning: TuningStatus, best: BestTrial) -> str:
    return f"trial {best.trial} is the best so far: {tuning.metric} {best.value}"


def _given(best: BestTrial) -> str:
    given = ", ".join(f"{path} {value}" for path, value in best.parameters.items())
    return f" with {given}" if given else ""


def _end_of(situation: Situation) -> End | Ask | None:
    """How the attempt has ended, if it has, as far as its head and its driver's words tell.

    A head without a word on its pod may have left one in its ConfigMap that the cache has not seen; and a head that is
    gone or whose node does not answer is asked for before that is believed. One that was there while the attempt was
    being created is not made anew: where it runs on unseen, both would write the same checkpoints.
    """
    head, live = situation.pods.head, situation.observed.live
    written = situation.report.outcome if situation.report is not None else None
    if head is not None and head.ended:
        heard = read_outcome(head.end, head.attempt, situation.word_uid) or written
        return head_end(head, situation.word_uid, written) if heard is not None or live else Ask("live")
    if head is not None and overdue(head, situation.now):
        lost = End("NodeLost", silent_node_message("head", head), node=head.node)
        return lost if live else Ask("live")
    if head is None and written is not None:
        # It may be on its last steps, unseen since somebody took its labels.
        return outcome_end(written) if live else Ask("live")
    if head is None and situation.attempt.cause is None and (not situation.incomplete or situation.pods.had_head):
        name = wire.head_name(situation.job.name, situation.job.uid, situation.attempt.number)
        return End("NodeLost", gone_message("head", name)) if live else Ask("live")
    return None


def _announce(decision: Decision, situation: Situation) -> None:
    status = decision.status
    status.start_time = status.start_time or situation.attempt.start_time
    status.storage = status.storage or (situation.job.spec.storage if situation.job.spec is not None else None)
    resumed(decision)
    decision.notice(
        "AttemptStarted", f"attempt {situation.attempt.number}: a head and {situation.pods.desired} workers"
    )


def _keep_going(decision: Decision, situation: Situation) -> None:
    situation = _record_replacements(decision, situation)
    first = _first_pods(situation) if situation.incomplete else []
    if situation.incomplete:
        if situation.unsure_of_first and situation.pods.missing:
            # A replacement that has lost its label is in its place unseen: a first pod beside it would be a second one.
            decision.ask("live")
        situation = replace(situation, pods=situation.pods.without_missing())
    elif situation.pods.missing and (situation.pods.head is None or situation.pods.head.deleting is None):
        # Nobody takes their places while the head is being deleted: that is asked no more with each word of the driver.
        decision.ask("live")
    lost, wake = lost_workers(situation.pods, situation.now)
    if wake is not None:
        decision.wake_at(wake)
    situation = timed(decision, replace(situation, lost=lost))
    again = _replacements(situation)
    joining = any(situation.refused_until(pod) is None for pod in again)
    if objects.unknown(situation, joining=joining):
        decision.ask("objects")
    why = reason_to_stop(situation, decision) or objects.token_lost(situation, joining=joining)
    if why is not None:
        _stop(decision, situation, why)
        return
    _create(decision, situation, first, again)
    _tidy(decision, situation)
    decision.status.condition("Accepted", True, "Valid", "the spec is valid")
    describe(decision, situation, creating=bool(first))


def _first_pods(situation: Situation) -> list[NewPod]:
    """The pods of an attempt that is being created, as far as there is no trace of them."""
    head = [NewPod("head")] if situation.pods.head is None else []
    return [*head, *(NewPod("worker", index) for index in situation.pods.missing)]


def _create(decision: Decision, situation: Situation, first: list[NewPod], again: list[NewPod]) -> None:
    judged = _to_be_judged(situation, first)
    refused = [until for pod in judged if (until := situation.refused_until(pod)) is not None]
    if refused:
        # Nothing is made as long as one of them is not taken.
        decision.wake_at(min(refused))
        return
    decision.dry_run(judged)
    ensure = objects.to_ensure(situation, first=bool(first), grouped=pod_groups.grouped(situation))
    if decision.create(situation, [*first, *again], ensure=ensure) and again:
        decision.again()


def _to_be_judged(situation: Situation, first: list[NewPod]) -> list[NewPod]:
    """Pods that the API server is to judge before anything is made: one of each template, until a job has run."""
    attempts, spec = situation.job.status.attempts, situation.spec
    if situation.pods.present or any(attempt.running_time for attempt in attempts):
        return []
    templates = {"head": spec.head.template, "worker": spec.workers.template}
    by_role = {pod.role: pod for pod in reversed(first)}
    return [pod for role, pod in sorted(by_role.items()) if templates[role]]


def _replacements(situation: Situation) -> list[NewPod]:
    """Workers for the places that were lost. They are numbered over the whole attempt, so that no name returns."""
    highest = max(situation.attempt.workers_replaced, situation.pods.highest_number)
    return [NewPod("worker", index, highest + step) for step, index in enumerate(situation.lost, start=1)]


def _record_replacements(decision: Decision, situation: Situation) -> Situation:
    """Enter the replacements that exist, and count why they became necessary; that comes into force with the status."""
    attempt = situation.attempt
    fresh = unrecorded(situation.pods, attempt)
    if fresh:
        count = counted(attempt, [lost for _, lost in fresh], situation.now)
        decision.status.interrupted()
        decision.status.charge(lost.cause for lost in count)
        for pod, lost in fresh:
            text = f"{pod.name} takes a place: {lost.cause}, {lost.message}"
            decision.notice("WorkerReplaced", bounded(text), warning=True)
        decision.again()  # what they replace goes once the status tells of them
        attempt = attempt.model_copy(
            update={
                "workers_replaced": max(pod.number for pod, _ in fresh),
                "losses": attempt.losses + len(count),
                "loss_events": remembered(attempt, count, situation.now),
            }
        )
    return replace(situation, attempt=attempt, account=decision.status.account)


def _tidy(decision: Decision, situation: Situation) -> None:
    """Delete what is one too many, what the status tells has been replaced, and what earlier attempts left."""
    attempts, pods = situation.job.status.attempts, situation.pods
    recorded = next((item.workers_replaced for item in attempts if item.number == situation.attempt.number), 0)
    holders = {index for index, pod in pods.workers.items() if pod.number <= recorded}
    for pod in [*pods.surplus, *(pod for pod in pods.replaced if pod.index in holders)]:
        decision.delete(pod)
        decision.forget(pod)
    for number in situation.observed.attempts_with_objects():
        if number < situation.attempt.number:
            decision.delete_objects(number)


def _stop(decision: Decision, situation: Situation, why: End) -> None:
    """Decide to stop. The pods go when the status says so: a crash in between loses nothing."""
    if not situation.pods.present and not situation.pods.surplus:
        if not situation.observed.live:
            # Its head may run, unseen by an operator that began a moment ago.
            decision.ask("live")
            return
        end_attempt(decision, situation, why)
        return
    stopped = situation.attempt.model_copy(update={"cause": why.cause, "message": why.message, "node": why.node})
    decision.status.put(stopped)
    running = decision.status.holds("Running")
    decision.status.condition("Running", running, "Stopping", f"{why.cause}: {why.message}")
    decision.again()


def _stop_further(decision: Decision, situation: Situation) -> None:
    """The driver is asked to stop, and may take a checkpoint while the workers still answer.

    Where nothing ran yet there is no checkpoint to take: all pods go at once.
    """
    attempt, head = situation.attempt, situation.pods.head
    if head is None and not situation.observed.live:
        # It may still be going, unseen by an operator that began a moment ago.
        decision.ask("live")
        return
    if head is None:
        end_attempt(decision, situation, End(attempt.cause, attempt.message or "", node=attempt.node))
        return
    for pod in [head] if situation.ran else situation.pods.present:
        decision.delete(pod)
    decision.status.put(attempt)
