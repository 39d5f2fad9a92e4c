"""The space of a search: its numbers, its choices, and which of them go together."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_api import trials
from headway_trainer.tuning.space import Choices, Numbers, Space
from studies import tuning

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def numbers(draw: st.DrawFn) -> Numbers:
    """Any range that a spec may have."""
    log, whole = draw(st.booleans()), draw(st.booleans())
    if whole:
        first, last = sorted(
            draw(st.lists(st.integers(1 if log else -(2**53), 2**53), min_size=2, max_size=2, unique=True))
        )
        step = 1 if log else draw(st.integers(1, last - first))
        return Numbers(first, first + (last - first) // step * step, log=log, whole=True, step=step)
    positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
    low, high = sorted(draw(st.lists(positive if log else FINITE, min_size=2, max_size=2, unique=True)))
    return Numbers(low, high, log=log)


@given(numbers(), st.floats(0, 1))
def test_what_lies_at_a_place_is_in_the_range_and_has_that_place(of: Numbers, place: float) -> None:
    value = of.at(place)
    assert of.holds(value)
    assert isinstance(value, int) == of.whole
    assert 0 <= of.place(value) <= 1
    if of.high / 2 - of.low / 2 > 1e-6 * max(abs(of.low), abs(of.high)) and not of.log and not of.whole:
        assert of.place(value) == pytest.approx(place, abs=1e-6)


@given(numbers())
def test_a_range_begins_and_ends_with_its_bounds(of: Numbers) -> None:
    assert of.at(0.0) == pytest.approx(of.low, rel=1e-12)
    assert of.at(1.0) == pytest.approx(of.high, rel=1e-12)
    assert of.holds(int(of.low) if of.whole else of.low)


@given(st.integers(1, 40), st.integers(1, 5))
def test_each_whole_number_has_as_much_room_as_any_other(count: int, step: int) -> None:
    of = Numbers(3, 3 + count * step, whole=True, step=step)
    assert of.count == count + 1
    if of.step == 1 or count:
        drawn = [of.at((index + 0.5) / (100 * (count + 1))) for index in range(100 * (count + 1))]
        assert {drawn.count(value) for value in set(drawn)} == {100}
        assert len(set(drawn)) == count + 1


@pytest.mark.parametrize("value", [0.5, True, "1", None, 2.5, 4])
def test_what_is_no_such_whole_number_is_not_held(value: Any) -> None:
    assert not Numbers(1, 7, whole=True, step=2).holds(value)
    assert Numbers(1, 7, whole=True, step=2).holds(5)
    assert not Numbers(1, 7).holds(math.nextafter(7, 8))


def test_choices_of_different_types_are_different() -> None:
    own: list[Any] = [1, 1.0, True, "1", [1], [True]]
    assert [Choices(own).index(value) for value in own] == list(range(len(own)))
    assert Choices(own).index([1.0]) is None


@given(
    st.recursive(
        st.booleans() | st.integers() | FINITE | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)
    )
)
def test_a_value_is_found_after_a_journey_through_json(value: Any) -> None:
    assert Choices([value]).index(json.loads(json.dumps(value))) == 0


CONDITIONS: dict[str, Any] = {
    "model.b": {"choice": [1, 2], "when": {"model.z": [True, [1]]}},
    "model.a": {"choice": ["x"], "when": {"model.b": [2.0], "model.z": [[1]]}},
    "model.z": {"choice": [True, 1, [1], [True]]},
}


def test_a_parameter_comes_after_those_that_it_depends_on_in_whatever_order_they_are_written() -> None:
    for order in (CONDITIONS, dict(reversed(CONDITIONS.items()))):
        space = Space(tuning(order, search={"name": "grid"}).parameters)
        assert [dimension.path for dimension in space.dimensions] == ["model.z", "model.b", "model.a"]


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"model.z": True, "model.b": 2}, None),
        ({"model.z": 1}, None),
        ({"model.z": [True]}, None),
        ({"model.z": [1], "model.b": 1}, None),
        ({"model.z": [1], "model.b": 2, "model.a": "x"}, None),
        ({"model.z": [1], "model.b": 2}, "model.a has no value"),
        ({"model.z": 1, "model.b": 2}, "model.b has a value and does not apply"),
        ({"model.z": True, "model.b": 1.0}, "model.b cannot be 1.0"),
        ({"model.z": 1.0}, "model.z cannot be 1.0"),
        ({"model.z": 1, "seed": 3}, "seed is no parameter"),
        ({}, "model.z has no value"),
    ],
)
def test_parameters_are_of_a_trial_or_it_is_said_why_not(parameters: dict[str, Any], fault: str | None) -> None:
    assert Space(tuning(CONDITIONS, search={"name": "grid"}).parameters).fault(parameters) == fault


def test_the_combinations_are_those_without_a_fault() -> None:
    spec = tuning(CONDITIONS, search={"name": "grid"})
    space, found = Space(spec.parameters), list(trials.grid(spec))
    assert [space.fault(one) for one in found] == [None] * 6
    assert len({json.dumps(one) for one in found}) == 6
