"""The operator killed (SIGKILL) at thirteen moments of jobs' lives; each job ends as if nothing had happened.

The operator is a process of this machine here, with the rights of the installed one: so it is killed at the very moment
that a watch shows, and begins again at once, where the kubelet would wait longer each time.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.paper import Operator, Paper
from harness import Cluster

from .node import Node
from .steady import WAITING, config_map, wait_until_nothing_is_left, waiting
from .watching import Watching

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1200)]

SYSTEM = "headway-system"


class Mortal:
    """An operator that is killed and begins again."""

    def __init__(self, paper: Paper, *flags: str) -> None:
        self._paper, self._flags = paper, flags
        self._one_at_a_time = threading.Lock()
        self.moments: list[str] = []
        self.now: Operator = self._begin()

    def dies(self, moment: str) -> None:
        """SIGKILL, and a new process at once."""
        with self._one_at_a_time:
            self._die(moment)

    @contextmanager
    def sleeps_and_dies(self, moment: str) -> Iterator[None]:
        """SIGSTOP, so that it sees and writes nothing of what happens meanwhile; then SIGKILL, and a new process."""
        with self._one_at_a_time:
            self.now.process.send_signal(signal.SIGSTOP)
            yield
            self._die(moment)

    def _die(self, moment: str) -> None:
        self.now.kill()
        self.moments.append(moment)
        self.now = self._begin()

    def _begin(self) -> Operator:
        # The same pod name: a container that starts again need not wait for the Lease.
        return self._paper.start(*self._flags, name="mortal")


@pytest.fixture
def mortal(headway: Cluster, node: Node, tmp_path: Path) -> Iterator[Mortal]:
    """An operator on this machine in place of the installed ones."""
    assert node
    headway.kubectl("scale", "deployment", "headway", "-n", SYSTEM, "--replicas=0")
    headway.kubectl("wait", "pod", "-n", SYSTEM, "--for=delete", "-l", "app.kubernetes.io/component=operator")
    paper = Paper(headway, tmp_path, _as_installed(headway, tmp_path))
    flags = ("--trainer-image", headway.images["trainer"], "--lease-namespace", SYSTEM)
    storage = ("--default-storage-uri", "", "--default-storage-claim", "models")
    try:
        yield Mortal(paper, *flags, *storage)
    finally:
        paper.end_all()
        headway.kubectl("scale", "deployment", "headway", "-n", SYSTEM, "--replicas=2")
        headway.kubectl("rollout", "status", "deployment", "headway", "-n", SYSTEM, "--timeout=120s")


def _as_installed(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig with the rights of the installed operator."""
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.kubectl("create", "token", "headway", "-n", SYSTEM, "--duration=1h").strip()
    document["users"] = [{"name": "operator", "user": {"token": token}}]
    document["contexts"][0]["context"]["user"] = "operator"
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


class Story:
    """One job under an operator that dies."""

    def __init__(self, node: Node, namespace: str, seen: Watching, mortal: Mortal, name: str) -> None:
        self.node, self.namespace, self.seen, self.mortal, self.name = node, namespace, seen, mortal, name

        self.end = node.volume(namespace) / f"{name}.end"
        """While there is such a file, the job's function ends."""

    def apply(self, *, raises: bool = False, **spec: Any) -> None:
        """Apply the job."""
        self.node.cluster.apply(json.dumps(waiting(self.name, raises=raises, **spec)), self.namespace)

    def edit(self, **spec: Any) -> None:
        """Change its spec."""
        words = ("patch", "tj", self.name, "-n", self.namespace, "--type=merge")
        self.node.cluster.kubectl(*words, "-p", json.dumps({"spec": spec}))

    def status(self) -> dict[str, Any]:
        """Its status."""
        return self.seen.status(self.name)

    def pods(self, role: str) -> list[dict[str, Any]]:
        """Its pods of a role."""
        return self.seen.pods(self.name, role)

    def until_phase(self, phase: str) -> dict[str, Any]:
        """Wait for a phase; the status then."""
        self.seen.until(f"{self.name} {phase}", lambda: self.status().get("phase") == phase)
        return self.status()

    def until_reported(self) -> None:
        """Wait until the training function has reported."""
        self.seen.until(f"a report of {self.name}", self._reported)

    def _reported(self) -> bool:
        return "answer" in self.status().get("progress", {}).get("metrics", {})

    def ended(self, number: int) -> dict[str, Any] | None:
        """An attempt that has ended."""
        attempts = self.status().get("attempts", [])
        return next((one for one in attempts if one["number"] == number and "endTime" in one), None)


