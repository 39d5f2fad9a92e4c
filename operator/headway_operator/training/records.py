"""From objects as the API server sends them to the slim tuples that the cache keeps. Pure.

A pod of 5 KiB of JSON costs 25 KiB as dicts; what decisions need of it costs less than one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headway_api import wire
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.ends import FOREIGN_INIT_FAILED, INIT_FAILED
from headway_operator.training.plan.model import ContainerEnd, Pod

MESSAGE_LIMIT = 1024
_QUIET_WAITS = ("ContainerCreating", "PodInitializing")

Key = tuple[str, str]
"""A job's namespace and name."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A TrainingJob; spec and status as JSON text, which is compact and parsed only when the job is looked at."""

    namespace: str
    name: str
    uid: str
    version: int
    generation: int
    created: float
    deleting: bool
    spec: str
    status: str
    phase: str
    """That of the status, as scrapes ask for it of every job."""

    @property
    def key(self) -> Key:
        """The job's key."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """The ConfigMap of an attempt."""

    name: str
    uid: str
    job_uid: str
    version: int
    attempt: int
    progress: str
    said_at: float
    """When this progress was first seen, by our own clock."""
    grouped: bool = False
    """Whether the attempt's pods are scheduled as one PodGroup."""
    workers: int = 0
    """How many workers its driver was told to wait for; 0 if it does not say."""


