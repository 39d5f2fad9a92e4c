"""What one port takes of its clients. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class HttpLimits:
    """The bounds of a port."""

    max_request_bytes: int = 16 * MIB
    """Of a body, also after it is decompressed."""
    max_bytes_in_flight: int = 64 * MIB
    """Of all bodies that are being read and answered; and, apart from these, of answers that clients do not take."""
    max_connections: int = 2048
    """Beyond, those go that have been idle for over a second, then those whose requests have been arriving for as long,
    then any idle ones, each time the one that has been so for longest; where there are none, the newest is refused."""
    max_connections_of_one: int | None = None
    """From one address; None: as many as there may be. Beyond, the newest is refused."""
    max_header_bytes: int = 32 * 1024
    """Of a request's line and its headers."""
    max_headers: int = 100
    """Headers of a request."""
    header_seconds: float = 10.0
    """For a request's headers to arrive."""
    body_seconds: float = 30.0
    """For a whole request to arrive, and for an answer to be taken."""
    idle_seconds: float = 75.0
    """For which a connection is kept without a request: longer than load balancers keep theirs, as a rule."""


ADMIN_LIMITS = HttpLimits(
    max_request_bytes=1024,
    max_bytes_in_flight=MIB,
    max_connections=64,
    max_connections_of_one=8,
    header_seconds=3.0,
    body_seconds=3.0,
    idle_seconds=10.0,
)
"""Of a port for probes and Prometheus that is open to all pods, as Prometheus may be any: one of them that takes all
connections would have the judge taken for dead; or the holder, which would lose all that it holds."""
