"""What a new cluster holds: DNS, storage, and kwok's nodes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .api import Api
from .paths import SERVICE_DNS_IP, Paths

Object = dict[str, Any]
VOLUMES = 40  # a used one is not used again, and each test makes its own claims
STORAGE_CLASS = "headway-local"
KWOK_TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
_RBAC = "/apis/rbac.authorization.k8s.io/v1"


def _dns(paths: Paths) -> Iterator[tuple[str, Object]]:
    """CoreDNS is a process, not a pod: a service without selector points at it. It may read what it serves."""
    reads = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    name = {"metadata": {"name": "headway:coredns"}}
    verbs = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": verbs},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]
    yield f"{_RBAC}/clusterroles", {**reads, **name, "kind": "ClusterRole", "rules": rules}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "headway:coredns"}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "headway:coredns"}
    binding = {**reads, **name, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [user]}
    yield f"{_RBAC}/clusterrolebindings", binding
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    labels = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}
    yield (
        "/api/v1/namespaces/kube-system/services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "labels": labels},
            "spec": {"clusterIP": SERVICE_DNS_IP, "ports": ports},
        },
    )
    yield (
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "kube-dns-host", "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [paths.ip], "conditions": {"ready": True}}],
        },
    )


def _proxy_binding() -> tuple[str, Object]:
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"}
    return f"{_RBAC}/clusterrolebindings", {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "headway:node-proxier"},
        "roleRef": role,
        "subjects": [user],
    }


def _storage(paths: Paths) -> Iterator[tuple[str, Object]]:
    """A default storage class and volumes made in advance, so that a claim binds at once."""
    yield (
        "/apis/storage.k8s.io/v1/storageclasses",
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "Immediate",
        },
    )
    for number in range(VOLUMES):
        folder = paths.volumes / f"pv-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        yield (
            "/api/v1/persistentvolumes",
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{STORAGE_CLASS}-{number}"},
                "spec": {
                    "storageClassName": STORAGE_CLASS,
                    "capacity": {"storage": "20Gi"},
                    "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": str(folder), "type": "Directory"},
                },
            },
        )


def kwok_node(number: int, taint: bool) -> Object:
    """A node that only exists on paper: 64 CPUs, 512 GiB and 8 GPUs."""
    name = f"kwok-{number:04d}"
    size = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "2Ti", "pods": "1000", "nvidia.com/gpu": "8"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "type": "kwok",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": "kwok-8gpu",
                "topology.kubernetes.io/zone": f"zone-{number % 3}",
                "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
            },
            "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
        },
        "spec": {"taints": [KWOK_TAINT]} if taint else {},
        "status": {"capacity": size, "allocatable": size, "phase": "Running"},
    }


def create_base(api: Api, paths: Paths, real_node: bool) -> None:
    """Storage for all; DNS and the proxy's rights where a real node needs them."""
    wanted = list(_storage(paths))
    if real_node:
        wanted += [*_dns(paths), _proxy_binding()]
    _create_all(api, wanted)


def create_kwok_nodes(api: Api, count: int, taint: bool) -> None:
    """The nodes on paper."""
    _create_all(api, [("/api/v1/nodes", kwok_node(n, taint)) for n in range(count)])


def _create_all(api: Api, wanted: list[tuple[str, Object]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(api.create, path, body) for path, body in wanted]:
            done.result()
