"""All or nothing: an attempt of which only a part finds room gives back what it holds, and asks again after a while.

Whoever waits for room with a part of its pods on nodes keeps that room from others, who may be waiting for its other
part. Where the scheduler knows PodGroups it does not come to that; elsewhere, or where it does in spite of them, this
policy ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headway_api import wire
from headway_api.job import TrainingJobSpec
from headway_api.status import Attempt
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies import retry
from headway_operator.training.plan.ends import End, bounded
from headway_operator.training.plan.look import Look
from headway_operator.training.plan.model import Job, Pod
from headway_operator.training.plan.status import condition_of, pods_refused
from headway_operator.training.plan.workers import Crew

REASON_DOES_NOT_FIT = "GangDoesNotFit"
"""Scheduled=False for this reason: the job holds nothing and will ask for room again."""
LONGEST_PAUSE_SECONDS = 600.0
HEAD_ALONE = 5
"""So many times longer may a head alone, without a GPU, hold its node.

It holds little, and where nodes are made for the workers, which takes minutes, these have to keep asking.
"""
REASON_NO_POD_GROUP = "NoPodGroup"
"""Scheduled=False for this reason: the spec asks for a PodGroup, and there cannot be one."""
NO_POD_GROUP_SECONDS = 60.0
"""How often it is looked whether there can be one by now."""
DEFAULT_SCHEDULER = "default-scheduler"
LACK_LIMIT = 600
"""How much of a scheduler's message is told: what follows it matters more."""


def begin(job: Job, number: int, start: float) -> Attempt:
    """A new attempt. One that follows attempts that found no room goes on with their clock."""
    image, name = job.spec.image if job.spec is not None else None, wire.object_name(job.name, job.uid, number)
    new = Attempt(number=number, name=name, image=image, start_time=to_text(start))
    last = job.status.attempts[-1] if job.status.attempts else None
    if last is None or last.cause != "Released" or _suspended_since(job, last):
        return new
    since = last.end_time if last.running_time else asking_since(last)
    return new.model_copy(update={"queued_time": since, "releases": _turn(last)})


def _suspended_since(job: Job, last: Attempt) -> bool:
    """Whether the job was suspended after its last attempt, if it is not any more."""
    suspended = condition_of(job.status, "Suspended")
    return suspended is not None and (to_seconds(suspended.last_transition_time) or 0.0) >= (
        to_seconds(last.end_time) or 0.0
    )


def grouped(look: Look) -> bool:
    """Whether the attempt's pods are scheduled as one PodGroup. What it began with holds for all of it."""
    if look.config is not None:
        return look.config.grouped
    spec = look.job.spec
    if spec is None or spec.scheduling.gang == "Release":
        return False
    return why_no_pod_group(spec, served=look.observed.pod_groups) is None


def why_no_pod_group(spec: TrainingJobSpec, *, served: bool) -> str | None:
    """Why the job's pods cannot be scheduled as one PodGroup, or None."""
    if not served:
        return "the API server does not serve podgroups of scheduling.k8s.io/v1beta1"
    head, workers = pod_spec(spec.head.template), pod_spec(spec.workers.template)
    for key, default in (("schedulerName", DEFAULT_SCHEDULER), ("priorityClassName", None), ("preemptionPolicy", None)):
        if head.get(key, default) != workers.get(key, default):
            return f"all pods of a PodGroup must have the same {key}: set it in both templates or in none"
    if workers.get("schedulerName", DEFAULT_SCHEDULER) != DEFAULT_SCHEDULER:
        return f"only {DEFAULT_SCHEDULER} is known to keep to PodGroups: take schedulerName out of both templates"
    return None


