"""What has no effect where a training function of the user's own trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.facts import other_than_default, own_function, own_loop, own_tuner
from headway_api.export import Export

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec


def fields_of_another_loop(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """What tells Headway's own loop how to train where a function of the user's trains.

    Of a field with its default nobody knows whether the user wrote it: the API server fills defaults in.
    """
    if spec.training is None or not own_loop(spec) or own_tuner(spec):
        return
    training, checkpoint = spec.training, spec.training.checkpoint
    heeded = {"entrypoint", "arguments", "checkpoint"}
    if spec.tuning is not None and spec.tuning.scheduler.name == "hyperband":
        heeded.add("epochs")  # the reports of a trial, for which its ladders are made
    for field in sorted(set(other_than_default(training)) - heeded):
        yield BrokenRule(
            f"{field} has no effect, as training.entrypoint trains in place of Headway's own loop: hand it over in"
            " training.arguments, or take it out",
            ("training", field),
        )
    for field in sorted(set(other_than_default(checkpoint)) - {"keepLast"}):
        yield BrokenRule(
            f"{field} has no effect, as training.entrypoint saves its checkpoints itself, and only keepLast is"
            " Headway's: take it out",
            ("training", "checkpoint", field),
        )


def fields_beside_a_tuner(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """What tells Headway what to try, on what and how, where a function of the user's does all that."""
    if spec.tuning is None or not own_tuner(spec):
        return
    for field in sorted(set(other_than_default(spec.tuning)) - {"entrypoint", "arguments", "workersPerTrial"}):
        yield BrokenRule(
            f"{field} has no effect, as tuning.entrypoint runs a Tuner of its own, which decides that: hand it over in"
            " tuning.arguments, or take it out",
            ("tuning", field),
        )
    for field in sorted(other_than_default(spec.training)) if spec.training is not None else ():
        yield BrokenRule(
            f"{field} has no effect, as the trials of tuning.entrypoint train by themselves: hand it over in"
            " tuning.arguments, or take it out",
            ("training", field),
        )
    for section in ("data", "model"):
        if getattr(spec, section) is not None:
            yield BrokenRule(
                f"{section} has no effect, as the trials of tuning.entrypoint bring their own: take it out, or"
                " tuning.entrypoint, and write tuning.parameters",
                (section,),
            )


def metrics_of_an_own_loop(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Metrics to compute, where the user's own function reports what it likes."""
    if own_loop(spec) and spec.evaluation.metrics is not None:
        yield BrokenRule(
            f"metrics have no effect, as {own_function(spec)} reports its own: take them out",
            ("evaluation", "metrics"),
        )


def export_of_an_own_loop(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Forms of a model that the user's own function leaves as it likes."""
    if own_loop(spec) and spec.export != Export():
        yield BrokenRule(
            f"formats are of the models that Headway's own loop trains, and {own_function(spec)} saves its model"
            " itself: take formats out",
            ("export", "formats"),
        )


CHECKS = (fields_of_another_loop, fields_beside_a_tuner, metrics_of_an_own_loop, export_of_an_own_loop)
