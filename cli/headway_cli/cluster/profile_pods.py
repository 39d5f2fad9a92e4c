"""A pod that profiles the data of a job that only a cluster reaches; it is gone afterwards.

It has what the job's head pod would have of it: image, credentials, claim, user and memory.
"""

from __future__ import annotations

import secrets
from typing import Any

from headway_cli.cluster.errors import ClusterError, explained
from headway_cli.cluster.fields import Object, at, text
from headway_cli.cluster.kubectl import Kubectl, parsed
from headway_cli.cluster.made_pods import running
from headway_cli.cluster.names import MAIN_CONTAINER
from headway_cli.cluster.waiting_pods import LIFE_SECONDS, TEMPLATE_FIELDS, USER, labels, waiting_pod

START_SECONDS = 600
"""How long it may take to get a node and its image."""
DATA_SECRET_DIR = "/etc/headway/secrets/data"  # noqa: S105 - a path, not a secret
DATA_VOLUME_DIR = "/mnt/headway/data"
"""As `headway_api.wire` has them."""
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
    with running(kubectl, manifest(spec, name, image), START_SECONDS):
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
