"""Tells webhooks what the Events say that people should hear of. It holds up no reconcile, and fails none.

What is told rests on notices, which the engine hands over when the status that they tell of has been written: so a word
is told once, and again only if this process did not hear that it was taken. Words that wait are in memory: a process
that is killed takes them along, and the status and the Events still say all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

import aiohttp

from headway_operator.engine.kinds import Owner
from headway_operator.engine.steps import Notice
from headway_operator.notify.message import Message, message
from headway_operator.notify.webhooks import NotTakenError, Webhooks, post, session

logger = logging.getLogger(__name__)

WAITING_LIMIT = 2000
NAMESPACE_LIMIT = 100
"""How many words wait, of all namespaces and of one. One that says too much does not silence the others."""
SENDERS = 4
"""How many words are under way at a time, each of another namespace."""
PAUSES = (1.0, 5.0)
"""Seconds before the second and the third try."""
REMEMBERED = 10_000
RESULTS = ("sent", "failed", "dropped")


class Notifier:
    """Takes notices over, and tells them one after the other in each namespace."""

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
        self._waiting: dict[str, deque[Message]] = {}
        """By namespace; each of these is among the turns, or a word of it is under way."""
        self._turns: asyncio.Queue[str] = asyncio.Queue()
        self._number = 0
        self._told: OrderedDict[str, None] = OrderedDict()
        self._failing: set[str] = set()
        """Namespaces whose last word was not taken: the next one gets one try."""

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
        words = self._waiting.get(said.namespace)
        if self._number >= WAITING_LIMIT or (words is not None and len(words) >= NAMESPACE_LIMIT):
            self._count("dropped")
            return
        self._number += 1
        if words is None:
            self._waiting[said.namespace] = words = deque()
            self._turns.put_nowait(said.namespace)
        words.append(said)

    async def run(self) -> None:
        """Tell what is waiting, until cancelled."""
        async with self._open_session() as client, asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send(client))

    async def _send(self, client: aiohttp.ClientSession) -> None:
        while True:
            namespace = await self._turns.get()
            words = self._waiting[namespace]
            try:
                await self._tell(client, words.popleft())
            finally:
                self._number -= 1
                if words:
                    self._turns.put_nowait(namespace)
                else:
                    del self._waiting[namespace]
                self._turns.task_done()

    async def _tell(self, client: aiohttp.ClientSession, said: Message) -> None:
        try:
            if await self._taken(client, said):
                self._count("sent")
            self._failing.discard(said.namespace)
        except NotTakenError as error:
            self._failing.add(said.namespace)
            self._count("failed")
            logger.warning("a notification of namespace %s was not taken: %s", said.namespace, error)
        except Exception as error:
            self._count("failed")
            # Its words may have the URL.
            logger.error("a notification of namespace %s failed: %s", said.namespace, type(error).__name__)

    async def _taken(self, client: aiohttp.ClientSession, said: Message) -> bool:
        """Whether there is a webhook; it has taken the word then. Raises NotTakenError."""
        pauses = () if said.namespace in self._failing else PAUSES
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
