"""Runs requests together: whatever is waiting becomes one run. Bounded, with deadlines, and fair to each request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from headway_server.errors import DeadlineExceeded, ModelFailed, Overloaded, RequestError
from headway_server.load import Load
from headway_server.model import Array, Tensors

Run = Callable[[Tensors], dict[str, Array]]
Observer = Callable[[int, int, float], None]
"""Is told of each run: requests, rows, seconds."""
_LONGEST_RETRY_SECONDS = 30.0
_FIRST_GUESS_SECONDS = 0.001
_WEIGHT_OF_LATEST = 0.1


@dataclass(frozen=True)
class Limits:
    """What is held at once, and what is run together."""

    max_size: int = 32
    """Rows that are run together. A request with more rows runs by itself."""
    max_delay_seconds: float = 0.0
    """How long a run waits for more rows than are there; 0: not at all."""
    max_in_flight: int = 64
    """Requests that wait or run."""
    max_rows: int = 65_536
    """Rows of the requests that wait or run; one request may have more, if it is alone."""
    max_wait_seconds: float = 0.5
    """How long a request may wait before its run begins."""


@dataclass(slots=True, eq=False)
class _Waiting:
    feeds: Tensors
    rows: int
    deadline: float | None
    since: float
    future: asyncio.Future[dict[str, Array]]


class Batcher:
    """Belongs to one event loop: the one that runs when it is made.

    inline: runs on the event loop, which saves a change of threads: for models that are quick; else in one thread.
    """

    def __init__(
        self, run: Run, limits: Limits | None = None, *, inline: bool = True, observe: Observer | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.in_flight = 0
        """Requests that wait or run."""
        self.rows_in_flight = 0
        """Their rows."""
        self.load = Load(asyncio.get_running_loop().time)
        """What an autoscaler is told of them."""
        self._run = run
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._queued_rows = 0
        self._armed: asyncio.Handle | None = None
        self._thread = None if inline else ThreadPoolExecutor(1, thread_name_prefix="model")
        self._running = False
        self._idle: asyncio.Future[None] | None = None
        self._seconds_a_request = _FIRST_GUESS_SECONDS

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    def admit(self) -> None:
        """Raise Overloaded where no further request can be taken: cheaper before a request is read than after it."""
        if self.in_flight >= self.limits.max_in_flight:
            raise Overloaded(
                f"{self.in_flight} requests are being answered, which is all that this server takes at once: send it "
                "again later",
                self._retry_after(),
            )

    def hold(self, rows: int) -> None:
        """Count a request that another server answers as one of those that wait here. Raises Overloaded."""
        self.admit()
        self._admit_rows(rows)
        self.in_flight += 1
        self.rows_in_flight += rows
        self.load.begin()

    def release(self, rows: int) -> None:
        """The other server has answered."""
        self.in_flight -= 1
        self.rows_in_flight -= rows
        self.load.end()
        if self._idle is not None and not self.in_flight and not self._idle.done():
            self._idle.set_result(None)

    def submit(self, feeds: Tensors, rows: int, deadline: float | None = None) -> asyncio.Future[dict[str, Array]]:
        """The outputs, to be awaited, for tensors that the model's `check` has seen.

        deadline: the loop's time() after which nobody wants the answer. Raises Overloaded at once; the future raises
        DeadlineExceeded, Overloaded where it waited too long, or what the run raises.
        """
        self.admit()
        self._admit_rows(rows)
        future: asyncio.Future[dict[str, Array]] = self._loop.create_future()
        self._queue.append(_Waiting(feeds, rows, deadline, self._loop.time(), future))
        self.in_flight += 1
        self.rows_in_flight += rows
        self._queued_rows += rows
        self.load.begin()
        self._arm()
        return future

    def _admit_rows(self, rows: int) -> None:
        if self.in_flight and self.rows_in_flight + rows > self.limits.max_rows:
            raise Overloaded(
                f"{self.rows_in_flight} rows are being answered, and {self.limits.max_rows} are all that this server "
                "takes at once: send it again later",
                self._retry_after(),
            )

    async def close(self) -> None:
        """Return when all that was submitted is answered. Nothing may be submitted afterwards."""
        if self.in_flight:
            self._idle = self._loop.create_future()
            await self._idle
        if self._thread is not None:
            self._thread.shutdown()

    def _arm(self) -> None:
        """See to it that what is queued is run: after this turn of the loop, or when enough is there, or time is up."""
        if self._running or not self._queue:
            return
        delay = self.limits.max_delay_seconds
        if delay <= 0 or self._queued_rows >= self.limits.max_size:
            if self._armed is not None and not isinstance(self._armed, asyncio.TimerHandle):
                return
            if self._armed is not None:
                self._armed.cancel()
            self._armed = self._loop.call_soon(self._drain)
        elif self._armed is None:
            self._armed = self._loop.call_at(self._queue[0].since + delay, self._drain)

    def _drain(self) -> None:
        self._armed = None
        batch = self._take()
        if not batch:
            self._arm()
            return
        self._running = True
        if self._thread is None:
            self._answer(batch, *_timed(self._run, batch))
        else:
            self._thread.submit(_timed, self._run, batch).add_done_callback(
                lambda done: self._loop.call_soon_threadsafe(self._answer, batch, *done.result())
            )

    def _take(self) -> list[_Waiting]:
        """The next requests to run together, of the same shapes; those that are not wanted any more are answered."""
        batch: list[_Waiting] = []
        rows, now, queue = 0, self._loop.time(), self._queue
        while queue:
            one = queue[0]
            if one.future.done():  # its client is gone
                self._dequeue()
                self._done(one)
            elif problem := self._late(one, now):
                self._dequeue()
                self._fail(one, problem)
            elif batch and (rows + one.rows > self.limits.max_size or not _same_shapes(one, batch[0])):
                break
            else:
                batch.append(self._dequeue())
                rows += one.rows
        return batch

    def _late(self, one: _Waiting, now: float) -> RequestError | None:
        if one.deadline is not None and now > one.deadline:
            return DeadlineExceeded("the time that the request gave had passed before the model could be run for it")
        if now - one.since > self.limits.max_wait_seconds:
            return Overloaded(
                f"the request waited for {now - one.since:.1f} s and the model was not free: send it again later",
                self._retry_after(),
            )
        return None

    def _dequeue(self) -> _Waiting:
        one = self._queue.popleft()
        self._queued_rows -= one.rows
        return one

    def _answer(
        self, batch: Sequence[_Waiting], outcomes: Sequence[dict[str, Array] | RequestError], seconds: float
    ) -> None:
        self._running = False
        latest = seconds / len(batch)
        self._seconds_a_request += _WEIGHT_OF_LATEST * (latest - self._seconds_a_request)
        if self._observe is not None:
            self._observe(len(batch), sum(one.rows for one in batch), seconds)
        for one, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, RequestError):
                self._fail(one, outcome)
            else:
                self._done(one)
                if not one.future.done():
                    one.future.set_result(outcome)
        self._arm()

    def _fail(self, one: _Waiting, problem: RequestError) -> None:
        self._done(one)
        if not one.future.done():
            one.future.set_exception(problem)

    def _done(self, one: _Waiting) -> None:
        self.release(one.rows)

    def _retry_after(self) -> float:
        """When about all that waits now will have been answered, in seconds."""
        return min(max(1.0, self.in_flight * self._seconds_a_request), _LONGEST_RETRY_SECONDS)


def _same_shapes(one: _Waiting, other: _Waiting) -> bool:
    return all(array.shape[1:] == other.feeds[name].shape[1:] for name, array in one.feeds.items())


def _timed(run: Run, batch: Sequence[_Waiting]) -> tuple[list[dict[str, Array] | RequestError], float]:
    """What each request of a batch gets, and how many seconds that took. Never raises: loops and threads go on."""
    start = time.perf_counter()
    return _outcomes(run, batch), time.perf_counter() - start


def _outcomes(run: Run, batch: Sequence[_Waiting]) -> list[dict[str, Array] | RequestError]:
    if len(batch) == 1:
        return [_one(run, batch[0].feeds)]
    feeds = {name: np.concatenate([one.feeds[name] for one in batch]) for name in batch[0].feeds}
    together = _one(run, feeds)
    if isinstance(together, RequestError):
        # One of them is to blame, perhaps: each is answered for itself.
        return [_one(run, one.feeds) for one in batch]
    outcomes: list[dict[str, Array] | RequestError] = []
    start = 0
    for one in batch:
        outcomes.append({name: array[start : start + one.rows] for name, array in together.items()})
        start += one.rows
    return outcomes


def _one(run: Run, feeds: Tensors) -> dict[str, Array] | RequestError:
    try:
        return run(feeds)
    except RequestError as error:
        return error
    except Exception as error:
        return ModelFailed(f"the model cannot be run on these rows: {type(error).__name__}")
