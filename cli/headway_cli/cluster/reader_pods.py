"""A pod that reads a job's storage for us, where only a pod can; it is gone afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headway_cli.cluster.errors import ClusterError
from headway_cli.cluster.fields import Object, at, text
from headway_cli.cluster.folders import MOUNT, SECRET_DIR, Folder, in_pod
from headway_cli.cluster.kubectl import Kubectl
from headway_cli.cluster.made_pods import running
from headway_cli.cluster.waiting_pods import image_of, owned, waiting_pod

START_SECONDS = 180
"""How long it may take to get a node and its image: it was on one."""


def manifest(job: Object, name: str) -> Object:
    """The pod: the job's image, which waits; its storage, which it may only read; no rights and no token.

    Raises ClusterError where the job has had no attempt, or has no storage.
    """
    image, storage = image_of(job), _storage(job)
    if not image:
        raise ClusterError("the job has had no attempt: there is no image to read with, and nothing to read")
    resources: Object = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    metadata = owned(job, name, "headway-reader")
    return waiting_pod(metadata, image, resources, at(job, "spec"), storage, scratch={"sizeLimit": "64Mi"})


def _storage(job: Object) -> tuple[list[Any], list[Any]]:
    """Volume and mount of the job's storage."""
    claim = text(job, "status", "storage", "persistentVolumeClaim", "name")
    if claim:
        # Read-only in the mount alone: some drivers do not mount one volume of a node in both ways.
        source: Object = {"persistentVolumeClaim": {"claimName": claim}}
        return [{"name": "storage", **source}], [{"name": "storage", "mountPath": MOUNT, "readOnly": True}]
    if not text(job, "status", "storage", "uri"):
        raise ClusterError("the job has no storage yet: there is nothing to read")
    secret = text(job, "status", "storage", "secretRef", "name")
    if not secret:
        return [], []
    return [{"name": "storage", "secret": {"secretName": secret}}], [
        {"name": "storage", "mountPath": SECRET_DIR, "readOnly": True}
    ]


@contextmanager
def reader_pod(kubectl: Kubectl, job: Object, uri: str) -> Iterator[Folder]:
    """The folder at a URI, read by a pod that is made for it. Raises ClusterError."""
    name = f"{text(job, 'metadata', 'name')}-reader-{secrets.token_hex(3)}"
    with running(kubectl, manifest(job, name), START_SECONDS), in_pod(kubectl, name, uri) as folder:
        yield folder
