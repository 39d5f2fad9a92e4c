"""The decision about a TrainingJob: what should exist, what should go, what the status says, when to decide again."""

from __future__ import annotations

from headway_api.job import TrainingJobSpec
from headway_api.status import FINISHED, Attempt
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_seconds
from headway_operator.policies import retry
from headway_operator.training.plan import attempts, gang, pod_groups, raised
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.ending import conclude, not_understood, resumed
from headway_operator.training.plan.ends import given_up_at
from headway_operator.training.plan.keeping import kept
from headway_operator.training.plan.model import Fact, Job, Observed, Plan
from headway_operator.training.plan.status import condition_of
from headway_operator.training.plan.stopping import deadline_message, refused_templates

MAX_PROBLEMS_SHOWN = 10


def plan(job: Job, observed: Observed, now: float) -> Plan:
    """What is to be done about the job now. `now` is in seconds since the epoch."""
    if job.deleting:
        # Owner references take all of it away.
        return Plan(forget=tuple(pod for pod in observed.pods if pod.gone))
    decision = Decision(job, observed, now)
    decision.keep(*kept(job, observed, now))
    attempt = attempts.open_attempt(job, observed, now)
    if job.status.phase in FINISHED and not _corrected(job) and not raised.goes_on(job):
        _clean_up(decision)
        _expire(decision)
    elif attempt is not None:
        # It may be the first of a job that was rejected, begun without that being written down.
        _reopen(decision)
        attempts.carry_on(decision, attempt)
    elif problems := _problems(job, observed):
        _reject(decision, problems)
    elif job.spec is None:
        _clean_up(decision)
        not_understood(decision)
    else:
        _between_attempts(decision, job.spec)
    return decision.plan()


def _corrected(job: Job) -> bool:
    """Whether the job failed before it began, for its spec, and somebody has edited that since.

    Without an edit it stays finished, whatever another version of the operator would say of it.
    """
    failed = condition_of(job.status, "Failed")
    rejected = job.status.attempt == 0 and failed is not None and failed.reason == "InvalidSpec"
    return rejected and job.status.observed_generation != job.generation


def _problems(job: Job, observed: Observed) -> tuple[str, ...]:
    """Why the job cannot begin: a spec is judged before its first attempt, and never again."""
    if job.status.attempt > 0:
        return ()
    return job.problems or refused_templates(job, observed.refusals)


def _reject(decision: Decision, problems: tuple[str, ...]) -> None:
    more = len(problems) - MAX_PROBLEMS_SHOWN
    text = bounded("; ".join(problems[:MAX_PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else ""))
    _clean_up(decision)
    conclude(decision, complete=False, reason="InvalidSpec", message=text)
    decision.notice("Rejected", text, warning=True)
    decision.again()  # its time to live counts once the status says so


def _reopen(decision: Decision) -> None:
    """The job goes on, whatever its status says of an end."""
    decision.status.drop("Failed", "Complete")
    decision.status.completion_time = None
    if decision.status.phase in FINISHED:
        decision.status.phase = "Pending"


def _clean_up(decision: Decision) -> bool:
    """Take away what ended attempts left; true when nothing is left that holds resources."""
    held, left = decision.held(), decision.observed.attempts_with_objects()
    for pod in decision.observed.pods:
        decision.delete(pod)
        decision.forget(pod)
    for pod in held:
        given_up = given_up_at(pod)
        if given_up is not None:
            decision.wake_at(given_up + 1)
    if not held:
        # Pods that have just gone speak for their attempt, too: somebody may have deleted its ConfigMap.
        gone = {pod.attempt for pod in decision.observed.pods if pod.gone}
        for attempt in left | gone:
            decision.delete_objects(attempt)
    return not held and not left


def _expire(decision: Decision) -> None:
    spec = decision.job.spec
    # A spec with problems is not to be relied upon for deleting anything.
    ended = to_seconds(decision.status.completion_time)
    if spec is None or spec.ttl_seconds_after_finished is None or ended is None:
        return
    due = ended + spec.ttl_seconds_after_finished
    if decision.now >= due:
        decision.delete_job()
    else:
        decision.wake_at(due)


def _between_attempts(decision: Decision, spec: TrainingJobSpec) -> None:
    job, status = decision.job, decision.status
    clean = _clean_up(decision)
    status.condition("Accepted", True, "Valid", "the spec is valid")
    _reopen(decision)
    last = _last(job)
    if last is not None and raised.goes_on(job):
        raised.announce(decision, last)
    queued = last is not None and last.cause == "Released"
    if spec.suspend:
        status.drop("Scheduled")
        _suspended(decision, clean)
        return
    resumed(decision)
    groupless = pod_groups.await_pod_groups(decision, job, decision.observed, spec)
    if not queued and not groupless:
        status.drop("Scheduled")
    status.phase = "Queued" if queued else "Pending"
    why = _deadline_over(decision, spec, last)
    if why is not None:
        conclude(decision, complete=False, reason="DeadlineExceeded", message=why)
        decision.again()  # its time to live counts once the status says so
        return
    if groupless or not clean or (last is not None and not _backoff_over(decision, last)):
        return
    before: set[Fact] = {"live"} if job.status.attempt > 0 else set()
    before |= {"left"} if last is not None else set()
    if not before <= decision.observed.read:
        for fact in before:
            decision.ask(fact)
        return
    attempts.carry_on(decision, attempts.begin(job, job.status.attempt + 1, decision.now))


def _deadline_over(decision: Decision, spec: TrainingJobSpec, last: Attempt | None) -> str | None:
    """Why no further attempt is begun, for a person; None if none of the deadlines is over."""
    active = spec.active_deadline_seconds
    if active is not None and decision.job.status.active_seconds >= active:
        return deadline_message(active)
    queue = spec.scheduling.queue_deadline_seconds
    if queue is None or last is None or last.cause != "Released":
        return None
    over = (to_seconds(gang.queued_since(last)) or decision.now) + queue
    if decision.now >= over:
        return gang.queue_deadline_message(queue, last.message or "")
    decision.wake_at(over)
    return None


def _last(job: Job) -> Attempt | None:
    return job.status.attempts[-1] if job.status.attempts else None


def _backoff_over(decision: Decision, last: Attempt) -> bool:
    job, released = decision.job, last.cause == "Released"
    delay = gang.pause(job, last) if released else retry.delay_after(job.status.attempts, job.uid)
    begin = (to_seconds(last.end_time) or 0.0) + delay
    if decision.now >= begin:
        return True
    decision.wake_at(begin)
    return False


def _suspended(decision: Decision, clean: bool) -> None:
    status = decision.status
    if not clean:
        status.condition("Suspended", False, "Suspending", "waiting for the pods to go")
        return
    if not status.holds("Suspended"):
        if not decision.observed.live:
            # Of an attempt that could not be written down, the pods may not have been seen, either.
            decision.ask("live")
            return
        decision.notice("Suspended", "the job holds no pods; set spec.suspend to false to go on")
    status.condition("Suspended", True, "Suspended", "spec.suspend is true: the job holds no pods")
    status.condition("Running", False, "Suspended", "")
    status.phase = "Suspended"
