"""Real servers and a real judge: how many requests are in flight is what the judge writes for the operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headway_api.rollout_wire import Load as Word
from headway_api.rollout_wire import Route
from stub_judge import UID, judged
from wire_client import PATIENCE, ask

from .split_world import Load, serving
from .test_judged_rollouts import Judge

WAITS = ("--max-delay-milliseconds=250", "--queue-milliseconds=2000", "--max-batch-rows=64")
"""Each request waits for so long, whatever the machine does: so many are in flight as there are clients."""


async def told(folder: Path, holds: Callable[[Word], bool]) -> Word:
    """The judge's word, once it is as it should be."""
    until, word = time.monotonic() + 2 * PATIENCE, Word()
    while time.monotonic() < until:
        file = folder / "verdict.json.load"
        word = Word.model_validate_json(file.read_text()) if file.exists() else word
        if holds(word):
            return word
        await asyncio.sleep(0.2)
    raise AssertionError(f"the judge says {word}")


def in_flight(word: Word, version: int = 1) -> tuple[int, float]:
    """Servers that are heard, and requests in all of them."""
    of = word.of(version)
    return (of.servers, of.in_flight) if of is not None else (0, 0.0)


async def course(folder: Path) -> None:
    (folder / "route.json").write_text(Route(uid=UID).model_dump_json())
    judge = Judge(folder, more=("--load",))
    judged(folder, 1)  # which makes the token
    await judge.start()
    words = judged(folder, judge.port)
    try:
        async with serving(folder / "1", 1, *words, *WAITS) as one, serving(folder / "2", 1, *words, *WAITS) as two:
            await told(folder, lambda word: in_flight(word) == (2, 0.0))
            for server in (one, two):
                for port, path in ((server.admin, "/metrics"), (server.port, "/v2/health/ready")):
                    assert (await ask(port, "GET", path)).status == 200
            quiet = await told(folder, lambda word: word.quiet_seconds >= 8)
            assert in_flight(quiet) == (2, 0.0), "probes and metrics are no requests"
            async with Load(one.port, connections=6), Load(two.port, connections=2):
                busy = await told(folder, lambda word: 7.0 <= in_flight(word)[1] <= 8.5)
                assert (in_flight(busy)[0], busy.quiet_seconds) == (2, 0)
                await judge.kill()
                (folder / "verdict.json.load").unlink()
                await judge.start()
                await told(folder, lambda word: in_flight(word)[0] == 2 and 6.5 <= in_flight(word)[1] <= 8.5)
            await told(folder, lambda word: in_flight(word) == (2, 0.0))
            two.process.terminate()
            await two.process.wait()
            await told(folder, lambda word: in_flight(word) == (1, 0.0))
        await told(folder, lambda word: in_flight(word) == (0, 0.0))
    finally:
        assert await judge.end() == 0


@pytest.mark.long
def test_a_judge_tells_how_many_requests_are_in_flight_and_goes_on_after_it_was_killed(tmp_path: Path) -> None:
    asyncio.run(course(tmp_path))
