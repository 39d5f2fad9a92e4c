"""What a namespace with jobs needs once: the head pods' ServiceAccount and its one right."""

from __future__ import annotations

from headway_api import wire
from headway_operator.training.render.objects import Manifest

CLUSTER_ROLE = wire.SERVICE_ACCOUNT
"""The chart's ClusterRole: patch ConfigMaps, and nothing else."""


def _metadata(namespace: str) -> Manifest:
    return {
        "name": wire.SERVICE_ACCOUNT,
        "namespace": namespace,
        "labels": {wire.LABEL_MANAGED_BY: wire.MANAGED_BY},
    }


def service_account(namespace: str) -> Manifest:
    """The head pods' ServiceAccount. Only they mount its token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(namespace),
        "automountServiceAccountToken": False,
    }


def role_binding(namespace: str) -> Manifest:
    """It may patch ConfigMaps of the namespace; an admission policy of the chart narrows that to each pod's own."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(namespace),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CLUSTER_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": wire.SERVICE_ACCOUNT, "namespace": namespace}],
    }
