"""Trackers are told of real runs: a real server of MLflow, and the reader of TensorBoard's own files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import COMMAND, headway, run_environment
from mlflow_server import Server, running, scalars

pytestmark = pytest.mark.ray

EPOCHS = 40
STEPS_OF_EPOCH = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


def job(folder: Path, server: Server, name: str, **spec: Any) -> Path:
    document = {
        "apiVersion": "headway.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "data": {"source": {"builtin": {"name": "digits"}}},
            "model": {"name": "mlp", "options": {"hidden": [16]}},
            "training": {"epochs": EPOCHS, "batchSize": 64, "checkpoint": {"everySteps": 20}},
            "tracking": {"mlflow": {"uri": server.uri}},
            "export": {"formats": ["safetensors"]},
            **spec,
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def wait_for(happened: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_run_that_is_killed_and_goes_on_is_one_run_with_each_step_once(server: Server, tmp_path: Path) -> None:
    file, folder = job(tmp_path, server, "killed"), tmp_path / "out"
    words = ["run", str(file), "--output", str(folder)]
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=run_environment(),
        start_new_session=True,
    )
    wait_for(lambda: list(folder.glob(".headway/runs/*/tracking/events-0001-*")), process)
    wait_for(lambda: len(list(folder.glob(".headway/runs/*/checkpoints/*/manifest.json"))) > 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = headway(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    (run,) = server.runs("killed")
    steps = [STEPS_OF_EPOCH * epoch for epoch in range(1, EPOCHS + 1)]
    assert server.history(run, "validation/loss") == steps
    assert run["info"]["status"] == "FINISHED"
    assert run["tags"]["headway.attempt"] == "2"
    assert run["params"]["training.batchSize"] == "64"
    assert 0.5 < run["metrics"]["test/accuracy"] <= 1
    (board,) = folder.glob(".headway/runs/*/tensorboard")
    assert [step for step, _ in scalars(board)["validation/loss"]] == steps
