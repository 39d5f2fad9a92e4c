"""A server of the echo of `served` on a port of this machine, in the event loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from headway_server.batching import Batcher, Limits, Run
from headway_server.grpc.server import GrpcLimits, GrpcServer
from headway_server.grpc.service import Services
from headway_server.model import Array, ServedModel, Tensors
from served import bundle


class Noting(Batcher):
    """Notes what comes, and when all that a test waits for is there."""

    def __init__(self, run: Run, limits: Limits) -> None:
        super().__init__(run, limits)
        self.came: asyncio.Queue[asyncio.Future[dict[str, Array]]] = asyncio.Queue()

    def submit(self, feeds: Tensors, rows: int, deadline: float | None = None) -> asyncio.Future[dict[str, Array]]:
        future = super().submit(feeds, rows, deadline)
        self.came.put_nowait(future)
        return future


class World:
    """A server of the echo on a port of this machine. `ready` is what it says of itself."""

    def __init__(self, folder: Path, limits: GrpcLimits, batches: Limits) -> None:
        self.model = ServedModel.open(str(bundle(folder)))
        self.ready = True
        self.batcher = Noting(self.run, batches)
        self.rows: list[int] = []
        self.services = Services(
            self.model,
            self.batcher,
            ready=lambda: self.ready,
            longest_seconds=limits.longest_seconds,
            most_rows=1000,
            version="0.1",
        )
        self.server = GrpcServer(self.services, limits)
        self.failure: Exception | None = None

    def run(self, feeds: Tensors) -> dict[str, Array]:
        if self.failure:
            raise self.failure
        self.rows.append(len(feeds["size"]))
        return self.model.run(feeds)


@asynccontextmanager
async def served(
    folder: Path, limits: GrpcLimits | None = None, batches: Limits | None = None
) -> AsyncIterator[tuple[World, int]]:
    """A server, and its port."""
    world = World(folder, limits or GrpcLimits(longest_seconds=5), batches or Limits(max_wait_seconds=60))
    port = await world.server.start("127.0.0.1:0")
    try:
        yield world, port
    finally:
        await world.server.stop()
