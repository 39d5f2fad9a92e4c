"""Clients that mean harm, and one that does not, whose waits tell what the others cost it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hostile_requests import Hostile, judged
from wire_client import Wire, request

KEPT_SECONDS = 30.0
"""For which clients keep a connection that they do not use: less than servers do."""


@dataclass
class Told:
    """What hostile requests got."""

    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, Hostile]] = field(default_factory=list)
    """What should not have come, and for what."""


async def send_all(port: int, drawn: Iterator[Hostile], told: Told) -> None:
    """Send these one after the other; those that are whole share a connection for as long as the server keeps it."""
    kept: Wire | None = None
    for sent in drawn:
        told.kinds[sent.kind] += 1
        if not sent.framed:
            await _alone(port, sent, told)
            continue
        fresh = kept is None
        wire = kept or await Wire.to(port)
        wire.send(sent.data)
        reply = await wire.reply(head=sent.head)
        if reply is None:
            told.faults.append((f"no reply on a connection that was {'new' if fresh else 'kept'}", sent))
        else:
            told.statuses[reply.status] += 1
            if fault := judged(sent, reply):
                told.faults.append((fault, sent))
        kept = wire
        if reply is None or reply.headers.get("connection") == "close":
            await wire.close()
            kept = None
    if kept is not None:
        await kept.close()


async def _alone(port: int, sent: Hostile, told: Told) -> None:
    """On a connection of its own, on which nothing follows; all that comes back is looked at."""
    wire = await Wire.to(port)
    wire.send(sent.data)
    with contextlib.suppress(OSError):
        wire.writer.write_eof()
    came = 0
    while came < sent.replies and (reply := await wire.reply()) is not None:
        came += 1
        told.statuses[reply.status] += 1
        if fault := judged(sent, reply):
            told.faults.append((fault, sent))
        if reply.headers.get("connection") == "close":
            break
    if came == 0:
        told.faults.append(("no reply on a connection of its own", sent))
    await wire.close()


@dataclass
class Good:
    """A client that asks again and again on one connection, and once more where that was closed while idle."""

    port: int
    path: str
    body: bytes
    pause: float = 0.0
    """Seconds between an answer and the next request."""
    seconds: list[float] = field(default_factory=list)
    """How long each answer took, connecting included."""
    statuses: Counter[int | str] = field(default_factory=Counter)
    going: bool = True

    async def run(self) -> None:
        """Until `going` is False."""
        wire: Wire | None = None
        while self.going:
            start = time.perf_counter()
            kept, wire = wire, wire or await Wire.to(self.port)
            wire.send(request("POST" if self.body else "GET", self.path, self.body))
            reply = await wire.reply()
            if reply is None and kept is not None:  # HTTP/1.1 lets a server close what is idle, at any moment
                await wire.close()
                wire = await Wire.to(self.port)
                wire.send(request("POST" if self.body else "GET", self.path, self.body))
                reply = await wire.reply()
            self.seconds.append(time.perf_counter() - start)
            self.statuses["lost" if reply is None else reply.status] += 1
            if reply is None or reply.headers.get("connection") == "close":
                await wire.close()
                wire = None
            await asyncio.sleep(self.pause)
        if wire is not None:
            await wire.close()


async def drip(port: int, data: bytes, pause: float, begun: asyncio.Event | None = None) -> int | None:
    """Send this byte by byte; the status that it comes to, None where the server just closes the connection."""
    wire = await Wire.to(port)
    answer = asyncio.create_task(wire.reply())
    for at in range(len(data)):
        if answer.done() or wire.writer.is_closing():
            break
        wire.send(data[at : at + 1])
        if begun is not None:
            begun.set()
        await asyncio.sleep(pause)
    reply = await answer
    await wire.close()
    return None if reply is None else reply.status


@dataclass
class Arrivals:
    """Requests at a rate, whether or not those before are answered: each takes a free connection or a new one. What
    fails is not sent again, and what comes while `most` are unanswered is left out."""

    where: Callable[[], int]
    """The port for the next request."""
    path: str
    body: bytes
    most: int = 100_000
    seconds: list[float] = field(default_factory=list)
    """Of those that were answered with 200."""
    statuses: Counter[int | str] = field(default_factory=Counter)
    left_out: int = 0
    unanswered: int = 0
    without_retry_after: int = 0
    """Those refused that do not say when to come again."""
    free: dict[int, list[tuple[float, Wire]]] = field(default_factory=dict)
    """Connections by their port, each since when it is idle; the latest last."""

    async def run(self, rate: float, seconds: float) -> None:
        """So many a second, for so long; returns when all are answered."""
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        async with asyncio.TaskGroup() as group:
            while (now := loop.time() - start) < seconds:
                for _ in range(int(now * rate) - sent):
                    sent += 1
                    if self.unanswered < self.most:
                        self.unanswered += 1
                        group.create_task(self._one())
                    else:
                        self.left_out += 1
                await asyncio.sleep(min(1 / rate, 0.01))
        for kept in self.free.values():
            for _, wire in kept:
                await wire.close()

    async def _one(self) -> None:
        loop, port = asyncio.get_running_loop(), self.where()
        start = loop.time()
        wire = await self._connection(port, start)
        wire.send(request("POST", self.path, self.body))
        reply = await wire.reply()
        self.unanswered -= 1
        self.statuses["lost" if reply is None else reply.status] += 1
        if reply is None or reply.headers.get("connection") == "close":
            await wire.close()
        else:
            self.free.setdefault(port, []).append((loop.time(), wire))
        if reply is None:
            return
        if reply.status == 200:
            self.seconds.append(loop.time() - start)
        elif int(reply.headers.get("retry-after", "0")) < 1:
            self.without_retry_after += 1

    async def _connection(self, port: int, now: float) -> Wire:
        kept = self.free.get(port, [])
        while kept:
            since, wire = kept.pop()
            if now - since < KEPT_SECONDS and not wire.reader.at_eof():
                return wire
            await wire.close()
        return await Wire.to(port)
