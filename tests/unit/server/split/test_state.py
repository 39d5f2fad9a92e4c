"""Which version a request is for, and what is counted of it: shares, no loops, and counts that only grow."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.rollout_wire import MOST_EPOCHS, MOST_UNITS, SECONDS_BOUNDS, Analysis, Counts, Reply, Route, Unit
from headway_server.split.breaker import FAILURES
from headway_server.split.counters import MOST_PENDING_EVENTS
from headway_server.split.state import STALE_SECONDS, UNREACHED_SECONDS, Choice, Outcome, State

WELL, ILL = Outcome(0.001), Outcome(error=True)
MANY = 40_000


@dataclass
class World:
    """A server's state with a clock that stands, and lots that can be repeated."""

    version: int = 1
    now: float = 0.0
    state: State = field(init=False)

    def __post_init__(self) -> None:
        lot = random.Random(5).random  # noqa: S311 - no secret
        self.state = State(self.version, "uid", "boot", lot=lot, clock=lambda: self.now)

    def told(self, slow: float | None = 0.01, **route: Any) -> World:
        """After a reply with this route."""
        self.state.take(Reply(route=told(**route), slow_seconds=slow))
        return self

    def choose(self, unit: bytes | None = None, *, room: bool = True) -> Choice:
        """Who answers the next request."""
        return self.state.choose(unit, room=room)


def told(**fields: Any) -> Route:
    """A route of a rollout from 1 to 2."""
    base: dict[str, Any] = {"uid": "uid", "epoch": 1, "stable": 1, "candidate": 2, "share": 0.05}
    return Route(**base | {"candidate_url": "http://churn-2:80", "salt": "s"} | fields)


class TestAGatewaySplits:
    """Nobody draws here; what the gateway has drawn for is counted where it is answered."""

    @pytest.mark.parametrize(("version", "candidate"), [(1, False), (2, True)])
    def test_each_version_answers_what_comes_to_it_and_counts_it_as_its_own(
        self, version: int, candidate: bool
    ) -> None:
        world = World(version).told(gateway=True, share=0.5, epoch=7)
        for _ in range(100):
            choice = world.choose()
            assert (choice.theirs, choice.mirror, choice.baking) == (False, False, candidate)
            world.state.count(choice, WELL)
        world.state.count(world.choose(), ILL)
        [epoch] = world.state.report().epochs
        mine, other = (epoch.candidate, epoch.stable) if candidate else (epoch.stable, epoch.candidate)
        assert (mine, other) == (Counts(requests=101, errors=1), Counts())
        assert (epoch.gateway, epoch.share, world.state.report().gateway) == (True, 0.5, True)

    @pytest.mark.parametrize("version", [1, 2])
    def test_only_what_is_stamped_with_this_very_epoch_counts(self, version: int) -> None:
        state = World(version).told(gateway=True, share=0.5, epoch=7).state
        assert [state.drawn(stamp) for stamp in (b"7", b"6", b"07", b"", None)] == [True, False, False, False, False]
        state.take(Reply(route=told(gateway=False, share=0.5, epoch=8)))
        assert state.drawn(None), "who draws here asks for no stamp"

    def test_a_breaker_and_a_lack_of_room_keep_copies_back_and_nothing_from_being_counted(self) -> None:
        world = World().told(gateway=True, share=0.5, mirror=1.0)
        assert world.choose().mirror
        for choice in (world.choose(room=False), self._broken(world).choose()):
            assert (choice.mirror, choice.epoch is not None) == (False, True)

    @staticmethod
    def _broken(world: World) -> World:
        for _ in range(FAILURES):
            world.state.unreached(probe=False, connected=False)
        return world

    def test_a_share_of_nothing_counts_nothing_on_either_side(self) -> None:
        for version in (1, 2):
            world = World(version).told(gateway=True, share=0.0)
            assert world.choose().epoch is None

    def test_an_epoch_that_was_drawn_for_here_is_none_that_a_gateway_draws_for(self) -> None:
        world = World().told(share=0.5)
        world.state.count(world.choose(), WELL)
        world.told(gateway=True, share=0.5)
        assert world.choose().epoch is None, "of the same number: its counts would be of neither"


