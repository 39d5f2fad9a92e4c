"""What all objects of an attempt have in common: names, labels and the owner; and its ConfigMap and Secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway_api import API_VERSION, trials, wire
from headway_api.job import TrainingJobSpec
from headway_api.understand import write_run_file

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptOf:
    """An attempt of a job: all that its manifests are made from."""

    namespace: str
    job: str
    uid: str
    number: int
    workers: int
    spec: TrainingJobSpec
    grouped: bool = False
    """Whether its pods are scheduled as one PodGroup."""
    progress_seconds: float = wire.PROGRESS_SECONDS
    """How often its driver writes progress at most."""

    @property
    def name(self) -> str:
        """The name of the attempt's Secret, ConfigMap, Service, NetworkPolicy and PodGroup."""
        return wire.object_name(self.job, self.uid, self.number)

    @property
    def head_address(self) -> str:
        """Where the workers find Ray's head."""
        return f"{self.name}.{self.namespace}.svc:{wire.RAY_PORT}"


def labels(attempt: AttemptOf) -> dict[str, str]:
    """The labels of each of the attempt's objects; they also select the attempt's pods."""
    return {
        wire.LABEL_MANAGED_BY: wire.MANAGED_BY,
        wire.LABEL_JOB: attempt.job,
        wire.LABEL_JOB_UID: attempt.uid,
        wire.LABEL_ATTEMPT: str(attempt.number),
    }


def metadata(attempt: AttemptOf, name: str, extra_labels: dict[str, str] | None = None) -> Manifest:
    """Metadata of an object that the job owns. The owner blocks nothing: a job can always be deleted at once."""
    return {
        "name": name,
        "namespace": attempt.namespace,
        "labels": labels(attempt) | (extra_labels or {}),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "TrainingJob",
                "name": attempt.job,
                "uid": attempt.uid,
                "controller": True,
            }
        ],
    }


def told(attempt: AttemptOf) -> dict[str, str]:
    """Annotations that say what the driver is told in numbers which may be changed while it runs.

    The ConfigMap has them, and each pod: somebody may delete the ConfigMap before the status tells of the attempt. So
    has the Secret, whose run file is what the driver reads: one that says otherwise was made for another spec.
    """
    most = trials.raisable(attempt.spec.tuning)
    told = {wire.ANNOTATION_WORKERS: str(attempt.workers)}
    return told if most is None else told | {wire.ANNOTATION_TRIALS: str(most)}


def config_map(attempt: AttemptOf) -> Manifest:
    """The attempt's ConfigMap: room for what its driver says. No pod mounts it, as it changes every few seconds."""
    meta = metadata(attempt, attempt.name, {wire.LABEL_GANG: wire.GANG_POD_GROUP} if attempt.grouped else None)
    meta["annotations"] = told(attempt) | {
        wire.ANNOTATION_WRITER: wire.head_name(attempt.job, attempt.uid, attempt.number),
        wire.ANNOTATION_PROGRESS_SECONDS: f"{attempt.progress_seconds:.3f}",
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        "data": {wire.KEY_PROGRESS: ""},
    }


def run_file(attempt: AttemptOf) -> wire.RunFile:
    """What the attempt's pods must know. The spec is not judged again: it may break rules that are younger than it."""
    return wire.RunFile.model_construct(
        namespace=attempt.namespace,
        name=attempt.job,
        uid=attempt.uid,
        attempt=attempt.number,
        config_map=attempt.name,
        storage_uri=wire.run_folder(_storage_root(attempt), attempt.namespace, attempt.job, attempt.uid),
        progress_seconds=attempt.progress_seconds,
        spec=_for_pods(attempt),
    )


def _storage_root(attempt: AttemptOf) -> str:
    if attempt.spec.storage is None:
        raise ValueError("the spec has no storage")
    return wire.storage_root(attempt.spec.storage)


def _for_pods(attempt: AttemptOf) -> TrainingJobSpec:
    """The spec as the pods need it: with this attempt's number of workers, without the templates of pods.

    Whom the model is offered to is no matter of theirs, and images of before know nothing of it.
    """
    head, workers = attempt.spec.head, attempt.spec.workers
    return attempt.spec.model_copy(
        update={
            "head": head.model_copy(update={"template": {}}),
            "workers": workers.model_copy(update={"template": {}, "replicas": attempt.workers}),
            "publish": None,
        }
    )


def secret(attempt: AttemptOf, token: str) -> Manifest:
    """The attempt's Secret: Ray's token, with which the attempt's processes know each other, and the run file.

    It never changes: the attempt goes on with what it began with.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(attempt, attempt.name) | {"annotations": told(attempt)},
        "type": "Opaque",
        "immutable": True,
        "stringData": {
            wire.KEY_TOKEN: token,
            wire.KEY_RUN: write_run_file(run_file(attempt)),
        },
    }
