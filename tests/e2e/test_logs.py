"""Logs outlive pods: on a real node, after SIGKILL of a worker and of the head, and when the job itself is gone."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from harness import Cluster

from .node import Node
from .steady import config_map, job

# tests/integration/test_logs.py does the same without a cluster.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

LOST_SECONDS = 15.0
"""What a kill may cost: the ten seconds that are promised, and what a busy machine adds."""
CODE = """
import time
import ray.train

def train():
    rank, number = ray.train.get_context().get_world_rank(), 0
    while True:
        print(f"line {number} of rank {rank} at {time.time():.3f}")
        number += 1
        time.sleep(0.1)
"""


def text(folder: Path, name: str) -> str:
    """A source's log, as `cat NAME.log NAME.*.log` gives it."""
    files = [folder / f"{name}.log", *sorted(folder.glob(f"{name}.*.log"))]
    return "".join(path.read_text() for path in files if path.exists())


def last(folder: Path, rank: int) -> float:
    """When the last line that is kept of a rank was printed."""
    lines = [line for line in text(folder, f"rank-{rank}").splitlines() if line.startswith("line ")]
    return float(lines[-1].split()[-1]) if lines else 0.0


def test_all_ranks_logs_are_readable_after_kills_and_after_the_job(
    headway: Cluster, node: Node, namespace: str
) -> None:
    training = {"entrypoint": "talks:train"}
    talks = job("talks", workers=2, code={"configMap": {"name": "talks"}}, training=training)
    headway.apply(json.dumps(config_map("talks", talks=CODE)), namespace)
    headway.apply(json.dumps(talks), namespace)

    def kept(attempt: int) -> Path | None:
        """The folder that the status names, as this machine reaches it, once both ranks have lines there."""
        status = headway.get("tj", "talks", "-n", namespace).get("status", {})
        uri = next((one["logs"] for one in status.get("attempts", []) if one["number"] == attempt), None)
        if uri is None:
            return None
        folder = node.volume(namespace) / uri.removeprefix("/mnt/headway/storage/")
        return folder if all(last(folder, rank) for rank in range(2)) else None

    def killed(role: str) -> float:
        (pod, *_) = headway.items("pods", "-n", namespace, "-l", f"headway.dev/job=talks,headway.dev/role={role}")
        return node.signal(pod, signal.SIGKILL)

    folder = headway.wait("lines of both ranks", lambda: kept(1), within=240)
    time.sleep(LOST_SECONDS)
    at = killed("worker")
    assert all(last(folder, rank) > at - LOST_SECONDS for rank in range(2))
    again = headway.wait("the next group", lambda: sorted(folder.glob("rank-*.001-00000.log"))[1:], within=240)
    assert [path.name for path in again] == ["rank-1.001-00000.log"]
    time.sleep(LOST_SECONDS)
    at = killed("head")
    after = headway.wait("lines of the next attempt", lambda: kept(2), within=240)
    assert after.name == "attempt-2"
    assert all(last(folder, rank) > at - LOST_SECONDS for rank in range(2))
    assert "was lost after step" in text(folder, "driver")
    headway.kubectl("delete", "tj", "talks", "-n", namespace)
    headway.wait("no pods", lambda: not headway.items("pods", "-n", namespace), within=150)
    assert all("line 0 of rank" in text(where, f"rank-{rank}") for where in (folder, after) for rank in range(2))
