"""Takes keys from the queue and has them reconciled, some at a time, each by one worker at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from headway_operator.engine.keys import Key
from headway_operator.engine.kube import (
    ConflictError,
    FencedError,
    InvalidError,
    KubeError,
    NotFoundError,
    RetryableError,
)
from headway_operator.engine.metrics import EngineMetrics
from headway_operator.engine.queue import KeyQueue
from headway_operator.engine.store import News

logger = logging.getLogger(__name__)

TELL_AFTER = 3
"""So many failures in a row, for a reason of ours, and the object's status says so."""

Reconcile = Callable[[Key], Awaitable[float | None]]
Tell = Callable[[Key, BaseException], Awaitable[None]]


class Workers:
    """The queue, and those who work on it."""

    def __init__(
        self,
        reconcile: Reconcile,
        *,
        tell: Tell,
        due: Callable[[News], float | None],
        limit: int,
        now: Callable[[], float],
        metrics: EngineMetrics,
    ) -> None:
        self._reconcile = reconcile
        self._tell = tell
        """Says in an object's status that reconciling it fails."""
        self._due = due
        """When news have to be acted upon at the latest; None: at once."""
        self._limit = limit
        self._now = now
        """Seconds since the epoch: the time in which decisions say when to reconcile again."""
        self._metrics = metrics
        self._queue: KeyQueue[Key] = KeyQueue()
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._faults: dict[Key, int] = {}
        """How often in a row reconciling a key has failed for a reason of ours."""
        self._stopping = False
        self._progress_at = float("-inf")
        """When the last reconcile ended."""

    def add(self, news: News) -> None:
        """The key has to be reconciled."""
        due, now = self._due(news), self._clock()
        if due is None:
            self._queue.add(news.key, now)
        else:
            self._queue.add_at(news.key, now + max(0.0, due - self._now()), now)
        self._wake.set()

    def depth(self) -> int:
        """How many keys wait."""
        return self._queue.depth()

    def oldest_seconds(self) -> float:
        """How long the longest-waiting or longest-worked-on key has been at it."""
        return self._queue.oldest(self._clock())

    def longest_seconds(self) -> float:
        """For how long the oldest reconcile under way has gone on."""
        return self._queue.longest_active(self._clock())

    def standstill_seconds(self) -> float:
        """For how long keys have waited and no reconcile has ended: a long queue that moves does not count."""
        now = self._clock()
        return min(self._queue.oldest(now), now - self._progress_at)

    async def run(self) -> None:
        """Work, until cancelled."""
        while True:
            self._wake.clear()
            self._start_what_can()
            await self._sleep()

    async def finish(self, seconds: float) -> None:
        """Begin nothing new, and give what is being done some seconds to be finished."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in self._running:
            task.cancel()

    def _may_start(self) -> bool:
        return len(self._running) < self._limit and not self._stopping

    def _start_what_can(self) -> None:
        while self._may_start():
            taken = self._queue.take(self._clock())
            if taken is None:
                return
            key, waited = taken
            self._metrics.queue_seconds.observe(waited)
            task = asyncio.create_task(self._work_on(key), name=f"reconcile {key}")
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake.set()

    async def _sleep(self) -> None:
        # Who cannot start anything waits for a reconcile to end: a key that is due already would keep it spinning.
        due = self._queue.next_due() if self._may_start() else None
        timeout = None if due is None else max(0.0, due - self._clock())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)

    async def _work_on(self, key: Key) -> None:
        began = self._clock()
        try:
            again_at = await self._reconcile(key)
        except NotFoundError:
            # The object is gone, or its namespace: the watch will say so, sooner or later. Until then what is made for
            # it is collected as garbage, and each time that would be a reason to reconcile: not at once, then.
            self._queue.failed(key, self._clock())
            result = "gone"
        except InvalidError as error:
            # What we asked for is not acceptable, and was not asked for in a user's name: that is told as a refusal.
            result = await self._fault(key, error, "retry")
        except KubeError as error:
            result = self._failed(key, error)
        except Exception as error:
            result = await self._fault(key, error, "bug")
        else:
            self._faults.pop(key, None)
            when = None if again_at is None else self._clock() + max(0.0, again_at - self._now())
            self._queue.done(key, self._clock(), when)
            result = "done"
        self._progress_at = self._clock()
        self._metrics.reconciled(key, result, self._progress_at - began)

    async def _fault(self, key: Key, error: Exception, result: str) -> str:
        """Reconciling failed for a reason of ours: nobody can help it but us, and the user has to know."""
        delay = self._queue.failed(key, self._clock())
        exception = error if result == "bug" else None
        logger.error("reconciling failed: %r; again in %.1f s", error, delay, extra=key.fields(), exc_info=exception)
        faults = self._faults[key] = self._faults.get(key, 0) + 1
        if faults >= TELL_AFTER:
            try:
                await self._tell(key, error)
            except Exception as trouble:
                logger.warning("that could not be said in its status: %r", trouble, extra=key.fields())
        return result

    def _failed(self, key: Key, error: KubeError) -> str:
        after = error.after if isinstance(error, RetryableError) else None
        delay = self._queue.failed(key, self._clock(), after)
        if isinstance(error, ConflictError):
            # Nothing is wrong: the object has changed since it was decided about.
            return "conflict"
        if not isinstance(error, FencedError):
            logger.warning("%s; again in %.1f s", error, delay, extra=key.fields())
        return "retry"

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()
