"""The holder, by real sockets: requests wait for a server, within bounds, and each gets an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from headway_server.errors import NotReady, Overloaded
from headway_server.hold.app import Admin, App, look
from headway_server.hold.holding import MOST_AT_ONCE, MOST_CUT_OFF, Holding, NotThere
from headway_server.http.limits import ADMIN_LIMITS, HttpLimits
from headway_server.http.listener import Listener
from headway_server.split.client import Client
from wire_client import Wire, ask

INFER = "/v2/models/digits/infer"
LIMITS = HttpLimits(max_request_bytes=1024, max_bytes_in_flight=4096)


@dataclass
class Server:
    """What the holder waits for."""

    port: int = 0
    busy: int = 0
    """So many requests it has no room for."""
    seen: list[tuple[str, str, bytes, dict[bytes, bytes]]] = field(default_factory=list)
    listener: Listener | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        data = (await receive()).get("body", b"")
        path = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        self.seen.append((scope["method"], path, data, dict(scope["headers"])))
        self.busy -= 1
        status = 503 if self.busy >= 0 else 200
        told = b"answer to " + data
        headers = [(b"content-length", b"%d" % len(told)), (b"headway-version", b"7")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": told})

    async def begin(self) -> None:
        """It is there from now on."""
        self.listener = Listener(self, "127.0.0.1", self.port, HttpLimits())
        await self.listener.start()


@dataclass
class Held:
    """A holder."""

    port: int
    admin: int
    holding: Holding
    server: Server
    hurried: list[int]


@contextlib.asynccontextmanager
async def holder(*, seconds: float = 20.0, most: int = 3) -> AsyncIterator[Held]:
    """One whose server is not there yet."""
    free = Listener(lambda *_: None, "127.0.0.1", 0, LIMITS)
    await free.start()
    server = Server(free.port)
    await free.stop(0)
    hurried: list[int] = []
    to = "127.0.0.1", server.port
    holding = Holding(seconds=seconds, most=most, hurry=lambda: hurried.append(1), look=lambda: look(to))
    client = Client(2**20)
    data = Listener(App("digits", holding, client, to, LIMITS), "127.0.0.1", 0, LIMITS)
    admin = Listener(Admin(holding), "127.0.0.1", 0, LIMITS)
    await data.start()
    await admin.start()
    try:
        yield Held(data.port, admin.port, holding, server, hurried)
    finally:
        client.close()
        for one in (data, admin, server.listener):
            if one is not None:
                await one.stop(0)


async def until(holds: Callable[[], bool]) -> None:
    """Turns of the loop until it is so."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is looked at has no event for it
            await asyncio.sleep(0.005)


async def _a_server_comes() -> None:
    async with holder() as held:
        asked = asyncio.create_task(ask(held.port, "POST", f"{INFER}?a=%20b", b"mine", x_user="anna"))
        await until(lambda: held.holding.waiting == 1)
        assert held.hurried == [1]
        text = (await ask(held.admin, "GET", "/metrics")).body.decode()
        assert "headway_holder_held 1.0" in text
        await held.server.begin()
        reply = await asked
        assert (reply.status, reply.body) == (200, b"answer to mine")
        assert (reply.headers["headway-version"], reply.headers["connection"]) == ("7", "close")
        method, path, body, headers = held.server.seen[0]
        assert (method, path, body, headers[b"x-user"]) == ("POST", f"{INFER}?a=%20b", b"mine", b"anna")
        assert (await ask(held.port, "GET", "/v2/models/digits")).status == 200
        assert (held.holding.waiting, held.holding.there, len(held.hurried)) == (0, 0, 1)
        assert (held.holding.answered, held.holding.load.asked) == (2, 2)


