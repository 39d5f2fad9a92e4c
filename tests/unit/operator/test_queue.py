"""The work queue, on a clock of the tests' own."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from headway_operator.engine.queue import LONGEST_BACKOFF, TURNS, KeyQueue


def test_a_key_that_waits_is_not_added_twice() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add("a", 0)
    queue.add("a", 1)
    assert queue.take(3) == ("a", 3)
    assert queue.take(3) is None


def test_keys_are_taken_in_the_order_in_which_they_came() -> None:
    queue: KeyQueue[str] = KeyQueue()
    for key in "abc":
        queue.add(key, 0)
    assert [queue.take(0), queue.take(0), queue.take(0)] == [("a", 0), ("b", 0), ("c", 0)]


def test_a_key_that_is_worked_on_waits_for_that_and_is_taken_again() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add("a", 0)
    queue.take(0)
    queue.add("a", 1)
    assert queue.take(1) is None
    queue.done("a", 2)
    assert queue.take(2) == ("a", 0)


def test_a_key_can_ask_to_be_looked_at_again() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add("a", 0)
    queue.take(0)
    queue.done("a", 0, again_at=10)
    assert queue.next_due() == 10
    assert queue.take(9.9) is None
    assert queue.take(10.5) == ("a", 0.5)


def test_a_later_decision_replaces_the_time_of_an_earlier_one() -> None:
    queue: KeyQueue[str] = KeyQueue()
    for again_at in (10, 50, None):
        queue.add("a", 0)
        queue.take(0)
        queue.done("a", 0, again_at)
    assert queue.next_due() is None


def test_what_can_wait_goes_after_what_is_urgent_but_for_one_turn_in_some() -> None:
    queue: KeyQueue[str] = KeyQueue()
    for number in range(100):
        queue.add_at(f"report-{number}", 1, 0)
        queue.add(f"spec-{number}", 2)
    taken = [found[0] for _ in range(2 * TURNS) if (found := queue.take(2)) is not None]
    assert taken.count("report-0") == taken.count("report-1") == 1
    assert sum(key.startswith("spec") for key in taken) == 2 * TURNS - 2
    assert queue.depth() == 200 - 2 * TURNS


def test_a_key_whose_news_can_wait_is_urgent_once_others_come() -> None:
    queue: KeyQueue[str] = KeyQueue()
    for key in "ab":
        queue.add_at(key, 1, 0)
    queue.next_due()
    assert queue.take(0.5) is None
    queue._wake(2)
    queue.add("b", 3)
    assert queue.take(3) == ("b", 2)
    assert queue.take(3) == ("a", 2)


def test_news_that_can_wait_do_not_put_off_a_time_that_was_decided() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add("a", 0)
    queue.take(0)
    queue.done("a", 0, again_at=10)
    queue.add_at("a", 20, 0)
    assert queue.next_due() == 10


def test_a_failing_key_backs_off_and_events_do_not_hurry_it() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add("a", 0)
    now, delays = 0.0, []
    for _ in range(10):
        assert queue.take(now) is not None
        delays.append(queue.failed("a", now))
        queue.add("a", now)
        assert queue.take(now + delays[-1] * 0.99) is None
        now += delays[-1]
    assert delays == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    queue.take(now)
    queue.done("a", now)
    queue.add("a", now)
    queue.take(now)
    assert queue.failed("a", now) == 0.5


def test_the_server_s_wish_to_wait_is_heard() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add("a", 0)
    queue.take(0)
    assert queue.failed("a", 0, after=17) == 17


def test_a_wish_to_wait_for_hours_is_not_granted() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add("a", 0.0)
    queue.take(0.0)
    assert queue.failed("a", 0.0, after=3600.0) == LONGEST_BACKOFF


def test_the_oldest_key_is_known_whether_it_waits_or_is_worked_on() -> None:
    queue: KeyQueue[str] = KeyQueue()
    assert queue.oldest(100) == 0
    queue.add("a", 1)
    queue.add("b", 5)
    assert queue.oldest(11) == 10
    queue.take(6)
    queue.take(7)
    queue.done("b", 7)
    assert queue.oldest(11) == 5


def test_times_that_were_given_up_do_not_pile_up() -> None:
    queue: KeyQueue[str] = KeyQueue()
    for turn in range(10_000):
        queue.add("a", turn)
        queue.take(turn)
        queue.done("a", turn, again_at=1e9 + turn)
    assert len(queue._timers) < 200


def held_by(queue: KeyQueue[str]) -> dict[str, object]:
    """All that is known of any key."""
    parts = {one.name: getattr(queue, one.name) for one in fields(queue)}
    return {name: part for name, part in parts.items() if not isinstance(part, int) and part}


def test_nothing_stays_of_a_key_that_was_worked_on_before_the_time_that_news_had_asked_for() -> None:
    queue: KeyQueue[str] = KeyQueue()
    queue.add_at("a", 10, 0)
    queue.add("a", 1)
    queue.take(1)
    queue.done("a", 1)
    queue.next_due()
    assert held_by(queue) == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "add at", "take", "done", "again", "fail"]),
            st.sampled_from("abc"),
            st.floats(0, 100),
        ),
        max_size=60,
    )
)
def test_no_key_is_ever_worked_on_twice_at_a_time_and_none_is_lost(steps: list[tuple[str, str, float]]) -> None:
    queue: KeyQueue[str] = KeyQueue()
    now, active, asked = 0.0, set[str](), set[str]()
    for step, key, wait in steps:
        now += wait
        if step == "add":
            queue.add(key, now)
            asked.add(key)
        elif step == "add at":
            queue.add_at(key, now + wait / 2, now)
            asked.add(key)
        elif step == "take":
            taken = queue.take(now)
            if taken is not None:
                assert taken[0] not in active
                active.add(taken[0])
                asked.discard(taken[0])
        elif key in active:
            active.discard(key)
            if step == "fail":
                queue.failed(key, now)
                asked.add(key)
            else:
                queue.done(key, now, now + wait if step == "again" else None)
    for key in list(active):
        queue.done(key, now)
    now += LONGEST_BACKOFF + 101
    left = set()
    while (taken := queue.take(now)) is not None:
        left.add(taken[0])
        queue.done(taken[0], now)
    assert asked <= left
    assert not held_by(queue), "nothing stays of objects that nobody asks for any more"
