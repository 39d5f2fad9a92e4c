"""The first second of a pod: nothing that looks like a fault where there is none, and an end at any moment."""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness import ROOT, Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENDS_WITHIN_SECONDS = 15.0
"""Of 120 seconds of grace. The kubelet and a busy machine take most of it."""


def pod_of(headway: Cluster, namespace: str, role: str) -> dict[str, Any] | None:
    """The pod of this role whose container runs, as soon as it does."""
    for pod in headway.items("pods", "-n", namespace, "-l", f"headway.dev/role={role}"):
        if any("running" in one["state"] for one in pod["status"].get("containerStatuses", [])):
            return pod
    return None


def test_a_healthy_start_has_no_warnings_and_its_logs_are_where_the_status_says(digits: str, headway: Cluster) -> None:
    events = headway.items("events", "-n", digits, "--field-selector", "type=Warning")
    pods = [one for one in events if one["involvedObject"]["kind"] == "Pod"]
    assert [f"{one['reason']}: {one.get('message', '')}" for one in pods] == []
    (attempt,) = headway.get("trainingjob", "digits", "-n", digits)["status"]["attempts"]
    assert attempt["logs"].startswith("/mnt/headway/storage/")
    assert attempt["logs"].endswith("/logs/attempt-1")


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_pod_that_is_deleted_in_its_first_second_ends_in_seconds(role: str, headway: Cluster, namespace: str) -> None:
    headway.apply((ROOT / "examples/digits.yaml").read_text(), namespace)
    pod = headway.wait("its container runs", lambda: pod_of(headway, namespace, role), within=120, every=0.05)
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    began = time.monotonic()
    headway.kubectl("delete", "pod", name, "-n", namespace, "--wait=false")

    def gone() -> bool:
        found = headway.kubectl("get", "pod", name, "-n", namespace, "-o", "jsonpath={.metadata.uid}", check=False)
        return bool(found != uid)

    headway.wait("the pod gone", gone, within=100, every=0.1)
    assert time.monotonic() - began < ENDS_WITHIN_SECONDS
