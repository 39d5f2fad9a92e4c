"""The words that start etcd, the API server, the controllers, the scheduler and kwok."""

from __future__ import annotations

import json

from . import build
from .paths import API_PORT, POD_CIDR, SERVICE_CIDR
from .space import Space

# Native gang scheduling: Kubernetes has it, but switches it on nowhere by itself.
GANG_GATE = "--feature-gates=GenericWorkload=true"
_LOCAL = "127.0.0.1"


def start_etcd(space: Space) -> None:
    """etcd without fsync: a test cluster's data is not worth waiting for a disk."""
    client, peer = f"http://{_LOCAL}:2379", f"http://{_LOCAL}:2380"
    space.start(
        "etcd",
        [
            build.program(build.ETCD, "etcd"),
            f"--data-dir={space.paths.state / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--quota-backend-bytes=4294967296",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=5m",
            "--log-level=warn",
        ],
    )


def start_apiserver(space: Space, gang: bool) -> None:
    """The API server, for the machine and for pods at one address."""
    paths, pki = space.paths, space.paths.pki
    space.start(
        "kube-apiserver",
        [
            build.program(build.KUBERNETES, "kube-apiserver"),
            f"--etcd-servers=http://{_LOCAL}:2379",
            f"--advertise-address={paths.ip}",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki / 'service-accounts.key'}",
            f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=true",
            "--allow-privileged=true",
            "--profiling=false",
            "--v=1",
            *([GANG_GATE, "--runtime-config=scheduling.k8s.io/v1beta1=true"] if gang else []),
        ],
    )


def start_controllers(space: Space, gang: bool) -> None:
    """The controller manager and the scheduler; alone in their cluster, so without leader election."""
    paths, pki = space.paths, space.paths.pki
    config = f"--kubeconfig={pki / 'controller-manager.kubeconfig'}"
    space.start(
        "kube-controller-manager",
        [
            build.program(build.KUBERNETES, "kube-controller-manager"),
            config,
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki / 'service-accounts.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            f"--cluster-cidr={POD_CIDR}",
            "--allocate-node-cidrs=false",
            f"--flex-volume-plugin-dir={paths.state / 'flex'}",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            "--concurrent-gc-syncs=20",
            "--bind-address=127.0.0.1",
            *([GANG_GATE] if gang else []),
        ],
    )
    scheduler = paths.config / "scheduler.json"
    scheduler.write_text(
        json.dumps(
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "leaderElection": {"leaderElect": False},
                "clientConnection": {
                    "kubeconfig": str(pki / "scheduler.kubeconfig"),
                    "qps": 300,
                    "burst": 600,
                },
            }
        )
    )
    space.start(
        "kube-scheduler",
        [
            build.program(build.KUBERNETES, "kube-scheduler"),
            f"--config={scheduler}",
            "--bind-address=127.0.0.1",
            *([GANG_GATE] if gang else []),
        ],
    )


def start_kwok(space: Space) -> None:
    """kwok for the nodes labelled type=kwok and the pods on them; a real node is left to its kubelet."""
    space.start(
        "kwok",
        [
            build.program(build.KWOK, "kwok"),
            f"--kubeconfig={space.paths.pki / 'kwok.kubeconfig'}",
            "--manage-all-nodes=false",
            "--manage-nodes-with-label-selector=type=kwok",
            "--cidr=10.245.0.0/16",
            f"--node-ip={space.paths.ip}",
            "--node-lease-duration-seconds=40",
        ],
    )
