"""The gRPC port: its bounds, how clients are spread over pods, and how it ends without a failed request."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from headway_server.grpc.service import Services

CONTROL_CALLS = 16
"""Calls at once beyond those that run the model or are told that there is no room: health checks and metadata."""


JITTER = 0.1
"""How much of the age of connections gRPC draws, so that not all clients come back at once."""
FAREWELL_SECONDS = 1.0
"""How long it takes a client to hear that its connection has grown old, and its requests on the way to arrive."""


class CannotListen(Exception):  # noqa: N818 - what happened
    """The port cannot be had."""


@dataclass(frozen=True)
class GrpcLimits:
    """Bounds on what clients may ask of the port at once."""

    max_message_bytes: int = 16 * 1024 * 1024
    """The longest request, also when it is unpacked."""
    max_in_flight: int = 64
    """Requests that run or wait; that many more are read and told so."""
    max_connection_seconds: float = 15.0
    """After about this time (gRPC draws up to 10 % more or less) a client is told to connect again, and loses nothing.
    A connection stays with one pod as long as it lives: without this new pods would get no requests."""
    idle_seconds: float = 300.0
    """A connection without a request for so long is closed."""
    longest_seconds: float = 10.0
    """How long a request may take, and so how long a connection that ends waits for it."""

    @property
    def drain_seconds(self) -> float:
        """After this time every connection that there was has grown old, and its last requests are here."""
        return self.max_connection_seconds * (1 + JITTER) + FAREWELL_SECONDS

    def options(self) -> list[tuple[str, int]]:
        """The same as gRPC's channel arguments."""
        return [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", self.max_in_flight),
            ("grpc.max_connection_age_ms", _milliseconds(self.max_connection_seconds)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(self.longest_seconds) + 1000),
            ("grpc.max_connection_idle_ms", _milliseconds(self.idle_seconds)),
            # Clients may ask often whether the connection is alive: gRPC would take offence at less than 5 minutes.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # Else a second server gets a part of the connections, silently.
            ("grpc.so_reuseport", 0),
        ]


class GrpcServer:
    """A port that answers for one model, on the event loop that runs."""

    def __init__(self, services: Services, limits: GrpcLimits | None = None) -> None:
        self._limits = limits or GrpcLimits()
        self._server = grpc.aio.server(
            options=self._limits.options(), maximum_concurrent_rpcs=2 * self._limits.max_in_flight + CONTROL_CALLS
        )
        self._server.add_generic_rpc_handlers(services.handlers())

    async def start(self, address: str) -> int:
        """Listen on HOST:PORT; the port, which 0 leaves to the system. Raises CannotListen."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise CannotListen(f"gRPC cannot listen on {address}: the address is taken, or none of here") from error
        await self._server.start()
        return int(port)

    async def stop(self) -> None:
        """Send clients elsewhere (GOAWAY), answer what runs, and close.

        gRPC's Python server drops requests that it has not begun with. So for no request to fail, wait before this:
        until new connections come here no more (in a cluster, some seconds after the pod said that it is not ready),
        and from then for `drain_seconds`. Clients have then gone elsewhere, and there is nothing left to drop.
        """
        await self._server.stop(self._limits.longest_seconds)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
