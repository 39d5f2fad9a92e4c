"""The first second of a pod: nothing that looks like a fault where there is none, and an end at any moment."""

from __future__ import annotations

import time

import pytest

from harness import ROOT, Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENDS_WITHIN_SECONDS = 25.0
"""Of a grace of 120 seconds for the head and 30 for workers. A head that listens already starts Ray first."""

CLUSTER_IS_LATE = (
    "failed to sync configmap cache: timed out waiting for the condition",
    "failed to sync secret cache: timed out waiting for the condition",
    "no relationship found between node",
    "Node is not ready",
)
"""What a busy machine says of volumes that it mounts seconds later: the kubelet's caches, and the graph of the node
authorizer, learn of a pod after the kubelet did. Of an object that is not there they say "not found". And its kubelet
may tell late that the node is well."""


def test_a_healthy_start_has_no_warnings_and_its_logs_are_where_the_status_says(digits: str, headway: Cluster) -> None:
    events = headway.items("events", "-n", digits, "--field-selector", "type=Warning")
    pods = [one for one in events if one["involvedObject"]["kind"] == "Pod"]
    told = [f"{one['reason']}: {one.get('message', '')}" for one in pods]
    assert [text for text in told if not any(late in text for late in CLUSTER_IS_LATE)] == []
    (attempt,) = headway.get("trainingjob", "digits", "-n", digits)["status"]["attempts"]
    assert attempt["logs"].startswith("/mnt/headway/storage/")
    assert attempt["logs"].endswith("/logs/attempt-1")


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5])
def test_a_pod_that_is_deleted_in_its_first_second_ends_in_seconds(
    seconds: float, headway: Cluster, namespace: str
) -> None:
    headway.apply((ROOT / "examples/digits.yaml").read_text(), namespace)
    headway.wait("its three pods", lambda: headway.items("pods", "-n", namespace)[2:], every=0.05)
    pods = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in headway.items("pods", "-n", namespace)}
    time.sleep(seconds)
    began = time.monotonic()
    headway.kubectl("delete", "pod", *pods.values(), "-n", namespace, "--wait=false")

    def gone() -> bool:
        return not any(pod["metadata"]["uid"] in pods for pod in headway.items("pods", "-n", namespace))

    headway.wait("these pods gone", gone, within=150, every=0.1)
    assert time.monotonic() - began < ENDS_WITHIN_SECONDS
