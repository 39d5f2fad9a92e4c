"""The CustomResourceDefinition before a real API server: what it takes, what it refuses and in which words."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from kubernetes.client.exceptions import ApiException

from cluster.objects import Objects
from dotted import place
from harness import ROOT, Cluster
from headway_api.crd import TRAINING_JOB, file_name
from headway_api.job import TrainingJobSpec
from headway_api.validate import problems_of
from job_documents import JOBS, damaged
from mutations.every import MUTATIONS, Mutation
from mutations.job import BASE, USER_CODE, changed

pytestmark = pytest.mark.cluster

NAMESPACE = "crd-test"
OF_DOCUMENTS = [mutation for mutation in MUTATIONS if mutation.document is not None]
OF_TEXT = [mutation for mutation in MUTATIONS if mutation.document is None and not mutation.silent_in_kubectl]
BEGUN: dict[str, Any] = {
    "attempt": 1,
    "phase": "Running",
    "summary": {"progress": "38%", "workers": "1/2", "metric": "accuracy=0.98", "trials": "3/20", "best": "0.98 (2)"},
}
FRONT: dict[str, Any] = {
    "parameters": {"training.optimizer.lr": {"logUniform": {"min": 0.0001, "max": 1}}},
    "search": {"name": "nsga2", "population": 6},
    "objectives": [{"metric": "validation/f1", "mode": "max"}, {"metric": "model/bytes"}],
    "constraints": [{"metric": "model/bytes", "max": 20000}, {"metric": "validation/f1", "min": 0.5}],
}
TUNING: dict[str, Any] = {
    "parameters": {
        "training.optimizer.lr": {"logUniform": {"min": 0.0001, "max": 1}},
        "training.optimizer.weightDecay": {"uniform": {"min": 0, "max": 0.5}},
        "training.epochs": {"int": {"min": 2, "max": 10, "step": 4}},
        "training.batchSize": {"logInt": {"min": 16, "max": 256}},
        "training.schedule.name": {"choice": ["constant", "cosine"]},
        "training.schedule.warmupSteps": {"choice": [0, 10], "when": {"training.schedule.name": ["cosine"]}},
        "model.options.hidden": {"choice": [[64], [64, 32]]},
        "model.options.dropout": {"choice": [0, 0.25, 0.5]},
    },
    "metric": "validation/f1",
    "search": {"name": "tpe"},
    "scheduler": {"name": "asha", "graceEpochs": 2},
    "workersPerTrial": 2,
    "budget": {"seconds": 3600, "gpuHours": 0.5},
    "stopWhen": {"value": 0.99},
}
GRID: dict[str, Any] = {
    "parameters": {"model.options.hidden": {"grid": [[64], 32, "a", True]}},
    "search": {"name": "grid"},
}


def _bad() -> str:
    return json.dumps(changed({"spec.seed": -1}))


@pytest.fixture(scope="module")
def cluster(kubeconfig: Path) -> Iterator[Cluster]:
    """A cluster that knows the kind, and a namespace."""
    made = Cluster(kubeconfig)
    made.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds" / file_name(TRAINING_JOB)))
    made.kubectl("create", "namespace", NAMESPACE)
    # For a moment after a CRD has come or changed the API server says 429, or still judges by the old one.
    made.wait(
        "the API server judges by the new schema",
        lambda: "spec.seed" in made.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=_bad(), check=False),
    )
    yield made
    made.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def jobs(cluster: Cluster) -> Iterator[Objects]:
    """The jobs of the namespace, none at first and none afterwards."""
    made = Objects(cluster.kubeconfig, NAMESPACE, TRAINING_JOB.plural)
    yield made
    for name in made.names():
        made.delete(name)


@pytest.fixture
def running(jobs: Objects) -> dict[str, Any]:
    """A job of the user's own code whose first attempt has begun."""
    templates = {"spec.head.template": {"spec": {"hostname": "a"}}, "spec.workers.template": {"metadata": {}}}
    jobs.create(changed(templates, USER_CODE))
    jobs.say("mutant", BEGUN)
    return jobs.get("mutant")


