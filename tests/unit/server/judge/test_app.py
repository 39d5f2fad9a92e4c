"""The judge's ports: who may report, what is refused and in which words, and what Prometheus is told."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from headway_api import drift_wire
from headway_api import rollout_wire as wire
from headway_server.judge.app import LIMITS, MOST_REPORTS_A_SECOND, Admin, Reports, Token
from headway_server.judge.gates import Counts
from headway_server.judge.metrics import Metrics
from headway_server.judge.rollout import Judge
from rollouts import STABLE, UID, counts, report, route

TOKEN = b"of the rollout"
BEARER = [(b"authorization", b"Bearer " + TOKEN)]


class World:
    """An app, and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.file = folder / "token"
        self.file.write_bytes(TOKEN + b"\n")
        self.judge, self.metrics = Judge(), Metrics()
        self.judge.read({wire.KEY_ROUTE: route().model_dump_json()}, self.now)
        self.judge.due(self.now)
        self.judge.wrote(self.now)
        self.now += 1.0
        self.urgent = 0
        token = Token(self.file, lambda: self.now)
        self.app: Any = Reports(self.judge, token, self.metrics, lambda: self.now, self._was_urgent)

    def _was_urgent(self) -> None:
        self.urgent += 1

    async def ask(
        self,
        body: bytes,
        headers: list[tuple[bytes, bytes]] | None = None,
        *,
        method: str = "POST",
        path: str = wire.REPORT_PATH,
    ) -> tuple[int, Any, dict[bytes, bytes]]:
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {"method": method, "path": path, "headers": BEARER if headers is None else headers}
        await self.app(scope, receive, send)
        told = sent[1]["body"]
        back = dict(sent[0]["headers"])
        return sent[0]["status"], json.loads(told) if back[b"content-type"] == b"application/json" else told, back

    def taken(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("headway_judge_reports_total", {"result": result}) or 0.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


GOOD = report(counts(stable=Counts(900), candidate=Counts(100, 60))).model_dump_json().encode()


async def test_a_report_with_the_token_is_taken_and_answered_with_the_route(world: World) -> None:
    status, told, _ = await world.ask(GOOD)
    assert status == 200
    assert wire.Reply.model_validate(told).route == route(share=0.0), "it fails"
    assert world.urgent == 1
    assert world.taken("taken") == 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer another")],
        [(b"authorization", b"Basic " + TOKEN)],
        [(b"authorization", TOKEN)],
        [(b"authorization", b"Bearer " + TOKEN + b"x")],
        [(b"authorization", b"Bearer \xff\xfe")],
    ],
)
async def test_without_the_token_nothing_is_taken(world: World, headers: list[tuple[bytes, bytes]]) -> None:
    world.now += 10
    status, told, back = await world.ask(GOOD, headers)
    assert (status, back[b"www-authenticate"]) == (401, b"Bearer")
    assert told["error"].startswith("a report needs the header Authorization: Bearer")
    assert world.taken("unauthorized") == 1
    assert world.judge.tally is not None
    assert world.judge.tally.steps() == []


async def test_a_token_that_was_renewed_is_read_again_but_no_more_than_once_a_second(world: World) -> None:
    world.file.write_bytes(b"renewed")
    renewed = [(b"authorization", b"bearer renewed")]
    assert (await world.ask(GOOD, renewed))[0] == 401
    world.now += 1.0
    assert (await world.ask(GOOD, renewed))[0] == 200
    assert (await world.ask(GOOD))[0] == 401
    world.file.unlink()
    world.now += 1.0
    assert (await world.ask(GOOD))[0] == 401
    assert (await world.ask(GOOD, renewed))[0] == 200


def test_an_empty_token_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ValueError, match="is empty: reports need a token"):
        Token(tmp_path / "token", lambda: 0.0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body: Invalid JSON"),
        (b"nonsense", "the body: Invalid JSON"),
        (b"[]", "the body: Input should be an object"),
        (b'{"uid": "u"}', "boot: Field required"),
        (GOOD.replace(b'"share":0.1', b'"share":1.5'), "epochs.0.share: Input should be less than or equal to 1"),
        (GOOD.replace(b'"share":0.1', b'"share":NaN'), "epochs.0.share: Input should be a finite number"),
        (
            GOOD.replace(b'"requests":900', b'"requests":"many"'),
            "epochs.0.stable.requests: Input should be",
        ),
        (report(uid="another").model_dump_json().encode(), "uid: 'another' is another deployment"),
        (b"\xff", "the body: Invalid JSON"),
        (b"[" * 10_000, "the body: Invalid JSON"),
    ],
)
async def test_what_is_no_report_is_refused_in_words(world: World, body: bytes, words: str) -> None:
    status, told, _ = await world.ask(body)
    assert (status, told["error"][: len(words)]) == (400, words)
    assert world.taken("invalid") == 1


async def test_a_body_that_is_too_large_is_not_read(world: World) -> None:
    size = LIMITS.max_request_bytes
    assert (await world.ask(b"", [*BEARER, (b"content-length", b"%d" % (size + 1))]))[0] == 413
    assert (await world.ask(b" " * (size + 1)))[0] == 413
    status, told, _ = await world.ask(GOOD + b" " * (size - len(GOOD)))
    assert status == 200, told


