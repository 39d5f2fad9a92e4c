"""When queries are asked: each at its interval, one question at a time, whatever comes of it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from headway_api import rollout_wire as wire
from headway_server.judge.asking import Asker
from headway_server.judge.metrics import Metrics
from headway_server.judge.prometheus import NoValue
from headway_server.judge.rollout import Judge
from rollouts import route

from .test_queries import BAD, gate

SLOW = gate(name="slow", interval_seconds=60)


class World:
    """A judge with two queries, and a Prometheus that says what a test wants."""

    def __init__(self) -> None:
        self.now = 0.0
        self.judge, self.metrics = Judge(), Metrics()
        self.asked: list[str] = []
        self.value: float | Exception = 1.0
        self.held: asyncio.Event | None = None
        self.urgent = 0
        self.asker = Asker(self.judge, self.metrics, Path("/s"), lambda: self.now, urgent=self.was_urgent, ask=self.ask)
        self.route(1)

    def route(self, epoch: int, *gates: wire.QueryGate, share: float = 0.1) -> None:
        told = route(epoch, share, queries=list(gates) or [gate(), SLOW])
        self.judge.read({wire.KEY_ROUTE: told.model_dump_json()}, self.now)

    def was_urgent(self) -> None:
        self.urgent += 1

    async def ask(self, one: wire.QueryGate, secrets: Path) -> float:
        assert secrets == Path("/s")
        self.asked.append(one.name)
        if self.held is not None and one.name == "slow":
            await self.held.wait()
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    async def look(self, seconds: float = 0.0) -> list[str]:
        """What is asked after so long; all answers that can come have come."""
        self.now += seconds
        before = len(self.asked)
        begun = self.asker.look()
        if begun:
            await asyncio.wait(begun, timeout=0 if self.held is not None else None)
            await asyncio.sleep(0)
        return self.asked[before:]

    def count(self, result: str) -> float | None:
        return self.metrics.registry.get_sample_value("headway_judge_queries_total", {"result": result})


async def test_each_query_is_asked_at_its_interval() -> None:
    world = World()
    assert await world.look() == ["revenue", "slow"]
    assert await world.look(29.0) == []
    assert await world.look(1.0) == ["revenue"]
    assert await world.look(30.0) == ["revenue", "slow"]
    assert world.count("value") == 5


async def test_a_query_that_was_changed_is_asked_at_once_and_one_that_is_gone_never() -> None:
    world = World()
    await world.look()
    world.route(2, gate(min=0.5))
    assert await world.look(1.0) == ["revenue"]
    assert await world.look(60.0) == ["revenue"]
    world.route(3, share=0.0)
    assert await world.look(60.0) == []


async def test_one_that_does_not_answer_keeps_no_other_waiting_and_is_not_asked_twice() -> None:
    world = World()
    world.held = asyncio.Event()
    assert await world.look() == ["revenue", "slow"]
    assert await world.look(60.0) == ["revenue"]
    world.held.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.held = None
    assert await world.look(60.0) == ["revenue", "slow"]


@pytest.mark.parametrize("error", [NoValue("no series"), RuntimeError("a fault of ours")])
async def test_no_value_is_told_and_counted_whatever_was_the_matter(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.value = error
    await world.look()
    assert world.count("none") == 2
    assert world.judge.verdict is not None
    ours = isinstance(error, NoValue)
    assert ("no series" if ours else "the judge's log says why") in world.judge.verdict.queries
    assert bool(caplog.records) is not ours


async def test_a_failure_is_written_at_once() -> None:
    world = World()
    world.value = BAD
    for _ in range(3):
        await world.look(30.0)
    assert world.judge.verdict is not None
    assert world.judge.verdict.verdict == "fail"
    assert world.urgent > 0


async def test_it_ends_with_its_questions_when_it_is_told_to() -> None:
    world = World()
    world.held = asyncio.Event()
    task = asyncio.create_task(world.asker.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.asked == ["revenue", "slow"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    others = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    await asyncio.wait(others, timeout=1) if others else None
    assert all(one.done() for one in others)
