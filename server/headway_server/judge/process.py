"""The life of the judge's process: it takes reports, reads the route, and writes verdicts, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headway_api import rollout_wire as wire
from headway_server.http.limits import ADMIN_LIMITS
from headway_server.http.listener import Listener
from headway_server.judge.app import LIMITS, Admin, Reports, Token
from headway_server.judge.asking import Asker
from headway_server.judge.load import Loads
from headway_server.judge.metrics import Metrics
from headway_server.judge.rollout import Judge
from headway_server.judge.store import Conflict, Store

READ_SECONDS = 1.0
"""How often the route is read."""
MOST_PAUSE_SECONDS = 5.0
"""Between two tries, however long the API server has not answered: a verdict waits for it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge is started."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = wire.JUDGE_PORT
    """For reports; 0 for any free one."""
    admin_port: int = wire.JUDGE_ADMIN_PORT
    """For health and metrics; 0 for any free one."""
    token_file: Path | None = None
    """What reports have to bear; None: nothing."""
    told_by: str | None = None
    """The pod's name."""
    secrets: Path = Path(wire.QUERY_SECRETS_DIR)
    """The folder with the Secrets that queries name."""
    load: bool = False
    """Whether it also tells how busy servers are."""


class Writer:
    """Between the judge and its store: one exchange at a time, again and again, whatever comes of it."""

    def __init__(
        self, judge: Judge, store: Store, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._judge, self._store, self._metrics, self._clock = judge, store, metrics, clock
        self._failures = 0
        self._bad_route: str | None = None
        self._bad_watch: str | None = None
        self._told: tuple[int, str] | None = None
        self._deposed = False
        self.urgent = asyncio.Event()
        """Set where an exchange is waited for."""

    async def run(self, ended: asyncio.Event) -> None:
        """Until that is set. An exchange that has begun is waited for, so that none comes after the last one."""
        ending = asyncio.create_task(ended.wait())
        try:
            while not ended.is_set():
                self.urgent.clear()
                await self.exchange()
                await self._rest(ending)
        finally:
            ending.cancel()
        await self.exchange(last=True)

    @property
    def pause(self) -> float:
        """Seconds to the next exchange: more after each failure."""
        return min(MOST_PAUSE_SECONDS, READ_SECONDS * (1 << min(self._failures, 8)))

    async def exchange(self, *, last: bool = False, again: bool = True) -> None:
        """Write what is due, and read. last: there will be no other, but one more after a conflict."""
        due = self._judge.due(self._clock(), last=last)
        if last and not due:
            return
        try:
            found = await asyncio.to_thread(self._store.exchange, due)
        except Conflict:
            # The operator has changed the route, or there is another judge: what it says now decides.
            self._metrics.exchanges.labels("conflict").inc()
            await self._read_only()
            self.urgent.set()
            if last and again:
                await self.exchange(last=True, again=False)
            return
        except OSError as error:
            self._metrics.exchanges.labels("failed").inc()
            if not self._failures:
                log.warning("the verdict cannot be written, or the route not read; it is tried again: %s", error)
            self._failures += 1
            if due and not last:
                await self._read_only()
            return
        if self._failures:
            log.warning("verdict and route are written and read again, after %d failures", self._failures)
        self._failures = 0
        self._metrics.exchanges.labels("ok").inc()
        now = self._clock()
        if due:
            self._judge.wrote(now)
        self._judge.read(found, now)
        self._log()

    async def _read_only(self) -> None:
        """What is refused is maybe the verdict alone: the route may still change."""
        with contextlib.suppress(OSError):
            self._judge.read(await asyncio.to_thread(self._store.exchange, {}), self._clock())

    async def _rest(self, ending: asyncio.Task[bool]) -> None:
        """Until the next exchange is due, or waited for: after a failure it is not hurried."""
        urgent = asyncio.create_task(self.urgent.wait())
        waited = {ending} if self._failures else {ending, urgent}
        await asyncio.wait(waited, timeout=self.pause, return_when=asyncio.FIRST_COMPLETED)
        urgent.cancel()

    def _log(self) -> None:
        judge = self._judge
        if judge.deposed != self._deposed:
            self._deposed = judge.deposed
            log.warning("%s", "another judge is newer: this one waits" if judge.deposed else "this judge judges again")
        if judge.bad_route != self._bad_route:
            self._bad_route = judge.bad_route
            log.warning("%s", judge.bad_route or "the route can be read again")
        if judge.drifts.bad_watch != self._bad_watch:
            self._bad_watch = judge.drifts.bad_watch
            log.warning("%s", judge.drifts.bad_watch or "what is watched for drift can be read again")
        if judge.verdict is not None:
            told = (judge.verdict.rollout, judge.verdict.verdict)
            if told != self._told:
                self._told = told
                log.warning("version %d: %s: %s", *told, judge.verdict.message)


async def judge_until_told(
    settings: JudgeSettings, store: Store, *, started: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Judge until SIGTERM or SIGINT: then what is known is written, and it ends at once.

    started: is told the ports. Raises OSError where a port is taken or the token cannot be read, and ValueError where
    that is empty.
    """
    loads = Loads(time.monotonic()) if settings.load else None
    judge, metrics = Judge(settings.told_by, loads), Metrics()
    token = Token(settings.token_file, time.monotonic)
    writer = Writer(judge, store, metrics)
    reports = Reports(judge, token, metrics, time.monotonic, writer.urgent.set)
    data = Listener(reports, settings.host, settings.port, LIMITS)
    admin = Listener(Admin(judge, metrics), settings.host, settings.admin_port, ADMIN_LIMITS)
    asker = Asker(judge, metrics, settings.secrets, time.monotonic, urgent=writer.urgent.set)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, ended.set)
    try:
        await admin.start()
        await data.start()
        started(data.port, admin.port)
        asking = asyncio.create_task(asker.run())
        try:
            await writer.run(ended)
        finally:
            asking.cancel()
    finally:
        await data.stop(0)
        await admin.stop(0)
        store.close()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(one)
