"""What a server tells the judge, and what it makes of what comes back, or of nobody there."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headway_api.rollout_wire import Reply, Route, Unit
from headway_server.split.judging import Judging
from headway_server.split.reporter import Reporter
from headway_server.split.state import Outcome, State
from stub_judge import TOKEN, UID, stub_judge


@dataclass
class Told:
    """A reporter and what it told."""

    state: State
    reporter: Reporter
    token: Path
    routes: list[Route | None] = field(default_factory=list)

    async def report(self) -> bool:
        """One report."""
        return await self.reporter.report(30.0)


@contextlib.asynccontextmanager
async def reporter(folder: Path, port: int) -> AsyncIterator[Told]:
    """One of version 1 that reports when it is asked to."""
    token = folder / "token"
    token.write_text(f" {TOKEN}\n")
    state = State(1, UID, "boot", lot=lambda: 0.5, clock=lambda: 0.0)
    routes: list[Route | None] = []
    judging = Judging.at(f"http://127.0.0.1:{port}", str(token), UID)
    made = Reporter(state, judging, lot=lambda: 0.5, changed=routes.append)
    yield Told(state, made, token, routes)
    await made.end()


async def test_a_route_in_the_reply_is_kept_to_and_told_once(tmp_path: Path) -> None:
    async with stub_judge() as judge, reporter(tmp_path, judge.port) as there:
        route = judge.route(epoch=4, share=0.25, slow=0.5)
        assert await there.report()
        assert await there.report()
        assert there.routes == [route]
        assert (there.state.route, there.state.slow_seconds) == (route, 0.5)
        assert judge.reports["boot"].epoch == 4


async def test_counts_arrive_as_they_are_and_units_until_they_were_answered(tmp_path: Path) -> None:
    async with stub_judge() as judge, reporter(tmp_path, judge.port) as there:
        judge.route(epoch=1, mode="abTest", share=0.5, unit=Unit(header="x"))
        await there.report()
        there.state.count(there.state.choose(b"7", room=True), Outcome(error=True))
        told = there.state.report()
        assert len(told.units) == 1
        judge.status = 500
        assert not await there.report()
        assert there.state.report() == told == judge.reports["boot"]
        judge.status = 200
        assert await there.report()
        assert judge.reports["boot"] == told
        assert there.state.report().units == []


async def test_the_token_is_read_for_each_report(tmp_path: Path) -> None:
    async with stub_judge() as judge, reporter(tmp_path, judge.port) as there:
        there.token.write_text("another")
        assert not await there.report()
        assert judge.refused == 1
        there.token.unlink()
        assert not await there.report()
        for bad in (b"a\r\nx: y", b"\xff", b"a\x00b"):
            there.token.write_bytes(bad)
            assert not await there.report()
        there.token.write_text(TOKEN)
        assert await there.report()
        assert (judge.taken, judge.refused) == (1, 1)


@pytest.mark.parametrize("reply", ["{", "[]", '{"route": {"share": 2}}', '{"route": 7}', "x" * 300_000])
async def test_a_reply_that_is_none_changes_nothing(
    reply: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stub_judge() as judge, reporter(tmp_path, judge.port) as there:
        route = judge.route(epoch=4, share=0.25)
        assert await there.report()
        monkeypatch.setattr(Reply, "model_dump_json", lambda _: reply)
        assert not await there.report()
        assert there.state.route == route


async def test_nobody_there_is_told_in_one_line_when_that_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with stub_judge() as judge:
        port = judge.port
    async with reporter(tmp_path, port) as there:
        for _ in range(3):
            assert not await there.report()
        assert caplog.messages == []  # there is no rollout
        async with stub_judge(port, judge):
            for _ in range(3):
                assert await there.report()
        for _ in range(3):
            assert not await there.report()
        assert [one[:27] for one in caplog.messages] == ["the judge is heard", "the judge is not heard: nob"]


async def test_a_judge_that_is_not_there_is_asked_for_ever_more_seldom_but_while_requests_are_split(
    tmp_path: Path,
) -> None:
    async with stub_judge() as judge, reporter(tmp_path, judge.port) as there:
        judge.status = 503
        pauses = []
        for _ in range(6):
            await there.report()
            pauses.append(there.reporter.pause())
        assert pauses == [2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
        judge.status = 200
        judge.route(epoch=1, share=0.25)
        await there.report()
        assert there.reporter.pause() == 1.0
        judge.status = 503
        for _ in range(6):
            await there.report()
        assert there.reporter.pause() == 2.0


async def test_a_route_of_another_deployment_is_refused_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stub_judge() as judge, reporter(tmp_path, judge.port) as there:
        judge.route(uid="another", epoch=4, share=1.0)
        for _ in range(3):
            assert await there.report()
        assert there.state.route is None
        assert sum("another" in one for one in caplog.messages) == 1


@pytest.mark.parametrize("url", ["https://a:1", "http://a", "a:1", "http://a:1/b", "http://a:x"])
def test_a_judge_has_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        Judging.at(url, "token", UID)
