"""`spec.evaluation`: how the finished model is judged on the test part, which nothing has seen before."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headway_api.base import Section

Metric = Literal["accuracy", "precision", "recall", "f1", "specificity", "mse", "mae", "confusionMatrix"]


class Evaluation(Section):
    """The final evaluation."""

    metrics: Annotated[list[Metric], Field(min_length=1, max_length=16)] | None = None
    """Which metrics; all that fit the task if absent. precision, recall, f1 and specificity are macro averages."""
