"""The comparison with what exists: the seed, ghosts, blind watches and late ones, and namespaces that are gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.comparison import Comparison
from headway_operator.engine.freshness import Freshness
from headway_operator.engine.health import diagnosis
from headway_operator.engine.keys import Key
from headway_operator.engine.kube import DeniedError, Resource
from headway_operator.engine.store import News, Store
from sim.builders import T0, document
from sim.fakes.api import ApiServer, Event, FakeKube
from unit.operator.bodies import training_jobs


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is under way in these tests but what they say."""
    monkeypatch.setattr("headway_operator.engine.comparison.PATIENCE_SECONDS", 0)


class Denying(FakeKube):
    """An API server that lets nobody into some namespaces."""

    denied: frozenset[str | None] = frozenset()

    def pages(self, resource: Resource, namespace: str | None, **selectors: Any) -> Any:
        if namespace in self.denied:
            raise DeniedError(f'{resource.plural} is forbidden in the namespace "{namespace}"')
        return super().pages(resource, namespace, **selectors)


class Site:
    """An API server with eight jobs, and an operator that has compared itself with it once."""

    def __init__(self, *namespaces: str) -> None:
        self.server, self.added = ApiServer(lambda: T0), list[Key]()
        for number in range(7):
            self.server.create(kube.JOBS, "default", document(f"job-{number}"))
        self.server.create(kube.JOBS, "other", document("job-0", "other"))
        self.api = Denying(self.server)
        self.namespaces = namespaces
        self.start()

    def start(self) -> None:
        """A process begins."""
        self.store = Store((training_jobs(),))
        self.freshness = Freshness(
            self.store.resources(), now=lambda: T0, namespaces=self.namespaces, lag=lambda _, __: None
        )
        self.comparison = Comparison(
            self.api, self.store, self.freshness, add=self.add, namespaces=self.namespaces, now=lambda: T0
        )
        asyncio.run(self.comparison.seed())
        self.server.events.clear()

    def add(self, news: News) -> None:
        self.added.append(news.key)

    def show(self, event: Event) -> None:
        """A watch shows an event."""
        resource = next(each for each in self.store.resources() if each.plural == event.resource)
        self.freshness.shown(event.resource, event.body)
        self.store.see(resource, event.type, event.body, T0)  # type: ignore[arg-type]

    def compare(self) -> int:
        """Compare; for how many rounds in a row the watch of jobs has missed something."""
        self.added.clear()
        asyncio.run(self.comparison.compare())
        return self.comparison.blind_rounds["trainingjobs"]


def job(name: str, namespace: str = "default") -> Key:
    return Key("TrainingJob", namespace, name)


def test_the_seed_reads_all_pages_and_has_every_job_reconciled() -> None:
    site = Site()
    assert len(site.store.owners()) == len(site.added) == 8


def test_only_the_namespaces_that_are_watched_are_read() -> None:
    assert Site("other").added == [job("job-0", "other")]


def test_what_the_watch_has_not_shown_is_taken_in() -> None:
    site = Site()
    assert (site.compare(), site.added) == (0, [])
    site.server.remove(kube.JOBS, "job-1")
    site.server.change(kube.JOBS, "job-2", lambda job: job["spec"].update(suspend=True))
    site.server.create(kube.JOBS, "default", document("new"))
    site.compare()
    assert sorted(site.added) == [job("job-1"), job("job-2"), job("new")]
    assert site.store.owner(job("job-1")) is None


def test_what_is_known_by_our_own_write_alone_is_still_to_be_shown_and_what_has_gone_is_not() -> None:
    """Else a watch that shows nothing any more would be called well, as long as nobody but us writes."""
    site = Site()
    made = site.server.create(kube.JOBS, "default", document("written"))
    site.store.see(kube.JOBS, None, made, T0)
    site.freshness.written(kube.JOBS, made)
    site.compare()
    assert owed(site) == ["trainingjobs"]
    site.server.remove(kube.JOBS, "written")
    for _ in range(2):  # once to find that it has gone, and once with nothing to be found
        site.compare()
    assert owed(site) == []


def owed(site: Site) -> list[str]:
    """The watches that have yet to show a write of ours."""
    return [resource for (resource, _) in site.freshness._owed]


