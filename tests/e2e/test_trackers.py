"""Trackers on a cluster: a real server of MLflow, called by the name of a Service from pods of jobs.

The server runs on this machine. A Service without a selector leads to it, as to any server outside of a cluster, and a
proxy before it wants the token of the job's Secret. The job is that of docs/how-to/track-experiments.md, applied by
kubectl in a namespace that takes restricted pods only. Nothing in a cluster of hack/cluster enforces NetworkPolicies,
so that pods get here says nothing of these: tests/chart/test_tracking_network.py has what they let through.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from commands import COMMAND, clean_environment
from harness import ROOT, Cluster
from headway_cluster.paths import DEFAULT_NAME, Paths
from markdown_blocks import blocks
from mlflow_server import Run, Server, running
from token_gate import Gate

from .conftest import made_namespace
from .node import Node
from .steady import SMALL, Watched

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

PAGE = ROOT / "docs/how-to/track-experiments.md"
NAMESPACE, SERVICE_PORT = "ml", 5000
URI = f"http://mlflow.{NAMESPACE}:{SERVICE_PORT}"
"""As the page has it."""
TOKEN = "t0ken-of-the-tests"  # noqa: S105 - of a server that only this test has
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mlflow"}}
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: mlflow}
spec: {ports: [{name: http, port: 5000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: mlflow-1, labels: {kubernetes.io/service-name: mlflow}}
addressType: IPv4
endpoints: [{addresses: [ADDRESS], conditions: {ready: true}}]
ports: [{name: http, port: PORT, protocol: TCP}]
"""


@dataclass(frozen=True)
class Tracker:
    """The server, and the way to it."""

    server: Server
    gate: Gate


