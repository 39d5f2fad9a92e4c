"""What ends an attempt that would go on by itself: the user's wish, a deadline, a lack of room or of patience."""

from __future__ import annotations

from headway_api.job import TrainingJobSpec
from headway_api.status import Attempt, Cause
from headway_operator.engine.times import to_seconds
from headway_operator.policies import retry
from headway_operator.training.plan import ends, gang, hang
from headway_operator.training.plan.ends import End
from headway_operator.training.plan.look import Look
from headway_operator.training.plan.model import Pod
from headway_operator.training.plan.workers import Crew, Lost, counted


def deadline_message(seconds: int) -> str:
    """What is said when the deadline is over."""
    return f"the job has held pods for activeDeadlineSeconds, {seconds} s: raise it to let a new job go on"


def reason_to_stop(look: Look, attempt: Attempt, crew: Crew, lost: list[Lost]) -> End | None:
    """Why the attempt has to stop, or None. Wakes the look when one of its clocks will be over."""
    spec = look.job.spec
    if spec is None:
        return End("InvalidSpec", "; ".join(look.job.problems[:3]))
    if spec.suspend:
        return End("Suspended", "spec.suspend is true")
    if attempt.name is None:
        return End("Upgraded", "its pods have names of Headway 0.1.0; the next attempt goes on from its checkpoint")
    return (
        _deadline(look, attempt, spec)
        or _refused(look)
        or _stuck(look, crew)
        or _never_up(look, attempt, spec, crew)
        or _lost_too_many(look, attempt, spec, lost)
        or hang.silent(look, attempt, spec, crew.head)
        or gang.does_not_fit(look, attempt, spec, crew)
    )


def _deadline(look: Look, attempt: Attempt, spec: TrainingJobSpec) -> End | None:
    if spec.active_deadline_seconds is None:
        return None
    start = to_seconds(attempt.start_time) or look.now
    over = start + spec.active_deadline_seconds - look.job.status.active_seconds
    if look.now >= over:
        return End("DeadlineExceeded", deadline_message(spec.active_deadline_seconds))
    look.wake_at(over)
    return None


def _refused(look: Look) -> End | None:
    for name, refusal in sorted(look.refusals.items()):
        if refusal.kind == "Invalid":
            part = "head" if name.endswith("-head") else "workers"
            mend = f"mend spec.{part}.template, delete the job and apply it anew"
            return End("InvalidSpec", ends.bounded(f"the API server refuses {name}; {mend}: {refusal.message}"))
    return None


def _stuck(look: Look, crew: Crew) -> End | None:
    """A container that cannot start for its image or its environment."""
    for pod in crew.present:
        if pod.waiting == "InvalidImageName":
            return _stopped(pod, "ImagePull", "the image's name is not valid: mend spec.image or the template")
        if pod.waiting in ends.PULL_ERRORS and _lasts(look, pod, ends.PULL_GRACE_SECONDS):
            mend = "check spec.image, and imagePullSecrets in the pod templates"
            return _stopped(pod, "ImagePull", f"the image cannot be pulled ({pod.waiting}): {mend}")
        if pod.waiting in ends.CONFIG_ERRORS and _lasts(look, pod, ends.CONFIG_GRACE_SECONDS):
            mend = "make what is missing, or mend the spec"
            return _stopped(pod, "UserError", f"a container cannot be started ({pod.waiting}): {mend}")
    return None


def _stopped(pod: Pod, cause: Cause, text: str) -> End:
    return End(cause, ends.bounded(f"{text}. Pod {pod.name}: {pod.waiting_message}"), node=pod.node)


def _lasts(look: Look, pod: Pod, grace: float) -> bool:
    over = (pod.waiting_since if pod.waiting_since is not None else look.now) + grace
    if look.now >= over:
        return True
    look.wake_at(over)
    return False


def _never_up(look: Look, attempt: Attempt, spec: TrainingJobSpec, crew: Crew) -> End | None:
    """Pods that do not come up in time, at the start or as a replacement."""
    patience = spec.scheduling.startup_deadline_seconds
    if attempt.running_time is None:
        over = (to_seconds(gang.asking_since(attempt)) or look.now) + patience
    else:
        late = [pod.created for pod in crew.workers.values() if not pod.ready and pod.deleting is None and _idle(pod)]
        if not late:
            return None
        over = min(late) + patience
    if look.now < over:
        look.wake_at(over)
        return None
    mend = "ask for less, add nodes, or raise scheduling.startupDeadlineSeconds"
    text = f"not all pods were ready after {patience} s; {mend}: {_why_not_up(look, crew)}"
    return End("Unschedulable", ends.bounded(text))


def _idle(pod: Pod) -> bool:
    # Not started for whatever reason: no node, no image, a volume or a network that does not come.
    return pod.phase == "Pending"


def hindrance(look: Look, crew: Crew) -> str:
    """What keeps pods from coming up, as far as anybody has said; empty if nobody has."""
    refused = sorted(look.refusals.items())
    if refused:
        name, refusal = refused[0]
        return f"the API server does not take {name}: {refusal.message}"
    waiting = [pod for pod in crew.present if not pod.ready]
    homeless = crew.homeless
    if homeless:
        without = sum(1 for pod in waiting if pod.node is None)
        return f"{without} of {crew.desired + 1} pods have no node: {homeless[0].unschedulable}"
    stuck = next((pod for pod in waiting if pod.waiting), None)
    return f"pod {stuck.name} on {stuck.node}: {stuck.waiting} {stuck.waiting_message}".strip() if stuck else ""


def _why_not_up(look: Look, crew: Crew) -> str:
    """A sentence about the pods that are not ready, whether or not anybody has said why."""
    waiting = [pod for pod in crew.present if not pod.ready]
    silent = f"pod {waiting[0].name} does not get ready: see its events and its log" if waiting else "pods are missing"
    return hindrance(look, crew) or silent


def _lost_too_many(look: Look, attempt: Attempt, spec: TrainingJobSpec, lost: list[Lost]) -> End | None:
    failures = look.draft.failures
    for each in counted(attempt, lost, look.now):
        failures = retry.charged(failures, each.cause)
        if not retry.affordable(failures, each.cause, spec.retry):
            return End(each.cause, ends.bounded(each.message))
    return None
