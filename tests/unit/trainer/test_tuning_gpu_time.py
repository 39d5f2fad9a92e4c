"""GPU time adds up over what is trained side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api.pods import Workers
from headway_trainer.process_resources import gpus_held
from headway_trainer.tuning.gpu_time import GpuTime


class Clock:
    """Says the time that it is set to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_gpu_counts_for_as_long_as_it_is_held_and_a_part_of_one_as_that_part() -> None:
    clock = Clock()
    time = GpuTime(clock)
    clock.now += 50
    assert time.seconds() == 0
    with time.held(2):
        clock.now += 10
        with time.held(0.25):
            clock.now += 4
            assert time.seconds() == 10 * 2 + 4 * 2.25
    clock.now += 1000
    assert time.seconds() == 10 * 2 + 4 * 2.25


def test_what_fails_counts_too() -> None:
    clock = Clock()
    time = GpuTime(clock)

    def fail() -> None:
        with time.held(1):
            clock.now += 7
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    clock.now += 7
    assert time.seconds() == 7


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1000)), max_size=20))
def test_one_after_the_other_the_sum_is_that_of_the_products(trials: list[tuple[int, int]]) -> None:
    clock = Clock()
    time = GpuTime(clock)
    for gpus, seconds in trials:
        with time.held(gpus):
            clock.now += seconds
    assert time.seconds() == sum(gpus * seconds for gpus, seconds in trials)


@pytest.mark.parametrize(
    ("replicas", "each", "there", "held"),
    [(2, 4, 8, 8), (1, 0, 3, 0), (3, 1, 2, 2), (2, 1, 0, 0), (1, 1, 8, 1)],
)
def test_pods_hold_what_they_ask_for_if_it_is_there(replicas: int, each: int, there: int, held: int) -> None:
    workers = Workers.model_validate({"replicas": replicas, "resources": {"gpu": each}})
    assert gpus_held(workers, there) == held