@pytest.fixture(scope="module")
def tracker(headway: Cluster, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:  # noqa: ARG001 - a cluster of ours
    """MLflow at http://mlflow.ml:5000, for pods."""
    machine = Paths(DEFAULT_NAME).host_ip
    with running(tmp_path_factory.mktemp("mlflow"), machine, [f"mlflow.{NAMESPACE}:{SERVICE_PORT}"]) as server:
        gate = Gate(machine, server.uri, TOKEN)
        headway.kubectl("create", "namespace", NAMESPACE)
        headway.apply(SERVICE.replace("ADDRESS", machine).replace("PORT", str(gate.port)), NAMESPACE)
        try:
            yield Tracker(server, gate)
        finally:
            gate.close()
            headway.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def restricted(headway: Cluster) -> Iterator[str]:
    """A namespace that takes pods of the restricted standard only, with the job's Secret."""
    with made_namespace(headway) as name:
        headway.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        headway.apply(json.dumps(SECRET | {"stringData": {"MLFLOW_TRACKING_TOKEN": TOKEN}}), name)
        yield name


def of_the_page(**tracking: Any) -> str:
    """The page's job, in pods for which the tests' node has room."""
    (block,) = [block for block in blocks(PAGE) if block.file == "tracked.yaml"]
    job = yaml.safe_load(block.text)
    assert job["spec"]["tracking"]["mlflow"]["uri"] == URI
    job["spec"] |= {"head": {"resources": SMALL}, "workers": {"resources": SMALL}}
    job["spec"]["tracking"]["mlflow"] |= tracking
    return json.dumps(job)


def assert_each_step_once(server: Server, run: Run, epochs: int) -> None:
    """A point for each epoch, in order."""
    steps = server.history(run, "train/loss")
    assert steps == [steps[0] * epoch for epoch in range(1, epochs + 1)]
    assert server.history(run, "validation/loss") == steps


def test_a_job_of_the_page_is_one_run_with_its_parameters_each_step_once_and_the_final_metrics(
    headway: Cluster, tracker: Tracker, restricted: str
) -> None:
    tracker.gate.open()
    headway.apply(of_the_page(), restricted)
    job = headway.finished("tracked", restricted)
    story = headway.story("tracked", restricted)
    assert job["status"]["phase"] == "Succeeded", story
    assert job["status"].get("warnings", []) == []
    (run,) = tracker.server.runs("digits")
    assert run["info"]["run_name"] == "tracked"
    assert run["info"]["status"] == "FINISHED"
    assert (run["params"]["training.epochs"], run["params"]["model.name"]) == ("10", "mlp")
    told = {name: run["tags"][f"headway.{name}"] for name in ("job", "namespace", "uid", "attempt")}
    assert told == {"job": "tracked", "namespace": restricted, "uid": job["metadata"]["uid"], "attempt": "1"}
    assert_each_step_once(tracker.server, run, epochs=10)
    for name in ("test/accuracy", "test/loss"):
        told_of_end = float(job["status"]["result"]["metrics"][name])
        assert run["metrics"][name] == pytest.approx(told_of_end, rel=1e-3)
    assert TOKEN not in story + headway.kubectl("get", "configmaps", "-n", restricted, "-o", "yaml")


def test_a_worker_and_then_the_head_are_killed_and_both_attempts_are_one_run(
    tracker: Tracker, node: Node, restricted: str
) -> None:
    tracker.gate.open()
    epochs = 60
    tracking = {"mlflow": {"uri": URI}, "secretRef": {"name": "mlflow"}}
    watched = Watched(node, restricted, "killed", epochs=epochs, retry={"infrastructure": 5}, tracking=tracking)
    watched.wait_for_training()
    watched.cluster.wait("MLflow to be told of an epoch", lambda: first_epoch(tracker.server, "killed"))
    watched.wait_for_new_processes(node.signal(watched.pod("worker"), signal.SIGKILL))
    watched.wait_for_new_processes(node.signal(watched.pod("head"), signal.SIGKILL))
    watched.hurry()
    status = watched.cluster.finished("killed", restricted)["status"]
    assert status["phase"] == "Succeeded"
    assert [attempt.get("workersReplaced", 0) for attempt in status["attempts"]] == [1, 0]
    assert status.get("warnings", []) == []
    (run,) = tracker.server.runs("killed")
    assert (run["info"]["status"], run["tags"]["headway.attempt"]) == ("FINISHED", "2")
    assert_each_step_once(tracker.server, run, epochs)
    assert run["metrics"]["test/accuracy"] == pytest.approx(
        float(status["result"]["metrics"]["test/accuracy"]), rel=1e-3
    )


def first_epoch(server: Server, experiment: str) -> list[int]:
    """The steps of an experiment's first run, once there is one."""
    try:
        return [step for run in server.runs(experiment) for step in server.history(run, "train/loss")]
    except OSError:  # there is no such experiment yet
        return []


def test_a_tracker_that_is_down_at_first_is_told_all_when_it_comes_and_the_status_says_both(
    tracker: Tracker, node: Node, restricted: str
) -> None:
    tracker.gate.close()
    tracking = {"mlflow": {"uri": URI}, "secretRef": {"name": "mlflow"}}
    watched = Watched(node, restricted, "early", epochs=60, tracking=tracking)

    def warned(word: str) -> str | None:
        return next((one for one in watched.status().get("warnings", []) if word in one), None)

    away = watched.cluster.wait("the status to say that it is down", lambda: warned("cannot be told"))
    assert away.startswith(f"MLflow at {URI} cannot be told of this run for now; the job goes on")
    assert "refused" in away
    watched.wait_for_training()
    tracker.gate.open()
    back = watched.cluster.wait("the status to say that it is told", lambda: warned("can again"))
    assert back.startswith(f"MLflow at {URI} could not be told of this run for a while")
    assert warned("cannot be told") is None
    watched.hurry()
    assert watched.cluster.finished("early", restricted)["status"]["phase"] == "Succeeded"
    (run,) = tracker.server.runs("early")
    assert run["info"]["status"] == "FINISHED"
    assert_each_step_once(tracker.server, run, epochs=60)


def test_a_tracker_that_comes_after_the_job_s_end_is_told_by_the_command_that_the_status_names(
    headway: Cluster, tracker: Tracker, restricted: str
) -> None:
    tracker.gate.close()
    headway.apply(of_the_page(experiment="later"), restricted)
    job = headway.finished("tracked", restricted)
    assert job["status"]["phase"] == "Succeeded", headway.story("tracked", restricted)
    (warning,) = job["status"]["warnings"]
    named = re.fullmatch(
        rf"MLflow at {URI} was not told all .*: (\d+) records are left\. `headway (.+)` tells .*", warning
    )
    assert named is not None, warning
    count, command = named.groups()
    assert command == f"track tj/tracked -n {restricted}"
    tracker.gate.open()
    assert typed(headway, command) == f"MLflow at {URI}: {count} records told, 0 left.\n"
    assert typed(headway, command) == f"MLflow at {URI}: 0 records told, 0 left.\n"
    (run,) = tracker.server.runs("later")
    assert (run["info"]["status"], run["info"]["run_name"]) == ("FINISHED", "tracked")
    assert_each_step_once(tracker.server, run, epochs=10)
    headway.wait("the pod gone", lambda: not headway.items("pods", "-n", restricted), within=60)


def typed(cluster: Cluster, command: str) -> str:
    """What `headway` prints that a user types."""
    done = subprocess.run(
        [*COMMAND, *shlex.split(command)],
        env=clean_environment() | {"KUBECONFIG": str(cluster.kubeconfig), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
