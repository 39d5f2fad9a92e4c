"""What a job that has ended says of its model: where it lies, and whether a ModelDeployment is offered it."""

from __future__ import annotations

from typing import Any

import pytest

from headway_api.status import Artifact, Result, TrainingJobStatus
from headway_operator.training.plan.status import essential
from sim.builders import UID, make_job, outcome, said

DIGEST = f"sha256:{'ab' * 32}"
RESULT = Result(artifacts=[Artifact(name="onnx", uri="x", sha256="0", size_bytes=1)])
VOLUME: dict[str, Any] = {"persistentVolumeClaim": {"name": "models", "path": "runs/"}}
STORE: dict[str, Any] = {"uri": "s3://models/runs?region=eu-1", "secretRef": {"name": "s3"}}
PUBLISH: dict[str, Any] = {"publish": {"deployment": "churn"}}


def ended(spec: dict[str, Any], word: str, code: int = 0) -> Any:
    """The plan of a job whose driver ends with a word."""
    return make_job().spec(**spec).running().head(exit_code=code, said=word).worker(0).live().plan(after=100)


@pytest.mark.parametrize(
    ("storage", "bundle"),
    [
        (
            VOLUME,
            {"digest": DIGEST, "persistentVolumeClaim": {"name": "models", "path": f"runs/default/digits-{UID[:8]}"}},
        ),
        (
            {"persistentVolumeClaim": {"name": "models"}},
            {"digest": DIGEST, "persistentVolumeClaim": {"name": "models", "path": f"default/digits-{UID[:8]}"}},
        ),
        (
            STORE,
            {
                "digest": DIGEST,
                "uri": f"s3://models/runs/default/digits-{UID[:8]}?region=eu-1",
                "secretRef": {"name": "s3"},
            },
        ),
    ],
)
@pytest.mark.parametrize(("kind", "code"), [("Succeeded", 0), ("Failed", 65)])
def test_a_job_that_has_ended_with_a_model_says_where_it_lies_and_which_it_is(
    storage: dict[str, Any], bundle: dict[str, Any], kind: str, code: int
) -> None:
    more: dict[str, Any] = {} if kind == "Succeeded" else {"cause": "GateFailed"}
    status = ended({"storage": storage}, outcome(kind, bundle=DIGEST, result=RESULT, **more), code).status
    assert status.result.bundle.model_dump(mode="json", by_alias=True, exclude_none=True) == bundle
    assert not any(condition.type == "Published" for condition in status.conditions)


def test_where_a_model_lies_is_not_for_its_driver_to_say() -> None:
    there = {"digest": DIGEST, "persistentVolumeClaim": {"name": "secrets", "path": ""}}
    word = outcome("Succeeded", result={"bundle": there}, bundle=None)
    assert ended({"storage": VOLUME}, word).status.result.bundle is None
    word = outcome("Succeeded", result={"bundle": there}, bundle=DIGEST)
    assert ended({"storage": VOLUME}, word).status.result.bundle.persistent_volume_claim.name == "models"


@pytest.mark.parametrize("digest", ["ab" * 32, f"sha256:{'AB' * 32}", "sha256:", f"{DIGEST}\n", "x" * 500])
def test_a_digest_that_is_none_names_no_model(digest: str) -> None:
    plan = ended({"storage": VOLUME, **PUBLISH}, outcome("Succeeded", bundle=digest, result=RESULT))
    assert plan.status.phase == "Succeeded"
    assert plan.status.result.bundle is None
    assert said(plan, "Published").status == "False"


@pytest.mark.parametrize(
    "storage",
    [
        {"persistentVolumeClaim": {"name": "models", "path": "x" * 1020}},
        {"uri": f"s3://models/{'x' * 2030}"},
        {"uri": "file:///mnt/models"},
        {"uri": "/mnt/models"},
        {"uri": "hdfs://models/runs"},
        {"uri": "s3://key:secret@models/runs"},
    ],
)
def test_a_place_that_no_deployment_could_name_names_no_model(storage: dict[str, Any]) -> None:
    plan = ended({"storage": storage, **PUBLISH}, outcome("Succeeded", bundle=DIGEST, result=RESULT))
    assert plan.status.result.bundle is None
    assert "too long a path, or is at no s3://" in said(plan, "Published").message


@pytest.mark.parametrize("storage", [VOLUME, STORE])
def test_a_job_with_publish_that_has_succeeded_says_to_whom_it_offers_its_model(storage: dict[str, Any]) -> None:
    plan = ended({"storage": storage, **PUBLISH}, outcome("Succeeded", bundle=DIGEST, result=RESULT))
    condition = said(plan, "Published")
    assert (condition.status, condition.reason) == ("True", "Offered")
    assert "ModelDeployment churn" in condition.message
    assert [notice.reason for notice in plan.notices] == ["Complete", "Published"]
    assert DIGEST in plan.notices[-1].message


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "left no model.onnx"),
        (Result(), "left no model.onnx"),
        (RESULT, "did not tell the digest of model.json"),
    ],
)
def test_a_job_with_publish_that_has_left_nothing_to_serve_says_why(result: Result | None, says: str) -> None:
    plan = ended({"storage": VOLUME, **PUBLISH}, outcome("Succeeded", result=result))
    condition = said(plan, "Published")
    assert (condition.status, condition.reason) == ("False", "NoBundle")
    assert says in condition.message
    assert plan.status.phase == "Succeeded"
    assert [notice.reason for notice in plan.notices if notice.warning] == ["NotPublished"]


def test_a_job_whose_gates_failed_offers_nothing() -> None:
    word = outcome("Failed", cause="GateFailed", bundle=DIGEST, result=RESULT)
    status = ended({"storage": VOLUME, **PUBLISH}, word, 65).status
    assert status.phase == "Failed"
    assert status.result.bundle is not None
    assert not any(condition.type == "Published" for condition in status.conditions)


def test_the_model_stays_in_a_status_that_the_api_server_takes_only_without_the_driver_s_words() -> None:
    status = ended({"storage": VOLUME}, outcome("Succeeded", bundle=DIGEST, result=RESULT)).status
    kept = essential(status)
    assert isinstance(kept, TrainingJobStatus)
    assert kept.result == Result(bundle=status.result.bundle)
