"""What goes wrong on a real node, by its name: hostile code in real pods, images that do not exist, too little memory.

The jobs run side by side, a few at a time; each test looks at what one of them has left. Those that take minutes run
only if a long test asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from harness import Cluster, NotYetError

from .conftest import made_namespace
from .node import Node
from .steady import config_map, job, wait_until_nothing_is_left

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

CODE = """
import os
import signal
import subprocess
import time

from ray import train


def takes_too_much_memory(_):
    taken = []
    while True:
        taken.append(bytearray(b"x") * 2**24)


def leaves(_):
    os._exit(0)


def forks(_):
    children = []
    while True:
        children.append(subprocess.Popen(["sleep", "600"]))


def talks(_):
    line, until = "x" * 8191, time.monotonic() + 8
    while time.monotonic() < until:
        began = time.monotonic()
        for _ in range(640):
            print(line)
        time.sleep(max(0, 0.1 - (time.monotonic() - began)))
    train.report({"talked": 1})


def fills_shared_memory(_):
    with open("/dev/shm/mine", "wb") as file:
        while True:
            file.write(bytes(2**24))


def is_deaf(_):
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    train.report({"deaf": 1})
    time.sleep(3600)


def stands_still(_):
    train.report({"step": 1})
    time.sleep(3600)
"""
ONCE = {"infrastructure": 0, "internal": 2, "preempted": 0}
"""What an attempt ends of is what the job ends of, but for a Ray that does not come up on a busy machine."""


@dataclass(frozen=True)
class Ended:
    """What a finished job has left."""

    job: dict[str, Any]
    events: list[dict[str, Any]]
    story: str
    most_bytes: int
    """What its pods had on the node's disk at most."""

    @property
    def attempt(self) -> dict[str, Any]:
        """Its last attempt."""
        attempt: dict[str, Any] = self.job["status"]["attempts"][-1]
        return attempt

    def told(self) -> tuple[str, str]:
        """The cause and the sentence, which the condition and an Event have to say, too."""
        attempt, status = self.attempt, self.job["status"]
        assert status["phase"] == "Failed", self.story
        failed = next(one for one in status["conditions"] if one["type"] == "Failed")
        assert failed["reason"] == attempt["cause"]
        assert attempt["message"][:60] in failed["message"]
        said = [event["note"] if "note" in event else event["message"] for event in self.events]
        assert any(attempt["cause"] in text for text in said), said
        return attempt["cause"], attempt["message"]


def _mine(function: str, **spec: Any) -> dict[str, Any]:
    name = function.replace("_", "-")
    training = {"entrypoint": f"mine:{function}"}
    return job(name, code={"configMap": {"name": "mine"}}, training=training, retry=ONCE, **spec)


def _quick() -> list[dict[str, Any]]:
    return [_mine("takes_too_much_memory", memory="1Gi"), _mine("leaves")]


def _long() -> list[dict[str, Any]]:
    image = job(
        "image", image="registry.headway.local:5000/no-such-image:1", training={"entrypoint": "a:b"}, retry=ONCE
    )
    return [
        image,
        _mine("stands_still", progressDeadlineSeconds=30),
        _mine("is_deaf"),
        _mine("talks"),
        _mine("forks"),
        _mine("fills_shared_memory", memory="1Gi"),
    ]


@dataclass(frozen=True)
class All:
    """All jobs of this module, under way or finished."""

    namespace: str
    under_way: dict[str, Future[Ended]]

    def ended(self, name: str) -> Ended:
        """What a job has left."""
        return self.under_way[name].result()


AT_A_TIME = 3


@pytest.fixture(scope="module")
def jobs(request: pytest.FixtureRequest, headway: Cluster, node: Node) -> Iterator[All]:
    """All jobs that the tests of this run ask for, some at a time."""
    here = [item for item in request.session.items if item.path == request.path]
    documents = [*_long(), *_quick()] if any(item.get_closest_marker("long") for item in here) else _quick()
    with made_namespace(headway) as namespace, ThreadPoolExecutor(AT_A_TIME) as pool:
        headway.apply(json.dumps(config_map("mine", mine=CODE)), namespace)

        def run(document: dict[str, Any]) -> Ended:
            name = document["metadata"]["name"]
            headway.apply(json.dumps(document), namespace)
            if name == "is-deaf":
                _end_once_deaf(headway, name, namespace)
            most = _wait_for_end(headway, node, name, namespace)
            finished = headway.get("tj", name, "-n", namespace)
            events = headway.items("events", "-n", namespace, "--field-selector", f"involvedObject.name={name}")
            return Ended(finished, events, headway.story(name, namespace), most)

        yield All(namespace, {one["metadata"]["name"]: pool.submit(run, one) for one in documents})


