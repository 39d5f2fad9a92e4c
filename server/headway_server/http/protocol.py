"""A connection: uvicorn's protocol on httptools, which bounds neither headers nor time, with bounds on both."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

import httptools
import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from headway_server.http.limits import HttpLimits

_MOST_PIPELINED = 64
_SLOW_SECONDS = 1.0
"""A request that has not arrived after these may be left for another connection, where there are too many."""
_INVALID = "this is no HTTP/1.1 request"


class _Refused(Exception):  # noqa: N818 - what becomes of the request
    """Ends the parsing of a request: httptools passes it on as an error of its own."""


class Peers:
    """The connections of a port."""

    def __init__(self, limits: HttpLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.loop = loop
        self.open: set[Connection] = set()
        self.idle: dict[Connection, None] = {}
        """Those without a request, the one that has been so for longest first."""

        self.arriving: dict[Connection, None] = {}
        """Those whose request has begun and is not whole, the first of them first."""
        self.stuck: dict[Connection, None] = {}
        """Those whose clients do not take what was written, the first of them first."""
        self._leaving: set[Connection] = set()
        """Those that are to close, and will be lost soon."""
        self.finishing: asyncio.Event | None = None
        """Set when the last connection is closed; none as long as new requests are welcome."""

    async def finish(self) -> None:
        """Close each connection as soon as what has begun to arrive on it is answered; return when all are closed."""
        self.finishing = asyncio.Event()
        for one in list(self.open):
            one.finish()
        if self.open:
            await self.finishing.wait()

    def is_greedy(self, host: str | None) -> bool:
        """Whether an address has as many connections as one may have."""
        most = self.limits.max_connections_of_one
        return most is not None and sum(one.host == host for one in self.open) >= most

    def make_room(self) -> bool:
        """Whether one more may be open. If need be, another one goes: one that has been idle for a while, else one that
        is slow to send, else any that is idle."""
        if len(self.open) - len(self._leaving) < self.limits.max_connections:
            return True
        long_ago = self.loop.time() - _SLOW_SECONDS
        idle, arriving = next(iter(self.idle), None), next(iter(self.arriving), None)
        if idle is not None and idle.idle_since < long_ago:
            one = idle
        elif arriving is not None and arriving.since is not None and arriving.since < long_ago:
            one = arriving
        elif idle is not None:
            one = idle
        else:
            return False
        one.give_way()
        self.idle.pop(one, None)
        self.arriving.pop(one, None)
        self._leaving.add(one)
        return True

    def lost(self, connection: Connection) -> None:
        """A connection is no more."""
        self.open.discard(connection)
        self.idle.pop(connection, None)
        self.arriving.pop(connection, None)
        self._leaving.discard(connection)
        self.stuck.pop(connection, None)
        if self.finishing is not None and not self.open:
            self.finishing.set()

    def bound_unsent(self) -> None:
        """Leave clients that do not read, from the first on, until the others' answers fit into the memory for them."""
        unsent = sum(one.transport.get_write_buffer_size() for one in self.stuck)
        while unsent > self.limits.max_bytes_in_flight and len(self.stuck) > 1:
            first = next(iter(self.stuck))
            del self.stuck[first]
            unsent -= first.transport.get_write_buffer_size()
            first.transport.abort()

    def sweep(self) -> None:
        """Close those that are too slow: called each second, as a timer for each request costs more."""
        now = self.loop.time()
        for one in list(self.open):
            one.close_if_slow(now)