def version_of(body: Mapping[str, Any]) -> int:
    """The resourceVersion: a number that grows within a kind, which Kubernetes promises since 1.35 and always kept."""
    text = str(body.get("metadata", {}).get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0


def key_of(body: Mapping[str, Any]) -> Key | None:
    """The job that an object with our labels belongs to; None if it says so and is not owned by that job.

    Labels are easily copied, by hand or by a tool that keeps backups.
    """
    meta = body.get("metadata", {})
    labels = meta.get("labels") or {}
    job, uid = labels.get(wire.LABEL_JOB), labels.get(wire.LABEL_JOB_UID)
    owned = any(owner.get("uid") == uid for owner in meta.get("ownerReferences") or ())
    return (meta.get("namespace", ""), job) if job and owned else None


def phase(said: str | None) -> str:
    """The phase that a status says, one string for all jobs; New where nobody has looked yet."""
    return sys.intern(said or "New")


def job_record(body: Mapping[str, Any]) -> JobRecord:
    """A TrainingJob."""
    meta = body["metadata"]
    return JobRecord(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        version=version_of(body),
        generation=int(meta.get("generation") or 0),
        created=to_seconds(meta.get("creationTimestamp")) or 0.0,
        deleting=bool(meta.get("deletionTimestamp")),
        spec=json.dumps(body.get("spec"), separators=(",", ":")),
        status=json.dumps(body.get("status") or {}, separators=(",", ":")),
        phase=phase((body.get("status") or {}).get("phase")),
    )


def config_record(body: Mapping[str, Any], before: ConfigRecord | None, now: float) -> ConfigRecord | None:
    """An attempt's ConfigMap; None if its labels are not ours. `before` is what was last known of it."""
    meta = body["metadata"]
    labels = meta.get("labels") or {}
    attempt = labels.get(wire.LABEL_ATTEMPT, "")
    if not attempt.isdigit():
        return None
    workers = (meta.get("annotations") or {}).get(wire.ANNOTATION_WORKERS, "")
    progress = (body.get("data") or {}).get(wire.KEY_PROGRESS, "")
    known = before is not None and before.uid == meta["uid"] and before.progress == progress
    return ConfigRecord(
        name=meta["name"],
        uid=meta["uid"],
        job_uid=labels.get(wire.LABEL_JOB_UID, ""),
        version=version_of(body),
        attempt=int(attempt),
        progress=progress,
        said_at=before.said_at if before is not None and known else now,
        grouped=labels.get(wire.LABEL_GANG) == wire.GANG_POD_GROUP,
        workers=int(workers) if workers.isdigit() else 0,
    )


def pod(body: Mapping[str, Any], before: Pod | None, now: float) -> Pod | None:
    """A pod; None if its labels are not ours. `before` is what was last known of it."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    labels = meta.get("labels") or {}
    attempt, role = labels.get(wire.LABEL_ATTEMPT, ""), labels.get(wire.LABEL_ROLE)
    index = labels.get(wire.LABEL_WORKER, "0")
    if not attempt.isdigit() or not index.isdigit() or role not in (wire.ROLE_HEAD, wire.ROLE_WORKER):
        return None
    conditions = {item.get("type"): item for item in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    disruption = conditions.get("DisruptionTarget") or {}
    waiting, waiting_message = _waiting(status)
    same = before is not None and before.uid == meta["uid"] and before.waiting_since is not None
    since = (before.waiting_since if before is not None and same else now) if waiting else None
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        job_uid=labels.get(wire.LABEL_JOB_UID, ""),
        version=version_of(body),
        attempt=int(attempt),
        role=role,
        index=int(index),
        number=_number(meta["name"], role),
        created=to_seconds(meta.get("creationTimestamp")) or now,
        phase=status.get("phase") or "Pending",
        node=spec.get("nodeName"),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        deleting=to_seconds(meta.get("deletionTimestamp")),
        end=_end(status),
        reason=status.get("reason") or "",
        message=(status.get("message") or "")[:MESSAGE_LIMIT],
        disruption=(disruption.get("reason") or "") if disruption.get("status") == "True" else "",
        scheduled_at=to_seconds(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None,
        unschedulable=(scheduled.get("message") or "")[:MESSAGE_LIMIT] if scheduled.get("status") == "False" else "",
        waiting=waiting,
        waiting_message=waiting_message[:MESSAGE_LIMIT],
        waiting_since=since,
    )


def deleting(known: Pod, when: float) -> Pod:
    """The pod, after we asked for its deletion."""
    return known if known.deleting is not None else replace(known, deleting=when)


def gone(known: Pod) -> Pod:
    """The last word of a deleted pod."""
    return replace(known, gone=True, ready=False)


def _number(name: str, role: str) -> int:
    last = name.rsplit("-", 1)[-1]
    return int(last) if role == wire.ROLE_WORKER and last.isdigit() else 0


def _end(status: Mapping[str, Any]) -> ContainerEnd | None:
    """How the main container ended, or the init container that kept it from beginning."""
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if container.get("name") == wire.MAIN_CONTAINER and ended:
            return _container_end(ended, ended.get("reason") or "", "")
    if status.get("phase") != "Failed":
        return None
    for container in status.get("initContainerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            return _init_end(ended, str(container.get("name")))
    return None


def _init_end(ended: Mapping[str, Any], name: str) -> ContainerEnd:
    if name == wire.CODE_CONTAINER:
        return _container_end(ended, INIT_FAILED, f"init container {name}: ")
    # Somebody else's: what its exit code means, nobody here knows.
    why = f"exited with code {ended['exitCode']} ({ended.get('reason') or 'Error'})"
    return _container_end(ended, FOREIGN_INIT_FAILED, f"init container {name} {why}. ")


def _container_end(ended: Mapping[str, Any], reason: str, prefix: str) -> ContainerEnd:
    return ContainerEnd(
        exit_code=int(ended.get("exitCode") or 0),
        reason=reason,
        message=prefix + (ended.get("message") or "")[: wire.OUTCOME_MAX_BYTES],
        at=to_seconds(ended.get("finishedAt")),
    )


def _waiting(status: Mapping[str, Any]) -> tuple[str, str]:
    """Why the first container that does not start does not, beyond the ordinary."""
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") and waiting["reason"] not in _QUIET_WAITS:
            return waiting["reason"], waiting.get("message") or ""
    return "", ""
