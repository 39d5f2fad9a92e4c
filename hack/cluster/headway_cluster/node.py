"""The one real node: containerd, kubelet, kube-proxy and the cluster's DNS."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from . import build
from .errors import ClusterError
from .paths import (
    CLUSTER_DOMAIN,
    POD_CIDR,
    REGISTRY_HOST,
    SERVICE_CIDR,
    SERVICE_DNS_IP,
    Paths,
)
from .pause import PAUSE_IMAGE, pause_archive
from .shell import find, need
from .space import Space

CGROUPS = Path("/sys/fs/cgroup")
# Folders that containerd, its shims and the kubelet have hard-wired: hidden behind empty ones in the
# cluster's own mount namespace, so that the machine's stay as they are.
HIDDEN = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/log/containers")
POD_PIDS = 1024


def _toml(value: object) -> str:
    return json.dumps(value)


def _containerd_config(paths: Paths) -> str:
    state = paths.state / "containerd"
    cri = '[plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = {_toml(str(paths.containerd_root))}
state = {_toml(str(state / "state"))}
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.tracing"]
[grpc]
  address = {_toml(str(paths.containerd_socket))}
[plugins."io.containerd.internal.v1.opt"]
  path = {_toml(str(state / "opt"))}
{cri}]
  sandbox_image = {_toml(PAUSE_IMAGE)}
  restrict_oom_score_adj = true
  enable_selinux = false
  stream_server_address = "127.0.0.1"
{cri}.containerd]
  snapshotter = "overlayfs"
  discard_unpacked_layers = true
  default_runtime_name = "runc"
{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
{cri}.containerd.runtimes.runc.options]
  BinaryName = {_toml(need("runc"))}
{cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = {_toml(str(paths.config / "cni"))}
{cri}.registry]
  config_path = {_toml(str(paths.config / "certs.d"))}
"""


