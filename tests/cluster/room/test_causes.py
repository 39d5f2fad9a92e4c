"""Each cause as the cluster brings it about: counted by itself, told in a sentence, ended when its budget is spent.

What only a kubelet can do (images that do not come, containers that take too much memory) is played here as the kubelet
would say it, and done for real in tests/e2e.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.room.conftest import Room

pytestmark = pytest.mark.cluster

URGENT = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "urgent"},
    "value": 1000,
}
HUNTER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "hunter"},
    "spec": {
        "priorityClassName": "urgent",
        "nodeSelector": {"pool": "prey"},
        "containers": [
            {"name": "main", "image": "any", "resources": {"limits": {"nvidia.com/gpu": "8"}}},
        ],
    },
}
WORDS: dict[str, dict[str, Any]] = {
    "user": {"cause": "UserError", "code": 1, "message": "ValueError: no column y (train.py:7)"},
    "store": {"cause": "StorageError", "code": 74, "message": "s3://models is read-only: give the Secret write access"},
    "stuck": {"cause": "Hang", "code": 70, "message": "no optimiser step for 1800 s: see the stacks in the log"},
}
"""Jobs whose driver names the cause itself, and how it does."""


NONE = dict.fromkeys(
    (
        "preempted",
        "nodeLost",
        "outOfMemory",
        "outOfDisk",
        "imagePull",
        "unschedulable",
        "storageError",
        "hang",
        "internal",
    ),
    0,
) | {"userError": 0}
"""The counters of a job that has met no failure."""


@pytest.fixture(scope="module")
def play(room: Room) -> Iterator[Room]:
    """All jobs at once; what takes its time is begun at once, too."""
    room.cluster.apply(json.dumps(URGENT))
    room.begin("huge", gpu=64, scheduling={"queueDeadlineSeconds": 10})
    room.begin("prey", pool="prey", gpu=4)
    room.begin("late", activeDeadlineSeconds=8)
    for name in ("drained", "imageless", "hungry"):
        room.begin(name)
    room.begin("crashing", retry={"internal": 1})
    for name in WORDS:
        room.begin(name, retry={"storageError": 0, "hang": 0})
    room.phases(dict.fromkeys(("prey", "drained", "imageless", "hungry", "crashing", *WORDS), "Running"))
    room.cluster.apply(json.dumps(HUNTER))
    yield room
    room.cluster.kubectl("delete", "tj", "huge", "prey", "late", "drained", "imageless", "hungry", "crashing", *WORDS)


@pytest.mark.parametrize("name", WORDS)
def test_what_the_driver_says_is_the_cause_and_a_budget_of_none_ends_the_job(play: Room, name: str) -> None:
    word = WORDS[name]
    play.end_driver(name, "Failed", code=word["code"], cause=word["cause"], message=word["message"])
    failed = play.failed(name)
    assert failed["reason"] == word["cause"]
    assert word["message"] in failed["message"]
    assert "not tried again, as retry." in failed["message"]
    assert word["message"] in play.told(name, "Failed")


def test_an_eviction_is_a_preemption(play: Room) -> None:
    pod = play.head("drained")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}}
    path = f"/api/v1/namespaces/default/pods/{pod}/eviction"
    play.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
    play.until("attempt 2", lambda: play.status("drained").get("attempt") == 2)
    status = play.phase("drained", "Running")
    assert status["failures"] == {**NONE, "preempted": 1}
    assert status["attempts"][0]["cause"] == "Preempted"
    assert "EvictionByEvictionAPI" in status["attempts"][0]["message"]
    assert "Preempted" in play.told("drained", "AttemptFailed")


def test_an_image_that_cannot_come_ends_the_attempt_and_is_tried_again_later(play: Room) -> None:
    waiting = {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse image name"}}
    container = {"name": "main", "image": "a b", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    patch = json.dumps({"status": {"containerStatuses": [container]}})
    play.cluster.kubectl("patch", "pod", play.worker("imageless"), "--subresource=status", "--type=merge", "-p", patch)
    play.phase("imageless", "Pending")
    status = play.status("imageless")
    assert status["attempts"][0]["cause"] == "ImagePull"
    assert "spec.image" in status["attempts"][0]["message"]
    assert status["failures"] == {**NONE, "imagePull": 1}


def test_a_worker_out_of_memory_is_replaced_and_counted_by_itself(play: Room) -> None:
    play.end_pod(play.worker("hungry"), 137, reason="OOMKilled")
    told = play.told("hungry", "WorkerReplaced")
    assert "OutOfMemory" in told
    assert "raise spec.workers.resources.memory" in told
    status = play.until("its counter", lambda: play.status("hungry").get("failures") and play.status("hungry"))
    assert status["failures"] == {**NONE, "outOfMemory": 1}
    assert status["attempt"] == 1


def test_a_crash_too_many_ends_the_job_and_names_the_budget(play: Room) -> None:
    play.end_pod(play.worker("crashing"), 139)
    play.until("a replacement", lambda: play.worker("crashing", 0, 1) in json.dumps(play.pods("crashing")))
    play.until("its count", lambda: play.status("crashing").get("failures", {}).get("internal") == 1)
    play.end_pod(play.worker("crashing", 0, 1), 139)
    failed = play.failed("crashing")
    assert failed["reason"] == "Internal"
    assert "retry.internal allows 1" in failed["message"]


def test_a_job_that_fits_nowhere_waits_until_its_deadline_for_the_queue(play: Room) -> None:
    failed = play.failed("huge")
    assert failed["reason"] == "DeadlineExceeded"
    assert "scheduling.queueDeadlineSeconds, 10 s" in failed["message"]
    assert "Insufficient nvidia.com/gpu" in failed["message"]
    assert "ask for less" in failed["message"]


def test_a_job_that_holds_pods_for_too_long_ends_at_its_deadline(play: Room) -> None:
    failed = play.failed("late")
    assert failed["reason"] == "DeadlineExceeded"
    assert "activeDeadlineSeconds, 8 s" in failed["message"]


def test_a_higher_priority_preempts_and_the_job_runs_again_when_there_is_room(play: Room) -> None:
    play.until("a preemption", lambda: play.status("prey").get("failures", {}).get("preempted"))
    assert play.cluster.get("pod", "hunter")["spec"].get("nodeName")
    play.until("attempt 2", lambda: play.status("prey")["attempt"] >= 2)
    play.until("that it finds no room", lambda: "Insufficient" in json.dumps(play.status("prey")["conditions"]))
    play.cluster.kubectl("delete", "pod", "hunter", "--force", "--grace-period=0")
    status = play.phase("prey", "Running")
    assert {cause for cause, count in status["failures"].items() if count} == {"preempted"}
    assert status["attempts"][0]["cause"] == "Preempted"
    assert "PreemptionByScheduler" in status["attempts"][0]["message"]
