"""A pod that profiles the data of a job that only a cluster reaches; it is gone afterwards.

It has what the job's head pod would have of it: image, credentials, claim, user and memory.
"""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from headway_cli.cluster.errors import ClusterError, TimedOutError, explained
from headway_cli.cluster.fields import Object, at, entries, text, whole
from headway_cli.cluster.kubectl import Kubectl, objects, parsed
from headway_cli.cluster.names import MAIN_CONTAINER
from headway_cli.cluster.waiting_pods import LIFE_SECONDS, TEMPLATE_FIELDS, USER, labels, waiting_pod

START_SECONDS = 600
"""How long it may take to get a node and its image."""
WAIT_SECONDS = 5
DATA_SECRET_DIR = "/etc/headway/secrets/data"  # noqa: S105 - a path, not a secret
DATA_VOLUME_DIR = "/mnt/headway/data"
"""As `headway_api.wire` has them."""
_HOPELESS = frozenset(
    {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)
_KILLED = 137
_OLD_IMAGE = "No module named headway_trainer.profiling"


def manifest(spec: Object, name: str, image: str) -> Object:
    """The pod: it waits. spec: of the job, as it is written."""
    wanted = (("cpu", 1), ("memory", "2Gi"))
    cpu, memory = (str(at(spec, "head", "resources", what) or otherwise) for what, otherwise in wanted)
    return waiting_pod(
        {"name": name, "labels": labels("headway-profile")},
        image,
        {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}},
        spec,
        _data(spec),
        fields=(*TEMPLATE_FIELDS, "serviceAccountName"),
        user={"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"},
    )


def _data(spec: Object) -> tuple[list[Any], list[Any]]:
    """Volumes and mounts of what the job's data is read from and with."""
    volumes: list[Any] = []
    mounts: list[Any] = []
    if claim := text(spec, "data", "source", "persistentVolumeClaim", "name"):
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        mounts.append({"name": "data", "mountPath": DATA_VOLUME_DIR, "readOnly": True})
    if secret := text(spec, "data", "source", "secretRef", "name"):
        volumes.append({"name": "data-secret", "secret": {"secretName": secret, "defaultMode": 0o440}})
        mounts.append({"name": "data-secret", "mountPath": DATA_SECRET_DIR, "readOnly": True})
    return volumes, mounts


def ask(kubectl: Kubectl, spec: Object, image: str, question: str, *, job: str) -> Object:
    """What `headway_trainer.profiling` answers in a pod. job: the name that the pod's begins with.

    Raises ClusterError.
    """
    name = f"{job[:40].rstrip('-.')}-profile-{secrets.token_hex(3)}"
    with _pod(kubectl, manifest(spec, name, image), name):
        words = ["exec", name, f"--container={MAIN_CONTAINER}", "--stdin", "--", "python", "-m"]
        call = kubectl.start(*words, "headway_trainer.profiling", stdin=question, seconds=LIFE_SECONDS)
        code, said, errors = call.answer()
    if code != 0:
        raise _failed(code, errors, image, spec)
    last = said.decode(errors="replace").strip().rpartition("\n")[2]
    return parsed(last or "{}")


def _failed(code: int, errors: str, image: str, spec: Object) -> ClusterError:
    if _OLD_IMAGE in errors.replace("'", ""):
        return ClusterError(
            f"the image {image} cannot profile data: it has another version of Headway than this program. Name one by "
            "--image that has this version, or train: report.md has the profile"
        )
    if code == _KILLED or f"exit code {_KILLED}" in errors:
        memory = text(spec, "head", "resources", "memory") or "2Gi"
        return ClusterError(
            f"the pod has needed more memory than it had, {memory}, as the job's head pod would: raise "
            "spec.head.resources.memory"
        )
    return explained(errors)


@contextmanager
def _pod(kubectl: Kubectl, pod: Object, name: str) -> Iterator[None]:
    """The pod, once it runs; it is deleted whatever comes, also where Ctrl-C comes again."""
    try:
        kubectl.run("create", "--filename=-", stdin=json.dumps(pod))
        _wait(kubectl, name)
        yield
    finally:
        with _undisturbed(), suppress(ClusterError):
            kubectl.run("delete", f"pod/{name}", "--wait=false", "--ignore-not-found")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Meanwhile Ctrl-C does nothing. Where signals are not ours, as in a thread, it stays as it is."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(kubectl: Kubectl, name: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Wait until the pod runs. Raises ClusterError where it never will, and TimedOutError."""
    deadline = clock() + START_SECONDS
    while True:
        flags = ["--for=condition=Ready", f"--timeout={WAIT_SECONDS}s"]
        try:
            kubectl.run("wait", f"pod/{name}", *flags, seconds=WAIT_SECONDS + 30)
        except ClusterError as error:
            if "timed out waiting" not in str(error):
                raise
        else:
            return
        pod = parsed(kubectl.run("get", f"pod/{name}", "--output=json"))
        if never := _never(pod):
            raise ClusterError(f"the pod {name} does not run: {never}")
        if clock() > deadline:
            raise TimedOutError(
                f"the pod {name} has not come up within {START_SECONDS} s: {_state(pod)}{_event(kubectl, name)}"
            )


def _never(pod: Object) -> str:
    """Why a pod will not run, however long it is waited for; "" where it may."""
    if text(pod, "status", "phase") in {"Failed", "Succeeded"}:
        return f"{text(pod, 'status', 'reason')} {text(pod, 'status', 'message')}".strip() or "it has ended"
    for each in entries(pod, "status", "containerStatuses"):
        if text(each, "state", "waiting", "reason") in _HOPELESS:
            waits = at(each, "state", "waiting")
            return f"{text(waits, 'reason')}: {text(waits, 'message')}"[:1000]
    scheduled = _unscheduled(pod)
    return scheduled if "persistentvolumeclaim" in scheduled and "not found" in scheduled else ""


def _unscheduled(pod: Object) -> str:
    found = (each for each in entries(pod, "status", "conditions") if each.get("type") == "PodScheduled")
    return next((text(each, "message") for each in found if text(each, "status") == "False"), "")


def _state(pod: Object) -> str:
    waits = [at(each, "state", "waiting") for each in entries(pod, "status", "containerStatuses")]
    said = [_unscheduled(pod), *(f"{text(each, 'reason')} {text(each, 'message')}".strip() for each in waits if each)]
    return "; ".join(filter(None, said)) or f"it is {text(pod, 'status', 'phase')}"


def _event(kubectl: Kubectl, name: str) -> str:
    """The newest warning of a pod, such as a Secret that is missing; "" where there is none, or it may not be seen."""
    chosen = f"--field-selector=involvedObject.name={name},type=Warning"
    with suppress(ClusterError):
        found = objects(kubectl.get("events", chosen))
        newest = max(found, key=lambda each: (text(each, "lastTimestamp"), whole(each, "count") or 0), default={})
        return f"; {text(newest, 'message')}"[:1000] if text(newest, "message") else ""
    return ""
