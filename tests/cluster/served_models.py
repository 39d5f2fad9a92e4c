"""What ModelDeployments need on a cluster whose pods are on paper, and what tests ask of `digits`, one of them."""

from __future__ import annotations

import json
from typing import Any

from cluster.paper import Paper

SMALL = {"resources": {"cpu": "10m", "memory": "16Mi"}, "drainSeconds": 0}
SPEC: dict[str, Any] = {
    "spec.server": SMALL,
    "spec.rollout": {"blueGreen": {"bakeSeconds": 5}, "progressDeadlineSeconds": 30},
}
VOLUME: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "models"},
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "hostPath": {"path": "/models"},
    },
}
CLAIM: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "models", "namespace": "default"},
    "spec": {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "volumeName": "models",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


def status(paper: Paper) -> dict[str, Any]:
    """What is said of the deployment."""
    found: dict[str, Any] = paper.cluster.get("md", "digits").get("status", {})
    return found


def condition(paper: Paper, kind: str) -> dict[str, Any]:
    """A condition of it."""
    return next((each for each in status(paper).get("conditions", ()) if each["type"] == kind), {})


def edit(paper: Paper, changes: dict[str, Any]) -> None:
    """Change the deployment's spec."""
    paper.cluster.kubectl("patch", "md", "digits", "--type=merge", "-p", json.dumps({"spec": changes}))
