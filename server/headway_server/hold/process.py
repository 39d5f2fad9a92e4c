"""The life of the holder's process: it holds requests, tells the judge of them, and hands them over, until SIGTERM."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from headway_server.hold.app import Admin, App, look
from headway_server.hold.holding import Holding
from headway_server.http.limits import ADMIN_LIMITS, MIB, HttpLimits
from headway_server.http.listener import Listener
from headway_server.split.client import Client
from headway_server.split.judging import Judging
from headway_server.split.reporter import Reporter
from headway_server.split.state import State

MOST_ANSWER_BYTES = 256 * MIB


@dataclass(frozen=True)
class HoldSettings:
    """What is held, for whom."""

    name: str
    """What clients call the model."""
    server: tuple[str, int]
    """Where servers answer, once there are any: a Service that leads to them."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 8080
    """For requests; 0 for any free one."""
    admin_port: int = 8081
    """For health and metrics; 0 for any free one."""
    hold_seconds: float = 60.0
    """For which a request is held."""
    most_held: int = 1000
    """Requests that are here at once."""
    drain_seconds: float = 10.0
    """For which requests are still taken after SIGTERM, until all who send them know that it ends."""
    http: HttpLimits = field(default_factory=HttpLimits)
    """The data port's bounds."""
    judging: Judging | None = None
    """Who hears that a server is needed; None: whoever reads the metrics."""


async def hold(settings: HoldSettings, *, started: Callable[[int, int], None] = lambda *_: None) -> None:
    """Hold until SIGTERM: requests are taken for a while still, and all that are held are answered.

    started: is told the ports. Raises OSError where a port is taken.
    """
    reporter: Reporter | None = None

    def hurry() -> None:
        if reporter is not None:
            reporter.hurry()

    holding = Holding(
        seconds=settings.hold_seconds, most=settings.most_held, hurry=hurry, look=lambda: look(settings.server)
    )
    client = Client(MOST_ANSWER_BYTES)
    app = App(settings.name, holding, client, settings.server, settings.http)
    data = Listener(app, settings.host, settings.port, settings.http)
    admin = Listener(Admin(holding), settings.host, settings.admin_port, ADMIN_LIMITS)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    try:
        await admin.start()
        await data.start()
        if settings.judging is not None:
            reporter = _reporter(settings.judging, holding)
            await reporter.begin()
        started(data.port, admin.port)
        await asked.wait()
        # It stays ready: of a deployment without any server it may be all that there is until the next one is there.
        await asyncio.sleep(settings.drain_seconds)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        await data.stop(settings.hold_seconds)
        if reporter is not None:
            await reporter.end()
        client.close()
        await admin.stop(0)


def _reporter(judging: Judging, holding: Holding) -> Reporter:
    state = State(
        0,
        judging.deployment_uid,
        secrets.token_hex(16),
        lot=random.random,
        clock=time.monotonic,
        load=holding.load,
        held=lambda: holding.waiting,
    )
    return Reporter(state, judging, lot=random.random, changed=lambda _: None)
