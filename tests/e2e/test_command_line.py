"""`headway logs` where there is a kubelet: live, over restarts and an attempt's end, by rank, and when no pod is left.

The pods print as a job's do and keep it as the trainer does; the test writes the job's status in the operator's place,
so it knows to the line what there was to show. tests/cluster/test_command_line.py has an operator, and no kubelet.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.paper import crds
from commands import COMMAND, clean_environment
from harness import HACK_CLUSTER, Cluster, run, why_no_cluster
from headway_api import wire
from headway_api.status import TrainingJobStatus

from .conftest import CLAIM
from .steady import job

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
NAMESPACE = "words"
NAME = "talks"
CODE = """
import os, sys, time
folder, attempt = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
for number in range(100_000):
    print(f"line {number} of attempt {attempt}", flush=True)
    if number % 5 == 0:
        for rank in range(2):
            text = "".join(f"step {step} of rank {rank}\\n" for step in range(number + 1))
            with open(f"{folder}/rank-{rank}.tmp", "w") as stream:
                stream.write(text)
            os.replace(f"{folder}/rank-{rank}.tmp", f"{folder}/rank-{rank}.log")
    time.sleep(0.1)
"""


class Stage:
    """A job whose status and pods a test makes."""

    def __init__(self, cluster: Cluster, name: str, image: str) -> None:
        self.cluster, self.name, self.image = cluster, name, image
        self.attempts: list[dict[str, Any]] = []
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.apply(CLAIM, NAMESPACE)
        document = job(NAME, code={"configMap": {"name": "talks"}}, training={"entrypoint": "talks:train"})
        cluster.apply(json.dumps(document), NAMESPACE)
        self.uid = str(cluster.get("tj", NAME, "-n", NAMESPACE)["metadata"]["uid"])

    def folder(self, attempt: int) -> str:
        """Where an attempt's logs are."""
        root = wire.run_folder(wire.STORAGE_VOLUME_DIR, NAMESPACE, NAME, self.uid)
        return wire.below(root, wire.logs_dir(attempt))

    def says(self, phase: str, **more: Any) -> None:
        """Write the status."""
        status = {
            "phase": phase,
            "attempt": len(self.attempts),
            "attempts": self.attempts,
            "storage": {"persistentVolumeClaim": {"name": "models"}},
            **more,
        }
        TrainingJobStatus.model_validate(status)
        patch = json.dumps({"status": status})
        self.cluster.kubectl("patch", "tj", NAME, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)

    def begins(self) -> None:
        """Another attempt begins, and runs."""
        number = len(self.attempts) + 1
        mount = {"name": "storage", "mountPath": wire.STORAGE_VOLUME_DIR}
        container = {
            "name": wire.MAIN_CONTAINER,
            "image": self.image,
            "command": ["python", "-c", CODE, self.folder(number), str(number)],
            "volumeMounts": [mount],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": wire.head_name(NAME, self.uid, number), "labels": {wire.LABEL_JOB: NAME}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
                "volumes": [{"name": "storage", "persistentVolumeClaim": {"claimName": "models"}}],
            },
        }
        self.cluster.apply(json.dumps(pod), NAMESPACE)
        began = {
            "number": number,
            "name": wire.object_name(NAME, self.uid, number),
            "image": self.image,
            "startTime": now(),
            "logs": self.folder(number),
        }
        self.attempts.append(began)
        self.says("Starting")
        self.cluster.kubectl(
            "wait", "--for=condition=Ready", f"pod/{began['name']}-head", "-n", NAMESPACE, "--timeout=120s"
        )
        began["runningTime"] = now()
        self.says("Running")

    def ends(self, phase: str, **more: Any) -> None:
        """The attempt is lost with its pod."""
        self.cluster.kubectl("delete", "pod", f"{self.attempts[-1]['name']}-head", "-n", NAMESPACE, "--now")
        self.attempts[-1] |= {"endTime": now(), "cause": "NodeLost"}
        self.says(phase, **more)


