"""What ModelDeployments need on a cluster whose pods are on paper, and what tests ask of `digits`, one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.paper import Operator, Paper, why_no_paper
from deployment_documents import deployment
from harness import HACK_CLUSTER, run

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


@contextmanager
def with_models(label: str, folder: Path, switch: str | None = None) -> Iterator[Paper]:
    """A control plane with the kinds, the operator's rights, and a volume with models. As for Paper.made; skips the
    test where this machine cannot make one."""
    if reason := why_no_paper():
        pytest.skip(reason)
    with Paper.made(label, folder, switch=switch) as made:
        for body in (VOLUME, CLAIM):
            made.cluster.apply(json.dumps(body))
        yield made


@contextmanager
def kinds_came_late(
    paper: Paper, flags: tuple[str, ...], spec: dict[str, Any], crds: str, told: Callable[[], None]
) -> Iterator[Operator]:
    """The operator at work, after a process that had begun before there were some CRDs ended because they came.

    spec: of `digits`, which it finds. crds: the word of hack/cluster for them. told: waits until the status says what
    is missing.
    """
    with paper.operator(*flags) as first:
        paper.cluster.apply(json.dumps(deployment(spec)))
        told()
        assert first.process.poll() is None
        paper.cluster.kubectl("apply", "--server-side", "--filename", run(HACK_CLUSTER, crds, timeout=600).strip())
        paper.until("its end", lambda: first.process.poll() is not None)
    assert first.process.returncode == 1, "another one is to take over"
    with paper.operator(*flags) as made:
        yield made


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
