"""Several training processes in a pod, on a real node: a pod that is killed takes all of its ranks with it, once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness import Cluster

from .steady import CODE, config_map, job, run_here

# tests/integration/test_processes.py does the same without a cluster, and is quick.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

JOB = job(
    "pairs",
    workers=2,
    memory="3Gi",
    code={"configMap": {"name": "steady"}},
    data={"source": {"builtin": {"name": "digits"}}},
    model={"entrypoint": "steady:build", "options": {"job": "pairs", "pause": 0.05, "padding": 0}},
    training={"epochs": 12, "batchSize": 32, "checkpoint": {"everySteps": 20}},
    seed=5,
)
JOB["spec"]["workers"]["processes"] = 2


def test_two_pods_of_two_processes_of_which_one_is_killed_end_with_the_weights_of_a_run_that_was_not(
    headway: Cluster, namespace: str, tmp_path: Path
) -> None:
    headway.apply(json.dumps(config_map("steady", steady=CODE)), namespace)
    headway.apply(json.dumps(JOB), namespace)

    def status() -> dict[str, Any]:
        found: dict[str, Any] = headway.get("trainingjob", "pairs", "-n", namespace).get("status", {})
        return found

    headway.wait("a checkpoint", lambda: status().get("checkpoint", {}).get("step", 0) >= 100, within=300, every=0.5)
    assert status()["workers"]["desired"] == 2, "pods are counted, not processes"
    pods = headway.items("pods", "-n", namespace, "-l", "headway.dev/job=pairs,headway.dev/role=worker")
    assert len(pods) == 2
    killed = pods[-1]["metadata"]["name"]
    headway.kubectl("delete", "pod", killed, "-n", namespace, "--force", "--grace-period=0", "--wait=false")
    ended = headway.finished("pairs", namespace)["status"]
    assert ended["phase"] == "Succeeded", headway.story("pairs", namespace)
    (attempt,) = ended["attempts"]
    assert attempt["workersReplaced"] == 1, "one pod was lost, and with it two ranks"
    assert attempt["resumedFromStep"] >= 100
    assert any("share the 200m cores" in sentence for sentence in ended["warnings"])
    there = {artifact["name"]: artifact["sha256"] for artifact in ended["result"]["artifacts"]}
    (tmp_path / "steady.py").write_text(CODE)
    here = run_here(JOB, tmp_path) / "model.safetensors"
    assert hashlib.sha256(here.read_bytes()).hexdigest() == there["model"]
