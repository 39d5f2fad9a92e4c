"""What a server does to have its requests watched for drift, for as long as the judge asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable

from pydantic import ValidationError

from headway_api.drift_wire import BATCH_SECONDS, DRIFT_PATH, Batch, BatchReply
from headway_api.rollout_wire import Sampling
from headway_server.drift.counter import Counter
from headway_server.drift.plan import Plan, plan
from headway_server.drift.rows import Taker
from headway_server.model import ServedModel, Tensors
from headway_server.split.line import Line, NotHeard

ANSWER_SECONDS = 5.0
LAST_SECONDS = 1.0
"""For the answer to the last batch of a server that ends."""
STALE_SECONDS = 300.0
"""The judge says each second what it asks for. After so long without a word of it nothing is counted any more, and what
was counted is dropped: it would be told as what is asked now, weeks later maybe."""
MOST_REPLY_BYTES = 64 * 1024
_HOPELESS = frozenset({400, 413})
"""Statuses of what would be refused again and again."""
logger = logging.getLogger(__name__)


class Watching:
    """Belongs to one event loop; a thread of its own counts. Costs nothing before the judge asks for it.

    version: the number that it serves; 0 where it is none. lot: draws a number from 0 up to 1. count: is told of rows.
    clock: seconds.
    """

    def __init__(
        self,
        model: ServedModel,
        version: int,
        uid: str,
        line: Line,
        *,
        lot: Callable[[], float],
        count: Callable[[str, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.share = 0.0
        """Of the answered requests, which are counted by lot: what a client sends has no say in it."""
        self._model, self._version, self._uid, self._line = model, version, uid, line
        self._lot, self._count, self._clock = lot, count, clock
        self._told_at = clock()
        self._boot = secrets.token_hex(16)
        self._plan: Plan | str | None = None
        self._taker: Taker | None = None
        self._counter: Counter | None = None
        self._waiting: Batch | None = None
        """What was not answered yet."""
        self._perhaps = False
        """Whether the judge for which it was made may have counted it."""
        self._number = 0
        self._judge = self._digest = ""
        """As the judge calls itself, and the reference's."""
        self._heard: bool | None = None
        self._task: asyncio.Task[None] | None = None

    def told(self, sampling: Sampling | None) -> None:
        """What the judge asks for now."""
        self._told_at = self._clock()
        asked = sampling is not None and self._version > 0 and sampling.version == self._version
        if not asked or sampling is None:
            self.share = 0.0
            return
        if self._task is None:
            self._begin()
        self.share = sampling.sample if self._counter is not None else 0.0

    def _begin(self) -> None:
        try:
            found = plan(self._model)
        except Exception:  # whatever a bundle holds, requests are answered
            logger.exception("reference.json cannot be used")
            found = "the model's reference.json cannot be used: the server's log tells why"
        self._plan = found
        if isinstance(found, Plan):
            self._digest = found.reference.digest
            self._taker, self._counter = Taker(found), Counter(found, self._count)
            self._counter.start()
        else:
            logger.warning("requests are not watched for drift: %s", found)
        self._task = asyncio.create_task(self._go_on())

    def answered(self, feeds: Tensors, outputs: Tensors) -> None:
        """A request that got its answer, by whichever protocol. Called where share is above 0."""
        if self._lot() >= self.share or self._taker is None or self._counter is None:
            return
        self._counter.offer(*self._taker.take(feeds, outputs))

    async def end(self) -> None:
        """Count and send what is there, and stop. No request may be under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._counter is not None:
            await asyncio.to_thread(self._counter.close)
            if self._heard:
                # What was refused to be answered before, and then the rest.
                await self.send(LAST_SECONDS)
                await self.send(LAST_SECONDS)
        self._line.close()

    async def _go_on(self) -> None:
        while True:
            try:
                self.forget_stale()
                await self.send(ANSWER_SECONDS)
            except Exception:  # it goes on as long as the server does
                logger.exception("counts of rows could not be sent")
            # All servers would send in the same moment, after a judge has begun: the lot spreads them.
            await asyncio.sleep(BATCH_SECONDS * (0.9 + 0.2 * self._lot()))

    def forget_stale(self) -> None:
        """Count no more where nobody asks for it: a judge that is gone does not say so."""
        if self._clock() <= self._told_at + STALE_SECONDS:
            return
        self.share = 0.0
        self._done()
        if self._counter is not None:
            self._counter.next()

    async def send(self, seconds: float) -> None:
        """Send what is to be sent, once. seconds: how long an answer is waited for."""
        batch = self._next()
        if batch is None:
            return
        try:
            reply = await self._post(batch, seconds)
            if reply.reference and isinstance(self._plan, Plan):
                reply = await self._post(self._batch(digest=self._digest, reference=self._plan.reference), seconds)
            if reply.judge and reply.taken < batch.number:
                batch = self._hand_over(batch, reply.judge)
                reply = await self._post(batch, seconds) if batch is not None else reply
        except NotHeard as error:
            self._tell(error)
            # An answer with another status says that nothing was counted.
            self._perhaps = self._perhaps or not error.status
            if error.status in _HOPELESS:
                self._done()
            return
        self._tell(None)
        if batch is not None and reply.taken >= batch.number:
            self._done()

    def _hand_over(self, batch: Batch, judge: str) -> Batch | None:
        """A batch that was not taken, for the judge that there is; None where the one before it may have counted it."""
        self._judge = judge
        if self._perhaps and batch.judge not in ("", judge):
            self._done()
            return None
        self._waiting, self._perhaps = batch.model_copy(update={"judge": judge}), False
        return self._waiting

    def _done(self) -> None:
        """The batch needs not be sent again."""
        self._waiting, self._perhaps = None, False

    def _next(self) -> Batch | None:
        """The batch that waits for an answer, or else a new one; None where there is nothing to tell."""
        if isinstance(self._plan, str):
            return self._batch(unavailable=self._plan)
        if self._waiting is None and self._counter is not None and self._plan is not None:
            rows, counts = self._counter.next()
            if rows:
                self._number += 1
                told = {"number": self._number, "judge": self._judge, "digest": self._digest}
                self._waiting = self._batch(**told, rows=rows, counts=counts)
        return self._waiting

    def _batch(self, **told: object) -> Batch:
        fixed = {"uid": self._uid, "boot": self._boot, "version": self._version}
        return Batch.model_validate(fixed | told)

    async def _post(self, batch: Batch, seconds: float) -> BatchReply:
        body = batch.model_dump_json(exclude_defaults=True).encode()
        try:
            return BatchReply.model_validate_json(await self._line.post(DRIFT_PATH, body, seconds))
        except ValidationError as error:
            raise NotHeard("its answer cannot be read") from error

    def _tell(self, problem: NotHeard | None) -> None:
        """One line when it changes."""
        heard = problem is None
        if heard != self._heard and not (heard and self._heard is None):
            logger.warning("counts of rows are taken again" if heard else f"counts are not taken: {str(problem)[:300]}")
        self._heard = heard
