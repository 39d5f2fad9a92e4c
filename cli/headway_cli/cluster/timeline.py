"""What has happened to a job, in one order: from its status, which is kept, and from Events, which go after an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from headway_cli.cluster.fields import Object, entries, text, whole
from headway_cli.cluster.times import duration, instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOLD_BY_ATTEMPTS = frozenset({"AttemptStarted", "Running", "AttemptFailed"})
"""Reasons of the operator's Events that the attempts of the status tell as well, where those are still listed."""
_TELLING = ("Complete", "Failed", "Suspended", "Published", "Reconciled")
"""Conditions that tell more than the attempts do."""


@dataclass(frozen=True)
class Entry:
    """Something that happened."""

    time: str
    """As the API has it."""
    what: str
    """In a few words."""
    detail: str = ""
    """A sentence; what is in it may be the user's."""
    about: str = ""
    """The pod, where it is about one."""
    warning: bool = False
    count: int = 1
    """How often, where Kubernetes counts it as one."""

    @property
    def order(self) -> datetime:
        """What entries are sorted by; those without a time come first."""
        return instant(self.time) or _EPOCH


def of_status(job: Object) -> list[Entry]:
    """What the status of a job tells, the oldest first."""
    found = [Entry(text(job, "metadata", "creationTimestamp"), "created")]
    for attempt in entries(job, "status", "attempts"):
        found += _of_attempt(attempt)
    found += [
        Entry(
            text(each, "lastTransitionTime"),
            f"{text(each, 'type')}: {text(each, 'reason')}",
            text(each, "message"),
            warning=text(each, "type") in ("Failed", "Reconciled"),
        )
        for each in entries(job, "status", "conditions")
        if text(each, "type") in _TELLING and text(each, "reason") != "Finished"
    ]
    if checkpoint := text(job, "status", "checkpoint", "time"):
        step = whole(job, "status", "checkpoint", "step")
        found.append(Entry(checkpoint, "checkpoint", f"step {step}"))
    return ordered(found)


def of_events(events: Sequence[Object], job: Object) -> list[Entry]:
    """What Events tell of a job and its pods; without those that the status tells as well."""
    uid = text(job, "metadata", "uid")
    told = {whole(each, "number") for each in entries(job, "status", "attempts")}
    found = []
    for event in events:
        about = text(event, "involvedObject", "name")
        if not is_about(event, job):
            continue
        own = text(event, "involvedObject", "uid") == uid
        reason = text(event, "reason")
        if own and told and reason in _TOLD_BY_ATTEMPTS:
            continue
        found.append(
            Entry(
                time_of(event),
                reason,
                text(event, "message"),
                about="" if own else about,
                warning=text(event, "type") == "Warning",
                count=whole(event, "series", "count") or whole(event, "count") or 1,
            )
        )
    return ordered(found)


def is_about(event: Object, job: Object) -> bool:
    """Whether an Event is about a job, or about one of its pods."""
    uid, about = text(job, "metadata", "uid"), event.get("involvedObject")
    if text(about, "uid") == uid:
        return True
    return text(about, "kind") == "Pod" and text(about, "name").startswith(
        f"{text(job, 'metadata', 'name')}-{uid[:5]}-"
    )


def ordered(found: Sequence[Entry]) -> list[Entry]:
    """The oldest first; at the same second, as they came."""
    return sorted(found, key=lambda entry: entry.order)


def time_of(event: Object) -> str:
    """When an Event was last seen, whichever of the API's forms it has."""
    return (
        text(event, "series", "lastObservedTime")
        or text(event, "lastTimestamp")
        or text(event, "eventTime")
        or text(event, "metadata", "creationTimestamp")
    )


def _of_attempt(attempt: Object) -> list[Entry]:
    count = whole(attempt, "number")
    started = text(attempt, "startTime")
    found = []
    if queued := text(attempt, "queuedTime"):
        found.append(Entry(queued, "waits for room", f"before attempt {count}"))
    resumed = whole(attempt, "resumedFromStep")
    told = [f"image {image}" for image in [text(attempt, "image")] if image]
    told += [f"from step {resumed:,}"] if resumed else []
    if redone := whole(attempt, "stepsLost"):
        told.append(f"{redone:,} steps are done again")
    found.append(Entry(started, f"attempt {count} started", ", ".join(told)))
    if running := text(attempt, "runningTime"):
        found.append(Entry(running, "all pods ready", _parts(started, text(attempt, "scheduledTime"), running)))
    found += [
        Entry(text(loss, "time"), "worker lost", text(loss, "cause"), warning=True)
        for loss in entries(attempt, "lossEvents")
    ]
    if ended := text(attempt, "endTime"):
        cause, message = text(attempt, "cause"), text(attempt, "message")
        node = f" on node {text(attempt, 'node')}" if text(attempt, "node") and cause else ""
        found.append(
            Entry(
                ended,
                f"attempt {count} ended",
                f"{cause or 'Succeeded'}{node}" + (f": {message}" if message else ""),
                warning=cause not in ("", "Suspended", "Released", "Upgraded"),
            )
        )
    return found


def _parts(started: str, scheduled: str, running: str) -> str:
    """How long the start took, and what of it was waiting for nodes."""
    begin, nodes, end = instant(started), instant(scheduled), instant(running)
    if begin is None or end is None:
        return ""
    told = f"{duration((end - begin).total_seconds())} after the start"
    if nodes is None:
        return told
    waited, rest = (nodes - begin).total_seconds(), (end - nodes).total_seconds()
    return f"{told}: {duration(waited)} for nodes, {duration(rest)} for images and joining"
