"""Workers that were lost: why, and as how many failures they count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headway_api import wire
from headway_api.status import Attempt, Cause, LossEvent
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies import retry
from headway_operator.training.plan.ends import EVICTED, ended_at, worker_end
from headway_operator.training.plan.model import Pod
from headway_operator.training.plan.podset import PodSet

FOLLOW_SECONDS = 10.0
"""A worker that leaves in order, or for want of an answer, most likely follows its head: so long is waited for
the head's own end."""
_WITH_THE_HEAD = (wire.EXIT_SUCCEEDED, wire.EXIT_UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a worker was lost."""

    cause: Cause
    message: str
    number: int = 0
    """Which replacement the lost pod was."""
    free: bool = False
    """Whether it costs nothing: somebody has asked in order for the worker's node."""


def unrecorded(pods: PodSet, attempt: Attempt) -> list[tuple[Pod, Lost]]:
    """Replacements that the status does not know of yet, with why each became necessary."""
    fresh = [pod for pod in pods.replacements if pod.number > attempt.workers_replaced]
    return [(pod, _why(pods.predecessors.get(pod.name))) for pod in fresh]


def lost_workers(pods: PodSet, now: float) -> tuple[dict[int, Lost], float | None]:
    """The places to fill again, with why; and when to decide about those of whom it is not known yet.

    None while the head is being deleted: the attempt ends with it, and what took both of them is one failure.
    """
    if pods.head is not None and pods.head.deleting is not None:
        return {}, None
    lost: dict[int, Lost] = {}
    wake: float | None = None
    for index, pod in pods.lost.items():
        if pod.end is not None and pod.end.exit_code in _WITH_THE_HEAD and not pod.disruption:
            known_at = (ended_at(pod) or 0.0) + FOLLOW_SECONDS
            if now < known_at:
                wake = known_at if wake is None else min(wake, known_at)
                continue
        lost[index] = _why(pod)
    lost |= {index: _why(None) for index in pods.missing}
    return dict(sorted(lost.items())), wake


def _why(pod: Pod | None) -> Lost:
    if pod is None:
        return Lost("NodeLost", "a worker pod is gone and left no word")
    cause, message = worker_end(pod)
    return Lost(cause, message, pod.number, free=cause == "Preempted" and pod.disruption == EVICTED)


def counted(attempt: Attempt, lost: Iterable[Lost], now: float) -> list[Lost]:
    """Those of the losses that count as failures.

    What takes workers down most often takes several: a node, a zone, the network at the head's node, one step that
    needs too much memory in all of them. So losses of one cause within its window are one failure, unless a worker is
    lost again that has already been replaced in that window.
    """
    events = [event for event in attempt.loss_events if _open(event, now)]
    found: list[Lost] = []
    for each in lost:
        known = any(retry.alike(event.cause, each.cause) and each.number <= event.workers_replaced for event in events)
        if not each.free and not known:
            found.append(each)
            events.append(_event(attempt, each.cause, now))
    return found


def remembered(attempt: Attempt, count: Iterable[Lost], now: float) -> list[LossEvent]:
    """The attempt's loss events, with those that are counted now."""
    kept = {event.cause: event for event in attempt.loss_events}
    kept |= {each.cause: _event(attempt, each.cause, now) for each in count}
    return list(kept.values())


def counted_already(attempt: Attempt, cause: Cause | None, now: float) -> bool:
    """Whether an attempt that ends now for this cause ends with workers that were lost for it a moment ago."""
    return cause is not None and any(
        retry.alike(event.cause, cause) and _open(event, now) for event in attempt.loss_events
    )


def _event(attempt: Attempt, cause: Cause, now: float) -> LossEvent:
    return LossEvent(cause=cause, time=to_text(now), workers_replaced=attempt.workers_replaced)


def _open(event: LossEvent, now: float) -> bool:
    time, policy = to_seconds(event.time), retry.POLICIES.get(event.cause)
    return time is not None and policy is not None and now - time < policy.together
