"""The driver's watchdog: training that makes no step for too long is ended, and the ranks that stand still are named.

What counts is any change that rank 0 tells: an optimiser step, a report. A group of workers that starts anew sets the
clock back; the driver's own absence (a machine that slept) is not counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.train.v2._internal.execution.callback import WorkerGroupCallback

from headway_trainer.outcome import Hang
from headway_trainer.ray.stacks import Standing, sentence, standing

ANSWER_SECONDS = 10.0
"""How long a training process may take to say where it stands."""
NODE_SECONDS = 7.0
"""How long Ray may take to notice that a node's processes are gone: see `runtime.SYSTEM_CONFIG`."""
_ABSENT_SECONDS = 10.0
"""A pause between two checks that is longer than this was the driver's own."""

log = logging.getLogger(__name__)


class LiveWorkers(WorkerGroupCallback):  # type: ignore[misc]  # ray has no types
    """The workers that train now, as Ray Train's controller tells of them."""

    def __init__(self) -> None:
        self.workers: list[Any] = []
        self.changes = 0
        """How often a group has started or ended."""

    def after_worker_group_start(self, worker_group: Any) -> None:
        """The processes are there; they have not joined each other yet."""
        self._set(worker_group.get_workers())

    def before_worker_group_shutdown(self, worker_group: Any) -> None:  # noqa: ARG002 - Ray's signature
        """The group ends."""
        self._set([])

    def before_worker_group_abort(self, worker_group_context: Any) -> None:  # noqa: ARG002 - Ray's signature
        """The group ends."""
        self._set([])

    def _set(self, workers: list[Any]) -> None:
        self.workers, self.changes = workers, self.changes + 1

    def names(self) -> dict[int, str]:
        """Where each rank runs."""
        return {rank: f"{one.metadata.hostname}, pid {one.metadata.pid}" for rank, one in enumerate(self.workers)}

    def lives(self, ranks: list[int] | None) -> bool:
        """Whether the nodes of these ranks, or of all, are still there, once Ray has had the time to notice that they
        are not."""
        nodes = {one.metadata.node_id for rank, one in enumerate(self.workers) if ranks is None or rank in ranks}
        time.sleep(NODE_SECONDS)
        return bool(nodes) and nodes <= {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def standings(self) -> dict[int, Standing | None]:
        """Where each rank stands; none for one that does not answer in time."""
        asked = {one.execute_async(standing): rank for rank, one in enumerate(self.workers)}
        found: dict[int, Standing | None] = dict.fromkeys(asked.values())
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
        for reference in answered:
            try:
                found[asked[reference]] = ray.get(reference)
            except Exception as error:  # a process that died while it was asked
                log.warning("rank %d: %s", asked[reference], error)
        return found


class Watchdog:
    """Watches what training tells, and raises Hang when it tells nothing new for too long."""

    def __init__(
        self,
        live: LiveWorkers,
        *,
        seconds: float,
        forming_seconds: float,
        from_first_sign: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """seconds: how long there may be nothing new; forming_seconds: what lost workers may take on top of it;
        from_first_sign: whether a group of workers is watched only once it has told something."""
        self._live, self._seconds, self._forming_seconds, self._clock = live, seconds, forming_seconds, clock
        self._from_first_sign = from_first_sign
        self._changes, self._begun = -1, False
        self._sign: object = None
        self._since = self._checked = clock()

    def check(self, sign: object, *, step: int, untimed: bool = False) -> None:
        """Take in what is told now; untimed: that it may stay the same for as long as it takes. Raises Hang."""
        now = self._clock()
        if now - self._checked > _ABSENT_SECONDS:
            self._since += now - self._checked
        self._checked = now
        if self._is_news(sign) or untimed or (self._live.workers and not self._begun):
            self._since = now
        limit = self._seconds + (0 if self._live.workers else self._forming_seconds)
        if now - self._since >= limit:
            raise Hang(self._what(step, now - self._since))

    def _is_news(self, sign: object) -> bool:
        if self._changes != self._live.changes:
            self._changes, self._sign, self._begun = self._live.changes, sign, not self._from_first_sign
            return True
        if sign != self._sign:
            self._sign, self._begun = sign, True
            return True
        return False

    def _what(self, step: int, seconds: float) -> str:
        began = f"training made no step for {seconds:.0f} seconds after step {step}"
        if not self._live.workers:
            return f"{began}: no group of workers came together; look at the worker pods' logs"
        names, found = self._live.names(), self._live.standings()
        log.error("%s; the ranks stand here:\n%s", began, stacks_text(found))
        return (
            f"{began}: {sentence(found, names)}. The stacks are in the head's log. If steps are that slow, raise "
            "progressDeadlineSeconds"
        )


def stacks_text(found: Mapping[int, Standing | None]) -> str:
    """The stacks, equal ones once."""
    ranks: dict[str, list[str]] = {}
    for rank, one in sorted(found.items()):
        trace = "  no answer\n" if one is None else one.trace
        ranks.setdefault(trace, []).append(str(rank))
    return "".join(f"rank {', '.join(those)}:\n{trace}" for trace, those in ranks.items())
