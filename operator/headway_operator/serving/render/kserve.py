"""A version's pods as KServe makes them: by an InferenceService in which the pod is the very same.

KServe hands what is said here of the pod, its labels and its strategy on to a Deployment of its own (as of 0.15 to
0.17: `createRawDefaultDeployment` in deployment_reconciler.go).
"""

from __future__ import annotations

from typing import Any

from headway_operator.engine import kube

Manifest = dict[str, Any]
CONTAINER = "kserve-container"
"""What KServe calls the container that answers; it knows it by nothing else."""
ANNOTATIONS = {
    # The name that all versions of KServe know of what the newest ones call Standard: a Deployment, without Knative.
    "serving.kserve.io/deploymentMode": "RawDeployment",
    # No autoscaler of KServe's: the Deployment has minReplicas, which follow from the spec of the ModelDeployment.
    "serving.kserve.io/autoscalerClass": "none",
}
LABELS = {
    # No way in from outside for a version by itself: it may be one that has proved nothing yet.
    "networking.kserve.io/visibility": "cluster-local",
}
PROTOCOL = {"name": "PROTOCOL", "value": "v2"}
"""Tells KServe that a custom predictor speaks the Open Inference Protocol v2."""


def inference_service(workload: Manifest) -> Manifest:
    """The InferenceService that stands for a version's Deployment, of the same name and with the same pods."""
    meta, spec = workload["metadata"], workload["spec"]
    pod = spec["template"]["spec"]
    [server] = pod["containers"]
    return {
        "apiVersion": kube.INFERENCE_SERVICES.api_version,
        "kind": kube.INFERENCE_SERVICES.kind,
        "metadata": {**meta, "labels": {**meta["labels"], **LABELS}, "annotations": dict(ANNOTATIONS)},
        "spec": {
            "predictor": {
                **pod,
                "containers": [{**server, "name": CONTAINER, "env": [*server["env"], PROTOCOL]}],
                "labels": spec["template"]["metadata"]["labels"],
                "deploymentStrategy": spec["strategy"],
                **replicas(spec["replicas"]),
            }
        },
    }


def replicas(number: int) -> Manifest:
    """So many pods, no more and no fewer."""
    return {"minReplicas": number, "maxReplicas": number}
