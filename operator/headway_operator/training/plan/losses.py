"""Workers that were lost: why, and as how many failures they count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headway_api import wire
from headway_api.status import MAX_NODE_LOSSES_KEPT, Attempt, Cause, Failures, NodeLoss
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies import retry
from headway_operator.training.plan.ends import worker_end
from headway_operator.training.plan.model import Pod
from headway_operator.training.plan.podset import PodSet

TOGETHER: tuple[Cause, ...] = ("NodeLost", "Preempted")
"""Causes that meet all pods of a node."""
TOGETHER_SECONDS = 120.0
"""How long after the first of them the others may follow: the time to drain a node."""
FOLLOW_SECONDS = 10.0
"""A worker that leaves in order, or for want of an answer, most likely follows its head: so long is waited for
the head's own end."""
_WITH_THE_HEAD = (wire.EXIT_SUCCEEDED, wire.EXIT_UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a worker was lost, and where."""

    cause: Cause
    message: str
    node: str | None


def unrecorded(pods: PodSet, attempt: Attempt) -> list[tuple[Pod, Lost]]:
    """Replacements that the status does not know of yet, with why each became necessary."""
    fresh = [pod for pod in pods.replacements if pod.number > attempt.workers_replaced]
    return [(pod, _why(pods.predecessors.get(pod.name))) for pod in fresh]


def lost_workers(pods: PodSet, now: float) -> tuple[dict[int, Lost], float | None]:
    """The places to fill again, with why; and when to decide about those of whom it is not known yet."""
    lost: dict[int, Lost] = {}
    wake: float | None = None
    for index, pod in pods.lost.items():
        if pod.end is not None and pod.end.exit_code in _WITH_THE_HEAD and not pod.disruption:
            known_at = (pod.end.at or now) + FOLLOW_SECONDS
            if now < known_at:
                wake = known_at if wake is None else min(wake, known_at)
                continue
        lost[index] = _why(pod)
    lost |= {index: _why(None) for index in pods.missing}
    return dict(sorted(lost.items())), wake


def _why(pod: Pod | None) -> Lost:
    if pod is None:
        return Lost("NodeLost", "a worker pod is gone and left no word", None)
    cause, message = worker_end(pod)
    # It is the head's node, or the network, that was lost: to all workers at once.
    elsewhere = pod.end is not None and pod.end.exit_code == wire.EXIT_UNREACHABLE
    return Lost(cause, message, None if elsewhere else pod.node)


def counted(attempt: Attempt, lost: Iterable[Lost], now: float) -> list[Lost]:
    """Those of the losses that count as failures.

    One node that goes, or is drained, takes all its pods with it: that is one failure, not one for each of them. Pods
    that went without a trace, while no operator looked, are taken to have gone together.
    """
    known: list[tuple[Cause, str | None]] = [
        (loss.cause, loss.node) for loss in attempt.node_losses if _recent(loss, now)
    ]
    found: list[Lost] = []
    for each in lost:
        event = (each.cause, each.node)
        if each.cause not in TOGETHER or event not in known:
            found.append(each)
            known.append(event)
    return found


def remembered(attempt: Attempt, count: Iterable[Lost], now: float) -> list[NodeLoss]:
    """The nodes that the attempt has lost workers from, with those that are counted now."""
    kept = {loss.node: loss for loss in attempt.node_losses}
    for each in count:
        if each.cause in TOGETHER and each.node is not None:
            kept.pop(each.node, None)
            kept[each.node] = NodeLoss(node=each.node, cause=each.cause, time=to_text(now))
    return list(kept.values())[-MAX_NODE_LOSSES_KEPT:]


def _recent(loss: NodeLoss, now: float) -> bool:
    time = to_seconds(loss.time)
    return time is not None and now - time < TOGETHER_SECONDS


def charge_all(failures: Failures, lost: Iterable[Lost]) -> Failures:
    """The failures, with one more for the cause of each loss."""
    for each in lost:
        failures = retry.charged(failures, each.cause)
    return failures
