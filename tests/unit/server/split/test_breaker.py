"""A candidate that fails again and again is left alone for a while, and tried with one request at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headway_server.split.breaker import FAILURES, FIRST_SECONDS, MOST_SECONDS, Breaker


def broken(now: float = 0.0) -> Breaker:
    """One that has just opened."""
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.allows(now)
        breaker.failed(now, probe=breaker.begin())
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker()
    for index in range(20 * FAILURES):
        if index % FAILURES == FAILURES - 1:
            breaker.succeeded(probe=breaker.begin())
        else:
            breaker.failed(0.0, probe=breaker.begin())
    assert not breaker.open
    assert broken().open
    assert not broken().allows(FIRST_SECONDS - 0.1)


def test_one_request_finds_out_whether_the_candidate_is_well_again() -> None:
    breaker = broken()
    assert breaker.allows(FIRST_SECONDS)
    assert breaker.begin()
    assert not breaker.allows(FIRST_SECONDS + 100)
    breaker.succeeded(probe=False)  # an answer to what was sent before
    assert breaker.open
    breaker.succeeded(probe=True)
    assert not breaker.open
    assert breaker.allows(FIRST_SECONDS)


def test_it_stays_open_for_longer_each_time_up_to_a_bound() -> None:
    breaker, now = broken(), 0.0
    for seconds in (FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, MOST_SECONDS, MOST_SECONDS):
        assert not breaker.allows(now + seconds - 0.01)
        now += seconds
        assert breaker.allows(now)
        breaker.failed(now, probe=breaker.begin())


def test_a_probe_whose_client_leaves_leaves_room_for_another() -> None:
    breaker = broken()
    assert breaker.begin()
    breaker.gave_up(probe=True)
    assert breaker.allows(FIRST_SECONDS)
    assert breaker.open


@given(st.lists(st.tuples(st.sampled_from(["sent", "well", "ill", "left"]), st.floats(0, 20))))
def test_there_is_never_more_than_one_probe_and_always_a_way_back(happened: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(), 0.0
    out: list[bool] = []
    for what, seconds in happened:
        now += seconds
        if what == "sent":
            if breaker.allows(now):
                out.append(breaker.begin())
        elif out:
            probe = out.pop()
            if what == "well":
                breaker.succeeded(probe=probe)
            elif what == "ill":
                breaker.failed(now, probe=probe)
            else:
                breaker.gave_up(probe=probe)
        assert sum(out) <= 1
    for probe in out:
        breaker.gave_up(probe=probe)
    assert breaker.allows(now + MOST_SECONDS)
