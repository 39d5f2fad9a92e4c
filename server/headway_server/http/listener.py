"""A port: its connections, and how it comes to its end without dropping a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from headway_server.http.limits import HttpLimits
from headway_server.http.protocol import Connection, Peers

_SWEEP_SECONDS = 1.0


class Listener:
    """Serves an ASGI application on one port, on the event loop that runs."""

    def __init__(self, app: Any, host: str, port: int, limits: HttpLimits) -> None:
        self._config = Config(
            app,
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            ws="none",
        )
        # Whoever sends nonsense shall not fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._host, self._wanted, self._limits = host, port, limits
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self.port = port
        """The port that it listens on, once it does."""

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        loop = asyncio.get_running_loop()
        self._config.load()
        self.peers = Peers(self._limits, loop)

        def connection() -> Connection:
            return Connection(self._config, self._state, {}, loop, peers=self.peers)

        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._server = await loop.create_server(connection, self._host, self._wanted, family=family, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweep(loop)

    async def stop(self, seconds: float) -> None:
        """Take no new connection, answer what has begun, for at most so many seconds, and close."""
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.peers.finish()
        for one in list(self.peers.open):
            one.transport.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self.peers.sweep()
        self._sweeping = loop.call_later(_SWEEP_SECONDS, self._sweep, loop)
