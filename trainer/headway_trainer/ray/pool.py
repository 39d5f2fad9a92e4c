"""Worker groups that stay for the next child of a run: to start their processes takes seconds, and to train a child may
take less.

What stays are the placement group and the actors of a fit that has ended well, without their process group of torch.
The next child that asks for a group of the same shape takes it, and gets a context, a thread and a process group of its
own in these processes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headway_trainer.process_resources import ALONE, Sharing

LEAVE_SECONDS = 10
"""How long processes that are kept may take to leave their process group; slower ones are started anew."""


class Shape(NamedTuple):
    """What tells groups apart."""

    pods: int
    processes: int
    """In each pod."""
    gpus: int
    """Lent to each process."""
    sharing: Sharing = ALONE
    """With how many groups it shares what it has."""


@dataclass(frozen=True)
class KeptGroup:
    """A group that waits for work."""

    placement: Any
    """Ray Train's handle of its placement group."""
    workers: list[Any]
    """Ray Train's workers, by their ranks."""
    leaving: Sequence[Any] = ()
    """Ray's promises that they have left their process group."""

    def has_left(self) -> bool:
        """Whether all processes have left their process group, and can take other work; they may take LEAVE_SECONDS."""
        import ray
        from ray.exceptions import RayError

        try:
            ray.get(list(self.leaving), timeout=LEAVE_SECONDS)
        except (RayError, TimeoutError):
            return False
        return True

    def end(self) -> None:
        """End its processes, and give their places back."""
        import ray

        for worker in self.workers:
            ray.kill(worker.actor)
        self.placement.shutdown()


class WorkerGroupPool:
    """The groups of the children of one run. Children that run side by side take and put them in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: list[tuple[Shape, KeptGroup]] = []
        self._closed = False

    def take(self, shape: Shape) -> KeptGroup | None:
        """A group of a shape, which is the caller's from here on; none if none waits. One whose processes do not leave
        what they have done is ended."""
        while (group := self._next(shape)) is not None:
            if group.has_left():
                return group
            group.end()
        return None

    def _next(self, shape: Shape) -> KeptGroup | None:
        with self._lock:
            found = next((one for one in self._groups if one[0] == shape), None)
            if found is None:
                return None
            self._groups.remove(found)
            return found[1]

    def put(self, shape: Shape, group: KeptGroup) -> None:
        """Keep a group for the next child, or end it where there will be none."""
        with self._lock:
            if not self._closed:
                self._groups.append((shape, group))
                return
        group.end()

    def close(self) -> None:
        """End all groups: no child follows."""
        with self._lock:
            self._closed, left = True, self._groups
            self._groups = []
        for _, group in left:
            group.end()