async def _bounds() -> None:
    async with holder(seconds=0.5, most=2) as held:
        asked = [asyncio.create_task(ask(held.port, "POST", INFER, b"x")) for _ in range(2)]
        await until(lambda: held.holding.there == 2)
        beyond = await ask(held.port, "POST", INFER, b"x")
        assert (beyond.status, beyond.headers["retry-after"]) == (503, "5")
        assert "2 requests wait for a server" in json.loads(beyond.body)["error"]
        for reply in await asyncio.gather(*asked):
            assert (reply.status, reply.headers["retry-after"]) == (503, "5")
            assert "no server was there within 0.5 s" in json.loads(reply.body)["error"]
        assert (held.holding.there, held.holding.waiting, held.holding.expired) == (0, 0, 2)
        assert (await ask(held.port, "POST", INFER, b"x" * 1025)).status == 413


async def _no_traffic() -> None:
    async with holder() as held:
        for path, told in (
            ("/v2/health/live", {"live": True}),
            ("/v2/health/ready", {"live": True, "ready": True}),
            ("/v2/models/digits/ready", {"name": "digits", "ready": True}),
        ):
            reply = await ask(held.port, "GET", path)
            assert (reply.status, json.loads(reply.body)) == (200, told)
        assert (await ask(held.port, "GET", "/robots.txt")).status == 404
        assert (await ask(held.port, "DELETE", INFER)).status == 405
        assert (await ask(held.admin, "GET", "/v2/health/ready")).status == 200
        assert (held.holding.load.asked, held.hurried) == (0, [])


async def _leaves() -> None:
    async with holder(most=1) as held:
        wire = await Wire.to(held.port)
        wire.send(b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx")
        await until(lambda: held.holding.waiting == 1)
        # What only says that it sends no more still gets its answer; this one is gone.
        wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.writer.transport.abort()
        await until(lambda: held.holding.there == 0)
        assert held.holding.waiting == 0
        await held.server.begin()
        assert (await ask(held.port, "POST", INFER, b"y")).body == b"answer to y"
        assert [seen[2] for seen in held.server.seen] == [b"y"], "who has left is not answered"


async def _all_at_once() -> None:
    async with holder(most=200) as held:
        asked = [asyncio.create_task(ask(held.port, "POST", INFER, b"%d" % each)) for each in range(100)]
        await until(lambda: held.holding.waiting == 100)
        assert held.hurried == [1]
        held.server.busy = 30
        await held.server.begin()
        replies = await asyncio.gather(*asked)
        assert [reply.body for reply in replies] == [b"answer to %d" % each for each in range(100)]
        assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize("course", [_a_server_comes, _bounds, _no_traffic, _leaves, _all_at_once])
def test_a_request_is_held_until_a_server_is_there_or_its_time_is_over(course: Callable[[], Any]) -> None:
    asyncio.run(course())


@dataclass(frozen=True)
class Said:
    """An answer."""

    busy: bool = False


async def there() -> None:
    """A server can be reached."""


def test_what_a_server_has_begun_with_is_sent_again_only_where_that_does_no_harm() -> None:
    async def course() -> None:
        holding = Holding(seconds=10.0, most=5, hurry=lambda: None, look=there)
        tries = 0

        async def send(_: float) -> Said:
            nonlocal tries
            tries += 1
            if tries % 2:
                raise NotThere("it closed the connection", sent=True)
            return Said()

        assert await holding.answer(send) == Said()
        assert tries == 2
        with pytest.raises(NotReady, match="may have begun with it"):
            await holding.answer(send, again=False)
        assert holding.there == holding.waiting == 0

    asyncio.run(course())


def test_no_more_are_with_servers_at_once_than_these_have_room_for() -> None:
    async def course() -> None:
        holding = Holding(seconds=10.0, most=500, hurry=lambda: None, look=there)
        now, most = 0, 0

        async def send(_: float) -> Said:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return Said()

        await asyncio.gather(*(holding.answer(send) for _ in range(200)))
        assert most <= MOST_AT_ONCE

    asyncio.run(course())


def test_a_server_that_stays_without_room_has_the_last_word() -> None:
    async def course() -> None:
        holding = Holding(seconds=0.2, most=5, hurry=lambda: None, look=there)

        async def send(_: float) -> Said:
            return Said(busy=True)

        assert await holding.answer(send) == Said(busy=True)

        async def gone() -> None:
            raise NotThere("nobody is there", sent=False)

        async def nobody(_: float) -> Said:
            raise NotThere("nobody is there", sent=False)

        for look_, send_ in ((gone, send), (there, nobody)):
            with pytest.raises(Overloaded, match="no server was there"):
                await Holding(seconds=0.2, most=5, hurry=lambda: None, look=look_).answer(send_)

    asyncio.run(course())


def test_a_server_without_room_is_not_asked_again_at_once() -> None:
    async def course() -> None:
        paused: list[float] = []

        async def sleep(seconds: float) -> None:
            paused.append(seconds)

        holding = Holding(seconds=10.0, most=5, hurry=lambda: None, look=there, lot=lambda: 0.5, sleep=sleep)
        tries = 0

        async def send(_: float) -> Said:
            nonlocal tries
            tries += 1
            return Said(busy=tries < 9)

        assert await holding.answer(send) == Said()
        assert paused == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]

    asyncio.run(course())


