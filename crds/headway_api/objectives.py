"""`spec.tuning.objectives` and `constraints`: what trials are compared by where one metric does not say it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue

from headway_api.base import Rule, Section, all_different
from headway_api.metrics import Better
from headway_api.training import MetricName

MODEL_BYTES = "model/bytes"
"""The size of a trial's model as it is kept: of `model.safetensors`; of what scikit-learn or XGBoost fits, of the
ONNX graph."""
FEWEST_OBJECTIVES, MOST_OBJECTIVES, MOST_CONSTRAINTS = 2, 3, 4
GREATEST_BOUND = 1e15
"""Of a constraint: more bytes than any model has."""
GREATEST_VIOLATION = 1e300
"""More is not told apart: a violation is a number that JSON holds, whatever the value and the bound."""


class Objective(Section):
    """One of the metrics that trials are compared by."""

    metric: MetricName
    """A metric of the validation part, or `model/bytes`, the size of the trial's model."""
    mode: Better | None = None
    """Whether smaller or larger is better; as the metric has it, if absent."""


class Constraint(Section):
    """What a metric of a trial has to keep to."""

    rules = (
        Rule(
            cel="has(self.min) || has(self.max)",
            message="set min or max: a constraint without a bound holds nothing back",
            holds=lambda one: one.min is not None or one.max is not None,
        ),
        Rule(
            cel="!has(self.min) || !has(self.max) || self.min <= self.max",
            message="min is above max, and no value is between them: correct one of the two",
            holds=lambda one: one.min is None or one.max is None or one.min <= one.max,
            field="min",
        ),
    )

    metric: MetricName
    """A metric of the validation part, or `model/bytes`."""
    min: Annotated[float, Field(ge=-GREATEST_BOUND, le=GREATEST_BOUND)] | None = None
    """The least value."""
    max: Annotated[float, Field(ge=-GREATEST_BOUND, le=GREATEST_BOUND)] | None = None
    """The greatest value."""

    def violation(self, value: float) -> float:
        """How far a value is beyond a bound, as a part of the bound; as it is where that is 0. 0 where it keeps them.

        So several constraints can be added up, one in bytes and one of an accuracy (Deb, 2000, section 3).
        """
        below = _beyond(self.min - value, self.min) if self.min is not None else 0.0
        above = _beyond(value - self.max, self.max) if self.max is not None else 0.0
        return max(below, above)


def _beyond(distance: float, bound: float) -> float:
    return min(max(0.0, distance / abs(bound) if bound else distance), GREATEST_VIOLATION)


def _by_metric(least: int, most: int) -> Any:
    """A list of at least and at most so many, no two of one metric."""
    keyed: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["metric"]}
    return Field(min_length=least, max_length=most, json_schema_extra=keyed)


def _once_each(entries: list[Any]) -> list[Any]:
    all_different([one.metric for one in entries])
    return entries


Objectives = Annotated[list[Objective], _by_metric(FEWEST_OBJECTIVES, MOST_OBJECTIVES), AfterValidator(_once_each)]
Constraints = Annotated[list[Constraint], _by_metric(1, MOST_CONSTRAINTS), AfterValidator(_once_each)]
