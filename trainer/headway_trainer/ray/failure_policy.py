"""What to do when a worker fails: a user's mistake ends the run at once, a lost worker restarts the group.

When one worker's process dies, the others usually fail too, in whatever collective they are in. So a failure counts as
the user's own only if it is neither a death nor such a consequence of one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from ray.exceptions import OutOfMemoryError, RayActorError, RaySystemError
from ray.train import FailureConfig
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision, FailurePolicy
from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError, WorkerGroupError

from headway_api.wording import listed
from headway_trainer.training.exceptions import is_peer_error

LOSSES_WITHOUT_PROGRESS = 3
"""A worker that is lost so often without getting further will be lost there again."""
TEXT_LENGTH = 600
"""How much is told of an error of a collective call."""
CRASHES = 20
CRASH_SECONDS = 3600.0
"""Processes that end so often in that time, while their nodes live, are not started again: however far each came."""

log = logging.getLogger("headway.training")


class Reached(NamedTuple):
    """How far training is known to have come."""

    step: int = 0
    """The last step that is known of: known late, so two crashes at the same step may be told apart by some."""
    saved: int = 0
    """Grows with each checkpoint that is newer than all before."""


class Kind(Enum):
    """Why a worker failed."""

    OWN = "own"
    """Its function raised."""
    LOST = "lost"
    """Its process or node died, or no longer answers."""
    MEMORY = "memory"
    """It was ended for taking too much memory."""
    PEER = "peer"
    """It failed because another worker was gone."""


def kind_of(error: BaseException) -> Kind:
    """Why one worker failed, by what Ray Train tells of it."""
    if isinstance(error, WorkerHealthCheckFailedError):
        error = error.health_check_failure
    if isinstance(error, OutOfMemoryError) or (isinstance(error, RayActorError) and "OutOfMemory" in str(error)):
        return Kind.MEMORY
    if isinstance(error, RayActorError | RaySystemError | WorkerHealthCheckTimeoutError):
        return Kind.LOST
    if is_peer_error(error):
        return Kind.PEER
    return Kind.OWN


def own_failure(failures: Mapping[int, BaseException]) -> BaseException | None:
    """The exception that a worker's function raised by itself, of the lowest rank; none if workers were lost."""
    own = (failures[rank] for rank in sorted(failures) if kind_of(failures[rank]) is Kind.OWN)
    return next(own, None)


