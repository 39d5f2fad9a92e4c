"""Targets: what is learnt, what that is told from, and what is refused rather than guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway_trainer.data.targets import encode
from headway_trainer.data.task import MAX_INFERRED_CLASSES, case_variants
from headway_trainer.errors import UserError


def _labels(count: int, rows_each: int, first: int = 0) -> np.ndarray[Any, Any]:
    return np.arange(count * rows_each) % count + first


SKEWED = np.repeat(np.arange(40), [200, *[10] * 38, 1])


@pytest.mark.parametrize(
    ("values", "task", "classes", "why"),
    [
        (["b", "a", "b", "a"], "classification", ["a", "b"], "text"),
        ([True, False, True, False], "classification", ["false", "true"], "true and false"),
        ([10, 2, 10, 2], "classification", ["2", "10"], "2 different values"),
        ([1.0, 0.0, 1.0, 0.0], "classification", ["0", "1"], "labels 0 and 1"),
        ([1.0, -1.0, 1.0, -1.0], "classification", ["-1", "1"], "labels -1 and 1"),
        (_labels(10, 4).astype(float), "classification", [str(i) for i in range(10)], "10 different values"),
        (_labels(26, 8), "classification", [str(i) for i in range(26)], "labels 0 to 25"),
        (_labels(100, 30).astype(np.float32), "classification", [str(i) for i in range(100)], "labels 0 to 99"),
        (_labels(100, 30, first=1), "classification", [str(i + 1) for i in range(100)], "labels 1 to 100"),
        (np.eye(3)[_labels(3, 5)], "classification", ["0", "1", "2"], "one 1 among 3 values"),
        ([0.5, 1.5, 2.5, 3.5], "regression", None, "decimal"),
        (list(range(MAX_INFERRED_CLASSES + 1)), "regression", None, "21 different values"),
        (np.arange(0, 3000, 7), "regression", None, "429 different values"),
        ([[1, 2], [3, 4]], "regression", None, "2 numbers a row"),
    ],
)
def test_the_task_is_told_from_the_target_and_why(values: Any, task: str, classes: list[str] | None, why: str) -> None:
    target = encode(np.array(values), None, "y")
    assert (target.task, target.classes) == (task, classes)
    assert why in target.why
    assert target.values.dtype == (np.int64 if classes else np.float64)
    if classes:
        assert target.outputs == len(classes)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1, 2, 1, 2], "2 different values"),
        (_labels(26, 8), "labels 0 to 25"),
        (np.eye(3)[_labels(3, 5)], "one-hot classes"),
        (np.arange(30), "taken as a quantity"),
        (np.repeat(np.arange(25) * 10, 10), "taken as a quantity"),
    ],
)
def test_what_could_well_be_otherwise_is_said_and_how_to_say_so(values: Any, told: str) -> None:
    (warning,) = encode(np.array(values), None, "y").warnings
    assert told in warning
    assert "data.task" in warning


@pytest.mark.parametrize("values", [["a", "b", "a", "b"], [0, 1, 0, 1], [0.25, 1.5, 3.25, 8.0], [True, False] * 2])
def test_what_is_clear_is_no_warning_and_nor_is_what_is_given(values: list[Any]) -> None:
    assert encode(np.array(values), None, "y").warnings == ()
    given_ = encode(np.array([1, 2, 1, 2]), "regression", "y")
    assert (given_.warnings, given_.why) == ((), "given")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (SKEWED, "each whole number from 0 to 39, but not equally often"),
        (np.tile([0.5, 1.0, 1.5], 40), "3 different decimal numbers in 120 rows"),
        (np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]] * 4), "not a single 1 in each"),
    ],
)
def test_what_may_be_classes_or_a_quantity_is_refused_with_what_to_write(values: Any, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        encode(values, None, "y")
    assert "data.task" in str(caught.value)
    assert encode(values, "regression", "y").task == "regression"


def test_labels_of_images_are_classes_even_with_few_rows_each() -> None:
    assert encode(_labels(40, 3), None, "y", images=True).task == "classification"
    assert encode(_labels(40, 3), None, "y").task == "regression"


def test_one_hot_columns_name_their_classes() -> None:
    target = encode(np.eye(3)[_labels(3, 4)], None, "y", columns=["cat", "dog", "owl"])
    assert target.classes == ["cat", "dog", "owl"]
    assert target.values.tolist() == [0, 1, 2] * 4


def test_labels_count_the_classes_in_order() -> None:
    target = encode(np.array(["b", "c", "a", "b", "a", "c"], dtype=object), None, "y")
    assert target.values.tolist() == [1, 2, 0, 1, 0, 2]


@pytest.mark.parametrize(
    ("values", "classes"), [([1.0, 2.0, 1.0, 2.0], ["1", "2"]), ([0.5, 1.0, 0.5, 1.0], ["0.5", "1.0"])]
)
def test_decimal_numbers_can_be_classes_where_the_job_says_so(values: list[float], classes: list[str]) -> None:
    assert encode(np.array(values), "classification", "y").classes == classes


@pytest.mark.parametrize(
    "classes", [["Yes", "yes", "No"], ["café", "cafe\u0301"], ["New York", "new  york", "NEW YORK"], ["ﬁve", "five"]]
)
def test_classes_that_look_alike_are_named_in_a_warning(classes: list[str]) -> None:
    (warning,) = encode(np.array(classes * 4, dtype=object), None, "y").warnings
    assert "case, blanks or accents alone" in warning
    assert all(repr(name) in warning for name in case_variants(classes)[0])


@given(st.lists(st.sampled_from(["a", "A", "b", "ß", "SS", "ss"]), unique=True))
def test_alike_classes_are_all_found_and_no_others(classes: list[str]) -> None:
    found = {name for group in case_variants(classes) for name in group}
    folded = [name.casefold() for name in classes]
    assert found == {name for name in classes if folded.count(name.casefold()) > 1}


@pytest.mark.parametrize(
    ("values", "task", "told"),
    [
        (["a", "a", "a"], None, "one value 'a' in all 3 rows"),
        ([1, 1, 1], "classification", "one value '1' in all 3 rows"),
        (["a", "b", "c"], None, "3 different values in 3 rows"),
        (["a", "b"], "regression", "is text, for example 'a', but data.task is regression"),
        ([0.5, 1.0], "classification", "2 different values in 2 rows"),
        ([1.0, float("nan")], "regression", "y is nan in row 2"),
        ([[1, 2], [3, 4]], "classification", "2 values a row"),
        ([[[1]], [[2]]], None, "has the shape"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused_with_the_reason(values: list[Any], task: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        encode(np.array(values), task, "y")
