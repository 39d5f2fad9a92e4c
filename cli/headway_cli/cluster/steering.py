"""Stopping a job and letting it go on: what is asked of the API server, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headway_cli.cluster import kubectl as calls
from headway_cli.cluster.errors import ClusterError, RefusedError, TimedOutError
from headway_cli.cluster.fields import Object, at, condition, is_true, text, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.names import FINISHED, TRAINING_JOBS
from headway_cli.cluster.polling import Clock, Trouble, looked
from headway_cli.cluster.tables import gpus
from headway_cli.cluster.times import duration

LOOK_SECONDS = 1.0
WAIT_SECONDS = 2.0
"""How often a job is looked at that may take days."""


@dataclass(frozen=True)
class Step:
    """How far a job is on its way to where it was sent."""

    job: Object
    done: bool
    waits: str = ""
    """What it waits for, where it is not there."""


def is_suspended(job: Object) -> bool:
    """Whether a job was stopped, and holds nothing any more."""
    return at(job, "spec", "suspend") is True and is_true(job, "Suspended")


def suspend(kubectl: Kubectl, job: Object) -> Object:
    """Ask that a job be suspended; the job then.

    Raises ClusterError where it has ended, is another one by now, or the API server refuses.
    """
    _refuse_ended(job, "there is nothing to stop")
    return _patched(kubectl, job, {"suspend": True})


def resume(kubectl: Kubectl, job: Object, changes: Mapping[str, Any]) -> Object:
    """Ask that a job go on, with changes of its spec; the job then.

    changes: a part of the spec, which is merged with it; judged already, as the API server leaves out fields that it
    does not know. Raises ClusterError where the job has ended, is another one by now, or the API server refuses.
    """
    _refuse_ended(job, "it cannot go on: delete it and submit it again")
    return _patched(kubectl, job, {**changes, "suspend": False})


def until_suspended(kubectl: Kubectl, asked: Object, clock: Clock, within: float) -> Iterator[Step]:
    """Each look at a job that was asked to stop, until it holds no pods. Raises ClusterError, and TimedOutError."""
    return _until(kubectl, asked, clock, within, _is_suspended)


def until_running(kubectl: Kubectl, asked: Object, clock: Clock, within: float) -> Iterator[Step]:
    """Each look at a job that was asked to go on, until all its pods are ready. Raises ClusterError, and TimedOutError.

    asked: the job as the API server had it when it was asked.
    """
    before = whole(asked, "status", "attempt") or 0
    held = at(asked, "status", "phase") == "Suspended"

    def is_running(job: Object) -> bool:
        return phase(job) == "Running" and (not held or (whole(job, "status", "attempt") or 0) > before)

    return _until(kubectl, asked, clock, within, is_running)


def until_phase(kubectl: Kubectl, job: Object, wanted: str, clock: Clock, within: float | None) -> Iterator[Step]:
    """Each look at a job until it has come to a phase, or has ended. Raises ClusterError, and TimedOutError.

    wanted: a job that has succeeded before anybody looked has been Running, too. within: seconds; None: however long.
    """

    def there(found: Object) -> bool:
        return phase(found) == wanted

    return _until(kubectl, job, clock, within, there, still="The job goes on", every=WAIT_SECONDS)


def suspended_words(job: Object, seconds: float) -> str:
    """What has become of a job that was asked to stop."""
    if phase(job) in FINISHED:
        return f"It has ended meanwhile, and was not stopped: {phase(job)}. {text(job, 'status', 'summary', 'message')}"
    step = whole(job, "status", "checkpoint", "step")
    checkpoint = f"; its newest checkpoint is of step {step:,}" if step is not None else "; it has no checkpoint"
    count = gpus(job)
    freed = f" {count} GPU{'s' if count != 1 else ''} {'are' if count != 1 else 'is'} free." if count else ""
    return f"Suspended after {duration(seconds)}{checkpoint}.{freed}"


def resumed_words(job: Object, seconds: float) -> str:
    """What has become of a job that was asked to go on."""
    if phase(job) in FINISHED:
        return f"It has ended meanwhile: {phase(job)}. {text(job, 'status', 'summary', 'message')}"
    step, workers = whole(job, "status", "checkpoint", "step"), whole(job, "spec", "workers", "replicas") or 1
    begin = f"from the checkpoint of step {step:,}" if step is not None else "from the beginning"
    return (
        f"Attempt {whole(job, 'status', 'attempt')} runs after {duration(seconds)}, {begin}, with {workers} "
        f"worker{'s' if workers != 1 else ''}."
    )


def _until(
    kubectl: Kubectl,
    asked: Object,
    clock: Clock,
    within: float | None,
    there: Callable[[Object], bool],
    *,
    still: str = "The request stands",
    every: float = LOOK_SECONDS,
) -> Iterator[Step]:
    name = text(asked, "metadata", "name")
    generation = whole(asked, "metadata", "generation") or 0
    waits = "the operator has not seen it yet"

    def look() -> Object:
        return calls.again(kubectl, asked)

    try:
        for job in looked(look, every, clock, within):
            if isinstance(job, Trouble):
                waits = str(job)
                continue
            seen = (whole(job, "status", "observedGeneration") or 0) >= generation
            waits = _waits(job) if seen else waits
            done = seen and (phase(job) in FINISHED or there(job))
            yield Step(job, done, waits)
            if done:
                return
    except TimedOutError as error:
        raise TimedOutError(f"{error}: {waits}\n{still}; see `headway status {name}`.") from error


def _patched(kubectl: Kubectl, job: Object, spec: Mapping[str, Any]) -> Object:
    """Merge into the spec of this very job, and not of one that was made by its name meanwhile."""
    name, uid = text(job, "metadata", "name"), text(job, "metadata", "uid")
    try:
        return kubectl.patch(f"{TRAINING_JOBS}/{name}", {"metadata": {"uid": uid}, "spec": spec})
    except RefusedError:
        calls.again(kubectl, job)  # the API server's words for another uid tell nobody what has happened
        raise


def _is_suspended(job: Object) -> bool:
    return is_true(job, "Suspended")


def _waits(job: Object) -> str:
    """What the job does, in words."""
    running = condition(job, "Running")
    message = text(running, "message") or text(job, "status", "summary", "message")
    return f"it is {phase(job)}" + (f": {message}" if message else "")


def _refuse_ended(job: Object, then: str) -> None:
    if phase(job) in FINISHED:
        raise ClusterError(f"{text(job, 'metadata', 'name')} has ended ({phase(job)}): {then}")