def pod_spec(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec of a pod template, which is kept as it comes; a mistake in its shape is told by who renders it."""
    spec = template.get("spec")
    return spec if isinstance(spec, dict) else {}


def await_pod_groups(look: Look) -> bool:
    """Whether the job has to wait, because it insists on a PodGroup and there cannot be one."""
    spec = look.job.spec
    assert spec is not None  # noqa: S101 - plan() has sent jobs without a spec elsewhere
    why = why_no_pod_group(spec, served=look.observed.pod_groups) if spec.scheduling.gang == "PodGroup" else None
    if why is None:
        return False
    text = f"scheduling.gang is PodGroup, but {why}; or set scheduling.gang to Auto or Release"
    before = condition_of(look.job.status, "Scheduled")
    if before is None or before.reason != REASON_NO_POD_GROUP:
        look.notice(REASON_NO_POD_GROUP, text, warning=True)
    look.draft.condition("Scheduled", False, REASON_NO_POD_GROUP, text)
    look.wake_at(look.now + NO_POD_GROUP_SECONDS)
    return True


def asking_since(attempt: Attempt) -> str:
    """Since when the job has looked for room for what this attempt runs."""
    return attempt.queued_time or attempt.start_time


def pause(job: Job, released: Attempt) -> float:
    """Seconds from the end of an attempt that gave back its room to the next: the longer, the more of them there were.

    No two jobs wait equally long: else two that hold half of what each needs would meet again and again.
    """
    wanted = job.spec.scheduling.release_seconds if job.spec is not None else 0.0
    turn = _turn(released)
    return min(LONGEST_PAUSE_SECONDS, wanted / 2 * 2.0 ** min(turn - 1, 20)) * retry.spread(job.uid, turn)


def _turn(attempt: Attempt) -> int:
    """How many attempts in a row found no room, with this one; one that ran had found it."""
    return 1 if attempt.running_time else attempt.releases + 1


def does_not_fit(look: Look, attempt: Attempt, spec: TrainingJobSpec, crew: Crew) -> End | None:
    """Why the attempt has to give back what it holds, or None. Wakes the look when its patience will be over."""
    lacking = crew.homeless
    refused = sorted(name for name, refusal in look.refusals.items() if refusal.kind == "Denied")
    # Before a quota, a pod holds something even without a node.
    holding = [pod for pod in crew.present if pod.deleting is None and (pod.node is not None or refused)]
    if not holding or not (lacking or refused):
        return None
    light = spec.head.resources.gpu == 0 and not refused
    head_alone = light and all(pod.role == wire.ROLE_HEAD for pod in holding)
    lacking_since = [pod.created for pod in lacking] + ([_refused_since(look, attempt, crew)] if refused else [])
    begun = max(min(_held_since(pod) for pod in holding), min(lacking_since))
    over = begun + spec.scheduling.release_seconds * (HEAD_ALONE if head_alone else 1)
    if look.now < over:
        look.wake_at(over)
        return None
    return _given_back(look, attempt, spec, _who_lacks_what(look, crew, lacking, refused))


def _held_since(pod: Pod) -> float:
    return pod.scheduled_at if pod.scheduled_at is not None else pod.created


def _refused_since(look: Look, attempt: Attempt, crew: Crew) -> float:
    """Since when a pod should be there that is refused: from the start, or since it lost its predecessor."""
    if attempt.running_time is None:
        return to_seconds(attempt.start_time) or look.now
    ends = [pod.end.at for pod in crew.dead.values() if pod.end and pod.end.at is not None]
    if ends:
        return max(ends)
    # The predecessor left no word: since it was first said that its place is refused.
    told = pods_refused(look.job.status)
    return look.now if told is None else to_seconds(told.last_transition_time) or look.now


def _who_lacks_what(look: Look, crew: Crew, lacking: list[Pod], refused: list[str]) -> str:
    first = refused[0] if refused else lacking[0].name
    said = look.refusals[first].message if refused else lacking[0].unschedulable
    without = len(refused) or len(lacking)
    what = "was refused" if refused else "found no node"
    return bounded(f"{without} of {crew.desired + 1} pods, {first} among them, {what}: {said}", LACK_LIMIT)


def _given_back(look: Look, attempt: Attempt, spec: TrainingJobSpec, lack: str) -> End:
    """Released, or Unschedulable if another turn would begin after the startup deadline."""
    asking = look.now if attempt.running_time else to_seconds(asking_since(attempt)) or look.now
    if look.now + pause(look.job, attempt) < asking + spec.scheduling.startup_deadline_seconds:
        return End("Released", bounded(f"{lack}; all pods are given back for others to use"))
    mend = "ask for less, add nodes, or raise scheduling.startupDeadlineSeconds"
    return End("Unschedulable", bounded(f"no room for all pods in time; {mend}: {lack}"))


def next_turn(look: Look, released: Attempt) -> str:
    """When the job asks again, for a person."""
    ended = to_seconds(released.end_time) or look.now
    return f"asks again at {to_text(ended + pause(look.job, released))}, for turn {_turn(released) + 1}"
