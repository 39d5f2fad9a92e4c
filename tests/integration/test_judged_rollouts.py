"""Rollouts on one machine, with all real parts but the operator: servers, and the judge by files.

The test is the operator: it writes the route, and goes on as the verdict says.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from commands import COMMAND, clean_environment
from headway_api.rollout_wire import Analysis, Route, Unit, Verdict
from headway_server.http.limits import HttpLimits
from headway_server.http.listener import Listener
from stub_judge import UID, judged
from wire_client import PATIENCE, Reply, Wire, ask

from .split_world import BODY, INFER, Load, Server, serving

RETURN_SECONDS = 5.0
"""After the evidence, all requests are the stable version's within these."""
ANALYSIS = Analysis(min_requests=100, max_error_rate=0.05, min_agreement=0.9)
Bend = Callable[[int, Reply], tuple[int, float, bytes]]
"""From the number of a request and the real candidate's answer to status, seconds, and body."""


@dataclass
class Judge:
    """A process of `headway judge`, which may be killed and started again; it keeps its port."""

    folder: Path
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    more: tuple[str, ...] = ()
    """Further words of the command."""

    async def start(self) -> None:
        """Until it takes reports."""
        files = (f"--route={self.folder / 'route.json'}", f"--verdict={self.folder / 'verdict.json'}")
        self.process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "judge", *files, f"--token-file={self.folder / 'token'}"),
            *(f"--port={self.port}", "--admin-port=0", *self.more),
            stdout=asyncio.subprocess.PIPE,
            env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        said = (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).decode()
        told = re.search(r"on http://127.0.0.1:(\d+) \(health and metrics on port \d+\)\n", said)
        assert told, said
        self.port = int(told[1])

    async def kill(self) -> None:
        """It has no time for a last word."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def end(self) -> int:
        """As a cluster does."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@dataclass
class World:
    """A judge, the stable server, and a candidate."""

    folder: Path
    judge: Judge
    stable: Server
    candidate: Server
    route: Route = field(default_factory=Route)

    def write(self, share: float, **more: Any) -> None:
        """As the operator does."""
        told = {"candidate_url": self.candidate.url, "analysis": ANALYSIS, "salt": "s", **more}
        self.route = Route(uid=UID, epoch=self.route.epoch + 1, stable=1, candidate=2, share=share, **told)
        new = self.folder / "route.new"
        new.write_text(self.route.model_dump_json())
        new.replace(self.folder / "route.json")

    @property
    def verdict(self) -> Verdict:
        """The judge's last word."""
        file = self.folder / "verdict.json"
        return Verdict.model_validate_json(file.read_text()) if file.exists() else Verdict()

    async def said(self, what: Callable[[Verdict], bool]) -> Verdict:
        """Wait until this holds of its word."""
        async with asyncio.timeout(PATIENCE):
            while not what(self.verdict):  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.05)
        return self.verdict

    async def prepared(self) -> None:
        """What is slow is known, before the candidate has any request."""
        self.write(0.0)
        await self.said(lambda said: said.epoch == self.route.epoch and said.following == 1)
        async with Load(self.stable.port, total=800):
            pass
        await self.said(lambda said: said.epoch == self.route.epoch and said.slow_seconds is not None)

    async def passed(self, share: float, **more: Any) -> Verdict:
        """Go to a step, and wait until it is passed."""
        self.write(share, **more)
        epoch = self.route.epoch
        found = await self.said(lambda said: said.epoch == epoch and said.verdict != "open")
        assert found.verdict == "pass", found.message
        assert found.candidate_requests >= ANALYSIS.min_requests
        return found


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """All three, each of which has to end well."""
    for name in ("1", "2"):
        (folder / name).mkdir()
    words = judged(folder, 0)
    judge = Judge(folder)
    await judge.start()
    words[0] = f"--judge=http://127.0.0.1:{judge.port}"
    try:
        async with serving(folder / "1", 1, *words) as stable, serving(folder / "2", 2, *words) as candidate:
            yield World(folder, judge, stable, candidate)
        assert await judge.end() == 0
    finally:
        if judge.process is not None and judge.process.returncode is None:
            await judge.kill()


