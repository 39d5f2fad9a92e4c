"""Clients over gRPC are spread over servers, and a server ends, without a request that fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc

from grpc_requests import raw
from grpc_world import served
from headway_server.batching import Limits
from headway_server.grpc.descriptors import INFERENCE
from headway_server.grpc.server import GrpcLimits

CLIENTS, AT_ONCE = 8, 4
MANY = Limits(max_in_flight=1000, max_wait_seconds=60)


class Service:
    """An address whose connections go to one server or another, as a Service's go to ready pods."""

    def __init__(self) -> None:
        self.to = 0
        self.open: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(_copied(reader, back), _copied(there, writer))


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
    limits = GrpcLimits(max_connection_seconds=0.5, longest_seconds=5)
    async with served(tmp_path, limits, MANY) as (_, port), load(port) as made:
        await asyncio.sleep(5)
    assert made.told.keys() == {"answered"}, made.told
    assert made.told["answered"] > CLIENTS


async def test_when_a_server_goes_its_clients_go_to_another_and_no_request_fails(tmp_path: Path) -> None:
    """As in a cluster: a pod that is not ready gets no new connections, those that it has grow old, and it ends."""
    limits = GrpcLimits(max_connection_seconds=1, longest_seconds=5)
    service = Service()
    async with (
        served(tmp_path / "1", limits, MANY) as (first, one),
        served(tmp_path / "2", limits, MANY) as (second, other),
        await asyncio.start_server(service.connected, "127.0.0.1", 0) as listener,
    ):
        service.to = one
        async with load(listener.sockets[0].getsockname()[1]) as made:
            await first.batcher.came.get()
            service.to = other
            await asyncio.sleep(limits.drain_seconds)
            await first.server.stop()
            for _ in range(second.batcher.came.qsize() + 10 * CLIENTS):
                await second.batcher.came.get()
        assert made.told.keys() == {"answered"}, made.told
