"""Each rule across fields: what keeps it and what breaks it, as Python judges. tests/cluster judges the same in CEL."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from deployment_mistakes import MISTAKES
from headway_api import base, schema
from headway_api.crd import KINDS
from headway_api.job import TrainingJob
from headway_api.problems import find
from headway_api.validate import problems_of
from mutations.every import MUTATIONS
from mutations.job import USER_CODE, changed

_GOOD: list[dict[str, Any]] = [
    {},
    {"spec.data.split": {"train": 0.334, "validation": 0.333, "test": 0.333}},
    {
        "spec.data.split": {"train": 1, "validation": 0, "test": 0},
        "spec.training.earlyStopping.metric": "train/loss",
        "spec.evaluation": {},
    },
    {"spec.data.source": {"uri": "s3://lake/x/*.npz", "format": "npz", "secretRef": {"name": "lake"}}},
    {"spec.data.source": {"uri": "/data/a.csv"}, "spec.data.target": "y"},
    {"spec.data.source": {"uri": "/data/a.csv", "format": "npz"}},
    {"spec.data.source": {"persistentVolumeClaim": {"name": "lake", "path": "a..b/c"}, "format": "imageFolder"}},
    {"spec.training.checkpoint": {"everySeconds": 60}},
    {"spec.training.checkpoint": {}},
    {"spec.training.arguments": {}},
    {"spec.model": {"entrypoint": "nets.vision:Net.build", "options": {"anything": [1, None, {"a": "b"}]}}},
    {"spec.model": {"name": "cnn", "options": {"channels": [8, 16]}}},
    {"spec.storage": {"uri": "s3://models", "secretRef": {"name": "writer"}}},
    {"spec.workers.resources": {"cpu": "1m", "memory": "0.5Gi"}},
    {"spec.workers.resources.gpu": 8},
    {"spec.workers.resources.gpu": 8, "spec.workers.processes": 8},
    {"spec.workers.processes": 2},
    {"spec.head.template": {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "main"}]}}},
    {"metadata": {"generateName": "digits-"}},
    {"metadata.labels": {"example.com/team": "", "a.b-c_d": "E_f.1"}},
    {"metadata.name": "a" * 38},
    {"spec.code": None, "spec.evaluation": None},
    {"spec.publish": {"deployment": "d" * 38}},
    {"spec.publish": {"deployment": "churn"}, "spec.export.formats": ["onnx"]},
    {"spec.export.formats": ["safetensors"]},
]
_GOOD_CODE: list[dict[str, Any]] = [
    {},
    {"spec.data": None, "spec.model": None},
    {"spec.workers.resources.gpu": 8, "spec.workers.processes": 1},
    {"spec.workers.resources.gpu": 8, "spec.workers.processes": 4},
    {"spec.code": {"configMap": {"name": "code"}}},
    {"spec.code": None},
    {"spec.training": None, "spec.model": {"entrypoint": "nets:build"}},
    {"spec.code.git": {"url": "ssh://git@example.com/team/code.git", "revision": "v1.0/x"}},
]


@pytest.mark.parametrize("changes", _GOOD, ids=str)
def test_a_job_that_keeps_all_rules_has_no_problems(changes: dict[str, Any]) -> None:
    assert problems_of(changed(changes)) == []


@pytest.mark.parametrize("changes", _GOOD_CODE, ids=str)
def test_a_job_of_the_users_own_code_has_no_problems(changes: dict[str, Any]) -> None:
    assert problems_of(changed(changes, USER_CODE)) == []


def _rules() -> list[str]:
    nodes = [node for kind in KINDS for _, node in schema.fields(schema.inlined(kind.model))]
    return sorted({rule["message"] for node in nodes for rule in node.get("x-kubernetes-validations", ())})


@cache
def _messages() -> set[str]:
    documents = [mutation.document for mutation in MUTATIONS if mutation.schema and mutation.document]
    documents += [mistake.document for mistake in MISTAKES]
    return {problem.message for document in documents for problem in problems_of(document)}


@pytest.mark.parametrize("message", _rules())
def test_each_rule_is_broken_by_a_mutation_that_the_api_server_must_refuse(message: str) -> None:
    assert message in _messages()


def test_all_broken_rules_of_a_section_are_told_with_their_fields() -> None:
    document = changed({"spec.data.source": {"builtin": {"name": "iris"}, "format": "csv", "secretRef": {"name": "a"}}})
    fields = {problem.field for problem in problems_of(document)}
    assert fields == {"spec.data.source.format", "spec.data.source.secretRef", "spec.data.target"}


def test_a_rule_is_judged_although_other_fields_of_its_section_are_wrong() -> None:
    document = changed({"spec.seed": "x", "spec.model": None, "spec.training.epochs": 0, "spec.data.split.test": 0.9})
    fields = {problem.field for problem in problems_of(document)}
    assert fields == {"spec.seed", "spec.model", "spec.training.epochs", "spec.data.split"}


def test_a_rule_that_raises_in_place_of_judging_is_not_taken_for_a_broken_one() -> None:
    document = changed({"spec.training": "yes", "spec.data.split.train": "most"})
    assert {problem.field for problem in problems_of(document)} == {"spec.training", "spec.data.split.train"}


def test_a_rule_that_only_whole_values_break_is_still_told() -> None:
    class Moody(base.Section):
        rules = (base.Rule(cel="false", message="never holds", holds=_holds_the_second_time),)
        name: str = ""

    problems = find({"name": "x"}, Moody, most=5)
    assert [(problem.field, problem.message) for problem in problems] == [("spec", "never holds")]


_calls: list[object] = []


def _holds_the_second_time(section: object) -> bool:
    _calls.append(section)
    return len(_calls) > 1


def test_problems_are_at_most_as_many_as_asked_for() -> None:
    document = changed({f"spec.unknown{number}": 1 for number in range(200)})
    assert len(find(document, TrainingJob, most=7)) == 7
    assert len(problems_of(document)) == 50


def test_the_field_of_each_rule_exists_where_its_message_points() -> None:
    for path, node in (field for kind in KINDS for field in schema.fields(schema.inlined(kind.model))):
        for rule in node.get("x-kubernetes-validations", ()):
            if "fieldPath" in rule:
                assert rule["fieldPath"].removeprefix(".") in node["properties"], path