def test_the_largest_report_is_not_too_large() -> None:
    most = Counts(*[2**53 - 1] * 4)
    epochs = [counts(2**53 - 1, 0.123456789012345, stable=most, candidate=most, mirrored=most)] * wire.MOST_EPOCHS
    units = [wire.UnitEvent(epoch=2**53 - 1, unit="f" * 32, candidate=False, kind="error")] * wire.MOST_UNITS
    seconds = [2**53 - 1] * (len(wire.SECONDS_BOUNDS) + 1)
    largest = report(*epochs, boot="b" * 32, units=units, seconds=seconds).model_dump_json()
    assert len(largest.encode()) < LIMITS.max_request_bytes


async def test_more_reports_in_a_second_than_it_has_time_for_are_sent_away(world: World) -> None:
    for _ in range(MOST_REPORTS_A_SECOND):
        assert (await world.ask(b"{}"))[0] == 400
    status, told, back = await world.ask(GOOD)
    assert (status, back[b"retry-after"]) == (503, b"1")
    assert "report again later" in told["error"]
    world.now += 1.0
    assert (await world.ask(GOOD))[0] == 200


async def test_other_paths_and_methods_are_told_what_there_is(world: World) -> None:
    assert (await world.ask(GOOD, path="/v2/models"))[:2] == (
        404,
        {"error": "servers report to /v1/report and /v1/drift"},
    )
    status, told, back = await world.ask(b"", method="GET")
    assert (status, told["error"], back[b"allow"]) == (405, "/v1/report is for POST", b"POST")


async def test_the_admin_port_tells_health_and_numbers(world: World) -> None:
    await world.ask(GOOD)
    world.app = Admin(world.judge, world.metrics)
    for path in (wire.JUDGE_LIVE_PATH, wire.JUDGE_READY_PATH):
        assert (await world.ask(b"", [], method="GET", path=path))[:2] == (200, {"live": True, "judging": True})
    status, text, _ = await world.ask(b"", [], method="GET", path="/metrics")
    assert status == 200
    for line in (
        'headway_judge_reports_total{result="taken"} 1.0',
        "headway_judge_servers 1.0",
        "headway_judge_following 1.0",
        'headway_judge_evidence_needed{gate="errors against stable"} 40.0',
        'headway_judge_exchanges_total{result="failed"} 0.0',
    ):
        assert line in text.decode().splitlines()
    evidence = world.metrics.registry.get_sample_value("headway_judge_evidence", {"gate": "errors against stable"})
    assert evidence is not None
    assert evidence > 40.0
    assert (await world.ask(b"", [], method="POST", path="/metrics"))[0] == 405
    assert (await world.ask(b"", [], method="GET", path="/other"))[0] == 404
    world.metrics.tell(None)
    assert b"headway_judge_evidence{" not in world.metrics.text(), "there is no rollout any more"


class TestBatches:
    """Counts of rows come by a path of their own, under the same token and bounds."""

    async def asked(self, world: World, told: bytes, **more: Any) -> tuple[int, Any]:
        return (await world.ask(told, path=drift_wire.DRIFT_PATH, **more))[:2]

    def batch(self, **more: Any) -> bytes:
        return (
            drift_wire.Batch(**{"uid": UID, "boot": "one", "version": STABLE, "number": 3} | more)
            .model_dump_json()
            .encode()
        )

    async def test_a_batch_is_answered_whether_anything_is_watched_or_not(self, world: World) -> None:
        assert await self.asked(world, self.batch()) == (200, {"taken": 3, "judge": "", "reference": False})
        watch = drift_wire.Watch(uid=UID, version=STABLE, sample=0.5)
        told = {wire.KEY_ROUTE: route().model_dump_json(), drift_wire.KEY_WATCH: watch.model_dump_json()}
        world.judge.read(told, world.now)
        status, answer = await self.asked(world, self.batch())
        assert (status, answer["taken"], answer["reference"]) == (200, 0, True)
        assert len(answer["judge"]) == 16, "the name that it has drawn"

    async def test_one_without_the_token_or_of_another_deployment_is_refused(self, world: World) -> None:
        assert (await self.asked(world, self.batch(), headers=[]))[0] == 401
        status, told = await self.asked(world, self.batch(uid="another"))
        assert (status, told["error"][:15]) == (400, "uid: 'another' ")

    @pytest.mark.parametrize(
        ("told", "said"),
        [
            (b"{", "Invalid JSON"),
            (b"[]", "the body: "),
            (b'{"uid": "u", "boot": "b", "version": 1, "rows": 100001}', "rows: "),
            (
                b'{"uid": "u", "boot": "b", "version": 1, "counts": [{"cells": [%s]}]}' % b",".join([b"1"] * 65),
                "counts.0.cells: ",
            ),
        ],
    )
    async def test_what_is_no_batch_is_told_where(self, world: World, told: bytes, said: str) -> None:
        status, answer = await self.asked(world, told)
        assert status == 400
        assert said in answer["error"]

    async def test_one_that_is_too_long_is_not_read(self, world: World) -> None:
        assert (await self.asked(world, b" " * (drift_wire.BATCH_MAX_BYTES + 1)))[0] == 413
