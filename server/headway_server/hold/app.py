"""The holder's two ports as ASGI applications: requests, and health with metrics.

Probes of the clients' Service are answered here: whoever asks is told that the deployment answers, which it does, and
no server is made for the question.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headway_server.errors import MethodNotAllowed, NotFound, RequestError
from headway_server.hold.holding import Holding, NotThere
from headway_server.http.answering import JSON, Header, Send, error_headers, send_whole
from headway_server.http.limits import HttpLimits
from headway_server.rest import body
from headway_server.split.client import CONNECT_SECONDS, Client, NoReply, Reply

Scope = MutableMapping[str, Any]
_JSON: Header = (b"content-type", JSON)
_OURS = frozenset(
    {
        *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"),
        *(b"host", b"content-length", b"proxy-authorization", b"proxy-connection", b"http2-settings"),
    }
)
"""Headers of one connection, which are not passed on."""
_PATHS = ("/v1/models/", "/v2/models/", "/v2/repository/")
_DOCUMENTS = ("/v2", "/v2/", "/v2/models", "/openapi.json")
_ONCE = "/feedback"
"""What must not be sent twice."""
_BUSY = 503
_MOST_DIGITS = 12


@dataclass(frozen=True)
class _Passed:
    """A server's answer."""

    reply: Reply

    @property
    def busy(self) -> bool:
        """Whether it could not take the request now."""
        return self.reply.status == _BUSY


class App:
    """Answers the requests of the data port. to: where servers are, once there are any."""

    def __init__(self, name: str, holding: Holding, client: Client, to: tuple[str, int], limits: HttpLimits) -> None:
        self._name, self._holding, self._client, self._to = name, holding, client, to
        self._memory = body.Memory(limits)

    async def __call__(self, scope: Scope, receive: body.Receive, send: Send) -> None:
        """Answer one request."""
        more: list[Header] = []
        try:
            status, told, headers = await self._answer(scope, receive)
        except body.Gone:
            return
        except RequestError as error:
            status, told, headers = error.status, orjson.dumps({"error": str(error)}), [_JSON]
            more = error_headers(error)
        # The next request of this client is to find the servers: it connects again.
        more.append((b"connection", b"close"))
        start = [*headers, (b"content-length", b"%d" % len(told)), *more]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": told})

    async def _answer(self, scope: Scope, receive: body.Receive) -> tuple[int, bytes, list[Header]]:
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            probe = self._probe(path)
            if probe is not None:
                return 200, orjson.dumps(probe), [_JSON]
        elif method != "POST":
            raise MethodNotAllowed(f"{quote(path[:200])} is for GET, HEAD or POST", "GET, HEAD, POST")
        if not path.startswith(_PATHS) and path not in _DOCUMENTS:
            raise NotFound(f"{quote(path[:200])} is no path of this server: /openapi.json tells which there are")
        length = dict(scope["headers"]).get(b"content-length", b"")
        size = int(length) if length.isdigit() and len(length) <= _MOST_DIGITS else None
        data, held = await body.read(receive, size, self._memory)
        try:
            return await self._passed(scope, data, receive)
        finally:
            self._memory.held -= held

    def _probe(self, path: str) -> dict[str, Any] | None:
        if path == "/v2/health/live":
            return {"live": True}
        if path == "/v2/health/ready":
            return {"live": True, "ready": True}
        return {"name": self._name, "ready": True} if path == f"/v2/models/{self._name}/ready" else None

    async def _passed(self, scope: Scope, data: bytes, receive: body.Receive) -> tuple[int, bytes, list[Header]]:
        method = "POST" if scope["method"] == "POST" else "GET"
        raw = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        path = (raw + (b"?" + query if query else b"")).decode("latin-1")
        headers = [(name, value) for name, value in scope["headers"] if name not in _OURS]

        async def send(seconds: float) -> _Passed:
            try:
                return _Passed(await self._client.send((method, path), self._to, headers, data, seconds))
            except NoReply as error:
                raise NotThere(str(error), sent=error.connected) from None

        passing = asyncio.ensure_future(self._holding.answer(send, again=not scope["path"].endswith(_ONCE)))
        reply = (await _unless_gone(passing, receive)).reply
        found = [(name, value) for name, value in reply.headers.items() if name not in _OURS]
        return reply.status, reply.body, found


async def look(to: tuple[str, int]) -> None:
    """Whether there is a server: a Service leads to those alone that are ready. Raises NotThere."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(*to)
    except (OSError, TimeoutError) as error:
        raise NotThere(str(error) or type(error).__name__, sent=False) from None
    writer.transport.abort()


async def _unless_gone(passing: asyncio.Future[_Passed], receive: body.Receive) -> _Passed:
    """What is passed on, unless the client leaves meanwhile: then it is held no longer. Raises body.Gone."""
    leaving = asyncio.ensure_future(_left(receive))
    try:
        both: set[asyncio.Future[Any]] = {passing, leaving}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not passing.done():
            raise body.Gone
        return passing.result()
    finally:
        for one in (passing, leaving):
            one.cancel()


async def _left(receive: body.Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Counts(Collector):
    """What Prometheus is told."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding

    def collect(self) -> list[Metric]:
        """The numbers of now."""
        holding = self._holding
        return [
            GaugeMetricFamily("headway_holder_held", "Requests that no server has taken yet.", holding.waiting),
            GaugeMetricFamily("headway_holder_in_flight", "Requests that are here, held or passed on.", holding.there),
            CounterMetricFamily("headway_holder_answered", "Requests that a server has answered.", holding.answered),
            CounterMetricFamily("headway_holder_expired", "Requests that were held for too long.", holding.expired),
        ]


class Admin:
    """Answers probes of this process, and Prometheus."""

    def __init__(self, holding: Holding) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Counts(holding))

    async def __call__(self, scope: Scope, receive: body.Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI application
        """Answer one request."""
        status, told, kind = self._answer(scope["method"], scope["path"])
        await send_whole(send, status, told, kind)

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, orjson.dumps({"error": "this port is for GET"}), JSON
        if path == "/metrics":
            return 200, generate_latest(self._registry), CONTENT_TYPE_LATEST.encode()
        if path in ("/v2/health/live", "/v2/health/ready"):
            return 200, orjson.dumps({"live": True, "ready": True}), JSON
        told = {"error": "this port has /v2/health/live, /v2/health/ready and /metrics"}
        return 404, orjson.dumps(told), JSON