@pytest.mark.parametrize("share", [0.0005, 0.05, 0.25, 0.5])
def test_a_canary_gets_its_share_of_the_requests(share: float) -> None:
    world = World().told(share=share)
    theirs = sum(world.choose().theirs for _ in range(MANY))
    assert abs(theirs - MANY * share) <= 4.5 * (MANY * share * (1 - share)) ** 0.5


@pytest.mark.parametrize(("share", "theirs"), [(0.0, False), (1.0, True)])
def test_all_or_nothing_is_exact(share: float, theirs: bool) -> None:
    world = World().told(share=share)
    assert {world.choose().theirs for _ in range(1000)} == {theirs}


@given(
    version=st.integers(0, 3),
    stable=st.integers(0, 3),
    candidate=st.integers(0, 3),
    share=st.floats(0, 1),
    baking=st.booleans(),
    mode=st.sampled_from(["canary", "abTest", "shadow"]),
)
def test_only_servers_of_the_stable_version_hand_over_and_never_to_themselves(  # noqa: PLR0917 - by hypothesis
    version: int, stable: int, candidate: int, share: float, baking: bool, mode: Any
) -> None:
    world = World(version).told(
        stable=stable, candidate=candidate, share=share, mirror=share, baking=baking, mode=mode, unit=Unit(header="x")
    )
    choice = world.choose(b"7")
    if choice.theirs or choice.mirror:
        assert version == stable != candidate
        assert version != 0
    if mode == "shadow" and not baking:
        assert not choice.theirs


def test_a_unit_always_meets_the_same_version_and_a_request_without_one_is_nobody_s() -> None:
    world = World().told(mode="abTest", share=0.5, unit=Unit(header="x-user"))
    first = {index: world.choose(b"%d" % index).theirs for index in range(200)}
    assert set(first.values()) == {True, False}
    assert all(world.choose(b"%d" % index).theirs == theirs for index, theirs in first.items() for _ in range(3))
    alone = world.choose(None)
    assert (alone.theirs, alone.epoch) == (False, None)


@given(st.binary(min_size=1, max_size=200), st.text(max_size=64), st.floats(0, 1), st.floats(0, 1))
def test_a_unit_that_met_the_candidate_still_does_when_the_share_has_grown(
    unit: bytes, salt: str, one: float, other: float
) -> None:
    world = World()
    met = []
    for epoch, share in enumerate(sorted((one, other)), start=1):
        world.told(epoch=epoch, mode="abTest", share=share, unit=Unit(header="x"), salt=salt)
        met.append(world.choose(unit).theirs)
    assert met in ([False, False], [False, True], [True, True])


def test_what_cannot_be_handed_over_is_counted_for_nobody() -> None:
    world = World().told(share=0.5)
    for _ in range(100):
        world.state.count(world.choose(room=False), WELL)
    for _ in range(FAILURES):
        world.state.unreached(probe=False, connected=True)
    for _ in range(100):
        world.state.count(world.choose(), WELL)
    (epoch,) = world.state.report().epochs
    assert (epoch.stable, epoch.candidate) == (Counts(), Counts())
    assert world.state.report().breaker_open


def test_slow_and_over_count_by_the_limits_of_the_reply_and_the_route() -> None:
    world = World().told(slow=0.01, share=1.0, analysis=Analysis(max_p99_seconds=0.05))
    for outcome in (Outcome(0.01), Outcome(0.02), Outcome(0.06), ILL, Outcome(error=True, late=True)):
        world.state.count(world.choose(), outcome)
    (epoch,) = world.state.report().epochs
    assert epoch.candidate == Counts(requests=5, errors=2, slow=3, over=2)


def test_before_it_is_known_what_is_slow_nothing_is() -> None:
    world = World().told(slow=None, share=1.0)
    assert world.state.patience is None
    for outcome in (Outcome(20.0), Outcome(error=True, late=True)):
        world.state.count(world.choose(), outcome)
    assert world.state.report().epochs[0].candidate == Counts(requests=2, errors=1)


