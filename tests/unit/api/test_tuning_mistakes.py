"""Wrong sections of `spec.tuning`: each is told in one clear sentence, at the place that is to be corrected."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api import trials
from headway_api.consistency import objectives, populations, tuning
from headway_api.consistency.trial_values import MOST_COMBINATIONS
from headway_api.job import TrainingJob
from headway_api.parameters import Parameter
from headway_api.understand import understand
from headway_api.validate import problems_of
from tuning_jobs import DATA, DROPOUT, EPOCHS, HIDDEN, LR, MOMENTUM, NAME, Mistake, is_told, job, of, rates, several
from tuning_mistakes import ACCURACY, MISTAKES, SIZE, both, kept


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_wrong_section_is_told_in_one_sentence_where_it_is_to_be_corrected(mistake: Mistake) -> None:
    is_told(mistake)


def test_there_are_mistakes_of_all_kinds() -> None:
    assert len(MISTAKES) >= 40
    specs = [understand(TrainingJob, job(each.tuning, **each.spec)).spec for each in MISTAKES]
    unused = [
        check.__name__
        for check in (*tuning.CHECKS, *populations.CHECKS, *objectives.CHECKS)
        if not any(list(check(spec)) for spec in specs)
    ]
    assert unused == []


@pytest.mark.parametrize(
    "tuning",
    [
        rates(),
        rates(metric="validation/f1", mode="max", trials=1, maxConcurrent=4),
        several((NAME, {"choice": ["sgd", "adamw"]}), (MOMENTUM, {"choice": [0.5, 0.99], "when": {NAME: ["sgd"]}})),
        several(
            ("model.name", {"choice": ["mlp", "cnn"]}),
            (HIDDEN, {"choice": [[8], [9]], "when": {"model.name": ["mlp"]}}),
        ),
        several(
            (EPOCHS, {"int": {"min": 2, "max": 9, "step": 3}}), (MOMENTUM, {"choice": [0.9], "when": {EPOCHS: [5]}})
        ),
        of(HIDDEN, {"grid": [[64], [64, 32], []]}, search={"name": "grid"}),
        of(HIDDEN, {"grid": [[64], [32]]}, search={"name": "grid"}, trials=1),
        of(EPOCHS, {"choice": [1, 50]}, scheduler={"name": "asha", "graceEpochs": 49}, budget={"epochs": 1}),
        of(EPOCHS, {"logInt": {"min": 1, "max": 80}}, scheduler={"name": "hyperband", "reductionFactor": 4}),
        several((EPOCHS, {"int": {"min": 1, "max": 80}}), search={"name": "cmaes"}),
        rates(search={"name": "gp", "startupTrials": 3}, stopWhen={"value": 0.01, "noImprovementTrials": 19}),
        of("training.clip.norm", {"uniform": {"min": 1, "max": 5}}),
        of("training.earlyStopping.patience", {"int": {"min": 1, "max": 5}}),
        of("training.batchSize", {"choice": [2]}),
        both(),
        both({"metric": "validation/f1", "mode": "max"}, search={"name": "random"}, budget={"epochs": 50}),
        both(objectives=[SIZE, {"metric": "validation/rocAuc"}], constraints=[{**ACCURACY, "min": 0.9}]),
        of(HIDDEN, {"grid": [[64], [8]]}, search={"name": "grid"}, objectives=[ACCURACY, SIZE]),
        kept({**SIZE, "max": 50_000, "min": 100}, stopWhen={"noImprovementTrials": 5}),
        rates(trialsPerWorker=16, maxConcurrent=64),
    ],
    ids=str,
)
def test_what_only_looks_wrong_is_valid(tuning: dict[str, Any]) -> None:
    assert problems_of(job(tuning)) == []


def test_a_value_that_no_model_takes_is_not_told_as_one_that_some_do() -> None:
    names = {"model.name": {"choice": ["mlp", "cnn", "resnet"]}}
    problems = problems_of(job({"parameters": {**names, DROPOUT: {"choice": [0.5, 1.5]}}}))
    assert {problem.field: problem.message for problem in problems} == {
        f"spec.tuning.parameters.{DROPOUT}.choice[1]": "1.5 is too large: it must be below 1",
        "spec.tuning.parameters.model.name.choice[2]": '"resnet" is not one of mlp, cnn, gru, linear, randomForest,'
        " gradientBoosting, xgboost, lstm, transformer, autoencoder",
    }


def test_an_option_is_judged_by_the_model_that_each_trial_has() -> None:
    options = {"model.options.width": {"choice": [60, 64]}, "model.options.heads": {"choice": [3, 4]}}
    text = {"data": {"source": {"uri": "a.csv"}, "target": "y"}, "model": {"name": "transformer"}}
    (problem,) = problems_of(job({"parameters": options}, **text))
    assert problem.field == "spec.tuning.parameters.model.options.heads.choice[0]"
    assert "3 heads cannot have equal shares of the width 64" in problem.message
    assert problem.message.endswith(
        "That is so beside model.options.width 64: correct one of them, or limit the parameter with when"
    )


def many(**more: Any) -> dict[str, Any]:
    """Parameters with more combinations than are judged together."""
    wide = {f"model.options.{name}": {"choice": list(range(1, 21))} for name in ("latent", "beta")}
    return {"parameters": {**wide, "training.batchSize": {"choice": [16, 32]}, **more}}


AUTOENCODER: dict[str, Any] = {
    "model": {"name": "autoencoder", "options": {"variational": True}},
    "data": {**DATA, "task": "reconstruction"},
}


def test_where_combinations_are_many_each_value_is_judged_all_the_same() -> None:
    parameters = many(**{LR: {"choice": [0.1, 0, 0.2]}, "model.options.hidden": {"choice": [[8], [0]]}})
    fields = {problem.field: problem.message for problem in problems_of(job(parameters, **AUTOENCODER))}
    assert fields == {
        f"spec.tuning.parameters.{LR}.choice[1]": "0 is too small: it must be above 0",
        "spec.tuning.parameters.model.options.hidden.choice[1][0]": "0 is below the least allowed value 1",
    }


def test_where_combinations_are_many_a_value_that_goes_with_some_of_the_others_is_left_to_its_trial() -> None:
    switch = {"model.options.variational": {"choice": [True, False]}}
    assert problems_of(job(many(**switch), **AUTOENCODER)) == []


def test_of_values_without_end_the_number_is_bounded() -> None:
    wide = {f"model.options.a{number}": {"choice": list(range(256))} for number in range(3)}
    (problem,) = problems_of(job({"parameters": wide}, model={"name": "acme.net"}))
    assert problem.field == "spec.tuning.parameters"
    assert problem.message == (
        "have 768 values together: at most 512 are allowed; write fewer, or a range in place of choice"
    )


def test_combinations_are_the_same_in_whatever_order_the_parameters_are_written() -> None:
    parameters = {
        MOMENTUM: Parameter.model_validate({"choice": [1, 2], "when": {NAME: ["sgd"]}}),
        NAME: Parameter.model_validate({"choice": ["adamw", "sgd"]}),
        EPOCHS: Parameter.model_validate({"grid": [3]}),
    }
    found = list(trials.combinations(parameters, lambda one: one.listed or ()))
    assert found == [
        {EPOCHS: 3, NAME: "adamw"},
        {EPOCHS: 3, NAME: "sgd", MOMENTUM: 1},
        {EPOCHS: 3, NAME: "sgd", MOMENTUM: 2},
    ]
    assert list(trials.combinations(dict(reversed(parameters.items())), lambda one: one.listed or ())) == found
    assert len(found) < MOST_COMBINATIONS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        ([1], [1.0], True),
        ([1], [True], False),
        ([1], 1, False),
    ],
)
def test_a_condition_is_met_by_the_same_value_and_by_no_other(one: Any, other: Any, same: bool) -> None:
    assert trials.same(one, other) is same


def test_conditions_on_many_parameters_that_have_conditions_too_are_ordered_in_one_pass() -> None:
    paths = [f"model.options.a{number:02}" for number in range(64)]
    parameters = {
        path: Parameter.model_validate(
            {"choice": [1], "when": {other: [1] for other in paths[number + 1 : number + 9]}}
        )
        for number, path in enumerate(paths)
    }
    assert trials.ordered(parameters) == paths[::-1]
    assert list(trials.combinations(parameters, lambda one: one.listed or ())) == [dict.fromkeys(paths[::-1], 1)]
