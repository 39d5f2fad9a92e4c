"""Several training processes in a pod: where their ranks are, and that what is killed goes on bit for bit."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import headway
from pods import Pods

pytestmark = pytest.mark.ray

TWO_BY_TWO: dict[str, Any] = {"replicas": 2, "processes": 2, "resources": {"cpu": "2", "memory": "2Gi"}}
SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}},
    "model": {"name": "mlp", "options": {"hidden": [64], "dropout": 0.2}},
    "training": {"epochs": 12, "batchSize": 32, "checkpoint": {"everySteps": 25}},
    "export": {"formats": ["safetensors"]},  # nobody looks at model.onnx here, and it takes seconds
    "workers": TWO_BY_TWO,
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 11,
}
PLACES = """
import os
from headway_trainer import data_batches

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK")

def train():
    rows = sum(len(batch.x) for batch in data_batches("train", 32, epoch=1))
    print("at", *(os.environ[name] for name in NAMES), rows, os.environ["HEADWAY_POD_NAME"], flush=True)
"""


@pytest.mark.long
def test_two_pods_of_two_processes_that_are_killed_end_with_the_weights_of_a_run_that_was_not(tmp_path: Path) -> None:
    whole = _run_here(tmp_path)
    with Pods(tmp_path, SPEC) as pods:
        pods.start_all()
        pods.wait_for_checkpoint(50)
        pods.kill("worker-1")
        pods.start("worker-2")
        reached = pods.wait_for_checkpoint(max(_steps(pods)) + 1)
        os.kill(pods.training_pid("worker-0"), signal.SIGKILL)  # one of the two in this pod
        assert pods.wait("head") == 0, pods.log("head")
        outcome = pods.outcome()
    assert outcome.outcome == "Succeeded"
    assert outcome.resumed_from_step is not None
    assert outcome.resumed_from_step >= reached
    assert (pods.store / "model.safetensors").read_bytes() == whole.read_bytes()


def test_ranks_of_a_pod_follow_each_other_and_a_pod_that_is_too_many_gets_none(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLACES)
    own = {"data": SPEC["data"], "code": {"configMap": {"name": "mine"}}, "training": {"entrypoint": "mine:train"}}
    with Pods(tmp_path, {**own, "workers": TWO_BY_TWO}, code=tmp_path) as pods:
        pods.start_all()
        pods.start("worker-2")  # as a replacement that is there before the pod that it replaces is gone
        assert pods.wait("head") == 0, pods.log("head")
        for index in range(3):
            pods.wait(f"worker-{index}")  # their last lines are on the storage then
        folder = pods.store / "logs/attempt-1"
        told = [(folder / f"rank-{rank}.log").read_text() for rank in range(4)]
    words = [line.split()[1:] for text in told for line in text.splitlines() if line.startswith("at ")]
    places = [[int(word) for word in line[:5]] for line in words]
    assert places == [[rank, 4, rank % 2, 2, rank // 2] for rank in range(4)], "as torchrun would have it"
    assert sum(int(line[5]) for line in words) == 1258, "each row on one rank"
    by_node = {line[4]: line[6] for line in words}
    assert len(set(by_node.values())) == 2, "a node's number is a pod's"
    assert all(by_node[line[4]] == line[6] for line in words)


def _steps(pods: Pods) -> list[int]:
    return [int(name.split("-")[1]) for name in pods.checkpoints()]


def _run_here(tmp_path: Path) -> Path:
    """The weights of the same job by `headway run` on Ray as it is, which nothing happens to."""
    job = {"apiVersion": "headway.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "whole"}, "spec": SPEC}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = headway("run", str(tmp_path / "job.yaml"), "--output", str(tmp_path / "whole"), HEADWAY_STOCK_RAY="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on 2 workers of 2 processes" in done.stdout
    return tmp_path / "whole" / "model.safetensors"
