"""What is said of a job file: every mistake, its line, its field, and what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from headway_api.problems import Problem
from headway_api.validate import MOST_PROBLEMS, check, problems_of
from headway_api.wording import SHOWN
from mutations.every import MUTATIONS, Mutation
from mutations.job import BASE, USER_CODE, changed

JOB = """\
apiVersion: headway.dev/v1alpha1
kind: TrainingJob
metadata:
  name: digits
spec:
  data:
    source:
      builtin: {name: digits}
  model: {name: mlp}
  training:
    epochs: 3
"""


def said(text: str) -> list[str]:
    """The problems of a file, as `line: field: message`."""
    return [f"{problem.line}: {problem}" for problem in check(text.encode()).problems]


def told(changes: dict[str, Any]) -> dict[str, str]:
    """The messages about BASE with changes, by field."""
    return {problem.field: problem.message for problem in problems_of(changed(changes))}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_is_refused_in_one_bounded_line_that_names_the_field(mutation: Mutation) -> None:
    problems = said(mutation.text)
    assert any(mutation.field in f"line {problem}" for problem in problems)
    assert all("\n" not in problem and len(problem) < 600 for problem in problems)
    assert not any(problem.startswith("None") for problem in problems)


@pytest.mark.parametrize("mutation", [each for each in MUTATIONS if each.document], ids=lambda mutation: mutation.name)
def test_the_same_is_said_of_a_document_without_its_text(mutation: Mutation) -> None:
    assert mutation.document is not None
    problems = problems_of(mutation.document)
    in_file = [f"{problem}" for problem in check(mutation.text.encode()).problems]
    if mutation.name != "unknown metadata.lables":  # known to a newer API server, maybe
        assert sorted(str(problem) for problem in problems) == sorted(in_file)
        assert any(mutation.field in problem.field for problem in problems)


@pytest.mark.parametrize("document", [BASE, changed({}, USER_CODE)])
def test_a_job_without_a_mistake_is_valid(document: dict[str, Any]) -> None:
    assert problems_of(document) == []
    assert said(yaml.safe_dump(document)) == []


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"spec.training.batchSize": -1}, "spec.training.batchSize", "-1 is below the least allowed value 1"),
        ({"spec.seed": 2**31}, "spec.seed", "2147483648 is above the greatest allowed value 2147483647"),
        ({"spec.data.split.test": 1}, "spec.data.split.test", "1 is too large: it must be below 1"),
        ({"spec.training.clip.norm": 0}, "spec.training.clip.norm", "0 is too small: it must be above 0"),
        (
            {"spec.training.epochs": "3"},
            "spec.training.epochs",
            '"3" is a string, but this must be a whole number: take the quotes away, or correct the value',
        ),
        ({"spec.training.epochs": 1.5}, "spec.training.epochs", "1.5 is a number, but this must be a whole number"),
        ({"spec.suspend": "no"}, "spec.suspend", None),
        ({"spec.image": True}, "spec.image", "true is a boolean, but this must be a string: put it in quotes"),
        (
            {"spec.workers": [1]},
            "spec.workers",
            "a list, but this must be a mapping with the fields replicas, processes, resources, template",
        ),
        (
            {"spec.training.optimizer.name": "adam"},
            "spec.training.optimizer.name",
            '"adam" is not one of adamw, sgd; did you mean adamw?',
        ),
        (
            {"spec.training.optimizer.lr": float("nan")},
            "spec.training.optimizer.lr",
            "NaN is not allowed: write a finite number",
        ),
        (
            {"spec.training.entrypoint": "train.py"},
            "spec.training.entrypoint",
            '"train.py" must be module:function, for example train:main',
        ),
        (
            {"spec.workers.resources.memory": "2GB"},
            "spec.workers.resources.memory",
            '"2GB" must be a quantity: a number with an optional suffix, like 500m, 2 or 8Gi',
        ),
        ({"spec.workers.resources.cpu": 0}, "spec.workers.resources.cpu", "cpu must be above 0"),
        (
            {"metadata.name": "Digits"},
            "metadata.name",
            "\"Digits\" must be 1 to 38 lower-case letters, digits and '-', begin with a letter and not end with '-'",
        ),
        ({"metadata": {}}, "metadata", "name is missing: give it a name"),
        ({"spec.data.source": None}, "spec.data.source", "is missing; it is required: Where the rows come from."),
        (
            {"spec.image": "x" * 5000},
            "spec.image",
            f'"{"x" * SHOWN}…" (5000 characters) is too long: at most 1024 characters are allowed',
        ),
        ({"spec.evaluation.metrics": []}, "spec.evaluation.metrics", "has 0 entries: at least 1 are needed"),
        (
            {"spec.evaluation.metrics": ["f1", "f1"]},
            "spec.evaluation.metrics",
            "names f1 twice: take one out",
        ),
        (
            {"spec.training.arguments": {"x": "y" * 70_000}, "spec.training.entrypoint": "a:b"},
            "spec.training.arguments",
            "is too large: 70009 bytes as JSON, at most 65536 are allowed",
        ),
        (
            {"spec.data.columns": {f"{number}{'x' * 1000}": {"role": "ignore"} for number in range(300)}},
            "spec.data.columns",
            "is too large: 307990 bytes as JSON, at most 262144 are allowed; name only the columns that are not to be"
            " told from their values",
        ),
        ({"spec.seed": 10**30}, "spec.seed", None),
        ({"kind": "trainingjob"}, "kind", '"trainingjob" is not allowed: write TrainingJob'),
    ],
)
def test_a_message_says_the_value_what_is_allowed_and_the_mend(
    changes: dict[str, Any], field: str, message: str | None
) -> None:
    messages = told(changes)
    assert messages[field]
    assert message is None or messages[field] == message


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("spec.training.batchsize", "did you mean `batchSize`?"),
        ("spec.training.batch_size", "did you mean `batchSize`?"),
        ("spec.training.early-stopping", "did you mean `earlyStopping`?"),
        ("spec.trainig", "did you mean `training`?"),
        ("spec.training.lr", "it belongs to spec.training.optimizer"),
        ("spec.epochs", "it belongs to spec.training"),
        ("spec.training.qqq", "known here are entrypoint, arguments, epochs"),
        ("spec.workers.template.nodeSelector", "known here are metadata, spec"),
        ("spec.model.options.drop", "did you mean `dropout`?"),
        ("spec.model.options.channels", "known here are hidden, dropout, activation"),
        ("sepc", "did you mean `spec`?"),
    ],
)
def test_an_unknown_field_comes_with_what_was_probably_meant(path: str, hint: str) -> None:
    name = path.rsplit(".", 1)[-1]
    assert told({path: 1})[path].startswith(f"unknown field `{name}`: {hint}")


def test_unknown_metadata_is_a_mistake_in_a_file_but_not_in_an_object_of_a_newer_api_server() -> None:
    document = changed({"metadata.lables": {}})
    assert problems_of(document) == []
    assert said(yaml.safe_dump(document)) == ["6: metadata.lables: unknown field `lables`: did you mean `labels`?"]


def test_the_status_is_not_the_users_to_answer_for() -> None:
    assert problems_of({**BASE, "status": {"phase": "Unheard", "attempts": "many"}}) == []


def test_all_mistakes_of_a_file_are_told_in_the_order_of_its_lines() -> None:
    text = JOB.replace("epochs: 3", "epochs: 0\n    epoch: 3").replace("name: mlp", "name: mpl") + "  sede: 1\n"
    assert said(text) == [
        '9: spec.model.name: "mpl" is not one of mlp, cnn, gru, linear, randomForest, gradientBoosting, xgboost, '
        "lstm, transformer, autoencoder; did you mean mlp?",
        "11: spec.training.epochs: 0 is below the least allowed value 1",
        "12: spec.training.epoch: unknown field `epoch`: did you mean `epochs`?",
        "13: spec.sede: unknown field `sede`: did you mean `seed`?",
    ]


def test_a_missing_field_is_told_with_the_line_of_the_section_that_lacks_it() -> None:
    assert said(JOB.replace("      builtin: {name: digits}\n", "      builtin: {}\n")) == [
        "8: spec.data.source.builtin.name: is missing; it is required: Which data set."
    ]


def test_at_most_so_many_problems_are_told_and_the_rest_counted() -> None:
    many = check((JOB + "".join(f"  zz{number}: 1\n" for number in range(80))).encode())
    twice = check(((JOB + "".join(f"  zz{number}: 1\n" for number in range(80)) + "---\n") * 2).encode())
    assert (len(many.problems), many.left_out) == (MOST_PROBLEMS, 0)
    assert len(twice.problems) == MOST_PROBLEMS
    assert twice.left_out > 0


def test_a_later_document_keeps_its_lines() -> None:
    assert said(JOB + "---\n" + JOB.replace("epochs: 3", "epochs: 0").replace("name: digits", "name: two", 1)) == [
        "23: spec.training.epochs: 0 is below the least allowed value 1"
    ]


def test_two_jobs_of_one_name_are_a_mistake_unless_their_namespaces_differ() -> None:
    assert said(JOB + "---\n" + JOB) == [
        '16: metadata.name: "digits" is also the name of the TrainingJob in line 4: give each its own'
    ]
    assert said(JOB + "---\n" + JOB.replace("metadata:", "metadata:\n  namespace: other")) == []


def test_other_kinds_are_left_to_others() -> None:
    report = check(f"kind: ConfigMap\napiVersion: v1\nmetadata: {{name: x}}\n---\n{JOB}".encode())
    assert report.problems == []
    assert [(len(report.documents), other.value["kind"]) for other in report.others] == [(1, "ConfigMap")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: the file is empty: it must hold a TrainingJob or ModelDeployment"),
        ("# nothing\n---\n", "1: the file is empty: it must hold a TrainingJob or ModelDeployment"),
        ("kind: ConfigMap\napiVersion: v1\n", "1: the file holds no TrainingJob or ModelDeployment, only ConfigMap"),
        ("- a\n", "1: a list, not a Kubernetes object: it must begin with apiVersion and kind"),
        ("\n\nhello\n", '3: "hello" is a plain value, not a Kubernetes object: it must begin with apiVersion and kind'),
    ],
)
def test_a_file_without_a_job_is_refused_in_one_line(text: str, message: str) -> None:
    assert said(text) == [message]


def test_bytes_that_are_no_text_are_refused_in_one_line() -> None:
    (problem,) = check(b"\xff\xfe").problems
    assert str(problem) == "byte 0xff is not UTF-8: save the file as UTF-8 text"


def test_what_comes_before_a_place_that_cannot_be_read_is_judged_too() -> None:
    assert said(JOB.replace("epochs: 3", "epochs: 0") + "---\na: [\n") == [
        "11: spec.training.epochs: 0 is below the least allowed value 1",
        "14: not valid YAML: did not find expected node content while parsing a flow node",
    ]


def test_no_word_of_a_user_can_steer_a_terminal() -> None:
    text = JOB + '  "\\e[31mred": 1\n  image: "\\e]0;title\\a \\u202e"\n'
    assert all(problem.isprintable() for problem in said(text))
    assert len(said(text)) == 2


def test_null_fields_count_as_absent_as_they_do_for_the_api_server() -> None:
    assert said(JOB + "  evaluation:\n  storage:\n  seed: ~\n") == []
    assert said(JOB.replace("{name: mlp}", "")) == [
        "9: spec.model: set model: only a training.entrypoint or a tuning.entrypoint can do without it"
    ]


def test_numbers_are_those_of_kubectl() -> None:
    assert said(JOB.replace("epochs: 3", "epochs: 1e1\n    optimizer: {lr: 1e-3}")) == []
    assert said(JOB.replace("epochs: 3", "epochs: 10.0")) == []


@pytest.mark.parametrize("depth", [63, 100, 5000, 100_000])
def test_no_depth_of_a_stored_object_can_hurt(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    (problem,) = problems_of(changed({"spec.training.arguments": value}, USER_CODE))
    assert problem.field == "spec.training.arguments"
    assert problem.message == "is nested too deeply: at most 64 levels are allowed"
    for _ in range(depth):  # taken apart by hand: Python's own way is recursive
        value = value.pop("a")


def test_a_problem_reads_as_field_and_message() -> None:
    assert str(Problem(("spec", "a", 0, "b"), "is bad")) == "spec.a[0].b: is bad"
    assert str(Problem((), "is bad")) == "is bad"


def test_what_is_no_json_at_all_gives_problems_and_no_exception() -> None:
    odd = {**BASE, "metadata": object(), "spec": {"training": {"epochs": object(), "arguments": {1: {2}}}}}
    assert {"metadata", "spec.training.epochs"} <= {problem.field for problem in problems_of(odd)}
    assert problems_of(json.loads("{}"))
