"""What a client may do to a connection is bounded, and a port ends without dropping what has begun."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sized
from functools import partial
from typing import Any

import pytest

from headway_server.batching import Limits
from headway_server.http.limits import HttpLimits
from headway_server.http.protocol import Peers
from wire_client import Wire, ask, request, when

from .conftest import Serve
from .test_app import BODY, INFER


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"\0\1\2\3\r\n\r\n", 400, "no HTTP/1.1 request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "no HTTP/1.1 request"),
        (b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400, "no HTTP/1.1 request"),
        (b"POST / HTTP/1.1\r\ncontent-length: -3\r\n\r\nabc", 400, "no HTTP/1.1 request"),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400, "no HTTP/1.1 request"),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "no HTTP/1.1"),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", 400, "CONNECT is for proxies"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431, "more than 100 headers"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431, "more than 32768 bytes"),
        (b"GET /" + b"b" * 70_000 + b" HTTP/1.1\r\n\r\n", 431, "more than 32768 bytes"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 900_000, 431, "more than 32768 bytes"),
    ],
)
async def test_what_is_no_request_is_told_so_and_its_connection_is_closed(
    data: bytes, status: int, words: str, serve: Serve
) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        wire.send(data)
        reply = await wire.reply()
        assert reply is not None
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert words in reply.error
        assert await wire.reply() is None
        await wire.close()
        assert (await ask(server.port, "GET", "/v2/health/live")).status == 200


async def test_requests_one_behind_the_other_are_answered_in_their_order(serve: Serve) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        sent = [BODY.replace(b'"id": "a"', b'"id": "%d"' % at) for at in range(20)]
        wire.send(b"".join(request("POST", INFER, one) for one in sent))
        told = [await wire.reply() for _ in sent]
        assert [one.json["id"] for one in told if one is not None] == [str(at) for at in range(20)]
        await wire.close()


@pytest.mark.parametrize("after", [b"nonsense\r\n\r\n", b"POST / HT", b""])
async def test_nonsense_behind_a_request_does_not_cost_it_its_answer(after: bytes, serve: Serve) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        wire.send(request("POST", INFER, BODY) + after)
        wire.writer.write_eof()
        reply = await wire.reply()
        assert reply is not None
        assert reply.status == 200
        await wire.reply()
        await wire.close()
        await when(lambda: not server.listener.peers.open)


async def test_too_many_of_them_end_the_connection(serve: Serve) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        wire.send(request("GET", "/v2") * 400)
        statuses = []
        while (reply := await wire.reply()) is not None:
            statuses.append(reply.status)
        assert len(statuses) < 400
        await wire.close()
        assert (await ask(server.port, "GET", "/v2/health/live")).status == 200


async def test_a_request_for_the_server_itself_is_for_no_path(serve: Serve) -> None:
    async with serve() as server:
        assert (await ask(server.port, "OPTIONS", "*")).status == 404


@pytest.mark.parametrize("begun", [b"", b"POST / HT", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n"])
async def test_headers_that_do_not_come_are_not_waited_for(begun: bytes, serve: Serve) -> None:
    async with serve(http=HttpLimits(header_seconds=-1, body_seconds=3600)) as server:
        wire = await Wire.to(server.port)
        wire.send(begun)
        await when(lambda: server.listener.peers.open and bool(begun) != bool(server.listener.peers.idle))
        server.listener.peers.sweep()
        reply = await wire.reply()
        assert reply is not None
        assert reply.status == 408
        assert "did not arrive" in reply.error
        assert await wire.reply() is None
        await wire.close()


async def test_a_body_that_does_not_come_is_not_waited_for(serve: Serve) -> None:
    async with serve(http=HttpLimits(header_seconds=3600, body_seconds=-1)) as server:
        wire = await Wire.to(server.port)
        wire.send(request("POST", INFER, BODY[:9], content_length="100"))
        await when(lambda: server.listener.peers.open and not server.listener.peers.idle)
        server.listener.peers.sweep()
        reply = await wire.reply()
        assert reply is not None
        assert reply.status == 408
        await wire.close()
        await when(lambda: not server.listener.peers.open)


async def test_a_connection_without_requests_is_closed_after_a_while_and_one_in_use_is_not(serve: Serve) -> None:
    async with serve(http=HttpLimits(idle_seconds=3600)) as server:
        wire = await Wire.to(server.port)
        assert (await wire.ask("GET", "/v2")).status == 200
        now = asyncio.get_running_loop().time()
        (connection,) = server.listener.peers.open
        connection.close_if_slow(now + 3000)
        assert (await wire.ask("GET", "/v2")).status == 200
        connection.close_if_slow(now + 4000)
        assert await wire.reply() is None
        await wire.close()


async def test_when_all_connections_are_taken_the_one_that_was_idle_for_longest_goes(serve: Serve) -> None:
    async with serve(http=HttpLimits(max_connections=3)) as server:
        wires = []
        for _ in range(3):
            wires.append(await Wire.to(server.port))
            assert (await wires[-1].ask("GET", "/v2")).status == 200
        assert (await wires[0].ask("GET", "/v2")).status == 200
        assert (await ask(server.port, "GET", "/v2")).status == 200
        assert await wires[1].reply() is None
        assert (await wires[0].ask("GET", "/v2")).status == 200
        for one in wires:
            await one.close()


async def test_one_address_has_its_part_of_the_connections_and_no_more(serve: Serve) -> None:
    async with serve(http=HttpLimits(max_connections=8, max_connections_of_one=2)) as server:
        wires = [await Wire.to(server.port) for _ in range(2)]
        for one in wires:
            assert (await one.ask("GET", "/v2")).status == 200
        third = await Wire.to(server.port)
        refused = await third.reply()
        assert refused is not None
        assert (refused.status, "from this address already" in refused.error) == (503, True)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        writer.write(request("GET", "/v2"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await wires[0].close()
        await when(lambda: len(server.listener.peers.open) < 3)
        assert (await ask(server.port, "GET", "/v2")).status == 200
        for one in (wires[1], third):
            await one.close()


async def test_when_none_is_idle_the_newest_is_refused(serve: Serve) -> None:
    async with serve(http=HttpLimits(max_connections=1)) as server:
        busy = await Wire.to(server.port)
        busy.send(request("POST", INFER, BODY[:9], content_length="100"))
        await when(lambda: server.listener.peers.open and not server.listener.peers.idle)
        wire = await Wire.to(server.port)
        reply = await wire.reply()
        assert reply is not None
        assert reply.status == 503
        assert "connections are open" in reply.error
        assert reply.headers["retry-after"] == "1"
        for one in (busy, wire):
            await one.close()


@pytest.mark.parametrize("begun", [b"POST / HT", request("POST", INFER, BODY[:9], content_length="100")])
async def test_when_none_is_idle_requests_that_are_slow_to_arrive_go_each_for_a_new_connection(
    begun: bytes, serve: Serve
) -> None:
    async with serve(http=HttpLimits(max_connections=3)) as server:
        slow = [await Wire.to(server.port) for _ in range(3)]
        peers = server.listener.peers
        for at, one in enumerate(slow, 1):
            one.send(begun)
            await when(partial(_are, peers.arriving, at))
        for connection in peers.arriving:
            assert connection.since is not None
            connection.since -= 1.5
        good = [await Wire.to(server.port) for _ in range(2)]
        for one in good:
            assert (await one.ask("GET", "/v2")).status == 200
        for one in slow[:2]:
            reply = await one.reply()
            assert reply is not None
            assert reply.status == 503
            assert "so slowly" in reply.error
            assert await one.reply() is None
        await when(lambda: len(peers.open) == 3)
        assert len(peers.arriving) == 1
        for one in (*slow, *good):
            await one.close()


async def test_many_that_connect_at_once_take_no_more_than_there_are(serve: Serve) -> None:
    async with serve(http=HttpLimits(max_connections=8)) as server:
        wires = await asyncio.gather(*(Wire.to(server.port) for _ in range(100)))
        assert (await ask(server.port, "GET", "/v2")).status == 200
        assert len(server.listener.peers.open) <= 8
        for one in wires:
            await one.close()


async def test_an_answer_before_the_body_leaves_the_connection_in_use(serve: Serve) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        wire.send(request("POST", "/nowhere", BODY[:5], content_length=str(len(BODY))))
        reply = await wire.reply()
        assert reply is not None
        assert reply.status == 404
        wire.send(BODY[5:])
        assert (await wire.ask("POST", INFER, BODY)).status == 200
        assert len(server.listener.peers.idle) == 1
        await wire.close()


async def test_a_port_that_ends_answers_what_has_begun_and_takes_nothing_new(serve: Serve) -> None:
    waiting = Limits(max_delay_seconds=3600, max_wait_seconds=7200)
    async with serve(batching=waiting) as server:
        idle, running, arriving = [await Wire.to(server.port) for _ in range(3)]
        assert (await idle.ask("GET", "/v2")).status == 200
        running.send(request("POST", INFER, BODY))
        whole = request("POST", INFER, BODY)
        arriving.send(whole[:-20])
        await when(lambda: server.service.batcher.in_flight == 1 and len(server.listener.peers.idle) == 1)
        stopping = asyncio.create_task(server.listener.stop(60))
        assert await idle.reply() is None
        arriving.send(whole[-20:])
        await when(lambda: server.service.batcher.in_flight == 2)
        server.service.batcher._drain()
        for one in (running, arriving):
            reply = await one.reply()
            assert reply is not None
            assert reply.status == 200
            assert json.loads(reply.body)["id"] == "a"
            assert await one.reply() is None
        await stopping
        with pytest.raises(ConnectionRefusedError):
            await Wire.to(server.port)
        for one in (idle, running, arriving):
            await one.close()


def _are(these: Sized, count: int) -> bool:
    return len(these) == count


class Unread:
    """A connection whose client does not take what was written."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = False
        self.transport = self

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.left = True


