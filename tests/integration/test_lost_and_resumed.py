"""Real Ray over several processes: what is killed goes on, with the weights of a run that was never killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from headway_api import wire
from pods import Pods

pytestmark = pytest.mark.ray

SPEC: dict[str, Any] = {
    "data": {"source": {"builtin": {"name": "digits"}}},
    "model": {"name": "mlp", "options": {"hidden": [64], "dropout": 0.2}},
    "training": {
        "epochs": 30,
        "batchSize": 32,
        "optimizer": {"lr": 0.002},
        "schedule": {"name": "cosine", "warmupSteps": 20},
        "clip": {"norm": 1.0},
        "earlyStopping": {"metric": "validation/loss", "patience": 4},
        "checkpoint": {"everySteps": 25},
    },
    "export": {"formats": ["safetensors"]},  # nobody looks at model.onnx here, and it takes seconds
    "workers": {"replicas": 2, "resources": {"cpu": "300m", "memory": "2Gi"}},
    "scheduling": {"startupDeadlineSeconds": 300},
    "seed": 11,
}


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The store of a run that nothing happened to."""
    root = tmp_path_factory.mktemp("whole")
    with Pods(root, SPEC) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        assert pods.wait("worker-0") == 0, pods.log("worker-0")
        assert pods.outcome().outcome == "Succeeded"
    yield pods.store
    shutil.rmtree(root)


def test_a_job_that_is_killed_at_random_steps_again_and_again_ends_with_the_same_weights(
    tmp_path: Path, never_killed: Path
) -> None:
    chance = random.Random(os.environ.get("SEED", "0"))  # noqa: S311 - moments, not secrets
    with Pods(tmp_path, SPEC) as pods:
        pods.start_all()
        pods.wait_for_checkpoint(chance.randint(1, 100))
        os.kill(pods.training_pid(f"worker-{chance.randint(0, 1)}"), signal.SIGKILL)
        pods.wait_for_checkpoint(chance.randint(125, 200))
        time.sleep(chance.random())  # anywhere between two saves, or in one
        pods.kill("head")
        assert pods.wait("worker-0") == 0, pods.log("worker-0")
    with Pods(tmp_path, SPEC, attempt=2) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        outcome = pods.outcome()
    assert outcome.resumed_from_step is not None
    assert outcome.resumed_from_step >= 125
    assert outcome.steps_lost is not None
    assert _weights(pods.store) == _weights(never_killed)


def test_sigterm_takes_a_checkpoint_and_the_next_attempt_goes_on(tmp_path: Path, never_killed: Path) -> None:
    with Pods(tmp_path, SPEC) as pods:
        pods.start_all()
        pods.wait_for_checkpoint(100)
        pods.terminate("head")
        assert pods.wait("head") == 143, pods.log("head")
        outcome = pods.outcome()
        assert outcome.outcome == "Interrupted"
        assert outcome.checkpoint is not None
        assert outcome.checkpoint.step == outcome.progress.step
    with Pods(tmp_path, SPEC, attempt=2) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
        again = pods.outcome()
    assert again.resumed_from_step == outcome.checkpoint.step
    assert again.steps_lost == 0
    assert _weights(pods.store) == _weights(never_killed)


def test_a_lost_worker_is_replaced_and_the_same_attempt_goes_on(tmp_path: Path, never_killed: Path) -> None:
    with Pods(tmp_path, SPEC) as pods:
        pods.start_all()
        pods.wait_for_checkpoint(100)
        pods.kill("worker-1")
        pods.start("worker-2")
        assert pods.wait("head") == 0, pods.log("head")
        outcome = pods.outcome()
    assert outcome.outcome == "Succeeded"
    assert outcome.resumed_from_step is not None
    assert outcome.resumed_from_step >= 100
    assert _weights(pods.store) == _weights(never_killed)


@pytest.mark.long
def test_a_worker_that_is_told_to_go_leaves_a_checkpoint_of_that_moment(tmp_path: Path) -> None:
    # Passes of a second or two: the request comes within one of them.
    rarely = {"everySteps": 100_000, "keepLast": 100, "keepBest": 2}
    training = SPEC["training"] | {"epochs": 5, "batchSize": 2, "checkpoint": rarely}
    with Pods(tmp_path, SPEC | {"training": training}) as pods:
        pods.start_all()
        pods.wait_for_checkpoint(1)
        pods.terminate("worker-1")
        assert pods.wait("worker-1") == 143, pods.log("worker-1")
        pods.start("worker-2")
        assert pods.wait("head") == 0, pods.log("head")
        assert pods.outcome().outcome == "Succeeded"
        manifests = [json.loads(path.read_text()) for path in (pods.store / "checkpoints").glob("*/manifest.json")]
        assert [one["step"] for one in manifests if one["batch"]], "only a request is answered within an epoch"


@pytest.mark.long
def test_a_process_that_dies_while_the_ranks_join_is_replaced(tmp_path: Path, never_killed: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "sitecustomize.py").write_text(DIES_AS_IT_JOINS.format(once=str(tmp_path / "died")))
    with Pods(tmp_path, SPEC, code=code) as pods:
        pods.start_all()
        assert pods.wait("head") == 0, pods.log("head")
    assert (tmp_path / "died").exists()
    assert "At least one of the worker actors failed to initialize" in pods.log("head")
    assert _weights(pods.store) == _weights(never_killed)


DIES_AS_IT_JOINS = """
import os, signal, sys

def die(event, arguments):
    # The address of rank 0 is the first thing that a rank learns when it joins.
    if event == "os.putenv" and arguments[0] == b"MASTER_ADDR":
        try:
            os.close(os.open({once!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
"""


def test_a_worker_that_is_told_to_go_while_it_joins_a_head_that_is_gone_does_not_wait_for_ray(tmp_path: Path) -> None:
    with Pods(tmp_path, SPEC) as pods, socket.create_server(pods.head_address) as head:
        head.settimeout(60)
        pods.start("worker-0")
        looks, joins = head.accept(), head.accept()
        for connection, _ in (looks, joins):
            connection.close()
        head.close()
        pods.terminate("worker-0")
        assert pods.wait("worker-0") == wire.EXIT_INTERRUPTED, pods.log("worker-0")
        assert "told to stop before it had joined" in pods.log("worker-0")


@pytest.mark.long  # test_hostile_code.py has a frozen process that is found sooner
def test_a_worker_that_freezes_ends_the_attempt_as_a_hang_and_the_driver_is_gone(tmp_path: Path) -> None:
    training = SPEC["training"] | {"epochs": 10_000, "earlyStopping": None}
    with Pods(tmp_path, SPEC | {"training": training, "progressDeadlineSeconds": 30}) as pods:
        pods.start_all()
        pods.wait_for_checkpoint(200)
        frozen = pods.training_pid("worker-1")
        os.kill(frozen, signal.SIGSTOP)
        assert pods.wait("head") == 70, pods.log("head")
        outcome = pods.outcome()
        assert pods.wait("worker-0") == 0, pods.log("worker-0")
    assert (outcome.outcome, outcome.cause) == ("Failed", "Hang")
    assert f"pid {frozen}) did not answer" in outcome.message
    assert "made no step for 30 seconds" in outcome.message
    assert outcome.checkpoint is not None
    assert outcome.checkpoint.step >= 25, "told before"


def _weights(store: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(store / "model.safetensors").items()}
