"""The pods of an attempt, sorted by what they mean: who holds a place, who is lost, who is one too many."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headway_api import wire
from headway_api.status import Attempt
from headway_operator.training.plan.ends import overdue
from headway_operator.training.plan.model import Observed, Pod

NODES_AVAILABLE = "nodes are available"
"""In what the scheduler says of a pod that fits nowhere, before it says why."""


@dataclass(frozen=True, slots=True)
class PodSet:
    """The pods of one attempt."""

    desired: int
    """How many workers there should be."""
    head: Pod | None = None
    workers: dict[int, Pod] = field(default_factory=dict)
    """By index: the worker that holds the place."""
    lost: dict[int, Pod] = field(default_factory=dict)
    """By index: the last worker of a place that nobody holds."""
    missing: tuple[int, ...] = ()
    """Places of which there is no trace."""
    surplus: tuple[Pod, ...] = ()
    """Pods that should not be: of another attempt, of no place, or a second one in a place."""
    replaced: tuple[Pod, ...] = ()
    """Ended workers whose place another one holds."""
    replacements: tuple[Pod, ...] = ()
    """Workers that took another one's place, in the order in which they were made."""
    predecessors: dict[str, Pod] = field(default_factory=dict)
    """By a replacement's name: the one it replaced, where there is a trace of it."""

    @property
    def present(self) -> list[Pod]:
        """The head and the workers that hold a place, as far as they have not ended."""
        head = [self.head] if self.head is not None and not self.head.ended else []
        return [*head, *self.workers.values()]

    @property
    def placed(self) -> bool:
        """Whether all pods are there and have a node."""
        return sum(1 for pod in self.present if pod.node is not None) > self.desired

    @property
    def unschedulable(self) -> list[Pod]:
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

    @property
    def highest_number(self) -> int:
        """The highest number of a replacement that there is a trace of."""
        return max((pod.number for pod in self.replacements), default=0)

    @property
    def had_head(self) -> bool:
        """Whether there was a head, though it may be gone without a trace: workers are made after it."""
        return bool(self.head or self.workers or self.lost)

    def without_missing(self) -> PodSet:
        """The same, where the missing ones are about to be created."""
        return replace(self, missing=())


def pod_set(observed: Observed, attempt: Attempt, desired: int, now: float) -> PodSet:
    """The pods of an attempt that should have `desired` workers: those whose names begin with the attempt's."""
    head: Pod | None = None
    surplus: list[Pod] = []
    places: dict[int, list[Pod]] = {index: [] for index in range(desired)}
    prefix = f"{attempt.name}-" if attempt.name is not None else ""
    for pod in observed.pods:
        if pod.attempt != attempt.number or not pod.name.startswith(prefix):
            surplus.append(pod)
        elif pod.role == wire.ROLE_HEAD:
            head = pod if head is None or head.gone else head
        else:
            places.get(pod.index, surplus).append(pod)
    sorted_places = {index: _Place(pods, now) for index, pods in places.items()}
    replacements = [pod for place in sorted_places.values() for pod in place.pods if pod.number > 0]
    return PodSet(
        desired=desired,
        head=head,
        workers={index: place.holder for index, place in sorted_places.items() if place.holder is not None},
        lost={index: place.lost for index, place in sorted_places.items() if place.lost is not None},
        missing=tuple(index for index, place in sorted_places.items() if not place.pods),
        surplus=tuple(surplus) + tuple(pod for place in sorted_places.values() for pod in place.surplus),
        replaced=tuple(pod for place in sorted_places.values() for pod in place.replaced),
        replacements=tuple(sorted(replacements, key=lambda pod: pod.number)),
        predecessors={name: pod for place in sorted_places.values() for name, pod in place.predecessors()},
    )


class _Place:
    """The pods of one worker's index, in the order in which they were made."""

    def __init__(self, pods: list[Pod], now: float) -> None:
        self.pods = sorted(pods, key=lambda pod: pod.number)
        alive = [pod for pod in self.pods if not pod.ended and not overdue(pod, now)]
        # Two in a place: the one that has come further stays.
        self.holder = max(
            alive,
            key=lambda pod: (pod.ready, pod.deleting is None, pod.node is not None, -pod.number),
            default=None,
        )
        over = [pod for pod in self.pods if pod not in alive]
        self.lost = over[-1] if over and self.holder is None else None
        self.surplus = [pod for pod in alive if pod is not self.holder]
        self.replaced = [pod for pod in over if pod is not self.lost]

    def predecessors(self) -> list[tuple[str, Pod]]:
        """Replacements by name, each with the pod before it."""
        pairs = zip(self.pods, self.pods[1:], strict=False)
        return [(pod.name, before) for before, pod in pairs if pod.number > 0]
