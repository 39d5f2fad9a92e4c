"""Tells the judge each second what was counted, and keeps to the route in its replies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from pydantic import ValidationError

from headway_api.rollout_wire import REPORT_PATH, REPORT_SECONDS, Reply, Route, Sampling
from headway_server.split.judging import Judging
from headway_server.split.line import Line, NotHeard
from headway_server.split.state import State

ALONE_SECONDS = 2.0
"""Between reports when nobody takes them any more, and while requests are split."""
IDLE_SECONDS = 10.0
"""The same after a while, where none are split: a rollout is seen so soon, and name servers are asked so seldom."""
ANSWER_SECONDS = 5.0
"""For a reply; the next report is not sent before."""
FIRST_SECONDS = 1.0
"""For the reply that a server waits for before it takes requests."""
MOST_REPLY_BYTES = 256 * 1024
logger = logging.getLogger(__name__)


class Reporter:
    """Belongs to one event loop. changed: is told when another route is kept to. lot: draws a number from 0 up to 1.
    sampled: is told what is to be watched for drift."""

    def __init__(
        self,
        state: State,
        judging: Judging,
        *,
        lot: Callable[[], float],
        changed: Callable[[Route | None], None],
        sampled: Callable[[Sampling | None], None] = lambda _: None,
    ) -> None:
        self._state = state
        self._lot = lot
        self._changed, self._sampled = changed, sampled
        self._line = Line(judging, MOST_REPLY_BYTES)
        self._heard: bool | None = None
        """Whether the last report was answered; None before the first was."""
        self._unheard = 0
        """Reports in a row that nobody took."""
        self._refused = ""
        self._hurried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """One report, so that a server splits from its first request on; then go on."""
        await self.report(FIRST_SECONDS)
        self._task = asyncio.create_task(self._go_on())

    async def end(self) -> None:
        """Tell what was counted last, and stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            if self._heard:
                await self.report(FIRST_SECONDS)
        self._line.close()

    async def _go_on(self) -> None:
        while True:
            # All servers would report in the same moment, after a judge has begun: the lot spreads them.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), self.pause() * (0.9 + 0.2 * self._lot()))
            self._hurried.clear()
            try:
                await self.report(ANSWER_SECONDS)
                if self._state.tick():
                    logger.warning("nobody is at the candidate and at the judge: all requests are answered here")
                    self._changed(None)
            except Exception:  # reporting goes on as long as the server does
                logger.exception("a report could not be made")

    def hurry(self) -> None:
        """Report at once: somebody waits for what the judge is to hear."""
        self._hurried.set()

    def pause(self) -> float:
        """Seconds until the next report, more or less."""
        if self._heard:
            return REPORT_SECONDS
        if self._state.route is not None and self._state.route.stable:
            return ALONE_SECONDS
        return min(IDLE_SECONDS, ALONE_SECONDS * 2.0 ** min(max(self._unheard - 1, 0), 8))

    async def report(self, seconds: float) -> bool:
        """Report once. Whether it was answered."""
        state = self._state
        told = state.report()
        try:
            body = told.model_dump_json(exclude_defaults=True).encode()
            said = Reply.model_validate_json(await self._line.post(REPORT_PATH, body, seconds))
        except (ValidationError, NotHeard) as error:
            self._tell(error)
            return False
        self._tell(None)
        if said.judging:
            state.units.answered(told.units)
            self._sampled(said.sampling)
        self._take(said)
        return True

    def _take(self, said: Reply) -> None:
        taken = self._state.take(said)
        if taken == "refused":
            refused = f"of {said.route.uid!r}, epoch {said.route.epoch}" if said.route is not None else ""
            if refused != self._refused:
                logger.warning("a route %s is not for this server", refused[:300])
            self._refused = refused
        elif taken == "taken":
            self._changed(said.route)

    def _tell(self, problem: Exception | None) -> None:
        """One line when it changes: that nobody is there is as it should be while there is no rollout."""
        heard = problem is None
        if heard != self._heard and (heard or self._heard is not None):
            logger.warning("the judge is heard" if heard else f"the judge is not heard: {str(problem)[:300]}")
        self._heard = heard
        self._unheard = 0 if heard else self._unheard + 1