def test_more_time_is_left_to_other_work_than_a_comparison_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So thousands of objects hold up nothing: each page takes a second here."""
    site, passed, rested = Site(), [0.0], list[float]()

    class Time:
        """In place of asyncio: its clock, and the time that is slept."""

        @staticmethod
        def get_running_loop() -> type[Time]:
            return Time

        @staticmethod
        def time() -> float:
            passed[0] += 1.0
            return passed[0]

        @staticmethod
        async def sleep(seconds: float) -> None:
            rested.append(seconds)

    monkeypatch.setattr("headway_operator.engine.comparison.asyncio", Time)
    site.compare()
    pages = len(rested)
    assert pages >= len(site.store.resources())
    assert rested == [3.0] * pages


def test_a_watch_that_has_gone_on_without_a_change_has_missed_it() -> None:
    site = Site()
    site.server.change(kube.JOBS, "job-2", lambda job: job["spec"].update(suspend=True))
    site.server.change(kube.JOBS, "job-3", lambda job: job["spec"].update(suspend=True))
    site.show(site.server.events[-1])
    assert (site.compare(), site.comparison.missed["trainingjobs"]) == (1, 1)
    assert site.compare() == 0


def test_a_watch_that_shows_nothing_is_blind_and_one_that_is_late_is_not() -> None:
    blind, late = Site(), Site()
    rounds: dict[str, list[int]] = {"blind": [], "late": []}
    shown = 0
    for _ in range(4):
        for site in (blind, late):
            for number in range(3):
                site.server.change(kube.JOBS, f"job-{number}", lambda job: job["spec"].update(seed=len(rounds["late"])))
        # The late one is always some changes behind.
        for event in late.server.events[shown : len(late.server.events) - 2]:
            late.show(event)
        shown = len(late.server.events) - 2
        rounds["blind"].append(blind.compare())
        rounds["late"].append(late.compare())
    assert rounds["late"] == [0, 0, 0, 0]
    assert rounds["blind"] == [0, 1, 2, 3]
    fine: dict[str, Any] = {"limit": 180, "longest": 0, "standstill": 0, "behind": {}}
    assert diagnosis(**fine, blind_rounds=late.comparison.blind_rounds) is None
    assert "trainingjobs" in (diagnosis(**fine, blind_rounds=blind.comparison.blind_rounds) or "")


def test_what_was_written_and_went_in_a_gap_of_a_watch_is_owed_no_more_once_both_agree() -> None:
    site = Site()
    site.freshness.written(kube.JOBS, {"metadata": {"resourceVersion": str(site.server.version() + 1)}})
    made = site.server.create(kube.JOBS, "default", document("brief"))
    site.server.remove(kube.JOBS, made["metadata"]["name"])
    site.freshness._now = lambda: T0 + 500
    assert site.freshness.behind()["trainingjobs"] == 500
    site.compare()
    assert site.freshness.behind()["trainingjobs"] == 0


def test_a_comparison_costs_three_lists_where_nothing_was_missed() -> None:
    site = Site()
    site.api.calls.clear()
    site.compare()
    assert [call.verb for call in site.api.calls] == ["list"] * 3


class TestLostNamespaces:
    def test_one_of_several_is_a_warning_and_the_others_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        site = Site("default", "other")
        site.api.denied = frozenset({"other"})
        site.server.create(kube.JOBS, "default", document("new"))
        with caplog.at_level(logging.WARNING, logger="headway_operator"):
            for _ in range(3):
                site.compare()
        assert sorted({key.namespace for key in site.store.owners()}) == ["default"]
        assert job("new") in site.store.owners()
        assert site.comparison.lost == {"other"}
        assert sum("other" in record.getMessage() for record in caplog.records) == 1

    def test_a_restarted_operator_works_for_the_others(self) -> None:
        site = Site("default", "other")
        site.api.denied = frozenset({"other"})
        site.added.clear()
        site.start()
        assert len(site.added) == 7
        assert site.comparison.lost == {"other"}

    def test_nothing_is_tried_for_its_objects_meanwhile(self) -> None:
        site = Site("default", "other")
        site.api.denied = frozenset({"other"})
        site.compare()
        assert site.added == [job("job-0", "other")], "once, so that what is remembered of it goes"
        assert site.store.owner(job("job-0", "other")) is None

    def test_one_that_can_be_read_again_is_taken_in(self) -> None:
        site = Site("default", "other")
        site.api.denied = frozenset({"other"})
        site.start()
        site.api.denied = frozenset()
        site.compare()
        assert job("job-0", "other") in site.added
        assert site.comparison.lost == set()

    def test_the_whole_cluster_cannot_be_done_without(self) -> None:
        site = Site()

        site.api.denied = frozenset({None})
        with pytest.raises(DeniedError):
            site.start()

    def test_its_watches_owe_nothing(self) -> None:
        site = Site("default", "other")
        labels = {"app.kubernetes.io/managed-by": "headway"}
        meta = {"namespace": "other", "resourceVersion": str(10**6), "labels": labels}
        site.freshness.written(kube.PODS, {"metadata": meta})
        site.freshness._now = lambda: T0 + 500
        site.api.denied = frozenset({"other"})
        site.compare()
        assert site.freshness.behind()["pods"] == 0

    def test_it_is_tried_again_long_before_the_next_whole_comparison(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A comparison whose list was refused may drop what a watch has just shown: no watch shows it once more."""
        site = Site("default", "other")
        site.api.denied = frozenset({"other"})
        site.compare()
        slept = list[float]()

        async def sleep(seconds: float) -> None:
            slept.extend([seconds] if seconds else [])
            if sum(slept) > 100:
                site.api.denied = frozenset()
            if sum(slept) > 300:
                raise asyncio.CancelledError

        monkeypatch.setattr("headway_operator.engine.comparison.asyncio.sleep", sleep)
        monkeypatch.setattr("headway_operator.engine.comparison.REST", 0)
        whole = list[float]()
        monkeypatch.setattr(site.store, "age", lambda: whole.append(sum(slept)))
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(site.comparison.run(300.0))
        assert slept == [5.0, 30.0, 30.0, 30.0, 30.0, 180.0]
        assert job("job-0", "other") in site.store.owners()
        assert whole == [5.0], "the others are compared in their own time"

    def test_trying_it_again_says_nothing_of_the_watches_of_others(self) -> None:
        site = Site("default", "other")
        site.api.denied = frozenset({"other"})
        site.compare()
        site.comparison.blind_rounds["trainingjobs"] = 2
        asyncio.run(site.comparison.regain())
        assert site.comparison.blind_rounds["trainingjobs"] == 2
