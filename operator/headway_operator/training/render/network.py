"""How the pods of an attempt find each other, and who else may reach them: nobody."""

from __future__ import annotations

from headway_api import wire
from headway_operator.training.render.objects import AttemptOf, Manifest, labels, metadata


def service(attempt: AttemptOf) -> Manifest:
    """A name for the head pod, from the moment that it has an address: workers wait for its port, not readiness."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(attempt, attempt.name),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": labels(attempt) | {wire.LABEL_ROLE: wire.ROLE_HEAD},
            "ports": [{"name": "ray", "port": wire.RAY_PORT, "targetPort": wire.RAY_PORT, "protocol": "TCP"}],
        },
    }


def network_policy(attempt: AttemptOf) -> Manifest:
    """Only pods of the same attempt reach its pods; where they go themselves (storage, registries) stays open."""
    selector = {"matchLabels": labels(attempt)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(attempt, attempt.name),
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": selector}]}],
        },
    }