@pytest.mark.parametrize("mutation", OF_DOCUMENTS, ids=lambda mutation: mutation.name)
def test_a_mistake_is_refused_by_the_api_server_or_else_found_in_what_it_stored(
    jobs: Objects, mutation: Mutation
) -> None:
    assert mutation.document is not None
    document = json.loads(json.dumps(mutation.document))
    try:
        stored = jobs.create(document)
    except ApiException as error:
        message = json.loads(error.body)["message"] if error.body.startswith("{") else error.body
        assert mutation.field in message or not mutation.schema
    except ValueError:
        assert not mutation.schema, "the client sends no NaN"
    else:
        assert not mutation.schema
        assert any(mutation.field in problem.field for problem in problems_of(stored))


@pytest.mark.parametrize("mutation", OF_TEXT, ids=lambda mutation: mutation.name)
def test_a_mistake_in_the_text_is_refused_by_kubectl(
    cluster: Cluster, jobs: Objects, mutation: Mutation, tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(mutation.text)
    said = cluster.kubectl("apply", "--validate=strict", "-n", NAMESPACE, "-f", str(file), check=False)
    assert "error" in said or "is invalid" in said
    assert jobs.names() == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metadata.name": "a" * 38},
        {"metadata.name": "a"},
        {"spec.workers.resources": {"cpu": "0.5", "memory": 10**9, "gpu": 1, "gpuResource": "amd.com/gpu"}},
        {
            "spec.data.split": {"train": 1, "validation": 0, "test": 0},
            "spec.training.earlyStopping": None,
            "spec.evaluation": None,
        },
        {"spec.data": {"source": {"uri": "s3://lake/*.parquet", "secretRef": {"name": "lake"}}, "target": "y"}},
        {"spec.training": {}, "spec.evaluation": None, "spec.storage": None},
        {"spec.head.template": {"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"disk": "ssd"}}}},
        {"spec.tuning": TUNING, "spec.workers.resources.gpu": 1},
        {"spec.tuning": FRONT},
        {"spec.tuning": GRID, "spec.model": {"name": "acme.net"}},
    ],
    ids=str,
)
def test_a_valid_job_is_taken_and_still_valid_with_its_defaults_filled_in(
    jobs: Objects, changes: dict[str, Any]
) -> None:
    document = changed(changes)
    assert problems_of(document) == []
    stored = jobs.create(document)
    assert problems_of(stored) == []
    assert stored["spec"]["scheduling"] == {"startupDeadlineSeconds": 900, "gang": "Auto", "releaseSeconds": 120}


_MANY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@_MANY
@given(JOBS)
def test_any_valid_job_is_taken(jobs: Objects, document: dict[str, Any]) -> None:
    assert jobs.refusal(document) is None


@_MANY
@given(damaged())
def test_any_damaged_job_is_refused_by_both_or_by_none(jobs: Objects, document: dict[str, Any]) -> None:
    with patch.object(TrainingJobSpec, "checks", ()):  # what the sections say together is for Python alone
        problems = problems_of(document)
    beyond = [problem for problem in problems if not problem.field.startswith(_FOR_PYTHON_OR_KUBERNETES)]
    refusal = jobs.refusal(document)
    if beyond or refusal is None:
        assert bool(beyond) == bool(refusal), refusal


_FOR_PYTHON_OR_KUBERNETES = ("spec.model.options", "spec.tuning.parameters", "metadata")
"""What only Python judges: the options of the registry's models, and values for fields of any type. And what Kubernetes
judges in its own way."""


def test_the_defaults_of_the_api_server_are_those_of_the_models(jobs: Objects) -> None:
    least = {**BASE, "spec": {"training": {"entrypoint": "train:main"}}}
    stored = jobs.create(copy.deepcopy(least))["spec"]
    model = TRAINING_JOB.model.model_validate(least).model_dump(mode="json", exclude_none=True)["spec"]
    kept_open = [model["training"].pop("arguments"), model["head"].pop("template"), model["workers"].pop("template")]
    assert kept_open == [{}, {}, {}]
    assert stored == model


def test_a_generated_name_may_be_asked_for(jobs: Objects) -> None:
    document = changed({"metadata": {"generateName": "digits-"}})
    assert problems_of(document) == []
    assert jobs.create(document)["metadata"]["name"].startswith("digits-")
    assert "metadata.name must be 1 to 38" in str(jobs.refusal(changed({"metadata": {"generateName": "d" * 40}})))


def test_the_example_is_taken(cluster: Cluster) -> None:
    for example in sorted((ROOT / "examples").glob("*.yaml")):
        said = cluster.kubectl("apply", "--validate=strict", "--dry-run=server", "-n", NAMESPACE, "-f", str(example))
        assert "created" in said


_FROZEN = [
    ("spec.image", "spec.image", "other:1"),
    ("spec.seed", "spec.seed", 8),
    ("spec.code", "spec.code.git.revision", "v2"),
    ("spec.data", "spec.data.split.stratify", "never"),
    ("spec.model", "spec.model", {"name": "cnn"}),
    ("spec.training", "spec.training.epochs", 3),
    ("spec.training", "spec.training.arguments", {"lr": 0.2}),
    ("spec.training", "spec.training.arguments", {}),
    ("spec.evaluation", "spec.evaluation.metrics", ["f1"]),
    ("spec.head", "spec.head.template", {"spec": {"hostname": "b"}}),
    ("spec.head", "spec.head.resources.cpu", 3),
    ("spec.workers.resources", "spec.workers.resources.gpu", 1),
    ("spec.workers.template", "spec.workers.template", {}),
    ("spec.storage", "spec.storage", {"uri": "s3://elsewhere"}),
    ("spec.storage", "spec.storage", None),
    ("spec.scheduling.gang", "spec.scheduling.gang", "Release"),
]


def _with(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    node, last = place(document, path)
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value
    return document


@pytest.mark.parametrize(("field", "path", "value"), _FROZEN)
def test_what_a_begun_job_is_about_cannot_change(
    jobs: Objects, running: dict[str, Any], field: str, path: str, value: Any
) -> None:
    refusal = str(jobs.replace(_with(running, path, value)))
    assert f"{field} cannot change once the job has begun: delete the job and apply it again" in refusal
    assert "spec.workers.replicas" in refusal


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.suspend", True),
        ("spec.workers.replicas", 5),
        ("spec.activeDeadlineSeconds", 60),
        ("spec.progressDeadlineSeconds", 60),
        ("spec.scheduling.startupDeadlineSeconds", 60),
        ("spec.scheduling.releaseSeconds", 60),
        ("spec.scheduling.queueDeadlineSeconds", 60),
        ("spec.ttlSecondsAfterFinished", 60),
        ("spec.retry.userError", 4),
        ("metadata.labels.team", "sound"),
    ],
)
def test_how_a_begun_job_is_run_can_change(jobs: Objects, running: dict[str, Any], path: str, value: Any) -> None:
    assert jobs.replace(_with(running, path, value)) is None


