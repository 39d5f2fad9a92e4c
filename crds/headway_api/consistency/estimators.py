"""Models that an estimator fits, against what only the training loop reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway_api.base import BrokenRule
from headway_api.consistency.facts import has_part, other_than_default, own_loop, own_tuner, task_of
from headway_api.consistency.known import OWN, Known
from headway_api.model import estimator_of, fitted_by

if TYPE_CHECKING:
    from headway_api.job import TrainingJobSpec

_HEEDED = frozenset({"entrypoint", "arguments", "classWeights"})
"""The fields of `training` that are not the loop's alone."""


def field_of_the_loop(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A field that only the loop reads. What it is by default does no harm: the API server fills defaults in."""
    name = estimator_of(spec.model, known.models)
    if name is None or spec.training is None or own_loop(spec):
        return
    for field in other_than_default(spec.training):
        if field not in _HEEDED:
            yield BrokenRule(
                f"is for models that are trained in epochs, and {name} is fitted by {fitted_by(name)}, which has no use"
                " for it: take it out, and write what you want of the fit in model.options",
                ("training", field),
            )


def estimator_beside_a_function(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """A function that trains, where an estimator is to fit."""
    name = estimator_of(spec.model, known.models)
    if name is not None and own_loop(spec) and not own_tuner(spec):  # beside which no model may be
        yield BrokenRule(
            f"{name} is fitted by {fitted_by(name)}, so training.entrypoint would not be given it: take model out, or"
            " training.entrypoint",
            ("model", "name"),
        )


def weights_of_an_estimator(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """Weights alone of a model that has no other form than the graph."""
    name = estimator_of(spec.model, known.models)
    if name is not None and not own_loop(spec) and "onnx" not in spec.export.formats:
        yield BrokenRule(
            f"{' and '.join(spec.export.formats)} would leave no model, as {name} is left as onnx alone: add onnx, or"
            " take formats out",
            ("export", "formats"),
        )


def machines_without_use(spec: TrainingJobSpec, known: Known = OWN) -> Iterator[BrokenRule]:
    """GPUs and training processes beside the one that fits. Further pods do no harm: they judge, and train folds."""
    name, workers = estimator_of(spec.model, known.models), spec.workers
    if name is None or own_loop(spec):
        return
    why = f"as {name} is fitted by {fitted_by(name)} in one process on its CPU"
    if workers.resources.gpu:
        yield BrokenRule(
            f"{workers.resources.gpu} has no effect, {why}: take gpu out, and give workers.resources.cpu what the fit"
            " may take",
            ("workers", "resources", "gpu"),
        )
    elif (workers.processes or 1) > 1:
        yield BrokenRule(
            f"{workers.processes} have no effect, {why}: take processes out, and give workers.resources.cpu what the"
            " fit may take",
            ("workers", "processes"),
        )


def iterations_of_a_regression(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """A bound on the solver for classes, where numbers are learnt."""
    model = spec.model
    if model is None or model.name != "linear" or task_of(spec) != "regression" or own_loop(spec):
        return
    if "maxIterations" in model.options:
        yield BrokenRule(
            "maxIterations is of the solver for classes, and a regression is solved at once: take it out",
            ("model", "options", "maxIterations"),
        )


ROUNDS = "earlyStoppingRounds"


def rounds_without_rows(spec: TrainingJobSpec) -> Iterator[BrokenRule]:
    """Early stopping by the loss of a validation part without rows."""
    model = spec.model
    if model is None or model.name != "xgboost" or own_loop(spec) or ROUNDS not in model.options:
        return
    if spec.data is not None and not has_part(spec.data, "validation"):
        yield BrokenRule(
            f"{ROUNDS} goes by the loss of the validation part, which is empty: set data.split.validation above 0, or"
            " take it out",
            ("model", "options", ROUNDS),
        )


OF_NAMES = (field_of_the_loop, estimator_beside_a_function, weights_of_an_estimator, machines_without_use)
CHECKS = (*OF_NAMES, iterations_of_a_regression, rounds_without_rows)
