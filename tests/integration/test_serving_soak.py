"""`headway serve` for half an hour at four fifths of what it can do: no request fails, and it is as large as it was.

HEADWAY_SOAK_SECONDS is another time than half an hour, for a try.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from attackers import Arrivals, Good
from held_things import Use, used_by
from served import bundle
from server_process import PATIENCE, ServerProcess, serving
from wire_client import ask

SECONDS = float(os.environ.get("HEADWAY_SOAK_SECONDS", "1800"))
RESTART_SECONDS = min(60.0, SECONDS / 4)
"""From one restart to the next."""
SHARE = 0.8
ROWS = 300
"""So many that the server has more to do for a request than its client."""
INFER = "/v2/models/churn/infer"
TOWNS = ["Kobe", "Łódź", ""]
BODY = json.dumps(
    {
        "inputs": [
            {"name": "size", "shape": [ROWS, 1], "datatype": "FP64", "data": [at / 7 for at in range(ROWS)]},
            {"name": "town", "shape": [ROWS, 1], "datatype": "BYTES", "data": [TOWNS[at % 3] for at in range(ROWS)]},
        ]
    }
).encode()
MOST_GROWTH_MIB = 6
AT_ONCE = 48
"""Requests that wait for their answer at most: where a machine has other things to do for a while, fewer are sent."""
# For such a while, too.
WORDS = ("--queue-milliseconds=30000", "--timeout-seconds=30")
pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(2 * SECONDS + 600)]


async def _capacity(server: ServerProcess) -> float:
    """Requests a second that it answers to clients that ask without a pause."""
    clients = [Good(server.port, INFER, BODY) for _ in range(8)]
    running = [asyncio.create_task(one.run()) for one in clients]
    await asyncio.sleep(5)
    for one in clients:
        one.going = False
    await asyncio.gather(*running)
    assert {status for one in clients for status in one.statuses} == {200}
    return sum(len(one.seconds) for one in clients) / 5


async def test_at_four_fifths_of_what_it_can_do_no_request_fails_and_it_does_not_grow(tmp_path: Path) -> None:
    with serving(bundle(tmp_path), *WORDS, "--drain-seconds=0") as server:
        rate = SHARE * await _capacity(server)
        crowd = Arrivals(lambda: server.port, INFER, BODY, AT_ONCE)
        running = asyncio.create_task(crowd.run(rate, SECONDS))
        sizes: list[float] = []
        used: list[Use] = []
        while not running.done():
            sizes.append(server.resident_mib())
            used.append(used_by(server.process.pid))
            await asyncio.wait([running], timeout=SECONDS / 200)
        await running
    tenth = len(sizes) // 10
    early, late = np.median(sizes[tenth : 3 * tenth]), np.median(sizes[-2 * tenth :])
    threads, files = ([one[at] for one in used] for at in (0, 1))
    print(f"{rate:.0f} requests/s, {early:.1f} -> {late:.1f} MiB, {used[tenth]} -> {used[-1]}, {_told(crowd)}")
    assert set(crowd.statuses) == {200}, crowd.statuses
    assert len(crowd.seconds) > 0.25 * rate * SECONDS
    assert late - early < MOST_GROWTH_MIB, sizes
    assert max(threads[-2 * tenth :]) <= max(threads[: 3 * tenth]), threads
    # A connection for each request that waits: where the machine stops for a while, all of them do.
    assert max(files[-2 * tenth :]) <= min(files[: 3 * tenth]) + AT_ONCE, files


def _told(crowd: Arrivals) -> str:
    slow = np.percentile(crowd.seconds, 99)
    return f"{len(crowd.seconds)} answered, {crowd.left_out} left out, p99 {slow:.3f} s"


@dataclass
class Fleet:
    """Servers, of which clients know those that said a moment ago that they are ready, as by a Service's endpoints."""

    start: Callable[[], AbstractContextManager[ServerProcess]]
    ready: list[int]
    """Ports."""
    running: list[tuple[AbstractContextManager[ServerProcess], ServerProcess]]
    restarts: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when no more are to be replaced."""

    async def add(self) -> None:
        """One more."""
        manager = self.start()
        self.running.append((manager, await asyncio.to_thread(manager.__enter__)))

    async def look(self) -> None:
        """Ask each whether it is ready, again and again."""
        while True:
            # One may come or go while they are asked.
            self.ready = [server.port for _, server in list(self.running) if await _is_ready(server)]
            await asyncio.sleep(0.2)

    async def restart(self) -> None:
        """The oldest goes as a cluster ends it, and a new one comes, again and again."""
        while not self.enough.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.enough.wait(), RESTART_SECONDS)
                return
            await self.add()
            async with asyncio.timeout(PATIENCE):
                while self.running[-1][1].port not in self.ready:  # noqa: ASYNC110 - what `look` finds
                    await asyncio.sleep(0.05)
            manager, server = self.running[0]
            server.terminate()
            await asyncio.to_thread(server.process.wait, PATIENCE)
            del self.running[0]
            await asyncio.to_thread(manager.__exit__, None, None, None)
            self.restarts += 1


async def _is_ready(server: ServerProcess) -> bool:
    try:
        return (await ask(server.admin_port, "GET", "/v2/health/ready")).status == 200
    except (OSError, AssertionError):
        return False


async def test_servers_that_are_replaced_under_load_lose_no_request_of_clients_that_send_none_twice(
    tmp_path: Path,
) -> None:
    folder = bundle(tmp_path)
    fleet = Fleet(lambda: serving(folder, *WORDS, "--drain-seconds=4"), [], [])
    for _ in range(2):
        await fleet.add()
    looking = asyncio.create_task(fleet.look())
    async with asyncio.timeout(PATIENCE):
        while len(fleet.ready) < 2:  # noqa: ASYNC110 - what `look` finds
            await asyncio.sleep(0.05)
    rate = SHARE * await _capacity(fleet.running[0][1])
    turn = itertools.count()
    crowd = Arrivals(lambda: fleet.ready[next(turn) % len(fleet.ready)], INFER, BODY, AT_ONCE)
    restarting = asyncio.create_task(fleet.restart())
    try:
        await crowd.run(rate, SECONDS)
    finally:
        fleet.enough.set()
        await restarting
        looking.cancel()
        for manager, _ in fleet.running:
            await asyncio.to_thread(manager.__exit__, None, None, None)
    print(f"{rate:.0f} requests/s, {fleet.restarts} restarts, {_told(crowd)}")
    assert set(crowd.statuses) == {200}, crowd.statuses
    assert len(crowd.seconds) > 0.25 * rate * SECONDS
    assert fleet.restarts >= SECONDS // (RESTART_SECONDS + 15)
