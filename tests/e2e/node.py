"""The real node as a test sees and hurts it: its programs, the processes of its pods, and the files of its volumes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from harness import HACK_CLUSTER, Cluster, run

MAIN = ([b"-m", b"headway_trainer.driver"], [b"-m", b"headway_trainer.worker"])
"""What follows `python` where a pod's main process was started."""


class Node:
    """The one real node of a cluster of hack/cluster, all of whose processes this machine sees."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        state = cluster.kubeconfig.parent
        process_1 = json.loads((state / "state.json").read_text())["pid"]
        self.root = Path(f"/proc/{process_1}/root")
        """The node's file system, with what is mounted in it alone."""

    def order(self, verb: str, program: str) -> None:
        """`kill`, `start`, `stop` or `restart` one program of the cluster."""
        run(HACK_CLUSTER, verb, program)

    def inside(self, *words: str) -> str:
        """Run a short command as the node would; what it printed."""
        return run(HACK_CLUSTER, "exec", "--", *words)

    def volume(self, namespace: str, claim: str = "models") -> Path:
        """The folder of a claim, as this machine reaches it."""
        bound = self.cluster.wait(
            f"the claim {namespace}/{claim} bound",
            lambda: self.cluster.get("pvc", claim, "-n", namespace)["spec"].get("volumeName"),
        )
        path: str = self.cluster.get("pv", bound)["spec"]["hostPath"]["path"]
        return self.root / path.lstrip("/")

    def processes(self, pod: dict[str, Any]) -> list[int]:
        """The processes of a pod, by their ids on this machine."""
        mark = f"pod{pod['metadata']['uid']}"
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "cgroup").read_text():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return sorted(found)

    def main_process(self, pod: dict[str, Any]) -> int:
        """The process of a pod that is its trainer container's first."""
        for pid in self.processes(pod):
            if _words(pid).split(b"\0")[1:3] in MAIN:
                return pid
        raise AssertionError(f"{pod['metadata']['name']} has no main process")

    def signal(self, pod: dict[str, Any], number: signal.Signals) -> float:
        """Send a signal to a pod's main process; when that was."""
        pid = self.main_process(pod)
        now = time.time()
        os.kill(pid, number)
        return now

    def bytes_written(self, namespace: str, job: str) -> int:
        """What the logs and the scratch volumes of a job's pods take on the node's disk."""
        state = self.root / str(self.cluster.kubeconfig.parent).lstrip("/")
        total = 0
        for logs in (state / "pod-logs").glob(f"{namespace}_{job}-*"):
            volumes = state / "kubelet/pods" / logs.name.rpartition("_")[2] / "volumes/kubernetes.io~empty-dir"
            for folder in (logs, volumes / "headway-tmp"):
                total += sum(_size(Path(where, name)) for where, _, names in os.walk(folder) for name in names)
        return total

    def healthy(self) -> list[str]:
        """What is wrong with the node and the operator; nothing if all is well."""
        nodes, pods = self.cluster.items("nodes"), self.cluster.items("pods", "-n", "headway-system")
        wrong = [
            f"{node['metadata']['name']}: {condition['type']} is {condition['status']}"
            for node in nodes
            for condition in node["status"]["conditions"]
            if condition["status"] != ("True" if condition["type"] == "Ready" else "False")
        ]
        return wrong + [
            f"{pod['metadata']['name']} is not ready: {container['state']}"
            for pod in pods
            for container in pod["status"].get("containerStatuses", [])
            if not container["ready"]
        ]


def _size(path: Path) -> int:
    """What a file takes on disk; nothing if it is gone by now."""
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
