"""Webhooks: what is told, to whom, how often it is tried, and where no word ever goes. The servers are real."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from headway_api import API_VERSION
from headway_operator.engine.events import Recorders
from headway_operator.engine.keys import Key
from headway_operator.engine.kinds import Owner
from headway_operator.engine.steps import Notice
from headway_operator.notify import notifier as notifying
from headway_operator.notify import webhooks as hooks
from headway_operator.notify.message import MOST_CHARACTERS, TITLES, message
from headway_operator.notify.notifier import PAUSES, REST_SECONDS, Notifier
from headway_operator.notify.waiting import CHANNEL_LIMIT, NAMESPACE_LIMIT, WAITING_LIMIT
from headway_operator.notify.webhooks import OTHERS, Resolver, Webhooks, usable
from unit.operator.bodies import owner_record

JOB = owner_record()
SECRET_WORD = "T0ken-of-the-channel"  # noqa: S105 - of a channel that there is not
DONE = Notice("Complete", "attempt 1 succeeded", occasion="1")


def of(namespace: str, name: str = "digits", kind: str = "TrainingJob") -> Owner:
    """An object."""
    return replace(JOB, key=Key(kind, namespace, name), uid=f"{namespace}-{name}")


@dataclass
class Channel:
    """A server that keeps what it is told."""

    answers: list[int] = field(default_factory=list)
    """The next statuses; 200 when there are none left."""
    headers: dict[str, str] = field(default_factory=dict)
    told: list[Any] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = SECRET_WORD) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    async def handle(self, request: web.Request) -> web.Response:
        assert request.method == "POST"
        assert request.content_type == "application/json"
        self.told.append(await request.json())
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers=self.headers)


@contextlib.asynccontextmanager
async def served(channel: Channel) -> AsyncIterator[Channel]:
    """The channel on a port of its own."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", channel.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    channel.port = runner.addresses[0][1]
    try:
        yield channel
    finally:
        await runner.cleanup()


