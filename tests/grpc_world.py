"""A server of the echo of `served` on a port of this machine, in the event loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headway_server.grpc.server import GrpcFront
from headway_server.model import Array, ServedModel, Tensors
from headway_server.service import Service
from headway_server.settings import Settings
from served import bundle


class Noting(Service):
    """Notes what comes."""

    def __init__(self, model: ServedModel, settings: Settings) -> None:
        super().__init__(model, settings, inline=True)
        self.came: asyncio.Queue[asyncio.Future[dict[str, Array]]] = asyncio.Queue()

    def submit(self, feeds: Tensors, rows: int, timeout: float | None = None) -> asyncio.Future[dict[str, Array]]:
        future = super().submit(feeds, rows, timeout)
        self.came.put_nowait(future)
        return future


class World:
    """A server that has begun; `failure`: what its model raises from now on; `rows`: of each run."""

    def __init__(self, settings: Settings, connection_seconds: float | None) -> None:
        model = ServedModel.open(settings.model_dir)
        self.failure: Exception | None = None
        self.rows: list[int] = []
        self._run = model.run
        model.run = self.run  # type: ignore[method-assign]  # so that a test sees what is run
        self.service = Noting(model, settings)
        self.front = GrpcFront(self.service, connection_seconds)
        self.service.begin()

    def run(self, feeds: Tensors) -> dict[str, Array]:
        if self.failure:
            raise self.failure
        self.rows.append(len(feeds["size"]))
        return self._run(feeds)


@asynccontextmanager
async def served(folder: Path, *, connection_seconds: float | None = None, **told: Any) -> AsyncIterator[World]:
    """told: settings."""
    settings = Settings(str(bundle(folder)), grpc_port=0, **told)
    world = World(settings, connection_seconds)
    await world.front.start()
    try:
        yield world
    finally:
        await world.front.stop(settings.timeout_seconds)
