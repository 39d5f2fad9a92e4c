"""Holds requests until a server takes them: bounded in number and time, and handed over a few at a time.

Inference changes nothing, so a request that a server has cut off is sent again. What a server answers is passed on as
it is; only 503 is waited out, as long as the request has time: a server that has just come is overrun by all that
waited for it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from headway_server.errors import NotReady, Overloaded
from headway_server.load import Load

LOOK_SECONDS = 0.05
"""Between two looks for a server, while requests wait for it."""
MOST_PAUSE_SECONDS = 1.0
"""Before a request that a server could not take is sent again, at most."""
MOST_AT_ONCE = 16
"""Requests that are with servers at once: the others wait here rather than in a server that has no room for them."""
RETRY_AFTER_SECONDS = 5.0
MOST_CUT_OFF = 3
"""So many servers may go while they have a request: one more, and it is more likely the reason than a bystander."""


class Answered(Protocol):
    """What came of sending a request."""

    @property
    def busy(self) -> bool:
        """Whether the server could not take it now."""


class NotThere(Exception):  # noqa: N818 - what the server is
    """Nobody answered. sent: whether it may have been begun with."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


A = TypeVar("A", bound=Answered)


class Holding:
    """Belongs to one event loop. hurry: is called when the first request waits, and whoever can make a server is to
    hear of it."""

    def __init__(
        self,
        *,
        seconds: float,
        most: int,
        hurry: Callable[[], None],
        look: Callable[[], Awaitable[None]],
        lot: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """seconds: for which a request is held. most: requests at once. look: whether a server can be reached; raises
        NotThere."""
        self.seconds = seconds
        self.most = most
        loop = asyncio.get_running_loop()
        self.load = Load(loop.time)
        """Of the requests that come here."""
        self.there = 0
        """Requests that are here, held or with a server."""
        self.waiting = 0
        """Those that no server has taken yet."""
        self.expired = 0
        """Those that were held for too long."""
        self.answered = 0
        self._hurry, self._look, self._lot, self._sleep, self._time = hurry, look, lot, sleep, loop.time
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._absent = True
        """Whether nobody was there the last time that somebody looked."""
        self._looking = asyncio.Lock()
        """Held by the one request that looks for a server while the others wait."""

    async def answer(self, send: Callable[[float], Awaitable[A]], *, again: bool = True) -> A:
        """The answer of a server, as soon as there is one.

        send: sends the request, with so many seconds for the answer; raises NotThere, or TimeoutError. again: whether
        it may be sent again once a server may have begun with it. Raises Overloaded and NotReady.
        """
        if self.there >= self.most:
            raise Overloaded(
                f"{self.there} requests wait for a server, which is all that are held: send it again later",
                RETRY_AFTER_SECONDS,
            )
        self.there += 1
        self.load.asked += 1
        self.load.begin()
        try:
            return await self._answer(send, self._time() + self.seconds, again=again)
        finally:
            self.load.end()
            self.there -= 1

    async def _answer(self, send: Callable[[float], Awaitable[A]], until: float, *, again: bool) -> A:
        told, pause, reply, cut_off = False, LOOK_SECONDS, None, 0
        try:
            async with asyncio.timeout_at(until):
                while True:
                    if not told and (self._absent or reply is not None):
                        told = True
                        self.waiting += 1
                        if self.waiting == 1:
                            self._hurry()
                    try:
                        reply = await self._sent(send, until)
                    except NotThere as error:
                        cut_off += error.sent
                        _refuse(error, cut_off, MOST_CUT_OFF if again else 1)
                    else:
                        if not reply.busy:
                            self.answered += 1
                            return reply
                    pause = min(2 * pause, MOST_PAUSE_SECONDS)
                    await self._sleep(pause * (0.5 + self._lot()))
        except TimeoutError:
            if reply is not None:
                return reply  # There are servers, and they have no room.
            self.expired += 1
            nobody = "no server was there" if self._absent else "no server has answered"
            raise Overloaded(f"{nobody} within {self.seconds:g} s: send it again later", RETRY_AFTER_SECONDS) from None
        finally:
            self.waiting -= told

    async def _sent(self, send: Callable[[float], Awaitable[A]], until: float) -> A:
        """What a server says. While there is none, one request alone looks for it, again and again: not by being sent,
        as the others would wait for its answer, too."""
        if self._absent:
            async with self._looking:
                while self._absent:
                    try:
                        await self._look()
                        self._absent = False
                    except NotThere:
                        await self._sleep(LOOK_SECONDS)
        async with self._turns:
            try:
                return await send(max(0.0, until - self._time()))
            except NotThere as error:
                self._absent = not error.sent
                raise


def _refuse(error: NotThere, cut_off: int, most: int) -> None:
    """Raises NotReady where so many servers have gone while they had a request that it is not sent again."""
    if cut_off >= most:
        had = "the server has gone, and may have begun with it" if most == 1 else f"{most} servers have gone with it"
        raise NotReady(f"{had}: {error}") from None
