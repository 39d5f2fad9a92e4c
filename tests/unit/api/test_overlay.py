"""The spec of a trial: values at their paths, judged by the fields that they are given to."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import JsonValue

from headway_api.job import TrainingJob, TrainingJobSpec
from headway_api.overlay import ParameterError, with_parameters
from headway_api.understand import understand
from mutations.job import changed

TUNING: dict[str, Any] = {"parameters": {"training.optimizer.lr": {"logUniform": {"min": 1e-4, "max": 1}}}}


def tuned(changes: dict[str, Any] | None = None, **tuning: Any) -> TrainingJobSpec:
    """The spec of a job with tuning."""
    document = changed({"spec.tuning": {**TUNING, **tuning}, **(changes or {})})
    return TrainingJob.model_validate(document).spec


def test_a_trial_is_the_job_with_its_values_and_the_workers_of_a_trial() -> None:
    spec = tuned()
    trial = with_parameters(spec, {"training.optimizer.lr": 0.25, "model.options.hidden": [8, 4]})
    assert trial.tuning is None
    assert trial.workers.replicas == 1
    assert trial.training is not None
    assert trial.training.optimizer.lr == 0.25
    assert trial.model is not None
    assert trial.model.options == {"hidden": [8, 4], "dropout": 0.1}
    same = {"training": spec.training, "model": spec.model, "workers": spec.workers, "tuning": spec.tuning}
    assert trial.model_copy(update=same) == spec


@pytest.mark.parametrize("value", [True, 3, 0.5, "relu", [1, 2], []])
def test_a_value_is_written_as_it_is(value: JsonValue) -> None:
    spec = tuned({"spec.model": {"name": "acme.net", "options": {"a": {"b": 0, "c": None}}}})
    trial = with_parameters(spec, {"model.options.a.b": value, "model.options.new.one": value})
    assert trial.model is not None
    assert trial.model.options == {"a": {"b": value, "c": None}, "new": {"one": value}}


def test_a_section_that_the_job_leaves_out_is_made_of_its_defaults() -> None:
    trial = with_parameters(tuned({"spec.training": {}}), {"training.earlyStopping.patience": 2})
    assert trial.training is not None
    assert trial.training.early_stopping is not None
    assert trial.training.early_stopping.patience == 2
    assert trial.training.early_stopping.metric == "validation/loss"


@pytest.mark.parametrize(
    ("parameters", "parameter", "value", "message"),
    [
        (
            {"training.batchSize": 8, "training.optimizer.lr": 0},
            "training.optimizer.lr",
            0,
            "training.optimizer.lr: 0 is too small: it must be above 0",
        ),
        (
            {"training.optimiser.lr": 0.1},
            "training.optimiser.lr",
            0.1,
            "training.optimiser.lr: unknown field `optimiser`: did you mean `optimizer`?",
        ),
        (
            {"training.batchSize.size": 8},
            "training.batchSize.size",
            8,
            "training.batchSize.size: training.batchSize is a number and has no fields: write the path of a field that"
            " is there",
        ),
        (
            {"training.batchSize": 64, "training.optimizer.name": "adamw"},
            "training.optimizer.name",
            "adamw",
            'training.optimizer.name: "adamw" is refused: training.optimizer.momentum: momentum is for sgd, and adamw'
            " has none: take it out, or set optimizer.name to sgd",
        ),
        (
            {"model.options.hidden": [], "training.epochs": 3},
            "model.options.hidden",
            [],
            "model.options.hidden: [] is refused: model.options.dropout: dropout is after each hidden layer, and"
            " hidden is empty: give it a width, or take dropout out",
        ),
    ],
)
def test_what_a_field_refuses_is_told_with_the_parameter_its_value_and_the_fields_own_sentence(
    parameters: dict[str, JsonValue], parameter: str, value: JsonValue, message: str
) -> None:
    with pytest.raises(ParameterError) as raised:
        with_parameters(tuned(), parameters)
    assert (raised.value.parameter, raised.value.value, str(raised.value)) == (parameter, value, message)


def test_a_trial_chooses_its_checkpoint_by_what_trials_are_compared_by() -> None:
    trial = with_parameters(tuned(metric="validation/f1", mode="max"), {"training.epochs": 3})
    assert trial.training is not None
    assert (trial.training.checkpoint.metric, trial.training.checkpoint.mode) == ("validation/f1", "max")
    assert trial.training.checkpoint.every_steps == 100


def test_an_estimator_has_no_checkpoint_to_choose() -> None:
    changes = {"spec.model": {"name": "linear"}, "spec.training": {}}
    parameters = {"model.options.alpha": {"uniform": {"min": 1, "max": 9}}}
    trial = with_parameters(tuned(changes, metric="validation/f1", parameters=parameters), {"model.options.alpha": 3})
    assert trial.training is not None
    assert trial.training.checkpoint.metric == "validation/loss"


def test_what_another_version_has_judged_is_not_judged_again_beside_a_trials_values() -> None:
    document = changed({"spec.tuning": TUNING, "spec.seed": -5, "spec.training.epochs": 0})["spec"]
    spec = understand(TrainingJobSpec, document)
    trial = with_parameters(spec, {"training.optimizer.lr": 0.5})
    assert trial.seed == -5
    assert trial.training is not None
    assert (trial.training.epochs, trial.training.optimizer.lr) == (0, 0.5)
    with pytest.raises(ParameterError, match="0 is too small: it must be above 0"):
        with_parameters(spec, {"training.optimizer.lr": 0})
