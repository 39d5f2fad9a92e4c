"""How many pods a load asks for: the rules of a HorizontalPodAutoscaler."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headway_api.deployment_status import MOST_RECENT
from headway_operator.serving.plan.scaling import (
    STEP,
    STEP_SECONDS,
    Recent,
    Seen,
    next_look,
    recommended,
    remembered,
    scaled,
)

TARGET = 10
CASES = [
    # in flight, servers heard, pods ready, pods to be there; what is asked for
    (25.0, 2, 2, 2, 3, "more than two pods do well"),
    (21.9, 2, 2, 2, 2, "within 10 % above"),
    (18.1, 2, 2, 2, 2, "within 10 % below"),
    (9.0, 2, 2, 2, 1, "one does all of it"),
    (0.0, 3, 3, 3, 0, "nothing is done"),
    (50.0, 1, 1, 1, 5, "far more"),
    (30.0, 2, 2, 3, 3, "the third pod is on its way, and counted as doing nothing"),
    (90.0, 2, 2, 3, 9, "the third pod does not suffice"),
    (10.0, 2, 2, 3, 1, "what is not ready changes nothing where pods are too many"),
    (5.0, 1, 3, 3, 3, "two pods are not heard: each may be doing what it is to do"),
    (5.0, 2, 3, 3, 2, "one pod is not heard, which may be busy, and the third one is not needed"),
    (30.0, 1, 2, 2, 3, "one pod is not heard, and what the other does is too much for both"),
    (15.0, 1, 2, 2, 2, "one pod is not heard, which may be idle: then there are pods enough"),
    (12.0, 1, 2, 2, 2, "the direction would be another with the pod that is not heard"),
    (8.0, 3, 2, 2, 1, "a third server is about to end, and still heard"),
]


@pytest.mark.parametrize(
    ("seen", "asked"), [(Seen(*case[:4]), case[4]) for case in CASES], ids=[case[5] for case in CASES]
)
def test_a_load_asks_for_so_many_pods(seen: Seen, asked: int) -> None:
    assert recommended(seen, TARGET) == asked


def test_no_word_is_not_the_word_that_there_is_no_load() -> None:
    assert recommended(Seen(0.0, 0, 3, 3), TARGET) is None


seen = st.builds(
    Seen,
    in_flight=st.floats(0, 1000),
    servers=st.integers(1, 20),
    ready=st.integers(0, 20),
    desired=st.integers(1, 20),
)


@given(seen=seen, target=st.integers(1, 100))
@example(seen=Seen(1.1, servers=1, ready=0, desired=1), target=1)
@example(seen=Seen(1.0, servers=1, ready=0, desired=2), target=1)
def test_pods_that_are_not_heard_never_make_it_fewer_nor_more(seen: Seen, target: int) -> None:
    asked = recommended(seen, target)
    assert asked is not None
    busy = seen.in_flight / target / seen.servers
    if asked > seen.desired:
        assert busy > 1.1, "what is heard is not above the target"
        assert asked <= math.ceil(seen.in_flight / target), "more than what is heard needs"
    if asked < seen.desired:
        assert busy < 0.9, "what is heard is not below the target"
        assert asked >= math.ceil(seen.in_flight / target - 1e-9), "fewer than what is heard needs"
        silent = max(0, seen.ready - seen.servers)
        assert asked >= min(seen.desired, silent), "pods that may be busy would be taken away"


loads = st.lists(st.tuples(st.floats(0.1, 100), st.integers(1, 40)), min_size=1, max_size=60)


@given(loads=loads, window=st.integers(0, 400), start=st.integers(1, 40))
def test_pods_go_once_nothing_within_the_window_has_asked_for_more_and_come_in_steps(
    loads: list[tuple[float, int]], window: int, start: int
) -> None:
    now, desired, since, before = 0.0, start, -100.0, start
    recent: tuple[Recent, ...] = ()
    history: list[tuple[float, int]] = [(0.0, start)]
    for seconds, asked in loads:
        now += seconds
        history.append((now, asked))
        recent = remembered(recent, before, asked, now, window)
        before = asked
        number = scaled(desired, asked, recent, since, now)
        assert len(recent) <= MOST_RECENT
        # What was asked for holds until something else is.
        lately = [a for (_, a), (end, _) in itertools.pairwise(history) if end > now - window]
        if number < desired:
            assert number >= max([asked, *lately]), "fewer than what was asked for within the window"
        if number > desired:
            assert number <= min(asked, STEP * desired)
            assert now - since >= STEP_SECONDS
        assert min(desired, asked) <= number <= max(desired, asked)
        if number != desired:
            desired, since = number, now


def test_what_is_remembered_is_forgotten_after_the_window() -> None:
    recent = remembered((), 5, 2, 100.0, 300.0)
    assert recent == (Recent(5, 100.0),)
    assert scaled(5, 2, recent, 0.0, 200.0) == 5
    assert next_look(5, 2, recent, 0.0, 300.0) == 400.0
    later = remembered(recent, 2, 2, 400.0, 300.0)
    assert later == ()
    assert scaled(5, 2, later, 0.0, 400.0) == 2


def test_a_peak_within_the_window_is_kept_to() -> None:
    recent = remembered((), 9, 2, 0.0, 300.0)
    recent = remembered(recent, 2, 5, 100.0, 300.0)
    recent = remembered(recent, 5, 1, 110.0, 300.0)
    assert recent == (Recent(9, 0.0), Recent(5, 110.0))
    recent = remembered(recent, 1, 1, 301.0, 300.0)
    assert scaled(9, 1, recent, 0.0, 301.0) == 5


def test_a_step_up_is_twice_as_many_pods_and_the_next_one_waits() -> None:
    assert scaled(3, 50, (), 0.0, 100.0) == 6
    assert scaled(6, 50, (), 100.0, 110.0) == 6
    assert next_look(6, 50, (), 100.0, 300.0) == 115.0
    assert scaled(6, 50, (), 100.0, 115.0) == 12


def test_many_numbers_are_remembered_in_few_and_none_of_them_is_lost() -> None:
    recent: tuple[Recent, ...] = ()
    before = 40
    for second, asked in enumerate(range(38, 0, -2)):
        recent = remembered(recent, before, asked, float(second), 300.0)
        before = asked
    assert len(recent) == MOST_RECENT
    assert recent[0] == Recent(40, 0.0)
    assert recent[-1].until == 18.0
    assert recent[-1].replicas >= 4
