"""What ends an attempt that would go on by itself: the user's wish, a deadline, a lack of room or of patience.

Each reason is one row of STOP_REASONS. The first one that holds is the attempt's; a reason that may hold later says
when, and one that needs to know more says what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headway_api.status import Cause
from headway_operator.engine.steps import Refusal
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_seconds
from headway_operator.policies import retry
from headway_operator.training.plan import ends, gang, hang
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.ending import active_since
from headway_operator.training.plan.ends import End
from headway_operator.training.plan.losses import counted
from headway_operator.training.plan.model import Job, Pod
from headway_operator.training.plan.situation import Ask, Situation, Wait

Verdict = End | Wait | Ask | None
StopReason = Callable[[Situation], Verdict]


def deadline_message(seconds: int) -> str:
    """What is said when the deadline is over."""
    return f"the job has held all its pods for activeDeadlineSeconds, {seconds} s: raise it to let a new job go on"


def reason_to_stop(situation: Situation, decision: Decision) -> End | None:
    """Why the attempt has to stop, or None. What may hold later wakes the job then."""
    for reason in STOP_REASONS:
        verdict = reason(situation)
        if isinstance(verdict, End):
            return verdict
        if isinstance(verdict, Wait):
            decision.wake_at(verdict.until)
        elif isinstance(verdict, Ask):
            decision.ask(verdict.fact)
    return None


def _suspended(situation: Situation) -> Verdict:
    return End("Suspended", "spec.suspend is true") if situation.spec.suspend else None


def _of_an_earlier_version(situation: Situation) -> Verdict:
    if situation.attempt.name is not None:
        return None
    return End("Upgraded", "its pods have names of Headway 0.1.0; the next attempt goes on from its checkpoint")


def _deadline(situation: Situation) -> Verdict:
    seconds, since = situation.spec.active_deadline_seconds, active_since(situation.attempt)
    if seconds is None or since is None:
        return None
    over = since + seconds - situation.job.status.active_seconds
    return End("DeadlineExceeded", deadline_message(seconds)) if situation.now >= over else Wait(over)


def _queue_deadline(situation: Situation) -> Verdict:
    """A job that waits for room for too long. One that runs waits only once it has given back what it holds."""
    seconds = situation.spec.scheduling.queue_deadline_seconds
    if seconds is None or situation.attempt.scheduled_time is not None or situation.ran or situation.pods.placed:
        return None
    over = (to_seconds(gang.asking_since(situation.attempt)) or situation.now) + seconds
    if situation.now < over:
        return Wait(over)
    return End("DeadlineExceeded", gang.queue_deadline_message(seconds, _why_not_ready(situation)))


def refused_templates(job: Job, refusals: Mapping[str, Refusal]) -> tuple[str, ...]:
    """What the API server will never take of the pods that the spec asks for, as problems of the spec.

    Once a job has run, its templates are known to be right: what is refused then is refused for another reason, and
    asked for again.
    """
    if any(attempt.running_time for attempt in job.status.attempts):
        return ()
    found: dict[str, str] = {}
    for name, refusal in sorted(refusals.items()):
        if refusal.kind == "Invalid" and refusal.generation in (0, job.generation):
            part = "head" if name.endswith("-head") else "workers"
            found.setdefault(part, f"spec.{part}.template: the API server refuses pod {name}: {refusal.message}")
    return tuple(found.values())


def _refused(situation: Situation) -> Verdict:
    problems = refused_templates(situation.job, situation.refusals)
    if not problems:
        return None
    return End("InvalidSpec", bounded(f"correct the template, delete the job and apply it again. {problems[0]}"))


def _cannot_start(situation: Situation) -> Verdict:
    """A container that cannot start for its image or its environment."""
    waits: list[float] = []
    for pod in situation.pods.present:
        since = pod.waiting_since if pod.waiting_since is not None else situation.now
        found = _why_waiting(pod)
        if found is None:
            continue
        cause, grace, text = found
        if situation.now >= since + grace:
            return End(cause, bounded(f"{text}. Pod {pod.name}: {pod.waiting_message}"), node=pod.node)
        waits.append(since + grace)
    return Wait(min(waits)) if waits else None


def _why_waiting(pod: Pod) -> tuple[Cause, float, str] | None:
    """Cause, patience and sentence for a container that does not start; None if it is not known to be stuck."""
    if pod.waiting == "InvalidImageName":
        return "ImagePull", 0.0, "the image's name is not valid: correct spec.image or the template"
    if pod.waiting in ends.PULL_ERRORS:
        fix = "check spec.image, and imagePullSecrets in the pod templates"
        return "ImagePull", ends.PULL_GRACE_SECONDS, f"the image cannot be pulled ({pod.waiting}): {fix}"
    if pod.waiting in ends.CONFIG_ERRORS:
        fix = "make what is missing, or correct the spec"
        return "UserError", ends.CONFIG_GRACE_SECONDS, f"a container cannot be started ({pod.waiting}): {fix}"
    return None


def _not_ready_in_time(situation: Situation) -> Verdict:
    """Pods that have a node and do not come up in time, at the start or as a replacement."""
    pods, patience = situation.pods, situation.spec.scheduling.startup_deadline_seconds
    if situation.ran:
        begun = min((_placed_at(pod) for pod in pods.workers.values() if _idle(pod)), default=None)
    else:
        begun = max(map(_placed_at, pods.present)) if pods.placed else None
    if begun is None:
        return None
    if situation.now < begun + patience:
        return Wait(begun + patience)
    fix = "make what is missing, or raise scheduling.startupDeadlineSeconds"
    text = f"not all pods were ready {patience} s after they had a node; {fix}: {_why_not_ready(situation)}"
    return End("Unschedulable", bounded(text))


def _placed_at(pod: Pod) -> float:
    return pod.scheduled_at if pod.scheduled_at is not None else pod.created


def _idle(pod: Pod) -> bool:
    """Whether a pod has a node and is not started, for whatever reason: an image, a volume, a network that lacks."""
    return pod.node is not None and pod.phase == "Pending" and not pod.ready and pod.deleting is None


def what_keeps_pods(situation: Situation) -> str:
    """What keeps pods from coming up, as far as anybody has said; empty if nobody has."""
    refused = sorted(situation.refusals.items())
    if refused:
        name, refusal = refused[0]
        return f"the API server does not take {name}: {refusal.message}"
    waiting = [pod for pod in situation.pods.present if not pod.ready]
    unschedulable = situation.pods.unschedulable
    if unschedulable:
        without = sum(1 for pod in waiting if pod.node is None)
        return f"{without} of {situation.pods.desired + 1} pods have no node: {unschedulable[0].unschedulable}"
    stuck = next((pod for pod in waiting if pod.waiting), None)
    return f"pod {stuck.name} on {stuck.node}: {stuck.waiting} {stuck.waiting_message}".strip() if stuck else ""


def _why_not_ready(situation: Situation) -> str:
    """A sentence about the pods that are not ready, whether or not anybody has said why."""
    waiting = [pod for pod in situation.pods.present if not pod.ready]
    silent = f"pod {waiting[0].name} does not get ready: see its events and its log" if waiting else "pods are missing"
    return what_keeps_pods(situation) or silent


def _lost_too_many(situation: Situation) -> Verdict:
    retries, report = situation.spec.retry, situation.report
    step = report.progress.step if report is not None else None
    account = situation.account.interrupted(step, situation.now, retries.forget_after_seconds)
    for each in counted(situation.attempt, situation.lost.values(), situation.now):
        account = account.charged(each.cause)
        if not retry.affordable(account.recent, each.cause, retries, situation.pods.desired):
            return End(each.cause, bounded(each.message))
    return None


STOP_REASONS: tuple[StopReason, ...] = (
    _suspended,
    _of_an_earlier_version,
    _deadline,
    _queue_deadline,
    _refused,
    _cannot_start,
    _not_ready_in_time,
    _lost_too_many,
    hang.silent,
    gang.does_not_fit,
)
