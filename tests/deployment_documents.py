"""ModelDeployments without a mistake."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from dotted import place

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "headway.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "digits", "labels": {"team": "vision"}},
    "spec": {
        "versions": {
            "source": {"persistentVolumeClaim": {"name": "models", "path": "default/digits-1"}, "digest": DIGEST},
            "keep": 2,
        },
        "server": {
            "image": "example.com/server:1",
            "resources": {"cpu": "500m", "memory": "256Mi"},
            "drainSeconds": 5,
        },
        "replicas": 2,
        "rollout": {"blueGreen": {"bakeSeconds": 60}, "progressDeadlineSeconds": 120},
    },
}
"""One without a mistake."""
SOURCE = "spec.versions.source"
GATEWAY = "spec.route.gateway"
PARENTS: list[dict[str, Any]] = [{"name": "public"}]
UNIT = {"header": "x-user"}
ABSENT = object()
"""In place of a value: the field goes."""


def deployment(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """DEPLOYMENT with other values at some dotted paths."""
    document = copy.deepcopy(DEPLOYMENT)
    for path, value in (changes or {}).items():
        node, last = place(document, path)
        if value is ABSENT:
            del node[last]
        else:
            node[last] = copy.deepcopy(value)
    return document


GOOD: tuple[dict[str, Any], ...] = (
    {},
    {"metadata.name": "d" * 38},
    {"spec.server": {}},
    {"spec.server.backend": "kserve", "metadata.name": "d" * 35},
    {"spec.server.resources": {"cpu": 2, "memory": 10**9}},
    {"spec.server.cache": {}},
    {"spec.server.records": {}},
    {"spec.server.records": {"sample": 1, "payloads": "all", "mask": ["age"], "persistentVolumeClaim": {"name": "a"}}},
    {"spec.server.grpc": True, "spec.server.threads": 2, "spec.server.warmup": {"requests": 1}},
    {
        "spec.server.limits": {
            "maxRequestBytes": "1Gi",
            "maxInFlight": 1,
            "queueMilliseconds": 1,
            "timeoutSeconds": 3600,
        }
    },
    {
        "spec.server.limits": {"maxRequestBytes": 1024, "queueMilliseconds": 600},
        "spec.server.batching": {"maxDelayMilliseconds": 599},
    },
    {"spec.rollout": {"recreate": {}}},
    {"spec.rollout": {"blueGreen": {}}},
    {"spec.rollout": {}},
    {"spec.rollout": {"canary": {}, "approval": "manual"}, "spec.versions.approve": "digits-2"},
    {"spec.rollout": {"canary": {"steps": [{"weight": number} for number in range(1, 17)], "bakeSeconds": 0}}},
    {"spec.rollout": {"abTest": {"unit": {"header": "x-user"}}, "onStall": "rollback"}},
    {"spec.rollout": {"abTest": {"unit": {"cookie": "user.id"}, "minSeconds": 60, "maxSeconds": 60, "weight": 99}}},
    {"spec.rollout": {"shadow": {"sample": 1}, "analysis": {"agreement": {"min": 0.9, "tolerance": 0}}}},
    {
        "spec.rollout": {
            "canary": {},
            "stepDeadlineSeconds": 60,
            "analysis": {
                "alpha": 0.01,
                "minRequests": 1,
                "errors": {"maxRate": 0, "notWorse": False},
                "latency": {"maxP99Milliseconds": 0.5, "notWorse": False},
                "agreement": {"min": 1, "sample": 0.5},
            },
        }
    },
    {"spec.versions.pin": "digits-3", "spec.versions.abort": "digits-4", "spec.versions.retry": ["digits-2"]},
    {"spec.suspend": True},
    {"spec.route": {}},
    {GATEWAY: {"parentRefs": PARENTS}},
    {
        GATEWAY: {
            "parentRefs": [{"name": "a", "namespace": "infra", "sectionName": "https", "port": 443}, {"name": "a"}]
        }
    },
    {
        GATEWAY: {
            "parentRefs": PARENTS,
            "hostnames": ["*.example.com"],
            "pathPrefix": "/a-1/B_2.x~",
            "split": "gateway",
        }
    },
    {GATEWAY: {"parentRefs": PARENTS, "split": "servers"}, "spec.rollout": {"abTest": {"unit": UNIT}}},
    {
        GATEWAY: {"parentRefs": PARENTS, "hostnames": ["a.b"], "grpc": {"hostnames": ["c.d"]}},
        "spec.server.grpc": True,
    },
    {
        GATEWAY: {"parentRefs": PARENTS, "grpc": {"parentRefs": [{"name": "public", "sectionName": "grpc"}]}},
        "spec.server.grpc": True,
    },
    {"spec.replicas": 1000},
    {"spec.autoscaling": {"max": 1000}},
    {"spec.autoscaling": {"min": 3, "max": 3, "cpuPercent": 100}},
    {"spec.autoscaling": {"max": 3, "targetInFlight": 51, "scaleDownSeconds": 0}},
    {"spec.autoscaling": {"min": 0, "max": 3, "targetInFlight": 8, "idleSeconds": 10, "holdSeconds": 1}},
    {"spec.autoscaling": {"max": 3, "targetInFlight": 160}, "spec.server.limits": {"maxInFlight": 200}},
    {"spec.monitoring": {"drift": {}}},
    {
        "spec.monitoring.drift": {
            "sample": 1,
            "window": {"rows": 100, "seconds": 604_800},
            "alpha": 1e-6,
            "minEffect": 1,
            "persist": {"of": 10, "need": 10},
        }
    },
    {"spec.monitoring.drift.persist": {"of": 1, "need": 1}},
    {f"{SOURCE}.persistentVolumeClaim": {"name": "models"}},
    {"spec": {}},
    {SOURCE: {"uri": "s3://models/a?region=eu-1&endpoint_override=http://s3.models:9000", "digest": DIGEST}},
    {SOURCE: {"uri": "s3://models/a b", "digest": DIGEST, "secretRef": {"name": "reader"}}},
    {SOURCE: {"uri": "gs://models", "digest": DIGEST}},
    {SOURCE: {"uri": "abfs://models@account.dfs.core.windows.net/a", "digest": DIGEST}},
    {SOURCE: {"uri": "https://models.example.com:8443/a", "digest": DIGEST}},
    {"spec.versions": {}},
    {SOURCE: None},
    {SOURCE: None, "spec.versions.pin": "digits-3"},
)
"""Changes that leave it without a mistake."""
