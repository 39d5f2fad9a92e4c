"""A pod that tells trackers what they missed of a job: it reaches the job's storage, and trackers that only a cluster
reaches, with the credentials that the job's head pod has. It is gone afterwards."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from headway_cli.cluster.errors import ClusterError, explained
from headway_cli.cluster.fields import Object, at, text
from headway_cli.cluster.folders import MOUNT, SECRET_DIR
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.made_pods import running
from headway_cli.cluster.names import MAIN_CONTAINER
from headway_cli.cluster.run_folders import uri_of
from headway_cli.cluster.waiting_pods import LIFE_SECONDS, TEMPLATE_FIELDS, USER, image_of, owned, waiting_pod

TRACKING_SECRET_DIR = "/etc/headway/secrets/tracking"  # noqa: S105 - a path, not a secret
"""As `headway_api.wire` has it."""
MOST_SECONDS = LIFE_SECONDS - 600
"""How long trackers may be tried, before Kubernetes ends the pod."""
START_SECONDS = 600
"""How long the pod may take to get a node and its image."""
_PROGRAM = "from headway_cli.main import main; main()"
_EXIT = "command terminated with exit code"
"""What kubectl says of a command that was not content; other errors are its own."""
_OLD_IMAGE = "No such command 'track'"


@dataclass(frozen=True)
class Said:
    """What `headway track` has said in the pod."""

    code: int
    out: str
    errors: str


def manifest(job: Object, name: str) -> Object:
    """The pod: it waits. Raises NotFoundError and ClusterError where the job has left nothing that could be told."""
    image = image_of(job)
    if not image:
        raise ClusterError("the job has had no attempt: there is nothing to tell")
    return waiting_pod(
        owned(job, name, "headway-track"),
        image,
        {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        at(job, "spec"),
        _mounted(job),
        fields=(*TEMPLATE_FIELDS, "serviceAccountName"),
        user={"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"},
    )


def _mounted(job: Object) -> tuple[list[Any], list[Any]]:
    """Volumes and mounts: the storage, on which it is noted what trackers know by now, and the credentials."""
    volumes: list[Any] = []
    mounts: list[Any] = []
    if claim := text(job, "status", "storage", "persistentVolumeClaim", "name"):
        volumes.append({"name": "storage", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "storage", "mountPath": MOUNT})
    keys: tuple[tuple[str, str, str, Object], ...] = (
        ("storage-secret", SECRET_DIR, text(job, "status", "storage", "secretRef", "name"), {}),
        (
            "tracking-secret",
            TRACKING_SECRET_DIR,
            text(job, "spec", "tracking", "secretRef", "name"),
            {"optional": True},
        ),
    )
    for name, folder, secret, more in keys:
        if secret:
            volumes.append({"name": name, "secret": {"secretName": secret, "defaultMode": 0o440, **more}})
            mounts.append({"name": name, "mountPath": folder, "readOnly": True})
    return volumes, mounts


def tell(kubectl: Kubectl, job: Object, seconds: float) -> Said:
    """Have a pod tell the job's trackers. seconds: how long one that does not answer is tried. Raises ClusterError."""
    name = f"{text(job, 'metadata', 'name')[:40].rstrip('-.')}-track-{secrets.token_hex(3)}"
    uri, pod = uri_of(job), manifest(job, name)
    with running(kubectl, pod, START_SECONDS):
        words = ["exec", name, f"--container={MAIN_CONTAINER}", "--", "python", "-c", _PROGRAM]
        call = kubectl.start(*words, "track", uri, f"--timeout={seconds:g}", seconds=LIFE_SECONDS)
        code, out, errors = call.answer()
    if _OLD_IMAGE in errors:
        raise ClusterError(
            f"the image {image_of(job)} is of a version of Headway that knows no trackers: it has recorded nothing for"
            " them"
        )
    if code and _EXIT not in errors:
        raise explained(errors)
    said = "".join(line for line in errors.splitlines(keepends=True) if not line.startswith(_EXIT))
    return Said(code, out.decode(errors="replace"), said)
