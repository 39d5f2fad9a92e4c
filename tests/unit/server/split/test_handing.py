"""Who answers: the candidate its part, the own model whatever the candidate fails at, and each is counted once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from headway_api.rollout_wire import Counts, Reply, Route, Unit
from headway_server.batching import Batcher, Limits
from headway_server.errors import DeadlineExceeded, InvalidRequest, ModelFailed, Overloaded, RequestError
from headway_server.split.breaker import FAILURES
from headway_server.split.handing import CandidateFailed, Splitting, as_remembered
from headway_server.split.state import Outcome, State
from wire_client import when

ERRORS = [
    CandidateFailed("gone", connected=False),
    CandidateFailed("500"),
    CandidateFailed("late", late=True),
    CandidateFailed("400", refused=True),
]
TIMEOUT = 10.0


@dataclass
class Clock:
    """Stands, unless a test moves it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Request:
    """A request whose answers a test says."""

    clock: Clock
    candidate: str | Exception = "theirs"
    model: str | Exception = "own"
    seconds: float = 0.001
    own_seconds: float = 0.002
    way: float = 0.01
    timeout: float | None = None
    rows: int = 1
    hop: bool = False
    budgets: list[float] = field(default_factory=list)
    lefts: list[float | None] = field(default_factory=list)
    told_seconds: float | None = None
    until: asyncio.Event | None = None

    def unit(self, _told: Unit) -> bytes | None:
        return b"7"

    def given_unit(self, _told: Unit) -> bytes | None:
        return None

    def reaches(self, route: Route) -> bool:
        return bool(route.candidate_url)

    async def own(self, given: float | None) -> str:
        self.lefts.append(given)
        self.clock.now += self.own_seconds
        if isinstance(self.model, Exception):
            raise self.model
        return self.model

    async def theirs(self, _route: Route, seconds: float) -> tuple[str, float]:
        self.budgets.append(seconds)
        if self.until is not None:
            await self.until.wait()
        self.clock.now += self.way
        if isinstance(self.candidate, Exception):
            raise self.candidate
        return self.candidate, self.seconds

    def timed(self, answer: str, seconds: float) -> str:
        self.told_seconds = seconds
        return answer


class World:
    """A stable server that hands over all, with a batcher that nobody runs."""

    def __init__(self, *, slow: float | None = 0.05, limits: Limits | None = None, **route: Any) -> None:
        self.clock = Clock()
        self.state = State(1, "uid", "boot", lot=lambda: 0.5, clock=self.clock)
        told = {"uid": "uid", "epoch": 1, "stable": 1, "candidate": 2, "share": 1.0, "candidate_url": "http://c:80"}
        self.state.take(Reply(route=Route(**told | route), slow_seconds=slow))
        self.batcher = Batcher(dict, limits or Limits())
        self.splitting = Splitting(self.state, self.batcher, TIMEOUT, clock=self.clock)

    def request(self, **told: Any) -> Request:
        """One to be asked."""
        return Request(self.clock, **told)

    async def ask(self, **told: Any) -> str:
        """The answer to one."""
        return await self.splitting.answer(self.request(**told))

    @property
    def counts(self) -> tuple[Counts, Counts]:
        """Of both versions."""
        (epoch,) = self.state.report().epochs
        return epoch.stable, epoch.candidate


async def test_the_candidate_s_time_is_what_it_says_without_the_way() -> None:
    world = World(slow=0.05)
    assert await world.ask(seconds=0.04, way=0.2) == "theirs"
    assert await world.ask(seconds=0.06, way=0.2) == "theirs"
    assert await world.ask(seconds=9.0, way=0.01) == "theirs"  # never more than it took with the way
    assert world.counts == (Counts(), Counts(requests=3, slow=1))
    assert world.splitting.answered == {2: 3}
    assert sum(world.state.times.counts) == 0


