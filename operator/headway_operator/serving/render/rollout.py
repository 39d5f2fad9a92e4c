"""The objects of a rollout that lets versions share requests: the judge, what it and the operator write to each other
in, what servers know it by, and who may reach whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from headway_api import rollout_wire
from headway_api.drift_wire import KEY_DRIFT, KEY_WATCH, Watch
from headway_api.rollout_wire import Route
from headway_api.served import GRPC_PORT
from headway_operator.serving import names
from headway_operator.serving.render.objects import EGRESS, NAME_SERVERS, Manifest, Of, metadata, port
from headway_operator.serving.render.pods import CONTAINER_SECURITY, DATA_PORT, POD_SECURITY, probes

CONTAINER = "judge"
TOKEN_VOLUME = "rollout"  # noqa: S105 - the name of a volume
TOKEN_FILE = f"{rollout_wire.TOKEN_DIR}/{rollout_wire.KEY_TOKEN}"
LOST_SECONDS = 10
"""So long after its node is seen to be lost another judge is made; the default is five minutes."""
GRACE_SECONDS = 5
START_SECONDS = 120
"""The judge, and the holder, may take so long to begin."""
RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}
"""Of one judge, for the reports of up to a thousand servers each second."""

PORTS: list[Manifest] = [
    {"name": "report", "port": rollout_wire.JUDGE_PORT, "targetPort": rollout_wire.JUDGE_PORT, "protocol": "TCP"}
]
"""Of the judge's Service."""


def judge_url(of: Of) -> str:
    """Where servers of the namespace report to: by the short name, of which name servers are asked the least."""
    return f"http://{names.judge_name(of.name, of.uid)}:{rollout_wire.JUDGE_PORT}"


def secret(of: Of, token: str) -> Manifest:
    """What servers and judge know each other by.

    The operator never changes it. It is not immutable all the same: a node keeps what it has of an immutable Secret for
    as long as a pod mounts it, and would never learn of the one that takes the place of one that was deleted.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(of, names.judge_name(of.name, of.uid)),
        "type": "Opaque",
        "stringData": {rollout_wire.KEY_TOKEN: token},
    }


def route_text(route: Route) -> str:
    """A route as it stands in the ConfigMap."""
    return route.model_dump_json(exclude_none=True)


def watch_texts(watch: Watch | None) -> dict[str, str | None]:
    """What is watched, as it stands in the ConfigMap. Where nothing is any more, what was found of it goes, too."""
    return {KEY_WATCH: None, KEY_DRIFT: None} if watch is None else {KEY_WATCH: watch.model_dump_json()}


def config_map(of: Of, route: Route, watch: Watch | None = None) -> Manifest:
    """By which operator and judge talk."""
    watched = {KEY_WATCH: watch.model_dump_json()} if watch is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(of, names.judge_name(of.name, of.uid)),
        "data": {rollout_wire.KEY_ROUTE: route_text(route), **watched},
    }


def service(of: Of) -> Manifest:
    """The judge's address. It is there without a judge, too: servers are refused at once, and ask again later."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(of, names.judge_name(of.name, of.uid)),
        "spec": {"selector": names.judges(of.uid), "ports": PORTS},
    }


def query_secrets(route: Route) -> tuple[str, ...]:
    """The Secrets that a judge needs for its queries."""
    return tuple(sorted({gate.secret for gate in route.queries if gate.secret is not None}))


def judge(of: Of, image: str, secrets: Sequence[str] = (), *, load: bool = False) -> Manifest:
    """The judge's Deployment. secrets: those of its queries. load: whether it also tells how busy servers are."""
    name, pod = names.judge_name(of.name, of.uid), _judge_pod(of, image, secrets, load=load)
    return one_pod(of, name, names.judges(of.uid), {"type": "Recreate"}, pod)


def one_pod(of: Of, name: str, selector: dict[str, str], strategy: Manifest, pod: Manifest) -> Manifest:
    """The Deployment of a pod, which tells by a label how it was made."""
    meta, own = metadata(of, name), names.labels(of.name, of.uid)
    template = {"metadata": {"labels": {**own, **selector}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**meta, "labels": {**own, names.LABEL_TEMPLATE: _digest(template)}},
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            "strategy": strategy,
            "selector": {"matchLabels": selector},
            "template": template,
        },
    }


def made_as(workload: Manifest) -> str:
    """What tells the template of a Deployment from another one: nothing else of it ever changes but replicas."""
    found: str = workload["metadata"]["labels"][names.LABEL_TEMPLATE]
    return found