@dataclass
class Desk:
    """A notifier, what it counts, and for how long it would have waited."""

    folder: Path
    counts: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notifier = Notifier(Webhooks(self.folder), count=self.counts.append, pause=self._pause)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def hook(self, namespace: str, url: str) -> None:
        (self.folder / namespace).write_text(f"{url}\n")

    def say(self, owner: Owner, *notices: Notice) -> None:
        self.notifier.post(owner, API_VERSION, notices)

    async def all_told(self) -> None:
        task = asyncio.create_task(self.notifier.run())
        try:
            await asyncio.wait_for(self.notifier.drain(), 30)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def all_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Also in a process that plays the simulation, which has the operator log nothing."""
    caplog.set_level(logging.DEBUG, logger="headway_operator")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class TestWords:
    @pytest.mark.parametrize(("kind", "reason", "cause"), sorted(TITLES))
    def test_each_of_these_is_told_with_its_object_and_the_words_of_the_event(
        self, kind: str, reason: str, cause: str
    ) -> None:
        said = message(of("team-a", "churn", kind), Notice(reason, "because of it", cause=cause))
        assert said is not None
        assert said.namespace == "team-a"
        assert said.text == f"{kind} team-a/churn {TITLES[kind, reason, cause]}: because of it"

    @pytest.mark.parametrize(
        ("kind", "notice"),
        [
            ("TrainingJob", Notice("Running", "all ready")),
            ("TrainingJob", Notice("AttemptFailed", "attempt 1 ended: NodeLost", cause="NodeLost")),
            ("ModelDeployment", Notice("StepBegun", "5 %")),
            ("ModelDeployment", Notice("Complete", "x")),
        ],
    )
    def test_nothing_else_is(self, kind: str, notice: Notice) -> None:
        assert message(of("team-a", "churn", kind), notice) is None

    def test_a_job_that_failed_by_whatever_cause_is_told(self) -> None:
        assert message(JOB, Notice("Failed", "x", cause="UserError")) is not None
        assert message(JOB, Notice("Failed", "x", cause="Hang")) is not None

    def test_what_users_code_has_said_calls_nobody_and_steers_nothing(self) -> None:
        said = message(JOB, Notice("Failed", "ValueError: <!channel> & <https://evil.example|here>\x1b[2J\nnext"))
        assert said is not None
        assert "&lt;!channel&gt; &amp; &lt;https\u200b://evil.example|here&gt;" in said.text
        assert "<" not in said.text
        assert "\x1b" not in said.text
        assert "\n" not in said.text

    def test_nor_where_mentions_and_links_are_written_as_in_mattermost(self) -> None:
        said = message(JOB, Notice("Failed", "@all (@here) [click](https://evil.example) trainer@sha256:91ab"))
        assert said is not None
        assert said.text.endswith("@\u200ball (@\u200bhere) [click] (https\u200b://evil.example) trainer@sha256:91ab")

    def test_a_long_word_is_cut(self) -> None:
        said = message(JOB, Notice("Failed", "x" * 50_000))
        assert said is not None
        assert len(said.text) == MOST_CHARACTERS


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            *("", "ftp://a/b", "file:///etc/passwd", "http://", "https://user:word@a/b", "https://user@a/b"),
            *("https://a:99999/b", "https://[::1/b", "https://a/b c", "https://a/ü", "https://a/" + "x" * 3000),
        ],
    )
    def test_what_is_no_url_of_a_webhook_is_not_asked(self, url: str) -> None:
        assert not usable(url)

    def test_a_namespace_has_its_own_webhook_or_that_of_the_others_or_none(self, desk: Desk) -> None:
        webhooks = Webhooks(desk.folder)
        assert webhooks.url("team-a") is None
        desk.hook(OTHERS, "https://hooks.example/others")
        desk.hook("team-a", "https://hooks.example/a")
        desk.hook("quiet", "")
        assert webhooks.url("team-a") == "https://hooks.example/a"
        assert webhooks.url("team-b") == "https://hooks.example/others"
        assert webhooks.url("quiet") is None

    def test_a_name_that_is_no_namespaces_leads_to_no_file(self, desk: Desk) -> None:
        (desk.folder / "inner").mkdir()
        (desk.folder.parent / "outer").write_text("https://hooks.example/outer")
        for name in ("../outer", "..", ".", "", OTHERS, "inner/../x"):
            assert Webhooks(desk.folder).url(name) is None, name

    @pytest.mark.parametrize(
        "host",
        [
            *("169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]"),
            *("100.100.100.200", "168.63.129.16", "0.0.0.0"),  # noqa: S104 - asked, not bound
        ],
    )
    async def test_an_address_of_the_cloud_is_refused_at_once(self, desk: Desk, host: str) -> None:
        desk.hook("team-a", f"http://{host}/latest/meta-data")
        desk.say(of("team-a"), DONE)
        await desk.all_told()
        assert (desk.counts, desk.pauses) == (["failed"], [])

    async def test_a_name_that_leads_to_one_is_refused_where_it_is_looked_up(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        asked = []

        async def found(host: str, port: int, **_: Any) -> Any:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        with pytest.raises(OSError, match="leads to an address of the node or the cloud"):
            await Resolver().resolve("metadata.example", 80)
        desk.hook("team-a", f"http://metadata.example/{SECRET_WORD}")
        desk.say(of("team-a"), DONE)
        await desk.all_told()
        assert desk.counts == ["failed"]
        assert set(asked) == {"metadata.example"}
        assert SECRET_WORD not in caplog.text

    async def test_a_decimal_number_is_looked_up_as_a_name_and_refused_as_what_it_is(self, desk: Desk) -> None:
        desk.hook("team-a", "http://2852039166/")
        desk.say(of("team-a"), DONE)
        await desk.all_told()
        assert desk.counts == ["failed"]


class TestTelling:
    async def test_a_word_is_told_once_as_slack_takes_it(self, desk: Desk) -> None:
        async with served(Channel()) as channel:
            desk.hook("team-a", channel.url())
            desk.say(of("team-a"), DONE, Notice("Running", "all ready"), DONE)
            desk.say(of("team-a"), DONE)
            await desk.all_told()
        assert channel.told == [{"text": "TrainingJob team-a/digits succeeded: attempt 1 succeeded"}]
        assert desk.counts == ["sent"]

    async def test_the_same_words_on_another_occasion_are_told_again(self, desk: Desk) -> None:
        async with served(Channel()) as channel:
            desk.hook("team-a", channel.url())
            for attempt in ("1", "2", "2"):
                desk.say(of("team-a"), Notice("Suspended", "the job holds no pods", occasion=attempt))
            await desk.all_told()
        assert len(channel.told) == 2

    async def test_each_namespace_is_told_its_own(self, desk: Desk) -> None:
        async with served(Channel()) as ours, served(Channel()) as theirs:
            desk.hook("team-a", ours.url())
            desk.hook("team-b", theirs.url())
            for team in ("team-a", "team-b", "team-c"):
                desk.say(of(team), DONE)
            await desk.all_told()
        assert [len(ours.told), len(theirs.told)] == [1, 1]
        assert "team-a/" in ours.told[0]["text"]
        assert "team-b/" in theirs.told[0]["text"]
        assert desk.counts == ["sent", "sent"]

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_a_channel_that_is_busy_is_tried_three_times(self, desk: Desk, status: int) -> None:
        async with served(Channel(answers=[status, status])) as channel:
            desk.hook("team-a", channel.url())
            desk.say(of("team-a"), DONE)
            await desk.all_told()
        assert (len(channel.told), desk.pauses, desk.counts) == (3, list(PAUSES), ["sent"])

    async def test_it_is_left_alone_for_as_long_as_it_asks_within_bounds(self, desk: Desk) -> None:
        async with served(Channel(answers=[429, 429], headers={"Retry-After": "20"})) as channel:
            desk.hook("team-a", channel.url())
            desk.say(of("team-a"), DONE)
            channel.headers = {"Retry-After": "20"}
            await desk.all_told()
        assert desk.pauses == [20.0, 20.0]
        assert hooks._seconds("999999") == hooks.MOST_RETRY_AFTER_SECONDS
        assert [hooks._seconds(text) for text in ("", "-1", "soon", "9" * 400)] == [0.0] * 4

    @pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404, 410])
    async def test_a_channel_that_is_gone_or_leads_elsewhere_is_tried_once(
        self, desk: Desk, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with served(Channel()) as elsewhere:
            answers = Channel(answers=[status], headers={"Location": elsewhere.url()})
            async with served(answers) as channel:
                desk.hook("team-a", channel.url())
                desk.say(of("team-a"), DONE)
                await desk.all_told()
            assert elsewhere.told == []
        assert (len(channel.told), desk.pauses, desk.counts) == (1, [], ["failed"])
        assert f"a notification of namespace team-a was not taken: it answers {status}" in caplog.text
        assert SECRET_WORD not in caplog.text

    async def test_after_a_failure_the_next_words_get_one_try_until_one_is_taken(self, desk: Desk) -> None:
        async with served(Channel(answers=[500] * 4)) as channel:
            desk.hook("team-a", channel.url())
            for number in range(4):
                desk.say(of("team-a", f"job-{number}"), DONE)
            await desk.all_told()
        assert desk.counts == ["failed", "failed", "sent", "sent"]
        assert len(channel.told) == 3 + 1 + 1 + 1
        assert desk.pauses == [*PAUSES, REST_SECONDS, REST_SECONDS]

    async def test_nothing_of_a_url_is_logged_where_nobody_listens(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            desk.hook("team-a", f"http://127.0.0.1:{closed.getsockname()[1]}/{SECRET_WORD}")
            desk.say(of("team-a"), DONE)
            await desk.all_told()
        assert (desk.counts, len(desk.pauses)) == (["failed"], 2)
        assert "no connection" in caplog.text
        assert SECRET_WORD not in caplog.text

    async def test_what_the_secret_has_wrong_is_told_without_what_it_says(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        desk.hook("team-a", f"hooks.example/{SECRET_WORD}")
        desk.say(of("team-a"), DONE)
        await desk.all_told()
        assert (desk.counts, desk.pauses) == (["failed"], [])
        assert "no http or https URL" in caplog.text
        assert SECRET_WORD not in caplog.text

    async def test_a_fault_of_ours_ends_no_sender(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(_: object, url: str, __: str) -> None:
            raise RuntimeError(url)

        monkeypatch.setattr(notifying, "post", broken)
        desk.hook(OTHERS, f"https://hooks.example/{SECRET_WORD}")
        for number in range(notifying.SENDERS + 2):
            desk.say(of(f"team-{number}"), DONE)
        await desk.all_told()
        assert desk.counts == ["failed"] * (notifying.SENDERS + 2)
        assert SECRET_WORD not in caplog.text

    async def test_a_webhook_that_hangs_holds_up_nobody_else(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        others, told, never = asyncio.Event(), [], asyncio.Event()

        async def slow(_: object, url: str, __: str) -> None:
            if url.endswith("/hangs"):
                await never.wait()
            told.append(url)
            if len(told) == 50:
                others.set()

        monkeypatch.setattr(notifying, "post", slow)
        desk.hook(OTHERS, "https://hooks.example/works")
        desk.hook("stuck", "https://hooks.example/hangs")
        for number in range(50):
            desk.say(of("stuck", f"job-{number}"), DONE)
            desk.say(of(f"team-{number}"), DONE)
        task = asyncio.create_task(desk.notifier.run())
        await asyncio.wait_for(others.wait(), 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert desk.counts == ["sent"] * 50

    def test_one_namespace_that_says_too_much_does_not_silence_the_others(self, desk: Desk) -> None:
        desk.hook(OTHERS, "https://hooks.example/others")

        async def say() -> None:
            for number in range(NAMESPACE_LIMIT + 5):
                desk.say(of("loud", f"job-{number}"), DONE)
            desk.say(of("team-a"), DONE)

        asyncio.run(say())
        assert desk.counts == ["dropped"] * 5

    def test_what_waits_is_bounded_for_a_channel_and_for_all(self, desk: Desk) -> None:
        desk.hook(OTHERS, "https://hooks.example/others")
        for number in range(CHANNEL_LIMIT + 3):
            desk.say(of(f"team-{number}"), DONE)
        assert desk.counts == ["dropped"] * 3
        for team in range((WAITING_LIMIT - CHANNEL_LIMIT) // NAMESPACE_LIMIT + 1):
            desk.hook(f"own-{team}", f"https://hooks.example/{team}")
            for number in range(NAMESPACE_LIMIT):
                desk.say(of(f"own-{team}", f"job-{number}"), DONE)
        assert len(desk.counts) == 3 + NAMESPACE_LIMIT

    def test_nothing_waits_for_a_namespace_without_a_webhook(self, desk: Desk) -> None:
        for number in range(WAITING_LIMIT + 3):
            desk.say(of(f"team-{number}"), DONE)
        assert desk.counts == []

    async def test_of_five_thousand_jobs_that_end_at_once_the_channel_hears_how_many_were_left_out(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[str] = []

        async def taken(_: object, __: str, text: str) -> None:
            told.append(text)

        monkeypatch.setattr(notifying, "post", taken)
        desk.hook(OTHERS, "https://hooks.example/others")
        for number in range(5000):
            desk.say(of("loud", f"job-{number}"), DONE)
        desk.say(of("calm"), DONE)
        await desk.all_told()
        assert told[1] == "TrainingJob calm/digits succeeded: attempt 1 succeeded"
        assert told[-1] == (
            "4,900 more notifications of namespace loud were left out, as too many came at once: see `headway status -n"
            " loud`"
        )
        assert len(told) == NAMESPACE_LIMIT + 2

    async def test_one_url_that_hangs_for_many_namespaces_holds_up_no_other_url(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told, never, heard = list[str](), asyncio.Event(), asyncio.Event()

        async def slow(_: object, url: str, __: str) -> None:
            if url.endswith("/hangs"):
                await never.wait()
            told.append(url)
            heard.set()

        monkeypatch.setattr(notifying, "post", slow)
        desk.hook(OTHERS, "https://hooks.example/hangs")
        desk.hook("also", "https://hooks.example/hangs")
        desk.hook("team-a", "https://hooks.example/works")
        for number in range(200):
            desk.say(of(f"team-{number}"), DONE)
        desk.say(of("also"), DONE)
        desk.say(of("team-a"), DONE)
        task = asyncio.create_task(desk.notifier.run())
        await asyncio.wait_for(heard.wait(), 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert told == ["https://hooks.example/works"]

    async def test_a_url_that_fails_is_left_alone_for_a_while_and_told_all_that_waits_then(self, desk: Desk) -> None:
        async with served(Channel(answers=[503] * 3)) as channel:
            desk.hook(OTHERS, channel.url())
            for number in range(20):
                desk.say(of(f"team-{number}"), DONE)
            await desk.all_told()
        assert desk.counts == ["failed", *["sent"] * 19]
        assert desk.pauses == [*PAUSES, REST_SECONDS]

    async def test_a_secret_that_changes_while_words_wait_counts_for_them(self, desk: Desk) -> None:
        async with served(Channel()) as channel:
            desk.hook("team-a", f"hooks.example/{SECRET_WORD}")
            desk.say(of("team-a"), DONE)
            desk.hook("team-a", channel.url())
            await desk.all_told()
            desk.hook("team-a", "")
            desk.say(of("team-a", "next"), DONE)
            await desk.all_told()
        assert (len(channel.told), desk.counts) == (1, ["sent"])


def test_notices_go_to_each_recorder() -> None:
    taken: list[tuple[str, Notice]] = []

    class One:
        def __init__(self, name: str) -> None:
            self.name = name

        def post(self, owner: Owner, api_version: str, notices: tuple[Notice, ...]) -> None:
            assert (owner, api_version) == (JOB, API_VERSION)
            taken.extend((self.name, each) for each in notices)

    Recorders(One("a"), One("b")).post(JOB, API_VERSION, (DONE,))
    assert taken == [("a", DONE), ("b", DONE)]
