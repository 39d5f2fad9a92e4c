"""Gangs that do not all fit: whoever cannot have all gives back what it has, and in the end each has its turn."""

from __future__ import annotations

import json
import time

import pytest

from cluster.room.conftest import Room
from harness import PATIENCE

pytestmark = pytest.mark.cluster

GATE = "test.headway.dev/not-yet"


def gated(room: Room, *names: str) -> list[str]:
    """The pods of these jobs that the scheduler may not look at."""
    pods = [pod for name in names for pod in room.pods(name)]
    return [pod["metadata"]["name"] for pod in pods if pod["spec"].get("schedulingGates")]


def let_in(room: Room, *names: str) -> None:
    """Let the scheduler look at all pods of these jobs."""
    for pod in gated(room, *names):
        patch = json.dumps([{"op": "remove", "path": "/spec/schedulingGates"}])
        room.cluster.kubectl("patch", "pod", pod, "--type=json", "-p", patch, check=False)


def groups(room: Room, *names: str) -> set[str]:
    """The PodGroups of these jobs."""
    found = room.cluster.items("podgroups", "-l", f"headway.dev/job in ({','.join(names)})")
    return {group["metadata"]["name"] for group in found}


def finish_all(room: Room, *names: str, within: float = PATIENCE) -> list[str]:
    """End each job's driver with success when it runs, until all have succeeded; the order in which they ran."""
    order: list[str] = []
    deadline = time.monotonic() + within
    while len(order) < len(names):
        assert time.monotonic() < deadline, {name: room.status(name) for name in names}
        let_in(room, *names)
        for name in names:
            status = room.status(name)
            if name not in order and status.get("phase") == "Running":
                order.append(name)
                room.end_driver(name, "Succeeded", attempt=status["attempt"])
        time.sleep(0.2)
    for name in names:
        room.phase(name, "Succeeded")
    return order


def test_two_gangs_that_hold_half_each_give_it_back_and_both_finish(room: Room) -> None:
    """Each head takes one of the two nodes, each worker wants the other's: nobody can begin, for ever."""
    one, other = "left", "right"
    part = {"resources": {"cpu": "10m", "memory": "64Mi", "gpu": 8}}
    place = {"nodeSelector": {"pool": "pair"}}
    for name in (one, other):
        room.submit(
            name,
            head={**part, "template": {"spec": place}},
            workers={**part, "template": {"spec": {**place, "schedulingGates": [{"name": GATE}]}}},
            training={"entrypoint": "train:main"},
            scheduling={"gang": "Release", "releaseSeconds": 5},
        )
    room.until("a node for each head", lambda: room.placed(one) == room.placed(other) == 1)
    room.until("a worker of each", lambda: len(gated(room, one, other)) == 2)
    let_in(room, one, other)

    def given_back() -> tuple[str, dict[str, str]] | None:
        conditions = ((name, item) for name in (one, other) for item in room.status(name).get("conditions", ()))
        return next((each for each in conditions if each[1]["reason"] == "GangDoesNotFit"), None)

    waiting, _ = room.until("a release", given_back)
    said = next(item for item in room.status(waiting)["conditions"] if item["type"] == "Scheduled")
    assert (said["status"], said["reason"]) == ("False", "GangDoesNotFit")
    assert "1 of 2 pods" in said["message"]
    assert "asks again at" in said["message"]
    assert "given back" in room.told(waiting, "Released")
    finish_all(room, one, other)
    statuses = [room.status(name) for name in (one, other)]
    assert all("failures" not in status for status in statuses)
    assert sum(status["attempts"][-1]["releases"] for status in statuses) >= 1
    for name in (one, other):
        room.nothing_left(name)


def test_pods_that_cannot_be_one_group_are_not_begun_and_an_edit_mends_it(room: Room) -> None:
    meek = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "meek"}, "value": -1}
    room.cluster.apply(json.dumps(meek))
    room.submit(
        "unequal", workers={"template": {"spec": {"priorityClassName": "meek"}}}, scheduling={"gang": "PodGroup"}
    )
    told = room.told("unequal", "NoPodGroup")
    assert "must have the same priorityClassName" in told
    assert room.left("unequal") == []
    room.edit("unequal", scheduling={"gang": "Release"})
    room.phase("unequal", "Running")
    assert groups(room, "unequal") == set()
    room.cluster.kubectl("delete", "tj", "unequal", "--wait=false")


def test_of_two_pod_groups_one_holds_all_the_other_nothing_and_both_finish(room: Room) -> None:
    names = ("first", "second")
    for name in names:
        room.begin(name, pool="trio", gpu=8, workers=2, scheduling={"gang": "PodGroup", "releaseSeconds": 5})

    def running() -> str | None:
        return next((name for name in names if room.status(name).get("phase") == "Running"), None)

    winner = str(room.until("one of them running", running))
    loser = names[1 - names.index(winner)]
    assert room.placed(loser) == 0
    room.until("what it lacks", lambda: "Insufficient nvidia.com/gpu" in json.dumps(room.status(loser)["conditions"]))
    assert groups(room, *names) == {room.objects("first"), room.objects("second")}
    # A lost worker is replaced within the group, by the node that it leaves.
    room.end_pod(room.worker(winner, 1), 137)
    room.until("the replacement", lambda: room.status(winner)["attempts"][0]["workersReplaced"] == 1)
    room.until("all workers", lambda: room.status(winner)["workers"]["ready"] == 2)
    assert room.placed(loser) == 0, "nothing was ever held by half"
    assert "releases" not in json.dumps(room.status(loser)) or room.status(loser)["attempts"][-1]["releases"] == 0
    assert finish_all(room, *names) == [winner, loser]
    for name in names:
        status = room.status(name)
        assert len(status["attempts"]) == 1, "nobody had to try twice"
        room.nothing_left(name)
    room.until("no PodGroup", lambda: not groups(room, *names))
