"""Where trials lie in drawings, how many are drawn, and how they are ranked."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_cli.ui.trials.axes import MOST, MOST_PLACES, OTHERS, axis, finite, of_numbers, of_values
from headway_cli.ui.trials.drawings import (
    HEIGHT,
    MOST_AXES,
    MOST_LINES,
    MOST_POINTS,
    TALL,
    WIDE,
    WIDTH,
    parallel,
    scatter,
    spark,
)
from headway_cli.ui.trials.search import MOST_CURVE, Search, Trial, chosen, differing, fifths, thinned

FLOATS = st.floats(-MOST, MOST)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers())


def trial(number: int, value: float | None, **fields: Any) -> Trial:
    return Trial(number, "completed", fields.pop("parameters", {"lr": value or 0.0}), value, **fields)


def search(trials: list[Trial], **fields: Any) -> Search:
    told: dict[str, Any] = {"metrics": ["loss"], "smaller": frozenset({"loss"}), "parameters": ["lr"], **fields}
    return Search(trials, **told)


@given(st.lists(VALUES, min_size=1), st.sampled_from([True, False, None]))
def test_whatever_values_trials_have_each_has_a_place_on_the_axis_or_none(values: list[Any], log: bool | None) -> None:
    made = axis("x", values, log=log)
    for value in values:
        place = made.place(value)
        assert place is None or 0 <= place <= 1
    assert all(-0.01 <= place <= 1.01 for place, _ in made.ticks)
    assert made.kind == "words" or made.low < made.high or math.isclose(made.low, made.high)


@given(st.lists(FLOATS, min_size=2), st.sampled_from([True, False]))
def test_the_greater_of_two_values_is_never_drawn_below_the_smaller(values: list[float], log: bool) -> None:
    made = of_numbers("x", values, log=log)
    places = [place for value in sorted(values) if (place := made.place(value)) is not None]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("values", "log", "kind", "labels"),
    [
        ([0.0, 10.0], False, "linear", ["0", "2", "4", "6", "8", "10"]),
        ([1e-4, 1.0], True, "log", ["0.0001", "0.001", "0.01", "0.1", "1"]),
        ([1e-4, 1.0], None, "log", ["0.0001", "0.001", "0.01", "0.1", "1"]),
        ([0.2, 0.7], True, "log", ["0.2", "0.5"]),
        ([0, 1e-3], False, "linear", ["0", "0.0002", "0.0004", "0.0006", "0.0008", "0.001"]),
        ([32, 64, 128] * 3, False, "linear", ["32", "64", "128"]),
        ([3, 3, 3], False, "linear", ["2.9", "3", "3.1"]),
        ([True, False], False, "words", ["true", "false"]),
        (["sgd", "adamw"], False, "words", ["sgd", "adamw"]),
        ([[32], [64, 32], 3], False, "words", ["[32]", "[64, 32]", "3"]),
        (["a" * 40], False, "words", ["a" * 15 + "…"]),
        ([], False, "words", [OTHERS]),
    ],
)
def test_an_axis_has_ticks_that_people_read(values: list[Any], log: bool | None, kind: str, labels: list[str]) -> None:
    made = axis("x", values, log=log)
    assert (made.kind, [label for _, label in made.ticks]) == (kind, labels)


def test_of_very_many_words_the_rare_ones_share_a_place() -> None:
    words = [f"w{index}" for index in range(40)]
    made = axis("x", [*words, "w39"])
    assert len(made.words) == MOST_PLACES
    assert made.words[0] == "w39"
    assert made.words[-1] == OTHERS
    assert made.place("w38") == made.place("never seen") == (MOST_PLACES - 0.5) / MOST_PLACES


@pytest.mark.parametrize("smaller", [True, False])
def test_a_few_diverged_trials_do_not_press_the_others_together(smaller: bool) -> None:
    sign = 1.0 if smaller else -1.0
    values = [sign * (1 + index / 100) for index in range(40)]
    made = of_values("loss", [*values, sign * 1e9], smaller=smaller)
    assert max(abs(made.low), abs(made.high)) < 3
    assert made.beyond(sign * 1e9)
    assert not any(map(made.beyond, values))
    far = of_values("loss", [*values, -sign * 1e9], smaller=smaller)
    assert not far.beyond(-sign * 1e9), "the best one is never at the edge"


def test_numbers_that_no_float_holds_have_no_place() -> None:
    assert finite(10**400) is None
    assert finite(math.nan) is None
    assert axis("x", [10**400, 1]).kind == "words"


def test_of_ten_thousand_trials_a_bounded_number_is_drawn_and_the_best_are_all_there() -> None:
    found = search([trial(number, number / 10_000) for number in range(1, 10_001)])
    points, lines = scatter(found, "lr", "loss"), parallel(found, "loss")
    assert points is not None
    assert lines is not None
    assert (len(points.marks), points.total) == (MOST_POINTS, 10_000)
    assert (len(lines.marks), lines.total) == (MOST_LINES, 10_000)
    for marks in (points.marks, lines.marks):
        assert marks[-1].kind == "best"
        assert [one.number for one in marks[-1:-51:-1]] == list(range(1, 51))
        assert {one.kind for one in marks} == {"best", *(f"fifth-{index}" for index in range(1, 6))}
    assert all(0 <= float(one.x) <= WIDTH and 0 <= float(one.y) <= HEIGHT for one in points.marks)
    for one in lines.marks:
        for at in one.points.split():
            x, y = map(float, at.split(","))
            assert 0 <= x <= WIDE
            assert 0 <= y <= TALL


@given(st.integers(1, 400), st.integers(2, 60))
def test_what_is_drawn_is_no_more_than_the_most_without_repeats_and_with_the_best_half(count: int, most: int) -> None:
    trials = [trial(number, float(number)) for number in range(count)]
    found = chosen(trials, most)
    assert len(found) == min(count, most)
    assert len({one.number for one in found}) == len(found)
    assert found[: most // 2] == trials[: most // 2]


def test_fifths_are_as_large_as_can_be_and_the_first_is_the_best() -> None:
    told = fifths([trial(number, float(number)) for number in range(10)])
    assert list(told.values()) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert fifths([trial(7, 1.0)]) == {7: 1}


def test_the_line_of_the_best_so_far_steps_down_once_a_trial_is_better() -> None:
    values = [0.9, 0.5, 0.7, 0.2]
    found = search([trial(number, value) for number, value in enumerate(values, 1)])
    ranked = search(sorted(found.trials, key=lambda one: one.value or 0))
    made = scatter(ranked, None, "loss")
    assert made is not None
    heights = [float(at.split(",")[1]) for at in made.steps.split()]
    assert heights == sorted(heights), "down, in pixels, is a greater y"
    assert len(set(heights)) == 3


def test_a_trial_without_a_parameter_passes_below_its_axis() -> None:
    found = search(
        [trial(1, 0.1, parameters={"lr": 1.0, "momentum": 0.9}), trial(2, 0.2, parameters={"lr": 2.0})],
        parameters=["lr", "momentum"],
    )
    made = parallel(found, "loss")
    assert made is not None
    assert [column.missing for column in made.columns] == [False, True, False]
    below = {one.number: float(one.points.split()[1].split(",")[1]) for one in made.marks}
    assert below[2] > max(float(tick.at) for tick in made.columns[1].ticks)
    assert below[1] < below[2]
    only = scatter(found, "momentum", "loss")
    assert only is not None
    assert [one.number for one in only.marks] == [1]


def test_parameters_beyond_the_axes_are_named() -> None:
    names = [f"p{index}" for index in range(MOST_AXES + 2)]
    made = parallel(search([trial(1, 1.0, parameters=dict.fromkeys(names, 1))], parameters=names), "loss")
    assert made is not None
    assert list(made.left_out) == names[MOST_AXES:]


def test_an_axis_has_the_last_words_of_its_name_that_tell_it_from_the_others() -> None:
    names = ["training.optimizer.name", "model.name", "training.optimizer.lr"]
    given = dict.fromkeys(names, "a")
    made = parallel(search([trial(1, 1.0, parameters=given)], parameters=names), "loss")
    assert made is not None
    assert [column.short for column in made.columns] == ["optimizer.name", "model.name", "lr", "loss"]


def test_a_search_without_a_value_is_not_drawn() -> None:
    found = search([trial(1, None)])
    assert scatter(found, "lr", "loss") is None
    assert parallel(found, "loss") is None
    assert scatter(search([trial(1, 0.5)]), "other", "loss") is None


def test_several_metrics_are_each_drawn_by_their_own_values() -> None:
    found = search([trial(1, 0.1, metrics={"loss": 0.1, "model/bytes": 900.0})], metrics=["loss", "model/bytes"])
    made = scatter(found, "lr", "model/bytes")
    assert made is not None
    assert "model/bytes 900" in made.marks[0].title


def test_parameters_that_are_the_same_in_all_trials_are_left_out() -> None:
    first, second = ({"a": 1, "b": value, "c": [value]} for value in (1, 2))
    assert differing([trial(1, 1.0, parameters=first), trial(2, 1.0, parameters=second)]) == ["b", "c"]
    assert differing([trial(1, 1.0, parameters=first)]) == ["a", "b", "c"]
    assert differing([trial(1, 1.0, parameters={"a": 1}), trial(2, 1.0, parameters={})]) == ["a"]


def test_a_curve_is_kept_in_few_points_without_what_is_no_number() -> None:
    assert thinned([(1, 0.5), (2, None), (3, math.inf), (4, 0.25)]) == ((1, 0.5), (4, 0.25))
    long = thinned([(epoch, float(epoch)) for epoch in range(1, 1001)])
    assert (len(long), long[0], long[-1]) == (MOST_CURVE, (1, 1.0), (1000, 1000.0))


def test_small_curves_have_the_same_scale() -> None:
    up = of_numbers("loss", [0.0, 1.0])
    assert spark([(1, 1.0), (3, 0.0)], up, 5) == "0,0 48,24"
    assert spark([(1, 1.0)], up, 5) == ""
