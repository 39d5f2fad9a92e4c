"""An operator that stands still, on a real kubelet: the other replica takes over, and the probe has it restarted."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness import Cluster

from .node import Node

pytestmark = [pytest.mark.e2e, pytest.mark.long]

SYSTEM = ("-n", "headway-system")


def leader(cluster: Cluster) -> str:
    """The pod that works."""
    holder: str = cluster.get("lease", "headway", *SYSTEM)["spec"]["holderIdentity"]
    return holder


def container(cluster: Cluster, pod: str) -> dict[str, Any]:
    """How the operator's container is."""
    status: dict[str, Any] = cluster.get("pod", pod, *SYSTEM)["status"]["containerStatuses"][0]
    return status


def operators(node: Node, pod: dict[str, Any]) -> list[int]:
    """The operator's processes in a pod."""
    return [pid for pid in node.processes(pod) if b"headway-operator" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_frozen_operator_is_followed_and_started_again(headway: Cluster, node: Node) -> None:
    headway.wait("a leader", lambda: leader(headway) or None)
    frozen = leader(headway)
    before = container(headway, frozen)["restartCount"]
    pids = operators(node, headway.get("pod", frozen, *SYSTEM))
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    headway.wait("another leader", lambda: leader(headway) not in ("", frozen), 15)
    # Three probes of five seconds each, ten seconds apart; then fifteen seconds of grace.
    headway.wait("a restart", lambda: container(headway, frozen)["restartCount"] == before + 1)
    headway.wait("it is ready again", lambda: container(headway, frozen)["ready"])
    assert leader(headway) != frozen