@pytest.mark.parametrize("share", [0.4, 0.6])
async def test_what_the_own_cache_has_tells_of_no_versions_speed_and_of_errors_all_the_same(share: float) -> None:
    world = World(slow=0.05, share=share)
    ask = world.splitting.answer
    for remembered in (True, False):
        await ask(world.request(seconds=0.5, own_seconds=0.5, way=0.5), remembered=remembered)
    counted = world.counts[share > 0.5]
    assert (counted.requests, counted.slow) == (2, 1)
    assert sum(world.state.times.counts) == (1 if share < 0.5 else 0), "what is slow is told by runs of the model"


async def test_an_error_counts_whether_or_not_the_own_cache_has_the_answer() -> None:
    world = World(slow=0.05)
    late = world.request(candidate=CandidateFailed("late", late=True))
    assert await world.splitting.answer(late, remembered=True) == "own"
    assert (world.counts[1].errors, world.counts[1].slow) == (1, 0)


async def test_copies_of_what_the_own_cache_has_are_compared_by_their_answers_alone() -> None:
    world = World(slow=0.05, mode="shadow", share=0.0, mirror=1.0)
    for remembered in (True, False):
        choice = world.state.choose(None, room=True)
        if remembered:
            choice = as_remembered(choice)
        world.state.count_copy(choice, Outcome(0.001), Outcome(0.5), alike=False)
    (epoch,) = world.state.report().epochs
    assert (epoch.candidate.requests, epoch.candidate.slow, epoch.compared, epoch.disagreed) == (2, 1, 2, 2)


@pytest.mark.parametrize("problem", ERRORS, ids=str)
async def test_where_the_candidate_fails_the_own_model_answers_and_the_candidate_is_counted(
    problem: CandidateFailed,
) -> None:
    world = World()
    assert await world.ask(candidate=problem) == "own"
    assert world.counts == (Counts(), Counts(requests=1, errors=1, slow=int(problem.late)))
    assert world.splitting.answered == {1: 1}
    assert world.splitting.fallbacks.total() == 1


@pytest.mark.parametrize("problem", ERRORS, ids=str)
async def test_a_candidate_that_fails_again_and_again_is_left_alone(problem: CandidateFailed) -> None:
    world = World()
    for _ in range(FAILURES):
        await world.ask(candidate=problem)
    request = world.request()
    assert await world.splitting.answer(request) == "own"
    assert request.budgets == []
    assert world.counts == (Counts(), Counts(requests=5, errors=5, slow=5 * problem.late))
    world.clock.now += 100.0
    assert await world.ask(candidate=problem) == "own"  # a probe, which fails
    assert world.state.breaker.open
    assert not world.state.breaker.allows(world.clock.now)


async def test_a_request_that_both_find_fault_with_is_nobody_s_error_and_the_breaker_does_not_mind() -> None:
    world = World()
    for _ in range(2 * FAILURES):
        with pytest.raises(InvalidRequest):
            await world.ask(candidate=CandidateFailed("400", refused=True), model=InvalidRequest("no"))
    assert world.counts == (Counts(), Counts())
    assert not world.state.breaker.open


async def test_where_both_fail_the_client_hears_the_own_error_and_it_is_counted_for_the_candidate() -> None:
    world = World()
    with pytest.raises(ModelFailed):
        await world.ask(candidate=CandidateFailed("500"), model=ModelFailed("no"))
    assert world.counts == (Counts(), Counts(requests=1, errors=1))


@pytest.mark.parametrize(
    ("slow", "given", "budget"),
    [(0.01, None, 1.0), (0.2, None, 4.0), (9.0, None, 5.0), (None, None, 5.0), (0.01, 0.5, 0.25), (0.01, 60.0, 1.0)],
)
async def test_the_candidate_has_no_longer_than_leaves_the_own_model_time(
    slow: float | None, given: float | None, budget: float
) -> None:
    world = World(slow=slow)
    request = world.request(timeout=given, candidate=CandidateFailed("late", late=True), way=budget)
    await world.splitting.answer(request)
    assert request.budgets == [pytest.approx(budget)]
    assert request.lefts == [pytest.approx((given or TIMEOUT) - budget)]


