"""From objects as the API server sends them to the small records that the store keeps. Pure.

A pod of 5 KiB of JSON costs 25 KiB as dicts; what decisions need of it costs less than one. Whose an object is, is told
by its controller and by its name, which nobody else can have: labels and owners are easily copied and changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headway_api import wire
from headway_api.pods import MOST_WORKERS
from headway_api.tuning import MAX_TRIALS
from headway_operator.engine.keys import controller_of, number, version_of
from headway_operator.engine.times import to_seconds
from headway_operator.training.plan.ends import FOREIGN_INIT_FAILED, INIT_FAILED
from headway_operator.training.plan.model import AttemptConfig, ContainerEnd, Pod

MESSAGE_LIMIT = 1024
PROGRESS_LIMIT = 65_536
"""In characters: the admission policy of the chart bounds it by as many bytes. What is longer is no report."""
NAME_LIMIT = 253
_QUIET_WAITS = ("ContainerCreating", "PodInitializing")
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?", re.ASCII)
_NUMBER = "0|[1-9][0-9]{0,8}"
_PLACE = re.compile(
    rf"(?P<attempt>{_NUMBER})"
    rf"(-(?P<head>{wire.ROLE_HEAD})|-{wire.ROLE_WORKER}-(?P<index>{_NUMBER})-(?P<number>{_NUMBER}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """The ConfigMap of an attempt."""

    name: str
    uid: str
    owner_uid: str
    version: int
    attempt: int
    progress: str
    reported_at: float
    """When this progress was first seen."""
    grouped: bool = False
    """Whether the attempt's pods are scheduled as one PodGroup."""
    workers: int = 0
    """How many workers its driver was told to wait for; 0 if it does not say."""
    trials: int = 0
    """How many trials its driver was told of; 0 if it does not say."""
    progress_seconds: float = 0.0
    """How often its driver was told to speak at most; 0 if it does not say."""
    has_reported: bool = False
    """Whether its driver has said anything yet, readable or not."""
    has_ended: bool = False
    """Whether its driver has spoken of an outcome yet."""

    def for_plan(self) -> AttemptConfig:
        """What a decision needs of it."""
        return AttemptConfig(
            name=self.name,
            uid=self.uid,
            attempt=self.attempt,
            progress=self.progress,
            reported_at=self.reported_at,
            grouped=self.grouped,
            workers=self.workers,
            trials=self.trials,
            progress_seconds=self.progress_seconds,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """What a child's name says of it."""

    owner_uid: str
    attempt: int
    role: str = ""
    """Empty for an object that belongs to the attempt as a whole."""
    index: int = 0
    number: int = 0


def place_of(body: Mapping[str, Any]) -> Place | None:
    """Whose an object is, and what it is there for; None if its name is not one that its controller gives.

    Names as 0.1.0 gave them, without the uid, are known, too.
    """
    controller = controller_of(body)
    name = body["metadata"]["name"]
    if controller is None:
        return None
    job, uid = controller.key.name, controller.uid
    for prefix in (f"{job}-{uid[: wire.UID_LENGTH]}-", f"{job}-"):
        found = _PLACE.fullmatch(name[len(prefix) :]) if name.startswith(prefix) else None
        if found is None:
            continue
        part = found.groupdict()
        attempt = int(part["attempt"])
        if part["head"]:
            return Place(uid, attempt, wire.ROLE_HEAD)
        if part["index"] is not None:
            return Place(uid, attempt, wire.ROLE_WORKER, int(part["index"]), int(part["number"]))
        return Place(uid, attempt)
    return None


def config_record(body: Mapping[str, Any], before: ConfigRecord | None, now: float) -> ConfigRecord | None:
    """An attempt's ConfigMap; None if it is none. `before` is what was last known of it."""
    meta, place = body["metadata"], place_of(body)
    if place is None or place.role:
        return None
    annotations = meta.get("annotations") or {}
    told = str(annotations.get(wire.ANNOTATION_PROGRESS_SECONDS, ""))
    workers, trials = _told(annotations)
    progress = (body.get("data") or {}).get(wire.KEY_PROGRESS, "")
    same = before if before is not None and before.uid == meta["uid"] else None
    has_reported = bool(progress) or (same is not None and same.has_reported)
    if len(progress) > PROGRESS_LIMIT:
        # The object is known all the same: it says that the attempt has objects.
        progress = ""
    return ConfigRecord(
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=place.owner_uid,
        version=version_of(body),
        attempt=place.attempt,
        progress=progress,
        reported_at=same.reported_at if same is not None and same.progress == progress else now,
        grouped=(meta.get("labels") or {}).get(wire.LABEL_GANG) == wire.GANG_POD_GROUP,
        workers=workers,
        trials=trials,
        progress_seconds=float(told) if _SECONDS.fullmatch(told) else 0.0,
        has_reported=has_reported,
        has_ended='"outcome"' in progress or (same is not None and same.has_ended),
    )


def _told(annotations: Mapping[str, Any]) -> tuple[int, int]:
    """How many workers and trials a driver was told of; 0 for what is not said, or for more than there can be."""
    workers, trials = number(annotations.get(wire.ANNOTATION_WORKERS)), number(annotations.get(wire.ANNOTATION_TRIALS))
    return workers if workers <= MOST_WORKERS else 0, trials if trials <= MAX_TRIALS else 0


def only_progress(old: ConfigRecord, new: ConfigRecord) -> bool:
    """Whether all that is new is how far a driver has come: its first report and its outcome cannot wait.

    They come once: a driver that says the like again and again, or what nobody can read, does not wake anybody by it.
    """
    return replace(old, version=new.version, progress=new.progress, reported_at=new.reported_at) == new


def pod(body: Mapping[str, Any], before: Pod | None, now: float) -> Pod | None:
    """A pod; None if it is none of an attempt. `before` is what was last known of it."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    place = place_of(body)
    if place is None or not place.role:
        return None
    known = before if before is not None and before.uid == meta["uid"] else None
    conditions = {item.get("type"): item for item in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    disruption = conditions.get("DisruptionTarget") or {}
    waiting, waiting_message = _waiting(status)
    deleting = to_seconds(meta.get("deletionTimestamp"))
    workers, trials = _told(meta.get("annotations") or {})
    seen = Pod(
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=place.owner_uid,
        version=version_of(body),
        attempt=place.attempt,
        role=place.role,
        index=place.index,
        number=place.number,
        created=to_seconds(meta.get("creationTimestamp")) or now,
        phase=_word(status.get("phase")) or "Pending",
        node=_word(spec.get("nodeName")) or None,
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        deleting=deleting,
        grace=_seconds(meta.get("deletionGracePeriodSeconds")),
        end=_end(status),
        reason=_word(status.get("reason")),
        message=_text(status.get("message")),
        disruption=_word(disruption.get("reason")) if disruption.get("status") == "True" else "",
        scheduled_at=to_seconds(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None,
        unschedulable=_text(scheduled.get("message")) if scheduled.get("status") == "False" else "",
        nominated=_word(status.get("nominatedNodeName")),
        waiting=waiting,
        waiting_message=waiting_message,
        waiting_since=_since(bool(waiting), known.waiting_since if known else None, now),
        deleting_seen_at=_since(deleting is not None, known.deleting_seen_at if known else None, now),
        told_workers=workers,
        told_trials=trials,
    )
    if not seen.ended:
        return seen
    return replace(seen, ended_seen_at=_since(True, known.ended_seen_at if known else None, now))


def deleting(known: Pod, when: float) -> Pod:
    """The pod, after we asked for its deletion."""
    return known if known.deleting is not None else replace(known, deleting=when)


def gone(known: Pod) -> Pod:
    """The last state of a deleted pod."""
    return replace(known, gone=True, ready=False)


def _since(holds: bool, before: float | None, now: float) -> float | None:
    """Since when something holds, as far as it has been seen."""
    if not holds:
        return None
    return now if before is None else before


def _word(value: object) -> str:
    return value[:NAME_LIMIT] if isinstance(value, str) else ""


def _text(value: object) -> str:
    return value[:MESSAGE_LIMIT] if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int) and 0 <= value < 10**9 else None


def _end(status: Mapping[str, Any]) -> ContainerEnd | None:
    """How the main container ended, or the init container that kept it from beginning."""
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if container.get("name") == wire.MAIN_CONTAINER and ended:
            return _container_end(ended, _word(ended.get("reason")), "")
    if status.get("phase") != "Failed":
        return None
    for container in status.get("initContainerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            return _init_end(ended, _word(container.get("name")))
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
            return _word(waiting["reason"]), _text(waiting.get("message"))
    return "", ""
