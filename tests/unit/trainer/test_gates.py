"""Gates: what a finished model must reach, and what is said where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api.evaluation import Gate
from headway_trainer.report.gates import Standard, failed, judge
from headway_trainer.report.model import Metrics

METRICS = Metrics(
    test={"accuracy": 0.9, "f1": None}, validation={"loss": 0.5}, train={"loss": 0.1}, reported={"val/score": 3.0}
)


@pytest.mark.parametrize(
    ("metric", "bounds", "value", "passed"),
    [
        ("accuracy", {"min": 0.9}, 0.9, True),
        ("test/accuracy", {"min": 0.91}, 0.9, False),
        ("accuracy", {"max": 0.9}, 0.9, True),
        ("accuracy", {"min": 0.1, "max": 0.8}, 0.9, False),
        ("validation/loss", {"max": 0.6}, 0.5, True),
        ("train/loss", {"max": 0.05}, 0.1, False),
        ("f1", {"min": 0.0}, None, False),
        ("rocAuc", {"min": 0.0}, None, False),
        ("val/score", {"min": 2.0}, 3.0, True),
    ],
)
def test_a_gate_holds_the_metric_of_its_part_against_its_bounds(
    metric: str, bounds: dict[str, float], value: float | None, passed: bool
) -> None:
    (result,) = judge([Gate.model_validate({"name": "g", "metric": metric, **bounds})], METRICS)
    assert (result.value, result.passed) == (value, passed)


BETTER = Metrics(
    test={"accuracy": 0.9, "loss": 0.4},
    baseline={"accuracy": 0.6, "loss": 1.0, "f1": None},
    reported={"test/loss": 0.2},
)


@pytest.mark.parametrize(
    ("metric", "against", "delta", "other", "passed"),
    [
        ("accuracy", {"baseline": True}, None, 0.6, True),
        ("accuracy", {"baseline": True}, 0.3, 0.6, True),
        ("accuracy", {"baseline": True}, 0.31, 0.6, False),
        ("loss", {"baseline": True}, 0.6, 1.0, True),
        ("loss", {"baseline": True}, 0.61, 1.0, False),
        ("f1", {"baseline": True}, 0.0, None, False),
        ("rocAuc", {"baseline": True}, 0.0, None, False),
        ("accuracy", {"job": "old"}, None, 0.91, False),
        ("accuracy", {"job": "old"}, -0.01, 0.91, True),
        ("accuracy", {"job": "old"}, -0.01, 0.92, False),
        ("loss", {"uri": "s3://m/result.json"}, -0.1, 0.3, True),
        ("loss", {"uri": "s3://m/result.json"}, 0.0, 0.3, False),
    ],
)
def test_a_gate_asks_for_a_gain_over_something_else_in_the_direction_of_its_metric(
    metric: str, against: dict[str, Any], delta: float | None, other: float | None, passed: bool
) -> None:
    gate = Gate.model_validate({"name": "g", "metric": metric, "against": against, "minDelta": delta})
    (result,) = judge([gate], BETTER, {"g": Standard(what="the job old", value=other)})
    assert (result.against_value, result.min_delta, result.passed) == (other, delta or 0.0, passed)
    assert result.against == ("the baseline" if "baseline" in against else "the job old")


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (0.2, "at least 0.2 better than the 0.91 of the job old is asked for"),
        (0.0, "at least as good as the 0.91 of the job old is asked for"),
        (-0.001, "at most 0.001 worse than the 0.91 of the job old is asked for"),
    ],
)
def test_a_gate_that_compares_says_with_what_and_by_how_much(delta: float, words: str) -> None:
    gate = Gate.model_validate({"name": "g", "metric": "accuracy", "against": {"job": "old"}, "minDelta": delta})
    told = failed(judge([gate], METRICS, {"g": Standard(what="the job old", value=0.91)}))
    assert told is not None
    assert f"test/accuracy is 0.9, {words}" in told


def test_each_gate_that_was_not_passed_is_named_with_its_value_and_bounds() -> None:
    gates = [
        Gate(name="floor", metric="accuracy", min=0.95),
        Gate(name="fine", metric="accuracy", min=0.5),
        Gate(name="range", metric="test/accuracy", min=0.1, max=0.2),
        Gate(name="unknown", metric="test/f1", min=0.5),
    ]
    assert failed(judge(gates, METRICS)) == (
        "the model did not pass the gates floor (test/accuracy is 0.9, at least 0.95 is asked for), range "
        "(test/accuracy is 0.9, at least 0.1 and at most 0.2 is asked for), unknown (test/f1 has no value, at least "
        "0.5 is asked for); it is kept, with its report"
    )
    assert failed(judge(gates[1:2], METRICS)) is None
    assert failed([]) is None
