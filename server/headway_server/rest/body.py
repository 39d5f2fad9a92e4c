"""The body of a request as it arrives: read, decompressed, and bounded while that happens."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headway_server.errors import InvalidRequest, Overloaded, TooLarge, UnsupportedEncoding
from headway_server.http.limits import HttpLimits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_AUTOMATIC = 32 + zlib.MAX_WBITS
"""zlib's code for: gzip or zlib, as its first bytes say."""


class Gone(Exception):  # noqa: N818 - what the client is
    """The client has left before its request was whole."""


class Memory:
    """The bytes of all bodies of a port that are in memory."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self.held = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises Overloaded where that is too much, unless it is all there is."""
        if self.held and self.held + size > self.limits.max_bytes_in_flight:
            raise Overloaded("other requests hold all the memory that there is for bodies: send it again later")
        self.held += size


async def read(receive: Receive, length: int | None, memory: Memory) -> tuple[bytes, int]:
    """The body, and how many bytes of memory are held for it. length: what Content-Length says, if it is there.

    Raises TooLarge, Overloaded, or Gone.
    """
    most = memory.limits.max_request_bytes
    if length is not None and length > most:
        raise _too_large(most)
    held = length or 0
    memory.take(held)
    try:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part: bytes = message.get("body", b"")
            parts.append(part)
            size += len(part)
            more = message.get("more_body", False)
            if size > most:
                raise _too_large(most)
            if size > held:
                memory.take(size - held)
                held = size
    except BaseException:
        memory.held -= held
        raise
    return parts[0] if len(parts) == 1 else b"".join(parts), held


def decompressed(body: bytes, encoding: bytes, most: int) -> bytes:
    """The body without its Content-Encoding. Raises UnsupportedEncoding, InvalidRequest, or TooLarge before more than
    `most` bytes are made."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name not in (b"gzip", b"deflate", b"x-gzip"):
        raise UnsupportedEncoding("Content-Encoding: gzip and deflate are known here")
    engine = zlib.decompressobj(_AUTOMATIC)
    try:
        data = engine.decompress(body, most + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not compressed as Content-Encoding says: {error}") from error
    if len(data) > most:
        raise _too_large(most)
    if not engine.eof or engine.unused_data:
        raise InvalidRequest("the compressed body is cut off, or something follows it")
    return data


def compressed(body: bytes, accepted: bytes) -> tuple[bytes, bytes | None]:
    """The body as gzip or deflate, and which of them; as it is, and None, where the client takes neither."""
    for part in accepted.lower().split(b","):
        name, _, quality = part.partition(b";")
        name = name.strip()
        if name in (b"gzip", b"deflate") and quality.replace(b" ", b"") not in (
            b"q=0",
            b"q=0.0",
            b"q=0.00",
            b"q=0.000",
        ):
            engine = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS + (16 if name == b"gzip" else 0))
            return engine.compress(body) + engine.flush(), name
    return body, None


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body has more than {most} bytes, which is all that is read")