def test_a_request_by_which_each_server_goes_takes_no_more_than_a_few_of_them() -> None:
    async def course() -> None:
        holding = Holding(seconds=10.0, most=5, hurry=lambda: None, look=there, lot=lambda: 0.0)
        tries = 0

        async def send(_: float) -> Said:
            nonlocal tries
            tries += 1
            raise NotThere("it closed the connection", sent=True)

        with pytest.raises(NotReady, match="3 servers have gone with it: it closed the connection"):
            await holding.answer(send)
        assert tries == MOST_CUT_OFF
        assert holding.there == holding.waiting == 0

    asyncio.run(course())


def test_a_first_request_that_takes_long_keeps_none_of_the_others() -> None:
    async def course() -> None:
        come, done = asyncio.Event(), asyncio.Event()

        async def comes() -> None:
            if not come.is_set():
                raise NotThere("nobody is there", sent=False)

        async def slow(_: float) -> Said:
            await done.wait()
            return Said()

        async def quick(_: float) -> Said:
            return Said()

        holding = Holding(seconds=20.0, most=9, hurry=lambda: None, look=comes)
        first = asyncio.create_task(holding.answer(slow))
        await until(lambda: holding.waiting == 1)
        others = [asyncio.create_task(holding.answer(quick)) for _ in range(5)]
        await until(lambda: holding.waiting == 6)
        come.set()
        assert await asyncio.gather(*others) == [Said()] * 5
        assert not first.done()
        done.set()
        assert await first == Said()

    asyncio.run(course())


def test_one_request_that_is_too_slow_is_told_so() -> None:
    async def course() -> None:
        async def never(_: float) -> Said:
            await asyncio.Event().wait()
            return Said()

        with pytest.raises(Overloaded, match="no server has answered within"):
            await Holding(seconds=0.05, most=5, hurry=lambda: None, look=there).answer(never)

    asyncio.run(course())


def test_one_client_cannot_take_all_connections_by_which_the_holder_is_known_to_live() -> None:
    async def course() -> None:
        holding = Holding(seconds=1.0, most=5, hurry=lambda: None, look=there)
        admin = Listener(Admin(holding), "127.0.0.1", 0, ADMIN_LIMITS)
        await admin.start()
        kept = [await asyncio.open_connection("127.0.0.1", admin.port) for _ in range(8)]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
            assert b"503" in await reader.readline()
            writer.close()
            other = await asyncio.open_connection("127.0.0.1", admin.port, local_addr=("127.0.0.2", 0))
            kept.append(other)
            other[1].write(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"200" in await other[0].readline()
        finally:
            for _, each in kept:
                each.close()
            await admin.stop(0)

    asyncio.run(course())
