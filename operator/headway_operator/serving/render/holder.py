"""The holder of a deployment that may have no servers: a pod without a model and without a token of the API server, by
which clients are answered all the same, and what leads it to servers."""

from __future__ import annotations

from headway_api import quantities, rollout_wire
from headway_api.autoscaling import Autoscaling
from headway_api.deployment_status import Version
from headway_operator.serving import names
from headway_operator.serving.render import rollout
from headway_operator.serving.render.objects import NAME_SERVERS, NEVER_WITHOUT, Manifest, Of, metadata, port, service
from headway_operator.serving.render.pods import ADMIN_PORT, CONTAINER_SECURITY, DATA_PORT, POD_SECURITY, probes

CONTAINER = "holder"
DRAIN_SECONDS = 15
RESOURCES = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "384Mi"}}
"""For a thousand requests that wait, and the bodies of 64 MiB that these have at most together."""
MOST_BODY_BYTES = 16 * 2**20


def servers(of: Of, version: Version) -> Manifest:
    """The Service by which the holder finds the servers of the version that answers: it always leads there."""
    return service(of, names.servers_name(of.name, of.uid), version)


def holder(of: Of, image: str, scaling: Autoscaling, version: Version) -> Manifest:
    """The holder's Deployment."""
    name, pod = names.holder_name(of.name, of.uid), _pod(of, image, scaling, version)
    return rollout.one_pod(of, name, names.holders(of.uid), NEVER_WITHOUT, pod)


def _pod(of: Of, image: str, scaling: Autoscaling, version: Version) -> Manifest:
    most = min(int(quantities.parse(version.server.limits.max_request_bytes)), MOST_BODY_BYTES)
    words = {
        "--name": of.name,
        "--server": f"http://{names.servers_name(of.name, of.uid)}:{names.CLIENT_PORT}",
        "--host": "0.0.0.0",  # noqa: S104 - the pod's own network
        "--hold-seconds": str(scaling.hold),
        "--max-request-bytes": str(most),
        "--drain-seconds": str(DRAIN_SECONDS),
        "--judge": rollout.judge_url(of),
        "--judge-token-file": rollout.TOKEN_FILE,
        "--deployment-uid": of.uid,
    }
    container: Manifest = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": of.pull_policy,
        "command": ["headway", "hold", *(word for option in words.items() for word in option)],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the pod's own
        "ports": [
            {"name": "http", "containerPort": DATA_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": RESOURCES,
        "volumeMounts": [rollout.token_mount(), {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own
        "securityContext": CONTAINER_SECURITY,
        **probes(ADMIN_PORT, rollout.START_SECONDS),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "containers": [container],
        "volumes": [rollout.token_volume(of, optional=True), {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
        "automountServiceAccountToken": False,
        "securityContext": POD_SECURITY,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DRAIN_SECONDS + scaling.hold + 10,
    }


def policy(of: Of) -> Manifest:
    """The holder reaches servers, the judge and name servers; the judge is reached by it, too."""
    judge_port = port(rollout_wire.JUDGE_PORT)
    components = [names.HOLDER_COMPONENT, names.JUDGE_COMPONENT]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(of, names.holder_name(of.name, of.uid)),
        "spec": {
            "podSelector": {
                "matchLabels": {names.LABEL_DEPLOYMENT_UID: of.uid},
                "matchExpressions": [{"key": names.LABEL_COMPONENT, "operator": "In", "values": components}],
            },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": names.holders(of.uid)}}], "ports": [judge_port]}],
            "egress": [
                {"to": [{"podSelector": {"matchLabels": names.judges(of.uid)}}], "ports": [judge_port]},
                {"to": [{"podSelector": {"matchLabels": names.servers(of.uid)}}], "ports": [port(DATA_PORT)]},
                NAME_SERVERS,
            ],
        },
    }