class Cycle(RequestResponseCycle):
    """A request and its answer, which is one piece: head and body are written together, and looked at once."""

    _answer: MutableMapping[str, Any]

    async def send(self, message: Any) -> None:
        """An ASGI message: the start, which is kept, or the whole body."""
        if message["type"] == "http.response.start":
            self._answer = message
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message.get("more_body", False) or self.response_complete:
            raise RuntimeError("an answer is one piece")
        lines: list[bytes] = []
        for name, value in self._answer["headers"]:
            lines.append(b"%s: %s\r\n" % (name, value))
            if name == b"connection" and value == b"close":
                self.keep_alive = False
        head = b"".join(lines)
        if head.count(b"\n") != len(lines):
            raise RuntimeError("a header of the answer has more than one line")
        close = b"\r\n" if self.keep_alive or b"connection: close" in head else b"connection: close\r\n\r\n"
        body = b"" if self.scope["method"] == "HEAD" else message["body"]
        self.transport.write(b"".join((STATUS_LINE[self._answer["status"]], head, close, body)))
        self.response_started = self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class Connection(HttpToolsProtocol):
    """What uvicorn's does, and no more than the limits allow."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        peers: Peers,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.ws_protocol_class = None
        self.access_log = False
        self._peers = peers
        self._limits = peers.limits
        self._head_bytes = 0
        self._in_head = False
        self.since: float | None = None
        """When the request that is being read began; None between requests."""
        self.idle_since = 0.0
        """Since when there is no request, if there is none."""
        self.host: str | None = None
        """The client's address."""
        self._ended = False
        """Whether nothing more is read."""
        self._stuck: float | None = None
        """Since when the client has not taken what was written."""
        self._refusal: tuple[int, str] | None = None
        self._data = b""
        """What came last."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        # The first request is waited for as headers are: who connects has something to say.
        self.since = self.idle_since = self.loop.time()
        self._in_head = True
        peers, peer = self._peers, transport.get_extra_info("peername")
        self.host = peer[0] if peer else None
        if peers.is_greedy(self.host):
            self._refuse(503, f"{self._limits.max_connections_of_one} connections are open from this address already")
            return
        if not peers.make_room():
            self._refuse(503, f"{len(peers.open)} connections are open, which is all that this server takes")
            return
        peers.open.add(self)
        peers.idle[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._peers.lost(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's: whether the transport stays open
        """The client says that nothing more comes: it still gets its answer."""
        if self in self._peers.idle or self.transport.is_closing():
            return False
        if self.since is not None:
            self._refuse(400, "the request is cut off")
            return self._ended
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._data = data
        super().data_received(data)
        # A header that never ends is kept by the parser, and told to nobody.
        if self._in_head and self._head_bytes > self._limits.max_header_bytes and not self.transport.is_closing():
            self._refuse(431, self._too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._peers.idle.pop(self, None)
        self._peers.arriving[self] = None
        self.since, self._in_head, self._head_bytes = self.loop.time(), True, 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if len(self.headers) >= self._limits.max_headers:
            self._stop(431, f"the request has more than {self._limits.max_headers} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._stop(400, f"more than {_MOST_PIPELINED} requests were sent before the first was answered")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._stop(400, "CONNECT is for proxies, which this server is not")
            return  # what becomes of it, `_unsupported_upgrade_warning` says
        cycle, before = self._begun(), self.cycle  # may raise, for a path that is none: then these are still headers
        self.cycle, self._in_head, self._head_bytes = cycle, False, 0
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self.since = None
        self._peers.arriving.pop(self, None)
        super().on_message_complete()
        self._rest()  # the answer may have been given before all of the body was there

    def _begun(self) -> Cycle:
        """The request whose headers are all there."""
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["method"], scope["http_version"] = parser.get_method().decode("ascii"), version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = url.path, url.query or b""
        return Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive() and self._peers.finishing is None,
            on_response=self.on_response_complete,
        )

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
        self._rest()

    def _unsupported_upgrade_warning(self) -> None:
        """Read a request that asks for another protocol as one that does not: nobody has to go along with that.

        Java's client asks for HTTP/2 with each first request. The parser takes such a request for all headers, and its
        body for the other protocol's; so another one gets the headers without the question, and what came behind them.
        """
        ended = sys.exc_info()[1]  # uvicorn calls this while it handles what the parser raised
        at: int = ended.args[0] if isinstance(ended, httptools.HttpParserUpgrade) else len(self._data)
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.data_received(b"\r\n".join([*lines, b"", self._data[at:]]))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        self._refuse(*(self._refusal or (400, _INVALID)))

    def pause_writing(self) -> None:
        self._stuck = self.loop.time()
        super().pause_writing()
        self._peers.stuck[self] = None
        self._peers.bound_unsent()

    def resume_writing(self) -> None:
        self._stuck = None
        self._peers.stuck.pop(self, None)
        super().resume_writing()

    def finish(self) -> None:
        """Close now, or when what has begun to arrive is answered."""
        if self in self._peers.idle:
            self.transport.close()
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def give_way(self) -> None:
        """Close, as another connection needs the room."""
        if self in self._peers.idle:
            self.transport.close()
        else:
            self._refuse(503, "the request arrived so slowly that its connection went to another one")

    def close_if_slow(self, now: float) -> None:
        """Refuse what does not arrive, and leave whoever does not read."""
        limits = self._limits
        if self._stuck is not None and now - self._stuck > limits.body_seconds:
            self.transport.abort()
        elif self.since is not None:
            seconds = limits.header_seconds if self._in_head else limits.body_seconds
            if now - self.since > seconds:
                self._refuse(408, f"the request did not arrive within {seconds:g} seconds")
        elif self in self._peers.idle and now - self.idle_since > limits.idle_seconds:
            self.transport.close()

    def _rest(self) -> None:
        """Be idle, if nothing is being read or answered."""
        if self.since is None and self.cycle.response_complete and not self.pipeline:
            self.idle_since = self.loop.time()
            self._peers.idle[self] = None

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > 2 * self._limits.max_header_bytes:  # what was received was counted, too
            self._stop(431, self._too_large())

    def _too_large(self) -> str:
        return f"the request's line and headers have more than {self._limits.max_header_bytes} bytes"

    def _stop(self, status: int, message: str) -> None:
        self._refusal = (status, message)
        raise _Refused(message)

    def _refuse(self, status: int, message: str) -> None:
        """Answer, and close; where an earlier request has no answer yet, close after that one instead."""
        cycle = self.cycle
        if self._in_head and cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            self.since, self._ended = None, True
            self.flow.pause_reading()
            return
        if self._in_head or not (cycle.response_started or self.pipeline):
            body = orjson.dumps({"error": message})
            if cycle is not None:
                cycle.disconnected = True
            later = b"retry-after: 1\r\n" if status == 503 else b""  # noqa: PLR2004 - as HTTP has it
            self.transport.write(
                b"%scontent-type: application/json\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n%s"
                % (STATUS_LINE[status], len(body), later, body)
            )
        self.transport.close()
