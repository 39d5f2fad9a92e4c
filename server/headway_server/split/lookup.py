"""Addresses of names, found in threads that nobody waits for.

A name server that does not answer, as behind a NetworkPolicy that drops what goes to it, keeps a lookup for up to half
a minute. The event loop's own lookups cannot be given up: a process that ends would wait for them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

Address = tuple[int, str, int]
"""The family, the address and the port."""


class Lookup:
    """Belongs to one event loop. One thread at a time for each name: the others who ask wait for the same answer."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    async def __call__(self, host: str, port: int) -> list[Address]:
        """The addresses of a host, the best first. Raises OSError."""
        under_way = self._asked.get((host, port))
        if under_way is None:
            under_way = self._asked[host, port] = asyncio.get_running_loop().create_future()
            # Who asked may leave before it is answered, and an error that nobody waits for is no news.
            under_way.add_done_callback(lambda done: done.cancelled() or done.exception())
            threading.Thread(target=self._look, args=(host, port, under_way), daemon=True).start()
        return await asyncio.shield(under_way)

    def _look(self, host: str, port: int, answer: asyncio.Future[list[Address]]) -> None:
        found: list[Address] | OSError
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [(int(family), str(address[0]), port) for family, _, _, _, address in infos]
        except (OSError, UnicodeError) as error:
            found = error if isinstance(error, OSError) else OSError(f"{host!r} is no name")
        try:
            answer.get_loop().call_soon_threadsafe(self._found, (host, port), answer, found)
        except RuntimeError:  # the loop has ended
            return

    def _found(self, key: tuple[str, int], answer: asyncio.Future[Any], found: list[Address] | OSError) -> None:
        del self._asked[key]
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)