class Policy(FailurePolicy):  # type: ignore[misc]  # ray has no types
    """Decides after each failure of a group of workers, or of an attempt to start one."""

    def __init__(
        self,
        *,
        reached: Callable[[], Reached],
        startup_seconds: float,
        tell: Callable[[str], None],
        stopping: Callable[[], bool] = lambda: False,
        left: Callable[[], bool] = lambda: False,
        lives: Callable[[list[int] | None], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """reached: how far training has come; startup_seconds: how long lost workers may take to be replaced;
        stopping: whether the run has been asked to stop, after which nothing is begun anew; left: whether a training
        process has ended itself; lives: whether the nodes of these ranks, or of all, are still there."""
        super().__init__(FailureConfig())
        self._reached, self._startup_seconds, self._tell, self._clock = reached, startup_seconds, tell, clock
        self._stopping, self._left, self._lives = stopping, left, lives
        self.crashed: str | None = None
        """What there is to say of training processes that end again and again, while their nodes live."""
        self.disconnected: str | None = None
        """What there is to say of workers that all live, while their collective calls fail again and again."""
        self._waiting_since: float | None = None
        self._furthest: Reached | None = None
        """The highest step and checkpoint that were known at a loss."""
        self._losses = 0
        """In a row, with nothing reached between them that was not reached before."""
        self._deaths = 0
        """Losses among them in which a process was seen to be gone."""
        self._lost_at: list[float] = []

    def make_decision(self, training_failed_error: TrainingFailedError) -> FailureDecision:
        """Go on with a new group, or give up."""
        if self._stopping():
            return FailureDecision.RAISE
        if isinstance(training_failed_error, WorkerGroupError):
            decision = self._after_workers(training_failed_error.worker_failures)
            if self.disconnected is not None:
                log.error("%s", training_failed_error)  # with the ranks' traces
            return decision
        if isinstance(training_failed_error, ControllerError):
            return self._after_start(training_failed_error.controller_failure)
        return FailureDecision.RAISE

    def _after_workers(self, failures: Mapping[int, BaseException]) -> FailureDecision:
        if own_failure(failures) is not None or self._left():
            return FailureDecision.RAISE
        reached = self._reached()
        furthest = self._count(reached, failures)
        if self._losses >= LOSSES_WITHOUT_PROGRESS:
            self._judge_peers(failures, furthest)
            self._judge_crashes(failures, f"{self._losses} times, and came no further than step {furthest}")
            return FailureDecision.RAISE
        if len(self._lost_at) >= CRASHES:
            self._judge_crashes(failures, f"{len(self._lost_at)} times within an hour, last after step {reached.step}")
            if self.crashed is not None:
                return FailureDecision.RAISE
            self._lost_at.clear()  # pods that are lost are the operator's to count
        self._waiting_since = self._clock()
        self._tell(f"{_lost(failures)} after step {reached.step}; training goes on from the newest checkpoint.")
        return FailureDecision.RETRY

    def _count(self, reached: Reached, failures: Mapping[int, BaseException]) -> int:
        """Count a loss; the highest step that was known of at any."""
        before = self._furthest
        further = before is None or reached.step > before.step or reached.saved > before.saved
        self._losses, self._deaths = (1, 0) if further else (self._losses + 1, self._deaths)
        self._deaths += any(kind_of(failure) is not Kind.PEER for failure in failures.values())
        self._furthest = reached if before is None else Reached(*map(max, before, reached))
        now = self._clock()
        self._lost_at = [at for at in self._lost_at if now - at < CRASH_SECONDS] + [now]
        return self._furthest.step

    def _judge_peers(self, failures: Mapping[int, BaseException], furthest: int) -> None:
        """A collective call may fail for another reason than another worker's end."""
        if self._deaths or not self._lives(None):
            return
        rank = min(failures)
        self.disconnected = (
            f"the workers' collective calls failed {self._losses} times, and came no further than step {furthest}, "
            f"while all workers lived; rank {rank} raised {_at_length(failures[rank])}. Look at the network between "
            "the pods, and at what is set of GLOO_* and NCCL_*; with NCCL_DEBUG=INFO the workers' logs say more"
        )

    def _judge_crashes(self, failures: Mapping[int, BaseException], how_often: str) -> None:
        dead = [rank for rank in sorted(failures) if kind_of(failures[rank]) is Kind.LOST]
        if dead and self._lives(dead):
            ranks = ", ".join(map(str, dead))
            self.crashed = (
                f"the training process of rank {ranks} ended without an exception {how_often}, "
                "while its pod lived on: native code that crashes, or something in the pod that "
                "kills it; the end of its log names the signal, where there was one"
            )

    def _after_start(self, error: BaseException) -> FailureDecision:
        if not isinstance(error, WorkerGroupStartupFailedError | WorkerGroupStartupTimeoutError):
            return FailureDecision.RAISE
        if self._waiting_since is None:
            self._waiting_since = self._clock()
        waited = self._clock() - self._waiting_since
        return FailureDecision.RETRY if waited < self._startup_seconds else FailureDecision.RAISE


def _at_length(error: BaseException) -> str:
    """An error in one line; what NCCL has to say comes last."""
    text = " ".join(str(error).split())
    half = TEXT_LENGTH // 2
    return f"{type(error).__name__}: {text if len(text) <= TEXT_LENGTH else f'{text[:half]} … {text[-half:]}'}"


def _lost(failures: Mapping[int, BaseException]) -> str:
    """Which ranks died, where that is known: often the others notice first. A pod takes all of its ranks with it."""
    dead = [str(rank) for rank in sorted(failures) if kind_of(failures[rank]) is not Kind.PEER]
    if not dead:
        return "A worker was lost"
    return f"Ranks {listed(dead)} were lost" if dead[1:] else f"Rank {dead[0]} was lost"
