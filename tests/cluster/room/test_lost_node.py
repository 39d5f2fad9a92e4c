"""The last test of this folder: what the node that went at its beginning has led to."""

from __future__ import annotations

import pytest

from cluster.room.conftest import Room

pytestmark = pytest.mark.cluster


def test_a_node_that_is_gone_takes_its_pod_and_the_next_attempt_runs_elsewhere(room: Room) -> None:
    room.until("the loss", lambda: room.status("lost").get("attempt") == 2, within=180)
    status = room.phase("lost", "Running")
    assert {cause: count for cause, count in status["failures"].items() if count} == {"nodeLost": 1}
    first = status["attempts"][0]
    assert first["cause"] == "NodeLost"
    assert f"kubectl describe node {first['node']}" in first["message"]
