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


def epochs_of_folds(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A training for as many epochs as the best trial's, which has a best epoch for each fold."""
    tuning = tuned(spec)
    if tuning is not None and tuning.final == "retrain" and spec.has_folds:
        yield BrokenRule(
            "with data.split.folds a trial is several trainings, each with a best epoch of its own, and retrain trains"
            " for as many epochs as the best one had: write best, or take data.split.folds out",
            ("tuning", "final"),
        )


CHECKS = (gates_on_what_is_learnt, epochs_of_folds)
