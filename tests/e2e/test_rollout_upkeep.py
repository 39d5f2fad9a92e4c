"""What administrators do while a version has a part of the requests: nodes are drained, Headway is upgraded.

A client in the cluster sends a hundred requests a second all the while, and none may fail.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bent_models
from harness import PATIENCE, ROOT, Cluster

from .conftest import STORAGE, install
from .node import Node
from .rolling import Rolling, served_and_asked

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

SYSTEM = "headway-system"
OPERATORS = ("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator")
FOR_EVER = 3600
MOVABLE = "app.kubernetes.io/component in (model-server, rollout-judge, operator)"


@pytest.fixture(scope="module")
def rolling(headway: Cluster, digits: str, node: Node) -> Iterator[Rolling]:
    """The deployment and its client."""
    with served_and_asked(headway, digits, node) as made:
        yield made


def canary(quarter_seconds: int) -> dict[str, Any]:
    """A rollout that stays at 25 % for so long."""
    seconds = {10: 2, 25: quarter_seconds, 50: 2}
    steps = [{"weight": weight, "minSeconds": least} for weight, least in seconds.items()]
    return {"canary": {"steps": steps, "bakeSeconds": 3}, "analysis": {"minRequests": 30}}


def names(rolling: Rolling, *words: str) -> set[str]:
    """Of pods."""
    return {pod["metadata"]["name"] for pod in rolling.cluster.items(*words)}


def drain(rolling: Rolling) -> str:
    """`kubectl drain`; what it says. The one node takes pods again as soon as it is cordoned, as the next one would."""
    [node] = names(rolling, "nodes")
    words = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector", MOVABLE]
    command = ["kubectl", "--kubeconfig", str(rolling.cluster.kubeconfig), *words, f"--timeout={PATIENCE:.0f}s"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as draining:
        try:
            rolling.wait("cordoned", lambda: rolling.cluster.get("node", node)["spec"].get("unschedulable"))
            rolling.cluster.kubectl("uncordon", node)
            said, _ = draining.communicate(timeout=1.5 * PATIENCE)
        finally:
            draining.kill()
            rolling.cluster.kubectl("uncordon", node)
    assert draining.returncode == 0, said
    return said


def test_every_pod_is_evicted_by_a_drain_and_the_rollout_goes_on(
    rolling: Rolling, measured: Callable[[str, float], None]
) -> None:
    name, before = rolling.next_name(), rolling.status()["champion"]
    model = rolling.model("drained")
    with rolling.no_request_fails(at_least=2000), rolling.watched(name) as seen:
        rolling.roll(model, canary(FOR_EVER))
        rolling.wait("it has a quarter", lambda: 25 in seen.steps())
        servers, others = rolling.pods(before) | rolling.pods(name), names(rolling, *OPERATORS)
        began = seen.now()
        said = drain(rolling)
        measured("drain of both versions' pods, the judge and the operators", seen.now() - began)
        assert len(servers) == 4
        gone = set(re.findall(r"^pod/(\S+) evicted$", said, re.MULTILINE))
        assert servers | others <= gone
        assert any("-judge-" in pod for pod in gone)
        assert seen.steps() == [0, 10, 25], rolling.version(name)
        rolling.roll(model, canary(2))
        rolling.promoted(name)
    assert seen.steps() == [0, 10, 25, 50, 100], "nothing was taken back"
    assert not servers & rolling.pods()


def other_chart(folder: Path) -> Path:
    """The chart with CRDs that differ, so that the API server ends all watches of the two kinds."""
    chart = shutil.copytree(ROOT / "charts/headway", folder / "headway")
    for path in sorted(chart.glob("files/crds/*.yaml")):
        text, changes = re.subn(
            r"^( +description: )(?=[A-Za-z])", r"\1Changed. ", path.read_text(), count=1, flags=re.MULTILINE
        )
        assert changes == 1, path
        path.write_text(text)
    return chart


def requests(rolling: Rolling) -> int:
    """What the judge has told of this step's requests to the new version."""
    counted: int = rolling.status().get("rollout", {}).get("candidateRequests", 0)
    return counted


def test_helm_upgrade_replaces_operator_and_crds_and_the_rollout_goes_on(
    rolling: Rolling, tmp_path: Path, measured: Callable[[str, float], None]
) -> None:
    name, model = rolling.next_name(), rolling.model("upgraded")
    try:
        with rolling.no_request_fails(at_least=2000), rolling.watched(name) as seen:
            rolling.roll(model, canary(FOR_EVER))
            rolling.wait("it has a quarter, and requests", lambda: 25 in seen.steps() and requests(rolling) > 30)
            counted, old, began = requests(rolling), names(rolling, *OPERATORS), seen.now()
            install(rolling.cluster, *STORAGE, "--set", "operator.logLevel=debug", chart=other_chart(tmp_path))
            rolling.wait("other operators", lambda: not old & names(rolling, *OPERATORS))
            assert "Changed. " in rolling.cluster.kubectl("get", "crd", "modeldeployments.headway.dev", "-o", "yaml")
            measured("helm upgrade in the middle of a canary", seen.now() - began)
            rolling.wait("the count goes on", lambda: requests(rolling) > counted)
            assert seen.steps() == [0, 10, 25]
            rolling.roll(model, canary(2))
            rolling.promoted(name)
    finally:
        install(rolling.cluster, *STORAGE)
    assert seen.steps() == [0, 10, 25, 50, 100], "nothing was taken back, and no step was taken twice"


def test_a_verdict_of_a_time_without_an_operator_is_carried_out_by_the_next_one(rolling: Rolling) -> None:
    name, before = rolling.next_name(), rolling.status()["champion"]
    # Some two requests a second, of which half fail: enough for a verdict after the operators have gone.
    steps = {"canary": {"steps": [{"weight": 2, "minSeconds": 60}]}, "analysis": {"minRequests": 30}}
    try:
        with rolling.no_request_fails(at_least=1000), rolling.watched(name) as seen:
            rolling.roll(rolling.model("failing", bent_models.failing(0.5)), steps)
            rolling.wait("it has a share", lambda: 2 in seen.steps())
            rolling.cluster.kubectl("scale", "deployment", "headway", "-n", SYSTEM, "--replicas=0")
            rolling.cluster.kubectl("delete", *OPERATORS, "--grace-period=1")
            assert seen.failed is None, "no verdict so far"
            rolling.wait("a verdict", lambda: seen.failed is not None)
            rolling.wait("servers hand nothing over", lambda: set(shares(rolling, before)) == {0.0})
            assert rolling.status()["rollout"]["version"] == name, "nobody has written that it is rejected"
            install(rolling.cluster, *STORAGE)
            said = rolling.taken_back(name)
    finally:
        install(rolling.cluster, *STORAGE)
    assert said["reason"] == "ErrorRate"
    assert rolling.status()["champion"] == before
    assert seen.steps() == [0, 2, 0]


def shares(rolling: Rolling, version: str) -> list[float]:
    """What each server of a version says that it hands over."""
    found = []
    for pod in rolling.items("pods", "-l", f"headway.dev/version={version.rpartition('-')[2]}"):
        url = f"http://{pod['status']['podIP']}:8081/metrics"
        ask = f'import sys, urllib.request as u; print(u.urlopen("{url}").read().decode())'
        told = re.findall(
            r"^headway_server_route_share\S* (\S+)$", rolling.in_client(f"python -c '{ask}'"), re.MULTILINE
        )
        found += [float(share) for share in told]
    return found
