"""What ModelDeployments need on a cluster whose pods are on paper: a volume with models, and little room."""

from __future__ import annotations

from typing import Any

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