def now() -> str:
    """The time, as the API has it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A cluster with a node and the kinds, and the job on it. Its pods need no more of an image than Python."""
    if os.environ.get("HEADWAY_TEST_KUBECONFIG"):
        pytest.skip("restarts the API server: it has to be a cluster of hack/cluster; unset HEADWAY_TEST_KUBECONFIG")
    if reason := why_no_cluster(node=False):  # there is a node, but not the trainer's image, which takes the disk
        pytest.skip(reason)
    name = f"words-{os.getpid()}"
    image = run(HACK_CLUSTER, "image", "operator", timeout=3600).split()[-1]
    try:
        cluster = Cluster(Path(run(HACK_CLUSTER, "up", "--name", name, timeout=3600).strip()))
        cluster.kubectl("apply", "--server-side", *crds())
        cluster.kubectl("wait", "--for=condition=Established", "crd/trainingjobs.headway.dev", "--timeout=60s")
        yield Stage(cluster, name, image)
    finally:
        run(HACK_CLUSTER, "down", "--name", name)


class Headway:
    """The command, in the job's namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._environment = clean_environment() | {
            "KUBECONFIG": str(cluster.kubeconfig),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }

    def __call__(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        words = (*COMMAND, verb, NAME, "-n", NAMESPACE, *words)
        return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=self._environment)

    @contextmanager
    def writing(self, path: Path, verb: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command that goes on, and writes into a file; beside it, its errors."""
        # A shell has what it puts into the background ignore Ctrl-C, and so what the tests start there; not a user's.
        words = ("env", "--default-signal=INT", *COMMAND, verb, NAME, "-n", NAMESPACE, *words)
        with path.open("wb") as out, path.with_suffix(".errors").open("wb") as errors:
            process = subprocess.Popen(words, stdout=out, stderr=errors, env=self._environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def counted(path: Path, begin: str) -> list[int]:
    """The numbers of the whole lines that begin so."""
    lines = path.read_text().split("\n")[:-1]
    return [int(line.removeprefix(begin).split()[0]) for line in lines if line.startswith(begin)]


def test_logs_are_followed_over_restarts_and_attempts_and_read_when_no_pod_is_left(
    stage: Stage, tmp_path: Path
) -> None:
    headway, cluster = Headway(stage.cluster), stage.cluster
    driver, rank = tmp_path / "driver", tmp_path / "rank"

    def lines_of(attempt: int) -> list[int]:
        told = [line for line in driver.read_text().split("\n")[:-1] if line.endswith(f"of attempt {attempt}")]
        return [int(line.split()[1]) for line in told]

    # It is followed from before there is an attempt.
    with headway.writing(driver, "logs", "-f") as following:
        stage.begins()
        cluster.wait("lines", lambda: len(lines_of(1)) > 20, within=60)
        run(HACK_CLUSTER, "restart", "kube-apiserver", "--name", stage.name)
        seen = len(lines_of(1))
        cluster.wait("lines after the restart", lambda: len(lines_of(1)) > seen + 100, within=120)
        assert lines_of(1) == list(range(len(lines_of(1))))  # each once and in order, those of the restart, too
        with headway.writing(rank, "logs", "--rank", "1", "-f", "--tail", "1") as ranks:
            cluster.wait("lines of rank 1", lambda: len(counted(rank, "[1] step ")) > 30, within=60)
            ranks.send_signal(signal.SIGINT)
            assert ranks.wait(timeout=30) == 130
        numbers = counted(rank, "[1] step ")
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert "Detached: talks goes on in the cluster." in rank.with_suffix(".errors").read_text()
        stage.ends("Running")
        stage.begins()
        cluster.wait("lines of the next attempt", lambda: len(lines_of(2)) > 20, within=60)
        assert lines_of(2) == list(range(len(lines_of(2))))
        failed = {"type": "Failed", "status": "True", "reason": "UserError", "message": "no column y"}
        stage.ends("Failed", conditions=[failed | {"lastTransitionTime": now()}], completionTime=now())
        assert following.wait(timeout=60) == 64

    gone = headway("logs", "--attempt", "1", "--rank", "0")
    assert gone.returncode == 1
    assert "--reader-pod" in gone.stderr
    read = headway("logs", "--attempt", "1", "--rank", "0", "--tail", "3", "--reader-pod")
    assert read.returncode == 0, read.stderr
    assert [line.split()[0:2] for line in read.stdout.splitlines()] == [["[0]", "step"]] * 3
    fetched = headway("logs", "--attempt", "1", "--download", str(tmp_path / "out"), "--reader-pod")
    assert fetched.returncode == 0, fetched.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rank-0.log", "rank-1.log"]
    assert (tmp_path / "out/rank-1.log").read_text().startswith("step 0 of rank 1\nstep 1 of rank 1\n")
    deadline = time.monotonic() + 60
    while cluster.items("pods", "-n", NAMESPACE):
        assert time.monotonic() < deadline, "a reader pod is left"
        time.sleep(0.5)
