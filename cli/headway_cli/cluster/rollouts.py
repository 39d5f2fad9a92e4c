"""Waiting for a deployment: until a version answers, or a rollout has ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from headway_cli.cluster.errors import TimedOutError
from headway_cli.cluster.fields import Object, condition, entries, is_true, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import Kubectl, find, missing, objects, refuse_another
from headway_cli.cluster.names import MODEL_DEPLOYMENTS
from headway_cli.cluster.polling import Clock, Trouble, looked

WAIT_SECONDS = 2.0
READY, ROLLED_OUT = "Ready", "RolledOut"
_BEFORE = ("Previous", "Retired")
"""States of versions that have answered, and were followed by others."""


@dataclass(frozen=True)
class Wanted:
    """What a deployment is waited for."""

    until: str = ROLLED_OUT
    """READY: a version answers. ROLLED_OUT: no version is on its way any more."""
    version: str | None = None
    """The name of the version that is to have come to that; the one that is wanted if None."""
    job: str | None = None
    """The name of the job whose newest version is to have come to that."""


@dataclass(frozen=True)
class Look:
    """How far a deployment is."""

    deployment: Object
    verdict: Literal["waits", "there", "never"]
    words: str
    """What it waits for, or why it will never be there."""


def of(kubectl: Kubectl, name: str) -> Object:
    """The deployment of a name. Raises NotFoundError."""
    found = objects(find(kubectl, MODEL_DEPLOYMENTS, name))
    if not found:
        raise missing(kubectl.target, "ModelDeployment", name)
    return found[0]


def until(kubectl: Kubectl, before: Object, wanted: Wanted, clock: Clock, within: float | None) -> Look:
    """The deployment when it has come to what is wanted, or never will. before: as it was.

    within: seconds; None: however long. Raises NotFoundError where it was deleted, TimedOutError, and ClusterError.
    """
    words = "the operator has not seen it yet"
    try:
        for look in _looks(kubectl, before, wanted, clock, within):
            if isinstance(look, Look) and look.verdict != "waits":
                return look
            words = look.words if isinstance(look, Look) else str(look)
    except TimedOutError as error:
        name = text(before, "metadata", "name")
        raise TimedOutError(f"{error}: {words}\nIt goes on; see `headway status {name}`.") from error
    raise AssertionError("looks have no end")


def _looks(
    kubectl: Kubectl, before: Object, wanted: Wanted, clock: Clock, within: float | None
) -> Iterator[Look | Trouble]:
    def look() -> Object:
        found = of(kubectl, text(before, "metadata", "name"))
        refuse_another(found, before)
        return found

    for found in looked(look, WAIT_SECONDS, clock, within):
        yield found if isinstance(found, Trouble) else judged(found, wanted)


def judged(found: Object, wanted: Wanted) -> Look:
    """How far a deployment is."""
    if (whole(found, "status", "observedGeneration") or 0) < (whole(found, "metadata", "generation") or 0):
        return Look(found, "waits", "the operator has not seen it yet")
    if wanted.version is not None or wanted.job is not None:
        return _of_version(found, wanted)
    if _is_over(found, wanted):
        rejected = wanted.until == ROLLED_OUT and is_true(found, "RolledBack")
        return Look(found, "never" if rejected else "there", _said(found, "RolledBack"))
    if text(condition(found, "Accepted"), "status") == "False":
        return Look(found, "never", _said(found, "Accepted"))
    if is_true(found, "RolledBack") and not text(found, "status", "champion"):
        return Look(found, "never", _said(found, "RolledBack"))
    return Look(found, "waits", _waits(found))


def _of_version(found: Object, wanted: Wanted) -> Look:
    version = _version(found, wanted)
    if version is None:
        return _without(found, wanted)
    name, state = text(version, "name"), text(version, "state")
    if state == "Rejected":
        why = text(version, "message") or text(version, "reason")
        return Look(found, "never", f"version {name} is rejected: {why}")
    if state in _BEFORE:
        return Look(found, "there", f"version {name} has answered, and {text(found, 'status', 'champion')} does now")
    if state == "Champion" and _is_over(found, wanted):
        return Look(found, "there", f"version {name} answers")
    return Look(found, "waits", _waits(found))


def _without(found: Object, wanted: Wanted) -> Look:
    """There is no such version: not yet, or not any more."""
    number = wanted.version.rpartition("-")[2] if wanted.version is not None else ""
    if number.isdecimal() and int(number[:18]) <= (whole(found, "status", "lastNumber") or 0):
        return Look(found, "never", f"version {wanted.version} is not remembered any more")
    if text(condition(found, "Accepted"), "status") == "False":
        return Look(found, "never", _said(found, "Accepted"))
    what = f"version {wanted.version}" if wanted.version is not None else f"version of the job {wanted.job}"
    return Look(found, "waits", f"there is no {what} yet")


def _version(found: Object, wanted: Wanted) -> Object | None:
    """The version that is meant: of a job the newest."""
    for each in reversed(entries(found, "status", "versions")):
        if text(each, "name") == wanted.version or (wanted.job is not None and text(each, "job") == wanted.job):
            return each
    return None


def _is_over(found: Object, wanted: Wanted) -> bool:
    if wanted.until == READY:
        return is_true(found, "Ready")
    return text(condition(found, "Progressing"), "reason") == "Idle" and is_true(found, "Ready")


def _waits(found: Object) -> str:
    words = _said(found, "Progressing") or _said(found, "Ready") or text(found, "status", "summary", "message")
    return f"it is {phase(found)}" + (f": {words}" if words else "")


def _said(found: Object, kind: str) -> str:
    told = condition(found, kind)
    return text(told, "message") or text(told, "reason")
