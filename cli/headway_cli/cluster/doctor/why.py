"""Why a job or a deployment does not run, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator

from headway_cli.cluster.doctor.facts import Facts, Finding, cut, fail, name, ok, warn
from headway_cli.cluster.doctor.namespace import PULL_ERRORS, waits
from headway_cli.cluster.fields import Object, at, condition, is_true, text, texts, whole
from headway_cli.cluster.job_lines import phase
from headway_cli.cluster.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID
from headway_cli.cluster.times import duration, seconds_since

_UNSEEN_FIX = "see what is wrong with the operator below, and kubectl get pods -n headway-system"
UNSEEN_SECONDS = 10.0
"""So long a new job may have no status before it is a fault."""
_FIXES = {
    "InvalidSpec": "correct the file (headway validate FILE) and apply it again",
    "NotUnderstood": "upgrade the operator: docs/how-to/install.md",
    "PodsRefused": "make room, or change what the message names; the job asks again automatically",
    "Unschedulable": "ask for less, or add nodes; headway top -A shows who holds GPUs",
    "GangDoesNotFit": "ask for less, or add nodes; headway top -A shows who holds GPUs",
    "NoPodGroup": "set scheduling.gang to Auto",
    "ImagePull": "check spec.image, and imagePullSecrets in both pod templates",
    "OutOfMemory": "raise resources.memory of head or workers",
    "UserError": "headway logs shows where; correct the code or the data, delete the job and apply it again",
    "StorageError": "check the Secret, the claim and the room left",
}
"""By reason; docs/reference/conditions.md has all."""
_OTHERWISE = "docs/reference/conditions.md says what to do for each reason; headway events tells what came before"
_NO_CONTAINER = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}
)
_MOUNTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})


def of_job(facts: Facts, job: Object) -> Finding:
    """Why a job does not run, from the surest witness to the least."""
    witnesses = (
        _of_end(job),
        _of_operator(facts, job),
        _of_spec(job),
        _of_room(job),
        _of_pods(facts, job),
        _of_run(job),
    )
    return next(found for witness in witnesses for found in witness)


def _of_end(job: Object) -> Iterator[Finding]:
    if phase(job) == "Succeeded":
        yield ok("job", f"job {name(job)} has succeeded: there is nothing left to run")
    elif phase(job) == "Failed":
        yield _by_condition(f"job {name(job)} has failed", condition(job, "Failed"))


def _of_operator(facts: Facts, job: Object) -> Iterator[Finding]:
    """Whether it was seen."""
    if condition(job, "Accepted") is not None or at(job, "status", "phase"):
        return
    age = seconds_since(text(job, "metadata", "creationTimestamp"), facts.now)
    since = f" for {duration(age)}" if age is not None else ""
    said = f"job {name(job)} does not run as no operator has looked at it{since}"
    if age is not None and age < UNSEEN_SECONDS:
        yield warn("job-unseen", said, "wait a few seconds")
    else:
        yield fail("job-unseen", said, _UNSEEN_FIX)


def _of_spec(job: Object) -> Iterator[Finding]:
    """Whether it may run."""
    accepted = condition(job, "Accepted")
    if accepted is not None and accepted.get("status") == "False":
        yield _by_condition(f"job {name(job)} does not run as its spec is not valid", accepted)
    elif at(job, "spec", "suspend") is True:
        yield warn("job-suspended", f"job {name(job)} does not run as it is suspended", f"headway resume {name(job)}")


def _of_room(job: Object) -> Iterator[Finding]:
    """Whether its pods have found room."""
    scheduled = condition(job, "Scheduled")
    if scheduled is not None and scheduled.get("status") == "False" and scheduled.get("reason") != "WaitingForNodes":
        yield _by_condition(f"job {name(job)} waits", scheduled)


def _of_run(job: Object) -> Iterator[Finding]:
    """What else it says of itself; always something."""
    scheduled, running = condition(job, "Scheduled"), condition(job, "Running")
    if running is not None and running.get("status") == "True":
        yield ok("job", f"job {name(job)} runs: {cut(text(running, 'message'))}")
    elif running is not None and running.get("reason") == "Retrying":
        yield _by_condition(f"job {name(job)} is between two attempts", running, warn_only=True)
    said = cut(text(running, "message") or text(scheduled, "message") or text(job, "status", "summary", "message"))
    yield warn(
        "job-starting",
        f"job {name(job)} starts{': ' if said else ''}{said}",
        "wait; headway status shows how far it is",
    )


def _by_condition(said: str, found: Object | None, *, warn_only: bool = False) -> Finding:
    reason, message = text(found, "reason"), cut(text(found, "message"))
    told = f"{said}{': ' if reason else ''}{reason}{', ' if message else ''}{message}"
    fix = _FIXES.get(reason, _OTHERWISE)
    check = f"job-{reason}" if reason else "job"
    return warn(check, told, fix) if warn_only else fail(check, told, fix)


def _of_pods(facts: Facts, job: Object) -> Iterator[Finding]:
    """What keeps its pods from starting."""
    uid, attempt = text(job, "metadata", "uid"), whole(job, "status", "attempt")
    pods = [
        pod
        for pod in facts.items("pods")
        if (labels := texts(pod, "metadata", "labels")).get(LABEL_JOB) == name(job)
        and labels.get(LABEL_JOB_UID) == uid
        and labels.get(LABEL_ATTEMPT) == str(attempt)
        and not at(pod, "metadata", "deletionTimestamp")
    ]
    for pod in pods:
        for container, waiting in waits(pod):
            reason, message = text(waiting, "reason"), cut(text(waiting, "message"))
            if reason in PULL_ERRORS:
                said = f"image {text(container, 'image')} of pod {name(pod)} cannot be pulled: {message or reason}"
                yield fail("job-ImagePull", f"job {name(job)} does not start as {said}", _FIXES["ImagePull"])
            elif reason in _NO_CONTAINER:
                yield fail(
                    f"job-{reason}",
                    f"job {name(job)} does not start as pod {name(pod)} says {reason}: {message}",
                    f"make what it names; kubectl describe pod {name(pod)}",
                )
    by_name = {name(pod): pod for pod in pods}
    for event in facts.items("events"):
        about = by_name.get(text(event, "involvedObject", "name"))
        if text(event, "reason") in _MOUNTS and about is not None and not is_true(about, "Ready"):
            said = f"{text(event, 'reason')}: {cut(text(event, 'message'))}"
            yield fail(
                f"job-{text(event, 'reason')}",
                f"job {name(job)} does not start as pod {name(about)} has {said}",
                f"make what it names; kubectl describe pod {name(about)}",
            )


def of_deployment(found: Object) -> Finding:
    """Why a deployment does not serve."""
    what, is_in = f"deployment {name(found)}", text(found, "status", "phase")
    message = cut(text(found, "status", "summary", "message"))
    if not is_in:
        return fail(
            "deployment-unseen",
            f"{what} does not serve as no operator has looked at it",
            _UNSEEN_FIX,
        )
    told = f"{what} is {is_in}{': ' if message else ''}{message}"
    if is_in == "Ready":
        return ok("deployment", told)
    if is_in in ("Degraded", "Failed"):
        return fail(
            f"deployment-{is_in}", told, f"headway status md/{name(found)}, and docs/how-to/when-a-rollout-stops.md"
        )
    return warn(f"deployment-{is_in}", told, f"wait; headway status md/{name(found)} -w")
