"""What a job that has ended leaves for servers: where its model lies, and whether a deployment is offered it."""

from __future__ import annotations

import re

from pydantic import ValidationError

from headway_api import wire
from headway_api.served import ModelSource
from headway_api.status import Result
from headway_api.storage import Bundle, Storage
from headway_operator.engine.text import bounded
from headway_operator.training.plan.decision import Decision
from headway_operator.training.plan.model import Job

_DIGEST = re.compile("sha256:[0-9a-f]{64}", re.ASCII)


def result(decision: Decision, outcome: wire.Outcome) -> Result:
    """What came out, as the driver says, with the place of the model, which it has no say in."""
    return (outcome.result or Result()).model_copy(update={"bundle": _bundle(decision, outcome.bundle)})


def tell(decision: Decision) -> None:
    """Say whether the model of a job that has succeeded is offered to the ModelDeployment that its spec names."""
    spec, found = decision.job.spec, decision.status.result
    if spec is None or spec.publish is None:
        return
    name = spec.publish.deployment
    if found is not None and found.bundle is not None:
        text = f"the model is offered to ModelDeployment {name}"
        decision.status.condition("Published", True, "Offered", text)
        decision.notice("Published", f"{text}: {found.bundle.digest}")
        return
    text = f"there is nothing that ModelDeployment {name} could serve: {_lacking(found)}"
    decision.status.condition("Published", False, "NoBundle", text)
    decision.notice("NotPublished", bounded(text), warning=True)


def _lacking(found: Result | None) -> str:
    files = {artifact.name for artifact in found.artifacts} if found is not None else set()
    if "onnx" in files:
        return (
            "the job's driver did not tell the digest of model.json, as trainer images before this version of the "
            "operator do not, or no server could name its folder: it has too long a path, or is at no s3://, gs:// or "
            "abfs://"
        )
    return "the run has left no model.onnx; its warnings and report.md say why"


def _bundle(decision: Decision, digest: str | None) -> Bundle | None:
    job, draft = decision.job, decision.status
    storage = draft.storage or (job.spec.storage if job.spec is not None else None)
    if digest is None or storage is None or not _DIGEST.fullmatch(digest):
        return None
    return _at(storage, job, digest)


def _at(storage: Storage, job: Job, digest: str) -> Bundle | None:
    """The folder, as long as a ModelDeployment can name it."""
    claim = storage.persistent_volume_claim
    if claim is not None:
        path = wire.run_folder(claim.path.strip("/"), job.namespace, job.name, job.uid).lstrip("/")
        bundle = Bundle(digest=digest, persistent_volume_claim=claim.model_copy(update={"path": path}))
    else:
        uri = wire.run_folder(wire.storage_root(storage), job.namespace, job.name, job.uid)
        bundle = Bundle(digest=digest, uri=uri, secret_ref=storage.secret_ref)
    try:
        ModelSource.model_validate(bundle.model_dump(by_alias=True, exclude_none=True))
    except ValidationError:
        return None
    return bundle
