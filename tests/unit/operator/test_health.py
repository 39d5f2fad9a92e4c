"""What tells that this process is stuck, or that its watches show nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.health import BLIND_ROUNDS, diagnosis
from headway_operator.engine.keys import Key
from headway_operator.engine.store import News
from headway_operator.runtime import Operator
from headway_operator.settings import Settings
from sim.fakes import clock
from unit.operator.bodies import workers_on


class TestFreshness:
    def stage(self, *namespaces: str) -> Freshness:
        self.now = 100.0
        self.lags: list[tuple[str, float]] = []
        return Freshness(
            {kube.JOBS: "", kube.PODS: "ours=yes", kube.CONFIG_MAPS: "ours=yes,part=config"},
            now=lambda: self.now,
            namespaces=namespaces,
            lag=lambda resource, seconds: self.lags.append((resource, seconds)),
        )

    @staticmethod
    def body(version: int, namespace: str = "a") -> dict[str, Any]:
        labels = {"ours": "yes", "another": ""}
        return {"metadata": {"namespace": namespace, "resourceVersion": str(version), "labels": labels}}

    def test_a_watch_owes_what_was_written_until_it_shows_that_or_something_later(self) -> None:
        freshness = self.stage()
        freshness.written(kube.PODS, self.body(10))
        self.now += 3
        freshness.written(kube.PODS, self.body(20))
        freshness.shown("pods", self.body(9))
        assert freshness.behind() == {"trainingjobs": 0, "pods": 3, "configmaps": 0}
        freshness.shown("pods", self.body(11, "b"))
        assert freshness.behind()["pods"] == 0
        assert self.lags == [("pods", 3)]

    def test_a_write_that_changed_nothing_is_not_waited_for(self) -> None:
        freshness = self.stage()
        freshness.shown("trainingjobs", self.body(10))
        freshness.written(kube.JOBS, self.body(10))
        self.now += 1000
        assert freshness.behind()["trainingjobs"] == 0

    def test_what_went_again_before_the_watches_first_lists_is_not_waited_for_without_end(self) -> None:
        freshness = self.stage()
        freshness.written(kube.PODS, self.body(10))
        self.now += 2
        freshness.written(kube.JOBS, self.body(11))
        freshness.settle(before=101.0)
        self.now += 10
        assert freshness.behind() == {"trainingjobs": 10, "pods": 0, "configmaps": 0}

    def test_what_nobody_watches_is_not_waited_for(self) -> None:
        freshness = self.stage()
        freshness.written(kube.SECRETS, self.body(10))
        self.now += 1000
        assert set(freshness.behind().values()) == {0}

    def test_what_the_selector_of_a_watch_does_not_find_is_not_waited_for(self) -> None:
        freshness = self.stage()
        freshness.written(kube.CONFIG_MAPS, self.body(10))
        freshness.written(kube.PODS, {"metadata": {"namespace": "a", "resourceVersion": "11"}})
        self.now += 1000
        assert set(freshness.behind().values()) == {0}, "another kind's, or one that has lost its label"
        body = self.body(12)
        body["metadata"]["labels"]["part"] = "config"
        freshness.written(kube.CONFIG_MAPS, body)
        self.now += 7
        assert freshness.behind()["configmaps"] == 7

    def test_where_each_namespace_has_its_watch_each_owes_its_own(self) -> None:
        freshness = self.stage("a", "b")
        freshness.written(kube.PODS, self.body(10))
        self.now += 5
        freshness.shown("pods", self.body(99, "b"))
        assert freshness.behind()["pods"] == 5
        freshness.shown("pods", self.body(99, "a"))
        assert freshness.behind()["pods"] == 0


class TestHealth:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({}, None),
            ({"longest": 181}, "a reconcile has gone on for 181 s"),
            ({"standstill": 181}, "no reconcile has ended for 181 s"),
            ({"behind": {"pods": 181, "configmaps": 2}}, "the watch of pods has not shown this operator's own writes"),
            ({"blind_rounds": {"pods": BLIND_ROUNDS - 1}}, None),
            ({"blind_rounds": {"pods": BLIND_ROUNDS}}, "the watch of pods misses what happens"),
        ],
    )
    def test_what_is_stuck_or_blind_is_named(self, change: dict[str, Any], said: str | None) -> None:
        fine: dict[str, Any] = {
            "limit": 180,
            "longest": 180,
            "standstill": 180,
            "behind": {"pods": 180},
            "blind_rounds": {},
        }
        found = diagnosis(**fine | change)
        assert found is None if said is None else said in (found or "")

    def test_a_process_that_waits_for_the_lease_is_healthy(self) -> None:
        assert Operator(Settings()).wrong() is None

    def test_a_look_without_end_is_seen_and_a_long_queue_that_moves_is_none(self) -> None:
        async def run() -> list[tuple[float, float]]:
            seconds = {"slow": 30.0, "stuck": 1e6}
            kind = ["slow"]
            workers = workers_on(lambda _: asyncio.sleep(seconds[kind[0]]), limit=1)
            for number in range(20):
                workers.add(News(Key("Tiny", "a", str(number))))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(329)
            moving = workers.longest_seconds(), workers.standstill_seconds()
            kind[0] = "stuck"
            await asyncio.sleep(300)
            stuck = workers.longest_seconds(), workers.standstill_seconds()
            task.cancel()
            return [moving, stuck]

        moving, stuck = clock.run(run())
        assert moving == (29, 29)
        assert stuck == (299, 299)
