"""Stands where a judge stands: takes the reports of servers, and answers with the route that a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway_api.rollout_wire import REPORT_PATH, Counts, Reply, Report, Route
from headway_server.http.limits import HttpLimits
from headway_server.http.listener import Listener

UID = "2c7b3f0e-0000-4000-8000-000000000001"
TOKEN = "a-token"  # noqa: S105 - of the stub
PATIENCE = 60.0


@dataclass
class StubJudge:
    """Judges nothing: a test says what it answers, and reads what was reported."""

    port: int = 0
    reply: Reply = field(default_factory=Reply)
    status: int = 200
    reports: dict[str, Report] = field(default_factory=dict)
    """The last one of each process."""
    taken: int = 0
    refused: int = 0

    def route(self, slow: float | None = None, **route: Any) -> Route:
        """From now on servers are told this route."""
        told = Route(**{"uid": UID, "stable": 1, "candidate": 2, "salt": "s"} | route)
        self.reply = Reply(route=told, slow_seconds=slow)
        return told

    def of(self, version: int) -> Report | None:
        """What was last said by a server of this version."""
        return next((one for one in reversed(self.reports.values()) if one.version == version), None)

    async def heard(self, what: Callable[[], object]) -> None:
        """Wait until this holds."""
        async with asyncio.timeout(PATIENCE):
            while not what():  # noqa: ASYNC110 - servers in other processes have no event for it
                await asyncio.sleep(0.02)

    async def follows(self, version: int = 1) -> None:
        """Wait until a server of this version keeps to the route."""
        assert self.reply.route is not None
        epoch = self.reply.route.epoch
        await self.heard(lambda: (told := self.of(version)) is not None and told.epoch == epoch)

    async def counts(self, version: int = 1) -> tuple[Counts, Counts]:
        """What a server of this version has counted of both in the route's epoch, by a report that is still to come."""
        boot = (self.of(version) or Report(uid="", boot="", version=0)).boot
        before = self.taken
        await self.heard(lambda: self.taken >= before + 2 * max(1, len(self.reports)))
        assert self.reply.route is not None
        found = next(one for one in self.reports[boot].epochs if one.epoch == self.reply.route.epoch)
        return found.stable, found.candidate

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        given = dict(scope["headers"]).get(b"authorization")
        right = given == b"Bearer " + TOKEN.encode() and (scope["method"], scope["path"]) == ("POST", REPORT_PATH)
        if right:
            report = Report.model_validate_json(body)
            self.reports.pop(report.boot, None)
            self.reports[report.boot] = report
            self.taken += 1
        else:
            self.refused += 1
        data = self.reply.model_dump_json().encode()
        headers = [(b"content-length", b"%d" % len(data))]
        await send({"type": "http.response.start", "status": self.status if right else 401, "headers": headers})
        await send({"type": "http.response.body", "body": data})


@contextlib.asynccontextmanager
async def stub_judge(port: int = 0, judge: StubJudge | None = None) -> AsyncIterator[StubJudge]:
    """A judge on a port of this machine."""
    judge = judge or StubJudge()
    listener = Listener(judge, "127.0.0.1", port, HttpLimits())
    await listener.start()
    judge.port = listener.port
    try:
        yield judge
    finally:
        await listener.stop(0)


def judged(folder: Path, port: int) -> list[str]:
    """The words of a server's command that reports to a judge on this port; its token is put into the folder."""
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    return [f"--judge=http://127.0.0.1:{port}", f"--judge-token-file={token}", f"--deployment-uid={UID}"]
