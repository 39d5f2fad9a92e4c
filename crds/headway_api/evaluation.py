"""`spec.evaluation`: how the finished model is judged on the test part, which nothing has seen before."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from headway_api.base import Section

Metric = Literal["accuracy", "precision", "recall", "f1", "specificity", "mse", "mae", "confusionMatrix"]


def _all_different(metrics: list[Metric]) -> list[Metric]:
    for metric in metrics:
        if metrics.count(metric) > 1:
            raise PydanticCustomError("sentence", "names {metric} twice: take one out", {"metric": metric})
    return metrics


class Evaluation(Section):
    """The final evaluation."""

    metrics: (
        Annotated[
            list[Metric],
            Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
            AfterValidator(_all_different),
        ]
        | None
    ) = None
    """Which metrics; all that fit the task if absent. precision, recall, f1 and specificity are macro averages."""
