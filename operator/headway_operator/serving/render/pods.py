"""The pods that answer: the server, the model's folder read-only, and nothing that they could do beside answering."""

from __future__ import annotations

from typing import Any

from headway_api import quantities
from headway_api.deployment_status import Version
from headway_api.served import GRPC_PORT, Server
from headway_api.signatures import in_a_word, public_key
from headway_operator.serving.render import source
from headway_operator.serving.render.records import records_options, with_records
from headway_operator.serving.render.source import MODEL_DIR

Manifest = dict[str, Any]
CONTAINER = "server"
DATA_PORT = 8080
ADMIN_PORT = 8081
"""Health and metrics: apart from the requests, so that many of these never make a server look dead."""
PORTS = (DATA_PORT, ADMIN_PORT)
"""Of all versions."""
USER = 1000
FINISH_SECONDS = 40
"""Beyond its drainSeconds, a server has so long to finish what it has begun: it takes 30 s at most."""
START_SECONDS = 3600
"""So long the kubelet lets a server load; when a candidate has taken too long, the operator decides, and says why."""
CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}


def template(deployment: str, version: Version, labels: dict[str, str], pull_policy: str) -> Manifest:
    """The pod template of a version."""
    spec = _spec(deployment, version, labels, pull_policy)
    return {"metadata": {"labels": labels}, "spec": with_records(spec, deployment, version.server.records)}


def _spec(deployment: str, version: Version, labels: dict[str, str], pull_policy: str) -> Manifest:
    server = version.server
    common: Manifest = {
        "image": version.image,
        "imagePullPolicy": pull_policy,
        "resources": _resources(server),
        "volumeMounts": [source.mount(version.source), {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - its own
        "securityContext": CONTAINER_SECURITY,
        # The end of its log is what the status tells of one that does not become ready.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "initContainers": [{**common, **source.first(version.source, server)}],
        "containers": [{"name": CONTAINER, **common, **_serving(deployment, version)}],
        "volumes": [
            *source.volumes(version.source, server),
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": server.drain_seconds + FINISH_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
    }


def _serving(deployment: str, version: Version) -> Manifest:
    return {
        "command": ["headway", "serve", MODEL_DIR],
        "args": [
            *("--host", "0.0.0.0"),  # noqa: S104 - the pod's own network; a NetworkPolicy says who comes in
            *("--port", str(DATA_PORT)),
            *("--admin-port", str(ADMIN_PORT)),
            *("--name", deployment),
            *("--version", str(version.number)),
            *("--drain-seconds", str(version.server.drain_seconds)),
            *_asked(version.server),
            *_trusted(version.server),
            *records_options(version.server.records),
        ],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the pod's own
        "ports": [
            {"name": "http", "containerPort": DATA_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": ADMIN_PORT, "protocol": "TCP"},
            *([{"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"}] if version.server.grpc else []),
        ],
        **probes(ADMIN_PORT, START_SECONDS),
    }


def _asked(server: Server) -> list[str]:
    """The options of the command line that differ from what it does by itself.

    The others are left out: images of before know not all of them, and the pods of a version that was made before a
    field was there are the same as ever.
    """
    batching, limits, cache, usual = server.batching, server.limits, server.cache, Server()
    told: dict[str, tuple[int | None, int | None]] = {
        "--threads": (server.threads, None),
        "--max-batch-rows": (batching.max_size, usual.batching.max_size),
        "--max-delay-milliseconds": (batching.max_delay_milliseconds, usual.batching.max_delay_milliseconds),
        "--max-request-bytes": (_bytes(limits.max_request_bytes), _bytes(usual.limits.max_request_bytes)),
        "--max-in-flight": (limits.max_in_flight, usual.limits.max_in_flight),
        "--queue-milliseconds": (limits.queue_milliseconds, usual.limits.queue_milliseconds),
        "--timeout-seconds": (limits.timeout_seconds, usual.limits.timeout_seconds),
        "--warmup-requests": (server.warmup.requests, usual.warmup.requests),
        "--cache-entries": (cache.max_entries if cache else None, None),
        "--cache-ttl-seconds": (cache.ttl_seconds if cache else None, None),
        "--grpc-port": (GRPC_PORT if server.grpc else None, None),
    }
    return [word for option, (value, own) in told.items() if value != own for word in (option, str(value))]


def _trusted(server: Server) -> list[str]:
    """The keys of which one has to have signed the model. An image that knows of none does not start with them."""
    keys = server.signature.public_keys if server.signature is not None else []
    return [word for key in keys for word in ("--public-key", in_a_word(public_key(key)))]


def _bytes(quantity: str | int) -> int:
    return int(quantities.parse(quantity))


def probes(port: int, start_seconds: int) -> Manifest:
    """What the kubelet asks a container. start_seconds: how long it may take to begin."""
    return {
        "startupProbe": _probe("ready", port, period=1, failures=start_seconds),
        "readinessProbe": _probe("ready", port, period=2, failures=2),
        "livenessProbe": _probe("live", port, period=10, failures=3),
    }


def _probe(what: str, port: int, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": f"/v2/health/{what}", "port": port},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _resources(server: Server) -> Manifest:
    """The limit is what is asked for: the model computes with as many threads as it has cores."""
    asked = {"cpu": str(server.resources.cpu), "memory": str(server.resources.memory)}
    return {"requests": asked, "limits": asked}
