"""What a cluster does with the Deployments of a ModelDeployment, in memory: controllers and kubelets, step by step."""

from __future__ import annotations

from typing import Any

from headway_operator.engine import kube
from headway_operator.engine.kube import Object
from headway_operator.serving import names
from sim.fakes.api import ApiServer


def report(server: ApiServer, name: str, ready: int | None = None, namespace: str = "default") -> None:
    """The Deployment's controller has seen its spec, and so many of its pods are ready; all if none is said."""

    body = server.find(kube.DEPLOYMENTS, name, namespace)
    if body is None:
        return
    wanted = body["spec"]["replicas"]
    count = wanted if ready is None else min(ready, wanted)
    seen = {"observedGeneration": body["metadata"]["generation"], "replicas": wanted, "updatedReplicas": wanted}
    server.report(kube.DEPLOYMENTS, name, {**seen, "readyReplicas": count} if count else seen, namespace)


def pod(
    server: ApiServer, deployment: Object, *, waiting: str = "", said: str = "", restarts: int = 0, ready: bool = False
) -> None:
    """The state of the one pod that stands for a Deployment's."""
    meta = deployment["metadata"]
    name, namespace = f"{meta['name']}-x", meta["namespace"]
    labels = {key: meta["labels"][key] for key in (names.LABEL_DEPLOYMENT_UID, names.LABEL_VERSION)}
    state: dict[str, Any] = {"waiting": {"reason": waiting, "message": said}} if waiting else {"running": {}}
    container: dict[str, Any] = {"name": "server", "restartCount": restarts, "state": state}
    if restarts:
        container["lastState"] = {"terminated": {"exitCode": 1, "reason": "Error", "message": said}}
    status = {
        "phase": "Running",
        "containerStatuses": [container],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    if server.find(kube.PODS, name, namespace) is None:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": meta["uid"], "controller": True}
        metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
        body: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        server.create(kube.PODS, namespace, body)
    server.report(kube.PODS, name, status, namespace)
