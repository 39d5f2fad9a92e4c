"""Ports for servers that a test starts."""

from __future__ import annotations

import random
import socket

_PORTS = range(20_000, 30_000)
"""Above those of Ray's workers, and below those from which the kernel takes one for whoever asks for any.

Between this answer and the server's start lie seconds, in which connections to anything and servers of other tests get
hundreds of ports from the kernel. One of them that is the server's, even one that was closed within the last minute,
and it does not start.
"""
_CHANCE = random.SystemRandom()
"""Not the seeded one: two tests side by side would get the same ports."""


def free_port() -> int:
    """A port that nobody uses, on any address."""
    for _ in range(1000):
        port = _CHANCE.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"of a thousand ports from {_PORTS.start} to {_PORTS.stop - 1} none was free")
