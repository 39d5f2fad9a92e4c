"""The driver's log says how training goes, and no more often than people can read."""

from __future__ import annotations

import itertools

import pytest

from headway_trainer.progress_log import LONGEST_SECONDS, SHORTEST_SECONDS, Rhythm, describe
from headway_trainer.training.link import TrainProgress

LAST_STEP = "epoch 2, step 9, 90 %, about 10 s left"


def times(seconds: float, epoch_seconds: float) -> list[float]:
    """When lines are said in a run of so many seconds, whose passes take so long."""
    now = 0.0
    rhythm, said = Rhythm(lambda: now), list[float]()
    while now <= seconds:
        if rhythm.due(None if now < 1 else int(now / epoch_seconds)):
            said.append(now)
        now += 0.25
    return said


def test_a_pass_that_takes_hours_has_a_line_a_minute() -> None:
    said = times(3600, epoch_seconds=10_000)
    gaps = [after - before for before, after in itertools.pairwise(said)]
    assert said[0] == 1, "the first step is worth a line"
    assert set(gaps) == {LONGEST_SECONDS}


def test_each_pass_has_a_line_where_it_takes_long_enough() -> None:
    assert times(200, epoch_seconds=20) == [1, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200]


def test_passes_of_a_moment_do_not_fill_the_log() -> None:
    said = times(3600, epoch_seconds=0.5)
    assert len(said) <= 3600 / SHORTEST_SECONDS + 1


def test_training_that_does_not_begin_is_told_too() -> None:
    now = 0.0
    rhythm = Rhythm(lambda: now)
    assert not rhythm.due(None)
    now = LONGEST_SECONDS
    assert rhythm.due(None)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (None, "the workers have not made a step yet"),
        (TrainProgress(step=12), "step 12"),
        (TrainProgress(stage="Evaluating", step=7), "evaluating the model, after step 7"),
        (
            TrainProgress(
                epoch=3,
                epochs=50,
                step=1234,
                done=1234,
                planned=20_000,
                samples_per_second=812.4,
                steps_per_second=10,
                metrics={"train/loss": 0.123456, "validation/loss": 0.2},
            ),
            "epoch 3 of 50, step 1234, 6 %, train/loss 0.12346, validation/loss 0.2, 812 rows/s, about 31 min left",
        ),
        (TrainProgress(step=1, done=1, planned=100_001, steps_per_second=10), "step 1, 0 %, about 2.8 h left"),
        (
            TrainProgress(epoch=2, step=9, planned=10, done=9, steps_per_second=0.1),
            "epoch 2, step 9, 90 %, about 10 s left",
        ),
    ],
)
def test_a_line_says_how_far_it_is(progress: TrainProgress | None, line: str) -> None:
    assert describe(progress) == line
