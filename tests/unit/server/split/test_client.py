"""What is sent over kept connections, and every way in which an answer may not come."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from headway_server.split.client import KEPT_SECONDS, Client, NoReply, Reply
from wire_client import when

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Told: 7\r\n\r\nhi"
CLOSING = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Other:
    """A server that answers with the bytes that a test gives."""

    answer: Callable[[], bytes | None]
    """None: it closes the connection instead."""
    port: int = 0
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                answer = self.answer()
                if answer is None:
                    break
                writer.write(answer)
        writer.close()


@contextlib.asynccontextmanager
async def other(*answers: bytes | None) -> AsyncIterator[Other]:
    """A server that gives these answers, the last of them for ever."""
    left = list(answers)
    there = Other(lambda: left.pop(0) if len(left) > 1 else left[0])
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
        for writer in there.open:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def client(most_bytes: int = 1000, kept_seconds: float = KEPT_SECONDS) -> AsyncIterator[Client]:
    """One that leaves nothing open, and no bytes counted."""
    made = Client(most_bytes, kept_seconds, lambda: 0.5)
    yield made
    made.close()
    await asyncio.sleep(0.01)  # the transports' farewells
    assert made.held_bytes == 0


async def post(sender: Client, port: int, body: bytes = b"abc", seconds: float = 30.0) -> Reply:
    """A request."""
    return await sender.post(("127.0.0.1", port), "/a", {"x-one": "1"}, body, seconds)


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with other(OK) as there, client() as sender:
        for _ in range(3):
            reply = await post(sender, there.port)
            assert (reply.status, reply.body, reply.headers[b"x-told"]) == (200, b"hi", b"7")
    assert there.connections == 1
    assert there.bodies == [b"abc"] * 3
    told = f"POST /a HTTP/1.1\r\nhost: 127.0.0.1:{there.port}\r\ncontent-length: 3\r\nx-one: 1\r\n\r\n"
    assert there.heads[0].decode() == told


async def test_requests_at_once_have_a_connection_each() -> None:
    async with other(OK) as there, client() as sender:
        await asyncio.gather(*(post(sender, there.port) for _ in range(5)))
        assert there.connections == 5
        await asyncio.gather(*(post(sender, there.port) for _ in range(5)))
        assert there.connections == 5


@pytest.mark.parametrize("answer", [CLOSING, OK.replace(b"1.1 200", b"1.0 200")])
async def test_a_connection_that_is_said_to_end_is_not_used_again(answer: bytes) -> None:
    async with other(answer) as there, client() as sender:
        assert (await post(sender, there.port)).body == b"hi"
        assert (await post(sender, there.port)).body == b"hi"
        assert there.connections == 2


async def test_a_connection_that_is_old_is_not_used_again_so_that_new_pods_get_requests() -> None:
    async with other(OK) as there, client(kept_seconds=0.0) as sender:
        await post(sender, there.port)
        await post(sender, there.port)
        assert there.connections == 2


async def test_a_kept_connection_that_is_closed_in_the_moment_of_a_request_is_no_failure() -> None:
    async with other(OK, None, OK) as there, client() as sender:
        await post(sender, there.port)
        assert (await post(sender, there.port)).body == b"hi"
        assert len(there.heads) == 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "closed"),
        (b"nonsense\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000, "too large"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2000, "too large"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % index for index in range(65)) + b"\r\n", "no HTTP"),
    ],
)
async def test_what_is_no_answer_is_none(answer: bytes | None, told: str) -> None:
    async with other(answer) as there, client() as sender:
        with pytest.raises(NoReply, match=told) as caught:
            await post(sender, there.port)
        assert caught.value.connected
        assert there.connections == 1


async def test_an_answer_that_is_cut_off_is_none() -> None:
    async with other(OK[:-1]) as there, client() as sender:
        asked = asyncio.create_task(post(sender, there.port))
        await when(lambda: there.heads)
        there.open[0].close()
        with pytest.raises(NoReply, match="closed"):
            await asked


async def test_a_second_answer_ends_the_connection_and_is_nobody_s() -> None:
    async with other(OK + OK.replace(b"hi", b"no")) as there, client() as sender:
        with contextlib.suppress(NoReply):
            assert (await post(sender, there.port)).body == b"hi"
        with contextlib.suppress(NoReply):
            assert (await post(sender, there.port)).body == b"hi"
        assert there.connections == 2


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async with other(OK) as there, client() as sender:
        await post(sender, there.port)
        there.open[0].write(OK)
        await asyncio.sleep(0.01)
        await post(sender, there.port)
        assert there.connections == 2


async def test_nobody_there_is_told_apart() -> None:
    async with other(OK) as there:
        port = there.port
    async with client() as sender:
        with pytest.raises(NoReply, match="nobody") as caught:
            await post(sender, port)
        assert not caught.value.connected


async def test_where_nobody_says_anything_a_connection_is_not_waited_for_without_end() -> None:
    # Nobody accepts: once the one place of its queue is taken, Linux leaves who comes without an answer.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        to = full.getsockname()
        with pytest.raises(NoReply, match=r"no answer within 0\.1 s") as caught:
            await Client(1 << 20, connect_seconds=0.1).post(to, "/", {}, b"", 30.0)
        assert not caught.value.connected


async def test_an_answer_that_is_late_is_not_waited_for_and_its_connection_not_used_again() -> None:
    async with other(b"", OK) as there, client() as sender:
        with pytest.raises(TimeoutError):
            await post(sender, there.port, seconds=0.05)
        assert (await post(sender, there.port)).body == b"hi"
        assert there.connections == 2


async def test_an_answer_may_come_in_pieces_and_in_chunks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"
    async with other(chunked) as there, client() as sender:
        for _ in range(2):
            assert (await post(sender, there.port)).body == b"hi"
        assert there.connections == 1