def test_what_trials_are_given_cannot_change_once_they_have_begun(jobs: Objects) -> None:
    jobs.create(changed({"spec.tuning": TUNING}))
    jobs.say("mutant", BEGUN)
    for path, values in {
        "model.options.hidden": {"choice": [[64], [64, 16]]},
        "training.schedule.warmupSteps": {"choice": [0, 10], "when": {"training.schedule.name": ["constant"]}},
        "training.epochs": {"int": {"min": 2, "max": 10, "step": 2}},
    }.items():
        stored = jobs.get("mutant")
        stored["spec"]["tuning"]["parameters"][path] = values
        assert "spec.tuning cannot change once the job has begun" in str(jobs.replace(stored))
    assert jobs.replace(jobs.get("mutant")) is None


def test_the_rest_of_tuning_cannot_change_once_trials_have_begun(jobs: Objects) -> None:
    tuning = TUNING | {"trials": 10}
    jobs.create(changed({"spec.tuning": tuning}))
    jobs.say("mutant", BEGUN)
    others = {
        "metric": "validation/accuracy",
        "mode": "max",
        "search": {"name": "random"},
        "scheduler": {"name": "hyperband"},
        "maxConcurrent": 1,
        "workersPerTrial": 1,
        "budget": {"seconds": 7200},
        "stopWhen": {},
    }
    for name, value in others.items():
        stored = _with(_with(jobs.get("mutant"), f"spec.tuning.{name}", value), "spec.tuning.trials", 20)
        assert "spec.tuning cannot change once the job has begun" in str(jobs.replace(stored)), name
    assert "spec.tuning cannot change" in str(jobs.replace(_with(jobs.get("mutant"), "spec.tuning", None)))
    assert "upwards" in str(jobs.replace(_with(jobs.get("mutant"), "spec.tuning.maxConcurrent", 1)))


