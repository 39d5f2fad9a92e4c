"""`tuning.final`: what does not go together with a model that is trained on the validation part, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.trial_metrics import tuned

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec


def gates_on_what_is_learnt(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Gates on metrics of the validation part, where the final model has none of them."""
    tuning = tuned(spec)
    if tuning is None or tuning.final == "best":
        return
    for index, gate in enumerate(spec.evaluation.gates or ()):
        part, name = gate.part_and_name
        if part == "validation":
            yield BrokenRule(
                "with tuning.final retrain the model is trained on the validation part, too, and has no metrics of it:"
                f" write test/{name}, or set tuning.final to best",
                ("evaluation", "gates", index, "metric"),
            )


CHECKS = (gates_on_what_is_learnt,)
