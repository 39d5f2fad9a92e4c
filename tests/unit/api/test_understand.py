"""What was judged once is understood as it stands, whatever this version would say of it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given

from headway_api import wire
from headway_api.job import TrainingJob, TrainingJobSpec
from headway_api.understand import NotUnderstoodError, read_run_file, understand, write_run_file
from headway_api.validate import problems_of
from job_documents import JOBS
from mutations.job import BASE, USER_CODE, changed


def spec_of(changes: dict[str, Any], *layers: dict[str, Any]) -> TrainingJobSpec:
    """The spec of the job without a mistake, with changes, as it is understood."""
    return understand(TrainingJobSpec, changed(changes, *layers)["spec"], ("spec",))


def test_a_field_of_another_version_is_ignored() -> None:
    found = spec_of({"spec.workers.topology": "rack", "spec.newSection": {"a": 1}})
    assert found == understand(TrainingJobSpec, BASE["spec"])


def test_a_rule_of_this_version_is_not_applied() -> None:
    assert problems_of(changed({"spec.workers.resources.gpu": 2, "spec.workers.processes": 1}))
    assert spec_of({"spec.workers.resources.gpu": 2, "spec.workers.processes": 1}).workers.resources.gpu == 2


@pytest.mark.parametrize(
    ("path", "value", "kept"),
    [
        ("spec.workers.replicas", 70_000, lambda spec: spec.workers.replicas),
        ("spec.training.optimizer.name", "a later one", lambda spec: spec.training.optimizer.name),
        ("spec.training.batchSize", -4, lambda spec: spec.training.batch_size),
        ("spec.scheduling.gang", "Volcano", lambda spec: spec.scheduling.gang),
        ("spec.image", "with a space", lambda spec: spec.image),
        ("spec.model.options.layers", 3, lambda spec: spec.model.options["layers"]),
        ("spec.evaluation.metrics", ["accuracy", "auc"], lambda spec: spec.evaluation.metrics),
        ("spec.head.template", {"spec": {"containers": 3}}, lambda spec: spec.head.template),
    ],
)
def test_a_value_that_this_version_refuses_is_taken_as_it_stands(path: str, value: Any, kept: Any) -> None:
    assert problems_of(changed({path: value}))
    found = spec_of({path: value})
    assert kept(found) == (value if path != "spec.model.options.layers" else 3)
    assert found.model is not None
    assert found.training is not None
    assert (found.model.name, found.training.epochs) == ("mlp", 2), "the rest is as it was"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.workers", 3),
        ("spec.workers.replicas", "3"),
        ("spec.workers.replicas", True),
        ("spec.workers.replicas", 1.5),
        ("spec.data.source", "s3://lake"),
        ("spec.suspend", "no"),
        ("spec.evaluation.metrics", ["accuracy", 3]),
        ("spec.workers.resources.memory", [1]),
        ("spec.storage.persistentVolumeClaim", {}),
    ],
)
def test_what_is_of_another_type_is_not_understood_and_its_path_is_told(path: str, value: Any) -> None:
    with pytest.raises(NotUnderstoodError) as error:
        spec_of({path: value})
    assert str(error.value).startswith(path)


def test_what_is_absent_has_the_default_and_what_is_there_has_not() -> None:
    found = spec_of({"spec.workers.replicas": 70_000, "spec.retry": {"preempted": 9999}})
    assert found.retry.infrastructure == 5
    assert found.retry.preempted == 9999


def run_file(spec: TrainingJobSpec) -> wire.RunFile:
    """A run file with this spec."""
    return wire.RunFile.model_construct(namespace="a", name="b", uid="c", storage_uri="s3://x", spec=spec)


@given(JOBS)
def test_a_valid_spec_is_understood_as_it_is_judged(document: dict[str, Any]) -> None:
    judged = TrainingJob.model_validate(copy.deepcopy(document)).spec
    assert understand(TrainingJobSpec, document["spec"]) == judged
    assert read_run_file(write_run_file(run_file(judged))).spec == judged


def test_a_run_file_keeps_what_this_version_would_refuse() -> None:
    spec = spec_of({"spec.workers.resources.gpu": 2, "spec.training.optimizer.name": "a later one"})
    again = read_run_file(write_run_file(run_file(spec)))
    assert again.spec.workers.resources.gpu == 2
    assert again.spec.training is not None
    assert str(again.spec.training.optimizer.name) == "a later one"
    assert json.loads(write_run_file(again)) == json.loads(write_run_file(run_file(spec)))


def test_a_run_file_of_a_newer_operator_is_read() -> None:
    text = json.loads(write_run_file(run_file(spec_of({}, USER_CODE))))
    text["spec"]["workers"]["topology"] = "rack"
    text["newer"] = 1
    assert read_run_file(json.dumps(text)).spec.training.entrypoint == "train:main"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spec": 3}', b"\xff"])
def test_a_file_that_is_no_run_file_is_an_error(text: str | bytes) -> None:
    with pytest.raises(NotUnderstoodError):
        read_run_file(text)
