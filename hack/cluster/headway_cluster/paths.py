"""Where things are: what is kept (the cache) and what goes with a cluster (its run state)."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .shell import say

HERE = Path(__file__).resolve().parent.parent
MODULES = HERE / "modules"

DEFAULT_NAME = os.environ.get("HEADWAY_CLUSTER") or "headway"
REGISTRY_HOST = "registry.headway.local:5000"
REGISTRY_PORT = 5000
S3_PORT = 7070
API_PORT = 6443
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_API_IP = "10.96.0.1"
SERVICE_DNS_IP = "10.96.0.10"
POD_CIDR = "10.244.0.0/24"
CLUSTER_DOMAIN = "cluster.local"


def cache_dir() -> Path:
    """Binaries, images and containerd's store: kept between clusters, because they take minutes to make."""
    named = os.environ.get("HEADWAY_CACHE")
    if named:
        return Path(named).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).resolve() / "headway"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two runs at once wait for each other instead of spoiling each other's work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run, which holds {path.stem}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Paths:
    """The folders and the addresses of one cluster; all of them follow from its name."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?", self.name):
            raise ClusterError(f"cluster name {self.name!r}: use up to 30 of a-z, 0-9 and -, a letter first")

    @property
    def state(self) -> Path:
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        return Path(base).resolve() / f"headway-cluster-{self.name}"

    @property
    def lock(self) -> Path:
        """Outside the state folder, which `down` removes while it holds the lock."""
        return cache_dir() / "locks" / f"{self.name}.lock"

    @property
    def record(self) -> Path:
        return self.state / "state.json"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def init_socket(self) -> Path:
        return self.state / "init.sock"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd" / "containerd.sock"

    @property
    def containerd_root(self) -> Path:
        """Kept between clusters of one name: two containerds must never share a store."""
        return cache_dir() / "containerd" / self.name

    @property
    def node(self) -> str:
        return f"{self.name}-node"

    @property
    def _link(self) -> int:
        return zlib.crc32(self.name.encode()) % (1 << 14)

    @property
    def veth(self) -> str:
        return f"hw-{self._link:x}"

    def _address(self, host: int) -> str:
        offset = self._link * 4 + host
        return f"10.231.{offset >> 8}.{offset & 255}"

    @property
    def host_ip(self) -> str:
        """The machine's end of the link to the cluster's network namespace."""
        return self._address(1)

    @property
    def ip(self) -> str:
        """The cluster's end: API server, registry, DNS and S3 listen here, for the machine and for pods."""
        return self._address(2)

    @property
    def api_url(self) -> str:
        return f"https://{self.ip}:{API_PORT}"

    @property
    def registry(self) -> str:
        return f"{self.ip}:{REGISTRY_PORT}"

    @property
    def cgroup(self) -> str:
        return f"headway-{self.name}"
