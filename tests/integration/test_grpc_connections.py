"""Clients over gRPC are spread over servers, and a server ends, without a request that fails."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import grpc
import pytest

from garbled import garbled
from grpc_requests import Client, labels, raw
from grpc_world import served
from headway_server.batching import Limits
from headway_server.grpc.descriptors import INFERENCE
from headway_server.grpc.server import CONTROL_CALLS, most_message_bytes
from headway_server.settings import Settings
from served import bundle
from server_process import PATIENCE, serving

CLIENTS, AT_ONCE = 8, 4
MANY = Limits(max_in_flight=1000, max_wait_seconds=60)


class Service:
    """An address whose connections go to one server or another, as a Service's go to ready pods."""

    def __init__(self) -> None:
        self.to = 0
        self._open: set[asyncio.Task[None] | None] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(_copied(reader, back), _copied(there, writer))
        for each in (back, writer):
            with suppress(ConnectionError):
                await each.wait_closed()
        self._open.discard(task)

    async def finish(self) -> None:
        """Return when all connections are closed."""
        await asyncio.gather(*(task for task in self._open if task is not None))


async def _copied(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


class Load:
    """Clients that ask without a pause; `told` counts what they got."""

    def __init__(self, port: int) -> None:
        self.told: Counter[str] = Counter()
        self.going = True
        # Else all of them would share one connection.
        own = [("grpc.use_local_subchannel_pool", 1)]
        self.channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=own) for _ in range(CLIENTS)]

    async def ask(self, channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(f"/{INFERENCE}/ModelInfer")
        data = raw().SerializeToString()
        while self.going:
            try:
                await call(data, timeout=60)
                self.told["answered"] += 1
            except grpc.aio.AioRpcError as error:
                self.told[f"{error.code().name}: {error.details()}"] += 1


@asynccontextmanager
async def load(port: int) -> AsyncIterator[Load]:
    """While this is entered, clients ask."""
    made = Load(port)
    asking = [asyncio.ensure_future(made.ask(channel)) for channel in made.channels for _ in range(AT_ONCE)]
    try:
        yield made
    finally:
        made.going = False
        await asyncio.gather(*asking)
        for channel in made.channels:
            await channel.close()


async def test_connections_that_have_grown_old_are_made_anew_without_a_request_that_fails(tmp_path: Path) -> None:
    async with served(tmp_path, connection_seconds=0.5, batching=MANY) as world, load(world.front.port) as made:
        await asyncio.sleep(5)
    assert made.told.keys() == {"answered"}, made.told
    assert made.told["answered"] > CLIENTS


async def test_when_a_server_is_terminated_its_clients_go_to_another_and_no_request_fails(tmp_path: Path) -> None:
    """As in a cluster: the pod is told to end, a moment later a Service sends it no new connections, and those that it
    has grow old before it ends."""
    folder, service = bundle(tmp_path), Service()
    words = ("--drain-seconds", "10", "--max-in-flight", "1000")
    with serving(folder, *words) as first, serving(folder, *words) as second:
        service.to = first.grpc_port
        async with await asyncio.start_server(service.connected, "127.0.0.1", 0) as listener:
            async with load(listener.sockets[0].getsockname()[1]) as made:
                await asyncio.sleep(1)
                first.terminate()
                await asyncio.sleep(1)
                service.to = second.grpc_port
                assert await asyncio.to_thread(first.process.wait, PATIENCE) == 0
                then = made.told["answered"]
                await asyncio.sleep(1)
            await service.finish()
            assert made.told.keys() == {"answered"}, made.told
            assert made.told["answered"] > then > 0


async def test_as_many_of_the_longest_messages_as_are_taken_at_once_do_not_fill_the_memory(tmp_path: Path) -> None:
    with serving(bundle(tmp_path)) as server:
        client = Client(server.grpc_port)
        assert labels(await client.call("ModelInfer", raw())) == ["Kobe"]
        before = resident_bytes(server.process.pid)
        settings = Settings("")
        calls = settings.batching.max_in_flight + CONTROL_CALLS
        message = raw()
        message.raw_input_contents[1] = bytes(most_message_bytes(settings) - 1000)
        data = message.SerializeToString()

        async def told() -> str:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.send("ModelInfer", data)
            return str(caught.value.code().name)

        for _ in range(8):
            assert set(await asyncio.gather(*(told() for _ in range(calls)))) == {"INVALID_ARGUMENT"}
        assert resident_bytes(server.process.pid) - before < 2.5 * calls * len(data)
        await client.channel.close()


@pytest.mark.long
async def test_a_hundred_thousand_garbled_requests_get_a_status_each_and_leave_no_memory(tmp_path: Path) -> None:
    with serving(bundle(tmp_path)) as server:
        client, told = Client(server.grpc_port, retries=True), Counter[str]()
        draws = Random(1)  # noqa: S311 - no secret

        async def ask(count: int) -> None:
            for _ in range(count):
                try:
                    await client.send("ModelInfer", garbled(draws))
                    told["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    told[error.code().name] += 1

        async def many(count: int) -> int:
            await asyncio.gather(*(ask(count // 10) for _ in range(10)))
            return resident_bytes(server.process.pid)

        first = await many(20_000)
        assert await many(80_000) - first < 10 * 2**20
        # Too many rows, and a parameter that gives the request a microsecond.
        assert told.keys() - {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"} == {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}, (
            told
        )
        assert told.total() == 100_000
        assert labels(await client.call("ModelInfer", raw())) == ["Kobe"]
        await client.channel.close()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
