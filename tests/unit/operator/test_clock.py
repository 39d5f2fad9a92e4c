"""The API server's time, from the Date headers of its answers."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from headway_operator.engine.clock import ServerClock
from sim.builders import T0


class Times:
    """A machine's clocks, and the server's."""

    def __init__(self, wrong: float) -> None:
        self.passed = 1000.0
        self.wrong = wrong
        self.clock = ServerClock(lambda: self.passed, lambda: self.server() + self.wrong)

    def server(self) -> float:
        return T0 + self.passed

    def call(self, there: float = 0.01, back: float = 0.01) -> None:
        sent = self.passed
        self.passed += there
        date = format_datetime(datetime.fromtimestamp(int(self.server()), UTC), usegmt=True)
        self.passed += back
        self.clock.learn(date, sent, self.passed)

    def error(self) -> float:
        return self.clock() - self.server()


def test_before_any_answer_it_is_this_machine_s_time() -> None:
    times = Times(wrong=-300)
    assert times.error() == -300
    assert not times.clock.known


def test_a_clock_that_is_right_stays_as_it_is() -> None:
    times = Times(wrong=0)
    for _ in range(50):
        times.call()
        times.passed += 0.3
        assert abs(times.error()) < 0.001


@given(
    st.floats(-100_000, 100_000), st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.floats(0, 60)), min_size=1)
)
def test_whatever_this_machine_s_clock_says_the_time_is_right_within_a_slow_answer(
    wrong: float, calls: list[tuple[float, float, float]]
) -> None:
    times = Times(wrong)
    worst = 0.0
    for there, back, pause in calls:
        times.call(there, back)
        worst = max(worst, there + back) if worst else there + back
        if there + back <= 5.0:
            assert abs(times.error()) <= 1.0 + there + back + 0.1
        times.passed += pause


def test_many_answers_tell_it_better_than_one() -> None:
    times = Times(wrong=600)
    for _ in range(200):
        times.call()
        times.passed += 0.37
    assert abs(times.error()) < 0.2


def test_this_machine_s_clock_may_jump_and_the_server_s_too() -> None:
    times = Times(wrong=0)
    times.call()
    times.wrong = 5000
    assert abs(times.error()) < 1.1, "only the steady clock is asked for what has passed"
    offset = 900.0
    server = times.server
    times.server = lambda: server() + offset  # type: ignore[method-assign]  # the server's clock is set
    times.passed += 60
    times.call()
    assert abs(times.error()) < 1.1


def test_answers_without_a_readable_date_or_after_long_say_nothing() -> None:
    times = Times(wrong=0)
    for date in (None, "", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"):
        times.clock.learn(date, 0, 0.1)
    times.clock.learn("Thu, 01 Jan 1970 00:00:00 GMT", times.passed, times.passed + 20)
    assert times.error() == 0
    assert not times.clock.known
