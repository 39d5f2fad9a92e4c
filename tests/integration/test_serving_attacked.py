"""Hostile clients of a real `headway serve`: it answers them with a sentence, goes on, and is as large as before."""

from __future__ import annotations

import asyncio
import random
from itertools import islice
from pathlib import Path

import pytest

from attackers import Told, send_all
from hostile_requests import BODY, COSTLY, INFER, KINDS, costly, hostile
from served import bundle
from server_process import ServerProcess, serving
from wire_client import ask

CLIENTS = 6
WARM = 1000
"""Requests after which the process has all the memory that it works in."""
MOST_GROWTH_MIB = 16
"""Beyond the most before: of 100,000 requests, a leak of 170 bytes each."""


async def _attack(server: ServerProcess, count: int, seed: int) -> Told:
    told = Told()
    draws = [random.Random(f"{seed}/{at}") for at in range(CLIENTS)]  # noqa: S311 - no secret
    await asyncio.gather(*(send_all(server.port, islice(hostile(one), count // CLIENTS), told) for one in draws))
    return told


async def _attacked(folder: Path, count: int) -> None:
    # It is not about overload: on a busy machine a request may wait for the one before it that takes long to refuse.
    with serving(bundle(folder), "--drain-seconds=0", "--queue-milliseconds=60000") as server:
        before = await _attack(server, WARM, seed=0)
        large = 0.0
        for turn in range(4):
            # What takes most, by all clients at once: how much of it is given back is the allocator's business.
            draws = [random.Random(f"{turn}/{at}") for at in range(CLIENTS)]  # noqa: S311 - no secret
            await asyncio.gather(*(send_all(server.port, costly(one, 3), before) for one in draws))
            large = max(large, server.resident_mib())
        told = await _attack(server, count, seed=1)
        right = await ask(server.port, "POST", INFER, BODY)
        metrics = (await ask(server.admin_port, "GET", "/metrics")).body.decode()
        for one in (before, told):
            assert one.faults == [], [(fault, sent.kind, sent.data[:300]) for fault, sent in one.faults[:5]]
        assert server.process.poll() is None
        assert right.status == 200
        assert sum(told.kinds.values()) >= count - CLIENTS
        assert len(told.kinds) >= len({*KINDS, *COSTLY}) - 1
        assert told.statuses[400] > count // 3
        assert {200, 404, 405, 413, 415} <= set(told.statuses)
        assert 'kind="internal"' not in metrics
        assert server.resident_mib() - large < MOST_GROWTH_MIB, (large, server.resident_mib())


async def test_thousands_of_hostile_requests_get_4xx_with_a_sentence_and_leave_the_process_as_large_as_it_was(
    tmp_path: Path,
) -> None:
    await _attacked(tmp_path, 3000)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_100_000_hostile_requests_get_4xx_with_a_sentence_and_leave_the_process_as_large_as_it_was(
    tmp_path: Path,
) -> None:
    await _attacked(tmp_path, 100_000)
