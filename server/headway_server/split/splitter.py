"""The splitting of one server: its state, what hands over and copies, and what reports."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headway_api.rollout_wire import HOP_HEADER, ROUTE_HEADER, Route, Sampling
from headway_server.batching import Batcher
from headway_server.errors import Overloaded
from headway_server.rest.answer import Answer
from headway_server.settings import Settings
from headway_server.split.client import Client
from headway_server.split.draw import fraction
from headway_server.split.handing import Splitting, as_remembered
from headway_server.split.judging import Judging
from headway_server.split.metrics import SplitCollector
from headway_server.split.mirror import Mirror
from headway_server.split.reporter import Reporter
from headway_server.split.rest import RestAsked, nobody
from headway_server.split.state import ALONE, ALONE_REMEMBERED, State

_HOP = HOP_HEADER.encode()
_STAMP = ROUTE_HEADER.encode()
_INFER = "/infer"
_MOST_DIGITS = 9
_LOTS_AT_ONCE = 64
"""To ask the system for one costs as much as for so many."""
Own = Callable[[float | None], Awaitable[Answer]]


class Lots:
    """Numbers from 0 up to 1. Nobody may know beforehand which requests go to the candidate: they are the system's."""

    def __init__(self) -> None:
        self._numbers: list[float] = []

    def __call__(self) -> float:
        """The next."""
        if not self._numbers:
            data = os.urandom(8 * _LOTS_AT_ONCE)
            self._numbers = [fraction(data[at : at + 8]) for at in range(0, len(data), 8)]
        return self._numbers.pop()


class Splitter:
    """Belongs to one event loop."""

    def __init__(self, model: str, version: str, batcher: Batcher, settings: Settings, judging: Judging) -> None:
        number = int(version) if version.isdigit() and len(version) <= _MOST_DIGITS else 0
        self.lot = lot = Lots()
        self.sampled: Callable[[Sampling | None], None] = lambda _: None
        """Is told what is to be watched for drift."""
        uid, boot = judging.deployment_uid, secrets.token_hex(16)
        self.state = State(number, uid, boot, lot=lot, clock=time.monotonic, load=batcher.load)
        self.splitting = Splitting(self.state, batcher, settings.timeout_seconds)
        self._mirror = Mirror(self.splitting)
        self.collector = SplitCollector(model, self.splitting, self._mirror)
        self._timeout = settings.timeout_seconds
        self._client = Client(settings.http.max_bytes_in_flight)
        self._reporter = Reporter(self.state, judging, lot=lot, changed=self._changed, sampled=self._told_of_sampling)
        self._versions = f"/v2/models/{model}/versions/"

    async def begin(self) -> None:
        """Ask the judge for the route, and go on reporting."""
        await self._reporter.begin()

    async def stop_copies(self) -> None:
        """Send no more copies of requests, before the ways that they go are closed."""
        await self._mirror.close()

    async def end(self) -> None:
        """Report for the last time. No request may be under way."""
        await self.stop_copies()
        await self._reporter.end()
        self._client.close()

    def _changed(self, route: Route | None) -> None:  # noqa: ARG002 - whatever it is now
        # Connections are to one candidate's pods, and those in use are closed as they grow old.
        self._client.leave()

    def _told_of_sampling(self, told: Sampling | None) -> None:
        self.sampled(told)

    def rest(
        self,
        scope: Mapping[str, Any],
        body: bytes,
        rows: int,
        given: float | None,
        run: Own,
        *,
        remembered: bool = False,
    ) -> Awaitable[Answer]:
        """The answer of the version that a request is for, whose body was read. remembered: as in Choice. It raises
        RequestError.

        Most requests are the own model's, and pay for no more than that.
        """
        state, splitting = self.state, self.splitting
        route = state.route
        hop = _HOP in scope["wanted"]
        if not hop and (state.role == "alone" or not state.drawn(scope["wanted"].get(_STAMP))):
            return splitting.own(run, given, ALONE_REMEMBERED if remembered else ALONE)
        if hop or state.unit is not None or route is None or not route.candidate_url:
            return splitting.answer(self._asked(scope, body, rows, given, run), remembered=remembered)
        choice = state.choose(None, room=splitting.room)
        if remembered:
            choice = as_remembered(choice)
        if choice.theirs or choice.mirror:
            return splitting.carry_out(self._asked(scope, body, rows, given, run), choice)
        return splitting.own(run, given, choice)

    def named(self, scope: Mapping[str, Any]) -> Route | None:
        """The route, where a request names the candidate in its path and nobody has handed it over."""
        path = scope["path"]
        if not path.startswith(self._versions) or not path.endswith(_INFER) or _HOP in scope["wanted"]:
            return None
        route = self.candidate(path[len(self._versions) : -len(_INFER)])
        return None if route is None or not route.candidate_url else route

    def candidate(self, version: str) -> Route | None:
        """The route, where this is the number of its candidate, and this server is of its stable version."""
        route, own = self.state.route, self.state.version
        if route is None or not own or own != route.stable or own == route.candidate:
            return None
        return route if version == str(route.candidate) else None

    async def relay(self, route: Route, scope: Mapping[str, Any], body: bytes) -> Answer:
        """Whatever the candidate says to a request that names it: it is not counted. Raises RequestError."""
        if not self.splitting.room:
            raise Overloaded("as many requests as this server hands over at once are with the candidate: try again")
        asked = self._asked(scope, body, 1, None, nobody)
        return await self.splitting.send(1, lambda: asked.relayed(route, scope["path"], self._timeout))

    def _asked(self, scope: Mapping[str, Any], body: bytes, rows: int, given: float | None, run: Own) -> RestAsked:
        wanted: Mapping[bytes, bytes] = scope["wanted"]
        return RestAsked(
            client=self._client,
            version=self.state.version,
            path=scope["path"],
            body=body,
            header_length=wanted.get(b"inference-header-content-length"),
            sent=scope["headers"],
            rows=rows,
            timeout=given,
            hop=_HOP in wanted,
            run=run,
        )
