"""The objects of a version, and those that all versions of a deployment have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway_api import API_VERSION
from headway_api.autoscaling import Autoscaling
from headway_api.deployment_status import Version
from headway_api.served import GRPC_PORT
from headway_operator.serving import names
from headway_operator.serving.render.pods import DATA_PORT, PORTS, template

Manifest = dict[str, Any]


def port(number: int, protocol: str = "TCP") -> Manifest:
    """A port, as NetworkPolicies have it."""
    return {"port": number, "protocol": protocol}


NAME_SERVERS: Manifest = {"ports": [port(53, "UDP"), port(53)]}
"""The way to name servers: of these only the port is known, as clusters run them under many names, some on the node."""
EGRESS: list[Manifest] = [
    NAME_SERVERS,
    {
        "ports": [{"protocol": "TCP"}],
        "to": [
            # What answers there gives away the credentials of a cloud's node.
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32"]}},
            {"namespaceSelector": {}},
        ],
    },
]
"""To object stores, in the cluster and out of it, and to the names of hosts."""
NEVER_WITHOUT: Manifest = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
"""The strategy of a Deployment whose pod goes once there is another one."""


@dataclass(frozen=True, slots=True)
class Of:
    """The deployment that objects are made for."""

    name: str
    namespace: str
    uid: str
    pull_policy: str = "IfNotPresent"


def metadata(of: Of, name: str, number: int | None = None) -> Manifest:
    """Metadata of an object that the deployment owns. The owner blocks nothing: it can always be deleted at once."""
    owner = {"apiVersion": API_VERSION, "kind": "ModelDeployment", "name": of.name, "uid": of.uid, "controller": True}
    return {
        "name": name,
        "namespace": of.namespace,
        "labels": names.labels(of.name, of.uid, number),
        "ownerReferences": [owner],
    }


def workload(of: Of, version: Version, replicas: int) -> Manifest:
    """A version's Deployment. It never changes but in its number of replicas."""
    pod_labels = names.labels(of.name, of.uid, version.number)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(of, names.object_name(of.name, of.uid, version.number), version.number),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "strategy": NEVER_WITHOUT,
            "selector": {"matchLabels": names.selector(of.uid, version.number)},
            "template": template(of.name, version, pod_labels, of.pull_policy),
        },
    }


def ports(version: Version) -> list[Manifest]:
    """The ports of a version's Service, and of the clients' where it answers."""
    found = [{"name": "http", "port": names.CLIENT_PORT, "targetPort": DATA_PORT, "protocol": "TCP"}]
    if version.server.grpc:
        found.append({"name": "grpc", "port": GRPC_PORT, "targetPort": GRPC_PORT, "protocol": "TCP"})
    return found


def service(of: Of, name: str, version: Version, own: int | None = None) -> Manifest:
    """A Service that leads to a version. own: that version's number where the Service goes with it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(of, name, own),
        "spec": {"selector": names.selector(of.uid, version.number), "ports": ports(version)},
    }


def version_service(of: Of, version: Version) -> Manifest:
    """The Service of a version by itself: for a look at a candidate before it answers."""
    return service(of, names.object_name(of.name, of.uid, version.number), version, version.number)


def client_service(of: Of, version: Version) -> Manifest:
    """The Service that clients use: it leads to the version that answers."""
    return service(of, of.name, version)


def disruption_budget(of: Of, number: int) -> Manifest:
    """Of a version's pods one at a time may be evicted; those that are not ready may always be."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(of, names.object_name(of.name, of.uid, number), number),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names.selector(of.uid, number)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def network_policy(of: Of) -> Manifest:
    """Servers are reached by their own ports alone, and reach nobody: what a model is made to do stays in its pod."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(of, names.shared_name(of.name, of.uid)),
        "spec": {
            "podSelector": {"matchLabels": {names.LABEL_DEPLOYMENT_UID: of.uid}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [port(number) for number in PORTS]}],
        },
    }


def version_policy(of: Of, version: Version) -> Manifest | None:
    """What a version's pods may beyond those of others; what NetworkPolicies let through adds up.

    Its port for gRPC is open, and what has to be fetched can be: from any place but the node's own, as the endpoint may
    stand in the Secret alone, which the operator does not read.
    """
    opened: Manifest = {}
    if version.server.grpc:
        opened["ingress"] = [{"ports": [port(GRPC_PORT)]}]
    if version.source.uri is not None:
        opened["egress"] = EGRESS
    if not opened:
        return None
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(of, names.object_name(of.name, of.uid, version.number), version.number),
        "spec": {
            "podSelector": {"matchLabels": names.selector(of.uid, version.number)},
            "policyTypes": [kind.capitalize() for kind in opened],
            **opened,
        },
    }


def autoscaler(of: Of, scaling: Autoscaling) -> Manifest:
    """It sets the deployment's replicas, and knows nothing of versions."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(of, names.shared_name(of.name, of.uid)),
        "spec": autoscaling(of, scaling),
    }


def autoscaling(of: Of, scaling: Autoscaling) -> Manifest:
    """The spec of an autoscaler."""
    target = {"type": "Utilization", "averageUtilization": scaling.cpu_target}
    return {
        "scaleTargetRef": {"apiVersion": API_VERSION, "kind": "ModelDeployment", "name": of.name},
        "minReplicas": scaling.min,
        "maxReplicas": scaling.max,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