def test_a_request_counts_for_the_epoch_in_which_it_was_drawn_for() -> None:
    world = World().told(share=1.0)
    early = world.choose()
    world.told(epoch=2, share=0.25)
    world.state.count(early, WELL)
    first, second = world.state.report().epochs
    assert (first.epoch, first.share, first.candidate.requests) == (1, 1.0, 1)
    assert (second.epoch, second.share, second.candidate.requests) == (2, 0.25, 0)


def test_a_share_that_the_judge_took_to_0_counts_nothing_more_and_spoils_no_counts() -> None:
    world = World().told(share=0.5)
    for _ in range(10):
        world.state.count(world.choose(), WELL)
    before = world.state.report().epochs
    world.told(share=0.0)
    for _ in range(10):
        assert not world.choose().theirs
        world.state.count(world.choose(), WELL)
    assert world.state.report().epochs == before
    world.told(share=0.25)  # the same epoch at another share: its requests would be of neither
    world.state.count(world.choose(), WELL)
    assert world.state.report().epochs == before


def test_while_it_bakes_the_candidate_s_own_servers_count_alone() -> None:
    world = World(version=2).told(baking=True, share=1.0)
    choice = world.choose()
    assert (choice.theirs, choice.baking) == (False, True)
    world.state.count(choice, ILL)
    (epoch,) = world.state.report().epochs
    assert (epoch.share, epoch.baking, epoch.stable) == (1.0, True, Counts())
    assert epoch.candidate == Counts(requests=1, errors=1)


def test_in_the_shadow_errors_of_copies_are_held_against_those_of_the_same_requests() -> None:
    world = World().told(mode="shadow", share=0.0, mirror=1.0)
    choice = world.choose()
    assert (choice.theirs, choice.mirror) == (False, True)
    world.state.count(choice, WELL)
    world.state.count_copy(choice, WELL, ILL, None)
    world.state.count_copy(choice, WELL, WELL, False)
    (epoch,) = world.state.report().epochs
    assert (epoch.stable.requests, epoch.mirrored.requests) == (1, 2)
    assert epoch.candidate == Counts(requests=2, errors=1)
    assert (epoch.compared, epoch.disagreed) == (1, 1)


def test_copies_of_a_canary_are_compared_and_otherwise_not_counted() -> None:
    world = World().told(share=0.01, mirror=1.0)
    choice = next(one for one in iter(world.choose, None) if one.mirror)
    world.state.count_copy(choice, WELL, ILL, None)
    world.state.count_copy(choice, WELL, WELL, True)
    (epoch,) = world.state.report().epochs
    assert (epoch.candidate, epoch.mirrored, epoch.compared, epoch.disagreed) == (Counts(), Counts(), 1, 0)


@pytest.mark.parametrize(
    "route",
    [
        {"uid": "another"},
        {"candidate_url": "https://churn-2:80"},
        {"candidate_url": "http://churn-2"},
        {"candidate_url": "http://churn-2:99999"},
        {"candidate_url": "http://user@churn-2:80"},
        {"candidate_url": "http://churn-2:80/else"},
        {"candidate_url": "http://a b:80"},
        {"candidate_grpc": "churn-2"},
    ],
)
def test_a_route_that_is_not_for_this_deployment_or_leads_elsewhere_is_refused(route: dict[str, Any]) -> None:
    world = World()
    assert world.state.take(Reply(route=told(share=1.0, **route))) == "refused"
    assert not world.choose().theirs


def test_a_reply_without_a_route_or_of_a_judge_that_knows_nothing_changes_nothing() -> None:
    world = World().told(share=1.0)
    assert world.state.take(Reply()) == "same"
    assert world.state.take(Reply(route=told(epoch=9, share=0.0), judging=False)) == "same"
    assert world.choose().theirs


def test_an_older_epoch_is_taken_only_when_nobody_tells_of_the_newer_one_any_more() -> None:
    world = World().told(epoch=5, share=1.0)
    world.told(epoch=4, share=0.0)
    assert world.choose().theirs
    world.now += STALE_SECONDS
    world.told(epoch=4, share=0.0)
    assert not world.choose().theirs


