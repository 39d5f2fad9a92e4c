"""A bare kopf operator, the yardstick of `scale.jobs`: a Service and two pods a job, and one write of its status.

What a first afternoon with kopf and the official client gives: typed calls, kopf's own handlers and bookkeeping, none
of what makes a job survive anything. `kopf run` runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import kopf
from kubernetes.aio import client, config

GROUP, VERSION, PLURAL = "bench.headway.dev", "v1", "barejobs"
JOB, ROLE = f"{GROUP}/job", f"{GROUP}/role"
RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
PODS = 2

running: dict[str, set[str]] = {}


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Connect."""
    await config.load_kube_config()
    configuration = client.Configuration.get_default_copy()
    configuration.connection_pool_maxsize = 100
    memo.client = client.ApiClient(configuration)
    settings.persistence.progress_storage = kopf.StatusProgressStorage(field="status.kopf")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)


@kopf.on.create(GROUP, VERSION, PLURAL)
async def create(name: str, namespace: str | None, uid: str, memo: kopf.Memo, **_: Any) -> None:
    """Make what a job needs."""
    owner = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "BareJob", "name": name, "uid": uid, "controller": True}
    core = client.CoreV1Api(memo.client)
    meta = {"name": f"{name}-head", "ownerReferences": [owner]}
    spec = {"clusterIP": "None", "selector": {JOB: name, ROLE: "head"}, "ports": [{"port": 6379, "name": "gcs"}]}
    calls = [core.create_namespaced_service(namespace, {"metadata": meta, "spec": spec})]
    for role in ("head", "worker"):
        labels = {JOB: name, ROLE: role}
        container = {"name": "main", "image": "trainer:test", "resources": RESOURCES}
        pod = {"name": f"{name}-{role}", "ownerReferences": [owner], "labels": labels}
        body = {"metadata": pod, "spec": {"restartPolicy": "Never", "containers": [container]}}
        calls.append(core.create_namespaced_pod(namespace, body))
    await asyncio.gather(*calls)


@kopf.on.event("pods", labels={JOB: kopf.PRESENT})
async def see(
    name: str, namespace: str | None, labels: Mapping[str, str], status: Mapping[str, Any], memo: kopf.Memo, **_: Any
) -> None:
    """Say that a job runs once all its pods do."""
    pods = running.setdefault(labels[JOB], set())
    if status.get("phase") != "Running" or name in pods:
        return
    pods.add(name)
    if len(pods) == PODS:
        await client.CustomObjectsApi(memo.client).patch_namespaced_custom_object_status(
            GROUP, VERSION, namespace, PLURAL, labels[JOB], {"status": {"phase": "Running"}},
            _content_type="application/merge-patch+json",
        )  # fmt: skip
