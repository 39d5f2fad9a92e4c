"""The decision about a TrainingJob: what should exist, what should go, what the status says, when to look again."""

from __future__ import annotations

from headway_api.status import FINISHED, Attempt
from headway_operator.engine.times import to_seconds
from headway_operator.policies import retry
from headway_operator.training.plan import attempts, gang
from headway_operator.training.plan.look import Look
from headway_operator.training.plan.model import Job, Observed, Plan
from headway_operator.training.plan.status import condition_of

MAX_PROBLEMS_SHOWN = 10


def plan(job: Job, observed: Observed, now: float) -> Plan:
    """What is to be done about the job now. `now` is in seconds since the epoch."""
    look = Look(job, observed, now)
    if job.deleting:
        # Owner references take all of it away.
        return Plan(forget=tuple(pod for pod in observed.pods if pod.gone))
    attempt = attempts.open_attempt(job, observed, now)
    if job.status.phase in FINISHED and not _rejected(job):
        _clean_up(look)
        _expire(look)
    elif attempt is not None:
        attempts.carry_on(look, attempt)
    elif job.spec is None:
        _reject(look)
    else:
        _between_attempts(look)
    return look.plan()


def _rejected(job: Job) -> bool:
    """Whether the job failed before it began, for its spec: an edit can mend that."""
    failed = condition_of(job.status, "Failed")
    return job.status.attempt == 0 and failed is not None and failed.reason == "InvalidSpec"


def _reject(look: Look) -> None:
    problems = look.job.problems
    more = len(problems) - MAX_PROBLEMS_SHOWN
    text = "; ".join(problems[:MAX_PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    known = _rejected(look.job) and look.job.status.observed_generation == look.job.generation
    look.draft.condition("Accepted", False, "InvalidSpec", text)
    _clean_up(look)
    attempts.conclude(look, complete=False, reason="InvalidSpec", message=text)
    if not known:
        look.notice("Rejected", text, warning=True)
    _expire(look)


def _clean_up(look: Look) -> bool:
    """Take away what ended attempts left; true when nothing is left that holds resources."""
    held, left = look.held(), look.observed.attempts_with_objects()
    for pod in look.observed.pods:
        look.delete(pod)
        look.forget(pod)
    for pod in held:
        if pod.deleting is not None:
            look.wake_at(pod.deleting + attempts.OVERDUE_SECONDS + 1)
    if not held:
        # Pods that have just gone speak for their attempt, too: somebody may have deleted its ConfigMap.
        gone = {pod.attempt for pod in look.observed.pods if pod.gone}
        for attempt in left | gone:
            look.delete_objects(attempt)
    return not held and not left


def _expire(look: Look) -> None:
    spec = look.job.spec
    # A spec with problems is not to be relied upon for deleting anything.
    ended = to_seconds(look.draft.completion_time)
    if spec is None or spec.ttl_seconds_after_finished is None or ended is None:
        return
    due = ended + spec.ttl_seconds_after_finished
    if look.now >= due:
        look.delete_job()
    else:
        look.wake_at(due)


def _between_attempts(look: Look) -> None:
    job, draft = look.job, look.draft
    assert job.spec is not None  # noqa: S101 - plan() has sent jobs without a spec elsewhere
    clean = _clean_up(look)
    draft.condition("Accepted", True, "Valid", "the spec is valid")
    draft.drop("Failed", "Complete")
    draft.completion_time = None
    last = _last(job)
    queued = last is not None and last.cause == "Released"
    if job.spec.suspend:
        draft.drop("Scheduled")
        _suspended(look, clean)
        return
    attempts.resumed(look)
    groupless = gang.await_pod_groups(look)
    if not queued and not groupless:
        draft.drop("Scheduled")
    draft.phase = "Queued" if queued else "Pending"
    deadline = job.spec.active_deadline_seconds
    if deadline is not None and job.status.active_seconds >= deadline:
        attempts.conclude(look, complete=False, reason="DeadlineExceeded", message=attempts.deadline_message(deadline))
        return
    if groupless or not clean or (last is not None and not _backoff_over(look, last)):
        return
    if job.status.attempt > 0 and not look.observed.live:
        look.read.add("live")
        return
    attempts.start(look, job.status.attempt + 1)


def _last(job: Job) -> Attempt | None:
    return job.status.attempts[-1] if job.status.attempts else None


def _backoff_over(look: Look, last: Attempt) -> bool:
    job, released = look.job, last.cause == "Released"
    delay = gang.pause(job, last) if released else retry.delay_after(job.status.attempts, job.uid)
    begin = (to_seconds(last.end_time) or 0.0) + delay
    if look.now >= begin:
        return True
    look.wake_at(begin)
    return False


def _suspended(look: Look, clean: bool) -> None:
    draft = look.draft
    if not clean:
        draft.condition("Suspended", False, "Suspending", "waiting for the pods to go")
        return
    if not draft.holds("Suspended"):
        look.notice("Suspended", "the job holds no pods; set spec.suspend to false to go on")
    draft.condition("Suspended", True, "Suspended", "spec.suspend is true: the job holds no pods")
    draft.condition("Running", False, "Suspended", "")
    draft.phase = "Suspended"