def succeeds(story: Story) -> None:
    """A job that succeeds while the operator sees nothing of it."""
    seen, name = story.seen, story.name
    seen.until("its first pod", lambda: seen.pods(name))
    story.mortal.dies("a pod has just been created")
    seen.until("its head runs", lambda: any(pod["status"]["phase"] == "Running" for pod in story.pods("head")))
    story.mortal.dies("the head has just begun to run")
    story.until_phase("Running")
    story.mortal.dies("Running has just been written")
    story.until_reported()
    with story.mortal.sleeps_and_dies("between the driver's exit and the status write"):
        story.end.touch()
        seen.until("the driver's end", lambda: _ended(story.pods("head")))
    status = story.until_phase("Succeeded")
    story.mortal.dies("Succeeded has just been written")
    assert [(one["number"], one.get("cause")) for one in status["attempts"]] == [(1, None)]
    assert status["result"]["metrics"]["answer"] == "42"


def fails_twice(story: Story) -> None:
    """A job whose code raises, and may do so once more."""
    story.end.touch()
    first = story.seen.until("the end of attempt 1", lambda: story.ended(1))
    story.mortal.dies("an attempt's end has just been written")
    assert first["cause"] == "UserError"
    story.end.unlink()
    story.seen.until("attempt 2", lambda: story.status().get("attempt") == 2)
    story.until_reported()
    with story.mortal.sleeps_and_dies("between the failed driver's exit and the status write"):
        story.end.touch()
        story.seen.until("the end of the second driver", lambda: _ended(story.pods("head")))
    status = story.until_phase("Failed")
    assert [(one["number"], one["cause"]) for one in status["attempts"]] == [(1, "UserError"), (2, "UserError")]
    assert status["failures"]["userError"] == 2
    assert "the moon is in the wrong house" in status["attempts"][1]["message"]


def is_hurt_and_suspended(story: Story) -> None:
    """A job whose worker is killed, which is suspended, resumed, and deleted."""
    seen, name = story.seen, story.name
    story.until_reported()
    with story.mortal.sleeps_and_dies("a worker was lost and nobody has seen it"):
        story.node.signal(story.pods("worker")[0], signal.SIGKILL)
        seen.until("the worker's end", lambda: _ended(story.pods("worker")))
    seen.until("its replacement", lambda: any(_name(pod).endswith("worker-0-1") for pod in story.pods("worker")))
    story.mortal.dies("a replacement has just been created")
    seen.until("the loss in the status", lambda: story.status()["attempts"][0].get("workersReplaced"))
    story.edit(suspend=True)
    seen.until("the head told to stop", lambda: any("deletionTimestamp" in p["metadata"] for p in story.pods("head")))
    story.mortal.dies("the head has just been told to stop")
    status = story.until_phase("Suspended")
    assert [(one["cause"], one["workersReplaced"]) for one in status["attempts"]] == [("Suspended", 1)]
    story.edit(suspend=False)
    seen.until("the pods of attempt 2", lambda: seen.pods(name))
    story.mortal.dies("a resumed job's first pod has just been created")
    story.until_reported()
    story.until_phase("Running")
    assert story.status()["attempt"] == 2
    with story.mortal.sleeps_and_dies("the job was deleted and nobody has seen it"):
        story.node.cluster.kubectl("delete", "tj", name, "-n", story.namespace)


def _ended(pods: list[dict[str, Any]]) -> bool:
    """Whether one of the pods has ended."""
    return any(pod["status"].get("phase") in ("Succeeded", "Failed") for pod in pods)


def _name(pod: dict[str, Any]) -> str:
    name: str = pod["metadata"]["name"]
    return name


def test_each_job_ends_as_it_should_whenever_the_operator_is_killed(
    headway: Cluster, node: Node, namespace: str, mortal: Mortal
) -> None:
    headway.apply(json.dumps(config_map("waiting", waiting=WAITING)), namespace)
    with Watching(headway, namespace) as seen, ThreadPoolExecutor(3) as pool:
        one, two, three = (Story(node, namespace, seen, mortal, name) for name in ("succeeds", "fails", "is-hurt"))
        with mortal.sleeps_and_dies("the jobs were applied and nobody has looked at them"):
            one.apply()
            two.apply(raises=True, retry={"userError": 1})
            three.apply()
        stories = ((succeeds, one), (fails_twice, two), (is_hurt_and_suspended, three))
        told = [pool.submit(tells, story) for tells, story in stories]
        for each in told:
            each.result()
        assert len(mortal.moments) == 13, mortal.moments
        assert not seen.overlaps
    wait_until_nothing_is_left(headway, namespace, "succeeds", "fails", "is-hurt")
