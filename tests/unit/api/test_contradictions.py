"""What can be told from the file alone is told there: one clear sentence each, before any pod is made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contradictions.every import CONTRADICTIONS
from contradictions.specs import LABELLED, OWN_LOOP, SALES, TABLE, UNLABELLED, Contradiction
from headway_api.consistency import CHECKS, final_models, objectives, populations, tuning
from headway_api.job import TrainingJob
from headway_api.understand import understand
from headway_api.validate import problems_of
from headway_operator.training.plan.spec import resolve
from sim.builders import DEFAULTS, make_job, said

OF_TRIALS = (*tuning.CHECKS, *populations.CHECKS, *objectives.CHECKS, *final_models.CHECKS)
OF_OTHERS = [check for check in CHECKS if check not in OF_TRIALS]
"""Trials have tables of their own: test_tuning_mistakes.py and its neighbours."""
MEND = re.compile(
    r"\b(write|take|set|add|give|correct|did you mean|lower|use|put|name|replace|belongs|known here|is not one of)\b"
)


def document(spec: dict[str, Any]) -> dict[str, Any]:
    """A job of a spec."""
    return {"apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a"}, "spec": spec}


def test_there_are_a_hundred_and_all_are_different() -> None:
    assert len(CONTRADICTIONS) >= 100
    assert len({repr(each.spec) for each in CONTRADICTIONS}) == len(CONTRADICTIONS)


@pytest.mark.parametrize("each", CONTRADICTIONS, ids=str)
def test_a_contradiction_is_one_sentence_with_field_value_what_is_allowed_and_the_mend(each: Contradiction) -> None:
    (problem,) = problems_of(document(each.spec))
    assert problem.field == f"spec.{each.field}"
    assert not [words for words in each.words if words not in problem.message], problem.message
    assert MEND.search(problem.message) or "must" in problem.message, problem.message
    assert len(problem.message) < 400
    assert problem.message.isprintable()


def test_credentials_in_a_uri_are_in_no_message() -> None:
    parts = {"train": "http://me:hunter2@lake/a.csv", "test": "http://me:hunter2@lake/a.csv"}
    spec = {**TABLE, "data": {"source": {"parts": parts}, "target": "y"}, "storage": {"uri": "ftp://me:hunter2@x"}}
    problems = problems_of(document(spec))
    assert {problem.field for problem in problems} >= {"spec.data.source.parts.train", "spec.storage.uri"}
    assert not [problem for problem in problems if "hunter2" in str(problem)]


@pytest.mark.parametrize("each", CONTRADICTIONS, ids=str)
def test_the_operator_makes_nothing_of_it(each: Contradiction) -> None:
    resolved = resolve(document(each.spec), DEFAULTS)
    assert resolved.spec is None
    (problem,) = resolved.problems
    assert problem.startswith(f"spec.{each.field}")


def test_a_job_with_a_contradiction_is_not_accepted_and_gets_no_pod() -> None:
    plan = make_job().spec(**CONTRADICTIONS[0].spec).plan()
    assert (plan.create, plan.ensure_objects) == ((), frozenset())
    assert (said(plan, "Accepted").status, said(plan, "Accepted").reason) == ("False", "InvalidSpec")
    assert "acurracy" in said(plan, "Accepted").message


def test_all_contradictions_of_a_file_are_told_at_once_and_beside_other_mistakes() -> None:
    spec = {
        **TABLE,
        "data": {**TABLE["data"], "task": "classification", "columns": {"churned": {"role": "ignore"}, "x": 5}},
        "model": {"name": "cnn"},
        "training": {
            "epochs": 0,
            "batchSize": 2,
            "earlyStopping": {"metric": "validation/acurracy", "mode": "max"},
            "checkpoint": {"metric": "test/loss"},
        },
        "evaluation": {"metrics": ["mse"], "gates": [{"name": "a", "metric": "f1", "min": 2}]},
        "workers": {"replicas": 4},
    }
    assert {problem.field.removeprefix("spec.") for problem in problems_of(document(spec))} == {
        "data.columns.x",
        "data.columns.churned.role",
        "model.name",
        "training.epochs",
        "training.batchSize",
        "training.earlyStopping.metric",
        "training.checkpoint.metric",
        "evaluation.metrics[0]",
        "evaluation.gates[0].metric",
        "evaluation.gates[0].min",
    }


@pytest.mark.parametrize("check", OF_OTHERS, ids=lambda check: str(check.__name__))
def test_each_check_finds_something_in_the_table(check: Any) -> None:
    specs = [understand(TrainingJob, document(each.spec)).spec for each in CONTRADICTIONS]
    assert any(list(check(spec)) for spec in specs)


@pytest.mark.parametrize(
    "spec",
    [
        TABLE,
        OWN_LOOP,
        {**OWN_LOOP, "training": {**OWN_LOOP["training"], "checkpoint": {"keepLast": 5}}},
        {**OWN_LOOP, "training": {**OWN_LOOP["training"], "batchSize": 64}, "workers": {"replicas": 100}},
        {**OWN_LOOP, "evaluation": {"gates": [{"name": "a", "metric": "reward", "min": 5}]}},
        {**TABLE, "training": {"checkpoint": {"metric": "validation/accuracy"}, "earlyStopping": {}}},
        {**TABLE, "model": {"name": "acme.resnet", "options": {"depth": 50}}},
        {**TABLE, "data": {"source": {"uri": "a.npz"}, "columns": {"x": {"kind": "image"}}}, "model": {"name": "cnn"}},
        {**TABLE, "data": {"source": {"uri": "a.npz"}, "targets": ["labels"], "columns": {"ids": {"role": "ignore"}}}},
        {**TABLE, "data": {"source": {"uri": "s3://lake/folder"}, "target": "y"}, "model": {"name": "cnn"}},
        {**TABLE, "data": {"source": {"uri": "a.csv"}, "columns": {"y": {"role": "target", "kind": "category"}}}},
        {**TABLE, "data": {"source": {"uri": "a.csv"}, "target": "y", "columns": {"y": {"role": "target"}}}},
        {**TABLE, "data": {"source": {"uri": "a.csv"}, "target": "y", "columns": {"row": {"kind": "id"}}}},
        {
            **TABLE,
            "data": {
                "source": {"uri": "a.csv"},
                "target": "y",
                "columns": {"a": {"role": "group"}, "b": {"kind": "time", "role": "feature"}, "c": {"role": "weight"}},
                "split": {"seed": 3},
            },
        },
        {
            **TABLE,
            "data": {
                "source": {"parts": {"train": "a.csv", "test": "b.csv"}},
                "target": "y",
                "split": {"train": 1, "validation": 0, "test": 0},
            },
            "evaluation": {"gates": [{"name": "a", "metric": "f1", "min": 0.5}]},
        },
        {
            **TABLE,
            "data": {
                "source": {"uri": "a.csv"},
                "target": "y",
                "columns": {"f": {"role": "fold"}},
                "split": {"train": 1, "validation": 0, "test": 0},
            },
            "training": {"earlyStopping": {}},
            "evaluation": {"metrics": ["f1", "loss"], "gates": [{"name": "a", "metric": "f1", "min": 0.5}]},
        },
        SALES,
        {**SALES, "model": {"name": "gru"}, "evaluation": {"metrics": ["mase", "mae", "loss"]}},
        {**SALES, "data": {**SALES["data"], "split": {"method": "time"}}},
        {**SALES, "data": {**SALES["data"], "columns": {"sold": {"kind": "number"}, "day": {"role": "time"}}}},
        {**TABLE, "data": {**TABLE["data"], "task": "regression"}, "evaluation": {"metrics": ["r2", "loss"]}},
        {
            **UNLABELLED,
            "evaluation": {"metrics": ["r2", "mse"], "gates": [{"name": "a", "metric": "mse", "max": 0.5}]},
        },
        {**UNLABELLED, "data": {"source": {"builtin": {"name": "digits"}}, "task": "reconstruction"}},
        {**UNLABELLED, "data": {"source": {"uri": "cats", "format": "imageFolder"}, "task": "reconstruction"}},
        {**UNLABELLED, "model": {"name": "autoencoder", "options": {"variational": True, "beta": 0.5}}},
        {**UNLABELLED, "model": {"name": "acme.flow"}},
        {
            **LABELLED,
            "evaluation": {"metrics": ["acme.brier"], "gates": [{"name": "a", "metric": "acme.brier", "max": 1}]},
        },
        {**LABELLED, "training": {"checkpoint": {"metric": "validation/acme.brier", "mode": "max"}}},
        {**LABELLED, "model": {"name": "cnn"}, "data": {**LABELLED["data"], "task": "regression"}},
        {
            **LABELLED,
            "data": {
                **LABELLED["data"],
                "read": {"delimiter": ";"},
                "columns": {"patient": {"role": "group", "kind": "id"}, "species": {"kind": "category"}},
            },
        },
    ],
    ids=str,
)
def test_what_only_looks_contradictory_is_valid(spec: dict[str, Any]) -> None:
    assert problems_of(document(spec)) == []


def test_a_job_that_has_begun_is_not_judged_again() -> None:
    for each in CONTRADICTIONS:
        assert resolve(document(each.spec), DEFAULTS, begun=True).spec is not None, each
