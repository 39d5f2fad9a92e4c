"""From objects as the API server sends them to the slim tuples that the cache keeps. Pure.

A pod of 5 KiB of JSON costs 25 KiB as dicts; what decisions need of it costs less than one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headway_api import wire
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.ends import FOREIGN_INIT_FAILED, INIT_FAILED
from headway_operator.training.plan.model import AttemptConfig, ContainerEnd, Pod

MESSAGE_LIMIT = 1024
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?", re.ASCII)
_QUIET_WAITS = ("ContainerCreating", "PodInitializing")

KIND = "TrainingJob"
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
    progress_seconds: float = 0.0
    """How often its driver was told to speak at most; 0 if it does not say."""

    def for_plan(self) -> AttemptConfig:
        """What a decision needs of it."""
        return AttemptConfig(
            name=self.name,
            attempt=self.attempt,
            progress=self.progress,
            said_at=self.said_at,
            grouped=self.grouped,
            workers=self.workers,
            progress_seconds=self.progress_seconds,
        )


def version_of(body: Mapping[str, Any]) -> int:
    """The resourceVersion: a number that grows within a kind, which Kubernetes promises since 1.35 and always kept."""
    text = str(body.get("metadata", {}).get("resourceVersion") or "0")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _number_of(text: object) -> int | None:
    """A number as Headway writes it into labels, names and annotations; None for whatever else stands there."""
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else None


def key_of(body: Mapping[str, Any]) -> Key | None:
    """The job that an object with our labels belongs to; None if its name and its controller are not what they say.

    Labels and owners are easily copied, by hand or by a tool that keeps backups; a name is there once. Names as 0.1.0
    gave them, without the uid, are known, too.
    """
    meta = body.get("metadata", {})
    labels = meta.get("labels") or {}
    job, uid, attempt = (
        labels.get(wire.LABEL_JOB),
        labels.get(wire.LABEL_JOB_UID),
        _number_of(labels.get(wire.LABEL_ATTEMPT)),
    )
    if not job or not uid or attempt is None or not _controlled(meta, job, uid):
        return None
    name = meta.get("name", "")
    rest = _rest_of_name(name, labels)
    ours = rest is not None and name in (f"{wire.object_name(job, uid, attempt)}{rest}", f"{job}-{attempt}{rest}")
    return (meta.get("namespace", ""), job) if ours else None


def _controlled(meta: Mapping[str, Any], job: str, uid: str) -> bool:
    """Whether the job of that name and uid is the object's controller."""
    return any(
        owner.get("controller") is True and (owner.get("kind"), owner.get("name"), owner.get("uid")) == (KIND, job, uid)
        for owner in meta.get("ownerReferences") or ()
    )


def _rest_of_name(name: str, labels: Mapping[str, Any]) -> str | None:
    """What follows the attempt's name in that of an object with these labels; None if no name has such labels."""
    role = labels.get(wire.LABEL_ROLE)
    if role == wire.ROLE_WORKER:
        index, number = _number_of(labels.get(wire.LABEL_WORKER)), _number_of(name.rpartition("-")[2])
        return None if index is None or number is None else f"-{role}-{index}-{number}"
    return {None: "", wire.ROLE_HEAD: f"-{wire.ROLE_HEAD}"}.get(role)


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
    attempt = _number_of(labels.get(wire.LABEL_ATTEMPT))
    if attempt is None:
        return None
    annotations = meta.get("annotations") or {}
    told = str(annotations.get(wire.ANNOTATION_PROGRESS_SECONDS, ""))
    progress = (body.get("data") or {}).get(wire.KEY_PROGRESS, "")
    known = before is not None and before.uid == meta["uid"] and before.progress == progress
    return ConfigRecord(
        name=meta["name"],
        uid=meta["uid"],
        job_uid=labels.get(wire.LABEL_JOB_UID, ""),
        version=version_of(body),
        attempt=attempt,
        progress=progress,
        said_at=before.said_at if before is not None and known else now,
        grouped=labels.get(wire.LABEL_GANG) == wire.GANG_POD_GROUP,
        workers=_number_of(annotations.get(wire.ANNOTATION_WORKERS)) or 0,
        progress_seconds=float(told) if _SECONDS.fullmatch(told) else 0.0,
    )


def pod(body: Mapping[str, Any], before: Pod | None, now: float) -> Pod | None:
    """A pod; None if its labels are not ours. `before` is what was last known of it."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    labels = meta.get("labels") or {}
    attempt, role = _number_of(labels.get(wire.LABEL_ATTEMPT)), labels.get(wire.LABEL_ROLE)
    index = _number_of(labels.get(wire.LABEL_WORKER, "0"))
    if attempt is None or index is None or role not in (wire.ROLE_HEAD, wire.ROLE_WORKER):
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
        attempt=attempt,
        role=role,
        index=index,
        number=(_number_of(meta["name"].rpartition("-")[2]) or 0) if role == wire.ROLE_WORKER else 0,
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
