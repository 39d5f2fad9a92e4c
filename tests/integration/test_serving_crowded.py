"""Slow, idle and too many clients of a real `headway serve`: one that behaves is answered all the while, soon."""

from __future__ import annotations

import asyncio
import math
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from attackers import Arrivals, Good, drip
from headway_server.settings import Settings
from hostile_requests import BODY, INFER
from served import bundle, heavy
from server_process import ServerProcess, serving
from wire_client import ask, request

SOON = 5.0
"""Seconds in which whoever behaves is answered, on a machine that has other things to do, too."""
DRIPPERS = 150
"""Of each kind."""
IDLE = 10_000
SETTINGS = Settings(model_dir="")
HEAVY_BODY = b'{"inputs":[{"name":"y","shape":[1,1,1],"datatype":"FP32","data":[2.0]}]}'
HEAVY_INFER = "/v2/models/heavy/infer"


def _answered(good: Good) -> None:
    assert set(good.statuses) == {200}, good.statuses
    assert len(good.seconds) >= 50
    assert max(good.seconds) < SOON, sorted(good.seconds)[-5:]


async def _beside(good: list[Good], attack: asyncio.Task[None]) -> None:
    """Let the good clients ask until the attack is over."""
    running = [asyncio.create_task(one.run()) for one in good]
    try:
        await attack
    finally:
        for one in good:
            one.going = False
    await asyncio.gather(*running)


@pytest.mark.alone
async def test_hundreds_that_send_byte_by_byte_keep_nobody_waiting(tmp_path: Path) -> None:
    found: dict[str, list[int | None]] = {}

    async def attack(port: int) -> None:
        whole = request("POST", INFER, BODY)
        head = f"POST {INFER} HTTP/1.1\r\nhost: test\r\n".encode()
        seconds = SETTINGS.http.header_seconds
        tried = {
            # Headers that would take twice the time that they have, by bytes and by lines.
            "headers": (head + b"a" * 200, 2 * seconds / (len(head) + 200)),
            "many headers": (head + b"a: b\r\n" * 60, 2 * seconds / (len(head) + 360)),
            # All is there before its time is over.
            "body": (whole, 0.8 * seconds / len(whole)),
        }
        # Not all of them are whole at the same moment, which would be too much at once.
        drips = {
            name: [drip(port, data, pause * (1 - 0.3 * at / DRIPPERS)) for at in range(DRIPPERS)]
            for name, (data, pause) in tried.items()
        }
        told = await asyncio.gather(*(asyncio.gather(*one) for one in drips.values()))
        found.update(zip(drips, told, strict=True))

    with serving(bundle(tmp_path), "--drain-seconds=0") as server:
        good = [Good(server.port, INFER, BODY, 0.02), Good(server.admin_port, "/v2/health/live", b"", 0.05)]
        await _beside(good, asyncio.create_task(attack(server.port)))
    for one in good:
        _answered(one)
    for slow in ("headers", "many headers"):
        # What is sent to a connection that is closed by then takes the answer from a client that has not read it yet.
        assert 408 in found[slow]
        assert set(found[slow]) <= {408, None}
    assert set(found["body"]) == {200}


@pytest.fixture
def files() -> Iterator[int]:
    """How many files this process and those that it starts may have open: as many as the machine lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _connected(stack: ExitStack, port: int, count: int, data: bytes) -> None:
    for _ in range(count):
        one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        if data:
            one.sendall(data)


@pytest.mark.alone
@pytest.mark.parametrize("data", [b"", f"POST {INFER} HTTP/1.1\r\nx".encode()], ids=["silent", "half a header"])
async def test_ten_thousand_connections_that_say_nothing_keep_nobody_waiting(
    data: bytes, files: int, tmp_path: Path
) -> None:
    count = min(IDLE, files - 500)
    if count < IDLE:
        print(f"only {count} connections: the limit of open files is {files}")
    assert count > 2 * SETTINGS.http.max_connections
    with serving(bundle(tmp_path), "--drain-seconds=0") as server, ExitStack() as stack:
        before = server.resident_mib()
        good = [
            *(Good(server.port, INFER, BODY, pause) for pause in (0.005, 0.02)),
            Good(server.admin_port, "/v2/health/live", b"", 0.02),
        ]

        async def attack() -> None:
            for _ in range(20):
                await asyncio.to_thread(_connected, stack, server.port, count // 20, data)
                await asyncio.sleep(0.3)

        await _beside(good, asyncio.create_task(attack()))
        # 24 KiB for each connection that it takes.
        assert server.resident_mib() - before < SETTINGS.http.max_connections * 24 / 1024, before
        later = await asyncio.gather(*(ask(server.port, "POST", INFER, BODY) for _ in range(50)))
        assert {one.status for one in later} == {200}
    for one in good:
        _answered(one)


@pytest.mark.alone
@pytest.mark.parametrize("where", ["--inline", "--no-inline"])
async def test_three_times_what_it_can_do_leaves_the_accepted_quick_and_tells_the_others_when_to_come_again(
    where: str, tmp_path: Path
) -> None:
    seconds = 8.0
    with serving(heavy(tmp_path), "--threads=1", "--max-batch-rows=1", where, "--drain-seconds=0") as server:
        full = [Good(server.port, HEAVY_INFER, HEAVY_BODY) for _ in range(8)]
        await _beside(full, asyncio.create_task(asyncio.sleep(3)))
        capacity = sum(len(one.seconds) for one in full) / 3
        before = await _times(server)
        crowd = Arrivals(lambda: server.port, HEAVY_INFER, HEAVY_BODY)
        probes = Good(server.admin_port, "/v2/health/live", b"", 0.05)
        await _beside([probes], asyncio.create_task(crowd.run(3 * capacity, seconds)))
        after = await _times(server)
    assert set(crowd.statuses) == {200, 503}, crowd.statuses
    assert crowd.without_retry_after == 0
    # What it could do, it did, about: refusing costs little.
    assert crowd.statuses[200] > 0.3 * capacity * seconds, (crowd.statuses, capacity)
    assert crowd.statuses[503] > 0.8 * capacity * seconds, (crowd.statuses, capacity)
    # Who is taken waits for --queue-milliseconds at most, then runs. By the server's own count, as on two cores the
    # clients wait for themselves, too.
    bound = SETTINGS.batching.max_wait_seconds + 0.5
    assert bound + 8 / capacity < 1.5
    within = _within(after, bound) - _within(before, bound)
    assert within > 0.99 * (_within(after, math.inf) - _within(before, math.inf)), after
    _answered(probes)


async def _times(server: ServerProcess) -> str:
    """What the server counts of the requests that it answered."""
    text = (await ask(server.admin_port, "GET", "/metrics")).body.decode()
    return "\n".join(line for line in text.splitlines() if "request_seconds_bucket" in line and '"rest"' in line)


def _within(times: str, seconds: float) -> float:
    """How many were answered in so many."""
    (line,) = (one for one in times.splitlines() if float(re.findall(r'le="([^"]+)"', one)[0]) == seconds)
    return float(line.rpartition(" ")[2])
