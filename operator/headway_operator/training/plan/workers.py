"""The pods of a running attempt: who is there, who is lost, who is one too many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from headway_api import wire
from headway_api.status import MAX_NODE_LOSSES_KEPT, Attempt, Cause, Failures, NodeLoss
from headway_operator.engine.times import to_seconds, to_text
from headway_operator.policies import retry
from headway_operator.training.plan.ends import overdue, worker_end
from headway_operator.training.plan.model import Observed, Pod

NODES_AVAILABLE = "nodes are available"
"""In what the scheduler says of a pod that fits nowhere, before it says why."""
TOGETHER: tuple[Cause, ...] = ("NodeLost", "Preempted")
"""Causes that meet all pods of a node."""
TOGETHER_SECONDS = 120.0
"""How long after the first of them the others may follow: the time to drain a node."""
FOLLOW_SECONDS = 10.0
"""A worker that leaves in order, or for want of an answer, most likely follows its head: so long is waited for
the head's own end."""
_WITH_THE_HEAD = (wire.EXIT_SUCCEEDED, wire.EXIT_UNREACHABLE)


@dataclass(slots=True)
class Crew:
    """The pods of one attempt, sorted by what they mean."""

    desired: int
    head: Pod | None = None
    workers: dict[int, Pod] = field(default_factory=dict)
    """By index: the worker that holds the place."""
    dead: dict[int, Pod] = field(default_factory=dict)
    """By index: the last worker of a place that nobody holds."""
    missing: list[int] = field(default_factory=list)
    """Places of which there is no trace."""
    surplus: list[Pod] = field(default_factory=list)
    """Pods that should not be: of another attempt, of no place, or a second one in a place."""
    replaced: list[Pod] = field(default_factory=list)
    """Ended workers whose place another one holds."""
    replacements: list[Pod] = field(default_factory=list)
    """Workers that took another one's place, in the order in which they were made."""
    predecessors: dict[str, Pod] = field(default_factory=dict)
    """By a replacement's name: the one it replaced, where there is a trace of it."""

    @property
    def present(self) -> list[Pod]:
        """The head and the workers that hold a place, as far as they have not ended."""
        head = [self.head] if self.head is not None and not self.head.ended else []
        return [*head, *self.workers.values()]

    @property
    def homeless(self) -> list[Pod]:
        """Those of whom the scheduler has said that it finds no node; who says most comes first.

        Of pods of a PodGroup only some are told why; the others, that their group does not fit.
        """
        found = [pod for pod in self.present if pod.node is None and pod.unschedulable]
        return sorted(found, key=lambda pod: NODES_AVAILABLE not in pod.unschedulable)

    @property
    def ready_workers(self) -> int:
        """How many workers are ready."""
        return sum(1 for pod in self.workers.values() if pod.ready and pod.deleting is None)

    @property
    def complete(self) -> bool:
        """Whether the head and all workers are ready."""
        return self.head is not None and self.head.ready and self.ready_workers >= self.desired


def muster(observed: Observed, attempt: Attempt, desired: int, now: float) -> Crew:
    """The crew of an attempt that should have `desired` workers: pods whose names begin with the attempt's."""
    crew = Crew(desired)
    places: dict[int, list[Pod]] = {}
    prefix = f"{attempt.name}-" if attempt.name is not None else ""
    for pod in observed.pods:
        if pod.attempt != attempt.number or not pod.name.startswith(prefix):
            crew.surplus.append(pod)
        elif pod.role == wire.ROLE_HEAD:
            crew.head = pod if crew.head is None or crew.head.gone else crew.head
        elif pod.index < desired:
            places.setdefault(pod.index, []).append(pod)
        else:
            crew.surplus.append(pod)
    for index in range(desired):
        _fill(crew, index, sorted(places.get(index, ()), key=lambda pod: pod.number), now)
    crew.replacements.sort(key=lambda pod: pod.number)
    return crew


def _fill(crew: Crew, index: int, pods: list[Pod], now: float) -> None:
    for before, pod in zip([None, *pods], pods, strict=False):
        if pod.number > 0:
            crew.replacements.append(pod)
            if before is not None:
                crew.predecessors[pod.name] = before
    alive = [pod for pod in pods if not pod.ended and not overdue(pod, now)]
    if alive:
        # Two in a place: the one that has come further stays.
        holder = max(alive, key=lambda pod: (pod.ready, pod.deleting is None, pod.node is not None, -pod.number))
        crew.workers[index] = holder
        crew.surplus.extend(pod for pod in alive if pod is not holder)
        crew.replaced.extend(pod for pod in pods if pod not in alive)
    elif pods:
        crew.dead[index] = pods[-1]
        crew.replaced.extend(pods[:-1])
    else:
        crew.missing.append(index)


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a worker was lost, and where."""

    cause: Cause
    message: str
    node: str | None


def unrecorded(crew: Crew, attempt: Attempt) -> list[tuple[Pod, Lost]]:
    """Replacements that the status does not know of yet, with why each became necessary."""
    fresh = [pod for pod in crew.replacements if pod.number > attempt.workers_replaced]
    return [(pod, _why(crew.predecessors.get(pod.name))) for pod in fresh]


def losses(crew: Crew, now: float) -> tuple[dict[int, Lost], float | None]:
    """The places to fill again, with why; and when to look again at those of whom it is not known yet."""
    lost: dict[int, Lost] = {}
    wake: float | None = None
    for index, pod in crew.dead.items():
        if pod.end is not None and pod.end.exit_code in _WITH_THE_HEAD and not pod.disruption:
            known_at = (pod.end.at or now) + FOLLOW_SECONDS
            if now < known_at:
                wake = known_at if wake is None else min(wake, known_at)
                continue
        lost[index] = _why(pod)
    lost |= {index: _why(None) for index in crew.missing}
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
