"""The options of `xgboost`: what is refused, in one sentence each, without the library."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api.model import XGBoostOptions
from headway_api.validate import problems_of
from tuning_jobs import job, of

DOCUMENT: dict[str, Any] = {
    "apiVersion": "headway.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "a"},
    "spec": {"data": {"source": {"builtin": {"name": "iris"}}}, "model": {"name": "xgboost"}, "training": {}},
}
WRONG: list[tuple[str, Any, str]] = [
    ("iterations", 0, "0 is below the least allowed value 1"),
    ("iterations", 100_001, "100001 is above the greatest allowed value 100000"),
    ("iterations", 1.5, "1.5 is a number, but this must be a whole number"),
    ("learningRate", 0, "0 is too small: it must be above 0"),
    ("learningRate", 1.5, "1.5 is above the greatest allowed value 1"),
    ("maxDepth", 31, "31 is above the greatest allowed value 30"),
    ("maxDepth", -1, "-1 is below the least allowed value 0"),
    ("maxLeaves", 1, "1 is below the least allowed value 2"),
    ("growPolicy", "leafwise", '"leafwise" is not one of depthwise, lossguide'),
    ("minChildWeight", -1, "-1 is below the least allowed value 0"),
    ("gamma", -1, "-1 is below the least allowed value 0"),
    ("maxDeltaStep", -1, "-1 is below the least allowed value 0"),
    ("l2", -1, "-1 is below the least allowed value 0"),
    ("l1", 1e10, "10000000000 is above the greatest allowed value 1000000000"),
    ("subsample", 0, "0 is too small: it must be above 0"),
    ("subsample", "half", '"half" is a string, but this must be a number: take the quotes away, or correct the value'),
    ("colsampleByTree", 1.1, "1.1 is above the greatest allowed value 1"),
    ("colsampleByLevel", 0, "0 is too small: it must be above 0"),
    ("colsampleByNode", 0, "0 is too small: it must be above 0"),
    ("maxBins", 1, "1 is below the least allowed value 2"),
    ("maxBins", 4097, "4097 is above the greatest allowed value 4096"),
    ("earlyStoppingRounds", 0, "0 is below the least allowed value 1"),
    ("colsampleBytree", 0.5, "unknown field `colsampleBytree`: did you mean `colsampleByTree`?"),
]


@pytest.mark.parametrize(("option", "value", "message"), WRONG, ids=[f"{name} {value}" for name, value, _ in WRONG])
def test_a_wrong_option_is_told_in_one_sentence(option: str, value: Any, message: str) -> None:
    model = {"name": "xgboost", "options": {option: value}}
    told = problems_of({**DOCUMENT, "spec": {**DOCUMENT["spec"], "model": model}})
    assert [(one.field, one.message) for one in told] == [(f"spec.model.options.{option}", message)]


def test_each_option_is_in_the_table_of_wrong_ones() -> None:
    named = {name for name, _, _ in WRONG}
    assert {field.alias for field in XGBoostOptions.model_fields.values()} <= named


def test_options_are_tuned_within_their_bounds() -> None:
    for parameter, said in (
        ({"logUniform": {"min": 0.01, "max": 1}}, []),
        ({"logUniform": {"min": 0.01, "max": 2}}, ["2 is above the greatest allowed value 1"]),
    ):
        tuned = of("model.options.learningRate", parameter, metric="validation/loss")
        told = problems_of(job(tuned, model={"name": "xgboost"}, training={}))
        assert [one.message for one in told] == said
