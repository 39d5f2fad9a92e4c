"""Settings, logs, Events, metrics, the comparison with what exists, and the workers at the queue."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import aiohttp
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from headway_operator import logs
from headway_operator.engine import health, kube
from headway_operator.engine.comparison import Resync
from headway_operator.engine.events import EventPoster, event
from headway_operator.engine.kube import ConflictError, DeniedError, NotFoundError, RetryableError
from headway_operator.engine.queue import KeyQueue
from headway_operator.engine.store import Cache
from headway_operator.engine.workers import Workers
from headway_operator.main import main
from headway_operator.metrics import Metrics
from headway_operator.settings import Settings, from_environment
from headway_operator.training.plan.model import Notice
from headway_operator.training.records import Key
from sim.builders import T0, document, make_job
from sim.fakes import clock
from sim.fakes.api import ApiServer, Call, FakeKube


class TestSettings:
    def test_flags_win_over_the_environment_and_that_over_defaults(self) -> None:
        environment = {"HEADWAY_TRAINER_IMAGE": "env", "HEADWAY_METRICS_PORT": "9090", "HEADWAY_NAMESPACES": "a, b"}
        settings = from_environment(environment, {"trainer_image": "flag", "health_port": None, "namespaces": ()})
        assert (settings.trainer_image, settings.metrics_port, settings.health_port) == ("flag", 9090, 8081)
        assert settings.namespaces == ("a", "b")

    def test_every_setting_has_a_flag_with_its_documentation(self) -> None:
        text = CliRunner().invoke(main, ["--help"]).output
        for name, info in Settings.model_fields.items():
            assert f"HEADWAY_{name.upper()}" in text.replace("\n", "").replace(" ", "")
            assert info.description

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--metrics-port", "x"], "metrics_port"),
            (["--log-format", "xml"], "log_format"),
            (["--default-storage-uri", "s3://a", "--default-storage-claim", "b"], "not both"),
            (["--default-storage-secret", "a"], "default_storage_uri"),
        ],
    )
    def test_a_mistaken_flag_is_named(self, flags: list[str], said: str) -> None:
        result = CliRunner().invoke(main, flags)
        assert result.exit_code == 2
        assert said in result.output

    def test_the_default_storage_is_a_claim_or_an_object_store(self) -> None:
        claim = from_environment({"HEADWAY_DEFAULT_STORAGE_CLAIM": "models"}, {}).defaults().storage
        assert claim is not None
        assert claim.persistent_volume_claim is not None
        assert claim.persistent_volume_claim.name == "models"
        flags = {"default_storage_uri": "s3://a", "default_storage_secret": "s"}
        store = from_environment({}, flags).defaults().storage
        assert store is not None
        assert (store.uri, store.secret_ref.name if store.secret_ref else None) == ("s3://a", "s")

    def test_ports_have_limits(self) -> None:
        with pytest.raises(ValidationError):
            from_environment({"HEADWAY_METRICS_PORT": "65536"}, {})


class TestLogs:
    def record(self, **extra: str) -> logging.LogRecord:
        record = logging.LogRecord("headway_operator.x", logging.INFO, "f", 1, "creating %s", ("pods",), None)
        record.__dict__.update(extra)
        return record

    def test_a_json_line_has_the_job_s_key(self) -> None:
        line = json.loads(logs.JsonFormatter().format(self.record(job="default/digits")))
        assert (line["message"], line["job"], line["level"]) == ("creating pods", "default/digits", "info")

    def test_a_plain_line_is_for_people(self) -> None:
        assert logs.PlainFormatter().format(self.record(job="a/b")).endswith("I a/b creating pods")


class TestEvents:
    def poster(self, before: Callable[[Call], None] = lambda _: None) -> tuple[EventPoster, ApiServer, list[str]]:
        server, counts = ApiServer(lambda: T0), list[str]()
        api = FakeKube(server, before=before)
        return EventPoster(api, instance="pod-1", now=lambda: T0, count=counts.append), server, counts

    def run(self, poster: EventPoster) -> None:
        async def until_posted() -> None:
            task = asyncio.create_task(poster.run())
            await asyncio.wait_for(poster.drain(), 5)
            task.cancel()

        asyncio.run(until_posted())

    def test_the_same_notice_makes_one_event(self) -> None:
        poster, server, counts = self.poster()
        job, _ = make_job().build()
        poster.post(job, (Notice("Running", "all ready"), Notice("Running", "all ready")))
        self.run(poster)
        assert len(server.of(kube.EVENTS)) == 1
        assert counts == ["posted", "repeated"]

    def test_an_event_is_about_the_job(self) -> None:
        job, _ = make_job().build()
        body = event(job, Notice("Failed", "x" * 5000, warning=True), "pod-1", T0)
        assert body["regarding"]["uid"] == job.uid
        assert body["type"] == "Warning"
        assert len(body["note"]) == 1024
        assert body["eventTime"] == "2027-01-15T08:00:00.000000Z"

    def test_an_api_server_that_refuses_events_hinders_nobody(self) -> None:
        def refuse(_: Call) -> None:
            raise DeniedError("no")

        poster, _, counts = self.poster(before=refuse)
        job, _ = make_job().build()
        poster.post(job, (Notice("Running", "a"),))
        self.run(poster)
        assert counts == ["failed"]

    def test_more_events_than_can_wait_are_dropped_not_waited_for(self) -> None:
        poster, _, counts = self.poster()
        job, _ = make_job().build()
        poster.post(job, tuple(Notice("Running", str(number)) for number in range(1005)))
        assert counts == ["dropped"] * 5


class TestResync:
    def stage(self) -> tuple[ApiServer, Cache, Resync, list[Key]]:
        server, cache, added = ApiServer(lambda: T0), Cache(), list[Key]()
        for number in range(7):
            server.create(kube.JOBS, "default", document(f"job-{number}"))
        server.create(kube.JOBS, "other", document("job-0", "other"))
        return server, cache, Resync(FakeKube(server), cache, added.append, (), lambda: T0), added

    def test_the_seed_reads_all_pages_and_has_every_job_looked_at(self) -> None:
        _, cache, resync, added = self.stage()
        asyncio.run(resync.seed())
        assert len(cache.jobs) == len(added) == 8

    def test_only_the_namespaces_that_are_served_are_read(self) -> None:
        server, cache, _, added = self.stage()
        asyncio.run(Resync(FakeKube(server), cache, added.append, ("other",), lambda: T0).seed())
        assert added == [("other", "job-0")]

    def test_changes_that_the_watch_has_not_shown_are_taken_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("headway_operator.engine.comparison.PATIENCE_SECONDS", 0)
        server, cache, resync, added = self.stage()
        asyncio.run(resync.seed())
        added.clear()
        asyncio.run(resync.compare())
        assert (added, resync.blind_rounds["trainingjobs"]) == ([], 0)
        server.remove(kube.JOBS, "job-1")
        server.change(kube.JOBS, "job-2", lambda job: job["spec"].update(suspend=True))
        server.create(kube.JOBS, "default", document("new"))
        asyncio.run(resync.compare())
        assert sorted(added) == [("default", "job-1"), ("default", "job-2"), ("default", "new")]
        assert cache.job(("default", "job-1")) is None
        assert (resync.missed["trainingjobs"], resync.blind_rounds["trainingjobs"]) == (3, 1)
        asyncio.run(resync.compare())
        assert resync.blind_rounds["trainingjobs"] == 0

    def test_a_comparison_costs_three_lists_where_nothing_was_missed(self) -> None:
        server, cache, _, added = self.stage()
        api = FakeKube(server)
        resync = Resync(api, cache, added.append, (), lambda: T0)
        asyncio.run(resync.seed())
        api.calls.clear()
        asyncio.run(resync.compare())
        assert [call.verb for call in api.calls] == ["list"] * 3


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
        metrics = Metrics()

        async def run() -> None:
            now = asyncio.get_running_loop().time

            async def reconcile(key: Key) -> float | None:
                seen.append((key[1], round(now(), 3)))
                outcome = outcomes[key[1]].pop(0)
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome

            workers = Workers(reconcile, limit=4, now=lambda: T0 + now(), metrics=metrics)
            for name in outcomes:
                workers.add(("a", name))
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
                seen.append((key[1], now()))
                if key[1] == "long":
                    await asyncio.sleep(60)
                    return None
                return T0 + 10 if now() < 10 else None

            workers = Workers(reconcile, limit=1, now=lambda: T0 + now(), metrics=Metrics())
            workers.add(("a", "due"))
            workers.add(("a", "long"))
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
                    workers.add(key)

            workers = Workers(reconcile, limit=4, now=lambda: T0, metrics=Metrics())
            workers.add(("a", "b"))
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
            workers = Workers(reconcile, limit=3, now=lambda: T0, metrics=Metrics())
            for number in range(20):
                workers.add(("a", str(number)))
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
            workers = Workers(reconcile, limit=1, now=lambda: T0, metrics=Metrics())
            workers.add(("a", "first"))
            workers.add(("a", "second"))
            task = asyncio.create_task(workers.run())
            await asyncio.sleep(1)
            await workers.finish(5)
            task.cancel()

        clock.run(run())
        assert done == [("a", "first")]


class TestHealth:
    async def test_the_checks_are_served_with_their_words(self) -> None:
        wrong: list[str | None] = [None]
        runner = await health.serve(lambda: b"x 1\n", lambda: wrong[0], lambda: "starting", {"metrics": 0, "health": 0})
        try:
            port = runner.addresses[0][1]
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

                async def get(path: str) -> tuple[int, str]:
                    async with session.get(path) as answer:
                        return answer.status, await answer.text()

                assert await get("/metrics") == (200, "x 1\n")
                assert await get("/healthz") == (200, "ok")
                assert await get("/readyz") == (503, "starting")
                wrong[0] = "stuck"
                assert await get("/healthz") == (503, "stuck")
        finally:
            await runner.cleanup()