@dataclass
class Bent:
    """A port where the real candidate's answers are made worse."""

    bend: Bend
    to: int
    port: int = 0
    last: float = 0.0
    """When a request came last."""
    number: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        """Where a route says that it is."""
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.last = time.monotonic()
        reply = await ask(self.to, "POST", scope["path"], body, headway_hop="1")
        status, seconds, told = self.bend(next(self.number), reply)
        await asyncio.sleep(seconds)
        took = float(reply.headers["headway-seconds"]) + seconds
        headers = [
            (b"content-type", reply.headers["content-type"].encode()),
            (b"content-length", b"%d" % len(told)),
            (b"headway-version", b"2"),
            (b"headway-seconds", b"%.6f" % took),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": told})


@contextlib.asynccontextmanager
async def bent(candidate: Server, bend: Bend) -> AsyncIterator[Bent]:
    """The candidate with something that is wrong."""
    made = Bent(bend, candidate.port)
    listener = Listener(made, "127.0.0.1", 0, HttpLimits())
    await listener.start()
    made.port = listener.port
    try:
        yield made
    finally:
        await listener.stop(0)


async def test_a_good_candidate_passes_step_by_step_also_where_the_judge_is_killed_in_between(tmp_path: Path) -> None:
    async with world(tmp_path) as there:
        await there.prepared()
        async with Load(there.stable.port) as load:
            await there.passed(0.0, mode="shadow", mirror=0.5)
            await there.passed(0.25, mirror=0.5)
            before = await there.passed(0.5)
            await there.judge.kill()
            answered = load.of("2")
            await load.sent(500)
            assert load.of("2") > answered, "servers keep to what they were told"
            await there.judge.start()
            after = await there.said(lambda said: said.beat > before.beat and said.candidate_requests > 0)
            assert after.candidate_requests >= before.candidate_requests
            assert after.gates[0].requests >= before.gates[0].requests, "the first step's are among them"
            last = await there.passed(1.0)
            assert last.gates[0].requests >= before.gates[0].requests + last.candidate_requests
        assert load.failed == {}
        async with Load(there.candidate.port) as load:
            baked = await there.passed(1.0, baking=True)
        assert load.failed == {}
        assert baked.servers == 1
        assert [gate.verdict for gate in baked.gates if gate.name == "errors"] == ["pass"]


def _fifth_fails(number: int, reply: Reply) -> tuple[int, float, bytes]:
    return (500, 0.0, b"{}") if number % 5 == 0 else (200, 0.0, reply.body)


def _slow(_: int, reply: Reply) -> tuple[int, float, bytes]:
    return 200, 0.3, reply.body


def _other_labels(_: int, reply: Reply) -> tuple[int, float, bytes]:
    return 200, 0.0, reply.body.replace(b"Kobe", b"Nara")


SHADOW = {"share": 0.0, "mode": "shadow", "mirror": 0.5}


@pytest.mark.parametrize(
    ("bend", "route", "reason", "gate"),
    [
        (_fifth_fails, {"share": 0.25}, "ErrorRate", "errors"),
        (_slow, {"share": 0.25}, "Latency", "latency against stable"),
        (_other_labels, {"share": 0.1, "mirror": 0.5}, "Agreement", "disagreement"),
        (_other_labels, SHADOW, "Agreement", "disagreement"),
        (_fifth_fails, SHADOW, "ErrorRate", "errors"),
    ],
    ids=["one in five requests fails", "slow", "other labels", "other labels in its shadow", "fails in the shadow"],
)
async def test_a_bad_candidate_fails_and_has_no_request_within_seconds_and_no_client_sees_it(
    bend: Bend, route: dict[str, Any], reason: str, gate: str, tmp_path: Path
) -> None:
    async with world(tmp_path) as there, bent(there.candidate, bend) as candidate:
        await there.prepared()
        async with Load(there.stable.port) as load:
            there.write(candidate_url=candidate.url, **route)
            failed = await there.said(lambda said: said.verdict == "fail")
            proved = time.monotonic()
            await load.sent(500)
            await asyncio.sleep(max(0.0, proved + RETURN_SECONDS - time.monotonic()))
            last = candidate.last
            await load.sent(500)
            assert candidate.last == last, "requests still go to it"
            assert last - proved < RETURN_SECONDS
        assert load.failed == {}
        assert route is not SHADOW or load.of("2") == 0, "its answers are given to nobody"
        assert (failed.reason, failed.epoch) == (reason, there.route.epoch)
        assert failed.message.startswith(gate)
        await there.judge.kill()
        await there.judge.start()
        there.write(0.0)
        again = await there.said(lambda said: said.epoch == there.route.epoch)
        assert (again.verdict, again.message) == ("fail", failed.message)


POISON = BODY.replace(b"1.5", b"13.5")
"""A body that the candidate below fails at: the model gives back what it is given, and its double."""


def _fails_at_poison(_: int, reply: Reply) -> tuple[int, float, bytes]:
    return (500, 0.0, b"{}") if b"27.0" in reply.body else (200, 0.0, reply.body)


async def test_of_one_unit_a_hundred_errors_are_one_and_of_many_units_they_are_many(tmp_path: Path) -> None:
    async with world(tmp_path) as there, bent(there.candidate, _fails_at_poison) as candidate:
        await there.prepared()
        analysis = Analysis(min_requests=100, latency_not_worse=False)
        unit = Unit(header="x-user")
        there.write(0.5, mode="abTest", unit=unit, candidate_url=candidate.url, analysis=analysis)
        await there.said(lambda said: said.epoch == there.route.epoch and said.following == 1)
        wire = await Wire.to(there.stable.port)

        async def ask_as(user: str, body: bytes = BODY) -> str:
            reply = await wire.ask("POST", INFER, body, x_user=user)
            assert reply.status == 200, "no client sees what the candidate does"
            return reply.headers["headway-version"]

        users = {user: await ask_as(user) for user in (f"user {number}" for number in range(200))}
        assert {await ask_as(user) for user, version in users.items() if version == "2"} == {"2"}, "each stays"
        its = [user for user, version in users.items() if version == "2"]
        for _ in range(100):
            assert await ask_as(its[0], POISON) == "1", "answered in the candidate's place"
            assert await ask_as(its[1]) == "2", "so many failures in a row would open the breaker"
        found = await there.said(lambda said: said.candidate_requests >= 2 * len(its) + 200)
        assert found.verdict == "pass", found.message
        assert found.gates[0].value == pytest.approx(1 / found.gates[0].requests, rel=1e-3)
        for user in its[:25]:
            await ask_as(user, POISON)
            await ask_as(its[1])
        failed = await there.said(lambda said: said.verdict == "fail")
        assert failed.reason == "ErrorRate"
        await wire.close()


async def test_reports_without_the_token_are_nobody_s(tmp_path: Path) -> None:
    async with world(tmp_path) as there:
        there.write(0.5)
        refused = await ask(there.judge.port, "POST", "/v1/report", BODY, authorization="Bearer another")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert (await ask(there.stable.port, "POST", INFER, BODY)).status == 200
