"""What ports answer alike, as ASGI applications do: a whole answer at once, and the headers that go with an error."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from headway_server.errors import MethodNotAllowed, NotReady, Overloaded, RequestError

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
JSON = b"application/json"


async def send_whole(send: Send, status: int, told: bytes, kind: bytes, more: Iterable[Header] = ()) -> None:
    """Send an answer. kind: its content type. more: further headers."""
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(told)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": told})


def error_headers(error: RequestError) -> list[Header]:
    """What goes with an error: when to ask again, or how."""
    if isinstance(error, Overloaded | NotReady):
        seconds = error.retry_after if isinstance(error, Overloaded) else 1.0
        return [(b"retry-after", b"%d" % math.ceil(seconds))]
    return [(b"allow", error.allowed.encode())] if isinstance(error, MethodNotAllowed) else []