def _write_runtime_config(paths: Paths) -> None:
    (paths.state / "containerd").mkdir(parents=True, exist_ok=True)
    (paths.config / "containerd.toml").write_text(_containerd_config(paths))
    hosts = paths.config / "certs.d" / REGISTRY_HOST
    hosts.mkdir(parents=True)
    url = f"http://{paths.registry}"
    (hosts / "hosts.toml").write_text(f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n')
    network = {
        "cniVersion": "0.4.0",
        "name": "headway",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(paths.state / "ipam"),
                    "ranges": [[{"subnet": POD_CIDR}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    cni = paths.config / "cni"
    cni.mkdir()
    (cni / "10-headway.conflist").write_text(json.dumps(network))


def prepare(space: Space) -> None:
    """Ready the namespaces for pods: mounts, forwarding, masquerade towards the machine, cgroups."""
    paths = space.paths
    _write_runtime_config(paths)
    for folder in HIDDEN:
        Path(folder).mkdir(parents=True, exist_ok=True)
    mounts = " && ".join(f"mount -t tmpfs -o mode=755 headway {folder}" for folder in HIDDEN)
    space.run(["sh", "-c", f"mount --make-rshared / && {mounts}"])
    settings = {"/proc/sys/net/ipv4/ip_forward": "1"}
    bridge = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    # Without it, a reply between two pods of one bridge passes by the service's address translation.
    space.run(["sh", "-c", f"test -e {bridge} || modprobe br_netfilter"], check=False)
    space.ask("write", files=settings)
    space.run(["sh", "-c", f"test ! -e {bridge} || echo 1 > {bridge}"])
    space.run([find("ip") or "ip", "route", "add", SERVICE_CIDR, "via", paths.host_ip])
    rules = paths.config / "masquerade.nft"
    rules.write_text(
        "table ip headway {\n chain out {\n  type nat hook postrouting priority srcnat;\n"
        f'  ip saddr {POD_CIDR} oifname "eth0" masquerade\n }}\n}}\n'
    )
    space.run([need("nft"), "-f", str(rules)])
    for controller in _cgroup_parents():
        (controller / paths.cgroup).mkdir(exist_ok=True)


def _cgroup_parents() -> list[Path]:
    """One tree (cgroup v2), or one for each controller (v1)."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [p for p in CGROUPS.iterdir() if p.is_dir() and not p.is_symlink() and (p / "tasks").exists()]


def remove_cgroups(paths: Paths) -> None:
    """Remove the cluster's cgroups, deepest first; they are empty once its processes are gone."""
    deadline = time.monotonic() + 10
    for parent in [*_cgroup_parents(), CGROUPS / "unified"]:
        top = parent / paths.cgroup
        while top.is_dir():
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            if time.monotonic() > deadline:
                raise ClusterError(f"cannot remove the cgroup {top}: something still runs in it")
            if top.is_dir():
                time.sleep(0.05)


def start_containerd(space: Space) -> None:
    """containerd with a store of its own, and nothing in it from an earlier run but images."""
    paths = space.paths
    paths.containerd_root.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(paths.containerd_root / "io.containerd.grpc.v1.cri", ignore_errors=True)
    _run_containerd(space)
    if purge_containers(space):
        # The CRI plugin has already read the containers of a run that was cut off: let it read again.
        space.ask("stop", name="containerd")
        _run_containerd(space)
    if PAUSE_IMAGE not in ctr(space, "images", "ls", "-q").split():
        ctr(space, "images", "import", str(pause_archive()))


def _run_containerd(space: Space) -> None:
    config = str(space.paths.config / "containerd.toml")
    space.start("containerd", [need("containerd"), "--config", config, "--log-level", "warn"])
    deadline = time.monotonic() + 30
    while True:
        try:
            ctr(space, "version")
            return
        except ClusterError:
            if time.monotonic() > deadline or space.ended():
                raise
            time.sleep(0.1)


def ctr(space: Space, *words: str) -> str:
    """containerd's own client, in the namespace of the kubelet's containers and images."""
    client = [need("ctr"), "--address", str(space.paths.containerd_socket), "--namespace", "k8s.io"]
    return space.run([*client, *words], timeout=600)


def purge_containers(space: Space) -> bool:
    """Remove all containers and their file systems; images stay. True if there were any."""
    left = ctr(space, "containers", "ls", "-q").split()
    if left:
        for task in ctr(space, "tasks", "ls", "-q").split():
            with contextlib.suppress(ClusterError):  # it may have ended meanwhile
                ctr(space, "tasks", "rm", "--force", task)
        ctr(space, "containers", "rm", *left)
    return bool(left)


def _kubelet_config(paths: Paths) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": paths.ip,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(paths.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{paths.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "clusterDNS": [SERVICE_DNS_IP],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(paths.config / "resolv.conf"),
        "podLogsDir": str(paths.state / "pod-logs"),
        "volumePluginDir": str(paths.state / "flex"),
        "podPidsLimit": POD_PIDS,
        "maxPods": 200,
        # Else a container that has crashed is started again after 10 s, 20 s, 40 s, ... : tests would wait for that.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "protectKernelDefaults": False,
        "enableServer": True,
        "readOnlyPort": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "nodeStatusUpdateFrequency": "10s",
        "shutdownGracePeriod": "0s",
    }


def start_kubelet(space: Space) -> None:
    """The kubelet; its root folder is in the run state."""
    paths = space.paths
    config = paths.config / "kubelet.json"
    config.write_text(json.dumps(_kubelet_config(paths)))
    (paths.config / "resolv.conf").write_text(f"nameserver {SERVICE_DNS_IP}\n")
    space.start(
        "kubelet",
        [
            build.program(build.KUBERNETES, "kubelet"),
            f"--config={config}",
            f"--kubeconfig={paths.pki / 'kubelet.kubeconfig'}",
            f"--root-dir={paths.state / 'kubelet'}",
            f"--cert-dir={paths.state / 'kubelet' / 'pki'}",
            f"--hostname-override={paths.node}",
            f"--node-ip={paths.ip}",
            "--node-labels=headway.dev/test-node=real",
        ],
    )


def start_proxy(space: Space) -> None:
    """kube-proxy in nftables mode: its rules live and die with the network namespace."""
    paths = space.paths
    config = paths.config / "proxy.json"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "nftables",
                "clusterCIDR": POD_CIDR,
                "clientConnection": {"kubeconfig": str(paths.pki / "proxy.kubeconfig")},
                "conntrack": {"maxPerCore": 0},
                "hostnameOverride": paths.node,
                "nftables": {"minSyncPeriod": "0s"},
            }
        )
    )
    space.start("kube-proxy", [build.program(build.KUBERNETES, "kube-proxy"), f"--config={config}"])


def start_dns(space: Space) -> None:
    """CoreDNS. Torch loses ten seconds to a reverse look-up without it; names from outside do not exist."""
    paths = space.paths
    corefile = paths.config / "Corefile"
    corefile.write_text(
        f"""{CLUSTER_DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {paths.ip}
    errors
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {paths.pki / "coredns.kubeconfig"}
        pods insecure
        ttl 5
    }}
}}
headway.local:53 {{
    bind {paths.ip}
    errors
    hosts {{
        {paths.ip} {REGISTRY_HOST.partition(":")[0]} s3.headway.local
        {paths.host_ip} host.headway.local
        no_reverse
    }}
}}
.:53 {{
    bind {paths.ip}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    )
    space.start("coredns", [build.program(build.COREDNS, "coredns"), "-conf", str(corefile)])
