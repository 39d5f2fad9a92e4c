"""Sends copies of requests to the candidate once their clients have answers, and compares what both versions said.

Copies never take room from requests: there is a bound on how many wait and are under way, and what is beyond it is
dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from headway_api.rollout_wire import Route
from headway_server.split.handing import CandidateFailed, Splitting
from headway_server.split.state import Choice, Outcome

MOST_WAITING = 64
MOST_BYTES = 16 * 1024 * 1024
"""Of the copies that wait or are under way, with the own answers that they are compared with."""
MOST_AT_ONCE = 8
logger = logging.getLogger(__name__)


class Copied(Protocol):
    """What is kept of a request of which the candidate gets a copy."""

    async def theirs(self, route: Route, seconds: float) -> tuple[Any, float]:
        """As of the request itself."""

    def alike(self, own: Any, theirs: Any, tolerance: float) -> bool | None:
        """Whether two answers are; None where they are too large to be compared."""


class Copiable(Protocol):
    """A request that can be copied."""

    def copied(self) -> Copied:
        """What is needed to send it once more."""

    def size(self, answer: Any) -> int:
        """Its bytes, with those of its answer if it has one."""


@dataclass(frozen=True, slots=True)
class _Copy:
    request: Copied
    size: int
    choice: Choice
    answer: Any
    """The own one; None where there was none."""
    outcome: Outcome


class Mirror:
    """Belongs to one event loop."""

    def __init__(self, splitting: Splitting) -> None:
        self.sent = 0
        """Copies that the candidate answered or failed at."""
        self.dropped = 0
        """Copies that there was no room for."""
        self._splitting = splitting
        self._waiting: deque[_Copy] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._closed = False
        splitting.mirror = self.put

    def put(self, asked: Copiable, choice: Choice, answer: Any, outcome: Outcome) -> None:
        """Have a copy of this request sent, whose client gets this answer."""
        if self._closed or (answer is None and choice.route.mode != "shadow"):
            return  # there is nothing to compare
        size = asked.size(answer)
        if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            self.dropped += 1
            return
        self._bytes += size
        self._waiting.append(_Copy(asked.copied(), size, choice, answer, outcome))
        if len(self._tasks) < MOST_AT_ONCE:
            # It begins in the next turn of the loop, when the answer has been written.
            task = asyncio.get_running_loop().create_task(self._send_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Drop what waits, and take no more."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()
        self._bytes = 0

    async def _send_all(self) -> None:
        while self._waiting:
            one = self._waiting.popleft()
            try:
                await self._send(one)
            except Exception:  # a copy is no request of anybody
                logger.exception("a copy of a request could not be sent")
            finally:
                self._bytes -= one.size

    async def _send(self, one: _Copy) -> None:
        splitting, state = self._splitting, self._splitting.state
        probe = state.begin_copy(one.choice)
        if probe is None:
            self.dropped += 1
            return
        answer = None
        try:
            answer, seconds = await one.request.theirs(one.choice.route, splitting.patience)
        except CandidateFailed as failure:
            state.unreached(probe=probe, connected=failure.connected)
            outcome = Outcome(error=True, late=failure.late)
        except BaseException:
            state.breaker.gave_up(probe=probe)
            raise
        else:
            state.reached(probe=probe)
            outcome = Outcome(seconds)
        self.sent += 1
        same = None
        if answer is not None and one.answer is not None:
            same = one.request.alike(one.answer, answer, one.choice.route.tolerance)
        state.count_copy(one.choice, one.outcome, outcome, same)
