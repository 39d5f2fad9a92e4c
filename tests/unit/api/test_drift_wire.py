from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headway_api import drift_wire as wire
from headway_api.deployment_status import DriftStatus
from headway_api.monitoring import MOST_ROWS, MOST_WINDOWS
from headway_api.training_rows import MAX_TEXT, MAX_VALUES

FEATURES = wire.MOST_WATCHED + 1
NAME = "\N{LATIN SMALL LETTER E WITH ACUTE}" * MAX_TEXT
UID = "0" * 36
ROWS = wire.BATCH_ROWS - 1


def batch(**changes: Any) -> wire.Batch:
    known = {"uid": UID, "boot": "b" * 32, "version": 1, "number": 2**40, "digest": "d" * 64, "rows": ROWS}
    return wire.Batch.model_validate(known | changes)


def size(word: Any) -> int:
    return len(word.model_dump_json(exclude_defaults=True).encode())


def test_the_longest_batch_fits_with_counts_and_with_the_reference_but_not_with_both() -> None:
    counts = [{"cells": [ROWS] * wire.MOST_CELLS, "missing": ROWS, "below": ROWS, "above": ROWS, "unseen": ROWS}]
    feature = {"name": NAME, "kind": "values", "cells": [ROWS] * (MAX_VALUES + 1), "missing": ROWS}
    assert size(batch(counts=counts * FEATURES)) < wire.BATCH_MAX_BYTES
    assert size(batch(reference={"features": [feature] * FEATURES})) < wire.BATCH_MAX_BYTES


def test_the_longest_word_fits_into_what_the_judge_may_write() -> None:
    word = wire.DriftWord.model_validate(
        {
            "uid": UID, "version": 2**53 - 1, "state": "Drifted", "score": 1.0 / 3, "recent": [False] * MOST_WINDOWS,
            "features": [{"name": NAME, "score": 100 / 3}] * wire.MOST_TOLD,
            "dataQuality": [{"name": NAME, "problem": "OutOfRange", "share": 1 / 3, "usual": 1 / 7}] * wire.MOST_TOLD,
            "checked": "2026-11-30T00:00:00Z", "windows": 2**53 - 1, "rows": MOST_ROWS, "message": NAME * 3,
            "toldBy": "x" * 253, "beat": 2**53 - 1,
        }
    )  # fmt: skip
    assert len(word.model_dump_json().encode()) < wire.DRIFT_MAX_BYTES / 2


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": wire.BATCH_ROWS + 1},
        {"rows": -1},
        {"counts": [{}] * (FEATURES + 1)},
        {"counts": [{"cells": [1] * (wire.MOST_CELLS + 1)}]},
        {"counts": [{"cells": [None]}]},
        {"reference": {"features": [{"name": "a", "kind": "texts"}]}},
    ],
)
def test_a_batch_beyond_its_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        batch(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "Cursed"},
        {"score": -1},
        {"score": "NaN"},
        {"features": [{"name": "a", "score": "Infinity"}]},
        {"features": [{"name": "a", "score": 1}] * (wire.MOST_TOLD + 1)},
        {"dataQuality": [{"name": "a", "problem": "Missing", "share": 1.1}]},
    ],
)
def test_a_word_that_no_judge_writes_cannot_be_read(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        wire.DriftWord.model_validate({"uid": UID, "version": 1, "state": "Stable"} | changes)


def test_a_status_of_a_newer_operator_is_read_with_the_words_that_are_known() -> None:
    status = DriftStatus.model_validate(
        {
            "state": "Seasonal",
            "version": "digits-1",
            "dataQuality": [{"name": "age", "problem": "Rounded", "share": 0.5}],
        }
    )
    assert (status.state, status.data_quality[0].problem) == ("Unavailable", "OutOfRange")


def test_the_same_feature_stands_in_a_status_once() -> None:
    twice = [{"name": "age", "score": 2.0}, {"name": "age", "score": 1.0}]
    status = DriftStatus.model_validate({"state": "Drifted", "version": "digits-1", "features": twice})
    assert [each.score for each in status.features] == [2.0]
