"""What the sections of a spec say together: contradictions that can be told from the file alone.

No CustomResourceDefinition can say these within its bounds, so they are judged by `headway validate`, by `headway run`
and by the operator before it makes any pod. Each is one sentence with what was written, what is allowed and the way
out, at the field that is to be corrected. Pure: nothing is read but the spec.
"""

from __future__ import annotations

from headway_api.consistency import (
    columns,
    comparisons,
    estimators,
    forecasts,
    metrics,
    own_loop,
    sources,
    splits,
    training,
)

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
)
"""Each takes a TrainingJobSpec and yields what is contradictory in it."""

__all__ = ["CHECKS"]
