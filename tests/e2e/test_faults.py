"""What may happen to a job that trains on a real node: each time training goes on, and the status tells the truth.

One job is hurt in one way after the other; each test needs nothing but that it trains.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from harness import Cluster

from .conftest import made_namespace
from .node import Node
from .steady import Watched, wait_until_nothing_is_left

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

Measured = Callable[[str, float], None]
FIRST_STEP = "kubectl apply -> first step, 2 workers (for comparison)"


@pytest.fixture(scope="module")
def victim(headway: Cluster, node: Node, measured: Measured) -> Iterator[Watched]:
    """A job of two workers that trains for longer than any test takes, with a checkpoint each second."""
    with made_namespace(headway) as namespace:
        watched = Watched(node, namespace, "victim", workers=2, retry={"infrastructure": 50, "preempted": 50})
        measured(FIRST_STEP, watched.wait_for_training() - watched.applied)
        yield watched


def test_a_killed_worker_is_replaced_and_at_most_one_interval_is_lost(victim: Watched, measured: Measured) -> None:
    victim.wait_for_training()
    before = victim.status()
    newest = max(victim.checkpoints())
    fault = victim.node.signal(victim.pod("worker"), signal.SIGKILL)
    measured("worker's process killed (SIGKILL)", victim.wait_for_new_processes(fault))
    _same_attempt_resumed(victim, before["attempts"][-1], newest)


@pytest.mark.long
def test_a_deleted_worker_pod_is_replaced_and_at_most_one_interval_is_lost(victim: Watched, measured: Measured) -> None:
    victim.wait_for_training()
    before = victim.status()
    newest = max(victim.checkpoints())
    pod = victim.pod("worker")["metadata"]["name"]
    fault = time.time()
    victim.cluster.kubectl("delete", "pod", pod, "-n", victim.namespace, "--force", "--grace-period=0", "--wait=false")
    measured("worker pod deleted (--force)", victim.wait_for_new_processes(fault))
    _same_attempt_resumed(victim, before["attempts"][-1], newest)


def _same_attempt_resumed(victim: Watched, before: dict[str, object], newest: int) -> None:
    """The attempt goes on: one worker more was replaced, from no older checkpoint than the newest before the fault."""
    replaced = int(str(before.get("workersReplaced", 0))) + 1

    def told() -> dict[str, object] | None:
        attempt = victim.status()["attempts"][-1]
        counted = attempt.get("workersReplaced", 0) >= replaced
        return attempt if counted and attempt.get("resumedFromStep", -1) >= newest else None

    attempt = victim.cluster.wait("the replaced worker in the status", told)
    assert attempt["number"] == before["number"]
    assert attempt["workersReplaced"] == replaced
    assert 0 <= int(str(attempt["stepsLost"])) <= victim.every
    assert "WorkerReplaced" in _told(victim)


def _told(victim: Watched) -> set[str]:
    """The reasons of all Events so far."""
    return {event["reason"] for event in victim.cluster.items("events", "-n", victim.namespace)}


@pytest.mark.long
def test_pods_live_on_while_containerd_is_restarted(victim: Watched) -> None:
    victim.wait_for_training()
    before = victim.status()["attempts"][-1]
    processes = {step.process for step in victim.steps()[-8:]}
    fault = time.time()
    victim.node.order("kill", "containerd")
    victim.wait_for_steps_after(time.time() + 3)
    victim.node.order("start", "containerd")
    victim.wait_for_steps_after(time.time() + 3)
    assert {step.process for step in victim.steps() if step.at > fault} == processes
    words = ("exec", "-n", victim.namespace, victim.pod("head")["metadata"]["name"], "--", "true")
    victim.cluster.wait("the kubelet reaches its containers", lambda: _works(victim, *words))
    after = victim.status()["attempts"][-1]
    assert after["number"] == before["number"]
    assert after.get("workersReplaced", 0) == before.get("workersReplaced", 0)


def _works(victim: Watched, *words: str) -> bool:
    try:
        victim.cluster.kubectl(*words)
    except AssertionError:
        return False
    return True


def test_a_killed_head_costs_an_attempt_and_the_next_resumes(victim: Watched, measured: Measured) -> None:
    victim.wait_for_training()
    before = victim.status()["attempts"][-1]["number"]
    newest = max(victim.checkpoints())
    fault = victim.node.signal(victim.pod("head"), signal.SIGKILL)
    measured("head's process killed (SIGKILL)", victim.wait_for_new_processes(fault))
    ended = victim.wait_for_attempt(before, "endTime")
    assert (ended["cause"], ended["exitCode"]) == ("Internal", 137)
    assert "SIGKILL" in ended["message"]
    assert "AttemptFailed" in _told(victim)
    attempt = victim.wait_for_attempt(before + 1, "resumedFromStep")
    assert attempt["resumedFromStep"] >= newest
    assert 0 <= attempt["stepsLost"] <= victim.every


@pytest.mark.long
def test_a_deadline_ends_the_job_after_a_checkpoint_and_leaves_nothing(victim: Watched) -> None:
    victim.wait_for_training()
    victim.edit(activeDeadlineSeconds=1)
    status = victim.wait_for_phase("Failed")
    last = status["attempts"][-1]
    assert last["cause"] == "DeadlineExceeded"
    assert "raise it" in last["message"]
    assert status["checkpoint"]["step"] == status["progress"]["step"] == max(victim.checkpoints())
    wait_until_nothing_is_left(victim.cluster, victim.namespace, victim.name)
    assert "Failed" in _told(victim)
    assert victim.node.healthy() == []
