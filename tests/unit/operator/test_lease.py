"""Leader election on clocks of the tests' own: one works at a time, and a frozen leader does not come back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headway_operator.engine import kube
from headway_operator.engine.kube import RetryableError
from headway_operator.engine.lease import (
    POLL_SECONDS,
    RENEW_SECONDS,
    TAKE_OVER_SECONDS,
    TRUST_SECONDS,
    Clocks,
    Elector,
)
from sim.fakes.api import ApiServer, Call, FakeKube


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def candidate(server: ApiServer, time: Time, name: str) -> tuple[Elector, FakeKube]:
    api = FakeKube(server)
    clocks = Clocks(steady=lambda: time.now, wall=lambda: time.now, sleep=time.sleep)
    return Elector(api, namespace="headway", name="headway-operator", identity=name, clocks=clocks), api


def stage() -> tuple[ApiServer, Time]:
    time = Time()
    return ApiServer(lambda: time.now), time


def holder(server: ApiServer) -> dict[str, Any]:
    lease = server.find(kube.LEASES, "headway-operator", "headway")
    assert lease is not None
    spec: dict[str, Any] = lease["spec"]
    return spec


def test_the_first_candidate_holds_the_lease_at_once() -> None:
    server, time = stage()
    first, _ = candidate(server, time, "a")
    assert not first.may_write()
    asyncio.run(first.acquire())
    assert first.may_write()
    assert holder(server)["holderIdentity"] == "a"
    assert time.now == 1000


def test_a_second_candidate_waits_until_the_lease_stands_still_for_long_enough() -> None:
    server, time = stage()
    first, _ = candidate(server, time, "a")
    second, _ = candidate(server, time, "b")
    asyncio.run(first.acquire())
    asyncio.run(second.acquire())
    assert TAKE_OVER_SECONDS <= time.now - 1000 <= TAKE_OVER_SECONDS + 2
    assert holder(server)["holderIdentity"] == "b"
    assert holder(server)["leaseTransitions"] == 1
    assert not first.may_write()


def test_a_lease_that_was_released_is_taken_at_once() -> None:
    server, time = stage()
    first, _ = candidate(server, time, "a")
    second, _ = candidate(server, time, "b")
    asyncio.run(first.acquire())
    asyncio.run(first.release())
    assert not first.may_write()
    asyncio.run(second.acquire())
    assert time.now == 1000


def test_a_leader_that_cannot_renew_stops_writing_before_another_may_begin() -> None:
    server, time = stage()
    leader, api = candidate(server, time, "a")
    asyncio.run(leader.acquire())

    def down(_: Call) -> None:
        raise RetryableError("no answer")

    api.before = down
    asyncio.run(leader.keep())
    assert not leader.may_write()
    assert time.now - 1000 <= TRUST_SECONDS + 2 < TAKE_OVER_SECONDS


def test_a_leader_that_was_frozen_may_not_write_when_it_thaws() -> None:
    server, time = stage()
    leader, _ = candidate(server, time, "a")
    asyncio.run(leader.acquire())
    time.now += 60
    assert not leader.may_write()


def test_a_leader_that_was_frozen_during_its_renewal_gives_up() -> None:
    server, time = stage()
    leader, api = candidate(server, time, "a")
    asyncio.run(leader.acquire())

    def freeze(call: Call) -> None:
        if call.verb == "update":
            time.now += 60

    api.after = freeze
    asyncio.run(leader.keep())
    assert not leader.may_write()


def test_a_leader_that_finds_another_s_name_on_the_lease_gives_up() -> None:
    server, time = stage()
    leader, _ = candidate(server, time, "a")
    asyncio.run(leader.acquire())
    server.change(kube.LEASES, "headway-operator", lambda lease: lease["spec"].update(holderIdentity="b"), "headway")
    asyncio.run(leader.keep())
    assert not leader.may_write()
    assert holder(server)["holderIdentity"] == "b"


def test_a_process_that_begins_again_under_its_name_need_not_wait() -> None:
    server, time = stage()
    before, _ = candidate(server, time, "a")
    asyncio.run(before.acquire())
    time.now += 1
    after, _ = candidate(server, time, "a")
    asyncio.run(after.acquire())
    assert time.now == 1001
    assert after.may_write()
    assert holder(server)["leaseTransitions"] == 1


def test_of_two_living_processes_of_one_name_the_older_stops_at_its_next_renewal() -> None:
    server, time = stage()
    older, _ = candidate(server, time, "a")
    asyncio.run(older.acquire())
    newer, _ = candidate(server, time, "a")
    time.now += 0.5
    asyncio.run(newer.acquire())
    asyncio.run(older.keep())
    assert not older.may_write()
    assert time.now <= 1000 + 0.5 + RENEW_SECONDS + POLL_SECONDS
    asyncio.run(older.release())
    assert holder(server)["holderIdentity"] == "a", "it was not the older one's to release"
    assert newer.may_write()


def test_a_renewal_whose_answer_was_lost_is_still_ours() -> None:
    server, time = stage()
    leader, api = candidate(server, time, "a")
    asyncio.run(leader.acquire())
    renewals = 0

    def lose(call: Call) -> None:
        nonlocal renewals
        if call.verb == "update":
            renewals += 1
            if renewals == 1:
                raise RetryableError("no answer")
            if renewals == 4:
                api.before = gone

    def gone(_: Call) -> None:
        raise RetryableError("no answer")

    api.after = lose
    asyncio.run(leader.keep())
    assert renewals == 4


def test_of_two_candidates_for_a_new_lease_the_one_that_creates_it_has_it() -> None:
    server, time = stage()
    late, api = candidate(server, time, "a")
    quick, _ = candidate(server, time, "b")

    def overtake(call: Call) -> None:
        if call.verb == "create":
            api.before = lambda _: None
            body = {"metadata": {"name": "headway-operator"}, "spec": {"holderIdentity": "b", "renewTime": "now"}}
            server.create(kube.LEASES, "headway", body)

    api.before = overtake
    asyncio.run(late.acquire())
    assert time.now >= 1000 + TAKE_OVER_SECONDS
    assert not quick.may_write()


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": None}, {"holderIdentity": ""}])
def test_a_lease_without_a_holder_is_free(spec: dict[str, Any]) -> None:
    server, time = stage()
    server.create(kube.LEASES, "headway", {"metadata": {"name": "headway-operator"}, "spec": spec})
    only, _ = candidate(server, time, "a")
    asyncio.run(only.acquire())
    assert only.may_write()
