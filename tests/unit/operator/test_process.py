"""Settings, logs, Events, and what is served over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import aiohttp
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from headway_api import API_VERSION
from headway_operator import logs
from headway_operator.engine import health, kube
from headway_operator.engine.events import WAITING_LIMIT, EventPoster, event
from headway_operator.engine.kube import DeniedError
from headway_operator.engine.steps import Notice
from headway_operator.main import main
from headway_operator.settings import Settings, from_environment
from sim.builders import T0
from sim.fakes.api import ApiServer, Call, FakeKube
from unit.operator.bodies import owner_record

OWNER = owner_record()


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

    def test_a_json_line_names_the_object_that_it_is_about(self) -> None:
        line = json.loads(logs.JsonFormatter().format(self.record(kind="TrainingJob", object="default/digits")))
        assert (line["message"], line["kind"], line["object"], line["level"]) == (
            "creating pods",
            "TrainingJob",
            "default/digits",
            "info",
        )

    def test_a_plain_line_is_for_people(self) -> None:
        assert logs.PlainFormatter().format(self.record(object="a/b")).endswith("I a/b creating pods")


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
        poster.post(OWNER, API_VERSION, (Notice("Running", "all ready"), Notice("Running", "all ready")))
        self.run(poster)
        assert len(server.of(kube.EVENTS)) == 1
        assert counts == ["posted", "repeated"]

    def test_an_event_is_about_the_job(self) -> None:
        body = event(OWNER, API_VERSION, Notice("Failed", "x" * 5000, warning=True), "pod-1", T0)
        assert body["regarding"]["uid"] == OWNER.uid
        assert body["type"] == "Warning"
        assert len(body["note"]) == 1024
        assert body["eventTime"] == "2027-01-15T08:00:00.000000Z"

    def test_a_note_is_cut_by_bytes_as_the_api_server_counts_them(self) -> None:
        body = event(OWNER, API_VERSION, Notice("Failed", "学習データが見つかりません。" * 100), "pod-1", T0)
        assert 1000 < len(body["note"].encode()) <= 1024
        assert body["note"].startswith("学習データ")

    def test_the_same_words_on_another_occasion_are_another_event(self) -> None:
        bodies = [event(OWNER, API_VERSION, Notice("Failed", "x", occasion=each), "pod-1", T0) for each in "112"]
        assert len({body["metadata"]["name"] for body in bodies}) == 2

    def test_an_api_server_that_refuses_events_hinders_nobody(self) -> None:
        def refuse(_: Call) -> None:
            raise DeniedError("no")

        poster, _, counts = self.poster(before=refuse)
        poster.post(OWNER, API_VERSION, (Notice("Running", "a"),))
        self.run(poster)
        assert counts == ["failed"]

    def test_more_events_than_can_wait_are_dropped_not_waited_for(self) -> None:
        poster, _, counts = self.poster()
        poster.post(OWNER, API_VERSION, tuple(Notice("Running", str(number)) for number in range(WAITING_LIMIT + 5)))
        assert counts == ["dropped"] * 5


class TestHealth:
    async def test_the_checks_are_served_with_their_words(self) -> None:
        wrong: list[str | None] = [None]

        async def scrape(accept: str) -> tuple[bytes, str]:
            return f"x 1 # {accept}\n".encode(), "text/plain"

        runner = await health.serve(scrape, lambda: wrong[0], lambda: "starting", {"metrics": 0, "health": 0})
        try:
            port = runner.addresses[0][1]
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

                async def get(path: str) -> tuple[int, str]:
                    async with session.get(path, headers={"Accept": "any/form"}) as answer:
                        return answer.status, await answer.text()

                assert await get("/metrics") == (200, "x 1 # any/form\n")
                assert await get("/healthz") == (200, "ok")
                assert await get("/readyz") == (503, "starting")
                wrong[0] = "stuck"
                assert await get("/healthz") == (503, "stuck")
        finally:
            await runner.cleanup()