def _digest(template: Manifest) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def _judge_pod(of: Of, image: str, secrets: Sequence[str], *, load: bool) -> Manifest:
    name = names.judge_name(of.name, of.uid)
    container: Manifest = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": of.pull_policy,
        "command": rollout_wire.judge_command(of.namespace, name, load=load),
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the pod's own
        "ports": [
            {"name": "report", "containerPort": rollout_wire.JUDGE_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": rollout_wire.JUDGE_ADMIN_PORT, "protocol": "TCP"},
        ],
        "resources": RESOURCES,
        "volumeMounts": [
            token_mount(),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            *(
                {"name": volume["name"], "mountPath": f"{rollout_wire.QUERY_SECRETS_DIR}/{secret}", "readOnly": True}
                for volume, secret in zip(_query_volumes(secrets), secrets, strict=True)
            ),
        ],
        "securityContext": CONTAINER_SECURITY,
        **probes(rollout_wire.JUDGE_ADMIN_PORT, START_SECONDS),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "containers": [container],
        "volumes": [
            token_volume(of),
            {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
            *_query_volumes(secrets),
        ],
        "serviceAccountName": rollout_wire.SERVICE_ACCOUNT,
        # The one pod of a deployment that speaks to the API server: it may patch its own ConfigMap.
        "automountServiceAccountToken": True,
        "securityContext": POD_SECURITY,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{what}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": LOST_SECONDS,
            }
            for what in ("not-ready", "unreachable")
        ],
    }


def _query_volumes(secrets: Sequence[str]) -> list[Manifest]:
    """Each may be missing, or lack keys: a query without its Secret has no value, and the judge goes on."""
    return [
        {
            "name": f"{names.QUERY_VOLUME}{number}",
            "secret": {
                "secretName": name,
                "defaultMode": 0o440,
                "optional": True,
                "items": [{"key": key, "path": key} for key in rollout_wire.QUERY_SECRET_KEYS],
            },
        }
        for number, name in enumerate(secrets)
    ]


def token_volume(of: Of, *, optional: bool = False) -> Manifest:
    """The rollout Secret."""
    secret: Manifest = {"secretName": names.judge_name(of.name, of.uid), "defaultMode": 0o440}
    return {"name": TOKEN_VOLUME, "secret": {**secret, "optional": True} if optional else secret}


def token_mount() -> Manifest:
    """Where it is mounted."""
    return {"name": TOKEN_VOLUME, "mountPath": rollout_wire.TOKEN_DIR, "readOnly": True}


def reporting(of: Of, workload: Manifest) -> Manifest:
    """A version's Deployment whose servers report to the judge and do as it says, once there is one.

    Those of all versions do, also where versions share no requests: what kind the next rollout is of, nobody knows yet.
    """
    template: dict[str, Any] = workload["spec"]["template"]
    spec = template["spec"]
    [server] = spec["containers"]
    told = ("--judge", judge_url(of), "--judge-token-file", TOKEN_FILE, "--deployment-uid", of.uid)
    server = {
        **server,
        "args": [*server["args"], *told],
        "volumeMounts": [*server["volumeMounts"], token_mount()],
    }
    # Optional: without it servers answer, and are heard by no judge. A Secret that somebody has deleted, or that a
    # quota refuses, is to keep no server from starting.
    token = token_volume(of, optional=True)
    spec = {**spec, "containers": [server], "volumes": [*spec["volumes"], token]}
    return {**workload, "spec": {**workload["spec"], "template": {**template, "spec": spec}}}


def servers_policy(of: Of) -> Manifest:
    """Beyond what all servers may: these reach the judge, each other's ports for requests, and name servers."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(of, names.split_name(of.name, of.uid)),
        "spec": {
            "podSelector": {"matchLabels": names.servers(of.uid)},
            "policyTypes": ["Egress"],
            "egress": [
                {
                    "to": [{"podSelector": {"matchLabels": names.judges(of.uid)}}],
                    "ports": [port(rollout_wire.JUDGE_PORT)],
                },
                {
                    "to": [{"podSelector": {"matchLabels": names.servers(of.uid)}}],
                    "ports": [port(DATA_PORT), port(GRPC_PORT)],
                },
                NAME_SERVERS,
            ],
        },
    }


def judge_policy(of: Of) -> Manifest:
    """The deployment's servers alone report to the judge.

    Where it goes stays open, but for addresses that are the node's own: the API server is outside of the cluster's
    pods, at an address that no label tells, and so may the Prometheus be that its queries are for.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(of, names.judge_name(of.name, of.uid)),
        "spec": {
            "podSelector": {"matchLabels": names.judges(of.uid)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": names.servers(of.uid)}}],
                    "ports": [port(rollout_wire.JUDGE_PORT)],
                },
                {"ports": [port(rollout_wire.JUDGE_ADMIN_PORT)]},
            ],
            "egress": EGRESS,
        },
    }