@pytest.mark.parametrize(
    ("before", "after", "phase", "allowed"),
    [
        (10, 11, "Running", True),
        (10, 10_000, "Succeeded", True),
        (10, None, "Suspended", True),
        (None, 21, "Pending", True),
        (10, 9, "Running", False),
        (None, 19, "Succeeded", False),
        (30, None, "Running", False),
        (10, 11, "Failed", False),
    ],
)
def test_the_trials_of_a_job_that_has_begun_and_not_failed_may_be_raised_and_not_lowered(
    jobs: Objects, before: int | None, after: int | None, phase: str, *, allowed: bool
) -> None:
    jobs.create(changed({"spec.tuning": {key: value for key, value in (*TUNING.items(), ("trials", before)) if value}}))
    jobs.say("mutant", BEGUN | {"phase": phase})
    refusal = jobs.replace(_with(jobs.get("mutant"), "spec.tuning.trials", after))
    assert (refusal is None) is allowed
    assert allowed or "spec.tuning.trials can only be raised once the job has begun, and not for a grid" in str(refusal)


@pytest.mark.parametrize("scheduler", ["grid", "pbt"])
def test_a_grid_and_a_population_get_no_more_trials(jobs: Objects, scheduler: str) -> None:
    lr = "training.optimizer.lr"
    population = {
        "parameters": {lr: {"uniform": {"min": 0.1, "max": 0.2}}},
        "search": {"name": "random"},
        "scheduler": {"name": "pbt"},
    }
    grid = {"parameters": {lr: {"grid": [0.1, 0.2, 0.3, 0.4]}}, "search": {"name": "grid"}}
    jobs.create(changed({"spec.tuning": (grid if scheduler == "grid" else population) | {"trials": 2}}))
    jobs.say("mutant", BEGUN)
    refusal = jobs.replace(_with(jobs.get("mutant"), "spec.tuning.trials", 3))
    assert "spec.tuning.trials can only be raised once the job has begun, and not for a grid" in str(refusal)
    assert jobs.replace(_with(jobs.get("mutant"), "spec.suspend", True)) is None


def test_no_job_is_given_trials_or_loses_them_once_it_has_begun(jobs: Objects) -> None:
    jobs.create(changed({}))
    jobs.say("mutant", BEGUN)
    assert "spec.tuning cannot change" in str(jobs.replace(_with(jobs.get("mutant"), "spec.tuning", TUNING)))


@pytest.mark.parametrize("status", [None, {"phase": "Pending", "attempt": 0}])
def test_everything_can_change_before_a_job_has_begun(jobs: Objects, status: dict[str, Any] | None) -> None:
    jobs.create(changed({}, USER_CODE))
    if status is not None:
        jobs.say("mutant", status)
    for _, path, value in _FROZEN:
        refusal = jobs.replace(_with(jobs.get("mutant"), path, value))
        assert refusal is None or "cannot change" not in refusal


def test_kubectl_get_tells_the_story(cluster: Cluster, running: dict[str, Any]) -> None:
    assert running["status"] == BEGUN
    heading, row = cluster.kubectl("get", "tj", "-n", NAMESPACE).splitlines()
    assert heading.split() == ["NAME", "PHASE", "PROGRESS", "WORKERS", "METRIC", "TRIALS", "BEST", "AGE"]
    assert row.split()[:-1] == ["mutant", "Running", "38%", "1/2", "accuracy=0.98", "3/20", "0.98", "(2)"]
    wide = cluster.kubectl("get", "tj", "-n", NAMESPACE, "-o", "wide").splitlines()[0]
    assert wide.split()[-3:] == ["ATTEMPT", "MESSAGE", "AGE"]
    assert "mutant" in cluster.kubectl("get", "headway", "-n", NAMESPACE)


def test_kubectl_explain_describes_each_field(cluster: Cluster) -> None:
    said = cluster.kubectl("explain", "tj.spec.training", "--recursive")
    assert "batchSize" in said
    assert "Passes over the training part." in cluster.kubectl("explain", "tj.spec.training.epochs")


def test_the_schema_holds_what_the_api_server_understands_of_it(cluster: Cluster) -> None:
    ours = yaml.safe_load((ROOT / "crds" / file_name(TRAINING_JOB)).read_text())
    theirs = cluster.get("crd", "trainingjobs.headway.dev")
    assert theirs["spec"]["versions"][0]["schema"] == ours["spec"]["versions"][0]["schema"]
    conditions = {each["type"]: each["status"] for each in theirs["status"]["conditions"]}
    assert "NonStructuralSchema" not in conditions
    assert conditions["NamesAccepted"] == "True"
