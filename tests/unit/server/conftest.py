"""A server of the echo on a port of this machine, on the event loop of the test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from headway_server.http.listener import Listener
from headway_server.model import ServedModel
from headway_server.rest.app import App
from headway_server.service import Service
from headway_server.settings import Settings
from served import bundle


@dataclass(frozen=True)
class Served:
    """A server that takes requests."""

    service: Service
    listener: Listener

    @property
    def port(self) -> int:
        """Where."""
        return self.listener.port


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture(scope="session")
def echo_model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """The echo."""
    return ServedModel.open(str(bundle(tmp_path_factory.mktemp("echo"))))


@pytest.fixture
def serve(echo_model: ServedModel) -> Serve:
    """Makes servers of the echo. Takes fields of Settings."""

    @contextlib.asynccontextmanager
    async def start(*, ready: bool = True, inline: bool = True, **settings: Any) -> AsyncIterator[Served]:
        told = Settings(model_dir="echo", port=0, **settings)
        service = Service(echo_model, told, inline=inline)
        listener = Listener(App(service), told.host, told.port, told.http)
        await listener.start()
        if ready:
            service.begin()
        try:
            yield Served(service, listener)
        finally:
            await listener.stop(0)
            await service.batcher.close()

    return start
