"""Sends requests over HTTP/1.1 on connections that are kept, on the parser that the server reads requests with.

A request that is handed over should not cost the stable server more than answering it: this takes less than half of the
CPU of aiohttp's client, which would also be one more thing in the image. It can do what is needed here and no more:
POST to `http://host:port`, a body, and an answer that is read whole, within a bound on the bytes of all answers.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import httptools

from headway_server.split.lookup import Lookup

KEPT_SECONDS = 15.0
"""After so long a connection is not used again (a tenth more or less, by lot): a Service leads to one pod for as long
as a connection lives, so new pods would get nothing."""
MOST_HEADERS = 64
CONNECT_SECONDS = 2.0
"""Some networks say nothing where nobody is there."""


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[bytes, bytes]
    """Names in lower case."""
    body: bytes


class NoReply(Exception):  # noqa: N818 - what came
    """There was no answer, or none that can be read. connected: whether somebody was there."""

    def __init__(self, reason: str, *, connected: bool) -> None:
        super().__init__(reason)
        self.connected = connected


class _CutOff(NoReply):
    """The connection was closed before anything of an answer came."""


class _Malformed(Exception):  # noqa: N818 - what the answer is
    """Ends the parsing."""


@dataclass
class _Bytes:
    """Of the answers that are being read."""

    most: int
    held: int = 0


class _Line(asyncio.Protocol):
    """A connection: one request at a time."""

    def __init__(self, memory: _Bytes, until: float) -> None:
        self.until = until
        """The loop's time after which it is not used again."""
        self.usable = True
        self._memory = memory
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._size = 0
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP has both ways
        self._transport = transport

    def send(self, answer: asyncio.Future[Reply], *data: bytes) -> None:
        """Write a request; the answer is set when it is there. Raises NoReply where the connection is gone."""
        if self._transport is None or self._transport.is_closing():
            raise _CutOff("it closed the connection", connected=True)
        self._answer = answer
        self._transport.writelines(data)

    def close(self) -> None:
        """Use it no more."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked
            self.close()
            return
        self._size += len(data)
        self._memory.held += len(data)
        if self._memory.held > self._memory.most:
            self._failed(NoReply("its answer is too large", connected=True))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, _Malformed):
            self._failed(NoReply("its answer is no HTTP/1.1", connected=True))

    def on_message_begin(self) -> None:
        if self._answer is None:  # a second one, which nobody asked for
            raise _Malformed
        self._headers, self._parts = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._headers) >= MOST_HEADERS:
            raise _Malformed
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # noqa: PLR2004 - answers begin there, and no server of ours says less
            raise _Malformed

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        answer, self._answer = self._answer, None
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._memory.held -= self._size
        self._size = 0
        if not self._parser.should_keep_alive():
            self.close()
        if answer is not None and not answer.done():
            answer.set_result(Reply(self._parser.get_status_code(), self._headers, body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        kind = NoReply if self._size else _CutOff
        self._failed(kind(f"it closed the connection: {exc or 'no more came'}", connected=True))
        self._memory.held -= self._size
        self._size = 0

    def _failed(self, error: NoReply) -> None:
        answer, self._answer = self._answer, None
        self.close()
        if answer is not None and not answer.done():
            answer.set_exception(error)


@dataclass
class Client:
    """Belongs to the event loop that runs when it first sends. most_bytes: of all answers that are being read."""

    most_bytes: int
    kept_seconds: float = KEPT_SECONDS
    lot: Callable[[], float] = random.random
    connect_seconds: float = CONNECT_SECONDS
    _idle: dict[tuple[str, int], deque[_Line]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._memory = _Bytes(self.most_bytes)
        self._open: set[_Line] = set()
        self._lookup = Lookup()

    async def post(
        self, to: tuple[str, int], path: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Reply:
        """The answer to a POST. headers: names and values must be without line ends. Raises NoReply, or TimeoutError
        after so many seconds."""
        named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return await self.send(("POST", path), to, named, body, seconds)

    async def send(
        self,
        what: tuple[str, str],
        to: tuple[str, int],
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        seconds: float,
    ) -> Reply:
        """The same for any method but HEAD: `what` is the method and the path."""
        host = f"[{to[0]}]" if ":" in to[0] else to[0]
        head = f"{what[0]} {what[1]} HTTP/1.1\r\nhost: {host}:{to[1]}\r\ncontent-length: {len(body)}\r\n"
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        data = (head.encode("latin-1") + lines + b"\r\n", body)
        async with asyncio.timeout(seconds):
            line = self._kept(to)
            if line is not None:
                try:
                    return await self._ask(to, line, data)
                except _CutOff:
                    # It was closed while nobody used it, which the other side may do at any time.
                    pass
            return await self._ask(to, await self._connect(to), data)

    @property
    def held_bytes(self) -> int:
        """Of answers that are being read."""
        return self._memory.held

    def leave(self) -> None:
        """Close the connections that nobody uses."""
        for lines in self._idle.values():
            for line in lines:
                self._drop(line)
        self._idle.clear()

    def close(self) -> None:
        """Close all connections."""
        self.leave()
        for line in list(self._open):
            self._drop(line)

    async def _ask(self, to: tuple[str, int], line: _Line, data: tuple[bytes, ...]) -> Reply:
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        try:
            line.send(answer, *data)
            reply = await answer
        except BaseException:
            self._drop(line)
            raise
        if not line.usable:
            self._drop(line)
            return reply
        lines = self._idle.setdefault(to, deque())
        lines.append(line)
        if not self._fresh(lines[0]):
            self._drop(lines.popleft())
        return reply

    def _kept(self, to: tuple[str, int]) -> _Line | None:
        """The connection that was used last, if there is one; those that are old or dead are left."""
        lines = self._idle.get(to)
        while lines:
            line = lines.pop()
            if self._fresh(line):
                return line
            self._drop(line)
        return None

    def _fresh(self, line: _Line) -> bool:
        return line.usable and asyncio.get_running_loop().time() < line.until

    def _drop(self, line: _Line) -> None:
        self._open.discard(line)
        line.close()

    async def _connect(self, to: tuple[str, int]) -> _Line:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.kept_seconds * (0.9 + 0.2 * self.lot())
        problem: OSError | None = None
        try:
            for family, address, port in await self._lookup(*to):
                try:
                    async with asyncio.timeout(self.connect_seconds):
                        _, line = await loop.create_connection(
                            lambda: _Line(self._memory, until), address, port, family=family
                        )
                except OSError as error:  # TimeoutError is one
                    problem = error if str(error) else OSError(f"no answer within {self.connect_seconds:g} s")
                else:
                    self._open.add(line)
                    return line
        except OSError as error:
            problem = error
        raise NoReply(f"nobody is there: {problem or 'the name has no address'}", connected=False) from problem