async def test_a_client_that_gives_too_little_time_is_no_version_s_fault() -> None:
    world = World(slow=0.05, share=1.0)
    for _ in range(2 * FAILURES):
        assert await world.ask(timeout=0.1, candidate=CandidateFailed("late", late=True)) == "own"
    assert not world.state.breaker.open
    world.state.take(Reply(route=world.state.route.model_copy(update={"share": 0.4, "epoch": 2}), slow_seconds=0.05))  # type: ignore[union-attr]
    with pytest.raises(DeadlineExceeded):
        await world.ask(timeout=0.1, model=DeadlineExceeded("late"))
    assert [(one.stable, one.candidate) for one in world.state.report().epochs] == [(Counts(), Counts())] * 2


async def test_an_answer_after_the_candidate_s_time_is_an_error_of_the_stable_version_too() -> None:
    world = World(slow=0.05, share=0.4)  # the lot is 0.5
    assert await world.ask(own_seconds=1.1) == "own"
    assert await world.ask(own_seconds=0.1) == "own"
    for error in (Overloaded("full"), ModelFailed("no"), KeyError("a bug")):
        with pytest.raises(type(error)):
            await world.ask(model=error)
    with pytest.raises(InvalidRequest):
        await world.ask(model=InvalidRequest("no"))
    assert world.counts == (Counts(requests=5, errors=4, slow=2), Counts())
    assert sum(world.state.times.counts) == 2


async def test_a_request_of_another_server_is_answered_here_timed_and_not_counted() -> None:
    world = World()
    request = world.request(hop=True)
    assert await world.splitting.answer(request) == "own"
    assert request.told_seconds == pytest.approx(0.002)
    assert world.state.report().epochs[0].candidate == Counts()


async def test_what_is_handed_over_is_in_flight_and_leaves_room_for_the_own_model() -> None:
    world = World(limits=Limits(max_in_flight=8))
    until = asyncio.Event()
    waiting = [asyncio.create_task(world.ask(until=until, rows=3)) for _ in range(4)]
    await when(lambda: world.splitting.handed == 4)
    assert (world.batcher.in_flight, world.batcher.rows_in_flight) == (4, 12)
    assert await world.ask() == "own"
    assert world.counts == (Counts(), Counts())
    until.set()
    assert await asyncio.gather(*waiting) == ["theirs"] * 4
    assert (world.batcher.in_flight, world.batcher.rows_in_flight, world.splitting.handed) == (0, 0, 0)
    assert world.counts[1].requests == 4


async def test_a_request_that_there_is_no_room_for_is_refused_and_not_lost_from_the_counts() -> None:
    world = World(limits=Limits(max_rows=10))
    until = asyncio.Event()
    waiting = asyncio.create_task(world.ask(until=until, rows=8))
    await when(lambda: world.splitting.handed)
    with pytest.raises(Overloaded):
        await world.ask(rows=5)
    until.set()
    await waiting
    assert world.counts[1] == Counts(requests=2, errors=1)


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    world = World()
    for _ in range(FAILURES):
        await world.ask(candidate=CandidateFailed("500"))
    world.clock.now += 100.0
    task = asyncio.create_task(world.ask(until=asyncio.Event()))  # the breaker's probe
    await when(lambda: world.splitting.handed)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (world.batcher.in_flight, world.splitting.handed) == (0, 0)
    assert world.state.breaker.allows(world.clock.now)


async def test_what_waits_for_the_candidate_is_waited_for_at_the_end() -> None:
    world = World()
    until = asyncio.Event()
    task = asyncio.create_task(world.ask(until=until))
    await when(lambda: world.splitting.handed)
    closing = asyncio.create_task(world.batcher.close())
    await asyncio.sleep(0)
    assert not closing.done()
    until.set()
    assert await task == "theirs"
    await closing


async def test_every_error_of_a_request_is_one_of_the_kinds_that_clients_know() -> None:
    world = World()
    for problem in ERRORS:
        with pytest.raises(RequestError):
            await world.ask(candidate=problem, model=Overloaded("full"))


async def test_a_candidate_that_does_not_take_a_protocol_gets_none_of_its_requests_and_none_is_counted() -> None:
    world = World(candidate_url="")
    assert await world.ask() == "own"
    assert world.counts == (Counts(), Counts())
