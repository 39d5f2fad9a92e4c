"""What a namespace needs once for pods that tell the operator something: a ServiceAccount and its one right. Pure."""

from __future__ import annotations

from typing import Any

from headway_api import wire
from headway_operator.engine import kube
from headway_operator.engine.steps import EnsureShared

Manifest = dict[str, Any]


def _metadata(namespace: str, name: str) -> Manifest:
    return {"name": name, "namespace": namespace, "labels": {wire.LABEL_MANAGED_BY: wire.MANAGED_BY}}


def ensured(namespace: str, name: str) -> tuple[EnsureShared, ...]:
    """The steps that make both."""
    return (
        EnsureShared(kube.SERVICE_ACCOUNTS, service_account(namespace, name)),
        EnsureShared(kube.ROLE_BINDINGS, role_binding(namespace, name)),
    )


def service_account(namespace: str, name: str) -> Manifest:
    """The pods' ServiceAccount. Only those that ask for its token mount it."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(namespace, name),
        "automountServiceAccountToken": False,
    }


def role_binding(namespace: str, name: str) -> Manifest:
    """It may do what the chart's ClusterRole of that name says, which an admission policy narrows to each pod's own."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(namespace, name),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