def _wait_for_end(headway: Cluster, node: Node, name: str, namespace: str) -> int:
    """Wait for the job's end; what its pods had on the node's disk at most."""
    sizes = [0]

    def ended() -> bool:
        sizes.append(node.bytes_written(namespace, name))
        phase = headway.get("tj", name, "-n", namespace).get("status", {}).get("phase")
        return phase in ("Succeeded", "Failed")

    try:
        headway.wait(f"the end of {name}", ended, within=420, every=1)
    except NotYetError as error:
        raise NotYetError(f"{error}\n{headway.story(name, namespace)}") from None
    return max(sizes)


def _end_once_deaf(headway: Cluster, name: str, namespace: str) -> None:
    """Give the job a deadline that is over, as soon as its code hears nothing any more."""

    def deaf() -> bool:
        status = headway.get("tj", name, "-n", namespace).get("status", {})
        return "deaf" in status.get("progress", {}).get("metrics", {}) or status.get("phase") == "Failed"

    headway.wait("deaf code", deaf, within=300)
    patch = json.dumps({"spec": {"activeDeadlineSeconds": 1}})
    headway.kubectl("patch", "tj", name, "-n", namespace, "--type=merge", "-p", patch)


@pytest.mark.long
def test_an_image_that_does_not_exist(jobs: All) -> None:
    cause, message = jobs.ended("image").told()
    assert cause == "ImagePull"
    assert "no-such-image" in message


def test_code_that_takes_more_memory_than_its_pod_has(jobs: All) -> None:
    cause, message = jobs.ended("takes-too-much-memory").told()
    assert cause == "OutOfMemory"
    assert "workers.resources.memory" in message


@pytest.mark.long
def test_code_that_stands_still(jobs: All) -> None:
    cause, message = jobs.ended("stands-still").told()
    assert cause == "Hang"
    assert "progressDeadlineSeconds" in message


def test_code_that_leaves_with_code_0_is_no_success(jobs: All) -> None:
    cause, message = jobs.ended("leaves").told()
    assert cause == "UserError"
    assert "mine.py:" in message
    assert "in leaves called os._exit(0)" in message


@pytest.mark.long
def test_code_that_forks_without_end_meets_the_limit_of_its_pod(jobs: All) -> None:
    cause, message = jobs.ended("forks").told()
    assert cause == "UserError"
    assert "processes" in message


@pytest.mark.long
def test_code_that_fills_the_shared_memory(jobs: All) -> None:
    cause, message = jobs.ended("fills-shared-memory").told()
    assert cause == "OutOfMemory"
    assert "workers.resources.memory" in message


@pytest.mark.long
def test_code_that_prints_fifty_megabytes_a_second_fills_no_disk(jobs: All) -> None:
    ended = jobs.ended("talks")
    assert ended.job["status"]["phase"] == "Succeeded", ended.story
    assert 0 < ended.most_bytes < 150 * 2**20


@pytest.mark.long
def test_code_that_hears_no_signal_is_gone_in_time(jobs: All, headway: Cluster) -> None:
    ended = jobs.ended("is-deaf")
    cause, message = ended.told()
    assert cause == "DeadlineExceeded"
    assert "activeDeadlineSeconds" in message
    wait_until_nothing_is_left(headway, jobs.namespace, "is-deaf")


def test_the_node_and_the_operator_are_well_afterwards(jobs: All, headway: Cluster, node: Node) -> None:
    names = list(jobs.under_way)
    for name in names:
        jobs.ended(name)
    wait_until_nothing_is_left(headway, jobs.namespace, *names)
    headway.wait("a healthy node and operator", lambda: not node.healthy())
    restarts = [
        container["restartCount"]
        for pod in headway.items("pods", "-n", "headway-system")
        for container in pod["status"]["containerStatuses"]
    ]
    assert max(restarts) == 0
