"""All or nothing: an attempt of which only a part finds room gives back what it holds, and asks again after a while.

Whoever waits for room with a part of its pods on nodes keeps that room from others, who may be waiting for its other
part. Where the scheduler knows PodGroups it does not come to that; elsewhere, or where it does in spite of them, this
policy ends it.
"""

from __future__ import annotations

from headway_api import wire
from headway_api.status import Attempt
from headway_operator.engine.text import bounded
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies import retry
from headway_operator.training.plan.ends import End, ended_at
from headway_operator.training.plan.model import Job, Pod
from headway_operator.training.plan.situation import Ask, Situation, Wait
from headway_operator.training.plan.status import pods_refused

REASON_DOES_NOT_FIT = "GangDoesNotFit"
"""Scheduled=False for this reason: the job holds nothing and will ask for room again."""
LONGEST_PAUSE_SECONDS = 600.0
HEAD_ALONE = 5
"""So many times longer may a head alone, without a GPU, hold its node: it holds little."""
NOBODY_WAITS = 15
"""So many times longer may a part of the pods hold nodes while no other job of ours waits for room.

Others may wait, of whom this operator knows nothing; and pods that ask for room are what an autoscaler goes by.
"""
SCALE_UP_SECONDS = 900.0
"""So long after an autoscaler said that it makes a node for a pod, that is waited for."""
LACK_LIMIT = 600
"""How much of a scheduler's message is told: what follows it matters more."""


def asking_since(attempt: Attempt) -> str:
    """Since when the job has looked for room for what this attempt runs."""
    return attempt.queued_time or attempt.start_time


def queued_since(released: Attempt) -> str:
    """Since when a job looks for room whose last attempt gave back what it held; one that ran had found it."""
    return released.end_time or released.start_time if released.running_time else asking_since(released)


def turn(attempt: Attempt) -> int:
    """How many attempts in a row found no room, with this one; one that ran had found it."""
    return 1 if attempt.running_time else attempt.releases + 1


def pause(job: Job, released: Attempt) -> float:
    """Seconds from the end of an attempt that gave back its room to the next: the longer, the more of them there were.

    No two jobs wait equally long: else two that hold half of what each needs would meet again and again.
    """
    wanted = job.spec.scheduling.release_seconds if job.spec is not None else 0.0
    times = turn(released)
    return min(LONGEST_PAUSE_SECONDS, wanted / 2 * 2.0 ** min(times - 1, 20)) * retry.spread(job.uid, times)


def next_turn(job: Job, released: Attempt, now: float) -> str:
    """When the job asks again, for a person."""
    ended = to_seconds(released.end_time) or now
    return f"asks again at {to_text(ended + pause(job, released))}, for turn {turn(released) + 1}"


def queue_deadline_message(seconds: int, lack: str) -> str:
    """What is said of a job that has waited too long."""
    fix = "raise it, ask for less, or add nodes"
    return bounded(f"no room for all pods within scheduling.queueDeadlineSeconds, {seconds} s; {fix}: {lack}")


def does_not_fit(situation: Situation) -> End | Wait | Ask | None:
    """Why the attempt has to give back what it holds, or until when it may hold it."""
    pods, spec = situation.pods, situation.spec
    # A pod that has been nominated waits for others to leave its node.
    lacking = [pod for pod in pods.unschedulable if not pod.nominated]
    refused = sorted(situation.refusals)
    # Before a quota, a pod holds something even without a node.
    holding = [pod for pod in pods.present if pod.deleting is None and (pod.node is not None or refused)]
    if not holding or not (lacking or refused):
        return None
    light = spec.head.resources.gpu == 0 and not refused
    head_alone = light and all(pod.role == wire.ROLE_HEAD for pod in holding)
    lacking_since = [pod.created for pod in lacking] + ([_refused_since(situation)] if refused else [])
    begun = max(min(_held_since(pod) for pod in holding), min(lacking_since))
    patience = spec.scheduling.release_seconds * (HEAD_ALONE if head_alone else 1)
    if situation.now < begun + patience:
        return Wait(begun + patience)
    longest = begun + spec.scheduling.release_seconds * NOBODY_WAITS
    if not situation.observed.others_waiting and situation.now < longest:
        # Somebody may come to wait meanwhile.
        return Wait(min(longest, situation.now + spec.scheduling.release_seconds))
    coming = _until_nodes_come(situation, lacking)
    if coming is not None:
        return coming
    lack = _who_lacks_what(situation, lacking, refused)
    return End("Released", bounded(f"{lack}; all pods are given back for others to use"))


def _until_nodes_come(situation: Situation, lacking: list[Pod]) -> Wait | Ask | None:
    """Until when nodes may come that an autoscaler is making for pods that lack them."""
    if not lacking:
        return None
    if "scaleUps" not in situation.observed.read:
        return Ask("scaleUps")
    promised = [situation.observed.scale_ups[pod.name] for pod in lacking if pod.name in situation.observed.scale_ups]
    due = max(promised, default=0.0) + SCALE_UP_SECONDS
    return Wait(due) if situation.now < due else None


def _held_since(pod: Pod) -> float:
    return pod.scheduled_at if pod.scheduled_at is not None else pod.created


def _refused_since(situation: Situation) -> float:
    """Since when a pod should be there that is refused: from the start, or since it lost its predecessor."""
    attempt, now = situation.attempt, situation.now
    if attempt.running_time is None:
        return to_seconds(attempt.start_time) or now
    ends = [at for pod in situation.pods.lost.values() if (at := ended_at(pod)) is not None]
    if ends:
        return max(ends)
    # The predecessor left no word: since it was first said that its place is refused.
    told = pods_refused(situation.job.status)
    return now if told is None else to_seconds(told.last_transition_time) or now


def _who_lacks_what(situation: Situation, lacking: list[Pod], refused: list[str]) -> str:
    first = refused[0] if refused else lacking[0].name
    message = situation.refusals[first].message if refused else lacking[0].unschedulable
    without = len(refused) or len(lacking)
    what = "was refused" if refused else "found no node"
    return bounded(f"{without} of {situation.pods.desired + 1} pods, {first} among them, {what}: {message}", LACK_LIMIT)
