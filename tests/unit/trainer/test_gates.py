"""Gates: what a finished model must reach, and what is said where it does not."""

from __future__ import annotations

import pytest

from headway_api.evaluation import Gate
from headway_trainer.report.gates import failed, judge
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
    (result,) = judge([Gate(name="g", metric=metric, **bounds)], METRICS)
    assert (result.value, result.passed) == (value, passed)


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
