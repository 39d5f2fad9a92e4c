"""The gRPC port: its bounds, how clients are spread over pods, and how it ends without a failed request."""

from __future__ import annotations

import contextlib
import ctypes
import errno

import grpc

from headway_server.grpc.service import Services
from headway_server.service import Service
from headway_server.settings import Settings

CONTROL_CALLS = 8
"""Calls at once beyond those that run the model: health checks, metadata, and those that are told to come later."""
_M_ARENA_MAX = -8
"""The parameter's number in glibc's malloc.h."""
JITTER = 0.1
"""How much of the age of connections gRPC draws, so that not all clients come back at once."""
SETTLE_SECONDS = 4.0
"""How long after SIGTERM new connections may come, until Services and proxies know that the pod is not ready; and, at
the end, for a client to hear that its connection has grown old, and for its requests on the way to arrive."""
LEAST_AGE_SECONDS, MOST_AGE_SECONDS = 5.0, 60.0
_HELD_BODIES = 2
"""gRPC reads a message whole before anybody sees it, and nothing of it is counted until then: the longest message is so
short that all calls at once hold at most so many times what the bodies of REST may hold together."""


class GrpcFront:
    """The port of the settings, on the event loop that runs.

    connection_seconds: the age of connections; by default what the settings' `drain_seconds` leave room for.
    """

    def __init__(self, service: Service, connection_seconds: float | None = None) -> None:
        settings = service.settings
        age = age_seconds(settings.drain_seconds) if connection_seconds is None else connection_seconds
        self.port = settings.grpc_port or 0
        """The port that it listens on, once it does."""
        self._host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._server = grpc.aio.server(options=options(settings, age), maximum_concurrent_rpcs=_calls(settings))
        self._services = Services(service)
        self._server.add_generic_rpc_handlers(self._services.handlers())

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        _share_memory()
        try:
            self.port = self._server.add_insecure_port(f"{self._host}:{self.port}")
        except RuntimeError as error:
            raise OSError(
                errno.EADDRINUSE, f"gRPC cannot listen on {self._host}:{self.port}, which is taken or not of here"
            ) from error
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Send clients elsewhere (GOAWAY), answer what has begun, for at most so many seconds, and close.

        gRPC's Python server drops requests that it has and has not begun with. So no request fails where the server was
        not ready for `drain_seconds` of the settings before this: its connections have then grown old, as `options`
        has it, the clients are elsewhere, and there is nothing to drop.
        """
        await self._server.stop(seconds)
        await self._services.close()


def age_seconds(drain_seconds: float) -> float:
    """After how long a client is told to connect again, so that all have gone when a server has drained."""
    return min(max((drain_seconds - SETTLE_SECONDS) / (1 + JITTER), LEAST_AGE_SECONDS), MOST_AGE_SECONDS)


def most_message_bytes(settings: Settings) -> int:
    """The longest message, also when it is unpacked."""
    http = settings.http
    return min(http.max_request_bytes, _HELD_BODIES * http.max_bytes_in_flight // _calls(settings))


def options(settings: Settings, age: float) -> list[tuple[str, int]]:
    """The bounds of the settings, and the age of connections in seconds, as gRPC's channel arguments."""
    return [
        ("grpc.max_receive_message_length", most_message_bytes(settings)),
        ("grpc.max_allowed_incoming_connections", settings.http.max_connections),
        ("grpc.server_handshake_timeout_ms", _milliseconds(settings.http.header_seconds)),
        ("grpc.max_send_message_length", -1),
        # Not fewer: a client would wait with what is beyond, instead of being told that it is too much.
        ("grpc.max_concurrent_streams", _calls(settings)),
        # A connection stays with one pod as long as it lives: without this, new pods would get no requests.
        ("grpc.max_connection_age_ms", _milliseconds(age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.timeout_seconds + 1)),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.http.idle_seconds)),
        # Clients may ask often whether the connection is alive: gRPC would take offence at less than 5 minutes.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Else a second server gets a part of the connections, silently.
        ("grpc.so_reuseport", 0),
    ]


def _share_memory() -> None:
    """Have the threads that begin from now on take memory from one place.

    gRPC's threads fill what others free: with an arena of glibc's for each, long messages leave several times their
    bytes behind. What has no `mallopt` has no arenas.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _calls(settings: Settings) -> int:
    """That may be there at once."""
    return settings.batching.max_in_flight + CONTROL_CALLS


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
