"""Two processes of `headway serve`, of two models: requests are split between them exactly, and no request fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from grpc_requests import Client as GrpcClient
from grpc_requests import raw
from headway_api.rollout_wire import EpochCounts, Unit
from headway_server.grpc import descriptors
from headway_server.http.limits import HttpLimits
from headway_server.http.listener import Listener
from served import echo
from stub_judge import StubJudge, judged, stub_judge
from wire_client import PATIENCE, ask

from .split_world import BODY, INFER, Load, serving, world


def within(count: int, total: int, share: float) -> bool:
    """Whether a count is what a share of so many gives, but for one time in 100,000."""
    return abs(count - total * share) <= 4.5 * math.sqrt(total * share * (1 - share))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where models and token are."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    return tmp_path


async def test_each_share_is_exact_and_all_is_counted_once_for_the_version_it_was_drawn_for(folder: Path) -> None:
    async with world(folder) as there:
        for share, total in ((0.05, 4000), (0.5, 2000), (1.0, 400)):
            await there.split(share=share)
            async with Load(there.stable.port, total=total) as load:
                pass
            assert load.failed == {}
            assert within(load.of("2"), total, share), load.answers
            stable, candidate = await there.judge.counts()
            assert (stable.requests, candidate.requests) == (load.of("1"), load.of("2"))
            assert (stable.errors, candidate.errors) == (0, 0)
        await there.split(share=0.0)
        async with Load(there.stable.port, total=400) as load:
            pass
        assert load.answers == {(200, "1"): 400}
        answers = (await ask(there.stable.admin, "GET", "/metrics")).body.decode()
        assert re.search(r'headway_server_answers_total\{answered_by="2".*version="1"\} \d{3}', answers), answers
        own = int(await there.stable.metric('answers_total{answered_by="1"'))
        await there.judge.heard(lambda: (told := there.judge.of(1)) is not None and sum(told.seconds) == own)


@pytest.mark.parametrize("how", ["killed", "hung", "terminated"])
async def test_no_request_fails_when_the_candidate_is(how: str, folder: Path) -> None:
    async with world(folder) as there:
        await there.split(share=0.5, slow=0.02)
        async with Load(there.stable.port) as load:
            await load.sent(200)
            assert load.of("2") > 0
            number = {"killed": signal.SIGKILL, "hung": signal.SIGSTOP, "terminated": signal.SIGTERM}[how]
            there.candidate.process.send_signal(number)
            await there.judge.heard(lambda: (told := there.judge.of(1)) is not None and told.breaker_open)
            await load.sent(500)
        assert load.failed == {}
        assert load.slowest < 5.0
        _, candidate = await there.judge.counts()
        assert candidate.errors >= 5
        if how == "hung":
            assert candidate.slow >= 5
            there.candidate.process.send_signal(signal.SIGCONT)
            async with Load(there.stable.port) as load:
                await there.judge.heard(lambda: (told := there.judge.of(1)) is not None and not told.breaker_open)
                before = load.of("2")
                await load.sent(200)
            assert load.of("2") > before
            assert load.failed == {}


async def test_the_stable_server_s_end_drops_nothing_that_is_with_the_candidate(folder: Path) -> None:
    async with world(folder) as there:
        await there.split(share=0.5)
        async with Load(there.stable.port) as load:
            await load.sent(200)
            there.stable.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1.0)  # clients of a server that ends are sent elsewhere for --drain-seconds
        assert load.failed == {}
        assert load.of("2") > 0
        assert await asyncio.wait_for(there.stable.process.wait(), PATIENCE) == 0
        report = there.judge.of(1)
        assert report is not None
        counted = sum(one.stable.requests + one.candidate.requests for one in report.epochs)
        assert counted == load.answers.total()  # the last report is sent when the last request is answered


@contextlib.asynccontextmanager
async def bad_candidate(answer: Callable[[], tuple[int, float]]) -> AsyncIterator[int]:
    """A port where each request gets this status after so many seconds."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        status, seconds = answer()
        await asyncio.sleep(seconds)
        headers = [(b"content-length", b"2"), (b"headway-version", b"2")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    listener = Listener(app, "127.0.0.1", 0, HttpLimits())
    await listener.start()
    try:
        yield listener.port
    finally:
        await listener.stop(0)


@pytest.mark.parametrize(
    ("status", "seconds", "reason"),
    [(500, 0.0, "failed"), (503, 0.0, "failed"), (400, 0.0, "refused"), (200, 3.0, "late")],
)
async def test_a_candidate_s_errors_reach_no_client_and_count_against_it(
    status: int, seconds: float, reason: str, folder: Path
) -> None:
    async with world(folder) as there, bad_candidate(lambda: (status, seconds)) as port:
        await there.split(share=0.2, slow=0.02, candidate_url=f"http://127.0.0.1:{port}")
        async with Load(there.stable.port) as load:
            await there.judge.heard(lambda: (told := there.judge.of(1)) is not None and told.breaker_open)
        assert load.failed == {}
        assert load.of("2") == 0
        stable, candidate = await there.judge.counts()
        assert candidate.errors == candidate.requests >= 5
        assert candidate.slow == (candidate.requests if reason == "late" else 0)
        assert stable.errors == 0
        assert await there.stable.metric(f'fallbacks_total{{model="churn",reason="{reason}"') == candidate.errors


async def test_a_request_at_fault_itself_is_nobody_s_error(folder: Path) -> None:
    async with world(folder) as there:
        await there.split(share=1.0)
        bad = await ask(there.stable.port, "POST", INFER, b"{}")
        assert (bad.status, bad.headers["headway-version"]) == (400, "1")
        stable, candidate = await there.judge.counts()
        assert (stable.requests, candidate.requests) == (0, 0)


async def test_the_judge_may_go_and_come_back_and_a_new_server_splits_from_its_first_request(folder: Path) -> None:
    async with serving(folder / "2", 2) as candidate:
        async with stub_judge() as judge:
            judge.route(epoch=3, share=1.0, candidate_url=candidate.url)
            port = judge.port
            async with serving(folder / "1", 1, *judged(folder, port)) as stable:
                first = await ask(stable.port, "POST", INFER, BODY)
                assert (first.status, first.headers["headway-version"]) == (200, "2")
        async with serving(folder / "1", 1, *judged(folder, port)) as stable:  # nobody is there
            assert (await ask(stable.port, "POST", INFER, BODY)).headers["headway-version"] == "1"
            async with stub_judge(port, StubJudge(reply=judge.reply)) as judge:
                await judge.follows()
                assert (await ask(stable.port, "POST", INFER, BODY)).headers["headway-version"] == "2"
            await asyncio.sleep(2.0)  # some reports reach nobody
            assert (await ask(stable.port, "POST", INFER, BODY)).headers["headway-version"] == "2"


async def test_a_version_in_the_path_is_answered_by_that_version_and_not_counted(folder: Path) -> None:
    async with world(folder) as there:
        await there.split(share=0.5)
        for version, status in (("1", 200), ("2", 200), ("3", 404)):
            for _ in range(20):
                reply = await ask(there.stable.port, "POST", f"/v2/models/churn/versions/{version}/infer", BODY)
                assert reply.status == status
                if status == 200:
                    assert reply.headers["headway-version"] == version
                    assert reply.json["model_version"] == version
        bad = await ask(there.stable.port, "POST", "/v2/models/churn/versions/2/infer", b"{}")
        assert (bad.status, bad.headers["headway-version"]) == (400, "2")
        stable, candidate = await there.judge.counts()
        assert (stable.requests, candidate.requests) == (0, 0)


async def test_a_request_that_was_handed_over_is_answered_and_not_handed_on(folder: Path) -> None:
    async with world(folder) as there:
        await there.split(share=1.0)
        reply = await ask(there.stable.port, "POST", INFER, BODY, headway_hop="7")
        assert reply.headers["headway-version"] == "1"
        assert 0 < float(reply.headers["headway-seconds"]) < 10
        own = await ask(there.candidate.port, "POST", INFER, BODY)  # of another version, so it splits nothing
        assert own.headers["headway-version"] == "2"
        assert "headway-seconds" not in own.headers


async def test_a_browser_gets_a_cookie_and_meets_one_version_from_then_on(folder: Path) -> None:
    async with world(folder) as there:
        await there.split(mode="abTest", share=0.5, unit=Unit(cookie="ab").model_dump())
        met = set()
        for _ in range(20):
            first = await ask(there.stable.port, "POST", INFER, BODY)
            cookie = first.headers["set-cookie"].partition(";")[0]
            assert cookie.startswith("ab=")
            for _ in range(3):
                again = await ask(there.stable.port, "POST", INFER, BODY, cookie=f"x=1; {cookie}")
                assert again.headers["headway-version"] == first.headers["headway-version"]
                assert "set-cookie" not in again.headers
            met.add(first.headers["headway-version"])
        assert met == {"1", "2"}


async def test_binary_and_compressed_answers_are_the_candidate_s_own(folder: Path) -> None:
    rows = 2000
    sizes, towns = [0.5] * rows, ["x"] * rows
    inputs = [
        {"name": "size", "shape": [rows, 1], "datatype": "FP64", "data": sizes},
        {"name": "town", "shape": [rows, 1], "datatype": "BYTES", "data": towns},
    ]
    body = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    async with world(folder) as there:
        await there.split(share=1.0)
        own = await ask(there.candidate.port, "POST", INFER, body)
        handed = await ask(there.stable.port, "POST", INFER, body)
        small = await ask(there.stable.port, "POST", INFER, body, accept_encoding="gzip")
        by_name = json.dumps({"instances": [{"size": 1, "town": "Kobe"}]}).encode()
        named = await ask(there.stable.port, "POST", "/v1/models/churn:predict", by_name)
    assert handed.body == own.body
    for header in ("content-type", "inference-header-content-length", "headway-version"):
        assert handed.headers[header] == own.headers[header]
    assert small.headers["content-encoding"] == "gzip"
    assert (named.status, named.headers["headway-version"]) == (200, "2")
    assert named.json["predictions"][0]["label"] == "Kobe"


async def test_in_the_shadow_clients_never_meet_the_candidate_and_it_is_held_against_the_same_requests(
    folder: Path,
) -> None:
    async with world(folder, model=echo("!")) as there:
        await there.split(mode="shadow", mirror=0.5, slow=10.0)
        async with Load(there.stable.port, total=400) as load:
            pass
        assert load.answers == {(200, "1"): 400}
        await there.judge.counts()
        copies = int(await there.candidate.metric("request_seconds_count"))
        dropped = int(await there.stable.metric("mirrors_dropped_total"))
        assert within(copies + dropped, 400, 0.5)
        epoch = epoch_of(there.judge)
        assert epoch is not None
        assert epoch.stable.requests == 400
        assert epoch.candidate.requests == epoch.mirrored.requests == epoch.disagreed == copies
        assert epoch.candidate.errors == epoch.mirrored.errors == 0
        there.candidate.process.kill()
        async with Load(there.stable.port, total=400) as load:
            pass
        assert load.answers == {(200, "1"): 400}
        await there.judge.heard(lambda: (told := epoch_of(there.judge)) is not None and told.candidate.errors >= 5)


@pytest.mark.parametrize(("mark", "differ"), [("", False), ("!", True)])
async def test_answers_of_a_canary_s_copies_are_compared(mark: str, differ: bool, folder: Path) -> None:
    async with world(folder, model=echo(mark)) as there:
        await there.split(share=0.1, mirror=0.5)
        async with Load(there.stable.port, total=200) as load:
            pass
        by_name = json.dumps({"instances": [{"size": 1, "town": "Kobe"}]}).encode()
        for _ in range(20):
            await ask(there.stable.port, "POST", "/v1/models/churn:predict", by_name)
        stable, candidate = await there.judge.counts()
        assert stable.requests + candidate.requests == load.answers.total() + 20
        epoch = epoch_of(there.judge)
        assert epoch is not None
        assert epoch.compared > 20
        assert epoch.disagreed == (epoch.compared if differ else 0)


def epoch_of(judge: StubJudge) -> EpochCounts | None:
    """What the stable server told last of the newest epoch."""
    report = judge.of(1)
    return report.epochs[-1] if report is not None and report.epochs else None


class GrpcLoad:
    """Calls one after the other, and which version answered."""

    def __init__(self, port: int) -> None:
        self.client = GrpcClient(port)

    async def ask(self, total: int = 1, **told: Any) -> Counter[str]:
        """So many calls, by the version that their answers tell; both ways in which they tell it agree."""
        versions: Counter[str] = Counter()
        for _ in range(total):
            call = self.client.channel.unary_unary(f"/{descriptors.INFERENCE}/ModelInfer")(
                raw(**told).SerializeToString(), timeout=30
            )
            answer = descriptors.ModelInferResponse.FromString(await call)
            metadata = dict(await call.trailing_metadata())
            assert metadata["headway-version"] == answer.model_version
            versions[answer.model_version] += 1
        return versions


@contextlib.asynccontextmanager
async def grpc_load(port: int) -> AsyncIterator[GrpcLoad]:
    """A client."""
    load = GrpcLoad(port)
    yield load
    await load.client.channel.close()


async def test_calls_by_grpc_are_split_as_requests_by_rest_are(folder: Path) -> None:
    async with world(folder) as there, grpc_load(there.stable.grpc) as load:
        await there.split(share=0.5)  # to a candidate that takes no gRPC
        assert await load.ask(40) == {"1": 40}
        await there.split(share=0.5, candidate_grpc=f"127.0.0.1:{there.candidate.grpc}")
        versions = await load.ask(400)
        assert within(versions["2"], 400, 0.5)
        stable, candidate = await there.judge.counts()
        assert (stable.requests, candidate.requests) == (versions["1"], versions["2"])
        assert (stable.errors, candidate.errors) == (0, 0)
        assert await load.ask(20, model_version="2") == {"2": 20}
        assert await load.ask(20, model_version="1") == {"1": 20}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await load.ask(model_version="3")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert (await there.judge.counts())[1].requests == versions["2"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_no_call_by_grpc_fails_when_the_candidate_is_gone(how: signal.Signals, folder: Path) -> None:
    async with world(folder) as there, grpc_load(there.stable.grpc) as load:
        await there.split(share=0.5, slow=0.02, candidate_grpc=f"127.0.0.1:{there.candidate.grpc}")
        assert (await load.ask(50))["2"] > 0
        there.candidate.process.send_signal(how)
        versions: Counter[str] = Counter()
        while not (there.judge.of(1) or pytest.fail("never heard")).breaker_open:
            versions += await load.ask(5)
        assert await load.ask(20) == {"1": 20}
        assert versions["2"] == 0
        _, candidate = await there.judge.counts()
        assert candidate.errors == 5


async def test_a_call_that_was_handed_over_tells_its_seconds_and_copies_are_compared(folder: Path) -> None:
    async with world(folder, model=echo("!")) as there, grpc_load(there.stable.grpc) as load:
        there_too = f"127.0.0.1:{there.candidate.grpc}"
        await there.split(mode="shadow", mirror=1.0, candidate_grpc=there_too)
        assert await load.ask(30) == {"1": 30}
        await there.judge.heard(lambda: (told := epoch_of(there.judge)) is not None and told.disagreed == 30)
        call = load.client.channel.unary_unary(f"/{descriptors.INFERENCE}/ModelInfer")(
            raw().SerializeToString(), timeout=30, metadata=(("headway-hop", "7"),)
        )
        await call
        told = dict(await call.trailing_metadata())
        assert 0 < float(told["headway-seconds"]) < 10