def test_a_candidate_that_is_not_there_is_given_up_where_no_judge_is_either() -> None:
    world = World().told(share=1.0)
    world.state.unreached(probe=False, connected=False)
    world.now += UNREACHED_SECONDS - 1
    assert not world.state.tick()
    world.told(share=1.0)  # the judge is there
    world.now += 2
    assert not world.state.tick()
    world.now += UNREACHED_SECONDS
    assert world.state.tick()
    assert world.state.route is None
    assert not world.choose().theirs


def test_a_candidate_that_answers_is_not_given_up_however_long_the_judge_is_away() -> None:
    world = World().told(share=1.0)
    world.state.unreached(probe=False, connected=False)
    world.state.reached(probe=False)
    world.now += 100 * UNREACHED_SECONDS
    assert not world.state.tick()
    assert world.choose().theirs


def test_a_new_rollout_begins_with_a_closed_breaker_and_counts_of_its_own() -> None:
    world = World().told(share=1.0)
    for _ in range(FAILURES):
        world.state.count(world.choose(), ILL)
        world.state.unreached(probe=False, connected=True)
    assert not world.choose().theirs
    world.told(epoch=2, candidate=3, share=1.0)
    assert world.choose().theirs
    assert [(one.epoch, one.rollout, one.candidate.requests) for one in world.state.report().epochs] == [(2, 3, 0)]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("route"), st.floats(0, 1), st.sampled_from(["canary", "shadow", "abTest"])),
            st.tuples(st.just("ask"), st.sampled_from([WELL, ILL, Outcome(9.0), Outcome(error=True, late=True)])),
        ),
        max_size=60,
    )
)
def test_counts_only_grow_and_no_count_is_above_the_requests(happened: list[Any]) -> None:
    world, epoch = World(), 0
    before: dict[int, Any] = {}
    for what, *values in happened:
        if what == "route":
            epoch += 1
            world.told(epoch=epoch, share=values[0], mirror=values[0], mode=values[1], unit=Unit(header="x"))
        else:
            choice = world.choose(b"7")
            world.state.count(choice, values[0])
            if choice.mirror:
                world.state.count_copy(choice, WELL, values[0], values[0] is WELL)
        now = {one.epoch: one for one in world.state.report().epochs}
        assert len(now) <= MOST_EPOCHS
        for number, one in now.items():
            for which in ("stable", "candidate", "mirrored"):
                counts = getattr(one, which).model_dump()
                assert max(counts.values()) == counts["requests"]
                if number in before:
                    assert all(value >= getattr(before[number], which).model_dump()[k] for k, value in counts.items())
            assert one.disagreed <= one.compared
        before = now


def test_the_first_event_of_each_kind_of_a_unit_is_told_once_and_no_more_than_a_report_holds() -> None:
    world = World().told(mode="abTest", share=0.9, unit=Unit(header="x"))
    for index in range(2 * MOST_PENDING_EVENTS):
        choice = world.choose(b"%d" % index)
        world.state.count(choice, ILL)
        world.state.count(choice, ILL)
    told_units = []
    while units := world.state.report().units:
        assert len(units) <= MOST_UNITS
        assert world.state.report().units == units  # until it was answered
        world.state.units.answered(units)
        told_units += [one.unit for one in units]
    assert len(set(told_units)) == len(told_units) == MOST_PENDING_EVENTS
    again = world.choose(b"0")
    world.state.count(again, ILL)
    assert world.state.report().units == []
    world.state.count(again, Outcome(9.0))
    assert [one.kind for one in world.state.report().units] == ["slow"]


def test_own_times_are_a_histogram_over_the_bounds_that_are_agreed_on() -> None:
    state = World().state
    for seconds in (0.0, SECONDS_BOUNDS[0], SECONDS_BOUNDS[7] * 0.99, SECONDS_BOUNDS[-1] * 2):
        state.times.add(seconds)
    counts = state.report().seconds
    assert len(counts) == len(SECONDS_BOUNDS) + 1
    assert {index: count for index, count in enumerate(counts) if count} == {0: 2, 7: 1, len(counts) - 1: 1}
