"""Pods of ours that wait, for something to be run in them; the job's image, no rights and no token. Pure."""

from __future__ import annotations

from typing import Any

from headway_cli.cluster.fields import Object, at, entries, owner_reference, text
from headway_cli.cluster.names import MAIN_CONTAINER

LIFE_SECONDS = 3600
"""After which Kubernetes ends it, whatever has become of us."""
USER = 1000
TEMPLATE_FIELDS = ("imagePullSecrets", "nodeSelector", "tolerations", "runtimeClassName")
"""Of the job's head: what it may need to get its image, and to reach what it reads."""


def waiting_pod(
    metadata: Object,
    image: str,
    resources: Object,
    spec: Object,
    extra: tuple[list[Any], list[Any]],
    *,
    fields: tuple[str, ...] = TEMPLATE_FIELDS,
    user: Object | None = None,
    scratch: Object | None = None,
) -> Object:
    """A pod under the restricted Pod Security Standard.

    spec: the job's, of whose head's template it has these fields and the securityContext. extra: volumes and mounts
    beside /tmp. user: of the securityContext, beside who it runs as. scratch: the emptyDir of /tmp.
    """
    template = at(spec, "head", "template", "spec")
    given = template if isinstance(template, dict) else {}
    volumes, mounts = extra
    container: Object = {
        "name": MAIN_CONTAINER,
        "image": image,
        "command": ["python", "-c", f"import time; time.sleep({LIFE_SECONDS})"],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the pod's own
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *mounts],  # noqa: S108 - the pod's own
    }
    security: Object = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        **(user or {}),
        "seccompProfile": {"type": "RuntimeDefault"},
        **(given["securityContext"] if isinstance(given.get("securityContext"), dict) else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            **{field: given[field] for field in fields if field in given},
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": security,
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": scratch or {}}, *volumes],
        },
    }


def image_of(job: Object) -> str:
    """The image of a job's newest attempt; "" where it has had none."""
    attempts = entries(job, "status", "attempts")
    return text(attempts[-1], "image") if attempts else ""


def owned(job: Object, name: str, what: str) -> Object:
    """The metadata of a pod that goes with its job. what: the pod is for."""
    return {"name": name, "labels": labels(what), "ownerReferences": [owner_reference(job)]}


def labels(name: str) -> dict[str, str]:
    """Of a pod that the command makes."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "headway-cli"}
