"""The judge's exchanges with its store: one at a time, whatever comes of them, the last one at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import pytest

from headway_api import rollout_wire as wire
from headway_server.judge.gates import Counts
from headway_server.judge.metrics import Metrics
from headway_server.judge.process import MOST_PAUSE_SECONDS, READ_SECONDS, Writer
from headway_server.judge.rollout import Judge
from rollouts import counts, report, route


class Store:
    """A ConfigMap in memory, which may be out of order."""

    def __init__(self) -> None:
        self.data = {wire.KEY_ROUTE: route().model_dump_json()}
        self.calls: list[dict[str, str]] = []
        self.refuses: Callable[[Mapping[str, str]], bool] = lambda _: False
        self.then: Callable[[], None] = lambda: None

    def exchange(self, data: Mapping[str, str]) -> dict[str, str]:
        self.calls.append(dict(data))
        if self.refuses(data):
            raise OSError("api: answers 503: not now")
        self.data.update(data)
        self.then()
        return dict(self.data)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def verdict(self) -> wire.Verdict:
        return wire.Verdict.model_validate_json(self.data[wire.KEY_VERDICT])


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.judge, self.store, self.metrics = Judge(), Store(), Metrics()
        self.writer = Writer(self.judge, self.store, self.metrics, lambda: self.now)

    async def exchange(self, seconds: float = 1.0) -> None:
        await self.writer.exchange()
        self.now += seconds

    def report(self, candidate: Counts) -> None:
        self.judge.take(report(counts(stable=Counts(900), candidate=candidate)), self.now)

    def exchanges(self, result: str) -> float | None:
        return self.metrics.registry.get_sample_value("headway_judge_exchanges_total", {"result": result})


@pytest.fixture
def world() -> World:
    return World()


async def test_the_route_is_read_first_and_the_verdict_written_then(world: World) -> None:
    await world.exchange()
    assert world.store.calls == [{}]
    await world.exchange()
    assert world.store.verdict.verdict == "open"
    await world.exchange()
    assert world.store.calls[2] == {}


async def test_while_the_api_server_is_away_it_goes_on_and_asks_less_often_and_says_so_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await world.exchange()
    await world.exchange()
    world.store.refuses = lambda _: True
    pauses = []
    for _ in range(6):
        await world.exchange()
        pauses.append(world.writer.pause)
    assert pauses == [2.0, 4.0, *[MOST_PAUSE_SECONDS] * 4]
    world.report(Counts(100, 60))
    assert wire.Reply.model_validate_json(world.judge.take(report(), world.now)).route == route(share=0.0)
    world.store.refuses = lambda _: False
    await world.exchange()
    assert world.store.verdict.verdict == "fail"
    assert world.writer.pause == READ_SECONDS
    assert world.exchanges("failed") == 6
    told = [record.getMessage() for record in caplog.records]
    assert sum("tried again: api: answers 503" in words for words in told) == 1
    assert sum("after 6 failures" in words for words in told) == 1
    assert sum("version 3: fail: errors against stable" in words for words in told) == 1


async def test_where_the_verdict_alone_is_refused_the_route_is_read_still(world: World) -> None:
    await world.exchange()
    world.store.refuses = bool
    world.store.data[wire.KEY_ROUTE] = route(2, 0.25).model_dump_json()
    await world.exchange()
    assert world.store.calls[1:] == [world.store.calls[1], {}]
    assert wire.KEY_VERDICT in world.store.calls[1]
    assert world.judge.route == route(2, 0.25)


async def test_a_route_that_cannot_be_read_is_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world.store.data[wire.KEY_ROUTE] = "nonsense"
    for _ in range(3):
        await world.exchange()
    world.store.data[wire.KEY_ROUTE] = route().model_dump_json()
    await world.exchange()
    told = [record.getMessage() for record in caplog.records]
    assert len([words for words in told if "route.json is no route" in words]) == 1
    assert told[-1] == "the route can be read again"


async def test_what_is_urgent_hurries_the_next_exchange_and_the_end_is_written(world: World) -> None:
    ended = asyncio.Event()
    seen: list[str] = []

    def then() -> None:
        """On each exchange, in a thread."""
        if wire.KEY_VERDICT in world.store.data:
            seen.append(world.store.verdict.verdict)
        if seen == ["open"]:
            loop.call_soon_threadsafe(fail)
        elif seen[-1:] == ["fail"]:
            loop.call_soon_threadsafe(end)

    def fail() -> None:
        world.now += 1.0
        world.report(Counts(100, 60))
        assert world.judge.urgent
        world.writer.urgent.set()

    def end() -> None:
        world.report(Counts(101, 61))
        ended.set()

    loop = asyncio.get_running_loop()
    world.store.then = then
    await world.exchange()
    async with asyncio.timeout(30):
        await world.writer.run(ended)
    assert seen[:2] == ["open", "fail"]
    assert world.store.verdict.candidate_requests == 101
