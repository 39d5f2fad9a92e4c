"""Talks HTTP/1.1 to a server byte by byte, as no client library would."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE = 60.0


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON as everybody reads it: without NaN."""

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.body, parse_constant=refuse)

    @property
    def error(self) -> str:
        """The sentence of an error, which is all that its body may hold."""
        assert self.status >= 400
        assert self.headers["content-type"] == "application/json"
        told = self.json
        assert list(told) == ["error"]
        assert isinstance(told["error"], str)
        assert told["error"]
        return told["error"]


class Wire:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @staticmethod
    async def to(port: int) -> Wire:
        """A connection to a port of this machine."""
        return Wire(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        """Write these bytes."""
        self.writer.write(data)

    async def reply(self, *, head: bool = False) -> Reply | None:
        """The next answer; None where the server closes the connection instead. head: it has no body."""
        async with asyncio.timeout(PATIENCE):
            try:
                status, headers = await self._head()
                while status == 100:  # not the answer yet
                    status, headers = await self._head()
                body = b"" if head else await self.reader.readexactly(int(headers["content-length"]))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        return Reply(status, headers, body)

    async def _head(self) -> tuple[int, dict[str, str]]:
        text = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), headers

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a request and return its answer. Names of headers have _ for -."""
        self.send(request(method, path, body, **headers))
        reply = await self.reply()
        assert reply is not None
        return reply

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "host: test"]
    if body and "transfer_encoding" not in headers:
        headers.setdefault("content_length", str(len(body)))
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
    """One request on a connection of its own."""
    wire = await Wire.to(port)
    try:
        return await wire.ask(method, path, body, **headers)
    finally:
        await wire.close()


async def when(condition: Callable[[], object]) -> None:
    """Let the loop go on until this holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the server's code has no event for a test to wait for
            await asyncio.sleep(0)