async def test_answers_that_nobody_takes_are_bounded_by_leaving_whoever_has_not_read_for_longest() -> None:
    peers = Peers(HttpLimits(max_bytes_in_flight=100), asyncio.get_running_loop())
    found = [Unread(size) for size in (60, 30, 60, 500)]
    for one in found:
        stuck: Any = one
        peers.stuck[stuck] = None
        peers.bound_unsent()
    # The second would have fitted beside the third; beside the last none does, and one alone may be as large as it is.
    assert [one.left for one in found] == [True, True, True, False]
    assert len(peers.stuck) == 1


@pytest.mark.parametrize("wanted", ["h2c", "websocket", "x"])
async def test_whoever_asks_for_another_protocol_gets_an_answer_by_this_one(wanted: str, serve: Serve) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        for _ in range(2):
            one = request(
                "POST", INFER, BODY, connection="Upgrade, HTTP2-Settings", upgrade=wanted, http2_settings="AA"
            )
            wire.send(one + one[:-20])  # the second's body comes in two parts
            wire.send(one[-20:])
            for _ in range(2):
                reply = await wire.reply()
                assert reply is not None
                assert (reply.status, reply.json["id"]) == (200, "a")
        await wire.close()


async def test_a_body_behind_a_question_for_another_protocol_is_never_another_request(serve: Serve) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        inner = request("GET", "/v2/health/live")
        outer = request("POST", INFER, inner, connection="upgrade", upgrade="h2c")
        wire.send(outer[: -len(inner)])
        await when(lambda: server.listener.peers.open and not server.listener.peers.idle)
        wire.send(inner)
        wire.writer.write_eof()
        reply = await wire.reply()
        assert reply is not None
        assert "no JSON" in reply.error
        assert await wire.reply() is None
        await wire.close()


async def test_a_path_that_is_none_is_told_so_behind_requests_that_were_answered(serve: Serve) -> None:
    async with serve() as server:
        wire = await Wire.to(server.port)
        assert (await wire.ask("GET", "/v2")).status == 200
        assert "no HTTP/1.1 request" in (await wire.ask("GET", "http://")).error
        assert await wire.reply() is None
        await wire.close()
