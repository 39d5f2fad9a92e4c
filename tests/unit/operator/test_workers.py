"""The workers at the queue: failures and their delays, limits, and what is told of faults of our own."""

from __future__ import annotations

import asyncio

import pytest

from headway_operator.engine.keys import Key
from headway_operator.engine.kube import ConflictError, InvalidError, NotFoundError, RetryableError
from headway_operator.engine.metrics import EngineMetrics, MetricSet
from headway_operator.engine.queue import KeyQueue
from headway_operator.engine.store import News
from sim.builders import T0
from sim.fakes import clock
from unit.operator.bodies import workers_on


def key(name: str) -> Key:
    return Key("Tiny", "a", name)


class TestWorkers:
    def test_failures_are_tried_again_after_their_delay(self) -> None:
        seen: list[tuple[str, float]] = []
        outcomes: dict[str, list[Exception | float | None]] = {
            "retry": [RetryableError("429", after=7), None],
            "conflict": [ConflictError("changed"), None],
            "gone": [NotFoundError("no"), NotFoundError("no"), None],
            "bug": [ValueError("bug"), ValueError("bug"), None],
            "again": [T0 + 30, None],
        }
        metrics = MetricSet()

        async def run() -> None:
            now = asyncio.get_running_loop().time

            async def reconcile(key: Key) -> float | None:
                seen.append((key.name, round(now(), 3)))
                outcome = outcomes[key.name].pop(0)
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome

            workers = workers_on(reconcile, limit=4, now=lambda: T0 + now(), metrics=EngineMetrics(metrics))
            for name in outcomes:
                workers.add(News(key(name)))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(60)
            assert workers.depth() == 0
            assert workers.oldest_seconds() == 0
            task.cancel()

        clock.run(run())
        times = {name: [when for which, when in seen if which == name] for name in outcomes}
        backing_off = [0, 0.5, 1.5]
        assert times == {
            "retry": [0, 7],
            "conflict": [0, 0.5],
            "gone": backing_off,
            "bug": backing_off,
            "again": [0, 30],
        }
        text = metrics.text().decode()
        for result, count in {"done": 6, "retry": 1, "conflict": 1, "gone": 2, "bug": 2}.items():
            assert f'headway_reconciles_total{{result="{result}"}} {count}.0' in text

    def test_a_key_that_is_due_while_no_look_can_begin_is_waited_for_without_spinning(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = 0
        next_due = KeyQueue.next_due

        def counted(queue: KeyQueue[Key]) -> float | None:
            nonlocal asked
            asked += 1
            assert asked < 100, "the queue is asked again and again"
            return next_due(queue)

        monkeypatch.setattr(KeyQueue, "next_due", counted)
        seen: list[tuple[str, float]] = []

        async def run() -> None:
            now = asyncio.get_running_loop().time

            async def reconcile(key: Key) -> float | None:
                seen.append((key.name, now()))
                if key.name == "long":
                    await asyncio.sleep(60)
                    return None
                return T0 + 10 if now() < 10 else None

            workers = workers_on(reconcile, limit=1, now=lambda: T0 + now())
            workers.add(News(key("due")))
            workers.add(News(key("long")))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(100)
            assert not task.done(), task.exception()
            task.cancel()

        clock.run(run())
        assert seen == [("due", 0), ("long", 0), ("due", 60)]

    def test_news_of_a_key_that_is_worked_on_are_not_lost(self) -> None:
        looks = 0

        async def run() -> None:
            async def reconcile(key: Key) -> None:
                nonlocal looks
                looks += 1
                if looks == 1:
                    workers.add(News(key))

            workers = workers_on(reconcile, limit=4, now=lambda: T0)
            workers.add(News(key("b")))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(1)
            task.cancel()

        clock.run(run())
        assert looks == 2

    def test_no_more_keys_are_worked_on_at_a_time_than_the_limit(self) -> None:
        at_once = most = done = 0

        async def reconcile(_: Key) -> None:
            nonlocal at_once, most, done
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(1)
            at_once -= 1
            done += 1

        async def run() -> None:
            workers = workers_on(reconcile, limit=3, now=lambda: T0)
            for number in range(20):
                workers.add(News(key(str(number))))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(60)
            task.cancel()

        clock.run(run())
        assert (most, done) == (3, 20)

    def test_what_is_being_done_when_the_process_stops_is_finished(self) -> None:
        done: list[Key] = []

        async def reconcile(key: Key) -> None:
            await asyncio.sleep(2)
            done.append(key)

        async def run() -> None:
            workers = workers_on(reconcile, limit=1, now=lambda: T0)
            workers.add(News(key("first")))
            workers.add(News(key("second")))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(1)
            await workers.finish(5)
            task.cancel()

        clock.run(run())
        assert done == [key("first")]

    def test_a_fault_of_ours_is_told_in_the_object_s_status_within_a_minute(self) -> None:
        told: list[tuple[str, float, str]] = []

        async def run() -> None:
            now = asyncio.get_running_loop().time

            async def reconcile(key: Key) -> None:
                if key.name == "bug":
                    raise TypeError("unhashable")
                if key.name == "ours":
                    raise InvalidError("unknown field")
                raise RetryableError("429")

            async def tell(key: Key, error: BaseException) -> None:
                told.append((key.name, now(), type(error).__name__))
                raise RetryableError("the status cannot be written, either")

            workers = workers_on(reconcile, limit=4, now=lambda: T0 + now(), tell=tell)
            for name in ("bug", "ours", "busy"):
                workers.add(News(key(name)))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(60)
            task.cancel()

        clock.run(run())
        first = {name: when for name, when, _ in reversed(told)}
        assert first == {"bug": 1.5, "ours": 1.5}, "not for what is the API server's"

    def test_news_that_can_wait_are_acted_upon_when_they_are_due_and_not_before(self) -> None:
        seen: list[float] = []

        async def run() -> None:
            now = asyncio.get_running_loop().time

            async def reconcile(_: Key) -> None:
                seen.append(now())

            workers = workers_on(reconcile, now=lambda: T0 + now(), due=lambda news: T0 + 10 if news.can_wait else None)
            task = asyncio.create_task(workers.run())
            for _ in range(5):
                workers.add(News(key("a"), can_wait=True))
                await asyncio.sleep(1)
            await asyncio.sleep(20)
            workers.add(News(key("a")))
            await asyncio.sleep(1)
            task.cancel()

        clock.run(run())
        assert seen == [10, 25]

    def test_news_that_can_wait_and_come_while_the_key_is_worked_on_are_not_lost(self) -> None:
        seen: list[float] = []

        async def run() -> None:
            now = asyncio.get_running_loop().time

            async def reconcile(_: Key) -> None:
                seen.append(now())
                if len(seen) == 1:
                    workers.add(News(key("a"), can_wait=True))

            workers = workers_on(reconcile, now=lambda: T0 + now(), due=lambda news: T0 + 10 if news.can_wait else None)
            workers.add(News(key("a")))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(60)
            task.cancel()

        clock.run(run())
        assert seen == [0, 10]
