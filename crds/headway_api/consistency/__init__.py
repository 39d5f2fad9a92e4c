"""What the sections of a spec say together: contradictions that can be told from the file alone.

No CustomResourceDefinition can say these within its bounds, so they are judged by `headway validate`, by `headway run`
and by the operator before it makes any pod. Each is one sentence with what was written, what is allowed and the way
out, at the field that is to be corrected. Pure: nothing is read but the spec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway_api.catalogue import of_another_package
from headway_api.consistency import (
    columns,
    comparisons,
    estimators,
    final_models,
    forecasts,
    metrics,
    objectives,
    own_loop,
    populations,
    sources,
    splits,
    training,
    tuning,
)
from headway_api.consistency.facts import own_loop as own_loop_of
from headway_api.consistency.metrics import Path

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

CHECKS = (
    *sources.CHECKS,
    *columns.CHECKS,
    *splits.CHECKS,
    *forecasts.CHECKS,
    *training.CHECKS,
    *estimators.CHECKS,
    *own_loop.CHECKS,
    *metrics.CHECKS,
    *comparisons.CHECKS,
    *tuning.CHECKS,
    *populations.CHECKS,
    *final_models.CHECKS,
    *objectives.CHECKS,
)
"""Each takes a TrainingJobSpec and yields what is contradictory in it."""
OF_NAMES = (
    *training.OF_NAMES,
    *estimators.OF_NAMES,
    *metrics.OF_NAMES,
    *tuning.OF_NAMES,
    *final_models.OF_NAMES,
    *objectives.OF_NAMES,
)
"""Those that what is known of names decides, which they take as a second argument: so whoever has the packages at hand
whose names a spec holds can judge them by the same rules."""


def not_judged(spec: TrainingJobSpec) -> dict[str, Path]:
    """The names of other packages that a spec holds, with the first place of each: whether the image has them, and what
    they are for, is told when the job begins."""
    model = spec.model.name if spec.model is not None and not own_loop_of(spec) else None
    named: dict[str, Path] = {} if model is None or not of_another_package(model) else {model: ("model", "name")}
    return named | metrics.named_of_packages(spec)


__all__ = ["CHECKS", "OF_NAMES", "not_judged"]
