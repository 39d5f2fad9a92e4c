"""Copies for the candidate: after the answer, within bounds, and counted as the mode says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from headway_api.rollout_wire import Counts, Reply, Route
from headway_server.batching import Batcher
from headway_server.split.breaker import FAILURES
from headway_server.split.handing import CandidateFailed, Splitting
from headway_server.split.mirror import MOST_AT_ONCE, MOST_BYTES, MOST_WAITING, Mirror
from headway_server.split.state import Outcome, State
from wire_client import when


@dataclass
class Copied:
    """A copy that a candidate answers as a test says."""

    says: Any = "same"
    bytes: int = 10
    until: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0

    def copied(self) -> Copied:
        return self

    def size(self, _answer: Any) -> int:
        return self.bytes

    async def theirs(self, _route: Route, _seconds: float) -> tuple[Any, float]:
        self.sent += 1
        await self.until.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says, 0.5

    def alike(self, own: Any, theirs: Any, _tolerance: float) -> bool:
        return bool(own == theirs)


@dataclass
class World:
    """A server that copies all it answers."""

    mode: Any

    def __post_init__(self) -> None:
        self.state = State(1, "uid", "boot", lot=lambda: 0.5, clock=lambda: 0.0)
        self.tell(1, self.mode)
        self.mirror = Mirror(Splitting(self.state, Batcher(dict), 10.0))

    def tell(self, epoch: int, mode: Any, **more: Any) -> None:
        """A route."""
        told = {"uid": "uid", "epoch": epoch, "stable": 1, "candidate": 2, "share": 0.1, "mirror": 1.0} | more
        self.state.take(Reply(route=Route(**told, mode=mode), slow_seconds=0.1))

    def put(self, request: Copied, answer: Any = "same", seconds: float = 0.01) -> None:
        """A request was answered."""
        outcome = Outcome(error=True) if answer is None else Outcome(seconds)
        self.mirror.put(request, self.state.choose(None, room=True), answer, outcome)

    @property
    def epoch(self) -> Any:
        """What was counted."""
        return self.state.report().epochs[-1]


@pytest.fixture
async def shadow() -> AsyncIterator[World]:
    """In mode shadow."""
    world = World("shadow")
    yield world
    await world.mirror.close()


@pytest.fixture
async def canary() -> AsyncIterator[World]:
    """In mode canary."""
    world = World("canary")
    yield world
    await world.mirror.close()


async def test_a_copy_is_sent_after_the_answer_and_both_versions_counted(shadow: World) -> None:
    request = Copied()
    request.until.set()
    shadow.put(request)
    assert request.sent == 0  # the answer is written first
    await when(lambda: shadow.mirror.sent)
    assert shadow.epoch.mirrored == Counts(requests=1)
    assert shadow.epoch.candidate == Counts(requests=1, slow=1)
    assert (shadow.epoch.compared, shadow.epoch.disagreed) == (1, 0)


@pytest.mark.parametrize(
    ("says", "answer", "candidate", "compared", "disagreed"),
    [
        ("other", "same", Counts(requests=1, slow=1), 1, 1),
        (CandidateFailed("500"), "same", Counts(requests=1, errors=1), 0, 0),
        (CandidateFailed("late", late=True), "same", Counts(requests=1, errors=1, slow=1), 0, 0),
        (CandidateFailed("400", refused=True), "same", Counts(requests=1, errors=1), 0, 0),
        ("same", None, Counts(requests=1, slow=1), 0, 0),
    ],
)
async def test_in_the_shadow_each_failure_counts_and_only_two_answers_are_compared(  # noqa: PLR0917 - a table
    says: Any, answer: Any, candidate: Counts, compared: int, disagreed: int, shadow: World
) -> None:
    request = Copied(says)
    request.until.set()
    shadow.put(request, answer)
    await when(lambda: shadow.mirror.sent)
    assert shadow.epoch.candidate == candidate
    assert shadow.epoch.mirrored == Counts(requests=1, errors=int(answer is None))
    assert (shadow.epoch.compared, shadow.epoch.disagreed) == (compared, disagreed)


async def test_copies_of_a_canary_are_only_compared(canary: World) -> None:
    for says in ("other", CandidateFailed("500")):
        request = Copied(says)
        request.until.set()
        canary.put(request)
    failed = Copied()
    canary.put(failed, None)
    await when(lambda: canary.mirror.sent == 2)
    assert (canary.epoch.candidate, canary.epoch.mirrored) == (Counts(), Counts())
    assert (canary.epoch.compared, canary.epoch.disagreed, failed.sent) == (1, 1, 0)


async def test_what_there_is_no_room_for_is_dropped_and_counted(shadow: World) -> None:
    until = asyncio.Event()
    requests = [Copied(until=until) for _ in range(200)]
    for request in requests:
        shadow.put(request)
        await asyncio.sleep(0)
    assert sum(one.sent for one in requests) == MOST_AT_ONCE
    assert shadow.mirror.dropped == 200 - MOST_AT_ONCE - MOST_WAITING
    until.set()
    await when(lambda: shadow.mirror.sent == MOST_AT_ONCE + MOST_WAITING)
    large = Copied(bytes=MOST_BYTES)
    shadow.put(large)
    shadow.put(Copied())
    assert shadow.mirror.dropped == 200 - MOST_AT_ONCE - MOST_WAITING + 1


async def test_a_candidate_that_fails_again_and_again_gets_no_more_copies(shadow: World) -> None:
    for _ in range(3 * FAILURES):
        request = Copied(CandidateFailed("500"))
        request.until.set()
        shadow.put(request)
        await asyncio.sleep(0.001)
    assert shadow.mirror.sent == FAILURES
    assert shadow.epoch.candidate == Counts(requests=FAILURES, errors=FAILURES)


async def test_copies_for_a_candidate_that_is_gone_are_not_sent(shadow: World) -> None:
    request = Copied()
    shadow.put(request)
    shadow.tell(2, "canary", candidate=3)
    await when(lambda: shadow.mirror.dropped)
    assert request.sent == 0


async def test_a_fault_in_a_copy_ends_no_other(shadow: World, caplog: pytest.LogCaptureFixture) -> None:
    for says in (KeyError("a bug"), "same"):
        request = Copied(says)
        request.until.set()
        shadow.put(request)
    await when(lambda: shadow.mirror.sent)
    assert "a copy of a request could not be sent" in caplog.text


async def test_at_the_end_what_waits_is_dropped(shadow: World) -> None:
    request = Copied()
    shadow.put(request)
    await when(lambda: request.sent)
    await shadow.mirror.close()
    assert shadow.epoch.candidate == Counts()
