"""Tells webhooks what the Events say that people should hear of. It holds up no reconcile, and fails none.

What is told rests on notices, which the engine hands over when the status that they tell of has been written: so a word
is told once, and again only if this process did not hear that it was taken. Words that wait are in memory: a process
that is killed takes them along, and the status and the Events still say all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import aiohttp

from headway_operator.engine.kinds import Owner
from headway_operator.engine.steps import Notice
from headway_operator.notify.message import Message, message
from headway_operator.notify.waiting import Waiting
from headway_operator.notify.webhooks import NotTakenError, Webhooks, post, session

logger = logging.getLogger(__name__)

SENDERS = 4
"""How many words are under way at a time, each to another URL."""
PAUSES = (1.0, 5.0)
"""Seconds before the second and the third try."""
REST_SECONDS = 30.0
"""How long a URL is left alone that has not taken a word and may take the next one."""
REMEMBERED = 10_000
RESULTS = ("sent", "failed", "dropped")


class Notifier:
    """Takes notices over, and tells them one after the other to each URL."""

    def __init__(
        self,
        webhooks: Webhooks,
        *,
        count: Callable[[str], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        open_session: Callable[[], aiohttp.ClientSession] = session,
    ) -> None:
        self._webhooks = webhooks
        self._count = count
        self._pause = pause
        self._open_session = open_session
        self._waiting = Waiting()
        self._turns: asyncio.Queue[str] = asyncio.Queue()
        """The channels of which words wait, but for those of which one is under way, and those that rest."""
        self._told: OrderedDict[str, None] = OrderedDict()
        self._failing: set[str] = set()
        """Channels whose last word was not taken: the next one gets one try."""

    def post(self, owner: Owner, api_version: str, notices: tuple[Notice, ...]) -> None:  # noqa: ARG002 - as Recorder has it
        """Take notices over."""
        for notice in notices:
            said = message(owner, notice)
            if said is not None and self._new(said):
                self._add(said)

    def _new(self, said: Message) -> bool:
        if said.digest in self._told:
            return False
        self._told[said.digest] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True

    def _add(self, said: Message) -> None:
        channel = self._webhooks.channel(said.namespace)
        if channel is None:
            return
        has_room, is_new = self._waiting.add(channel, said)
        if not has_room:
            self._count("dropped")
        if is_new:
            self._turns.put_nowait(channel)

    async def run(self) -> None:
        """Tell what is waiting, until cancelled."""
        async with self._open_session() as client, asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send(client, group))

    async def _send(self, client: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        while True:
            channel = await self._turns.get()
            rest = await self._tell(client, channel, self._waiting.next(channel))
            if not self._waiting.done(channel):
                self._turns.task_done()
            elif rest:
                group.create_task(self._rest(channel))
            else:
                self._give_turn(channel)

    async def _rest(self, channel: str) -> None:
        await self._pause(REST_SECONDS)
        self._give_turn(channel)

    def _give_turn(self, channel: str) -> None:
        """Put a channel behind the others."""
        self._turns.put_nowait(channel)
        self._turns.task_done()

    async def _tell(self, client: aiohttp.ClientSession, channel: str, said: Message) -> bool:
        """Tell a word; whether its URL is to be left alone for a while."""
        try:
            if await self._taken(client, channel, said):
                self._count("sent")
            self._failing.discard(channel)
        except NotTakenError as error:
            self._failing.add(channel)
            self._count("failed")
            logger.warning("a notification of namespace %s was not taken: %s", said.namespace, error)
            return error.again
        except Exception as error:
            self._count("failed")
            # Its words may have the URL.
            logger.error("a notification of namespace %s failed: %s", said.namespace, type(error).__name__)
        return False

    async def _taken(self, client: aiohttp.ClientSession, channel: str, said: Message) -> bool:
        """Whether there is a webhook; it has taken the word then. Raises NotTakenError."""
        pauses = () if channel in self._failing else PAUSES
        for pause in (*pauses, None):
            try:
                url = self._webhooks.url(said.namespace)
                if url is None:
                    return False
                await post(client, url, said.text)
            except NotTakenError as error:
                if pause is None or not error.again:
                    raise
                await self._pause(max(pause, error.after))
            else:
                return True
        raise AssertionError("the last try is without a pause")

    async def drain(self) -> None:
        """Wait until all is told."""
        await self._turns.join()
