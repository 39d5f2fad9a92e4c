"""The API server and etcd stopped for two minutes: pods go on without them, and what they say meanwhile is kept."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

import pytest

from harness import Cluster

from .node import Node
from .steady import WAITING, Watched, config_map, wait_until_nothing_is_left, waiting

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1200)]

OUTAGE_SECONDS = 120.0


def test_an_outage_of_the_control_plane_costs_no_step_and_no_outcome(
    headway: Cluster, node: Node, namespace: str, measured: Callable[[str, float], None]
) -> None:
    headway.apply(json.dumps(config_map("waiting", waiting=WAITING)), namespace)
    headway.apply(json.dumps(waiting("ends")), namespace)
    headway.apply(json.dumps(waiting("raises", raises=True)), namespace)
    trains = Watched(node, namespace, "trains")
    trains.wait_for_training()
    for name in ("ends", "raises"):
        _wait_for_report(headway, name, namespace)
    volume, before = node.volume(namespace), trains.status()

    began = time.time()
    node.order("kill", "kube-apiserver")
    node.order("kill", "etcd")
    try:
        for name in ("ends", "raises"):
            (volume / f"{name}.end").touch()
        time.sleep(OUTAGE_SECONDS - (time.time() - began))
    finally:
        node.order("start", "etcd")
        node.order("start", "kube-apiserver")
    back = time.time()
    headway.wait("the API server", lambda: headway.kubectl("get", "--raw", "/readyz", check=False) == "ok")

    told = headway.finished("ends", namespace, within=180)["status"]
    assert told["phase"] == "Succeeded"
    assert told["result"]["metrics"]["answer"] == "42"
    failed = headway.finished("raises", namespace, within=180)["status"]
    measured("API server back -> both outcomes of the outage in the status (no step)", time.time() - back)
    assert [one["cause"] for one in failed["attempts"]] == ["UserError"]
    assert "the moon is in the wrong house" in failed["attempts"][0]["message"]
    _trained_all_along(trains, before, began, back)
    wait_until_nothing_is_left(headway, namespace, "ends", "raises")
    headway.wait("a healthy node and operator", lambda: not node.healthy())


def _wait_for_report(cluster: Cluster, name: str, namespace: str) -> None:
    def reported() -> bool:
        progress = cluster.get("tj", name, "-n", namespace).get("status", {}).get("progress", {})
        return "answer" in progress.get("metrics", {})

    cluster.wait(f"a report of {name}", reported, within=240)


def _trained_all_along(trains: Watched, before: dict[str, object], began: float, back: float) -> None:
    """The same processes did steps all the time; afterwards the status catches up, in the same attempt."""
    during = [step for step in trains.steps() if began - 5 < step.at < back + 5]
    assert len({step.process for step in during}) == 1
    assert max(later.at - one.at for one, later in itertools.pairwise(during)) < 10
    assert len(during) > OUTAGE_SECONDS
    reached = max(trains.checkpoints())
    trains.cluster.wait("progress in the status", lambda: trains.status().get("progress", {}).get("step", 0) >= reached)
    after = trains.status()
    assert after["attempt"] == before["attempt"] == 1
    assert after["attempts"][0].get("workersReplaced", 0) == 0
